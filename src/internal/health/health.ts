import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Disposition } from "../../Driver.js"
import type { Role } from "../../Endpoint.js"
import type { EndpointHealth, ReplicaHealthSettings, Verdict } from "../../ReplicaHealth.js"
import * as RoutingError from "../../RoutingError.js"
import type { RoutingEvent } from "../../RoutingEvent.js"
import { broken } from "../dispositions.js"
import * as Breaker from "./breaker.js"
import { Cooldown } from "./cooldown.js"
import { Primary } from "./primary.js"
import type { Publish } from "./publish.js"
import { publishFor } from "./publish.js"
import * as Roles from "./roles.js"
import { sleepUnless } from "./sleep.js"
import { SlidingCount } from "./slidingCount.js"

/** A busy endpoint is asked for its role all the same after so many intervals: a promotion makes no statement fail. */
const mostSkippedProbes = 5

export interface HealthOptions {
  readonly database: string
  /** Those of role `primary` may be the primary, the first one is believed to be; weight 0 takes no reads. */
  readonly endpoints: ReadonlyArray<{ readonly name: string; readonly role: Role; readonly weight: number }>
  readonly settings: ReplicaHealthSettings
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** When it is done, probes begin; at once by default. */
  readonly started?: Effect.Effect<void> | undefined
  /** Asks an endpoint for its role, on a connection of its own. */
  readonly status: (name: string) => Effect.Effect<{ readonly role: Role }, SqlError>
  readonly disposition: (error: SqlError) => Disposition
  readonly publish: (event: RoutingEvent) => void
  /** `serving`, `excluded` or `primary` is another one now. */
  readonly onChange: () => void
  /** An endpoint is in another role: connections opened before may be to a server that is not what it was. */
  readonly onRoleChange: (name: string, role: Role) => void
  /** An endpoint is out of service: what is idle there is of no more use. */
  readonly onOpen: (name: string) => void
}

/** An endpoint, as far as its health goes. */
interface Member {
  readonly name: string
  readonly weight: number
  breaker: Breaker.Breaker
  readonly succeeded: SlidingCount
  readonly failed: SlidingCount
  successes: number
  failures: number
  lastSuccess: bigint
  lastFailure: bigint
  lastError: SqlError | undefined
  /** A success changes something: failures before it are no longer in a row, or the primary is back. */
  isTroubled: boolean
  /** Soft evidence would have taken it out, had others not been out already. */
  isWithheld: boolean
  /** When somebody took it out by hand. */
  heldAt: bigint | undefined
  probesSucceeded: number
  probesFailed: number
  wake: () => void
}

/**
 * The health of one Database: which replicas may serve reads, and who takes writes.
 *
 * What statements ask and tell is synchronous and allocates nothing while all is well; `serving` keeps its identity until
 * something changes. One fiber for each endpoint probes it, so there is never more than one trial of it under way, and one
 * fiber asks all of them for their roles when the primary is in doubt.
 */
export class Health {
  private readonly members: ReadonlyMap<string, Member>
  private readonly healthyAfter: bigint
  private readonly probeNanos: number
  private readonly watched: Primary
  private readonly publish: Publish
  private current: Survey

  constructor(
    private readonly options: HealthOptions,
    private readonly clock: Clock.Clock,
    private readonly cooldown: Cooldown
  ) {
    const now = clock.unsafeCurrentTimeNanos()
    const { endpoints, settings } = options
    this.healthyAfter = toNanos(settings.healthyAfter)
    this.probeNanos = Duration.toMillis(settings.probeInterval) * 1e6
    this.publish = publishFor(options.database, options.publish)
    this.watched = new Primary({
      database: options.database,
      endpoints,
      settings,
      clock,
      publish: this.publish,
      askAll: this.askAll,
      onRoleChange: options.onRoleChange,
      onAccepted: (name) => this.reclose(this.members.get(name)!),
      onDecided: () => this.rebuild()
    })
    this.refreshRoles = this.watched.refreshRoles
    this.awaitPrimary = this.watched.awaitPrimary
    this.members = new Map(endpoints.map(({ name, weight }) => [name, {
      name,
      weight,
      breaker: Breaker.initial,
      succeeded: new SlidingCount(settings.successWindow, now),
      failed: new SlidingCount(settings.successWindow, now),
      successes: 0,
      failures: 0,
      lastSuccess: -1n,
      lastFailure: -1n,
      lastError: undefined,
      isTroubled: false,
      isWithheld: false,
      heldAt: undefined,
      probesSucceeded: 0,
      probesFailed: 0,
      wake: () => {}
    }]))
    this.current = this.survey()
  }

  /** The replicas that may take reads now, by `whenNoneLeft` if there is none; another array whenever it changes. */
  get serving(): ReadonlyArray<string> {
    return this.current.serving
  }

  /** The others, each with the reason. */
  get excluded(): ReadonlyArray<{ readonly endpoint: string; readonly reason: string }> {
    return this.current.excluded
  }

  /** Who takes writes; who did last, while {@link refuseWrite} refuses them. */
  get primary(): string {
    return this.watched.name
  }

  /** A statement succeeded, or failed in a way that is its own affair. */
  success(name: string, now: bigint): void {
    const member = this.members.get(name)
    if (member === undefined) return
    member.successes++
    member.lastSuccess = now
    member.succeeded.add(now)
    if (member.isTroubled) this.relieve(member)
  }

  /** A statement failed, or a connection could not be opened for it. */
  failure(name: string, disposition: Disposition, error: SqlError, now: bigint): void {
    const member = this.members.get(name)
    if (member === undefined || isOurs(error)) return
    if (disposition.evidence === "none") {
      if (disposition.blame === "role" && this.isPrimary(name)) this.watched.refused()
      // It answered, so it is well, whatever it thinks of the statement; but not in its role, if it refuses it for that.
      if (disposition.connection === "keep" && disposition.outcome !== "notSent" && disposition.blame !== "role") {
        this.success(name, now)
      }
      return
    }
    member.failures++
    member.lastFailure = now
    member.lastError = error
    member.failed.add(now)
    if (this.isPrimary(name)) this.primaryFailed(member, disposition, error, now)
    else this.replicaFailed(member, disposition.blame, disposition.evidence, error, now)
  }

  /** Whether somebody took the primary out of the reads that it shares with replicas. */
  get isPrimaryHeld(): boolean {
    const member = this.members.get(this.primary)
    return member !== undefined && Breaker.isHeld(member.breaker)
  }

  /** Why a write need not even be tried now; `undefined` if it is to be. */
  refuseWrite(now: bigint): SqlError | undefined {
    return this.watched.refuseWrite(now)
  }

  /** Whether a primary is there that nothing speaks against. */
  get hasPrimary(): boolean {
    return this.watched.isThere
  }

  /**
   * Asks all endpoints who takes writes, in a round that begins after this call and that all who wait share; rounds are 100
   * ms apart. It is done when the round is, whatever came out: see {@link refuseWrite}.
   */
  readonly refreshRoles: Effect.Effect<void>

  /**
   * Waits, for `awaitPrimary` at most, until a primary takes writes; fails with the reason why there is none. For writes
   * that were not sent.
   */
  readonly awaitPrimary: Effect.Effect<void, SqlError>

  /** Takes no new reads, but is probed on; survives whatever its breaker does until it is released. */
  drain(name: string): Effect.Effect<void, SqlError> {
    return this.withMember(name, "drain", (member) => this.hold(member, "Drained"))
  }

  /** Nothing goes there any more, neither reads nor probes, and it is not believed to be the primary. */
  quarantine(name: string): Effect.Effect<void, SqlError> {
    return this.withMember(name, "quarantine", (member) => this.hold(member, "Quarantined"))
  }

  /** Ends what {@link drain} or {@link quarantine} began; its breaker counts again. */
  release(name: string): Effect.Effect<void, SqlError> {
    return this.withMember(name, "release", (member) => {
      if (!Breaker.isHeld(member.breaker)) return
      member.breaker = Breaker.released(member.breaker)
      this.publish({ _tag: "EndpointReleased", endpoint: name })
      this.watched.ignore(name, false)
      this.rebuild()
      member.wake()
    })
  }

  /** Whether an endpoint may serve what it is there for, and why. */
  verdict(name: string): Verdict {
    const member = this.members.get(name)
    if (member === undefined) return { available: false, why: "there is no such endpoint", untilMillis: undefined }
    const { breaker } = member
    if (this.isPrimary(name)) {
      const { outage } = this.watched
      const held = Breaker.isHeld(breaker) ? `, ${stateNames[breaker._tag]}` : ""
      if (outage === undefined) return { available: true, why: `it is the primary${held}`, untilMillis: undefined }
      const why = `cannot be connected to (${reasonOf(outage.error)})`
      return { available: false, why, untilMillis: this.wallMillis(outage.until) }
    }
    const why = this.whyNot(member)
    const until = breaker._tag === "Open" ? this.wallMillis(breaker.until) : undefined
    return { available: why === undefined, why: why ?? "in service", untilMillis: until }
  }

  get snapshot(): ReadonlyArray<EndpointHealth> {
    return Array.from(this.members.values(), (member) => ({
      ...this.verdict(member.name),
      endpoint: member.name,
      role: this.isPrimary(member.name) ? "primary" : "replica",
      state: stateNames[member.breaker._tag],
      sinceMillis: this.sinceMillis(member),
      lastError: member.lastError,
      successes: member.successes,
      failures: member.failures,
      probes: { succeeded: member.probesSucceeded, failed: member.probesFailed }
    }))
  }

  /** All that goes on beside statements; to be run in fibers of the Database's Scope. */
  watch(): ReadonlyArray<Effect.Effect<never>> {
    // With nothing to choose from, roles matter only when the one endpoint is in trouble.
    const { discover } = this.watched
    if (this.members.size === 1) return [discover]
    if (Number.isFinite(this.probeNanos)) this.watched.askIfInDoubt()
    return [discover, ...Array.from(this.members.values(), (member) => this.keep(member, 0))]
  }

  // ---- replicas

  private replicaFailed(
    member: Member,
    blame: Disposition["blame"],
    evidence: "soft" | "hard",
    error: SqlError,
    now: bigint
  ): void {
    const { minSamples, minSuccessRate } = this.options.settings
    const good = member.succeeded.total(now)
    const samples = good + member.failed.total(now)
    const failure: Breaker.Failure = {
      evidence,
      error,
      now,
      tooFewSucceed: samples >= minSamples && good < minSuccessRate * samples,
      mayEject: evidence === "soft" && this.mayEjectOneMore
    }
    const limits = this.limits(blame, error)
    const isWithheld = Breaker.isWithheld(member.breaker, failure, limits)
    if (isWithheld && !member.isWithheld) this.publish({ _tag: "EjectionWithheld", endpoint: member.name, error })
    member.isWithheld = isWithheld
    this.move(member, Breaker.failed(member.breaker, failure, limits), now)
  }

  private limits(blame: Disposition["blame"], error: SqlError): Breaker.Limits {
    return {
      softFailures: this.options.settings.softFailures,
      healthyAfter: this.healthyAfter,
      cooldown: (trips) => suited(blame, this.cooldown.delay(trips, error, this.clock.unsafeCurrentTimeMillis()))
    }
  }

  /** Whether the replicas that are out already leave room for one more. */
  private get mayEjectOneMore(): boolean {
    const { maxEjected } = this.options.settings
    let all = 0
    let out = 0
    for (const member of this.members.values()) {
      if (!this.isEligible(member)) continue
      all++
      if (member.breaker._tag !== "Closed") out++
    }
    return maxEjected > 0 && out + 1 <= Math.max(1, Math.floor(all * maxEjected))
  }

  private move(member: Member, next: Breaker.Breaker, now: bigint): void {
    const before = Breaker.automatic(member.breaker)
    const after = Breaker.automatic(next)
    member.breaker = next
    member.isTroubled = after._tag === "Closed" && after.softInARow > 0
      || this.watched.outage !== undefined && this.isPrimary(member.name)
    if (before === after || before._tag === "Closed" && after._tag === "Closed") return
    const { name } = member
    switch (after._tag) {
      case "Open": {
        const { error, evidence, trips, until } = after
        this.publish({
          _tag: "BreakerOpened",
          endpoint: name,
          evidence,
          error,
          trips,
          cooldown: Duration.nanos(until - now)
        })
        this.options.onOpen(name)
        break
      }
      case "Trial":
        this.publish({ _tag: "TrialStarted", endpoint: name, trips: after.trips })
        break
      case "Closed":
        member.succeeded.clear()
        member.failed.clear()
        this.publish({
          _tag: "BreakerClosed",
          endpoint: name,
          after: Duration.nanos(before._tag === "Closed" ? 0n : now - before.since)
        })
        break
    }
    this.rebuild()
    member.wake()
  }

  private relieve(member: Member): void {
    this.move(member, Breaker.succeeded(member.breaker), member.lastSuccess)
    if (this.isPrimary(member.name)) this.watched.answered()
  }

  private hold(member: Member, as: Breaker.Held["_tag"]): void {
    if (member.breaker._tag === as) return
    const { name } = member
    member.breaker = Breaker.hold(member.breaker, as)
    member.heldAt = this.clock.unsafeCurrentTimeNanos()
    this.publish({ _tag: "EndpointHeld", endpoint: name, by: as === "Drained" ? "drain" : "quarantine" })
    if (as === "Quarantined") this.options.onOpen(name)
    this.watched.ignore(name, as === "Quarantined")
    this.rebuild()
    member.wake()
  }

  private withMember(name: string, asked: string, use: (member: Member) => void): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      const member = this.members.get(name)
      if (member !== undefined) return Effect.sync(() => use(member))
      const problem = `database "${this.options.database}" has no such endpoint`
      return Effect.fail(
        RoutingError.toSqlError(new RoutingError.ConfigurationError({ path: `${asked}("${name}")`, problem }))
      )
    })
  }

  /** Whether it would serve reads if its breaker were closed. */
  private isEligible(member: Member): boolean {
    return member.weight > 0 && !Breaker.isHeld(member.breaker)
      && Roles.whyNotReplica(this.watched.roles, member.name) === undefined
  }

  private whyNot(member: Member): string | undefined {
    const { breaker, name, weight } = member
    if (Breaker.isHeld(breaker)) return stateNames[breaker._tag]
    if (weight === 0) return "its weight is 0"
    const role = Roles.whyNotReplica(this.watched.roles, name)
    if (role !== undefined || breaker._tag === "Closed") return role
    const what = breaker._tag === "Trial" ? "on trial" : `open until ${timeOfDay(this.wallMillis(breaker.until))}`
    return `${what} (${reasonOf(breaker.error)})`
  }

  /** Who serves, as things are. */
  private survey(): Survey {
    const serving: Array<string> = []
    const excluded: Array<{ readonly endpoint: string; readonly reason: string }> = []
    for (const member of this.members.values()) {
      if (this.isPrimary(member.name)) continue
      const reason = this.whyNot(member)
      if (reason === undefined) serving.push(member.name)
      else excluded.push({ endpoint: member.name, reason })
    }
    const isPanic = serving.length === 0 && this.options.settings.whenNoneLeft === "panic"
    return {
      primary: this.primary,
      serving: isPanic ? this.leastRecentlyFailed : serving,
      excluded,
      anyInService: serving.length > 0,
      isPrimaryHeld: this.isPrimaryHeld
    }
  }

  /** Something may have changed; nobody notices unless who serves is different. */
  private rebuild(): void {
    const before = this.current
    const after = this.survey()
    const sameServing = isSame(before.serving, after.serving)
    if (
      sameServing && before.primary === after.primary && before.isPrimaryHeld === after.isPrimaryHeld
      && isSame(before.excluded.map(exclusion), after.excluded.map(exclusion))
    ) return
    this.current = sameServing ? { ...after, serving: before.serving } : after
    if (before.anyInService !== after.anyInService) {
      this.publish({ _tag: after.anyInService ? "ReplicasRestored" : "ReplicasExhausted" })
    }
    this.options.onChange()
  }

  private get leastRecentlyFailed(): ReadonlyArray<string> {
    return Array.from(this.members.values()).filter((member) => this.isEligible(member)).toSorted((a, b) =>
      Number(a.lastFailure - b.lastFailure)
    ).map(({ name }) => name)
  }

  // ---- the primary

  private isPrimary(name: string): boolean {
    return this.watched.is(name)
  }

  private primaryFailed(member: Member, disposition: Disposition, error: SqlError, now: bigint): void {
    if (disposition.evidence === "soft") return
    // Too many connections, or one that an administrator ended, leave the others as they are.
    if (disposition.outcome === "notSent" && disposition.blame !== "capacity") {
      this.watched.unreachable(error, now)
      member.isTroubled = true
    }
    this.watched.requestRound()
  }

  /** It is accepted as the primary, so nothing that was held against it before counts. */
  private reclose(member: Member): void {
    const { breaker } = member
    if (Breaker.automatic(breaker)._tag === "Closed") return
    this.move(member, Breaker.reset(breaker), this.clock.unsafeCurrentTimeNanos())
  }

  // ---- probes

  private readonly askAll: Effect.Effect<ReadonlyMap<string, Roles.Answer>> = Effect.suspend(() => {
    const asked = Array.from(this.members.values()).filter(({ breaker }) => breaker._tag !== "Quarantined")
    const ask = (member: Member) =>
      Effect.match(this.ask(member), {
        onSuccess: (role): readonly [string, Roles.Answer] => [member.name, role],
        onFailure: (): readonly [string, Roles.Answer] => [member.name, "silent"]
      })
    return Effect.map(Effect.forEach(asked, ask, { concurrency: "unbounded" }), (answers) => new Map(answers))
  })

  private ask(member: Member): Effect.Effect<Role, SqlError> {
    const { probeTimeout } = this.options.settings
    return Effect.suspend(() => this.options.status(member.name)).pipe(
      // Not kept waiting by a connection that takes its time to be closed.
      Effect.disconnect,
      Effect.timeoutFail({
        duration: probeTimeout,
        onTimeout: () => new SqlError({ cause: new ProbeTimeout(probeTimeout), message: "The probe timed out" })
      }),
      Effect.map(({ role }) => role),
      Effect.catchAllCause((cause) => Effect.fail(errorOf(cause))),
      Effect.tapBoth({
        onSuccess: () => Effect.sync(() => void member.probesSucceeded++),
        onFailure: () => Effect.sync(() => void member.probesFailed++)
      })
    )
  }

  /** Probes one endpoint for ever: at intervals, and when a cooldown is over. */
  private keep(member: Member, skipped: number): Effect.Effect<never> {
    return Effect.suspend(() => {
      const { breaker } = member
      const state = Breaker.automatic(breaker)
      const isChanged = () =>
        member.breaker._tag !== breaker._tag || Breaker.automatic(member.breaker)._tag !== state._tag
      const again = this.keep(member, 0)
      if (breaker._tag === "Quarantined") return Effect.zipRight(sleepUnless(undefined, isChanged, member), again)
      const since = this.clock.unsafeCurrentTimeNanos()
      if (state._tag === "Open") {
        const next = since < state.until
          ? sleepUnless(state.until - since, isChanged, member)
          : this.trial(member, since)
        return Effect.zipRight(next, again)
      }
      return Effect.flatMap(sleepUnless(this.nextInterval(), isChanged, member), () => {
        if (isChanged()) return again
        const isBusy = member.lastSuccess >= since && !member.isTroubled && skipped < mostSkippedProbes
        return isBusy ? this.keep(member, skipped + 1) : Effect.zipRight(this.probe(member), again)
      })
    })
  }

  private nextInterval(): bigint | undefined {
    const { probeJitter } = this.options.settings
    const nanos = this.probeNanos * (1 - probeJitter + 2 * probeJitter * this.options.random())
    return Number.isFinite(nanos) ? BigInt(Math.ceil(nanos)) : undefined
  }

  private trial(member: Member, now: bigint): Effect.Effect<void> {
    this.move(member, Breaker.expired(member.breaker, now), now)
    return this.probe(member)
  }

  private probe(member: Member): Effect.Effect<void> {
    return Effect.match(this.ask(member), {
      onSuccess: (role) => this.probeSucceeded(member, role, this.clock.unsafeCurrentTimeNanos()),
      onFailure: (error) => {
        this.publish({ _tag: "ProbeFailed", endpoint: member.name, error })
        const disposition = error.cause instanceof ProbeTimeout ? broken : this.options.disposition(error)
        this.probeFailed(member, disposition, error, this.clock.unsafeCurrentTimeNanos())
      }
    })
  }

  private probeSucceeded(member: Member, role: Role, now: bigint): void {
    this.move(member, Breaker.succeeded(Breaker.recovered(member.breaker, now)), now)
    this.watched.heard(member.name, role)
    this.rebuild()
  }

  private probeFailed(member: Member, disposition: Disposition, error: SqlError, now: bigint): void {
    const { blame, evidence } = disposition
    if (Breaker.automatic(member.breaker)._tag !== "Trial") {
      if (evidence !== "none") this.failure(member.name, disposition, error, now)
      return
    }
    // An error that speaks against the question, not the server: it is there, and answers.
    if (evidence === "none") return this.move(member, Breaker.recovered(member.breaker, now), now)
    member.lastError = error
    this.move(member, Breaker.relapsed(member.breaker, { evidence, error, now }, this.limits(blame, error)), now)
  }

  private sinceMillis({ breaker, heldAt }: Member): number | undefined {
    const since = Breaker.isHeld(breaker) ? heldAt : breaker.since
    return since === undefined ? undefined : this.wallMillis(since)
  }

  private wallMillis(nanos: bigint): number {
    return this.clock.unsafeCurrentTimeMillis() + Number(nanos - this.clock.unsafeCurrentTimeNanos()) / 1e6
  }
}

/** Who serves. */
interface Survey {
  readonly primary: string
  readonly serving: ReadonlyArray<string>
  readonly excluded: ReadonlyArray<{ readonly endpoint: string; readonly reason: string }>
  readonly anyInService: boolean
  readonly isPrimaryHeld: boolean
}

class ProbeTimeout extends Error {
  constructor(readonly duration: Duration.Duration) {
    super(`no answer within ${Duration.format(duration)}`)
  }
}

const stateNames = {
  Closed: "closed",
  Open: "open",
  Trial: "trial",
  Drained: "drained",
  Quarantined: "quarantined"
} as const

/** A server with too many connections soon has fewer; a wrong password does not mend itself. */
const suited = (blame: Disposition["blame"], delay: bigint): bigint => {
  if (blame === "capacity") return delay < capacityCap ? delay : capacityCap
  return blame === "configuration" && delay < configurationFloor ? configurationFloor : delay
}

const capacityCap = 5_000_000_000n
const configurationFloor = 30_000_000_000n

const errorOf = (cause: Cause.Cause<SqlError>): SqlError => {
  const error = Cause.squash(cause)
  return error instanceof SqlError ? error : new SqlError({ cause: error, message: "The probe failed" })
}

/** Whether the router failed the statement itself; that tells nothing about a server. */
const isOurs = ({ cause }: SqlError): boolean =>
  RoutingError.isRoutingError(cause) && cause._tag !== "EndpointUnavailable"

/** What the driver said, in the words that say most. */
const reasonOf = (error: SqlError): string => RoutingError.describeCause(error)

const timeOfDay = (millis: number): string => new Date(millis).toISOString().slice(11, 19)

const exclusion = (excluded: { readonly endpoint: string; readonly reason: string }): string =>
  `${excluded.endpoint}: ${excluded.reason}`

const isSame = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i])

const toNanos = (duration: Duration.Duration): bigint => BigInt(Math.ceil(Duration.toMillis(duration) * 1e6))

/** The health of a database; what watches over it ends with the Scope. */
export const make = (options: HealthOptions): Effect.Effect<Health, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<never>()
    const health = new Health(options, yield* Effect.clock, new Cooldown(options.settings.cooldown, runtime))
    const watch = Effect.suspend(() => Effect.all(health.watch(), { concurrency: "unbounded", discard: true }))
    // Fibers inherit from the region that a Layer is built in whether they can be interrupted.
    yield* Effect.forkScoped(Effect.interruptible(Effect.zipRight(options.started ?? Effect.void, watch)))
    return health
  })
