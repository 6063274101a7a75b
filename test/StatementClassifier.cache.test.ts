import { assert, describe, it } from "@effect/vitest"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as fc from "fast-check"
import { makeCache } from "../src/internal/classifier/cache.js"

const lengths = makeCache({ entries: 0, textLength: 0 }, (text) => text.length)

/** Counts what is computed. */
const counting = (entries: number, textLength = 100) => {
  const computed: Array<string> = []
  const cache = makeCache({ entries, textLength }, (text) => {
    computed.push(text)
    return text.length
  })
  return { cache, computed }
}

describe("the classifier's cache", () => {
  it("gives the same facts for the same text", () => {
    const classifier = StatementClassifier.make()
    const text = () => ["SELECT", "1"].join(" ")
    assert.strictEqual(classifier.classify("postgres", text()), classifier.classify("postgres", text()))
    assert.notStrictEqual(classifier.classify("postgres", text()), classifier.classify("mysql", text()))
  })

  it("holds no more entries than it may, and no text longer than it may", () => {
    const { cache, computed } = counting(3, 5)
    for (const text of ["a", "b", "c", "d", "e", "a"]) cache.get(text)
    assert.strictEqual(cache.size(), 3)
    computed.length = 0
    cache.get("too long")
    cache.get("too long")
    assert.deepStrictEqual(computed, ["too long", "too long"])
    assert.strictEqual(cache.size(), 3)
  })

  it("holds nothing where it may hold nothing", () => {
    assert.strictEqual(lengths.get("a"), 1)
    assert.strictEqual(lengths.size(), 0)
  })

  it("spares what was asked for again, and evicts what came once", () => {
    const { cache, computed } = counting(3)
    for (const text of ["a", "b", "c", "a", "d", "a", "e", "f", "a"]) cache.get(text)
    assert.deepStrictEqual(computed, ["a", "b", "c", "d", "e", "f"])
  })

  it("keeps its hits through a flood of texts that come once", () => {
    const { cache, computed } = counting(1000)
    const hot = Array.from({ length: 500 }, (_, i) => `hot ${i}`)
    for (let round = 0; round < 2; round++) for (const text of hot) cache.get(text)
    computed.length = 0
    let asked = 0
    for (let i = 0; i < 100_000; i++) {
      cache.get(`flood ${i}`)
      if (i % 2 === 0) {
        cache.get(hot[i / 2 % hot.length]!)
        asked++
      }
    }
    const missed = computed.filter((text) => text.startsWith("hot")).length
    assert.isBelow(missed, asked * 0.01)
  })

  it("is never wrong, whatever comes in whatever order", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.integer({ min: 1, max: 8 }), (order, entries) => {
        const { cache } = counting(entries)
        for (const n of order) {
          assert.strictEqual(cache.get("x".repeat(n)), n)
          assert.isAtMost(cache.size(), entries)
        }
      })
    )
  })

  it("forgets all when it is cleared", () => {
    const { cache, computed } = counting(3)
    cache.get("a")
    cache.clear()
    cache.get("a")
    assert.deepStrictEqual(computed, ["a", "a"])
  })
})
