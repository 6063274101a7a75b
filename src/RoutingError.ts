/**
 * What can go wrong in routing, as tagged errors. The error channel of a routed client stays `SqlError`, as with every
 * client of @effect/sql; these are its `cause`.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

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
  /** Why the pool could not open another connection, if it tried. */
  readonly lastConnectError?: unknown
}> {
  override get message(): string {
    const failure = this.lastConnectError === undefined
      ? ""
      : `, last connect failed: ${describeCause(this.lastConnectError)}`
    const state = `${this.active} of ${this.max} connections in use, ${this.waiting} waiting${failure}`
    return this.reason === "timeout"
      ? `No connection to endpoint ${this.endpoint} of database "${this.database}" became free within ${
        inWords(this.waited)
      } (${state}). Raise pool.max, or look for connections that are held too long.`
      : `Too many borrowers wait for endpoint ${this.endpoint} of database "${this.database}" (${state}).`
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
 * The connection was lost while COMMIT was on its way: the transaction may or may not have been committed.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitOutcomeUnknown extends Data.TaggedError("CommitOutcomeUnknown")<{
  readonly database: string
  readonly endpoint: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `The connection to endpoint ${this.endpoint} of database "${this.database}" was lost during COMMIT: `
      + `the transaction may or may not have been committed (${describeCause(this.cause)})`
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
      ? `The transaction of database "${this.database}" has ended: a fiber that outlives a transaction cannot use it. `
        + "Wait for the fiber inside the transaction, or start it outside."
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
    return `A nested transaction of database "${this.database}" kept the connection for ${inWords(this.waited)}. `
      + "Statements of an outer transaction wait until the nested one has ended; do not wait for one inside the other."
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
  | RouterClosed
  | ForeignClientInTransaction
  | TransactionRolledBack
  | CommitOutcomeUnknown
  | TransactionClosed
  | TransactionFrameBusy

const classes = [
  ConfigurationError,
  EndpointUnavailable,
  AcquireTimeout,
  RouterClosed,
  ForeignClientInTransaction,
  TransactionRolledBack,
  CommitOutcomeUnknown,
  TransactionClosed,
  TransactionFrameBusy
] as const

/**
 * Whether a value is one of this package's errors.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isRoutingError = (u: unknown): u is RoutingError => classes.some((_) => u instanceof _)

/**
 * The routing error behind an `SqlError`, if there is one.
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
  isRoutingError(error.cause) ? Option.some(error.cause) : Option.none()

/**
 * Carries a routing error through a channel of `SqlError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toSqlError = (error: RoutingError): SqlError => new SqlError({ cause: error, message: error.message })

const describeCause = (cause: unknown): string => {
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(describeCause).join("; ")
  if (!(cause instanceof Error)) return String(cause)
  if (cause instanceof SqlError && cause.cause !== undefined) return describeCause(cause.cause)
  return cause.message === "" ? cause.name : cause.message
}
