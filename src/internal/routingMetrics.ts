import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { DatabaseReport, EndpointReport } from "../EndpointReport.js"
import type { MetricsSource, RoutingCount } from "../RoutingMetrics.js"
import * as PoolMetrics from "./poolMetrics.js"

const gauge = (name: string, description: string) => Metric.gauge(`sql.router.${name}`, { description })

const available = gauge("endpoint.available", "Whether the endpoint serves what it is there for")
const isPrimary = gauge("endpoint.is_primary", "Whether the endpoint is used as the primary")
const inFlight = gauge("endpoint.in_flight", "Statements of this process at the endpoint, or waiting for it")
const lag = gauge("endpoint.lag", "How far the endpoint is behind its primary, in milliseconds")
const latency = gauge("endpoint.latency", "How long the endpoint takes to answer, in milliseconds")
const replicaShare = gauge("replica_share", "Share of the statements that went to replicas")

const tagged = <Type, In, Out>(
  metric: Metric.Metric<Type, In, Out>,
  tags: RoutingCount["tags"]
): Metric.Metric<Type, In, Out> =>
  Object.entries(tags).reduce((metric, [name, value]) => Metric.tagged(metric, name, value), metric)

/** Reads the router now and at every interval, its pools too, until the Scope ends. */
export const report = <E, R>(
  router: Effect.Effect<MetricsSource, E, R>,
  interval: Duration.DurationInput
): Effect.Effect<void, E, R | Scope.Scope> =>
  Effect.gen(function*() {
    const source = yield* router
    const before = new Map<string, number>()
    const update = Effect.gen(function*() {
      const grown = (yield* source.counts).map(({ count, name, tags }) => {
        const key = JSON.stringify([name, tags])
        const growth = count - (before.get(key) ?? 0)
        before.set(key, count)
        return { name, tags, count: growth }
      })
      yield* Effect.forEach(grown, updateCounter, { discard: true })
      yield* Effect.forEach(yield* source.replicas, (database) => updateGauges(database, grown), { discard: true })
    })
    yield* update
    const forever = Effect.forever(Effect.zipRight(Effect.sleep(interval), update))
    yield* Effect.forkScoped(Effect.interruptible(Effect.ignoreLogged(forever)))
    yield* PoolMetrics.report(source.pools, interval)
  })

const updateCounter = ({ count, name, tags }: RoutingCount): Effect.Effect<void> =>
  Metric.update(tagged(Metric.counter(name, { incremental: true }), tags), count)

const updateGauges = (report: DatabaseReport, grown: ReadonlyArray<RoutingCount>): Effect.Effect<void> => {
  const { database, endpoints } = report
  const statements = grown.filter(({ name, tags }) => name === "sql.router.statements" && tags["database"] === database)
  const all = sum(statements)
  const onReplicas = sum(statements.filter(({ tags }) => tags["role"] === "replica"))
  return Effect.all([
    all === 0 ? Effect.void : Metric.update(tagged(replicaShare, { database }), onReplicas / all),
    ...endpoints.flatMap(gaugesOf)
  ], { discard: true })
}

const sum = (counts: ReadonlyArray<RoutingCount>): number => counts.reduce((sum, { count }) => sum + count, 0)

const gaugesOf = (report: EndpointReport): ReadonlyArray<Effect.Effect<void>> => {
  const { database, endpoint, role } = report
  const tags = { database, endpoint }
  const millis = (
    metric: Metric.Metric.Gauge<number>,
    duration: Duration.Duration | undefined,
    more: RoutingCount["tags"] = {}
  ) =>
    duration === undefined
      ? Effect.void
      : Metric.update(tagged(metric, { ...tags, ...more }), Duration.toMillis(duration))
  const { mean, p50, p95, p99 } = report.latency
  return [
    Metric.update(tagged(available, tags), report.available ? 1 : 0),
    Metric.update(tagged(isPrimary, tags), role === "primary" ? 1 : 0),
    Metric.update(tagged(inFlight, tags), report.inFlight),
    millis(lag, report.lag),
    millis(latency, mean, { quantile: "mean" }),
    millis(latency, p50, { quantile: "0.5" }),
    millis(latency, p95, { quantile: "0.95" }),
    millis(latency, p99, { quantile: "0.99" })
  ]
}
