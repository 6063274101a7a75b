import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ReplicaHealth from "../../ReplicaHealth.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import { invalid, merged } from "../configuration.js"
import { Cooldown } from "./cooldown.js"

const number = (
  path: string,
  value: unknown,
  least: number,
  most: number,
  isWhole = false
): Effect.Effect<number, SqlError> =>
  typeof value === "number" && value >= least && value <= most && (!isWhole || Number.isInteger(value))
    ? Effect.succeed(value)
    : invalid(
      path,
      `${String(value)} is not a ${isWhole ? "whole number" : "number"} ${
        most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`
      }`
    )

const time = (path: string, value: unknown, least: Duration.Duration): Effect.Effect<Duration.Duration, SqlError> => {
  const decoded = Duration.decodeUnknown(value)
  return decoded._tag === "Some" && Duration.greaterThanOrEqualTo(decoded.value, least)
    ? Effect.succeed(decoded.value)
    : invalid(path, `${String(value)} is not a duration of at least ${Duration.format(least)}`)
}

const finite = (path: string, value: unknown, least: Duration.Duration): Effect.Effect<Duration.Duration, SqlError> =>
  Effect.filterOrElse(
    time(path, value, least),
    Duration.isFinite,
    () => invalid(path, "it must end: give a finite duration")
  )

const aMoment = Duration.millis(1)
const whatever = new SqlError({ cause: undefined, message: "asked for its first delay" })

/** The health settings of a database; `sources` in order of precedence. */
export const healthSettings = (
  ...sources: ReadonlyArray<ReplicaHealth.ReplicaHealthOptions>
): Effect.Effect<ReplicaHealth.ReplicaHealthSettings, SqlError> =>
  Effect.gen(function*() {
    const given = merged<{ readonly [key in keyof ReplicaHealth.ReplicaHealthSettings]: unknown }>(
      ReplicaHealth.defaults,
      sources
    )
    const whenNoneLeft = (["primary", "panic", "fail"] as const).find((policy) => policy === given.whenNoneLeft)
    const cooldown = given.cooldown as ReplicaHealth.ReplicaHealthSettings["cooldown"]
    const runtime = yield* Effect.runtime<never>()
    if (new Cooldown(cooldown, runtime).step(1, whatever, 0) === undefined) {
      yield* invalid("health.cooldown", "it has no first delay, or does not tell it without waiting")
    }
    return {
      cooldown,
      healthyAfter: yield* finite("health.healthyAfter", given.healthyAfter, aMoment),
      softFailures: yield* number("health.softFailures", given.softFailures, 1, Number.POSITIVE_INFINITY),
      minSuccessRate: yield* number("health.minSuccessRate", given.minSuccessRate, 0, 1),
      successWindow: yield* finite("health.successWindow", given.successWindow, aMoment),
      minSamples: yield* number("health.minSamples", given.minSamples, 1, Number.POSITIVE_INFINITY),
      maxEjected: yield* number("health.maxEjected", given.maxEjected, 0, 1),
      probeInterval: yield* time("health.probeInterval", given.probeInterval, Duration.millis(100)),
      probeTimeout: yield* finite("health.probeTimeout", given.probeTimeout, aMoment),
      probeJitter: yield* number("health.probeJitter", given.probeJitter, 0, 1),
      whenNoneLeft: whenNoneLeft
        ?? (yield* invalid("health.whenNoneLeft", `${String(given.whenNoneLeft)} is not "primary", "panic" or "fail"`)),
      primaryReadShare: yield* number("health.primaryReadShare", given.primaryReadShare, 0, 1),
      failoverTimeout: yield* finite("health.failoverTimeout", given.failoverTimeout, Duration.zero),
      awaitPrimary: yield* finite("health.awaitPrimary", given.awaitPrimary, Duration.zero)
    }
  })

/** The retry settings of a database; `sources` in order of precedence. */
export const retrySettings = (
  ...sources: ReadonlyArray<RetryPolicy.RetryPolicyOptions>
): Effect.Effect<RetryPolicy.RetryPolicySettings, SqlError> =>
  Effect.gen(function*() {
    const { defaults } = RetryPolicy
    const given = merged<RetryPolicy.RetryPolicyOptions>({}, sources)
    // A source that gives one of a group leaves the others to the next.
    const budget = merged(defaults.budget, sources.map((source) => source.budget ?? {}))
    const backoff = merged(defaults.backoff, sources.map((source) => source.backoff ?? {}))
    return {
      maxAttempts: yield* number(
        "retry.maxAttempts",
        given.maxAttempts ?? defaults.maxAttempts,
        1,
        Number.POSITIVE_INFINITY,
        true
      ),
      budget: {
        ratio: yield* number("retry.budget.ratio", budget.ratio, 0, 1000),
        perSecond: yield* number("retry.budget.perSecond", budget.perSecond, 0, 1e6),
        window: yield* finite("retry.budget.window", budget.window, aMoment)
      },
      backoff: {
        first: yield* finite("retry.backoff.first", backoff.first, Duration.zero),
        cap: yield* finite("retry.backoff.cap", backoff.cap, Duration.zero)
      },
      hedge: given.hedge === undefined ? undefined : {
        after: given.hedge.after === "p95"
          ? "p95" as const
          : yield* finite("retry.hedge.after", given.hedge.after, aMoment),
        maxExtra: yield* number("retry.hedge.maxExtra", given.hedge.maxExtra ?? 0.05, 0, 1)
      }
    }
  })
