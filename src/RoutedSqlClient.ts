/**
 * An `SqlClient` that sends every statement to the right server.
 *
 * @since 0.1.0
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { ConnectionPoolOptions, ConnectionPoolStats } from "./ConnectionPool.js"
import type { EndpointOptions } from "./Endpoint.js"
import * as compat from "./internal/compat.js"
import type { Plan } from "./Plan.js"
import type { ReplicaStrategy } from "./ReplicaStrategy.js"
import type { StatementClassifier } from "./StatementClassifier.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * Where a statement would go, and why.
 *
 * @since 0.1.0
 * @category models
 */
export interface Explanation {
  readonly sql: string
  readonly facts: StatementFacts
  readonly plan: Plan
}

/**
 * @since 0.1.0
 */
export declare namespace Explanation {
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
 * An `SqlClient` whose every statement goes to the right server.
 *
 * Inside `withTransaction` all statements run on one connection of the primary, `reserve` lends one physical connection
 * of the primary for its Scope.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedSqlClient extends SqlClient.SqlClient {
  /** Where a statement would go outside a transaction, and why; nothing is run. */
  readonly explain: (statement: Explanation.Statement) => Explanation
  /** What each pool has done and holds now. */
  readonly pools: Effect.Effect<ReadonlyArray<ConnectionPoolStats>>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const RoutedSqlClient: Context.Tag<RoutedSqlClient, RoutedSqlClient> = Context.GenericTag<RoutedSqlClient>(
  "effect-sql-router/RoutedSqlClient"
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
 * Settings that all three entries share.
 *
 * @since 0.1.0
 * @category models
 */
export interface RouterOptions {
  readonly pool?: ConnectionPoolOptions | undefined
  readonly strategy?: ReplicaStrategy | undefined
  readonly classifier?: StatementClassifier | undefined
  /** Whether replica connections are opened so that the server itself refuses writes. Default `true`. */
  readonly readOnlyReplicas?: boolean | undefined
  /** Endpoints that must answer for the Layer to build. Default: none, servers may be down. */
  readonly requireAtStart?: "primary" | "all" | undefined
  /** How long running statements may go on after the Layer is closed. Default 5 seconds. */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
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
  readonly primary: Config & EndpointOptions
  readonly replicas?: { readonly [name: string]: Config & EndpointOptions } | undefined
}
