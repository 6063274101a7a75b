import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import type { Law } from "effect-sql-router/testing/ReplicaStrategyLaws"
import * as ReplicaStrategyLaws from "effect-sql-router/testing/ReplicaStrategyLaws"
import * as Effect from "effect/Effect"

const ours: ReadonlyArray<readonly [strategy: ReplicaStrategy.ReplicaStrategy, except?: ReadonlyArray<Law>]> = [
  [ReplicaStrategy.ewma],
  [ReplicaStrategy.peakEwma],
  [ReplicaStrategy.leastOutstanding],
  [ReplicaStrategy.powerOfTwo],
  [ReplicaStrategy.roundRobin],
  [ReplicaStrategy.weighted],
  [ReplicaStrategy.hotCold],
  [ReplicaStrategy.rendezvous()],
  [ReplicaStrategy.rendezvous(() => undefined)],
  [ReplicaStrategy.leastLatency()],
  [ReplicaStrategy.leastLatency({ source: "probe", sampleSize: 3 }), ["share"]],
  [ReplicaStrategy.leastLatency({ mode: "winner" }), ["starvation", "share", "order"]],
  [ReplicaStrategy.random, ["share"]],
  [ReplicaStrategy.failover, ["starvation", "share", "order"]],
  [ReplicaStrategy.perSession(ReplicaStrategy.ewma)],
  [ReplicaStrategy.withLocality(ReplicaStrategy.ewma, ["zone0", "zone1"])],
  [ReplicaStrategy.withSubset(ReplicaStrategy.ewma, 8)],
  [ReplicaStrategy.withSubset(ReplicaStrategy.roundRobin, 2), ["starvation", "share", "order"]],
  [ReplicaStrategy.withSlowStart(ReplicaStrategy.ewma, {})],
  [ReplicaStrategy.preferLowLag(ReplicaStrategy.ewma, { within: "1 second" })],
  [ReplicaStrategy.withFallback(ReplicaStrategy.ewma, ReplicaStrategy.random)],
  [ReplicaStrategy.shadow(ReplicaStrategy.roundRobin, ReplicaStrategy.ewma, () => {})],
  [
    ReplicaStrategy.make({
      name: "any",
      initial: 0,
      choose: (s, all, _, random) => [Math.floor(random() * all.length), s]
    }),
    ["share"]
  ]
]

describe("every strategy holds to the laws", () => {
  for (const [strategy, except] of ours) {
    const but = except === undefined ? "" : `, but for ${except.join(", ")}`
    it.effect(`${strategy.name}${but}`, () => ReplicaStrategyLaws.check(strategy, { except }))
  }
})

/** A strategy of its own making, without the care the constructors take. */
const raw = (
  make: (random: () => number) => ReplicaStrategy.ReplicaChooser
): ReplicaStrategy.ReplicaStrategy => ({ name: "broken", make: ({ random }) => Effect.sync(() => make(random)) })

const uniform = (random: () => number) => (candidates: ReadonlyArray<unknown>) =>
  Math.floor(random() * candidates.length)

const broken: { readonly [L in Law]: ReplicaStrategy.ReplicaStrategy } = {
  offered: raw((random) => ({ choose: (candidates) => Math.floor(random() * (candidates.length + 0.1)) })),
  single: raw(() => ({ choose: () => 1 })),
  drained: raw((random) => ({ choose: uniform(random) })),
  replay: raw(() => ({ choose: uniform(Math.random) })),
  starvation: raw((random) => ({ choose: (candidates) => Math.floor(random() * Math.min(3, candidates.length)) })),
  share: ReplicaStrategy.random,
  order: raw((random) => ({ choose: (candidates) => random() < 0.1 ? 0 : uniform(random)(candidates) })),
  departed: raw((random) => {
    let told = false
    return {
      choose: (candidates) => {
        if (told) random()
        return uniform(random)(candidates)
      },
      observe: () => {
        told = true
      }
    }
  }),
  bounded: raw(() => {
    const picked = new Map<string, number>()
    return {
      choose: (candidates) => {
        for (const { name } of candidates) picked.set(name, (picked.get(name) ?? 0) + 1)
        return 0
      }
    }
  })
}

describe("a strategy that breaks a law is found out", () => {
  for (const law of Object.keys(broken) as ReadonlyArray<Law>) {
    it.effect(law, () =>
      Effect.gen(function*() {
        const found = yield* ReplicaStrategyLaws.violations(broken[law])
        assert.include(found.map((_) => _.law), law)
      }))
  }

  it.effect("also one that throws", () =>
    Effect.gen(function*() {
      const throws = raw(() => ({
        choose: () => {
          throw new Error("no idea")
        }
      }))
      const error = yield* Effect.flip(ReplicaStrategyLaws.check(throws))
      assert.strictEqual(error._tag, "UnlawfulStrategy")
      assert.include(error.message, "no idea")
    }))

  it.effect("but not where it says so", () => ReplicaStrategyLaws.check(broken.share, { except: ["share"] }))
})
