import { assert, describe, it } from "@effect/vitest"
import { healthSettings } from "effect-sql-router/internal/health/settings"
import * as ReplicaHealth from "effect-sql-router/ReplicaHealth"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

describe("ReplicaHealth settings", () => {
  it.effect("are the defaults where nobody says anything", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* healthSettings({}, {}), ReplicaHealth.defaults)
    }))

  it.effect("are those of the first who says something", () =>
    Effect.gen(function*() {
      const { maxEjected, probeInterval, softFailures } = yield* healthSettings(
        { softFailures: 7, probeInterval: undefined },
        { softFailures: 9, probeInterval: "1 minute" }
      )
      assert.deepStrictEqual([maxEjected, Duration.toSeconds(probeInterval), softFailures], [0.5, 60, 7])
    }))

  it.effect("may switch probes off", () =>
    Effect.gen(function*() {
      const { probeInterval } = yield* healthSettings({ probeInterval: Duration.infinity })
      assert.isFalse(Duration.isFinite(probeInterval))
    }))

  const wrong: ReadonlyArray<readonly [options: object, message: string]> = [
    [{ softFailures: 0 }, "Invalid configuration at health.softFailures: 0 is not a number of at least 1"],
    [{ maxEjected: 2 }, "Invalid configuration at health.maxEjected: 2 is not a number from 0 to 1"],
    [{ minSuccessRate: NaN }, "Invalid configuration at health.minSuccessRate: NaN is not a number from 0 to 1"],
    [
      { probeInterval: "soon" },
      "Invalid configuration at health.probeInterval: soon is not a duration of at least 100ms"
    ],
    [{ awaitPrimary: Infinity }, "Invalid configuration at health.awaitPrimary: it must end: give a finite duration"],
    [
      { whenNoneLeft: "hope" },
      "Invalid configuration at health.whenNoneLeft: hope is not \"primary\", \"panic\" or \"fail\""
    ],
    [
      { cooldown: Schedule.stop },
      "Invalid configuration at health.cooldown: it has no first delay, or does not tell it without waiting"
    ],
    [
      { cooldown: Schedule.delayedEffect(Schedule.forever, () => Effect.as(Effect.sleep("1 second"), Duration.zero)) },
      "Invalid configuration at health.cooldown: it has no first delay, or does not tell it without waiting"
    ]
  ]
  for (const [options, message] of wrong) {
    it.effect(`names what is wrong with ${Object.keys(options)[0]}`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(healthSettings(options))).message, message)
      }))
  }
})
