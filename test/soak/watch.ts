/** What is looked at while the fibers work, when they have stopped, and when the Layers are closed. */
import { Deferred, Duration, Effect, Exit, Metric, Stream } from "effect"
import type { MetricState, Scope } from "effect"
import type { ConnectionPoolStats } from "effect-sql-router/ConnectionPool"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import { closedInAll, eventually } from "../pool/support.js"
import { nameOf, strayCancels } from "./errors.js"
import type { Invariants } from "./invariants.js"
import { acquireTimeout, poolMax } from "./routers.js"
import type { Site } from "./sites.js"
import type { Stopwatch } from "./time.js"
import { lateMillis } from "./time.js"
import type { Place } from "./workload.js"
import { lastWrite } from "./workload.js"

/** What the routers tell of roles, in words. */
const ofRoles = (event: RoutingEvent): string | undefined => {
  switch (event._tag) {
    case "RoleChanged":
      return `${event.endpoint} became a ${event.to}`
    case "PrimaryChanged":
      return `writes go to ${event.to}, not ${event.from}`
    case "PrimaryLost":
      return `the primary ${event.endpoint} is ${event.reason}`
    case "PrimaryRestored":
      return `the primary ${event.endpoint} is back`
    case "SplitBrainDetected":
      return `${event.endpoints.join(" and ")} claim to be the primary`
    default:
      return undefined
  }
}

export interface Heard {
  readonly invariants: Invariants
  readonly stopwatch: Stopwatch
  /** What the routers told of roles, and when. */
  readonly journal: Array<string>
}

/** Statements where they must not be, and cancels that hit others, as the routers tell of them. */
export const listen = (
  { site, sql }: Place,
  { invariants, journal, stopwatch }: Heard
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(Stream.runForEach(sql.events, (event) =>
    Effect.sync(() => {
      const told = ofRoles(event)
      if (told !== undefined) journal.push(`${stopwatch.seconds.toFixed(1)} s: ${site.name}: ${told}`)
      if (event._tag === "StatementRetried") {
        invariants.check("cancels", !strayCancels.has(nameOf(event.error)), () => `${event.endpoint} cancelled a read`)
      }
      if (event._tag === "StatementRouted" && event.decision.facts.access !== "read") {
        const { endpoint, sql } = event.decision
        const wasPrimary = site.primaries.some(({ server }) => server.name === endpoint)
        invariants.check("writesOnPrimaries", wasPrimary, () => `${endpoint} of ${site.name}: ${sql}`)
      }
    }))))

const checkPool = (pool: ConnectionPoolStats, invariants: Invariants) => {
  const { active, closing, connecting, created, database, endpoint, idle, total } = pool
  const all = active + idle + connecting + closing
  const where = `${endpoint} of ${database}`
  invariants.check("pools", all <= poolMax, () => `${where} has ${all} connections`)
  invariants.check("pools", created === total + closedInAll(pool), () => `the figures of ${where} do not add up`)
}

/** Over the whole run: how late the machine let it be is known at the end. */
const checkWaits = ({ acquireTime, database, endpoint }: ConnectionPoolStats, invariants: Invariants) => {
  const longest = Math.max(0, ...acquireTime.buckets.map(([micros]) => micros)) / 1000
  // Buckets are as wide as a sixteenth of what they count.
  const limit = Duration.toMillis(acquireTimeout) * 17 / 16 + lateMillis()
  const detail = () => `a borrower of ${endpoint} of ${database} was served after ${Math.round(longest)} ms`
  invariants.check("waits", longest <= limit, detail)
}

const countSessions = (site: Site) =>
  Effect.forEach(site.members, (member) => Effect.map(site.sessions(member), ({ length }) => length))

/** Gives the most sessions that a server has. */
export const whileWorking = ({ site, sql }: Place, invariants: Invariants): Effect.Effect<number> =>
  Effect.gen(function*() {
    for (const pool of yield* sql.pools) checkPool(pool, invariants)
    // A server takes a moment to see that a client has left.
    let most = 0
    for (let i = 0; i < 20; i++) {
      most = Math.max(...yield* countSessions(site))
      if (most <= poolMax + 1) break
      yield* Effect.sleep("50 millis")
    }
    invariants.check("sessions", most <= poolMax + 1, () => `a server of ${site.name} has ${most} sessions`)
    return most
  })

/** Whether something holds in time. */
export const soon = (condition: Effect.Effect<boolean>, within: Duration.DurationInput): Effect.Effect<boolean> =>
  Effect.map(Effect.exit(eventually(condition, within)), Exit.isSuccess)

/** When nobody works any more. */
export const whenCalm = (place: Place, invariants: Invariants): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { site, sql } = place
    const endpoints = Effect.map(sql.replicas, (databases) => databases.flatMap(({ endpoints }) => endpoints))
    // A cooldown is a minute at the longest.
    const serving = yield* soon(Effect.map(endpoints, (all) => all.every(({ available }) => available)), "75 seconds")
    const why = (yield* endpoints).map(({ endpoint, why }) => `${endpoint} ${why}`).join(", ")
    invariants.check("service", serving, () => `${site.name}: ${why}`)

    yield* Effect.exit(lastWrite(place))
    const isCalm = Effect.map(
      sql.pools,
      (pools) => pools.every((_) => _.active + _.closing + _.connecting + _.waiting === 0)
    )
    invariants.check("calm", yield* soon(isCalm, "10 seconds"), () => `the pools of ${site.name}`)
    for (const { endpoint, inFlight } of yield* endpoints) {
      invariants.check("calm", inFlight === 0, () => `${inFlight} statements at ${endpoint} of ${site.name}`)
      const exit = yield* Effect.exit(borrowAll(sql, endpoint))
      invariants.check("permits", Exit.isSuccess(exit), () => `${endpoint} of ${site.name}: ${exit}`)
    }
    for (const member of site.members) {
      const open = (yield* site.sessions(member)).filter(({ inTransaction }) => inTransaction)
      invariants.check("idleSessions", open.length === 0, () => `${open.length} on ${member.server.name}`)
    }
    for (const pool of yield* sql.pools) {
      checkPool(pool, invariants)
      checkWaits(pool, invariants)
    }
  })

/** Holds all connections of a pool at once. */
const borrowAll = (sql: RoutedSqlClient, endpoint: string) =>
  Effect.gen(function*() {
    const allLent = yield* Deferred.make<void>()
    let lent = 0
    const borrow = sql.withPooledConnection(
      { endpoint },
      () => ++lent === poolMax ? Deferred.succeed(allLent, undefined) : Effect.as(Deferred.await(allLent), true)
    )
    yield* Effect.forEach(Array.from({ length: poolMax }), () => borrow, { concurrency: "unbounded", discard: true })
  }).pipe(Effect.timeout("10 seconds"))

const atRest = new Set(["sql.router.endpoint.in_flight", "db.client.connection.pending_requests"])

/** The gauges of `RoutingMetrics` that tell of statements and loans. */
const gauges = Effect.map(Metric.snapshot, (pairs) =>
  pairs.flatMap(({ metricKey: { name, tags }, metricState }) => {
    const isUsed = name === "db.client.connection.count" && tags.some((_) => _.key === "state" && _.value === "used")
    if (!atRest.has(name) && !isUsed) return []
    const { value } = metricState as MetricState.MetricState.Gauge<number>
    return [{ what: `${name} of ${tags.map((_) => `${_.key} ${_.value}`).join(", ")}`, value }]
  }))

/** When nobody works any more. A health check may use a connection just when the gauges are read. */
export const gaugesAtRest = (invariants: Invariants): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* soon(Effect.map(gauges, (all) => all.every(({ value }) => value === 0)), "15 seconds")
    for (const { value, what } of yield* gauges) invariants.check("gauges", value === 0, () => `${what} is ${value}`)
  })

/** After the Layers are closed: the servers know no session of theirs. */
export const whenClosed = (site: Site, invariants: Invariants): Effect.Effect<void> =>
  Effect.gen(function*() {
    const left = Effect.map(countSessions(site), (counts) => counts.every((count) => count === 0))
    invariants.check("closed", yield* soon(left, "5 seconds"), () => `sessions of ${site.name}`)
  })
