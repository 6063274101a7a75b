import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { PhysicalConnection } from "../Driver.js"
import * as RoutingError from "../RoutingError.js"
import type { Fiber, Restore } from "./compat.js"
import * as compat from "./compat.js"
import type { Lease, Runner } from "./run.js"

/** A dead connection at BEGIN is replaced, for nothing was sent; after so many the server is taken to be gone. */
const maxBeginAttempts = 3

/** How long a statement waits for a nested transaction of another fiber before it is taken for a deadlock. */
const frameTimeout = Duration.seconds(30)

/** One level of nesting: the transaction itself, or a savepoint in it. */
export class Frame {
  /** Whether BEGIN or SAVEPOINT was sent. */
  opened = false
  ended = false
  /** Statements on their way; a nested frame begins between statements, never beside one. */
  running = 0

  constructor(
    readonly transaction: Transaction,
    readonly parent: Frame | undefined,
    readonly depth: number,
    readonly savepoint: string
  ) {}
}

/**
 * A transaction: one connection, and a stack of frames.
 *
 * BEGIN and SAVEPOINT are sent with the first statement that needs them, so a transaction without statements costs
 * nothing. Only the frame on top runs statements; those of the frames below wait, because a rollback of the nested one
 * would take them along.
 */
export class Transaction {
  readonly root: Frame
  private frames: Array<Frame>
  private lease: Lease | undefined
  /** Why BEGIN failed: the transaction fails with it, even if the body swallows the error. */
  private beginFailure: Cause.Cause<SqlError> | undefined
  /** A nested frame could not be undone. */
  private doomed = false
  /** An error made the server roll back everything. */
  private endedByServer = false
  private savepoints = 0
  /** Statements on their way, in whichever frame: the connection is not given back before they have ended. */
  private running = 0
  /** Streams that hold the connection beside the statements. */
  private streams = 0
  /** Its holder begins and ends transactions on the connection, or does without any. */
  private readonly isReserved: boolean
  private readonly opening = Effect.unsafeMakeSemaphore(1)
  private readonly waiting = new Set<() => void>()

  constructor(
    private readonly runner: Runner,
    private readonly span: Tracer.Span | undefined,
    /** A connection that its holder has already made a transaction of, or means to. */
    reserved?: Lease
  ) {
    this.root = new Frame(this, undefined, 0, "")
    this.isReserved = reserved !== undefined
    this.root.opened = this.isReserved
    this.lease = reserved
    this.frames = [this.root]
  }

  get database(): string {
    return this.runner.database.name
  }

  isOf(runner: Runner): boolean {
    return this.runner === runner
  }

  /**
   * Runs `use` on the transaction's connection as a statement of this frame. To be run in an uninterruptible region.
   */
  run<A, E, R>(
    frame: Frame,
    use: (lease: Lease) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E | SqlError, R> {
    return Effect.suspend(() => {
      if (!this.isReady(frame)) {
        return Effect.zipRight(restore(this.prepare(frame)), this.run(frame, use, restore))
      }
      const lease = this.lease!
      if (frame.ended || this.isLost(lease)) return Effect.fail(this.closed(frame))
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
          // SQLite ends the whole transaction on some errors; what came next would be committed on its own.
          if (!this.isReserved && lease.slot.connection.inTransaction() === false) this.endedByServer = true
          return Exit.failCause(cause)
        }
      })
    })
  }

  /** Lends the connection to a stream of this frame until the Scope ends. To be run in an uninterruptible region. */
  lend(frame: Frame, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return this.run(frame, (lease) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          this.streams++
          return lease
        }),
        () => Effect.sync(() => void this.streams--)
      ), restore)
  }

  /** Begins a frame inside `parent`, between its statements. To be run in an uninterruptible region. */
  push(parent: Frame, restore: Restore): Effect.Effect<Frame, SqlError> {
    const isFree = () => parent.ended || (this.isOnTop(parent) && parent.running === 0)
    return Effect.suspend(() => {
      if (!isFree()) return Effect.zipRight(restore(this.until(isFree)), this.push(parent, restore))
      if (parent.ended) return Effect.fail(this.closed(parent))
      const frame = new Frame(this, parent, parent.depth + 1, `effect_sql_${++this.savepoints}`)
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
    const connection = this.lease?.slot.connection
    // A text that ends the transaction (DDL in MySQL) takes its savepoints along.
    const settle = !frame.opened || connection === undefined || !connection.isUsable()
        || connection.inTransaction() === false
      ? exit
      : Exit.isSuccess(exit)
      ? Effect.zipRight(
        Effect.tapError(
          Effect.zipRight(
            this.undo(connection, outliving),
            control(connection, this.texts.releaseSavepoint(frame.savepoint))
          ),
          () => this.rollbackTo(connection, frame)
        ),
        exit
      )
      : Effect.zipRight(this.rollbackTo(connection, frame), exit)
    return Effect.ensuring(
      settle,
      Effect.sync(() => {
        this.frames.length = depth
        this.wake()
      })
    )
  }

  /** Ends the transaction: COMMIT, or ROLLBACK, or nothing if nothing was sent. */
  end<A, E>(exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError> {
    const outliving = this.close(0)
    this.frames = []
    const { lease } = this
    if (lease === undefined) {
      return Exit.isSuccess(exit) && this.beginFailure !== undefined ? Effect.failCause(this.beginFailure) : exit
    }
    const settle = Exit.isSuccess(exit)
      ? Effect.zipRight(this.undo(lease.slot.connection, outliving), Effect.suspend(() => this.commit(lease)))
      : this.rollback(lease)
    return Effect.zipRight(
      this.running === 0 ? settle : Effect.zipRight(this.when(() => this.running === 0), settle),
      exit
    )
  }

  /** Lets nothing more run in the frame at this depth and in those above, which belong to fibers that outlive it. */
  private close(depth: number): ReadonlyArray<Frame> {
    const frames = this.frames.slice(depth)
    for (const frame of frames) frame.ended = true
    this.wake()
    return frames.slice(1)
  }

  /** Undoes frames that had no time to end: half of a nested transaction must not be committed. */
  private undo(connection: PhysicalConnection, frames: ReadonlyArray<Frame>): Effect.Effect<void> {
    const lowest = frames.find((frame) => frame.opened)
    return lowest === undefined ? Effect.void : this.rollbackTo(connection, lowest)
  }

  private commit(lease: Lease): Effect.Effect<void, SqlError> {
    const { connection } = lease.slot
    if (this.doomed || this.isLost(lease)) {
      return Effect.zipRight(this.rollback(lease), Effect.fail(this.rolledBack(lease)))
    }
    return Effect.matchCauseEffect(connection.executeRaw(this.texts.commit, []), {
      onSuccess: (raw) => {
        this.giveBack(lease)
        return this.runner.database.driver.commitWasRollback(raw) ? Effect.fail(this.rolledBack(lease)) : Effect.void
      },
      onFailure: (cause) => {
        const unknown = this.runner.judge(cause)?.outcome === "unknown"
        // A COMMIT that was refused may leave the transaction open (SQLite when busy).
        return Effect.zipRight(
          this.rollback(lease),
          unknown ? Effect.fail(this.outcomeUnknown(lease, Cause.squash(cause))) : Effect.failCause(cause)
        )
      }
    })
  }

  /** Rolls back and gives the connection back. A connection that cannot even roll back ends: the server undoes its work. */
  private rollback(lease: Lease): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { connection } = lease.slot
      if (!connection.isUsable() || connection.inTransaction() === false) return Effect.sync(() => this.giveBack(lease))
      return Effect.matchCause(control(connection, this.texts.rollback), {
        onSuccess: () => this.giveBack(lease),
        onFailure: () => this.giveBack(lease, true)
      })
    })
  }

  /** A stream that outlives the transaction would go on using a connection that is somebody else's by then. */
  private giveBack(lease: Lease, destroy = false): void {
    this.runner.giveBack(lease, destroy || this.streams > 0)
  }

  /** Undoes a nested frame. If that fails its writes would stay, so the whole transaction must not be committed. */
  private rollbackTo(connection: PhysicalConnection, frame: Frame): Effect.Effect<void> {
    return Effect.catchAllCause(
      Effect.zipRight(
        control(connection, this.texts.rollbackToSavepoint(frame.savepoint)),
        control(connection, this.texts.releaseSavepoint(frame.savepoint))
      ),
      () => Effect.sync(() => this.doomed = true)
    )
  }

  private isLost(lease: Lease): boolean {
    return this.endedByServer || !lease.slot.connection.isUsable()
  }

  private isReady(frame: Frame): boolean {
    return frame.ended || (this.isOnTop(frame) && frame.opened)
  }

  private isOnTop(frame: Frame): boolean {
    return this.frames.at(-1) === frame
  }

  private prepare(frame: Frame): Effect.Effect<void, SqlError> {
    return Effect.suspend(() =>
      this.isOnTop(frame)
        ? this.opening.withPermits(1)(Effect.uninterruptibleMask((restore) => this.open(frame, restore)))
        : this.until(() => frame.ended || this.isOnTop(frame))
    )
  }

  private open(frame: Frame, restore: Restore): Effect.Effect<void, SqlError> {
    if (frame.opened || frame.ended) return Effect.void
    if (frame.parent === undefined) return this.begin(restore, 1)
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

  private begin(restore: Restore, attempt: number): Effect.Effect<void, SqlError> {
    const { beginFailure, runner } = this
    if (beginFailure !== undefined) return Effect.failCause(beginFailure)
    return Effect.flatMap(
      runner.borrowPrimary(restore),
      (lease) =>
        Effect.matchCauseEffect(restore(control(lease.slot.connection, this.texts.begin({ access: "readWrite" }))), {
          onSuccess: () => {
            // The fiber that began it outlives the transaction.
            if (this.root.ended) return this.rollback(lease)
            this.lease = lease
            this.root.opened = true
            for (const [key, value] of lease.server.attributes) this.span?.attribute(key, value)
            return Effect.void
          },
          onFailure: (cause) => {
            // It may have begun all the same.
            if (Cause.isInterrupted(cause)) return Effect.zipRight(this.rollback(lease), Effect.failCause(cause))
            const disposition = runner.judge(cause)
            runner.giveBack(lease, disposition?.connection === "destroy")
            return disposition?.outcome === "notSent" && attempt < maxBeginAttempts
              ? this.begin(restore, attempt + 1)
              : Effect.failCause(cause)
          }
        })
    ).pipe(
      Effect.tapErrorCause((cause) =>
        Effect.sync(() => {
          if (!Cause.isInterrupted(cause)) this.beginFailure = cause
        })
      )
    )
  }

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
    return Effect.timeoutFail(this.when(condition), {
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
    return this.runner.database.driver.texts
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

  private outcomeUnknown(lease: Lease, cause: unknown): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.CommitOutcomeUnknown({
        database: this.database,
        endpoint: lease.server.name,
        cause
      })
    )
  }
}

/** Transaction control goes unprepared: some servers cannot prepare it, and a pooler may lose what was prepared. */
const control = (connection: PhysicalConnection, text: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(connection.executeUnprepared(text, [], undefined))

/**
 * What others find under @effect/sql's global tag: it tells them of the transaction, and lets them do nothing in it.
 *
 * It leads our own statements to their frame where the private tag did not come along: SqlResolver takes the global tag,
 * and nothing else, to the fiber that runs a batch.
 */
class Guard implements Connection {
  private readonly refusal = Effect.suspend(() =>
    Effect.fail(RoutingError.toSqlError(
      new RoutingError.ForeignClientInTransaction({ database: this.frame.transaction.database })
    ))
  )

  constructor(readonly frame: Frame, private readonly around: Connection | undefined) {}

  /** The innermost frame of the router among this one and those around it. */
  frameOf(runner: Runner): Frame | undefined {
    return this.frame.transaction.isOf(runner)
      ? this.frame
      : this.around instanceof Guard
      ? this.around.frameOf(runner)
      : undefined
  }

  execute() {
    return this.refusal
  }
  executeRaw() {
    return this.refusal
  }
  executeValues() {
    return this.refusal
  }
  executeUnprepared() {
    return this.refusal
  }
  executeStream() {
    return Stream.fromEffect(this.refusal)
  }
}

/** The transactions of one router. */
export interface Transactions {
  /** The frame that the fiber is in, if any. */
  readonly current: (fiber: Fiber) => Frame | undefined
  readonly withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** Lets statements run on a reserved connection where its holder provides it as the transaction's; until the finalizer. */
  readonly adopt: (lease: Lease) => () => void
}

export const make = (
  runner: Runner,
  spanAttributes: ReadonlyArray<readonly [string, unknown]>
): Transactions => {
  const tag: Context.Tag<never, Frame> = compat.uniqueTag<Frame>("Transaction")
  const within = <A, E, R>(
    frame: Frame,
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber,
    span: Tracer.Span,
    restore: Restore,
    end: (exit: Exit.Exit<A, E>) => Effect.Effect<A, E | SqlError>
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.flatMap(
      Effect.exit(compat.inTransaction(
        restore(effect),
        fiber,
        tag,
        frame,
        [new Guard(frame, compat.announcedTransaction(fiber)), frame.depth],
        span
      )),
      (exit) => {
        span.event(
          frame.parent !== undefined && Exit.isSuccess(exit)
            ? "db.transaction.savepoint"
            : Exit.isSuccess(exit)
            ? "db.transaction.commit"
            : "db.transaction.rollback",
          compat.now(fiber)
        )
        return end(exit)
      }
    )

  const adopted = new WeakMap<Connection, Frame>()
  // The announced one first: it is what SqlResolver takes along, into fibers whose private tag is of another frame.
  const current = (fiber: Fiber): Frame | undefined => {
    const announced = compat.announcedTransaction(fiber)
    const frame = announced instanceof Guard ? announced.frameOf(runner) : announced && adopted.get(announced)
    return frame ?? compat.unsafeService(fiber, tag)
  }

  return {
    current,
    adopt: (lease) => {
      const { root } = new Transaction(runner, undefined, lease)
      adopted.set(lease.slot.connection, root)
      return () => void (root.ended = true)
    },
    withTransaction: (effect) =>
      compat.withClientSpan("sql.transaction", (span, fiber, restore) => {
        for (const [key, value] of spanAttributes) span.attribute(key, value)
        const parent = current(fiber)
        if (parent === undefined) {
          const transaction = new Transaction(runner, span)
          return within(transaction.root, effect, fiber, span, restore, (exit) => transaction.end(exit))
        }
        const { transaction } = parent
        return Effect.flatMap(
          transaction.push(parent, restore),
          (frame) => within(frame, effect, fiber, span, restore, (exit) => transaction.pop(frame, exit))
        )
      })
  }
}
