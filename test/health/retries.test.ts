import { assert, describe, it } from "@effect/vitest"
import { Budget } from "effect-sql-router/internal/health/budget"
import type { Attempted, RetryDecision } from "effect-sql-router/internal/health/retryDecision"
import { decide, isOutcomeUnknown } from "effect-sql-router/internal/health/retryDecision"
import { SlidingCount } from "effect-sql-router/internal/health/slidingCount"
import * as RetryPolicy from "effect-sql-router/RetryPolicy"
import * as Duration from "effect/Duration"
import * as fc from "fast-check"
import type { Fault } from "./cluster.js"
import { dispositions } from "./cluster.js"

const second = 1_000_000_000n

const after = (fault: Fault, given: Partial<Omit<Attempted, "disposition">> = {}): RetryDecision =>
  decide(
    {
      retry: "read",
      disposition: dispositions[fault],
      attempts: 1,
      emitted: false,
      onPrimary: false,
      refreshed: false,
      awaitsPrimary: false,
      affordable: true,
      remaining: undefined,
      ...given
    },
    RetryPolicy.defaults,
    () => 0.5
  )

const where = (fault: Fault, given: Partial<Omit<Attempted, "disposition">> = {}): string => {
  const decision = after(fault, given)
  return decision._tag === "none" ? decision.reason : decision._tag
}

describe("whether a read is tried again", () => {
  it("goes elsewhere when its endpoint or connection is lost", () => {
    assert.strictEqual(where("refused"), "elsewhere")
    assert.strictEqual(where("lost"), "elsewhere")
    assert.strictEqual(where("shutdown"), "elsewhere")
  })

  it("goes to the primary when a replica refuses it, or lacks what it asks for", () => {
    assert.strictEqual(where("readOnly"), "primary")
    assert.strictEqual(where("missing"), "primary")
    assert.strictEqual(where("missing", { onPrimary: true }), "settled")
  })

  it("is not tried again for an error of its own", () => assert.strictEqual(where("syntax"), "settled"))

  it("is not tried again once it gave a row", () => {
    for (const fault of Object.keys(dispositions) as Array<Fault>) {
      assert.strictEqual(where(fault, { emitted: true }), "settled")
    }
  })

  it("waits a random part of a delay that doubles, where it lost against another transaction", () => {
    const delay = (attempts: number) => {
      const decision = decide(
        {
          retry: "read",
          disposition: dispositions.deadlock,
          attempts,
          emitted: false,
          onPrimary: true,
          refreshed: false,
          awaitsPrimary: false,
          affordable: true,
          remaining: undefined
        },
        { ...RetryPolicy.defaults, maxAttempts: 20 },
        () => 0.5
      )
      return decision._tag === "sameEndpoint" ? Duration.toMillis(decision.delay) : undefined
    }
    assert.deepStrictEqual([1, 2, 3, 10].map(delay), [5, 10, 20, 100])
  })

  it("is tried three times, but goes on while it could not even connect", () => {
    assert.strictEqual(where("lost", { attempts: 2 }), "elsewhere")
    assert.strictEqual(where("lost", { attempts: 3 }), "attempts")
    assert.strictEqual(where("refused", { attempts: 9 }), "elsewhere")
    assert.strictEqual(where("dead", { attempts: 3 }), "attempts")
  })

  it("is not tried again beyond its deadline", () => {
    assert.strictEqual(where("deadlock", { remaining: Duration.millis(6) }), "sameEndpoint")
    assert.strictEqual(where("deadlock", { remaining: Duration.millis(5) }), "deadline")
    assert.strictEqual(where("lost", { remaining: Duration.zero }), "deadline")
  })
})

describe("whether a write is tried again", () => {
  it("is told apart when nobody knows what became of it", () => {
    for (const retry of ["write", "unsentOnly"] as const) {
      for (const fault of ["lost", "shutdown", "expired"] as const) {
        assert.strictEqual(where(fault, { retry, onPrimary: true }), "unknownOutcome")
        assert.isTrue(isOutcomeUnknown(retry, dispositions[fault]))
      }
    }
  })

  it("is sent again when a dead connection had not sent it", () => {
    assert.strictEqual(where("dead", { retry: "unsentOnly", onPrimary: true }), "sameEndpoint")
  })

  it("is sent again when it was rolled back for certain, unless it may have committed parts of itself", () => {
    assert.strictEqual(where("deadlock", { retry: "write", onPrimary: true }), "sameEndpoint")
    assert.strictEqual(where("deadlock", { retry: "unsentOnly", onPrimary: true }), "settled")
  })

  it("is sent again whatever happened to it, where its author says that it may be", () => {
    assert.strictEqual(where("lost", { retry: "idempotent", onPrimary: true }), "sameEndpoint")
    assert.strictEqual(where("syntax", { retry: "idempotent", onPrimary: true }), "settled")
  })

  it("looks for the primary once, when the one believed to be it refuses", () => {
    assert.strictEqual(where("readOnly", { retry: "unsentOnly", onPrimary: true }), "refreshRole")
    assert.strictEqual(where("readOnly", { retry: "unsentOnly", onPrimary: true, refreshed: true }), "settled")
    assert.strictEqual(where("readOnly", { retry: "read", onPrimary: true }), "refreshRole")
  })

  it("waits for a primary that cannot be connected to only where it is told to", () => {
    assert.strictEqual(where("refused", { retry: "unsentOnly", onPrimary: true }), "settled")
    assert.strictEqual(where("refused", { retry: "unsentOnly", onPrimary: true, awaitsPrimary: true }), "refreshRole")
    assert.strictEqual(where("full", { retry: "unsentOnly", onPrimary: true, awaitsPrimary: true }), "settled")
  })

  it("is never sent again when it may have run, whatever else holds", () => {
    const any = fc.record({
      retry: fc.constantFrom("write" as const, "unsentOnly" as const, "never" as const),
      attempts: fc.integer({ min: 0, max: 5 }),
      emitted: fc.boolean(),
      onPrimary: fc.boolean(),
      refreshed: fc.boolean(),
      awaitsPrimary: fc.boolean(),
      affordable: fc.boolean()
    })
    fc.assert(fc.property(fc.constantFrom(...Object.keys(dispositions) as Array<Fault>), any, (fault, given) => {
      const decision = after(fault, given)
      if (given.retry === "never" || dispositions[fault].outcome === "unknown") {
        assert.strictEqual(decision._tag, "none")
      }
    }))
  })

  it("is never tried again inside a transaction", () => {
    for (const fault of Object.keys(dispositions) as Array<Fault>) {
      assert.strictEqual(where(fault, { retry: "never" }), "settled")
    }
  })
})

describe("the budget", () => {
  const settings = RetryPolicy.defaults.budget

  it("allows a fifth of the statements, and a reserve for quiet times", () => {
    const budget = new Budget(settings, 0n)
    assert.strictEqual(budget.balance(0n), 20)
    for (let i = 0; i < 100; i++) budget.deposit(0n)
    assert.approximately(budget.balance(0n), 40, 1e-9)
    for (let i = 0; i < 40; i++) budget.withdraw(0n)
    assert.isFalse(budget.canAfford(0n))
    assert.isTrue(budget.canAfford(11n * second))
  })

  it("forgets statements and repetitions after its window", () => {
    const count = new SlidingCount(Duration.seconds(10), 0n)
    for (let i = 0n; i < 20n; i++) count.add(i * second)
    assert.strictEqual(count.total(19n * second), 10)
    assert.strictEqual(count.total(24n * second), 5)
    assert.strictEqual(count.total(60n * second), 0)
  })

  it("counts nothing that is older than the window, and nothing twice", () => {
    const pauses = fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 200 })
    fc.assert(fc.property(pauses, (pauses) => {
      const count = new SlidingCount(Duration.seconds(10), 0n)
      let now = 0n
      const added: Array<bigint> = []
      for (const pause of pauses) {
        now += BigInt(pause) * 1_000_000n
        count.add(now)
        added.push(now)
        const within = (millis: bigint) => added.filter((at) => now - at < millis * 1_000_000n).length
        assert.isAtMost(count.total(now), within(10_000n))
        assert.isAtLeast(count.total(now), within(9000n))
      }
    }))
  })

  it("pays for what was sent, and not for what was never sent or was in the wrong place", () => {
    const costs = (fault: Fault, onPrimary = false) => {
      const decision = after(fault, { onPrimary })
      return decision._tag !== "none" && decision.costs
    }
    assert.deepStrictEqual(
      (["lost", "shutdown", "deadlock", "missing", "expired"] as const).map((fault) => costs(fault)),
      [true, true, true, true, true]
    )
    assert.deepStrictEqual((["refused", "dead", "readOnly"] as const).map((fault) => costs(fault)), [
      false,
      false,
      false
    ])
    assert.strictEqual(where("lost", { affordable: false }), "budget")
    assert.strictEqual(where("refused", { affordable: false }), "elsewhere")
  })

  it("keeps what servers are sent in a total outage to 1.2 times what they are asked, beside the reserve", () => {
    const load = fc.array(
      fc.record({ pause: fc.integer({ min: 0, max: 500 }), burst: fc.integer({ min: 1, max: 100 }) }),
      { minLength: 1, maxLength: 150 }
    )
    fc.assert(fc.property(load, fc.constantFrom<Fault>("lost", "shutdown", "deadlock", "expired"), (load, fault) => {
      const budget = new Budget(settings, 0n)
      let now = 0n
      let asked = 0
      let sent = 0
      for (const { burst, pause } of load) {
        now += BigInt(pause) * 1_000_000n
        for (let i = 0; i < burst; i++) {
          asked++
          budget.deposit(now)
          for (let attempts = 1;; attempts++) {
            sent++
            const decision = after(fault, { attempts, affordable: budget.canAfford(now) })
            if (decision._tag === "none") break
            if (decision.costs) budget.withdraw(now)
          }
        }
      }
      // The reserve of each window that has begun, and of the one before.
      const windows = Number(now / (9n * second)) + 1
      assert.isAtMost(sent, 1.2 * asked + 20 * windows)
    }))
  })

  it("sends 1.2 times at most under a steady load, once the reserve is small beside it", () => {
    const budget = new Budget(settings, 0n)
    let sent = 0
    const asked = 60_000
    for (let i = 0; i < asked; i++) {
      const now = BigInt(i) * 1_000_000n
      budget.deposit(now)
      for (let attempts = 1;; attempts++) {
        sent++
        const decision = after("lost", { attempts, affordable: budget.canAfford(now) })
        if (decision._tag === "none") break
        if (decision.costs) budget.withdraw(now)
      }
    }
    assert.isAtMost(sent / asked, 1.205)
    assert.isAbove(sent / asked, 1.15)
  })
})
