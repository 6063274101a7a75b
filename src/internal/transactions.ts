import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { Beginning, Driver, TransactionMode } from "../Driver.js"
import type { Access } from "../Endpoint.js"
import * as RoutingError from "../RoutingError.js"
import type { Fiber, Restore } from "./compat.js"
import * as compat from "./compat.js"
import { invalid } from "./configuration.js"
import { pullsWithinOwn, withinOwn } from "./deadline.js"
import * as FiberSettings from "./fiberSettings.js"
import type { Runner } from "./run.js"
import type { Frame, SharedSettings } from "./transaction.js"
import { Transaction } from "./transaction.js"

/** Where our own statements find the innermost frame around them, of whichever router. */
const CurrentFrame: Context.Tag<any, Frame> = Context.GenericTag<any, Frame>("effect-sql-router/CurrentFrame")

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

  constructor(readonly frame: Frame) {}

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

const onReserved = "a statement on a reserved connection"

/**
 * A reserved connection as its holder sees it: of use until the Scope ends, and no longer to fibers that outlive it.
 *
 * Its holder may provide it as a transaction's connection: then the router's statements run on it too.
 */
class Reserved implements Connection {
  readonly execute: Connection["execute"]
  readonly executeRaw: Connection["executeRaw"]
  readonly executeValues: Connection["executeValues"]
  readonly executeUnprepared: Connection["executeUnprepared"]
  readonly executeStream: Connection["executeStream"]

  constructor(readonly frame: Frame, leavesSession: (sql: string) => boolean) {
    const { transaction } = frame
    const run = <A>(sql: string, use: (connection: Connection) => Effect.Effect<A, SqlError>) =>
      compat.withFiber((fiber) => {
        const settings = FiberSettings.of(fiber)
        const statement = Effect.uninterruptibleMask((restore) =>
          Effect.onExit(
            transaction.runReserved((connection) => {
              if (leavesSession(sql)) transaction.sessions.markChanged(connection)
              return transaction.sessions.beforeIn(frame, connection, settings, () => use(connection))
            }, restore),
            () => Effect.sync(() => transaction.noteReserved(fiber))
          )
        )
        return withinOwn(statement, transaction.database, onReserved)
      })
    this.execute = (sql, params, transformRows) => run(sql, (_) => _.execute(sql, params, transformRows))
    this.executeRaw = (sql, params) => run(sql, (_) => _.executeRaw(sql, params))
    this.executeValues = (sql, params) => run(sql, (_) => _.executeValues(sql, params))
    this.executeUnprepared = (sql, params, transformRows) =>
      run(sql, (_) => _.executeUnprepared(sql, params, transformRows))
    this.executeStream = (sql, params, transformRows) => {
      const rows = Stream.unwrapScoped(
        Effect.uninterruptibleMask((restore) =>
          compat.withFiber((fiber) => {
            transaction.noteReserved(fiber)
            return Effect.flatMap(transaction.lendReserved(restore), ({ slot: { connection } }) => {
              if (leavesSession(sql)) transaction.sessions.markChanged(connection)
              return Effect.as(
                transaction.sessions.holdIn(frame, connection, FiberSettings.of(fiber), restore),
                connection.executeStream(sql, params, transformRows)
              )
            })
          })
        )
      )
      return pullsWithinOwn(rows, transaction.database, onReserved)
    }
  }
}

/** The announced one first: it is what SqlResolver takes along, into fibers whose private tag is of another frame. */
const innermost = (fiber: Fiber): Frame | undefined => {
  const announced = compat.announcedTransaction(fiber)
  return announced instanceof Guard || announced instanceof Reserved
    ? announced.frame
    : compat.unsafeService(fiber, CurrentFrame)
}

/** Whether the fiber is inside a transaction of any router. */
export const isInside = (fiber: Fiber): boolean => innermost(fiber) !== undefined

/** Keeps an effect until the transaction around the fiber is committed; runs it at once where there is none. */
export const afterCommit = <R>(hook: Effect.Effect<void, never, R>): Effect.Effect<void, never, R> =>
  compat.withFiber((fiber) => {
    const frame = innermost(fiber)
    if (frame === undefined) return hook
    let outermost = frame
    while (outermost.parent !== undefined) outermost = outermost.parent
    return Effect.contextWithEffect((context: Context.Context<R>) =>
      frame.transaction.addHook(frame, Effect.provide(hook, outside(context, outermost)))
    )
  })

/** The context of a fiber inside a transaction, as it would be without that. */
const outside = <R>(context: Context.Context<R>, { around }: Frame): Context.Context<R> =>
  around === undefined
    ? compat.withoutTransaction(context, CurrentFrame)
    : compat.insideTransaction(context, CurrentFrame, around, [new Guard(around), around.depth])

type Transactional = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>

/** The transactions of one router. */
export interface Transactions {
  /** The router's frame that the fiber is in, if any. */
  readonly current: (fiber: Fiber) => Frame | undefined
  readonly withTransaction: Transactional
  readonly transaction: (mode: WantedMode) => Transactional
  readonly readOnlyTransaction: {
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
    (options: ReadOnlyMode): Transactional
  }
  /** Lends one connection of the runner's primary until the Scope ends. */
  readonly reserve: (
    runner: Runner,
    leavesSession: (sql: string) => boolean
  ) => Effect.Effect<Connection, SqlError, Scope>
}

type ReadOnlyMode = Pick<TransactionMode, "isolation" | "deferrable">

type WantedMode = Omit<TransactionMode, "access"> & { readonly access?: Access | undefined }

interface Wanted {
  /** As asked for, without defaults. */
  readonly mode: WantedMode
  readonly target: "primary" | "replica"
  readonly beginning: Either.Either<Beginning, string>
}

export const make = (
  { driver: { spanAttributes, texts }, name }: {
    readonly driver: Pick<Driver<never>, "spanAttributes" | "texts">
    readonly name: string
  },
  shared: SharedSettings
): Transactions => {
  // One object per router: by it, a frame knows whose it is.
  const settings = { ...shared, database: name }
  const ownOf = (innermost: Frame | undefined): Frame | undefined => {
    for (let frame = innermost; frame !== undefined; frame = frame.around) {
      if (frame.transaction.isOf(settings)) return frame
    }
    return undefined
  }
  const current = (fiber: Fiber): Frame | undefined => {
    const frame = innermost(fiber)
    // A reserved connection of another router, provided as a transaction's, knows of no frames around it.
    return frame && (ownOf(frame) ?? ownOf(compat.unsafeService(fiber, CurrentFrame)))
  }

  const within = <A, E, R>(
    frame: Frame,
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber,
    span: Tracer.Span,
    restore: Restore,
    end: (exit: Exit.Exit<A, E>) => Effect.Effect<A, E | SqlError>
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.flatMap(
      Effect.exit(
        compat.inTransaction(restore(effect), fiber, CurrentFrame, frame, [new Guard(frame), frame.depth], span)
      ),
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

  const begin = ({ beginning, mode, target }: Wanted): Transactional => (effect) =>
    compat.withClientSpan("sql.transaction", (span, fiber, restore) => {
      for (const [key, value] of spanAttributes) span.attribute(key, value)
      if (Either.isLeft(beginning)) return invalid("transaction", beginning.left)
      const around = innermost(fiber)
      const parent = around && current(fiber)
      if (parent === undefined) {
        const transaction = new Transaction({ settings, beginning: beginning.right, target, around, span, fiber })
        return within(transaction.root, effect, fiber, span, restore, (exit) => transaction.end(exit))
      }
      const { transaction } = parent
      const problem = conflict(transaction, mode)
      if (problem !== undefined) return Effect.fail(problem)
      return Effect.flatMap(
        transaction.push(parent, around!, restore),
        (frame) => within(frame, effect, fiber, span, restore, (exit) => transaction.pop(frame, exit))
      )
    })

  function readOnlyTransaction<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
  function readOnlyTransaction(options: ReadOnlyMode): Transactional
  function readOnlyTransaction<A, E, R>(first: Effect.Effect<A, E, R> | ReadOnlyMode) {
    return Effect.isEffect(first) ? readOnly({})(first) : readOnly(first)
  }
  const readOnly = (options: ReadOnlyMode) => {
    const mode = { ...options, access: "readOnly" } as const
    const isolation = options.isolation ?? texts.snapshot
    return begin({ mode, target: "replica", beginning: texts.begin({ ...mode, isolation }) })
  }
  const readWrite: Wanted = { mode: {}, target: "primary", beginning: texts.begin({ access: "readWrite" }) }
  return {
    current,
    withTransaction: begin(readWrite),
    transaction: (mode) =>
      begin({ mode, target: "primary", beginning: texts.begin({ ...mode, access: mode.access ?? "readWrite" }) }),
    readOnlyTransaction,
    reserve: (runner, leavesSession) =>
      withinOwn(
        Effect.uninterruptibleMask((restore) =>
          compat.withFiber((fiber) =>
            Effect.flatMap(runner.loans.borrowPrimary(restore), (lease) => {
              const { endReserved, root } = new Transaction({
                settings,
                // Nothing of it is ever sent: its holder begins what is to be begun.
                beginning: { mode: { access: "readWrite" }, texts: [], after: [] },
                target: "primary",
                around: undefined,
                span: undefined,
                fiber,
                reserved: { runner, lease }
              })
              return Effect.as(Effect.addFinalizer(() => endReserved), new Reserved(root, leavesSession))
            })
          )
        ),
        runner.database.name,
        "reserve"
      )
  }
}

/**
 * Why a transaction of this mode cannot be a part of the one around it. One that only reads can be part of one that writes;
 * what it does not ask for, it takes as it is.
 */
const conflict = ({ database, mode: present }: Transaction, wanted: WantedMode): SqlError | undefined => {
  const fail = (wanted: string, present: string) =>
    RoutingError.toSqlError(new RoutingError.TransactionModeConflict({ database, wanted, present }))
  if (present.access === "readOnly" && wanted.access !== "readOnly") return fail("access readWrite", "read only")
  if (wanted.isolation !== undefined && wanted.isolation !== present.isolation) {
    return fail(`isolation ${wanted.isolation}`, `of isolation ${present.isolation ?? "as the server is set"}`)
  }
  if (wanted.deferrable !== undefined && wanted.deferrable !== (present.deferrable ?? false)) {
    return fail(`deferrable ${wanted.deferrable}`, `deferrable ${!wanted.deferrable}`)
  }
  if (wanted.mode !== undefined && wanted.mode !== present.mode) return fail(`mode ${wanted.mode}`, `${present.mode}`)
  return undefined
}
