import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { ConnectionPoolStats } from "../ConnectionPool.js"

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const connections = gauge("db.client.connection.count", "Connections in the state that the tag describes")
const max = gauge("db.client.connection.max", "Most connections open at once")
const pending = gauge("db.client.connection.pending_requests", "Borrowers in line for a connection")
const acquireTime = gauge("sql.router.pool.acquire_time", "How long borrowers waited, in milliseconds")
const usageTime = gauge("sql.router.pool.usage_time", "How long connections were lent, in milliseconds")

/** Counters, with what they count. */
const counters: ReadonlyArray<
  readonly [counter: Metric.Metric.Counter<number>, of: (_: ConnectionPoolStats) => number]
> = (
  [
    ["db.client.connection.timeouts", "Borrowers that waited in vain", (_) => _.timeouts],
    ["sql.router.pool.created", "Connections opened", (_) => _.created],
    ["sql.router.pool.acquired", "Loans", (_) => _.acquired],
    ["sql.router.pool.reused", "Loans of a connection that had been lent before", (_) => _.reused],
    ["sql.router.pool.connect_failures", "Failed attempts to connect", (_) => _.connectFailures],
    ["sql.router.pool.health_checks", "Idle connections asked for a sign of life", (_) => _.healthChecks],
    ["sql.router.pool.health_check_failures", "Idle connections that gave none", (_) => _.healthCheckFailures],
    ["sql.router.pool.rolled_back", "Connections that came back in a transaction", (_) => _.rolledBack],
    ["sql.router.pool.leak_warnings", "Loans that lasted longer than leakWarning", (_) => _.leakWarnings]
  ] as ReadonlyArray<readonly [string, string, (_: ConnectionPoolStats) => number]>
).map(([name, description, of]) => [Metric.counter(name, { description, incremental: true }), of])

const closed = Metric.counter("sql.router.pool.closed", {
  description: "Connections closed, by reason",
  incremental: true
})

/** Reads the stats now and at every interval, until the Scope ends. */
export const report = <E, R>(
  stats: Effect.Effect<ReadonlyArray<ConnectionPoolStats>, E, R>,
  interval: Duration.DurationInput
): Effect.Effect<void, E, R | Scope.Scope> =>
  Effect.suspend(() => {
    const before = new Map<string, ConnectionPoolStats>()
    const update = Effect.flatMap(stats, (all) =>
      Effect.forEach(all, (pool) => {
        const key = JSON.stringify([pool.database, pool.endpoint, pool.lane])
        const last = before.get(key)
        before.set(key, pool)
        return updateOne(pool, last)
      }, { discard: true }))
    return Effect.zipRight(
      update,
      Effect.forkScoped(Effect.ignoreLogged(Effect.forever(Effect.zipRight(Effect.sleep(interval), update))))
    )
  })

const updateOne = (pool: ConnectionPoolStats, last: ConnectionPoolStats | undefined): Effect.Effect<void> => {
  const tags = <M extends Metric.Metric<any, any, any>>(metric: M, more: Readonly<Record<string, string>> = {}) =>
    Object.entries({ database: pool.database, endpoint: pool.endpoint, lane: pool.lane, ...more }).reduce(
      (tagged: Metric.Metric<any, number, any>, [key, value]) => Metric.tagged(tagged, key, value),
      metric
    )
  return Effect.all([
    Metric.update(tags(connections, { state: "used" }), pool.active),
    Metric.update(tags(connections, { state: "idle" }), pool.idle),
    Metric.update(tags(max), pool.max),
    Metric.update(tags(pending), pool.waiting),
    ...([[acquireTime, pool.acquireTime], [usageTime, pool.usageTime]] as const).flatMap(([metric, timings]) => [
      Metric.update(tags(metric, { quantile: "0.5" }), Duration.toMillis(timings.p50)),
      Metric.update(tags(metric, { quantile: "0.95" }), Duration.toMillis(timings.p95)),
      Metric.update(tags(metric, { quantile: "0.99" }), Duration.toMillis(timings.p99))
    ]),
    ...counters.map(([counter, of]) => Metric.update(tags(counter), of(pool) - (last === undefined ? 0 : of(last)))),
    ...Object.entries(pool.closed).map(([reason, count]) =>
      Metric.update(tags(closed, { reason }), count - (last?.closed[reason as keyof typeof pool.closed] ?? 0))
    )
  ], { discard: true })
}
