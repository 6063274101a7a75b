import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutingError from "effect-sql-router/RoutingError"
import type { Scenario, SimulationOptions } from "effect-sql-router/testing/ClusterSimulation"
import * as ClusterSimulation from "effect-sql-router/testing/ClusterSimulation"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const { scenarios } = ClusterSimulation

/** Short ones; `bench -- strategies` runs them at length. */
const run = (scenario: Scenario, strategy: SimulationOptions["strategy"], options: Partial<SimulationOptions> = {}) =>
  ClusterSimulation.run({
    scenario: { window: ["400 millis", "1200 millis"], ...scenario },
    strategy,
    serviceTime: "5 millis",
    duration: "1200 millis",
    ...options
  })

/** As `stall2s`, sooner and shorter. */
const stall: Scenario = {
  replicas: (count) =>
    Array.from(
      { length: count },
      (_, i) => i === 0 ? { trouble: { fault: "hang", from: "500 millis", to: "1 second" } } : {}
    ),
  window: ["500 millis", "1500 millis"]
}

const failing = (fault: "broken" | "down" | "lostBefore"): Scenario => ({
  replicas: (count) =>
    Array.from({ length: count }, (_, i) => i === 0 ? { trouble: { fault, from: "300 millis" } } : {}),
  window: ["300 millis", "1500 millis"]
})

describe("simulated through the router, with five replicas", () => {
  const { far10x, healthy, sizes, slow10x } = scenarios
  for (const [name, scenario] of Object.entries({ healthy, slow10x, far10x, sizes, stall })) {
    it.effect(`the default strategy stays near an oracle: ${name}`, () =>
      Effect.gen(function*() {
        const options = scenario === stall ? { serviceTime: "2 millis", duration: "1600 millis" } as const : {}
        const ours = yield* run(scenario, ReplicaStrategy.ewma, options)
        const best = yield* run(scenario, "oracle", options)
        assert.strictEqual(ours.failed, 0)
        assert.isAtMost(ours.p99 / best.p99, 1.15)
      }))
  }

  for (const fault of ["broken", "down", "lostBefore"] as const) {
    it.effect(`no caller sees that a replica is ${fault}, and it is left alone`, () =>
      Effect.gen(function*() {
        const { failed, p99, sharesFrom } = yield* run(failing(fault), ReplicaStrategy.ewma, {
          duration: "1500 millis"
        })
        assert.strictEqual(failed, 0)
        assert.isBelow(p99, 10)
        assert.isBelow(sharesFrom("1300 millis")[0]!, 0.05)
      }))
  }

  it.effect("the latency band is as good as random where all replicas are, and its winner draws a herd", () =>
    Effect.gen(function*() {
      const random = yield* run(scenarios.healthy, ReplicaStrategy.random)
      const band = yield* run(scenarios.healthy, ReplicaStrategy.leastLatency())
      const winner = yield* run(
        scenarios.healthy,
        ReplicaStrategy.leastLatency({ mode: "winner", ttl: "1 second" })
      )
      assert.isAtMost(band.p50 / random.p50, 1.2)
      assert.isAbove(winner.p50 / random.p50, 3)
    }))

  it.effect("a replica of weight 0 is left alone, and shares follow the weights", () =>
    Effect.gen(function*() {
      const { sharesFrom } = yield* run(
        { replicas: () => [{ weight: 0 }, { weight: 1 }, { weight: 3 }] },
        ReplicaStrategy.weighted,
        { load: 0.2 }
      )
      const [none, one, three] = sharesFrom(0)
      assert.strictEqual(none, 0)
      assert.closeTo(three! / one!, 3, 0.5)
    }))

  it.effect("the same seed gives the same figures, another one others", () =>
    Effect.gen(function*() {
      const once = (seed: number) =>
        Effect.map(
          run(scenarios.slow10x, ReplicaStrategy.powerOfTwo, { seed, duration: "800 millis" }),
          ({ mean }) => mean
        )
      const first = yield* once(1)
      assert.strictEqual(yield* once(1), first)
      assert.notStrictEqual(yield* once(2), first)
    }))

  it.effect("fails where a router would", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(scenarios.healthy, ReplicaStrategy.ewma, { router: { pool: { max: 0 } } }))
      assert.strictEqual(Option.getOrThrow(RoutingError.from(error))._tag, "ConfigurationError")
    }))
})
