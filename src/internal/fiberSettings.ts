import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import type { Fiber } from "./compat.js"
import type { Level } from "./consistency/level.js"
import type { Route } from "./plan.js"

/**
 * All that a program sets for the statements of an effect: one fiber-local for all of it, because each statement reads it
 * and each read costs.
 */
export interface FiberSettings {
  /** The Database that statements go to instead of the client's. */
  readonly database: string | undefined
  /** Where statements go, whatever the rules say. */
  readonly route: Route | undefined
  /** The clock's time after which nothing may be waited for. */
  readonly deadline: bigint | undefined
  /** Whether the server is told of the deadline as its own limit for each statement. */
  readonly deadlineOnServer: boolean
  readonly comment: QueryComment | undefined
  readonly session: SessionSettings | undefined
  /** How fresh reads must be, whatever the router says. */
  readonly consistency: Level | undefined
  /** Whether writes leave the session as it is. */
  readonly ignoreWrites: boolean
  /** What its reads belong to, for strategies that keep such reads together. */
  readonly affinity: string | undefined
  /** Neither span nor event nor capture. */
  readonly quiet: boolean
  /** Whether writes may run more than once. */
  readonly idempotent: boolean
}

/** What a comment says: the names in order. */
export type QueryComment = ReadonlyMap<string, string>

/** Settings that a statement's session must have; compared by identity first, so one object per `withSession`. */
export type SessionSettings = { readonly [name: string]: string }

const none: FiberSettings = {
  database: undefined,
  route: undefined,
  deadline: undefined,
  deadlineOnServer: false,
  comment: undefined,
  session: undefined,
  consistency: undefined,
  ignoreWrites: false,
  affinity: undefined,
  quiet: false,
  idempotent: false
}

const currentSettings: FiberRef.FiberRef<FiberSettings> = globalValue(
  "effect-sql-router/currentSettings",
  () => FiberRef.unsafeMake(none)
)

/** The settings of the fiber. */
export const of = (fiber: Fiber): FiberSettings => fiber.getFiberRef(currentSettings)

/** The settings of the running fiber. */
export const current: Effect.Effect<FiberSettings> = FiberRef.get(currentSettings)

/** Runs an effect with some settings changed. */
export const update = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  change: (settings: FiberSettings) => Partial<FiberSettings>
): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, currentSettings, (settings) => ({ ...settings, ...change(settings) }))

/** Runs an effect whose statements may wait no longer than this; an outer deadline that comes earlier stays. */
export const withDeadline = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  duration: Duration.DurationInput,
  onServer: boolean
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeNanos, (now) => {
    const nanos = Duration.toNanos(duration)
    if (nanos._tag === "None") return effect
    const deadline = now + nanos.value
    return update(effect, (settings) => ({
      deadline: settings.deadline !== undefined && settings.deadline < deadline ? settings.deadline : deadline,
      deadlineOnServer: onServer || settings.deadlineOnServer
    }))
  })
