/**
 * Databases without a server, to test a program's routing with: the router, its pools, its health and its retries are the
 * real ones, and only what they talk to is programmed. Needs no test framework and no network.
 *
 * **Time** is the Clock's, so `TestClock` decides when something answers, and chance is seeded.
 *
 * **SQL** is not run. The statements that the classifier takes for writes are remembered in the order of their commits, and
 * replicas see them as late as `replayDelay` says. What a statement gives is up to `answer`; without one, no rows.
 *
 * Test that a report never reads from the primary:
 *
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { assert, it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
 *
 * const report = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT country, count(*) FROM orders GROUP BY country`
 * })
 *
 * it.effect("the report never reads from the primary", () =>
 *   Effect.gen(function*() {
 *     const cluster = yield* InMemoryDriver.Cluster
 *     yield* report
 *     assert.deepStrictEqual(yield* cluster.endpoint("primary").asked, [])
 *   }).pipe(Effect.provide(InMemoryDriver.layer({ replicas: { replica1: {}, replica2: {} } }))))
 * ```
 *
 * Test that it does not fail when a replica does:
 *
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
 *
 * it.scoped("reads go on while a replica is down", () =>
 *   Effect.gen(function*() {
 *     const { client: sql, cluster } = yield* InMemoryDriver.make({ replicas: { replica1: {}, replica2: {} } })
 *     yield* cluster.endpoint("replica1").fail("down")
 *     yield* Effect.replicateEffect(sql`SELECT 1`, 100)
 *   }))
 * ```
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import type { Dialect } from "../Dialect.js"
import type { Disposition } from "../Driver.js"
import type { Access, Role } from "../Endpoint.js"
import * as Entry from "../internal/entry.js"
import * as Internal from "../internal/testing/cluster.js"
import type { ReplicationPosition } from "../ReplicationPosition.js"
import type { DatabaseEndpoints, OtherDatabases, RoutedSqlClient, RouterOptions } from "../RoutedSqlClient.js"

export {
  /**
   * The cause of the errors of endpoints in memory; `disposition` is what the router takes them for.
   *
   * @since 0.1.0
   * @category errors
   */
  InMemoryFault
} from "../internal/testing/server.js"

/**
 * A statement that wrote something.
 *
 * @since 0.1.0
 * @category models
 */
export interface Write {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * A statement that an endpoint was asked to run, transaction control included.
 *
 * @since 0.1.0
 * @category models
 */
export interface Asked extends Write {
  readonly database: string
  readonly endpoint: string
  /** Of the endpoint, at that time. */
  readonly role: Role
  /** Of its connections, which one; counted from 1. */
  readonly connection: number
  /** `readOnly`: the connection was opened, or the transaction begun, so that writes are refused. */
  readonly access: Access
  readonly inTransaction: boolean
  /** Settings made by `RoutedSqlClient.withSession`. */
  readonly session: { readonly [name: string]: string }
  /** When it came, on the Clock. */
  readonly atMillis: number
  /** The writes that it sees: what the endpoint has now, and what its own transaction wrote. */
  readonly visible: ReadonlyArray<Write>
}

/**
 * What a statement gives; what it throws, or fails with, is the statement's own fault.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer = (statement: Asked) => ReadonlyArray<object> | Effect.Effect<ReadonlyArray<object>, SqlError>

/**
 * How long an endpoint works on a statement: always the same, or as chance and the statement have it. `random` is uniform
 * in [0, 1), and seeded.
 *
 * @since 0.1.0
 * @category models
 */
export type Latency = Duration.DurationInput | LatencyDistribution

/**
 * @since 0.1.0
 * @category models
 */
export type LatencyDistribution = (statement: Asked, random: () => number) => Duration.DurationInput

/**
 * What an endpoint is like. What stands beside the endpoints is shared by all of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointConfig {
  /** Default: no rows. */
  readonly answer?: Answer | undefined
  /** Default 0. */
  readonly latency?: Latency | undefined
  /** How long statement and answer are on their way, together. Default 0. */
  readonly distance?: Duration.DurationInput | undefined
  /** How long opening a connection takes. Default 0. */
  readonly connectTime?: Duration.DurationInput | undefined
  /** How many statements it works on at once; others wait in one queue. Default unlimited. */
  readonly servers?: number | undefined
  /** How many connections it takes, those of probes included; more are refused. Default unlimited. */
  readonly maxConnections?: number | undefined
  /** How long after its commit a write is there, if the endpoint is a replica. Default 0. */
  readonly replayDelay?: Duration.DurationInput | undefined
  /** Whether statements are kept for `asked`. Default `true`. */
  readonly record?: boolean | undefined
}

/**
 * What is wrong with an endpoint:
 *
 * - `down`: its connections are lost, and new ones are refused
 * - `unreachable`: new connections are refused
 * - `full`: new connections are refused, because there are too many
 * - `hang`: nothing is answered; what waits goes on when it recovers
 * - `lostBefore`, `lostAfter`: a statement loses its connection, before it was run or after
 * - `broken`: a statement fails, and its connection with it, through no fault of its own
 * - `timeout`: a statement runs into the server's own limit
 * - `conflict`: a statement is rolled back in favour of another transaction
 * - `refused`: a statement is at fault itself
 * - a {@link Disposition}: a statement fails with an error that means this
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | "down"
  | "unreachable"
  | "full"
  | "hang"
  | "lostBefore"
  | "lostAfter"
  | "broken"
  | "timeout"
  | "conflict"
  | "refused"
  | Disposition

/**
 * Which statements a fault concerns: all of them, unless it says otherwise. Of no meaning for `unreachable`, `full` and
 * `hang`.
 *
 * @since 0.1.0
 * @category models
 */
export interface FaultOptions {
  /** Default: all. */
  readonly when?: ((statement: Asked) => boolean) | undefined
  /** How many of them it concerns, then no more. Default: all. */
  readonly times?: number | undefined
  /** The share of them that it concerns, by chance. Default 1. */
  readonly share?: number | undefined
  /** How long the error takes. Default 0. */
  readonly after?: Duration.DurationInput | undefined
}

/**
 * How an endpoint is.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointState {
  readonly role: Role
  /** Connections open now, those of probes included. */
  readonly connections: number
  /** Connections opened so far, those of probes included. */
  readonly opened: number
  /** Statements it works on. */
  readonly working: number
  /** Statements in its queue. */
  readonly waiting: number
  /** The writes that it has, in the order of their commits. */
  readonly writes: ReadonlyArray<Write>
  /** The same as routers see it: a PostgreSQL position, whatever the dialect, that counts writes. */
  readonly position: ReplicationPosition
}

/**
 * The strings to pull at one endpoint. All of them fail with a `ConfigurationError` if the cluster has no such endpoint.
 *
 * @since 0.1.0
 * @category models
 */
export interface InMemoryEndpoint {
  /** From now on something is wrong with it, beside what is already. */
  readonly fail: (fault: Fault, options?: FaultOptions) => Effect.Effect<void, SqlError>
  /** From now on nothing is wrong with it any more. */
  readonly recover: Effect.Effect<void, SqlError>
  /** Changes what it is like. */
  readonly configure: (config: EndpointConfig) => Effect.Effect<void, SqlError>
  /** Ends all its connections. */
  readonly dropConnections: Effect.Effect<void, SqlError>
  /**
   * Makes it take writes, and all replicas follow it; writes that it does not have yet are lost to them. Who was the
   * primary before goes on as one, with a history of its own, until it is demoted: servers do not know of each other.
   */
  readonly promote: Effect.Effect<void, SqlError>
  /** Makes it a replica of who was promoted last; what it wrote alone is lost. */
  readonly demote: Effect.Effect<void, SqlError>
  /** What it was asked to run, in order; what the router asks of its own accord is not told. */
  readonly asked: Effect.Effect<ReadonlyArray<Asked>, SqlError>
  readonly state: Effect.Effect<EndpointState, SqlError>
}

/**
 * Servers without servers, and routers to reach them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cluster {
  /** An endpoint of the default Database, or of another one. */
  readonly endpoint: (name: string, database?: string) => InMemoryEndpoint
  /** What all endpoints were asked to run, in order. */
  readonly asked: Effect.Effect<ReadonlyArray<Asked>>
  /** Forgets what was asked so far. */
  readonly forget: Effect.Effect<void>
  /** A router of its own to the same servers, as another process would have it; it ends with the Scope. */
  readonly connect: (options?: RouterOptions) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const Cluster: Context.Tag<Cluster, Cluster> = Context.GenericTag<Cluster>(
  "effect-sql-router/testing/InMemoryDriver/Cluster"
)

/**
 * The servers of a cluster.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClusterOptions
  extends EndpointConfig, Partial<DatabaseEndpoints<EndpointConfig>>, Partial<OtherDatabases<EndpointConfig>>
{
  /** The language of the statements. Default `postgres`. */
  readonly dialect?: Dialect | undefined
  /** Of all that is left to chance. Default 1. */
  readonly seed?: number | undefined
}

/**
 * The servers of a cluster, and the options of a router to them.
 *
 * @since 0.1.0
 * @category models
 */
export interface InMemoryOptions extends ClusterOptions, RouterOptions {}

/**
 * A cluster without a router: {@link Cluster.connect} makes as many as there are processes to be.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeCluster = (options: ClusterOptions = {}): Effect.Effect<Cluster, SqlError, Scope> =>
  Internal.make(options)

/**
 * A cluster with a router to it. Fails with a `ConfigurationError` where a router with these options does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: InMemoryOptions = {}
): Effect.Effect<{ readonly client: RoutedSqlClient; readonly cluster: Cluster }, SqlError, Scope> =>
  Effect.gen(function*() {
    const cluster = yield* makeCluster(options)
    return { client: yield* cluster.connect(options), cluster }
  })

/**
 * A cluster with a router to it, in the place of a program's own database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: InMemoryOptions = {}): Layer.Layer<RoutedSqlClient | SqlClient | Cluster, SqlError> =>
  Layer.unwrapScoped(
    Effect.map(
      make(options),
      ({ client, cluster }) => Layer.merge(Entry.layer(Effect.succeed(client)), Layer.succeed(Cluster, cluster))
    )
  )

/**
 * Latencies that are exponentially distributed, as those of many small causes are.
 *
 * @since 0.1.0
 * @category latencies
 */
export const exponential = (mean: Duration.DurationInput): LatencyDistribution => {
  const millis = Duration.toMillis(mean)
  return (_, random) => Duration.millis(-millis * Math.log(1 - random()))
}

/**
 * Latencies between two, all of them equally likely.
 *
 * @since 0.1.0
 * @category latencies
 */
export const between = (least: Duration.DurationInput, most: Duration.DurationInput): LatencyDistribution => {
  const [from, to] = [Duration.toMillis(least), Duration.toMillis(most)]
  return (_, random) => Duration.millis(from + (to - from) * random())
}

/**
 * Latencies with a long tail, as databases have them: log-normal, given by their median and by what 1 % exceed.
 *
 * @since 0.1.0
 * @category latencies
 */
export const longTailed = (median: Duration.DurationInput, p99: Duration.DurationInput): LatencyDistribution => {
  const middle = Duration.toMillis(median)
  // The 99th percentile of the standard normal distribution.
  const sigma = Math.log(Duration.toMillis(p99) / middle) / 2.3263
  return (_, random) => {
    // Box and Muller.
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    return Duration.millis(middle * Math.exp(sigma * normal))
  }
}
