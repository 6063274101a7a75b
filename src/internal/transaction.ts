import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { Beginning, PhysicalConnection } from "../Driver.js"
import * as RoutingError from "../RoutingError.js"
import type { StatementFacts } from "../StatementFacts.js"
import * as CommitOutcome from "./commitOutcome.js"
import type { Fiber, Restore } from "./compat.js"
import { withinOwn } from "./deadline.js"
import * as FiberSettings from "./fiberSettings.js"
import { expectPosition, mayWrite, tablesWritten } from "./freshness.js"
import type { Lease } from "./loans.js"
import type { Runner } from "./run.js"
import type { SessionKeeper } from "./sessionSettings.js"
import type { TimeLimit } from "./timeLimit.js"

/** How long a statement waits for a nested transaction of another fiber before it is taken for a deadlock. */
const frameTimeout = Duration.seconds(30)

/** One level of nesting: the transaction itself, or a savepoint in it. */
export class Frame {
  /** Whether BEGIN or SAVEPOINT was sent. */
  opened = false
  ended = false
  /** Whether what was done in it is undone, or is going to be. */
  undone = false
  /** Statements on their way; a nested frame begins between statements, never beside one. */
  running = 0
  /** What waits for the commit. */
  hooks: Array<Effect.Effect<void>> | undefined

  constructor(
    readonly transaction: Transaction,
    readonly parent: Frame | undefined,
    /** The innermost frame around it, of whichever router. */
    readonly around: Frame | undefined,
    readonly depth: number,
    readonly savepoint: string
  ) {}
}

/** What all transactions of a router share with those of its clients that keep to one connection. */
export interface SharedSettings {
  readonly crossDatabase: "fail" | "pin"
  readonly commitLimit: TimeLimit
  /** How long a connection may take to be rolled back before it is destroyed instead. */
  readonly rollbackLimit: TimeLimit
  readonly resolveCommits: boolean
}

/** What all transactions of a router share. */
export interface TransactionSettings extends SharedSettings {
  /** Names a transaction that has not sent anything yet. */
  readonly database: string
}

export interface TransactionOptions {
  readonly settings: TransactionSettings
  readonly beginning: Beginning
  readonly target: "primary" | "replica"
  readonly around: Frame | undefined
  readonly span: Tracer.Span | undefined
  /** The fiber that has begun it, and ends it. */
  readonly fiber: Fiber
  /** A connection that its holder has already made a transaction of, or means to. */
  readonly reserved?: { readonly runner: Runner; readonly lease: Lease }
}

/**
 * A transaction: one connection, and a stack of frames.
 *
 * BEGIN and SAVEPOINT are sent with the first statement that needs them: that statement decides the Database, and a
 * transaction without statements costs nothing. Only the frame on top runs statements; those of the frames below wait,
 * because a rollback of the nested one would take them along.
 */
export class Transaction {
  readonly root: Frame
  private frames: Array<Frame>
  private runner: Runner | undefined
  private lease: Lease | undefined
  /** Why BEGIN failed: the transaction fails with it, even if the body swallows the error. */
  private beginFailure: Cause.Cause<SqlError> | undefined
  /** A nested frame could not be undone. */
  private doomed = false
  /** An error made the server roll back everything. */
  private endedByServer = false
  private committed = false
  private savepoints = 0
  /** The tables that were written in it, as far as they are known; `undefined` if none were. */
  private written: Set<string> | "all" | undefined
  /** Statements on their way, in whichever frame: the connection is not given back before they have ended. */
  private running = 0
  /** Streams that hold the connection beside the statements. */
  private streams = 0
  /** Its holder begins and ends transactions on the connection, or does without any. */
  readonly isReserved: boolean
  /** Whether BEGIN or SAVEPOINT is on its way. */
  private opening = false
  private readonly waiting = new Set<() => void>()

  constructor(private readonly options: TransactionOptions) {
    const { around, reserved } = options
    this.root = new Frame(this, undefined, around, 0, "")
    this.isReserved = reserved !== undefined
    this.root.opened = this.isReserved
    this.lease = reserved?.lease
    this.runner = reserved?.runner
    this.frames = [this.root]
  }

  /** The Database that its first statement has decided. */
  get database(): string {
    return this.runner?.database.name ?? this.options.settings.database
  }

  /** What is known of the session of its connection. */
  get sessions(): SessionKeeper {
    return this.runner!.sessions
  }

  get mode(): Beginning["mode"] {
    return this.options.beginning.mode
  }

  /** Takes note of what the session will have written once the transaction is committed. */
  noteStatement(facts: StatementFacts, { ignoreWrites }: FiberSettings.FiberSettings, fiber: Fiber): void {
    if (ignoreWrites || !mayWrite(facts)) return
    // Its holder commits as it likes, or works without transactions.
    if (this.isReserved) return this.noteReserved(fiber)
    const tables = tablesWritten(facts)
    if (tables === undefined || this.written === "all") this.written = "all"
    else this.written = new Set([...this.written ?? [], ...tables])
  }

  /** The same for what its holder does on a reserved connection, which nobody has looked at. */
  noteReserved(fiber: Fiber): void {
    this.runner!.freshness.wrote(fiber, undefined, undefined)
  }

  isOf(settings: TransactionSettings): boolean {
    return this.options.settings === settings
  }

  /**
   * Runs `use` on the transaction's connection as a statement of this frame, where `runner` would run it outside. To be
   * run in an uninterruptible region.
   */
  run<A, E, R>(
    frame: Frame,
    runner: Runner,
    use: (lease: Lease) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E | SqlError, R> {
    return Effect.suspend(() => {
      if (frame.ended) return Effect.fail(this.closed(frame))
      this.runner ??= runner
      if (this.runner !== runner && this.options.settings.crossDatabase === "fail") {
        return Effect.fail(this.crossed(runner))
      }
      if (this.isReady(frame)) {
        return this.isLost(this.lease!) ? Effect.fail(this.closed(frame)) : this.perform(frame, use, restore)
      }
      return Effect.zipRight(this.prepare(frame, restore), this.run(frame, runner, use, restore))
    })
  }

  /** The same on a reserved connection that its holder uses directly: beside the frames, not in their order. */
  runReserved<A, R>(
    use: (connection: PhysicalConnection) => Effect.Effect<A, SqlError, R>,
    restore: Restore
  ): Effect.Effect<A, SqlError, R> {
    return Effect.suspend(() =>
      this.root.ended
        ? Effect.fail(this.closed(this.root))
        : this.perform(this.root, ({ slot }) => use(slot.connection), restore)
    )
  }

  private perform<A, E, R>(
    frame: Frame,
    use: (lease: Lease) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E, R> {
    const lease = this.lease!
    frame.running++
    this.running++
    const done = () => {
      frame.running--
      this.running--
      this.wake()
    }
    return Effect.matchCauseEffect(restore(Effect.suspend(() => use(lease))), {
      onSuccess: (value) => {
        done()
        return Exit.succeed(value)
      },
      onFailure: (cause) => {
        done()
        this.runner!.loans.learn(lease.server, cause)
        this.noteFailure(lease)
        return Exit.failCause(cause)
      }
    })
  }

  /** Lends the connection to a stream of this frame until the Scope ends. To be run in an uninterruptible region. */
  lend(frame: Frame, runner: Runner, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return this.run(frame, runner, (lease) => this.lendTo(lease), restore)
  }

  /** The same on a reserved connection that its holder uses directly. */
  lendReserved(restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return Effect.suspend(() =>
      this.root.ended
        ? Effect.fail(this.closed(this.root))
        : this.perform(this.root, (lease) => this.lendTo(lease), restore)
    )
  }

  private lendTo(lease: Lease): Effect.Effect<Lease, never, Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.streams++
        return lease
      }),
      (_, exit) =>
        Effect.sync(() => {
          this.streams--
          if (Exit.isFailure(exit)) this.noteFailure(lease)
        })
    )
  }

  /** Some errors make a server end the whole transaction; what came next would be committed on its own. */
  private noteFailure(lease: Lease): void {
    if (!this.isReserved && lease.slot.connection.inTransaction() === false) this.endedByServer = true
  }

  /** Begins a frame inside `parent`, between its statements. To be run in an uninterruptible region. */
  push(parent: Frame, around: Frame, restore: Restore): Effect.Effect<Frame, SqlError> {
    const isFree = () => parent.ended || (this.isOnTop(parent) && parent.running === 0)
    return Effect.suspend(() => {
      if (!isFree()) {
        const free = withinOwn(this.until(isFree), this.database, "SAVEPOINT")
        return Effect.zipRight(restore(free), this.push(parent, around, restore))
      }
      if (parent.ended) return Effect.fail(this.closed(parent))
      const frame = new Frame(this, parent, around, parent.depth + 1, `effect_sql_${++this.savepoints}`)
      this.frames.push(frame)
      return Effect.succeed(frame)
    })
  }

  /** Ends a nested frame: its savepoint is released, or rolled back to. */
  pop<A, E>(frame: Frame, exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError> {
    // A frame around it has ended before it, and has undone it.
    if (frame.ended) return Exit.isSuccess(exit) ? Effect.fail(this.closed(frame)) : exit
    const depth = this.frames.indexOf(frame)
    const outliving = this.close(depth)
    const { lease } = this
    // A text that ends the transaction (DDL in MySQL) takes its savepoints along.
    const hasSavepoint = frame.opened && lease !== undefined && lease.slot.connection.isUsable()
      && lease.slot.connection.inTransaction() !== false
    if (Exit.isFailure(exit)) frame.undone = true
    const settle = !hasSavepoint
      ? Effect.void
      : Exit.isSuccess(exit)
      ? Effect.zipRight(this.undo(lease, outliving), this.release(lease, frame))
      : this.rollbackTo(lease, frame)
    return Effect.matchCauseEffect(settle, {
      onFailure: (cause) => {
        frame.undone = true
        this.drop(depth)
        return Effect.failCause(cause)
      },
      onSuccess: () => {
        this.drop(depth)
        return frame.undone || frame.hooks === undefined ? exit : Effect.zipRight(this.handOn(frame), exit)
      }
    })
  }

  private drop(depth: number): void {
    this.frames.length = depth
    this.wake()
  }

  /** What waited for a nested frame waits for the one around it; on a reserved connection nobody knows of a commit. */
  private handOn({ hooks, parent }: Frame): Effect.Effect<void> {
    if (parent === this.root && this.isReserved) return inOrder(hooks!)
    ;(parent!.hooks ??= []).push(...hooks!)
    return Effect.void
  }

  private release(lease: Lease, frame: Frame): Effect.Effect<void, SqlError> {
    return Effect.tapError(
      this.control(lease, this.texts.releaseSavepoint(frame.savepoint)),
      () => this.rollbackTo(lease, frame)
    )
  }

  /** Ends the transaction: COMMIT, or ROLLBACK, or nothing if nothing was sent. */
  end<A, E>(exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError> {
    const outliving = this.close(0)
    this.frames = []
    const { lease } = this
    if (Exit.isFailure(exit)) {
      this.root.undone = true
      this.noteConflict(exit.cause)
      return lease === undefined ? exit : Effect.zipRight(this.abandon(lease), exit)
    }
    if (lease === undefined) {
      return this.beginFailure === undefined
        ? this.afterCommit(exit)
        : Effect.zipRight(Effect.sync(() => this.noteConflict(this.beginFailure!)), Effect.failCause(this.beginFailure))
    }
    const commit = outliving.length === 0
      ? Effect.suspend(() => this.commit(lease))
      : Effect.zipRight(this.undo(lease, outliving), Effect.suspend(() => this.commit(lease)))
    return Effect.matchCauseEffect(
      this.running === 0 ? commit : Effect.zipRight(this.when(() => this.running === 0), commit),
      {
        onFailure: (cause) => {
          this.root.undone = true
          return Effect.failCause(cause)
        },
        onSuccess: () => this.afterCommit(exit)
      }
    )
  }

  /** Gives a reserved connection back; one that somebody still uses, when they are done, or else destroyed. */
  readonly endReserved: Effect.Effect<void> = Effect.suspend(() => {
    this.close(0)
    const lease = this.lease!
    return Effect.zipRight(this.untilIdle, Effect.sync(() => this.giveBack(lease, this.running > 0)))
  })

  /** Keeps what is to run after the commit of this frame and of all around it, or runs it if that has been. */
  addHook(frame: Frame, hook: Effect.Effect<void>): Effect.Effect<void> {
    let at = frame
    // A fiber may outlive its frame: what it did there is part of the frame around, or undone.
    while (!at.undone && at.ended && at.parent !== undefined) at = at.parent
    if (at.undone) return Effect.void
    if (at === this.root && (this.committed || this.isReserved)) return hook
    return Effect.sync(() => void (at.hooks ??= []).push(hook))
  }

  private afterCommit<A, E>(exit: Exit.Exit<A, E>): Effect.Effect<A, E> {
    this.committed = true
    const { hooks } = this.root
    return hooks === undefined ? exit : Effect.zipRight(inOrder(hooks), exit)
  }

  /** Lets nothing more run in the frame at this depth and in those above, which belong to fibers that outlive it. */
  private close(depth: number): ReadonlyArray<Frame> {
    const frames = this.frames.slice(depth)
    for (const frame of frames) frame.ended = true
    const outliving = frames.slice(1)
    for (const frame of outliving) frame.undone = true
    this.wake()
    return outliving
  }

  /** Undoes frames that had no time to end: half of a nested transaction must not be committed. */
  private undo(lease: Lease, frames: ReadonlyArray<Frame>): Effect.Effect<void> {
    const lowest = frames.find((frame) => frame.opened)
    return lowest === undefined ? Effect.void : this.rollbackTo(lease, lowest)
  }

  private commit(lease: Lease): Effect.Effect<void, SqlError> {
    return this.options.settings.resolveCommits && this.mode.access === "readWrite"
      ? Effect.flatMap(this.identify(lease), (id) => this.commitAs(lease, id))
      : this.commitAs(lease, undefined)
  }

  /** Learns what the outcome can be asked by; where it cannot, COMMIT will tell what is wrong. */
  private identify(lease: Lease): Effect.Effect<string | undefined> {
    const tracking = lease.server === this.runner!.database.primary && this.runner!.database.driver.commitTracking
    const { connection } = lease.slot
    return !tracking || this.doomed || this.isLost(lease)
      ? Effect.succeed(undefined)
      : Effect.orElseSucceed(
        this.options.settings.commitLimit.run(tracking.identify(connection), () => destroy(lease)),
        () => undefined
      )
  }

  private commitAs(lease: Lease, id: string | undefined): Effect.Effect<void, SqlError> {
    const runner = this.runner!
    if (this.doomed || this.isLost(lease)) {
      return Effect.zipRight(this.rollback(lease), Effect.fail(this.rolledBack(lease)))
    }
    const { commitLimit } = this.options.settings
    let late: Cause.TimeoutException | undefined
    const { commitWasRollback } = runner.database.driver
    const { connection } = lease.slot
    const isOnPrimary = lease.server === runner.database.primary
    const note = isOnPrimary ? runner.freshness.ofCommit(this.options.fiber, this.written) : undefined
    expectPosition(note, connection)
    const sent: Effect.Effect<unknown, SqlError> = commitWasRollback === undefined
      ? control(connection, this.texts.commit)
      : connection.executeRaw(this.texts.commit, [])
    const commit = commitLimit.run(sent, () => {
      late = new Cause.TimeoutException(`no answer within ${Duration.format(commitLimit.duration)}`)
      destroy(lease)
    })
    return Effect.matchCauseEffect(commit, {
      onSuccess: (answer) => {
        const rolledBack = commitWasRollback?.(answer) === true
        if (!rolledBack) note?.done(connection.positions?.take())
        const left = this.leave(lease)
        return rolledBack ? Effect.zipRight(left, Effect.fail(this.rolledBack(lease))) : left
      },
      onFailure: (cause) => {
        const unknown = late !== undefined || runner.loans.learn(lease.server, cause)?.outcome === "unknown"
        if (unknown) note?.done(undefined)
        else this.noteConflict(cause)
        // A COMMIT that was refused may leave the transaction open (SQLite when busy).
        return Effect.zipRight(
          this.rollback(lease),
          unknown ? Effect.fail(this.outcomeUnknown(lease, id, late ?? Cause.squash(cause))) : Effect.failCause(cause)
        )
      }
    })
  }

  /** Rolls back after a failure; whoever still uses the connection has a while to end. */
  private abandon(lease: Lease): Effect.Effect<void> {
    return Effect.zipRight(
      this.untilIdle,
      Effect.suspend(() => this.running === 0 ? this.rollback(lease) : Effect.sync(() => this.giveBack(lease, true)))
    )
  }

  /** Rolls back and gives the connection back. A connection that cannot even roll back ends: the server undoes its work. */
  private rollback(lease: Lease): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { connection } = lease.slot
      if (!connection.isUsable()) return this.leave(lease)
      if (connection.inTransaction() === false) {
        // DDL may have committed it (MySQL).
        if (this.written !== undefined) {
          this.runner!.freshness.ofCommit(this.options.fiber, this.written)?.done(undefined)
        }
        return this.leave(lease)
      }
      return Effect.matchCauseEffect(this.control(lease, this.texts.rollback), {
        onSuccess: () => this.leave(lease),
        onFailure: () => Effect.sync(() => this.giveBack(lease, true))
      })
    })
  }

  /** Gives the connection back as it was before the transaction. */
  private leave(lease: Lease): Effect.Effect<void> {
    const { after } = this.options.beginning
    const { connection } = lease.slot
    if (after.length === 0 || !connection.isUsable()) return Effect.sync(() => this.giveBack(lease))
    return Effect.matchCause(Effect.forEach(after, (text) => this.control(lease, text), { discard: true }), {
      onSuccess: () => this.giveBack(lease),
      onFailure: () => this.giveBack(lease, true)
    })
  }

  /** A stream that outlives the transaction would go on using a connection that is somebody else's by then. */
  private giveBack(lease: Lease, destroy = false): void {
    this.runner!.loans.giveBack(lease, destroy || this.streams > 0)
  }

  /** Undoes a nested frame. If that fails its writes would stay, so the whole transaction must not be committed. */
  private rollbackTo(lease: Lease, frame: Frame): Effect.Effect<void> {
    return Effect.catchAllCause(
      Effect.zipRight(
        this.control(lease, this.texts.rollbackToSavepoint(frame.savepoint)),
        this.control(lease, this.texts.releaseSavepoint(frame.savepoint))
      ),
      () => Effect.sync(() => this.doomed = true)
    )
  }

  /** Transaction control that must not take for ever. */
  private control(lease: Lease, text: string): Effect.Effect<void, SqlError> {
    return this.options.settings.rollbackLimit.run(control(lease.slot.connection, text), () => destroy(lease))
  }

  private isLost(lease: Lease): boolean {
    return this.endedByServer || !lease.slot.connection.isUsable()
  }

  private isReady(frame: Frame): boolean {
    return this.isOnTop(frame) && frame.opened
  }

  private isOnTop(frame: Frame): boolean {
    return this.frames.at(-1) === frame
  }

  /** Opens the frame, or waits for those above it to end. */
  private prepare(frame: Frame, restore: Restore): Effect.Effect<void, SqlError> {
    if (!this.isOnTop(frame)) return restore(this.until(() => frame.ended || this.isOnTop(frame)))
    if (this.opening) return restore(this.when(() => !this.opening))
    this.opening = true
    return Effect.ensuring(
      this.open(frame, restore),
      Effect.sync(() => {
        this.opening = false
        this.wake()
      })
    )
  }

  private open(frame: Frame, restore: Restore): Effect.Effect<void, SqlError> {
    if (frame.opened || frame.ended) return Effect.void
    if (frame.parent === undefined) return this.begin(restore)
    return Effect.zipRight(
      this.open(frame.parent, restore),
      Effect.suspend(() => {
        if (frame.ended) return Effect.void
        this.running++
        return Effect.ensuring(
          Effect.map(
            restore(control(this.lease!.slot.connection, this.texts.savepoint(frame.savepoint))),
            () => void (frame.opened = true)
          ),
          Effect.sync(() => {
            this.running--
            this.wake()
          })
        )
      })
    )
  }

  private begin(restore: Restore): Effect.Effect<void, SqlError> {
    if (this.beginFailure !== undefined) return Effect.failCause(this.beginFailure)
    const { beginning: { mode: { access }, texts }, fiber, span, target } = this.options
    const runner = this.runner!
    const { pinned, readOnly } = runner.database.planner
    const plan = target === "replica" ? readOnly : access === "readOnly" ? { ...pinned, access } : pinned
    const fresh = target === "replica"
      ? runner.freshness.ofRead(fiber, FiberSettings.of(fiber), undefined, plan, undefined)
      : undefined
    return Effect.matchCauseEffect(runner.leases.begin(plan, fresh, texts, restore), {
      onSuccess: (lease) => {
        runner.freshness.noteTransaction(fiber, lease.server)
        // The fiber that began it outlives the transaction.
        if (this.root.ended) return this.rollback(lease)
        this.lease = lease
        this.root.opened = true
        for (const [key, value] of lease.server.attributes) span?.attribute(key, value)
        return Effect.void
      },
      onFailure: (cause) => {
        if (!Cause.isInterrupted(cause)) this.beginFailure = cause
        return Effect.failCause(cause)
      }
    })
  }

  /** Waits until nobody uses the connection any more, but not for long. */
  private readonly untilIdle: Effect.Effect<void> = Effect.suspend(() =>
    this.running === 0
      ? Effect.void
      // In an uninterruptible region nothing else could be timed out.
      : Effect.asVoid(Effect.timeoutOption(
        Effect.interruptible(this.when(() => this.running === 0)),
        this.options.settings.rollbackLimit.duration
      ))
  )

  /** Waits until `condition` holds, which only frames and statements that end can bring about. */
  private when(condition: () => boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = () => {
        if (!condition()) return
        this.waiting.delete(look)
        resume(Effect.void)
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => void this.waiting.delete(look))
    })
  }

  /** The same, but not for ever. */
  private until(condition: () => boolean): Effect.Effect<void, SqlError> {
    return Effect.timeoutFail(Effect.interruptible(this.when(condition)), {
      duration: frameTimeout,
      onTimeout: () =>
        RoutingError.toSqlError(
          new RoutingError.TransactionFrameBusy({ database: this.database, waited: frameTimeout })
        )
    })
  }

  private wake(): void {
    for (const look of this.waiting) look()
  }

  private get texts() {
    return this.runner!.database.driver.texts
  }

  private noteConflict(cause: Cause.Cause<unknown>): void {
    if (this.runner !== undefined) noteConflict(cause, this.runner)
  }

  private crossed(runner: Runner): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.CrossDatabaseStatement({ database: this.database, target: runner.database.name })
    )
  }

  private closed(frame: Frame): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.TransactionClosed({
        database: this.database,
        reason: frame.ended ? "ended" : "rolledBack"
      })
    )
  }

  private rolledBack(lease: Lease): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.TransactionRolledBack({
        database: this.database,
        endpoint: lease.server.name
      })
    )
  }

  private outcomeUnknown(lease: Lease, id: string | undefined, cause: unknown): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.CommitOutcomeUnknown({
        database: this.database,
        endpoint: lease.server.name,
        cause,
        resolve: CommitOutcome.resolve(this.runner!, id)
      })
    )
  }
}

/** Transaction control goes unprepared: some servers cannot prepare it, and a pooler may lose what was prepared. */
const control = (connection: PhysicalConnection, text: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(connection.executeUnprepared(text, [], undefined))

/** Ends a connection under whoever waits for its answer; it is still to be given back. */
const destroy = ({ pool, slot }: Lease): void => pool.discard(slot)

/** The transaction is committed: whatever happens now must not look like a rollback, nor keep the next from running. */
const inOrder = (hooks: ReadonlyArray<Effect.Effect<void>>): Effect.Effect<void> =>
  Effect.forEach(
    hooks,
    (hook) =>
      Effect.catchAllCause(hook, (cause) =>
        Effect.logError("What was to run after a commit failed; the transaction is committed", cause)),
    {
      discard: true
    }
  )

/**
 * Errors that the outermost transaction of some router has failed with because another one was in its way. By the
 * driver's error: those of Effect are copied as they pass through spans.
 */
const conflicts = globalValue("effect-sql-router/conflicts", () => new WeakSet<object>())

const noteConflict = (cause: Cause.Cause<unknown>, runner: Runner): void => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (!(error instanceof SqlError)) return
  const origin = RoutingError.origin(error)
  if (RoutingError.isRoutingError(origin)) return
  const { blame, outcome } = runner.database.driver.disposition(new SqlError({ cause: origin }))
  if (blame === "transaction" && (outcome === "rolledBack" || outcome === "refused")) conflicts.add(keyOf(error))
}

const keyOf = (error: SqlError): object => {
  const origin = RoutingError.origin(error)
  return typeof origin === "object" && origin !== null ? origin : error
}

/** Whether running the transaction again may help: nothing of it is left, and it was not its own fault. */
export const isConflict = (error: unknown): boolean => error instanceof SqlError && conflicts.has(keyOf(error))
