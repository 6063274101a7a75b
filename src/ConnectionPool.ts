/**
 * The pool: how many connections an endpoint has, who waits for one, and when one ends. It is the same for every
 * driver, and all its time goes through Effect's `Clock`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Histogram from "./internal/histogram.js"
import * as Metrics from "./internal/poolMetrics.js"
import * as Table from "./internal/poolTable.js"

/**
 * Settings of a pool. What an endpoint's driver configuration says (`maxConnections`, `idleTimeout`, …) comes first,
 * then the `pool` option of the layer, then {@link CurrentConnectionPoolOptions}, then the default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolOptions {
  /** Most connections open at once. Default 10. */
  readonly max?: number | undefined
  /** Connections kept open even when idle. Default 0. */
  readonly min?: number | undefined
  /** Most connections being opened at once, so that a server coming back is not stormed. Default 2. */
  readonly maxConnecting?: number | undefined
  /**
   * Longest wait for a connection of one endpoint, opening it included; a read that finds none goes on to the next
   * endpoint and waits there anew. Default 5 seconds.
   */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** Longest time that opening one connection may take. Default 5 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * Most borrowers that may wait at once for others to give a connection back, beside those for whom one can be opened;
   * one more fails at once. Default unlimited.
   */
  readonly maxWaiters?: number | undefined
  /**
   * A connection unused for this long is closed, down to `min`. Each one gets up to 10 % less, so that those given back
   * together do not end together. Default 10 minutes.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * A connection older than this is closed as soon as nobody uses it. Each one gets up to 10 % less, so that those
   * opened together do not expire together. Default 30 minutes.
   */
  readonly maxLifetime?: Duration.DurationInput | undefined
  /**
   * So often the pool asks idle connections for a sign of life: each time at most three, those that have given none for
   * longest. One that does not answer within a second is closed. `Duration.infinity` asks none. Default 30 seconds.
   */
  readonly healthCheckInterval?: Duration.DurationInput | undefined
  /**
   * A connection that has given no sign of life for so long is asked for one before it is lent; if it does not answer
   * within a second, the next is taken. A server that hangs up is noticed at once in any case: this is for networks that
   * drop a quiet connection without a word, which takes them minutes. Default 30 seconds, as PgBouncer's
   * `server_check_delay`; with health checks as often, borrowers hardly ever wait for an answer.
   */
  readonly validateAfterIdle?: Duration.DurationInput | undefined
  /**
   * A warning is logged about a connection that is lent for longer than this, once per loan, with the span of its
   * borrower. Long transactions, streams and reserved connections are told of too. Default off.
   */
  readonly leakWarning?: Duration.DurationInput | undefined
}

/**
 * Pool settings for every router built below the Layer that provides them.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentConnectionPoolOptions extends Context.Reference<CurrentConnectionPoolOptions>()(
  "effect-sql-router/ConnectionPool/CurrentConnectionPoolOptions",
  { defaultValue: (): ConnectionPoolOptions => ({}) }
) {}

/**
 * {@link ConnectionPoolOptions} with every default filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolSettings {
  readonly max: number
  readonly min: number
  readonly maxConnecting: number
  readonly acquireTimeout: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly maxWaiters: number
  readonly idleTimeout: Duration.Duration
  readonly maxLifetime: Duration.Duration
  readonly healthCheckInterval: Duration.Duration
  readonly validateAfterIdle: Duration.Duration
  readonly leakWarning: Duration.Duration
}

/**
 * What a pool does where nothing else is said.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: ConnectionPoolSettings = {
  max: 10,
  min: 0,
  maxConnecting: 2,
  acquireTimeout: Duration.seconds(5),
  connectTimeout: Duration.seconds(5),
  maxWaiters: Number.POSITIVE_INFINITY,
  idleTimeout: Duration.minutes(10),
  maxLifetime: Duration.minutes(30),
  healthCheckInterval: Duration.seconds(30),
  validateAfterIdle: Duration.seconds(30),
  leakWarning: Duration.infinity
}

/**
 * Why a pool closed a connection:
 *
 * - `idle`: unused for `idleTimeout`
 * - `lifetime`: older than `maxLifetime`
 * - `lost`: the server hung up while it was idle
 * - `unhealthy`: it gave no sign of life when asked
 * - `unusable`: it came back lost, or after an interrupted or timed-out statement, or an error that leaves it unclear
 * - `reset`: it came back in a transaction that could not be rolled back within a second, or with its session changed
 * - `evicted`: its place under `maxTotalConnections` was needed by another pool, or its server changed roles or failed
 * - `shutdown`: the router has ended
 *
 * @since 0.1.0
 * @category models
 */
export type CloseReason =
  | "idle"
  | "lifetime"
  | "lost"
  | "unhealthy"
  | "unusable"
  | "reset"
  | "evicted"
  | "shutdown"

/**
 * How long something took, each time. Percentiles are exact below 16 microseconds, and within 6.25 % above. What happened
 * lately weighs more: the counts are halved after every 65,536 times.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timings {
  readonly p50: Duration.Duration
  readonly p95: Duration.Duration
  readonly p99: Duration.Duration
  /** How often it took about so many microseconds, in ascending order. */
  readonly buckets: ReadonlyArray<readonly [micros: number, count: number]>
}

/**
 * What several pools together have done and hold now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolTotals {
  readonly max: number
  /** Open connections: `active + idle`. */
  readonly total: number
  /** Connections that are lent, or that the pool itself uses to check them or to roll back what a borrower left open. */
  readonly active: number
  readonly idle: number
  /** Connections that are being opened; like those that are being closed, they count against `max`. */
  readonly connecting: number
  readonly closing: number
  /** Borrowers in line. */
  readonly waiting: number
  /** Share of `max` that is active, from 0 to 1. */
  readonly utilization: number
  /** Connections opened. */
  readonly created: number
  /** Loans. */
  readonly acquired: number
  /** Loans of a connection that had been lent before. */
  readonly reused: number
  /** Borrowers that had waited in vain for `acquireTimeout`, or until their deadline. */
  readonly timeouts: number
  readonly connectFailures: number
  readonly healthChecks: number
  readonly healthCheckFailures: number
  /** Connections that came back in a transaction and were rolled back. */
  readonly rolledBack: number
  /** Loans that lasted longer than `leakWarning`. */
  readonly leakWarnings: number
  readonly closed: { readonly [reason in CloseReason]: number }
  /** How long borrowers waited; 0 for one that found an idle connection. */
  readonly acquireTime: Timings
  /** How long connections were lent. */
  readonly usageTime: Timings
}

/**
 * What a pool has done and holds now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolStats extends ConnectionPoolTotals {
  readonly database: string
  readonly endpoint: string
  /** `readers` where the primary lends its reads connections of their own. */
  readonly lane: "main" | "readers"
}

/**
 * The stats of several pools as those of one.
 *
 * @since 0.1.0
 * @category stats
 */
export const total = (stats: ReadonlyArray<ConnectionPoolTotals>): ConnectionPoolTotals => {
  const sum = (of: (stats: ConnectionPoolTotals) => number): number => stats.reduce((sum, _) => sum + of(_), 0)
  const max = sum((_) => _.max)
  const active = sum((_) => _.active)
  const closed = (reason: CloseReason): number => sum((_) => _.closed[reason])
  return {
    max,
    total: sum((_) => _.total),
    active,
    idle: sum((_) => _.idle),
    connecting: sum((_) => _.connecting),
    closing: sum((_) => _.closing),
    waiting: sum((_) => _.waiting),
    utilization: max === 0 ? 0 : active / max,
    created: sum((_) => _.created),
    acquired: sum((_) => _.acquired),
    reused: sum((_) => _.reused),
    timeouts: sum((_) => _.timeouts),
    connectFailures: sum((_) => _.connectFailures),
    healthChecks: sum((_) => _.healthChecks),
    healthCheckFailures: sum((_) => _.healthCheckFailures),
    rolledBack: sum((_) => _.rolledBack),
    leakWarnings: sum((_) => _.leakWarnings),
    closed: {
      idle: closed("idle"),
      lifetime: closed("lifetime"),
      lost: closed("lost"),
      unhealthy: closed("unhealthy"),
      unusable: closed("unusable"),
      reset: closed("reset"),
      evicted: closed("evicted"),
      shutdown: closed("shutdown")
    },
    acquireTime: Histogram.merge(stats.map((_) => _.acquireTime)),
    usageTime: Histogram.merge(stats.map((_) => _.usageTime))
  }
}

/**
 * The stats as a table for people to read, a line for each pool and one for their total.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { ConnectionPool, RoutedSqlClient } from "effect-sql-router"
 *
 * const print = Effect.gen(function*() {
 *   const sql = yield* RoutedSqlClient.RoutedSqlClient
 *   yield* Effect.log(ConnectionPool.table(yield* sql.pools))
 * })
 * ```
 *
 * @since 0.1.0
 * @category stats
 */
export const table = (stats: ReadonlyArray<ConnectionPoolStats>): string => Table.print(stats, total(stats))

/**
 * Keeps Effect's metrics up to date with the stats of pools: it reads them at every `interval` (default 10 seconds), so
 * that statements do not pay for it. All are tagged by `database`, `endpoint` and `lane`.
 *
 * Gauges are `db.client.connection.count` (tagged by `state`: `used`, `idle`), `db.client.connection.max` and
 * `db.client.connection.pending_requests`, named as in OpenTelemetry's conventions, and
 * `sql.router.pool.acquire_time` and `sql.router.pool.usage_time` in milliseconds, tagged by `quantile` (`0.5`, `0.95`,
 * `0.99`). Counters are `db.client.connection.timeouts`, and `sql.router.pool.` followed by `created`, `acquired`,
 * `reused`, `connect_failures`, `health_checks`, `health_check_failures`, `rolled_back`, `leak_warnings` and `closed`
 * (tagged by `reason`).
 *
 * @example
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { ConnectionPool, RoutedSqlClient } from "effect-sql-router"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const PoolMetrics = ConnectionPool.layerMetrics(
 *   Effect.flatMap(RoutedSqlClient.RoutedSqlClient, (sql) => sql.pools)
 * )
 * const Database = PoolMetrics.pipe(
 *   Layer.provideMerge(RoutedPgClient.layer({ primary: { url: Redacted.make("postgres://app@primary/app") } }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category metrics
 */
export const layerMetrics = <E, R>(
  stats: Effect.Effect<ReadonlyArray<ConnectionPoolStats>, E, R>,
  options: { readonly interval?: Duration.DurationInput | undefined } = {}
): Layer.Layer<never, E, R> => Layer.scopedDiscard(Metrics.report(stats, options.interval ?? Duration.seconds(10)))
