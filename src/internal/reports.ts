/** How the endpoints of a router are: read from what is known of them, and printed. */
import * as Duration from "effect/Duration"
import type { DatabaseReport, EndpointReport } from "../EndpointReport.js"
import type { Json } from "../Explanation.js"
import type { EndpointHealth } from "../ReplicaHealth.js"
import { describeCause } from "../RoutingError.js"
import type { Database, Server } from "./database.js"
import { object } from "./explain/json.js"
import type { Health } from "./health/health.js"
import { aligned, short } from "./poolTable.js"

/** A Database with the health that reports are read from. */
export interface Reported {
  readonly database: Database<Health>
  readonly strategy: string
}

export const reportOf = ({ database, strategy }: Reported): DatabaseReport => {
  const { health, lastChoice, name, planner, servers } = database
  const known = new Map(health.snapshot.map((endpoint) => [endpoint.endpoint, endpoint]))
  const excluded = new Map(planner.topology.excluded.map(({ endpoint, reason }) => [endpoint, reason]))
  return {
    database: name,
    strategy,
    lastChoice: lastChoice?.name,
    endpoints: servers.map((server) => endpointOf(server, known.get(server.name)!, excluded.get(server.name)))
  }
}

const endpointOf = (server: Server, health: EndpointHealth, excluded: string | undefined): EndpointReport => ({
  ...health,
  // Health knows nothing of lag, which keeps reads away as well.
  ...(health.available && excluded !== undefined ? { available: false, why: excluded } : {}),
  database: server.endpoint.database,
  zone: server.zone,
  weight: server.weight,
  inFlight: server.inFlight,
  latency: latencyOf(server),
  lag: durationOf(server.lagMillis)
})

const latencyOf = ({ latency, timings: { buckets, p50, p95, p99 } }: Server): EndpointReport["latency"] => ({
  mean: durationOf(latency.mean),
  ...(buckets.length === 0 ? { p50: undefined, p95: undefined, p99: undefined } : { p50, p95, p99 })
})

const durationOf = (millis: number | undefined): Duration.Duration | undefined =>
  millis === undefined ? undefined : Duration.millis(millis)

export const json = (
  { database, endpoints, lastChoice, strategy }: DatabaseReport
): { readonly [name: string]: Json } =>
  object({
    database,
    strategy,
    lastChoice,
    endpoints: endpoints.map(({ lag, lastError, latency, sinceMillis, untilMillis, ...plain }) => ({
      ...plain,
      since: timeOf(sinceMillis),
      until: timeOf(untilMillis),
      latencyMillis: latencyInMillis(latency),
      lagMillis: millis(lag),
      lastError: lastError && describeCause(lastError)
    }))
  })

export const latencyInMillis = ({ mean, p50, p95, p99 }: EndpointReport["latency"]) => ({
  mean: millis(mean),
  p50: millis(p50),
  p95: millis(p95),
  p99: millis(p99)
})

export const millis = (duration: Duration.Duration | undefined): number | undefined =>
  duration && Duration.toMillis(duration)

const timeOf = (wallMillis: number | undefined): string | undefined =>
  wallMillis === undefined ? undefined : new Date(wallMillis).toISOString()

const unknown = "-"

const duration = (value: Duration.Duration | undefined): string => value === undefined ? unknown : short(value)

/** The columns behind the endpoint's name; those of numbers stand on the right. */
const columns: ReadonlyArray<readonly [head: string, kind: "text" | "number", of: (_: EndpointReport) => string]> = [
  ["role", "text", (_) => _.role],
  ["state", "text", (_) => _.state],
  ["weight", "number", (_) => String(_.weight)],
  ["in flight", "number", (_) => String(_.inFlight)],
  ["mean", "number", (_) => duration(_.latency.mean)],
  ["p50/p95/p99", "number", ({ latency: { p50, p95, p99 } }) => [p50, p95, p99].map(duration).join(" / ")],
  ["lag", "number", (_) => duration(_.lag)],
  ["ok", "number", (_) => String(_.successes)],
  ["failed", "number", (_) => String(_.failures)],
  ["probes", "number", ({ probes }) => `${probes.succeeded} ok, ${probes.failed} failed`],
  ["since", "text", (_) => timeOf(_.sinceMillis) ?? unknown],
  ["why", "text", (_) => _.why],
  ["last error", "text", ({ lastError }) => lastError === undefined ? unknown : oneLine(describeCause(lastError))]
]

const oneLine = (text: string): string => text.split(/\s+/).join(" ").trim()

export const print = (reports: ReadonlyArray<DatabaseReport>): string =>
  aligned([
    ["endpoint", "strategy", ...columns.map(([head]) => head)],
    ...reports.flatMap(({ database, endpoints, lastChoice, strategy }) =>
      endpoints.map((endpoint) => [
        `${database}/${endpoint.endpoint}${endpoint.endpoint === lastChoice ? " *" : ""}`,
        strategy,
        ...columns.map(([, , of]) => of(endpoint))
      ])
    )
  ], (column) => column < 2 || columns[column - 2]![1] === "text")
