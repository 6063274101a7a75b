import { assert, describe, it } from "@effect/vitest"
import { Cooldown } from "effect-sql-router/internal/health/cooldown"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { fault } from "./cluster.js"

const delays = (schedule: Schedule.Schedule<unknown>, trips: ReadonlyArray<number>) =>
  Effect.map(Effect.runtime<never>(), (runtime) => {
    const cooldown = new Cooldown(schedule, runtime)
    return trips.map((nth) => Number(cooldown.delay(nth, fault("refused"), 1000)) / 1e6)
  })

describe("cooldowns from a schedule", () => {
  it.effect("are its delays, by how often in a row the replica tripped", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* delays(Schedule.exponential("1 second"), [1, 2, 3, 4]), [1000, 2000, 4000, 8000])
      assert.deepStrictEqual(yield* delays(Schedule.spaced("30 seconds"), [1, 2, 3]), [30_000, 30_000, 30_000])
    }))

  it.effect("go back when trips are forgiven, and on from there", () =>
    Effect.gen(function*() {
      const trips = [1, 2, 3, 4, 2, 3, 1]
      assert.deepStrictEqual(
        yield* delays(Schedule.exponential("1 second"), trips),
        trips.map((nth) => 1000 * 2 ** (nth - 1))
      )
    }))

  it.effect("stay at the last delay when it ends", () =>
    Effect.gen(function*() {
      const ending = Schedule.intersect(Schedule.exponential("1 second"), Schedule.recurs(3))
      assert.deepStrictEqual(yield* delays(ending, [1, 2, 3, 4, 5, 9]), [1000, 2000, 4000, 4000, 4000, 4000])
    }))

  it.effect("grow no more after many trips, and never to infinity", () =>
    Effect.gen(function*() {
      const [a, b] = yield* delays(Schedule.exponential("1 milli"), [100, 5000])
      assert.strictEqual(a, b)
      assert.isTrue(Number.isFinite(a))
    }))

  it.effect("are a tenth of a second at least", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* delays(Schedule.forever, [1, 2]), [100, 100])
    }))

  it.effect("are drawn anew each time, from the seed", () =>
    Effect.gen(function*() {
      const drawn = () =>
        delays(Schedule.jittered(Schedule.spaced("10 seconds")), [1, 1, 1, 1]).pipe(
          Effect.withRandom(Random.make("seed"))
        )
      const first = yield* drawn()
      assert.strictEqual(new Set(first).size, 4)
      assert.deepStrictEqual(yield* drawn(), first)
    }))
})
