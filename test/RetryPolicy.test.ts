import { assert, describe, it } from "@effect/vitest"
import { retrySettings } from "effect-sql-router/internal/health/settings"
import * as RetryPolicy from "effect-sql-router/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

describe("RetryPolicy settings", () => {
  it.effect("are the defaults where nobody says anything", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* retrySettings({}, {}), RetryPolicy.defaults)
    }))

  it.effect("are those of the first who says something, each of a group for itself", () =>
    Effect.gen(function*() {
      const { backoff, budget, maxAttempts } = yield* retrySettings(
        { budget: { ratio: 0.1 }, backoff: { cap: "1 second" } },
        { budget: { ratio: 0.5, perSecond: 7 }, maxAttempts: 1 }
      )
      assert.deepStrictEqual(budget, { ratio: 0.1, perSecond: 7, window: Duration.seconds(10) })
      assert.deepStrictEqual(backoff, { first: Duration.millis(10), cap: Duration.seconds(1) })
      assert.strictEqual(maxAttempts, 1)
    }))

  it.effect("send no second read unless they are told to, and then to one in twenty", () =>
    Effect.gen(function*() {
      assert.isUndefined((yield* retrySettings()).hedge)
      assert.deepStrictEqual((yield* retrySettings({ hedge: { after: "p95" } })).hedge, {
        after: "p95",
        maxExtra: 0.05
      })
      assert.deepStrictEqual((yield* retrySettings({ hedge: { after: "20 millis", maxExtra: 0.1 } })).hedge, {
        after: Duration.millis(20),
        maxExtra: 0.1
      })
    }))

  const wrong: ReadonlyArray<readonly [options: object, message: string]> = [
    [{ maxAttempts: 0 }, "Invalid configuration at retry.maxAttempts: 0 is not a whole number of at least 1"],
    [{ budget: { ratio: -1 } }, "Invalid configuration at retry.budget.ratio: -1 is not a number from 0 to 1000"],
    [
      { backoff: { cap: "never" } },
      "Invalid configuration at retry.backoff.cap: never is not a duration of at least 0"
    ],
    [
      { hedge: { after: "0 millis" } },
      "Invalid configuration at retry.hedge.after: 0 millis is not a duration of at least 1ms"
    ]
  ]
  for (const [options, message] of wrong) {
    it.effect(`names what is wrong with ${Object.keys(options)[0]}`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(retrySettings(options))).message, message)
      }))
  }
})
