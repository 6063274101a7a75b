/**
 * The circuit breaker of one replica: a pure state machine. Times are monotonic nanoseconds.
 *
 *     Closed ──hard, or soft often enough──▶ Open ──cooldown over──▶ Trial ──the probe succeeds──▶ Closed
 *                                             ▲                        │
 *                                             └───── the probe fails ──┘
 *
 * `Drained` and `Quarantined` lie over these: what happens meanwhile changes the state beneath, which counts again once
 * somebody releases the replica.
 */
import type { SqlError } from "@effect/sql/SqlError"

/** In service. */
export interface Closed {
  readonly _tag: "Closed"
  /** When it came back into service; `undefined` if it was never out. */
  readonly since: bigint | undefined
  /** How often in a row it had tripped by then. */
  readonly trips: number
  readonly softInARow: number
}

/** Out of service; `Open` until its cooldown is over, then in `Trial` by one probe. */
export interface Tripped {
  readonly _tag: "Open" | "Trial"
  readonly since: bigint
  readonly until: bigint
  readonly trips: number
  readonly evidence: "soft" | "hard"
  readonly error: SqlError
}

export type Automatic = Closed | Tripped

/** Out of service until somebody releases it. */
export interface Held {
  readonly _tag: "Drained" | "Quarantined"
  readonly beneath: Automatic
}

export type Breaker = Automatic | Held

export interface Failure {
  readonly evidence: "soft" | "hard"
  readonly error: SqlError
  readonly now: bigint
  /** Whether soft evidence suffices now, whatever was in a row: too small a share of the statements succeeds. */
  readonly tooFewSucceed: boolean
  /** Whether soft evidence may take out one more. */
  readonly mayEject: boolean
}

export interface Limits {
  readonly softFailures: number
  /** The time in service for which one trip is forgiven. */
  readonly healthyAfter: bigint
  /** How long the nth trip in a row takes it out of service. */
  readonly cooldown: (trips: number) => bigint
}

export const initial: Closed = { _tag: "Closed", since: undefined, trips: 0, softInARow: 0 }

export const isHeld = (self: Breaker): self is Held => self._tag === "Drained" || self._tag === "Quarantined"

/** The state beneath what somebody did by hand. */
export const automatic = (self: Breaker): Automatic => isHeld(self) ? self.beneath : self

const change = (self: Breaker, next: Automatic): Breaker => {
  if (!isHeld(self)) return next
  return next === self.beneath ? self : { _tag: self._tag, beneath: next }
}

/** Something succeeded. It brings nothing back into service: only a probe does. */
export const succeeded = (self: Breaker): Breaker => {
  const state = automatic(self)
  return state._tag === "Closed" && state.softInARow > 0 ? change(self, { ...state, softInARow: 0 }) : self
}

/** Something failed that speaks against the replica. One that is out already stays out as long as it would have. */
export const failed = (self: Breaker, failure: Failure, limits: Limits): Breaker => {
  const state = automatic(self)
  if (state._tag !== "Closed") return self
  const softInARow = failure.evidence === "soft" ? state.softInARow + 1 : state.softInARow
  const suffices = failure.evidence === "hard" || isEnough(softInARow, failure, limits) && failure.mayEject
  return change(
    self,
    suffices ? open(remembered(state, failure.now, limits) + 1, failure, limits) : { ...state, softInARow }
  )
}

/** Whether soft evidence would have opened the breaker, had others not been out already. */
export const isWithheld = (self: Breaker, failure: Failure, limits: Limits): boolean => {
  const state = automatic(self)
  return state._tag === "Closed" && failure.evidence === "soft" && !failure.mayEject
    && isEnough(state.softInARow + 1, failure, limits)
}

/** The cooldown may be over: then one probe, which the caller is to send, decides. */
export const expired = (self: Breaker, now: bigint): Breaker => {
  const state = automatic(self)
  return state._tag === "Open" && now >= state.until ? change(self, { ...state, _tag: "Trial" }) : self
}

/** The trial has ended well. */
export const recovered = (self: Breaker, now: bigint): Breaker => {
  const state = automatic(self)
  return state._tag === "Trial"
    ? change(self, { _tag: "Closed", since: now, trips: state.trips, softInARow: 0 })
    : self
}

/** The trial has failed. */
export const relapsed = (
  self: Breaker,
  failure: Pick<Failure, "evidence" | "error" | "now">,
  limits: Limits
): Breaker => {
  const state = automatic(self)
  return state._tag === "Trial"
    ? change(self, { ...open(state.trips + 1, failure, limits), since: state.since })
    : self
}

export const hold = (self: Breaker, as: Held["_tag"]): Breaker => ({ _tag: as, beneath: automatic(self) })

export const released = (self: Breaker): Breaker => automatic(self)

/** Nothing that was held against it counts any more, but for what was done by hand. */
export const reset = (self: Breaker): Breaker => change(self, initial)

const isEnough = (softInARow: number, failure: Failure, limits: Limits): boolean =>
  softInARow >= limits.softFailures || failure.tooFewSucceed

const open = (trips: number, failure: Pick<Failure, "evidence" | "error" | "now">, limits: Limits): Tripped => ({
  _tag: "Open",
  since: failure.now,
  until: failure.now + limits.cooldown(trips),
  trips,
  evidence: failure.evidence,
  error: failure.error
})

/** The trips that are not forgiven yet: one less for each while in service, as in Envoy. */
const remembered = (state: Closed, now: bigint, limits: Limits): number => {
  if (state.since === undefined) return state.trips
  const forgiven = Number((now - state.since) / limits.healthyAfter)
  return Math.max(0, state.trips - forgiven)
}
