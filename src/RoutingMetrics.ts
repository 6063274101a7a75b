/**
 * Metrics of a router: what it has done with statements, how its endpoints are, and its pools.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConnectionPoolStats } from "./ConnectionPool.js"
import type { DatabaseReport } from "./EndpointReport.js"
import { report } from "./internal/routingMetrics.js"

/**
 * How often something has happened since the router was built.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutingCount {
  /** As the metric: `sql.router.statements`, for example. */
  readonly name: string
  /** Each of few values: the names of Databases and endpoints, roles, reasons. */
  readonly tags: { readonly [name: string]: string }
  readonly count: number
}

/**
 * What metrics are read from: a `RoutedSqlClient` has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface MetricsSource {
  readonly counts: Effect.Effect<ReadonlyArray<RoutingCount>>
  readonly replicas: Effect.Effect<ReadonlyArray<DatabaseReport>>
  readonly pools: Effect.Effect<ReadonlyArray<ConnectionPoolStats>>
}

/**
 * Keeps Effect's metrics up to date with a router: it reads counts and states at every `interval` (default 10 seconds), so
 * that statements do not pay for it. The metrics of `ConnectionPool.layerMetrics` are among them: it is one or the other,
 * for their counters would grow twice as fast.
 *
 * All metrics are tagged by `database`. Counters begin with `sql.router.`:
 *
 * | counter | counts | tags |
 * |---|---|---|
 * | `statements` | statements as they are sent; one that is tried again counts at each endpoint | `endpoint`, `role`, `reason` |
 * | `fallback_reads` | those of them that the primary served in the place of replicas | |
 * | `retries` | statements that are tried once more, after they failed on `endpoint` | `endpoint` |
 * | `retry_budget_exhausted` | those that were not, because too many were of late | `endpoint` |
 * | `refusals` | statements that were not sent at all | `reason` |
 * | `mirrored_reads` | reads that a rule mirrors; they are not among `statements` | `outcome` |
 * | `hedged_reads` | reads that a second endpoint answered first | `winner` |
 * | `breaker_transitions` | `opened`, `trial`, `closed`, `withheld` | `endpoint`, `transition` |
 * | `holds` | `drain`, `quarantine`, `release` by hand | `endpoint`, `action` |
 * | `freshness_fallbacks` | reads on the primary because no replica was known to be fresh enough | `level`, `reason` |
 * | `lag_exclusions` | replicas taken out because they lag by more than `maxLag` | `endpoint` |
 * | `lag_unknown` | times that an endpoint could not be asked how far it is | `endpoint` |
 * | `lost_writes_suspected` | writes that a failover seems to have lost | `reason` |
 * | `probe_failures` | | `endpoint` |
 * | `role_changes` | servers that say they are in another role | `endpoint`, `role` |
 * | `primary_changes`, `primary_losses`, `split_brains`, `replicas_exhausted` | | `reason` of losses |
 *
 * Gauges, tagged by `endpoint` too: `sql.router.endpoint.available` and `sql.router.endpoint.is_primary` (1 or 0),
 * `sql.router.endpoint.in_flight`, `sql.router.endpoint.lag` and `sql.router.endpoint.latency` in milliseconds (the latter
 * tagged by `quantile`: `mean`, `0.5`, `0.95`, `0.99`), and, of each Database, `sql.router.replica_share`: the share of the interval's statements that
 * went to replicas, from 0 to 1. What is not known keeps its last value.
 *
 * OpenTelemetry has no names for routing; those of the pools, `db.client.connection.…`, are its own.
 *
 * @example
 * ```ts
 * import { Layer, Redacted } from "effect"
 * import { RoutedSqlClient, RoutingMetrics } from "effect-sql-router"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const Database = RoutingMetrics.layer(RoutedSqlClient.RoutedSqlClient).pipe(
 *   Layer.provideMerge(RoutedPgClient.layer({ primary: { url: Redacted.make("postgres://app@primary/app") } }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category metrics
 */
export const layer = <E, R>(
  router: Effect.Effect<MetricsSource, E, R>,
  options: { readonly interval?: Duration.DurationInput | undefined } = {}
): Layer.Layer<never, E, R> => Layer.scopedDiscard(report(router, options.interval ?? Duration.seconds(10)))
