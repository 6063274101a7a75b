import type { Endpoint, Role } from "../Endpoint.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import type { RoutingCount } from "../RoutingMetrics.js"

type Tags = RoutingCount["tags"]

interface Count extends RoutingCount {
  count: number
}

/** Reasons are few; should they ever not be, those that come later share one count. */
const mostReasons = 32

const otherReasons = "other"

/**
 * Counts what happens, by few and bounded tags. Counting a statement is two lookups, so that metrics need not listen to
 * each one.
 */
export class Tally {
  private readonly counts = new Map<string, Count>()
  private readonly sent: { readonly [role in Role]: Map<Endpoint, Map<string, Count>> } = {
    primary: new Map(),
    replica: new Map()
  }

  get all(): ReadonlyArray<RoutingCount> {
    return Array.from(this.counts.values(), (count) => ({ ...count }))
  }

  /** A statement is on its way to an endpoint. */
  statement(endpoint: Endpoint, role: Role, reason: string): void {
    const count = this.sent[role].get(endpoint)?.get(reason) ?? this.statementsOf(endpoint, role, reason)
    count.count++
  }

  /** A read goes to the primary in the place of replicas. */
  fallbackRead(database: string): void {
    this.add("sql.router.fallback_reads", { database })
  }

  /** A statement was not sent. */
  refused(database: string, reason: string): void {
    this.add("sql.router.refusals", { database, reason })
  }

  event(event: RoutingEvent): void {
    // The compiler does not see that the function found by an event's tag takes that event.
    const counted = (counts[event._tag] as ((event: RoutingEvent) => Counted) | undefined)?.(event)
    if (counted !== undefined) this.add(`sql.router.${counted[0]}`, { database: event.database, ...counted[1] })
  }

  private statementsOf(endpoint: Endpoint, role: Role, reason: string): Count {
    const { database, name } = endpoint
    let reasons = this.sent[role].get(endpoint)
    if (reasons === undefined) this.sent[role].set(endpoint, reasons = new Map())
    const known = reasons.size < mostReasons ? reason : otherReasons
    const count = this.of("sql.router.statements", { database, endpoint: name, role, reason: known })
    reasons.set(known, count)
    return count
  }

  private add(name: string, tags: Tags): void {
    this.of(name, tags).count++
  }

  private of(name: string, tags: Tags): Count {
    const key = JSON.stringify([name, ...Object.values(tags)])
    let count = this.counts.get(key)
    if (count === undefined) this.counts.set(key, count = { name, tags, count: 0 })
    return count
  }
}

type Counted = readonly [name: string, tags: Tags] | undefined

/** What is counted of events; those that only undo another one, or are gauges or statements, are not in it. */
const counts: { readonly [E in RoutingEvent as E["_tag"]]?: (event: E) => Counted } = {
  BreakerOpened: ({ endpoint }) => ["breaker_transitions", { endpoint, transition: "opened" }],
  TrialStarted: ({ endpoint }) => ["breaker_transitions", { endpoint, transition: "trial" }],
  BreakerClosed: ({ endpoint }) => ["breaker_transitions", { endpoint, transition: "closed" }],
  EjectionWithheld: ({ endpoint }) => ["breaker_transitions", { endpoint, transition: "withheld" }],
  EndpointHeld: ({ by, endpoint }) => ["holds", { endpoint, action: by }],
  EndpointReleased: ({ endpoint }) => ["holds", { endpoint, action: "release" }],
  ProbeFailed: ({ endpoint }) => ["probe_failures", { endpoint }],
  ReplicasExhausted: () => ["replicas_exhausted", {}],
  RoleChanged: ({ endpoint, to }) => ["role_changes", { endpoint, role: to }],
  PrimaryChanged: () => ["primary_changes", {}],
  PrimaryLost: ({ reason }) => ["primary_losses", { reason }],
  SplitBrainDetected: () => ["split_brains", {}],
  StatementRetried: ({ endpoint }) => ["retries", { endpoint }],
  RetryBudgetExhausted: ({ endpoint }) => ["retry_budget_exhausted", { endpoint }],
  ReadHedged: ({ endpoint, winner }) => ["hedged_reads", { winner: winner === endpoint ? "first" : "second" }],
  ReadMirrored: ({ outcome }) => ["mirrored_reads", { outcome }],
  FreshnessFallback: ({ level, reason }) => ["freshness_fallbacks", { level, reason }],
  ReplicaLagging: ({ endpoint }) => ["lag_exclusions", { endpoint }],
  LagUnknown: ({ endpoint }) => ["lag_unknown", { endpoint }],
  LostWriteSuspected: ({ reason }) => ["lost_writes_suspected", { reason }]
}
