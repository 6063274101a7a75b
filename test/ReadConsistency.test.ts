import { assert, describe, it } from "@effect/vitest"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as compat from "../src/internal/compat.js"
import { demandOf, noteWrite } from "../src/internal/consistency/current.js"

describe("the settings", () => {
  it.effect("have defaults", () =>
    Effect.gen(function*() {
      const settings = yield* ReadConsistency.CurrentReadConsistency
      assert.deepStrictEqual(settings, {
        level: ReadConsistency.session,
        mode: "position",
        ttl: Duration.seconds(12),
        maxAge: Duration.seconds(60),
        granularity: "database",
        dependencies: new Map(),
        waitBudget: Duration.millis(50),
        maxWaiting: 2
      })
    }))

  it.effect("come from a Layer", () =>
    Effect.gen(function*() {
      const { mode } = yield* ReadConsistency.CurrentReadConsistency
      assert.strictEqual(mode, "ttl")
    }).pipe(
      Effect.provide(Layer.succeed(ReadConsistency.CurrentReadConsistency, ReadConsistency.make({ mode: "ttl" })))
    ))

  it("follow dependencies to their end, round a circle, too", () => {
    const { dependencies } = ReadConsistency.make({
      dependencies: { Report: ["Totals"], totals: ["orders", "items"], items: ["totals"] }
    })
    assert.deepStrictEqual(dependencies.get("report"), ["totals", "orders", "items"])
    assert.sameMembers(Array.from(dependencies.get("items")!), ["totals", "orders", "items"])
  })
})

describe("warnings", () => {
  const replicas = { maxLag: "10 seconds", measuredEvery: "1 second" } as const

  it("finds nothing wrong with the defaults", () => {
    assert.deepStrictEqual(ReadConsistency.warnings(ReadConsistency.make(), replicas), [])
  })

  it("tells that a read could miss a write after the ttl", () => {
    assert.deepStrictEqual(ReadConsistency.warnings(ReadConsistency.make({ ttl: "2 seconds" }), replicas), [
      "ReadConsistency.ttl (2s) is below 11s, which is what a replica may lag and the time until that is measured: "
      + "a read after a write may miss it. Raise ttl or lower maxLag."
    ])
  })

  it("accepts a ttl of just what may pass unseen", () => {
    assert.deepStrictEqual(ReadConsistency.warnings(ReadConsistency.make({ ttl: "11 seconds" }), replicas), [])
  })

  it("tells that a position could be forgotten too early", () => {
    const found = ReadConsistency.warnings(ReadConsistency.make({ ttl: "20 seconds", maxAge: "5 seconds" }), replicas)
    assert.strictEqual(found.length, 1)
    assert.include(found[0], "ReadConsistency.maxAge (5s)")
  })

  it("tells that no time is enough for replicas that may lag for ever", () => {
    const found = ReadConsistency.warnings(ReadConsistency.make(), { ...replicas, maxLag: Duration.infinity })
    assert.strictEqual(found.length, 2)
    assert.include(found[0], "what a replica may lag, which has no limit")
  })
})

describe("time", () => {
  const settings = ReadConsistency.settingsOf(ReadConsistency.make({ mode: "ttl", ttl: "2 seconds" }))
  const write = compat.withFiber((fiber) => {
    noteWrite(fiber, "main", undefined, undefined, settings)
    return Effect.void
  })
  const read = compat.withFiber((fiber) =>
    Effect.succeed(demandOf(fiber, "main", () => undefined, ReadConsistency.session, settings)._tag)
  )

  it.effect("ends a session's hold of the primary by the clock, and a write begins it anew", () =>
    Effect.gen(function*() {
      yield* write
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(yield* read, "Primary")
      yield* write
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(yield* read, "Primary")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* read, "None")
    }))
})
