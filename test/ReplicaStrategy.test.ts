import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import { candidate } from "effect-sql-router/testing/ReplicaStrategyLaws"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Utils from "effect/Utils"
import * as fc from "fast-check"

const seeded = (seed: number) => {
  const generator = new Utils.PCGRandom(seed)
  return () => generator.number()
}

const chooserOf = (strategy: ReplicaStrategy.ReplicaStrategy, random = seeded(1)): ReplicaStrategy.ReplicaChooser =>
  Effect.runSync(Effect.scoped(strategy.make({ random })))

const at = (now: number, context: Partial<ReplicaStrategy.ChoiceContext> = {}): ReplicaStrategy.ChoiceContext => ({
  now,
  attempt: 1,
  key: undefined,
  session: undefined,
  facts: undefined,
  ...context
})

type Given = Partial<ReplicaStrategy.Candidate>

const named = (...given: ReadonlyArray<Given>): ReadonlyArray<ReplicaStrategy.Candidate> =>
  given.map((given, i) => candidate({ name: `replica${i + 1}`, ...given }))

const candidates = (weights: ReadonlyArray<number>) => named(...weights.map((weight) => ({ weight })))

/** Answers in `mean` ms, measured at 0. */
const answering = (mean: number, more: Given = {}): Given => ({
  latency: { mean, peak: mean, at: 0, samples: 1 },
  ...more
})

/** How often each candidate is chosen at a time, in 1000 choices. */
const shares = (
  strategy: ReplicaStrategy.ReplicaStrategy,
  candidates: ReadonlyArray<ReplicaStrategy.Candidate>,
  context: ReplicaStrategy.ChoiceContext = at(0)
): ReadonlyArray<number> => {
  const chooser = chooserOf(strategy)
  const counts = candidates.map(() => 0)
  for (let i = 0; i < 1000; i++) counts[chooser.choose(candidates, context)]!++
  return counts
}

const picks = (weights: ReadonlyArray<number>, count: number, random = () => 0): ReadonlyArray<number> => {
  const chooser = chooserOf(ReplicaStrategy.roundRobin, random)
  const all = candidates(weights)
  return Array.from({ length: count }, () => chooser.choose(all, at(0)))
}

describe("roundRobin", () => {
  it("takes replicas of equal weight in turn", () => {
    assert.deepStrictEqual(picks([1, 1, 1], 6), [0, 1, 2, 0, 1, 2])
  })

  it("spreads unequal weights evenly instead of in bursts", () => {
    assert.deepStrictEqual(picks([5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0])
  })

  it("does not begin with the same replica in every process", () => {
    const firsts = new Set([0, 1, 2].map((lucky) => {
      let i = 0
      return picks([1, 1, 1], 1, () => i++ === lucky ? 0.9 : 0)[0]
    }))
    assert.deepStrictEqual(firsts, new Set([0, 1, 2]))
  })

  it("gives each replica its share, whatever the weights and the start", () => {
    const weight = fc.integer({ min: 1, max: 20 })
    fc.assert(fc.property(
      fc.array(weight, { minLength: 2, maxLength: 8 }),
      fc.infiniteStream(fc.double({
        min: 0,
        max: 0.999,
        noNaN: true
      })),
      (weights, randoms) => {
        const total = weights.reduce((a, b) => a + b, 0)
        const chosen = picks(weights, total * 10, () => randoms.next().value)
        weights.forEach((weight, i) => {
          const share = chosen.filter((pick) => pick === i).length
          assert.isAtMost(Math.abs(share - weight * 10), 2)
        })
      }
    ))
  })

  it("goes on fairly when a replica leaves and comes back", () => {
    const chooser = chooserOf(ReplicaStrategy.roundRobin, () => 0)
    const all = candidates([1, 1, 1])
    for (let i = 0; i < 100; i++) chooser.choose(all.slice(0, 2), at(0))
    const after = Array.from({ length: 30 }, () => chooser.choose(all, at(0)))
    for (const i of [0, 1, 2]) assert.strictEqual(after.filter((pick) => pick === i).length, 10)
  })
})

describe("ewma", () => {
  it("takes the replica that is expected to be through first", () => {
    const all = named(answering(2, { inFlight: 9 }), answering(5, { inFlight: 1 }), answering(30))
    assert.deepStrictEqual(shares(ReplicaStrategy.ewma, all), [0, 1000, 0])
  })

  it("sees a stall before any answer comes", () => {
    const all = named(answering(2, { inFlight: 1, oldestInFlightAt: -100 }), answering(4, { inFlight: 1 }))
    assert.deepStrictEqual(shares(ReplicaStrategy.ewma, all), [0, 1000])
  })

  it("sends one statement, not a herd, to a replica that never answered", () => {
    const fresh = named(answering(2), {})
    assert.deepStrictEqual(shares(ReplicaStrategy.ewma, fresh), [0, 1000])
    const beingTried = named(answering(2), { inFlight: 1, oldestInFlightAt: 0 })
    assert.deepStrictEqual(shares(ReplicaStrategy.ewma, beingTried), [1000, 0])
  })

  it("tries a replica again that failed a while ago", () => {
    const failed = candidate({ name: "failed", ...answering(250) })
    const now = 16_000
    const other = candidate({ name: "other", latency: { mean: 2, peak: 2, at: now, samples: 9 } })
    assert.isBelow(shares(ReplicaStrategy.ewma, [failed, other], at(12_000))[0]!, 20)
    assert.isAbove(shares(ReplicaStrategy.ewma, [failed, other], at(now))[0]!, 700)
  })

  it("lets replicas that are nearly alike share the reads of a quiet program", () => {
    const [first, second] = shares(ReplicaStrategy.ewma, [
      candidate({ name: "first", ...answering(2) }),
      candidate({ name: "second", ...answering(2.1) })
    ])
    assert.isAbove(first!, 450)
    assert.isAbove(second!, 350)
  })

  it("leaves next to nothing to a slow replica, whatever its weight", () => {
    const [slow] = shares(ReplicaStrategy.ewma, named(answering(20, { weight: 5 }), answering(2), answering(2)))
    assert.isAtMost(slow!, 3)
  })
})

describe("peakEwma", () => {
  it("remembers a peak, and forgets it by and by", () => {
    const all = (now: number) =>
      named(
        { latency: { mean: 2, peak: 8, at: 0, samples: 9 } },
        { latency: { mean: 2, peak: 2, at: now, samples: 9 } }
      )
    assert.deepStrictEqual(shares(ReplicaStrategy.peakEwma, all(5000), at(5000)), [0, 1000])
    assert.deepStrictEqual(shares(ReplicaStrategy.peakEwma, all(20_000), at(20_000)), [1000, 0])
  })
})

describe("leastOutstanding", () => {
  it("counts what is in flight against the weight", () => {
    const all = named({ inFlight: 3, weight: 4 }, { inFlight: 2, weight: 1 }, { inFlight: 1, weight: 1 })
    assert.deepStrictEqual(shares(ReplicaStrategy.leastOutstanding, all), [1000, 0, 0])
  })
})

describe("powerOfTwo", () => {
  it("never takes the busiest, and not always the idlest", () => {
    const [busy, half, idle] = shares(ReplicaStrategy.powerOfTwo, named({ inFlight: 9 }, { inFlight: 5 }, {}))
    assert.strictEqual(busy, 0)
    assert.isAbove(half!, 200)
    assert.isAbove(idle!, half!)
  })
})

describe("hotCold", () => {
  it("takes the fastest that is not hot", () => {
    const all = named(answering(1, { inFlight: 9 }), answering(3), answering(5))
    assert.deepStrictEqual(shares(ReplicaStrategy.hotCold, all), [0, 1000, 0])
  })
})

describe("leastLatency", () => {
  it("spreads over all that are about as fast", () => {
    const all = named(answering(4), answering(5.9), answering(6.1))
    const [first, second, far] = shares(ReplicaStrategy.leastLatency(), all)
    assert.strictEqual(far, 0)
    assert.isAtMost(Math.abs(first! - second!), 100)
  })

  it("tries a replica again whose measurement is older than the ttl", () => {
    const now = 5000
    const all = named(
      answering(900),
      { latency: { mean: 2, peak: 2, at: now, samples: 1 } }
    )
    const share = (ttl: number) => shares(ReplicaStrategy.leastLatency({ ttl }), all, at(now))[0]!
    assert.strictEqual(share(6000), 0)
    assert.isAbove(share(4000), 300)
  })

  it("goes by probes where it is told to", () => {
    const all = named(answering(1, { probe: { millis: 50, at: 0 } }), answering(50, { probe: { millis: 1, at: 0 } }))
    assert.deepStrictEqual(shares(ReplicaStrategy.leastLatency({ source: "probe" }), all), [0, 1000])
  })

  it("compares only a sample", () => {
    const [fast, slow] = shares(ReplicaStrategy.leastLatency({ sampleSize: 1 }), named(answering(1), answering(50)))
    assert.isAtMost(Math.abs(fast! - slow!), 100)
  })

  it("keeps a winner until its time is over", () => {
    const chooser = chooserOf(ReplicaStrategy.leastLatency({ mode: "winner", ttl: "10 seconds" }), () => 0.5)
    assert.strictEqual(chooser.choose(named(answering(2), answering(3)), at(0)), 0)
    const now = 9999
    const turned = named(
      { latency: { mean: 30, peak: 30, at: now, samples: 2 } },
      { latency: { mean: 3, peak: 3, at: now, samples: 2 } }
    )
    assert.strictEqual(chooser.choose(turned, at(now)), 0)
    assert.strictEqual(chooser.choose(turned, at(10_000)), 1)
    assert.strictEqual(chooser.choose(turned.slice(0, 1), at(10_001)), 0)
  })
})

describe("failover", () => {
  it("takes the first that is offered and not drained", () => {
    assert.deepStrictEqual(shares(ReplicaStrategy.failover, candidates([1, 9])), [1000, 0])
    assert.deepStrictEqual(shares(ReplicaStrategy.failover, candidates([0, 1])), [0, 1000])
  })
})

describe("rendezvous", () => {
  const keys = Array.from({ length: 2000 }, (_, i) => `tenant-${i}`)
  const homes = (candidates: ReadonlyArray<ReplicaStrategy.Candidate>) => {
    const chooser = chooserOf(ReplicaStrategy.rendezvous())
    return keys.map((key) => candidates[chooser.choose(candidates, at(0, { key }))]!.name)
  }

  it("sends a key to the same replica from every process", () => {
    assert.deepStrictEqual(homes(candidates([1, 1, 1])), homes(candidates([1, 1, 1])))
  })

  it("moves no key but those of the replica that goes", () => {
    const all = candidates([1, 1, 1, 1])
    const before = homes(all)
    const after = homes(all.slice(1))
    before.forEach((name, i) => {
      if (name !== "replica1") assert.strictEqual(after[i], name)
    })
  })

  it("spreads keys by weight", () => {
    const heavy = homes(candidates([3, 1])).filter((name) => name === "replica1").length
    assert.isAtMost(Math.abs(heavy - 1500), 80)
  })

  it("takes its key from wherever it is told", () => {
    const byAttempt = chooserOf(ReplicaStrategy.rendezvous(({ attempt }) => `${attempt}`))
    const all = candidates([1, 1, 1, 1])
    const chosen = [1, 2, 3, 4, 5, 6, 7, 8].map((attempt) => byAttempt.choose(all, at(0, { attempt })))
    assert.isAbove(new Set(chosen).size, 1)
  })
})

describe("perSession", () => {
  it("keeps a session's replica while it is offered, then another one", () => {
    const chooser = chooserOf(ReplicaStrategy.perSession(ReplicaStrategy.random))
    const all = candidates([1, 1, 1, 1])
    const session = {}
    const choose = (offered: typeof all) => offered[chooser.choose(offered, at(0, { session }))]!.name
    const first = choose(all)
    for (let i = 0; i < 50; i++) assert.strictEqual(choose(all), first)
    const without = all.filter(({ name }) => name !== first)
    const second = choose(without)
    assert.notStrictEqual(second, first)
    for (let i = 0; i < 50; i++) assert.strictEqual(choose(all), second)
  })

  it("chooses anew for each session, and each time without one", () => {
    const chooser = chooserOf(ReplicaStrategy.perSession(ReplicaStrategy.roundRobin), () => 0)
    const all = candidates([1, 1, 1])
    assert.deepStrictEqual([{}, {}, {}].map((session) => chooser.choose(all, at(0, { session }))), [0, 1, 2])
    assert.deepStrictEqual([0, 0, 0].map((now) => chooser.choose(all, at(now))), [0, 1, 2])
  })
})

describe("withLocality", () => {
  const strategy = ReplicaStrategy.roundRobin
  const near = ReplicaStrategy.withLocality(strategy, ["a", "b"])

  it("stays in the best zone that has any", () => {
    assert.deepStrictEqual(shares(near, named({ zone: "b" }, { zone: "a" }, { zone: "a" })), [0, 500, 500])
    assert.deepStrictEqual(shares(near, named({ zone: "b" }, { zone: "c" })), [1000, 0])
    assert.deepStrictEqual(shares(near, named({ zone: "c" }, {})), [500, 500])
  })

  it("spills over where statements wait for a connection", () => {
    const connections = { idle: 0, total: 10, max: 10, waiting: 1 }
    assert.deepStrictEqual(shares(near, named({ zone: "a", connections }, { zone: "b" })), [0, 1000])
  })

  it("does not stay in a zone that is drained", () => {
    assert.deepStrictEqual(shares(near, named({ zone: "a", weight: 0 }, { zone: "c" })), [0, 1000])
  })
})

describe("withSubset", () => {
  it("keeps to as many replicas as it is told, others in each process", () => {
    const all = candidates([1, 1, 1, 1, 1, 1, 1, 1])
    const subsets = Array.from({ length: 10 }, (_, seed) => {
      const chooser = chooserOf(ReplicaStrategy.withSubset(ReplicaStrategy.random, 3), seeded(seed))
      return new Set(Array.from({ length: 200 }, () => chooser.choose(all, at(0))))
    })
    for (const subset of subsets) assert.strictEqual(subset.size, 3)
    assert.isAbove(new Set(subsets.map((_) => Array.from(_).toSorted().join())).size, 5)
  })

  it("replaces only the one that goes", () => {
    const all = candidates([1, 1, 1, 1, 1, 1])
    const chooser = chooserOf(ReplicaStrategy.withSubset(ReplicaStrategy.random, 2))
    const namesOf = (offered: typeof all) =>
      new Set(Array.from({ length: 100 }, () => offered[chooser.choose(offered, at(0))]!.name))
    const [kept, gone] = Array.from(namesOf(all))
    const after = namesOf(all.filter(({ name }) => name !== gone))
    assert.strictEqual(after.size, 2)
    assert.isTrue(after.has(kept!))
  })
})

describe("withSlowStart", () => {
  const strategy = ReplicaStrategy.withSlowStart(ReplicaStrategy.weighted, { window: "10 seconds", minimum: 0.1 })
  const shareAfter = (millis: number) => shares(strategy, named({ since: 50_000 }, {}), at(50_000 + millis))[0]! / 1000

  it("raises the weight of a new replica with time", () => {
    assert.approximately(shareAfter(0), 0.1 / 1.1, 0.04)
    assert.approximately(shareAfter(5000), 0.5 / 1.5, 0.05)
    assert.approximately(shareAfter(10_000), 0.5, 0.05)
  })
})

describe("preferLowLag", () => {
  const strategy = ReplicaStrategy.preferLowLag(ReplicaStrategy.roundRobin, { within: "1 second" })

  it("leaves out who lags further behind than the best and a tolerance", () => {
    const all = named({ lagMillis: 4000 }, { lagMillis: 5000 }, { lagMillis: 5001 }, {})
    assert.deepStrictEqual(shares(strategy, all), [500, 500, 0, 0])
  })

  it("takes all where nobody knows", () => {
    assert.deepStrictEqual(shares(strategy, named({}, {})), [500, 500])
  })
})

describe("withFallback", () => {
  const choosing = (choose: () => number) =>
    ReplicaStrategy.withFallback(
      ReplicaStrategy.make({ name: "own", initial: undefined, choose: (state) => [choose(), state] }),
      ReplicaStrategy.failover
    )

  it("asks the other strategy where the first has no answer", () => {
    assert.deepStrictEqual(shares(choosing(() => 1), candidates([1, 1])), [0, 1000])
    assert.deepStrictEqual(shares(choosing(() => -1), candidates([1, 1])), [1000, 0])
  })

  it("asks the other strategy where the first throws", () => {
    const throws = choosing(() => {
      throw new Error("no idea")
    })
    assert.deepStrictEqual(shares(throws, candidates([1, 1])), [1000, 0])
  })
})

describe("shadow", () => {
  it("tells what the other would have chosen, and changes nothing", () => {
    const seen: Array<readonly [string, string]> = []
    const all = named(answering(9), answering(1))
    const strategy = ReplicaStrategy.shadow(ReplicaStrategy.roundRobin, ReplicaStrategy.ewma, (chosen, other) => {
      seen.push([chosen, other])
      throw new Error("not its business")
    })
    const alone = chooserOf(ReplicaStrategy.roundRobin)
    const watched = chooserOf(strategy)
    for (let i = 0; i < 20; i++) assert.strictEqual(watched.choose(all, at(i)), alone.choose(all, at(i)))
    assert.strictEqual(seen.length, 20)
    assert.isTrue(seen.every(([, other]) => other === "replica2"))
  })
})

describe("make", () => {
  it("keeps the state of a pure strategy, one for each Database", () => {
    const leastUsed = ReplicaStrategy.make({
      name: "leastUsed",
      initial: new Map<string, number>(),
      choose: (state, candidates) => [
        candidates.reduce(
          (best, { name }, i) => (state.get(name) ?? 0) < (state.get(candidates[best]!.name) ?? 0) ? i : best,
          0
        ),
        state
      ],
      observe: (state, name, outcome, millis) => outcome === "success" ? new Map(state).set(name, millis) : state
    })
    const one = chooserOf(leastUsed)
    const other = chooserOf(leastUsed)
    one.observe!("replica1", "success", 5, 0)
    one.observe!("replica2", "failure", 9, 0)
    assert.strictEqual(one.choose(candidates([1, 1]), at(0)), 1)
    assert.strictEqual(other.choose(candidates([1, 1]), at(0)), 0)
  })
})

describe("effect", () => {
  it.effect("gives a strategy a Scope of its own", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const strategy = ReplicaStrategy.effect("own", () =>
        Effect.as(
          Effect.acquireRelease(
            Effect.sync(() => events.push("made")),
            () => Effect.sync(() => events.push("ended"))
          ),
          { choose: () => 0 }
        ))
      yield* Effect.scoped(Effect.zipRight(strategy.make({ random: () => 0 }), Effect.sync(() => events.push("used"))))
      assert.deepStrictEqual(events, ["made", "used", "ended"])
    }))
})

describe("layer", () => {
  it.effect("replaces the default", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ReplicaStrategy.CurrentReplicaStrategy, ReplicaStrategy.ewma)
      const provided = yield* Layer.build(
        Layer.provide(
          Layer.effectDiscard(Effect.map(ReplicaStrategy.CurrentReplicaStrategy, ({ name }) => seen.push(name))),
          ReplicaStrategy.layer(ReplicaStrategy.failover)
        )
      ).pipe(Effect.scoped, Effect.exit)
      assert.strictEqual(provided._tag, "Success")
      assert.deepStrictEqual(seen, ["failover"])
    }))
  const seen: Array<string> = []
})
