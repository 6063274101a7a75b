import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Role } from "../../Endpoint.js"
import type { ReplicaHealthSettings } from "../../ReplicaHealth.js"
import * as RoutingError from "../../RoutingError.js"
import type { Publish } from "./publish.js"
import * as Roles from "./roles.js"
import { sleepUnless } from "./sleep.js"

/** A primary that could not be connected to is not tried again for so long, so that it is not stormed. */
const failFast = 250_000_000n

/** How often all endpoints are asked who the primary is. */
const roundInterval = Duration.millis(100)

export interface PrimaryOptions {
  readonly database: string
  readonly endpoints: ReadonlyArray<{ readonly name: string; readonly role: Role }>
  readonly settings: ReplicaHealthSettings
  readonly clock: Clock.Clock
  readonly publish: Publish
  /** Asks all endpoints for their roles at the same time. */
  readonly askAll: Effect.Effect<ReadonlyMap<string, Roles.Answer>>
  readonly onRoleChange: (name: string, role: Role) => void
  /** An endpoint said itself that it takes writes, and was accepted. */
  readonly onAccepted: (name: string) => void
  /** A round has ended: who serves may be different now. */
  readonly onDecided: () => void
}

/** Who takes the writes of a database, and what becomes of them while nobody does. */
export class Primary {
  private current: Roles.Roles
  private refusedWith: SqlError | undefined
  private refusedUntil = 0n
  private inDoubtSince: bigint | undefined
  private roundsStarted = 0
  private roundsCompleted = 0
  private roundsWanted = 0
  private readonly listeners = new Set<() => void>()
  private readonly sleeper = { wake: () => {} }

  constructor(private readonly options: PrimaryOptions) {
    this.current = Roles.make(
      options.endpoints.map(({ name, role }) => ({ name, mayBePrimary: role === "primary" }))
    )
  }

  get roles(): Roles.Roles {
    return this.current
  }

  /** Who takes writes; who did last, while {@link refuseWrite} refuses them. */
  get name(): string {
    return Roles.lastPrimary(this.current)
  }

  is(name: string): boolean {
    const { primary } = this.current
    return primary._tag === "Known" && primary.name === name
  }

  /** Why it could not be connected to, and until when it is not tried again. */
  get outage(): { readonly error: SqlError; readonly until: bigint } | undefined {
    return this.refusedWith === undefined ? undefined : { error: this.refusedWith, until: this.refusedUntil }
  }

  /** Why a write need not even be tried now; `undefined` if it is to be. */
  refuseWrite(now: bigint): SqlError | undefined {
    const { database } = this.options
    const { primary } = this.current
    switch (primary._tag) {
      case "Known":
        return now < this.refusedUntil ? this.refusedWith : undefined
      case "None":
        return RoutingError.toSqlError(new RoutingError.NoPrimary({ database, endpoint: primary.last }))
      case "Split":
        return RoutingError.toSqlError(new RoutingError.SplitBrain({ database, endpoints: primary.names }))
    }
  }

  /** Whether a primary is there that nothing speaks against. */
  get isThere(): boolean {
    return this.current.primary._tag === "Known" && this.refusedWith === undefined
  }

  /** A round that begins after this call, and that all who wait share. */
  readonly refreshRoles: Effect.Effect<void> = Effect.suspend(() => {
    if (this.isAlone) return Effect.void
    const wanted = this.roundsStarted + 1
    this.doubt()
    this.requestRound()
    return this.until(() => this.roundsCompleted >= wanted)
  })

  readonly awaitPrimary: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.zipRight(
      // In an uninterruptible region nothing else could be timed out.
      Effect.timeoutOption(Effect.interruptible(this.until(() => this.isThere)), this.options.settings.awaitPrimary),
      Effect.suspend(() => {
        const refusal = this.isThere ? undefined : this.refuseWrite(this.now()) ?? this.refusedWith
        return refusal === undefined ? Effect.void : Effect.fail(refusal)
      })
    )
  )

  /** It could not be connected to. */
  unreachable(error: SqlError, now: bigint): void {
    if (this.refusedWith === undefined) {
      this.options.publish({ _tag: "PrimaryLost", endpoint: this.name, reason: "unreachable" })
    }
    this.refusedWith = error
    this.refusedUntil = now + failFast
    this.current = Roles.confirm(this.current, false)
    this.doubt()
  }

  /** It refused a statement for its role: all are asked, even where that statement cannot wait for the answer. */
  refused(): void {
    if (this.isAlone) return
    this.doubt()
    this.requestRound()
  }

  /** It served a statement. */
  answered(): void {
    this.current = Roles.confirm(this.current, true)
    this.endDoubt()
    if (this.refusedWith === undefined) return
    this.forgive()
    this.options.publish({ _tag: "PrimaryRestored", endpoint: this.name })
    this.notify()
  }

  /** One endpoint said what it is; if that calls the primary into question, all are asked. */
  heard(name: string, role: Role): void {
    const answers = new Map([[name, role]])
    this.publishRoles(answers)
    this.current = Roles.observe(this.current, answers)
    if (!Roles.isInDoubt(this.current)) return
    if (role === "primary") this.doubt()
    this.requestRound()
  }

  /** Takes an endpoint's word out of account, or lets it count again. */
  ignore(name: string, ignored: boolean): void {
    const wasPrimary = this.is(name)
    const roles = Roles.ignore(this.current, name, ignored)
    if (ignored && wasPrimary) this.become(Roles.decide(roles, new Map()), "quarantined")
    else this.current = roles
    this.askIfInDoubt()
  }

  askIfInDoubt(): void {
    if (!Roles.isInDoubt(this.current)) return
    this.doubt()
    this.requestRound()
  }

  requestRound(): void {
    this.roundsWanted = this.roundsStarted + 1
    this.sleeper.wake()
  }

  /**
   * Asks all endpoints for their roles, whenever that is wanted, and while the primary is in doubt: every 100 ms at first, then
   * at the probe interval, for one whose breaker is open is asked by nobody else.
   */
  readonly discover: Effect.Effect<never> = Effect.suspend(() => {
    const isWanted = () => this.roundsWanted > this.roundsStarted
    const next = this.isUrgent || isWanted()
      ? Effect.zipRight(this.round, Effect.sleep(roundInterval))
      : Effect.map(sleepUnless(this.untilNextRound, isWanted, this.sleeper), () => {
        if (this.inDoubtSince !== undefined) this.requestRound()
      })
    return Effect.zipRight(next, this.discover)
  })

  private readonly round: Effect.Effect<void> = Effect.suspend(() => {
    this.roundsStarted++
    return Effect.map(this.options.askAll, (answers) => {
      this.publishRoles(answers)
      this.become(Roles.decide(this.current, answers), "demoted")
      this.roundsCompleted = this.roundsStarted
      this.options.onDecided()
      this.notify()
    })
  })

  private get isAlone(): boolean {
    return this.options.endpoints.length === 1
  }

  private get isUrgent(): boolean {
    const failoverNanos = Duration.toMillis(this.options.settings.failoverTimeout) * 1e6
    return this.inDoubtSince !== undefined && Number(this.now() - this.inDoubtSince) < failoverNanos
  }

  /** `undefined`: none, unless somebody asks for it. */
  private get untilNextRound(): bigint | undefined {
    const { probeInterval } = this.options.settings
    return this.inDoubtSince === undefined ? undefined : Option.getOrUndefined(Duration.toNanos(probeInterval))
  }

  private become(next: Roles.Roles, lostBy: "demoted" | "quarantined"): void {
    const { onAccepted, onRoleChange, publish } = this.options
    const before = this.current.primary
    const last = this.name
    this.current = next
    const { primary } = next
    switch (primary._tag) {
      case "Known": {
        const isOther = primary.name !== last
        if (isOther) publish({ _tag: "PrimaryChanged", from: last, to: primary.name })
        if (isOther && before._tag !== "None") onRoleChange(last, "replica")
        if (isOther || before._tag !== "Known") onRoleChange(primary.name, "primary")
        if (isOther || primary.confirmed) {
          const wasMissed = before._tag !== "Known" || this.refusedWith !== undefined
          this.forgive()
          onAccepted(primary.name)
          if (wasMissed) publish({ _tag: "PrimaryRestored", endpoint: primary.name })
        }
        break
      }
      case "None":
        if (before._tag === "None") break
        publish({ _tag: "PrimaryLost", endpoint: last, reason: lostBy })
        onRoleChange(last, "replica")
        break
      case "Split":
        if (before._tag !== "Split" || before.names.join() !== primary.names.join()) {
          publish({ _tag: "SplitBrainDetected", endpoints: primary.names })
        }
        break
    }
    this.endDoubt()
  }

  private publishRoles(answers: ReadonlyMap<string, Roles.Answer>): void {
    for (const [endpoint, to] of answers) {
      const from = this.current.members.get(endpoint)?.said
      if (to !== "silent" && from !== undefined && from !== to) {
        this.options.publish({ _tag: "RoleChanged", endpoint, from, to })
      }
    }
  }

  private forgive(): void {
    this.refusedWith = undefined
    this.refusedUntil = 0n
  }

  /** The fast rounds begin, unless they did already. */
  private doubt(): void {
    this.inDoubtSince ??= this.now()
  }

  private endDoubt(): void {
    if (!Roles.isInDoubt(this.current)) this.inDoubtSince = undefined
  }

  private now(): bigint {
    return this.options.clock.unsafeCurrentTimeNanos()
  }

  private notify(): void {
    for (const listener of this.listeners) listener()
  }

  /** Waits until something holds that rounds, or statements on the primary, bring about. */
  private until(holds: () => boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (holds()) return resume(Effect.void)
      const listener = () => {
        if (!holds()) return
        this.listeners.delete(listener)
        resume(Effect.void)
      }
      this.listeners.add(listener)
      return Effect.sync(() => void this.listeners.delete(listener))
    })
  }
}
