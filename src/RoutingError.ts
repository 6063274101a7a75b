/**
 * What can go wrong in routing, as tagged errors. The error channel of a routed client stays `SqlError`, as with every
 * client of @effect/sql; these are its `cause`.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { oneLine } from "./internal/words.js"
import type { Refusal } from "./Plan.js"

/** A statement in one line of a message. */
const shorten = (sql: string): string => oneLine(sql, 120)

const inWords = (duration: Duration.Duration): string => Duration.format(duration)

/**
 * A setting is missing, contradictory or out of range; found when the Layer is built.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigurationError extends Data.TaggedError("ConfigurationError")<{
  /** Where the setting is, e.g. `replicas.replica1.weight`. */
  readonly path: string
  readonly problem: string
}> {
  override get message(): string {
    return `Invalid configuration at ${this.path}: ${this.problem}`
  }
}

/**
 * An endpoint could not be connected to.
 *
 * @since 0.1.0
 * @category errors
 */
export class EndpointUnavailable extends Data.TaggedError("EndpointUnavailable")<{
  readonly database: string
  readonly endpoint: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `Cannot connect to endpoint ${this.endpoint} of database "${this.database}": ${describeCause(this.cause)}`
  }
}

/**
 * No connection became free in time, or too many borrowers already wait.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireTimeout extends Data.TaggedError("AcquireTimeout")<{
  readonly reason: "timeout" | "tooManyWaiters"
  readonly database: string
  readonly endpoint: string
  readonly waited: Duration.Duration
  readonly active: number
  readonly max: number
  readonly waiting: number
  /** The cap over all pools of the router, if it has been reached. */
  readonly maxTotal?: number | undefined
  /** Why the pool could not open another connection, if it tried. */
  readonly lastConnectError?: unknown
}> {
  override get message(): string {
    const failure = this.lastConnectError === undefined
      ? ""
      : `, last connect failed: ${describeCause(this.lastConnectError)}`
    const cap = this.maxTotal === undefined ? "" : `, all ${this.maxTotal} connections of the router open`
    const state = `${this.active} of ${this.max} connections in use, ${this.waiting} waiting${cap}${failure}`
    const where = `endpoint ${this.endpoint} of database "${this.database}"`
    const raise = this.maxTotal === undefined ? "pool.max" : "maxTotalConnections"
    switch (this.reason) {
      case "timeout":
        return `No connection to ${where} became free within ${inWords(this.waited)} (${state}). `
          + `Raise ${raise}, or look for connections that are held too long.`
      case "tooManyWaiters":
        return `Too many borrowers wait for ${where} (${state}).`
    }
  }
}

/**
 * A hook that prepares connections took too long, or was a defect: the connection could not be used.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionHookFailed extends Data.TaggedError("ConnectionHookFailed")<{
  readonly reason: "timeout" | "defect"
  readonly hook: string
  readonly database: string
  readonly endpoint: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const where = `for endpoint ${this.endpoint} of database "${this.database}"`
    return this.reason === "timeout"
      ? `The connection hook ${this.hook} did not end in time ${where}. Raise hooks.timeout, or let it do less.`
      : `The connection hook ${this.hook} died ${where}: ${describeCause(this.cause)}`
  }
}

/**
 * The Layer that provided the client was closed.
 *
 * @since 0.1.0
 * @category errors
 */
export class RouterClosed extends Data.TaggedError("RouterClosed")<{
  readonly database: string
  readonly endpoint: string
}> {
  override get message(): string {
    return `The pool of endpoint ${this.endpoint} of database "${this.database}" is closed`
  }
}

/**
 * A client that is not the router's tried to run a statement on the router's transaction.
 *
 * @since 0.1.0
 * @category errors
 */
export class ForeignClientInTransaction extends Data.TaggedError("ForeignClientInTransaction")<{
  readonly database: string
}> {
  override get message(): string {
    return `Another SqlClient was used inside a transaction of database "${this.database}". `
      + "Its statement would have run on the transaction's connection. "
      + "Use the routed client there, or wrap the effect in RoutedSqlClient.isolated."
  }
}

/**
 * A transaction was rolled back although its body succeeded: an error in it had been swallowed.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionRolledBack extends Data.TaggedError("TransactionRolledBack")<{
  readonly database: string
  readonly endpoint: string
}> {
  override get message(): string {
    return `The transaction on endpoint ${this.endpoint} of database "${this.database}" was rolled back at COMMIT: `
      + "its connection was lost, or a statement or nested transaction in it had failed and its error was swallowed. "
      + "Nothing was written."
  }
}

/**
 * COMMIT was sent, but its answer never came: the transaction may or may not have been committed.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitOutcomeUnknown extends Data.TaggedError("CommitOutcomeUnknown")<{
  readonly database: string
  readonly endpoint: string
  readonly cause: unknown
  /**
   * Asks the primary what became of the transaction, and waits up to 10 seconds where it is still being committed.
   *
   * Only PostgreSQL keeps a record of that, and the router must have learned the transaction's id before COMMIT, which is
   * what the option `transactions.resolveCommits` is for. Otherwise, and after a failover, it is `"unknown"`.
   */
  readonly resolve: Effect.Effect<"committed" | "rolledBack" | "unknown", SqlError>
}> {
  override get message(): string {
    return `COMMIT on endpoint ${this.endpoint} of database "${this.database}" was not answered: `
      + `the transaction may or may not have been committed (${describeCause(this.cause)})`
  }
}

/**
 * A statement inside a transaction belongs to another Database than the transaction.
 *
 * @since 0.1.0
 * @category errors
 */
export class CrossDatabaseStatement extends Data.TaggedError("CrossDatabaseStatement")<{
  /** The transaction's. */
  readonly database: string
  /** The statement's. */
  readonly target: string
}> {
  override get message(): string {
    return `A statement of database "${this.target}" was run inside a transaction of database "${this.database}", `
      + "which could not undo it. Run it outside of the transaction, "
      + `or set transactions.crossDatabase to "pin" if the transaction's database has what it needs.`
  }
}

/**
 * A nested transaction asks for what the transaction around it is not.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionModeConflict extends Data.TaggedError("TransactionModeConflict")<{
  readonly database: string
  /** What the nested transaction asks for, e.g. `isolation serializable`. */
  readonly wanted: string
  /** What the transaction around it is, e.g. `isolation of the server's choice`. */
  readonly present: string
}> {
  override get message(): string {
    return `A nested transaction asks for ${this.wanted}, but the transaction of database "${this.database}" around it is `
      + `${this.present}. Ask for it on the outermost transaction.`
  }
}

/**
 * A statement could not join its transaction: it had ended (the statement ran in a fiber that outlived it), or an error
 * or an interruption of another statement had ended it on the server.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionClosed extends Data.TaggedError("TransactionClosed")<{
  readonly reason: "ended" | "rolledBack"
  readonly database: string
}> {
  override get message(): string {
    return this.reason === "ended"
      ? `The transaction, or reserved connection, of database "${this.database}" has ended: a fiber that outlives it cannot `
        + "use it. Wait for the fiber inside, or start it outside."
      : `The transaction of database "${this.database}" is rolled back, and nothing more can run in it: `
        + "its connection was lost, a statement of it was interrupted, or an error made the server end it."
  }
}

/**
 * A statement waited too long for a nested transaction of another fiber to end.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionFrameBusy extends Data.TaggedError("TransactionFrameBusy")<{
  readonly database: string
  readonly waited: Duration.Duration
}> {
  override get message(): string {
    return `A nested transaction of database "${this.database}", or a statement in it with other session settings, kept `
      + `the connection for ${
        inWords(this.waited)
      }. Statements of an outer transaction wait until the nested one has ended, `
      + "and withSession until those with other settings have; do not wait for one inside the other."
  }
}

/**
 * A statement was refused before anything was sent; `reason` is that of its plan.
 *
 * @since 0.1.0
 * @category errors
 */
export class StatementRefused extends Data.TaggedError("StatementRefused")<{
  readonly reason: Refusal["reason"]
  readonly database: string
  /** The rule, or the override, that sent it where it cannot run. */
  readonly rule: string
  readonly statement: string
  readonly explanation: string
}> {
  override get message(): string {
    return `Not sent to database "${this.database}": ${shorten(this.statement)}\n${this.explanation}`
  }
}

/**
 * The deadline of `withDeadline` passed. A write that was already running may or may not have been done.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<{
  readonly database: string
  /** Where it ran; `undefined` if it still waited for a connection. */
  readonly endpoint: string | undefined
  readonly statement: string
}> {
  override get message(): string {
    const stage = this.endpoint === undefined ? "waited for a connection" : `ran on endpoint ${this.endpoint}`
    return `The deadline passed while a statement ${stage} of database "${this.database}": ${shorten(this.statement)}`
  }
}

/**
 * No endpoint may serve a read: every replica is out of service, and the primary does not take reads in their place
 * (`health.whenNoneLeft`), or has no room for more of them (`health.primaryReadShare`).
 *
 * @since 0.1.0
 * @category errors
 */
export class ReplicasUnavailable extends Data.TaggedError("ReplicasUnavailable")<{
  readonly reason: "noneLeft" | "primaryShareUsed"
  readonly database: string
  /** The replicas, each with the reason why it may not. */
  readonly excluded: ReadonlyArray<{ readonly endpoint: string; readonly reason: string }>
}> {
  override get message(): string {
    const replicas = this.excluded.map(({ endpoint, reason }) => `${endpoint} ${reason}`).join(", ")
    const why = replicas === "" ? "it has no replicas" : replicas
    return this.reason === "noneLeft"
      ? `No endpoint of database "${this.database}" may serve this read: ${why}. `
        + "To let the primary serve it, set health.whenNoneLeft to \"primary\"."
      : `No replica of database "${this.database}" may serve this read (${why}), `
        + "and the reads on the primary use their share of its connections already (health.primaryReadShare)."
  }
}

/**
 * A write may or may not have run: its connection was lost while it was on its way. It is not repeated.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknown extends Data.TaggedError("OutcomeUnknown")<{
  readonly database: string
  readonly endpoint: string
  readonly statement: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `The connection to endpoint ${this.endpoint} of database "${this.database}" was lost while it ran a write: `
      + `the write may or may not have run (${describeCause(this.cause)}). It was not repeated. `
      + `Find out before you do, or mark it as idempotent if it may run twice: ${shorten(this.statement)}`
  }
}

/**
 * No endpoint takes writes: the primary became a replica, or was quarantined, and no other server has taken its place.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoPrimary extends Data.TaggedError("NoPrimary")<{
  readonly database: string
  /** The endpoint that took writes last. */
  readonly endpoint: string
}> {
  override get message(): string {
    return `No endpoint of database "${this.database}" takes writes: ${this.endpoint}, which did, no longer says that it is `
      + "the primary, and no other endpoint does. Nothing was sent. To let writes wait for a failover, set "
      + "health.awaitPrimary."
  }
}

/**
 * Several servers claim to be the primary. Writing to any of them could lose writes, so none is written to.
 *
 * @since 0.1.0
 * @category errors
 */
export class SplitBrain extends Data.TaggedError("SplitBrain")<{
  readonly database: string
  readonly endpoints: ReadonlyArray<string>
}> {
  override get message(): string {
    return `Several endpoints of database "${this.database}" claim to be its primary: ${this.endpoints.join(", ")}. `
      + "Nothing was sent. Make all but one of them read-only, or quarantine them; reads go on."
  }
}

/**
 * The errors of this package.
 *
 * @since 0.1.0
 * @category models
 */
export type RoutingError =
  | ConfigurationError
  | EndpointUnavailable
  | AcquireTimeout
  | ConnectionHookFailed
  | RouterClosed
  | ForeignClientInTransaction
  | TransactionRolledBack
  | CommitOutcomeUnknown
  | CrossDatabaseStatement
  | TransactionModeConflict
  | TransactionClosed
  | TransactionFrameBusy
  | ReplicasUnavailable
  | OutcomeUnknown
  | NoPrimary
  | SplitBrain
  | StatementRefused
  | DeadlineExceeded

const classes = [
  ConfigurationError,
  EndpointUnavailable,
  AcquireTimeout,
  ConnectionHookFailed,
  RouterClosed,
  ForeignClientInTransaction,
  TransactionRolledBack,
  CommitOutcomeUnknown,
  CrossDatabaseStatement,
  TransactionModeConflict,
  TransactionClosed,
  TransactionFrameBusy,
  ReplicasUnavailable,
  OutcomeUnknown,
  NoPrimary,
  SplitBrain,
  StatementRefused,
  DeadlineExceeded
] as const

/**
 * Whether a value is one of this package's errors.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isRoutingError = (u: unknown): u is RoutingError => classes.some((_) => u instanceof _)

/**
 * The routing error behind an `SqlError`, if there is one, also where a library has wrapped it once more.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect, Option } from "effect"
 * import { RoutingError } from "effect-sql-router"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT * FROM orders`
 * }).pipe(Effect.tapError((error) =>
 *   Option.match(RoutingError.from(error), {
 *     onNone: () => Effect.void,
 *     onSome: (routing) => Effect.logWarning(`${routing._tag}: ${routing.message}`)
 *   })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category refinements
 */
export const from = (error: SqlError): Option.Option<RoutingError> =>
  Option.liftPredicate(origin(error), isRoutingError)

/**
 * What the client failed with: a driver's error, or the router's, behind those of libraries that wrap it (Drizzle does).
 *
 * @internal
 */
export const origin = (error: SqlError): unknown => {
  let { cause } = error
  while (cause instanceof Error && !isRoutingError(cause) && cause.cause instanceof Error) cause = cause.cause
  return cause
}

/**
 * Carries a routing error through a channel of `SqlError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toSqlError = (error: RoutingError): SqlError => new SqlError({ cause: error, message: error.message })

/** @internal */
export const describeCause = (cause: unknown): string => {
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(describeCause).join("; ")
  if (!(cause instanceof Error)) return String(cause)
  if (cause instanceof SqlError && cause.cause !== undefined) return describeCause(cause.cause)
  return cause.message === "" ? cause.name : cause.message
}
