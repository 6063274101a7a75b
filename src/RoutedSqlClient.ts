/**
 * An `SqlClient` that sends every statement to the right server.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConnectionHooks } from "./ConnectionHooks.js"
import type { ConnectionPoolOptions, ConnectionPoolStats } from "./ConnectionPool.js"
import type { IsolationLevel } from "./Driver.js"
import type { Access, EndpointOptions, Role } from "./Endpoint.js"
import type { DatabaseReport } from "./EndpointReport.js"
import type { Explanation } from "./Explanation.js"
import * as compat from "./internal/compat.js"
import * as FiberSettings from "./internal/fiberSettings.js"
import { defaultRoute, type Route } from "./internal/plan.js"
import { isConflict } from "./internal/transaction.js"
import { afterCommit as hookAfterCommit, isInside } from "./internal/transactions.js"
import type { ReadConsistencyOptions } from "./ReadConsistency.js"
import type { ReplicaHealthOptions } from "./ReplicaHealth.js"
import type { ReplicaStrategy } from "./ReplicaStrategy.js"
import type { ReplicationLagOptions } from "./ReplicationLag.js"
import type { RetryPolicyOptions } from "./RetryPolicy.js"
import type { RememberedEvent, RoutingEvent } from "./RoutingEvent.js"
import type { RoutingCount } from "./RoutingMetrics.js"
import type { RoutingRules } from "./RoutingRules.js"
import type { StatementClassifier } from "./StatementClassifier.js"

/**
 * How a transaction begins. What the database cannot do is a `ConfigurationError` before anything is sent; what
 * contradicts a transaction around it, a `TransactionModeConflict`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionOptions {
  /**
   * Default: what the server is set to. MySQL and MariaDB are told by one more statement before BEGIN. SQLite's
   * transactions are all serializable. PostgreSQL treats `readUncommitted` as `readCommitted`.
   */
  readonly isolation?: IsolationLevel | undefined
  /** `readOnly`: the primary refuses writes. Default `readWrite`. */
  readonly access?: Access | undefined
  /** PostgreSQL, serializable and read only: waits for a snapshot with which it cannot fail. Default `false`. */
  readonly deferrable?: boolean | undefined
  /**
   * SQLite: `immediate` takes the lock for writing at the start, `exclusive` keeps readers out too where there is no WAL,
   * `deferred` waits for the first write, which may then fail because somebody else wrote meanwhile. Default `immediate`,
   * and `deferred` where access is `readOnly`.
   */
  readonly mode?: "deferred" | "immediate" | "exclusive" | undefined
}

/**
 * How a transaction that runs on a replica begins.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOnlyTransactionOptions {
  /**
   * Default: all statements see one snapshot (`repeatableRead`; SQLite is `serializable`). PostgreSQL's standbys cannot
   * do `serializable`: that runs on the primary.
   */
  readonly isolation?: IsolationLevel | undefined
  /** As in `TransactionOptions`. Default `false`. */
  readonly deferrable?: boolean | undefined
}

/**
 * An `SqlClient` whose every statement goes to the right server.
 *
 * Inside `withTransaction` all statements run on one connection of the primary, `reserve` lends one physical connection
 * of the primary for its Scope. A connection whose session they leave changed is closed afterwards, not lent to others.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedSqlClient extends SqlClient.SqlClient {
  /**
   * `withTransaction` with an isolation level, or what else a transaction can begin with.
   *
   * @example
   * ```ts
   * import { Effect, Schedule } from "effect"
   * import { RoutedSqlClient } from "effect-sql-router"
   *
   * const transfer = Effect.gen(function*() {
   *   const sql = yield* RoutedSqlClient.RoutedSqlClient
   *   yield* Effect.zip(
   *     sql`UPDATE accounts SET balance = balance - 10 WHERE id = 1`,
   *     sql`UPDATE accounts SET balance = balance + 10 WHERE id = 2`
   *   ).pipe(
   *     sql.transaction({ isolation: "serializable" }),
   *     RoutedSqlClient.retryTransaction(Schedule.recurs(3))
   *   )
   * })
   * ```
   */
  readonly transaction: (
    options: TransactionOptions
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /**
   * Runs an effect in one transaction on a replica, where the server itself refuses writes; nothing of it is sent to the
   * primary instead.
   *
   * The strategy chooses the replica with the first statement; another one takes its place, then the primary, if it
   * cannot begin. All statements see one snapshot. Inside a transaction that writes it is a part of that, which sees
   * what was written and is not kept from writing; a transaction that may write, inside it, fails with a
   * `TransactionModeConflict`.
   */
  readonly readOnlyTransaction: {
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R>
    (
      options: ReadOnlyTransactionOptions
    ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  }
  /** Where a statement would go outside a transaction, and why, in the fiber that asks; nothing is run. */
  readonly explain: (statement: RoutedSqlClient.Statement) => Effect.Effect<Explanation>
  /**
   * A client bound to a Database of the router, or one that was added to it; rules do not apply to it. Fails with a
   * `ConfigurationError` that lists the known names.
   */
  readonly database: (name: string) => Effect.Effect<RoutedSqlClient, SqlError>
  /**
   * The same client with every statement on the primary of its Database, whatever rules say, or the fiber that runs it; only a
   * transaction that was begun on a replica stays there. `layerOnlyPrimary` gives it to libraries.
   */
  readonly onlyPrimary: Effect.Effect<RoutedSqlClient>
  /**
   * Makes another client, of whatever dialect, available by `database(name)` until the Scope ends. Fails with a
   * `ConfigurationError` if the name is taken. The entries' `layerDatabase` does it in a Layer.
   */
  readonly addDatabase: (name: string, client: RoutedSqlClient) => Effect.Effect<void, SqlError, Scope>
  /**
   * A client on one physical connection that is opened for it, was nobody's before, and ends with the Scope. It does not
   * count against the pool's `max`. When the connection is lost, the client's statements fail.
   */
  readonly freshConnection: (target?: EndpointTarget) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
  /**
   * Runs `use` with a client on one physical connection of a pool: its session is the caller's alone meanwhile. It goes
   * back to the pool, unless a statement has left its session changed: then it is closed (SQLite's is kept).
   */
  readonly withPooledConnection: <A, E, R>(
    target: EndpointTarget,
    use: (sql: RoutedSqlClient) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError, R>
  /**
   * Lets an endpoint take no new reads, until it is released; what runs there goes on. The primary goes on taking writes, and
   * reads that no replica can serve. Automatic changes do not end it. It goes on being probed.
   *
   * Fails with a `ConfigurationError` that lists the known names; so do `quarantine` and `release`. Without `database` the
   * client's own is meant. It holds for this process only.
   */
  readonly drain: HoldEndpoint
  /**
   * Lets nothing go to an endpoint any more, neither statements nor probes, until it is released. A primary is not believed
   * to be one meanwhile: another endpoint takes the writes, if one says that it is the primary. Only what names the endpoint
   * itself (`withEndpoint`, `freshConnection`) still goes there.
   */
  readonly quarantine: HoldEndpoint
  /** Ends what `drain` or `quarantine` began, and does nothing where there is nothing to end. */
  readonly release: HoldEndpoint
  /** How each endpoint of each Database is; `EndpointReport.table` prints it. */
  readonly replicas: Effect.Effect<ReadonlyArray<DatabaseReport>>
  /** How often what has happened since the router was built: the source of `RoutingMetrics`. */
  readonly counts: Effect.Effect<ReadonlyArray<RoutingCount>>
  /** What happens in routing, from when the stream is run; a listener that is slow misses the oldest. */
  readonly events: Stream.Stream<RoutingEvent>
  /** The last 64 notable events, the oldest first: also those that nobody listened to. */
  readonly recentEvents: Effect.Effect<ReadonlyArray<RememberedEvent>>
  /** What shadow mode has seen: where statements would have gone, and how many. Empty without the option `shadow`. */
  readonly shadowed: Effect.Effect<ReadonlyArray<ShadowedStatements>>
  /** What each pool has done and holds now. */
  readonly pools: Effect.Effect<ReadonlyArray<ConnectionPoolStats>>
}

/**
 * @since 0.1.0
 */
export declare namespace RoutedSqlClient {
  /**
   * What can be explained: anything that compiles, above all a statement of `sql`.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Statement {
    readonly compile: () => readonly [sql: string, params: ReadonlyArray<unknown>]
  }
}

/**
 * Statements that shadow mode sent to the primary, by where they would have gone.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShadowedStatements {
  readonly database: string
  readonly rule: string
  readonly outcome: Role | "refused"
  readonly statements: number
}

/**
 * Whose connection is meant: the default Database's primary, unless it says otherwise.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointTarget {
  readonly database?: string | undefined
  readonly endpoint?: string | undefined
}

/**
 * Takes an endpoint out of service by hand, or gives it back; at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface HoldEndpoint {
  (endpoint: string, options?: { readonly database?: string | undefined }): Effect.Effect<void, SqlError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const RoutedSqlClient: Context.Tag<RoutedSqlClient, RoutedSqlClient> = Context.GenericTag<RoutedSqlClient>(
  "effect-sql-router/RoutedSqlClient"
)

/**
 * Gives what is built on it an `SqlClient` whose every statement runs on the primary: for libraries whose reads must be
 * fresh in every fiber, such as migrations and the storages of @effect/cluster.
 *
 * @example
 * ```ts
 * import * as SqlMessageStorage from "@effect/cluster/SqlMessageStorage"
 * import { Layer } from "effect"
 * import { RoutedSqlClient } from "effect-sql-router"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const Database = RoutedPgClient.layer({ primary: { host: "primary.internal" } })
 *
 * const Messages = SqlMessageStorage.layer.pipe(
 *   Layer.provide(RoutedSqlClient.layerOnlyPrimary),
 *   Layer.provide(Database)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOnlyPrimary: Layer.Layer<SqlClient.SqlClient, never, RoutedSqlClient> = Layer.effect(
  SqlClient.SqlClient,
  Effect.flatMap(RoutedSqlClient, (sql) => sql.onlyPrimary)
)

/**
 * Hides a transaction from clients that are not the router's, so that inside `withTransaction` they run on connections
 * of their own instead of failing with `ForeignClientInTransaction`. Routed statements stay in the transaction.
 *
 * @since 0.1.0
 * @category combinators
 */
export const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  compat.withoutTransactionConnection(effect)

/**
 * Sends the statements of an effect to the primary: reads that must see what was just written elsewhere.
 *
 * Rules do not apply to it. Statements inside a transaction stay where the transaction is.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPrimary = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  FiberSettings.update(effect, () => ({ route: toPrimary }))

/**
 * Sends the statements of an effect to a replica. What is not a read fails with `StatementRefused` before it is sent; a
 * select with functions that the classifier does not know is sent, on a connection whose server refuses writes.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withReplica = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  FiberSettings.update(effect, () => ({ route: toReplica }))

const override = (rule: string, route: Partial<Route>): Route => ({ ...defaultRoute, rule, ...route })
const toPrimary = override("withPrimary", { role: "primary" })
const toReplica = override("withReplica", { role: "replica" })

/**
 * Sends the statements of an effect to one endpoint and no other. What is not a read fails with `StatementRefused` if the
 * endpoint is a replica; so does everything if there is no endpoint of that name.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withEndpoint = (name: string): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> => {
  // Plans are kept by it: one for all that it is applied to.
  const route = override(`withEndpoint("${name}")`, { endpoint: name })
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    FiberSettings.update(effect, () => ({ route }))
}

/**
 * Sends the statements of an effect to a Database of the router: reads to its replicas, everything else to its primary,
 * unless `withPrimary`, `withReplica` or `withEndpoint` say otherwise. If there is none of that name they fail with
 * `StatementRefused`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDatabase = (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  FiberSettings.update(effect, () => ({ database: name }))

/**
 * Gives the statements of an effect a deadline, in this much time from now: it caps every wait for a connection, every
 * attempt and every pull of a stream, however many statements there are. A statement that is late fails with
 * `DeadlineExceeded`, and is cancelled on its server. An outer deadline that comes earlier stays.
 *
 * With `onServer` the server keeps the deadline as well, as its own limit for each statement (PostgreSQL
 * `statement_timeout`, MariaDB `max_statement_time`, MySQL `max_execution_time`, for selects only; SQLite has none): for
 * when the client may not live to cancel. It is never less than a second, and costs a round trip per statement.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDeadline =
  (duration: Duration.DurationInput, options?: { readonly onServer?: boolean | undefined }) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    FiberSettings.withDeadline(effect, duration, options?.onServer ?? false)

/**
 * Runs the statements of an effect in sessions with these settings, on whichever connection of whichever endpoint they
 * run: row-level security that also holds on replicas.
 *
 * PostgreSQL takes any setting (`app.user_id`, `role`, `search_path`), for the transaction inside of one; MySQL takes
 * system variables, and user variables by a name that begins with `@`. Settings are sent when a connection has others, and
 * taken away before anybody else uses it: they have the server's default then, not what a hook may have set when the
 * connection was new, and one of the program's own (`app.user_id`) reads as an empty string in PostgreSQL. Inside a
 * transaction, statements that need others wait until those that run have ended; streams too. Fails with a `ConfigurationError` on SQLite, which has none.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { RoutedSqlClient } from "effect-sql-router"
 *
 * // With CREATE POLICY own ON orders USING (owner = current_setting('app.user_id')::int)
 * const ordersOf = (userId: number) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     return yield* sql`SELECT * FROM orders`
 *   }).pipe(RoutedSqlClient.withSession({ "app.user_id": String(userId) }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSession =
  (settings: { readonly [name: string]: string }) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    FiberSettings.update(effect, ({ session }) => ({ session: { ...session, ...settings } }))

/**
 * Says what the reads of an effect belong to, such as a tenant: `ReplicaStrategy.rendezvous` sends those of one key to one
 * replica, whose caches are warm for it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withAffinity = (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  FiberSettings.update(effect, () => ({ affinity: key }))

/**
 * Says of the writes of an effect that they may run more than once: one that may or may not have run, because its
 * connection was lost, is sent again instead of failing with `OutcomeUnknown`. For writes that set what is, such as
 * `UPDATE … SET status = 'done' WHERE id = 1`, or that carry a key of their own; not for `SET n = n + 1`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const idempotent = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  FiberSettings.update(effect, () => ({ idempotent: true }))

/**
 * Runs an effect whose statements are told to nobody: no span, no `StatementRouted`, nothing for `RouteDecision.capture`. For
 * statements that run all the time, such as the polling of a queue.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutQueryEvents = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withTracerEnabled(FiberSettings.update(effect, () => ({ quiet: true })), false)

/**
 * What a Database may have of its own; what it leaves out is the router's.
 *
 * @since 0.1.0
 * @category models
 */
export interface DatabasePolicies {
  /** How many connections each endpoint has, and how long they live. Default `ConnectionPool.defaults`. */
  readonly pool?: ConnectionPoolOptions | undefined
  /** Which replica takes a read. Default `ReplicaStrategy.ewma`. */
  readonly strategy?: ReplicaStrategy | undefined
  /** When an endpoint is out of service, and who takes the writes. Default `ReplicaHealth.defaults`. */
  readonly health?: ReplicaHealthOptions | undefined
  /** What is tried again, and how often. Default `RetryPolicy.defaults`. */
  readonly retry?: RetryPolicyOptions | undefined
  /** How the lag of replicas is measured, and from when on it is too much. Default `ReplicationLag.defaults`. */
  readonly replicationLag?: ReplicationLagOptions | undefined
  /** The primary's share of the reads, relative to the weights of the replicas. Default 0: those alone that no replica can serve. */
  readonly primaryReadWeight?: number | undefined
}

/**
 * Runs a transaction again, as the schedule says, when it failed because another one was in its way: a serialization
 * failure, a deadlock, a lock that was not free. The server has undone it then, or the router has.
 *
 * It is for whole transactions: inside another one it does nothing, because only the outermost can be run again. Neither
 * `TransactionRolledBack` (an error was swallowed) nor `CommitOutcomeUnknown` (it may have happened) is a reason to. What
 * the effect does beside its statements is done again too: see `afterCommit`.
 *
 * @example
 * ```ts
 * import type { Effect } from "effect"
 * import { Schedule } from "effect"
 * import { RoutedSqlClient } from "effect-sql-router"
 *
 * const policy = Schedule.jittered(Schedule.exponential("10 millis")).pipe(Schedule.intersect(Schedule.recurs(5)))
 *
 * const order = (sql: RoutedSqlClient.RoutedSqlClient, body: Effect.Effect<void>) =>
 *   sql.withTransaction(body).pipe(RoutedSqlClient.retryTransaction(policy))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const retryTransaction =
  <B, In, R1>(schedule: Schedule.Schedule<B, In, R1>) =>
  <A, E extends In, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | R1> =>
    compat.withFiber<A, E, R | R1>((fiber) =>
      isInside(fiber) ? effect : Effect.retry(effect, { schedule, while: isConflict })
    )

/**
 * Runs an effect after the transaction around it is committed, or at once where there is none: to send the mail, to tell
 * the queue.
 *
 * Such effects run in the order they were asked for, in the fiber of the outermost transaction and outside of it, and to
 * their end even if that fiber is interrupted meanwhile: keep them short, or fork. They are dropped with the transaction,
 * or the nested one, that they were asked for in, when that is rolled back or nobody knows whether it was. One that dies
 * is logged as an error and keeps neither the transaction from succeeding nor the next from running. A process that ends
 * in between has not run them: what must not be lost belongs into a table, written in the transaction.
 *
 * @since 0.1.0
 * @category combinators
 */
export const afterCommit: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R> = hookAfterCommit

/**
 * What transactions do that the engine leaves open.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionPolicy {
  /**
   * What becomes of a statement of another Database than the transaction's: it fails with `CrossDatabaseStatement`, or
   * (`pin`) runs in the transaction's Database all the same. Default `fail`.
   */
  readonly crossDatabase?: "fail" | "pin" | undefined
  /**
   * How long COMMIT may take before it counts as not answered: the connection is closed, and the transaction fails with
   * `CommitOutcomeUnknown`. Default 30 seconds.
   */
  readonly commitTimeout?: Duration.DurationInput | undefined
  /**
   * Whether PostgreSQL is asked for the transaction's id before COMMIT, which `CommitOutcomeUnknown.resolve` needs. It
   * costs a round trip in each transaction. Default `false`.
   */
  readonly resolveCommits?: boolean | undefined
}

/**
 * Settings that all three entries share.
 *
 * @since 0.1.0
 * @category models
 */
export interface RouterOptions extends DatabasePolicies {
  /** What statements do. Default `StatementClassifier.make()`. */
  readonly classifier?: StatementClassifier | undefined
  /** Default: what {@link TransactionPolicy} says. */
  readonly transactions?: TransactionPolicy | undefined
  /** Whether replica connections are opened so that the server itself refuses writes. Default `true`. */
  readonly readOnlyReplicas?: boolean | undefined
  /**
   * What becomes of statements that change their session or depend on it (SET, temporary tables, LISTEN, advisory locks,
   * cursors, a lone `LAST_INSERT_ID()`, BEGIN), outside of anything that holds one connection: they are refused, with
   * `StatementRefused`, or run on a connection of the primary, which is closed if they leave it changed. Default `refuse`.
   */
  readonly sessionState?: "refuse" | "primary" | undefined
  /**
   * How fresh reads must be. By default a fiber's reads see what it has written: the primary serves them until a replica has
   * that too.
   */
  readonly consistency?: ReadConsistencyOptions | undefined
  /** Where statements go. Default: reads to a replica, and everything else to the primary. */
  readonly rules?: RoutingRules | undefined
  /**
   * Sends everything to the primaries of its Databases, and records what would have gone elsewhere (spans, captured
   * decisions, `shadowed`): to see what routing would do before it does it. Default `false`.
   */
  readonly shadow?: boolean | undefined
  /** Endpoints that must answer for the Layer to build. Default: none, servers may be down. */
  readonly requireAtStart?: "primary" | "all" | undefined
  /**
   * Most connections open at once over all pools of the router, those being opened or closed included: what the server,
   * or a pooler before it, grants this process. When it is reached, a pool that needs a connection makes another one
   * close the connection that has been idle for longest. Default: only each pool's own `max`.
   */
  readonly maxTotalConnections?: number | undefined
  /** What to do as connections come and go. Default: nothing. */
  readonly hooks?: ConnectionHooks | undefined
  /** How long running statements may go on after the Layer is closed. Default 5 seconds. */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
}

/**
 * The router's other Databases, by name: of the same dialect, each with endpoints, settings and policies of its own. What
 * it leaves out is what stands beside it in the router's options.
 *
 * @since 0.1.0
 * @category models
 */
export interface OtherDatabases<Config> {
  /** Default: none. */
  readonly databases?: {
    readonly [name: string]: Partial<Config> & Omit<DatabaseEndpoints<Config>, "name"> & DatabasePolicies
  } | undefined
}

/**
 * The endpoints of a database, each with a driver's configuration of its own; what stands beside `primary` and
 * `replicas` is shared by all of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface DatabaseEndpoints<Config> {
  /** The name used in errors, spans and `explain`. Default `main`. */
  readonly name?: string | undefined
  /**
   * Where writes go. Of several, named `primary`, `primary2` and so on, the first is believed to be the primary until one says
   * that it takes writes; the others are its replicas, with their `weight`, as long as they say that they are. A primary that
   * has become a replica takes its `weight` of the reads as well.
   */
  readonly primary:
    | Config & EndpointOptions
    | readonly [Config & EndpointOptions, ...ReadonlyArray<Config & EndpointOptions>]
  /** Where reads go, by name. Default: none, so that the primary serves them. */
  readonly replicas?: { readonly [name: string]: Config & EndpointOptions } | undefined
}

/**
 * Options whose rules may name the Databases in them and no others: the default one, which is called `main` unless it has
 * another name, and those of `databases`. Of rules whose names the compiler does not know, and of roles and endpoints, the
 * same is checked when the Layer is built.
 *
 * @since 0.1.0
 * @category models
 */
export type WithKnownNames<
  Options extends OtherDatabases<any>, // whatever the driver's configuration is
  Main extends string,
  Others extends string,
  Named extends string
> =
  & Omit<Options, "name" | "databases" | "rules">
  & {
    readonly name?: Main | undefined
    readonly databases?: { readonly [Name in Others]: NonNullable<Options["databases"]>[string] } | undefined
    readonly rules?: RoutingRules<Named> & OnlyKnown<Named, Main | Others> | undefined
  }

type OnlyKnown<Named extends string, Known extends string> = string extends Named ? unknown
  : [Exclude<Named, Known>] extends [never] ? unknown
  : { readonly databasesThatAreNotThere: Exclude<Named, Known> }
