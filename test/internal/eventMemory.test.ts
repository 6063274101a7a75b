import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { EventMemory } from "../../src/internal/eventMemory.js"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const database = "main"

const opened = (endpoint: string, trips: number): RoutingEvent => ({
  _tag: "BreakerOpened",
  database,
  endpoint,
  evidence: "hard",
  error: new SqlError({ message: "down", cause: new Error("down") }),
  trips,
  cooldown: Duration.seconds(1)
})

const trial = (endpoint: string): RoutingEvent => ({ _tag: "TrialStarted", database, endpoint, trips: 1 })

const changed = (from: string, to: string): RoutingEvent => ({ _tag: "PrimaryChanged", database, from, to })

/** What is remembered of events that happen a millisecond apart. */
const memoryOf = (...events: ReadonlyArray<RoutingEvent>) => {
  let now = 0
  const memory = new EventMemory(() => ++now)
  for (const event of events) memory.event(event)
  return memory.all
}

const told = (all: ReturnType<typeof memoryOf>) =>
  all.map(({ atMillis, event, times }) => [event._tag, times, atMillis])

describe("what is remembered of events", () => {
  it("is when they happened, the oldest first", () => {
    assert.deepStrictEqual(told(memoryOf(opened("a", 1), changed("p", "b"))), [["BreakerOpened", 1, 1], [
      "PrimaryChanged",
      1,
      2
    ]])
  })

  it("is one event of a replica that stays down, the latest, whatever happens elsewhere", () => {
    const all = memoryOf(opened("a", 1), trial("a"), opened("b", 1), opened("a", 2))
    assert.deepStrictEqual(told(all), [["BreakerOpened", 1, 2], ["BreakerOpened", 2, 3]])
    assert.propertyVal(all[1]!.event, "trips", 2)
  })

  it("is each failover, though they are alike", () => {
    assert.lengthOf(memoryOf(changed("a", "b"), changed("b", "a"), changed("a", "b")), 3)
  })

  it("is not what happens with every statement", () => {
    assert.deepStrictEqual(memoryOf(trial("a"), { _tag: "ReadMirrored", database, rule: "r", outcome: "answered" }), [])
  })

  it("is no more than the last 64", () => {
    const all = memoryOf(...Array.from({ length: 1000 }, (_, i) => changed(`a${i}`, "b")))
    assert.lengthOf(all, 64)
    assert.propertyVal(all[0]!.event, "from", "a936")
  })
})

describe("a router's recent events", () => {
  it.scoped("are there though nobody listened", () =>
    Effect.gen(function*() {
      const hard = failure({ blame: "endpoint", connection: "destroy", evidence: "hard", readRetry: "elsewhere" })
      const { sql } = yield* fakeRouter({ replicas: { replica1: { connect: Effect.fail(hard) } } })
      yield* TestClock.setTime(5000)
      yield* sql`SELECT 1`
      const [first] = yield* sql.recentEvents
      assert.strictEqual(first?.event._tag, "BreakerOpened")
      assert.strictEqual(first?.atMillis, 5000)
    }))
})
