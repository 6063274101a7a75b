import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as fc from "fast-check"

const candidates = (weights: ReadonlyArray<number>): ReadonlyArray<ReplicaStrategy.Candidate> =>
  weights.map((weight, i) => ({ name: `replica${i + 1}`, weight, zone: undefined, inFlight: 0 }))

const picks = (weights: ReadonlyArray<number>, count: number, random = () => 0): ReadonlyArray<number> => {
  const chooser = ReplicaStrategy.roundRobin.make(random)
  const all = candidates(weights)
  return Array.from({ length: count }, () => chooser.choose(all))
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
    const chooser = ReplicaStrategy.roundRobin.make(() => 0)
    const all = candidates([1, 1, 1])
    for (let i = 0; i < 100; i++) chooser.choose(all.slice(0, 2))
    const after = Array.from({ length: 30 }, () => chooser.choose(all))
    for (const i of [0, 1, 2]) assert.strictEqual(after.filter((pick) => pick === i).length, 10)
  })
})
