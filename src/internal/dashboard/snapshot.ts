import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ConnectionPoolStats } from "../../ConnectionPool.js"
import type { DatabaseReport, EndpointReport } from "../../EndpointReport.js"
import type { RoutedSqlClient } from "../../RoutedSqlClient.js"
import type {
  DatabaseSnapshot,
  EndpointSnapshot,
  EventSnapshot,
  PoolSnapshot,
  Problem,
  Snapshot
} from "../../RoutingDashboard.js"
import { describeCause } from "../../RoutingError.js"
import type { NotableEvent, RememberedEvent } from "../../RoutingEvent.js"
import { latencyInMillis, millis } from "../reports.js"
import { oneLine } from "../words.js"
import { inWords, reasonOf } from "./eventWords.js"

const prefix = "sql.router."

/** What servers say may be long. */
const longestText = 200

export const make = (sql: RoutedSqlClient, title = "SQL router"): Effect.Effect<Snapshot> =>
  Effect.gen(function*() {
    const recent = yield* sql.recentEvents
    const pools = yield* sql.pools
    return {
      title,
      atMillis: yield* Clock.currentTimeMillis,
      databases: (yield* sql.replicas).map((report) =>
        databaseOf(
          report,
          pools.filter(({ database }) => database === report.database),
          recent.map(({ event }) => event).filter(({ database }) => database === report.database)
        )
      ),
      counts: (yield* sql.counts).map(({ count, name, tags }) => ({ name: name.slice(prefix.length), tags, count })),
      events: recent.map(eventOf).toReversed()
    }
  })

const databaseOf = (
  report: DatabaseReport,
  pools: ReadonlyArray<ConnectionPoolStats>,
  events: ReadonlyArray<NotableEvent>
): DatabaseSnapshot => ({
  database: report.database,
  strategy: report.strategy,
  problems: problemsOf(report, pools, events),
  endpoints: report.endpoints.map((endpoint) =>
    endpointOf(endpoint, pools.filter((pool) => pool.endpoint === endpoint.endpoint))
  )
})

const endpointOf = (report: EndpointReport, pools: ReadonlyArray<ConnectionPoolStats>): EndpointSnapshot => {
  const { available, endpoint, inFlight, lag, lastError, latency, role, sinceMillis, state, untilMillis } = report
  return {
    endpoint,
    role,
    zone: report.zone,
    weight: report.weight,
    state,
    available,
    why: oneLine(whyOf(report), longestText),
    lastError: lastError && oneLine(reasonOf(lastError), longestText),
    sinceMillis,
    untilMillis,
    inFlight,
    latencyMillis: latencyInMillis(latency),
    lagMillis: millis(lag),
    pools: pools.map(poolOf)
  }
}

/** A report repeats the endpoint's name in its reason: here it stands beside it. */
const whyOf = ({ lastError, why }: EndpointReport): string =>
  lastError === undefined ? why : why.replace(describeCause(lastError), () => reasonOf(lastError))

const poolOf = ({ active, connecting, idle, lane, max, timeouts, waiting }: ConnectionPoolStats): PoolSnapshot => ({
  lane,
  max,
  active,
  idle,
  connecting,
  waiting,
  timeouts
})

const eventOf = ({ atMillis, event, times }: RememberedEvent): EventSnapshot => {
  const { text, tone } = inWords(event)
  return { tag: event._tag, database: event.database, text: oneLine(text, longestText), tone, atMillis, times }
}

const problemsOf = (
  { endpoints }: DatabaseReport,
  pools: ReadonlyArray<ConnectionPoolStats>,
  events: ReadonlyArray<NotableEvent>
): ReadonlyArray<Problem> => {
  const primary = endpoints.find(({ role }) => role === "primary")
  const replicas = endpoints.filter((endpoint) => endpoint !== primary && endpoint.weight > 0)
  const out = replicas.filter(({ available }) => !available)
  const problems: Array<Problem> = []
  if (primary === undefined) problems.push(noPrimary(events))
  else if (!primary.available) {
    problems.push({
      tone: "bad",
      text: `Writes fail: ${primary.endpoint} cannot be connected to${inBrackets(primary)}`
    })
  }
  if (out.length > 0 && out.length === replicas.length) {
    problems.push({ tone: "warn", text: "No replica serves reads" })
  }
  for (const replica of out) {
    const isOpen = replica.state === "open" || replica.state === "trial"
    const why = isOpen ? ` is out of service${inBrackets(replica)}` : `: ${replica.why}`
    problems.push({ tone: "warn", text: `${replica.endpoint}${why}` })
  }
  for (const endpoint of new Set(pools.filter(({ waiting }) => waiting > 0).map(({ endpoint }) => endpoint))) {
    problems.push({ tone: "warn", text: `Statements wait for a connection of ${endpoint}` })
  }
  return problems.map(({ text, tone }) => ({ tone, text: oneLine(text, longestText) }))
}

const inBrackets = ({ lastError }: EndpointReport): string => lastError === undefined ? "" : ` (${reasonOf(lastError)})`

/** Whether nobody takes writes or several do is what was told last. */
const noPrimary = (events: ReadonlyArray<NotableEvent>): Problem => {
  const last = events.findLast(({ _tag }) => _tag === "SplitBrainDetected" || _tag === "PrimaryLost")
  return {
    tone: "bad",
    text: last?._tag === "SplitBrainDetected"
      ? `Split brain: ${last.endpoints.join(" and ")} claim to be the primary, so writes fail until one steps down`
      : "No endpoint takes writes, so they fail"
  }
}
