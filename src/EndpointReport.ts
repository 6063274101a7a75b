/**
 * How the endpoints of a router are: what `RoutedSqlClient.replicas` gives.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type { Role } from "./Endpoint.js"
import type { Json } from "./Explanation.js"
import { json, print } from "./internal/reports.js"
import type { EndpointHealth } from "./ReplicaHealth.js"

/**
 * How one endpoint is, and what was seen of it since the Layer was built.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointReport {
  readonly database: string
  readonly endpoint: string
  /** What it is used as now. */
  readonly role: Role
  readonly zone: string | undefined
  /** Its share of the reads, relative to the others. */
  readonly weight: number
  /** Its breaker, or what somebody did by hand. */
  readonly state: EndpointHealth["state"]
  /** Since when, in milliseconds since 1970; `undefined` if it was never in another. */
  readonly sinceMillis: number | undefined
  /** Whether it serves what it is there for: writes, or reads. */
  readonly available: boolean
  /** In a few words, e.g. `open until 12:00:31 (connection refused)`. */
  readonly why: string
  /** Until when it is out of service, in milliseconds since 1970; `undefined` where no time is set. */
  readonly untilMillis: number | undefined
  /** Statements, streams and transactions of this process that hold a connection of it, or wait for one. */
  readonly inFlight: number
  readonly latency: EndpointLatency
  /** How far it is behind its primary; `undefined` where that is not known. */
  readonly lag: Duration.Duration | undefined
  readonly lastError: SqlError | undefined
  readonly successes: number
  /** Those that speak against it; a statement's own error does not. */
  readonly failures: number
  readonly probes: { readonly succeeded: number; readonly failed: number }
}

/**
 * How long an endpoint takes to answer, as this process sees it; `undefined` before it has answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointLatency {
  /** Exponentially weighted, with a half-life of 0.5 seconds; failures count as slow. */
  readonly mean: Duration.Duration | undefined
  /** Percentiles of the answers alone, the latest weighing most. */
  readonly p50: Duration.Duration | undefined
  readonly p95: Duration.Duration | undefined
  readonly p99: Duration.Duration | undefined
}

/**
 * How one Database is.
 *
 * @since 0.1.0
 * @category models
 */
export interface DatabaseReport {
  readonly database: string
  /** The name of the strategy that chooses among its replicas. */
  readonly strategy: string
  /** The endpoint that the last read was sent to; `undefined` before the first. */
  readonly lastChoice: string | undefined
  /** In the order of the configuration. */
  readonly endpoints: ReadonlyArray<EndpointReport>
}

/**
 * Reports as a table for people to read, a line for each endpoint; `*` marks what was chosen last.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { EndpointReport, RoutedSqlClient } from "effect-sql-router"
 *
 * const print = Effect.gen(function*() {
 *   const sql = yield* RoutedSqlClient.RoutedSqlClient
 *   yield* Effect.log(EndpointReport.table(yield* sql.replicas))
 * })
 * ```
 *
 * @since 0.1.0
 * @category rendering
 */
export const table = (reports: ReadonlyArray<DatabaseReport>): string => print(reports)

/**
 * Reports as plain JSON: durations in milliseconds, times as ISO 8601, errors by their messages. What is `undefined` is left
 * out.
 *
 * @since 0.1.0
 * @category rendering
 */
export const toJSON = (reports: ReadonlyArray<DatabaseReport>): ReadonlyArray<{ readonly [name: string]: Json }> =>
  reports.map(json)
