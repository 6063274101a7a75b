import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Signals, toMillis } from "../../src/internal/signals.js"

const after = (...statements: ReadonlyArray<readonly [begin: number, end: number]>): Signals => {
  const signals = new Signals()
  for (const [begin, end] of statements) signals.end(signals.begin(begin), end, "success")
  return signals
}

describe("Signals", () => {
  it("reads a clock in nanoseconds to a quarter of a microsecond", () => {
    const now = 1_790_000_000_000_000_000n
    assert.approximately(toMillis(now + 1_500_000n) - toMillis(now), 1.5, 0.0005)
  })

  it("knows what is in flight and since when, in whatever order statements are sent and end", () => {
    fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 60 }), (choices) => {
      const signals = new Signals()
      const open: Array<ReturnType<Signals["begin"]>> = []
      choices.forEach((choice, now) => {
        const some = open[choice % open.length]
        if (some === undefined || choice % 3 === 0) {
          open.push(signals.begin(now))
        } else {
          open.splice(open.indexOf(some), 1)
          if (choice % 3 === 1) signals.end(some, now, "success")
          else {
            signals.sent(some, now)
            open.push(some)
          }
        }
        assert.strictEqual(signals.inFlight, open.length)
        assert.strictEqual(signals.oldestInFlightAt, open[0]?.begunAt)
      })
    }))
  })

  it("ends a statement once", () => {
    const signals = new Signals()
    const statement = signals.begin(0)
    signals.begin(1)
    signals.end(statement, 2, "success")
    signals.end(statement, 9, "failure")
    assert.strictEqual(signals.inFlight, 1)
    assert.strictEqual(signals.latency.samples, 1)
    assert.strictEqual(signals.successRate, 1)
  })

  it("does not measure the wait for a connection", () => {
    const signals = new Signals()
    const statement = signals.begin(0)
    assert.strictEqual(signals.oldestInFlightAt, 0)
    signals.sent(statement, 40)
    assert.strictEqual(signals.end(statement, 42, "success"), 2)
    assert.strictEqual(signals.latency.mean, 2)
  })

  it("moves the mean halfway to what is measured half a second later", () => {
    assert.approximately(after([0, 10], [490, 510]).latency.mean!, 15, 0.001)
  })

  it("lets no single answer of a quick succession count for more than a twentieth", () => {
    assert.approximately(after([0, 10], [0, 10.1], [0, 110.1]).latency.mean!, 10 + 0.13 * 100, 1)
    assert.approximately(after([0, 100], [90, 100.1]).latency.mean!, 100 - 0.05 * 89.9, 0.1)
  })

  it("keeps a peak, which falls with a time constant of ten seconds", () => {
    const { peak } = after([0, 100], [9999, 10_100]).latency
    assert.approximately(peak!, 101, 0.001)
    assert.approximately(after([0, 100], [10_098, 10_100]).latency.peak!, 100 / Math.E + 2 * (1 - 1 / Math.E), 0.1)
  })

  it("takes a failure for five seconds of waiting", () => {
    const signals = new Signals()
    signals.end(signals.begin(0), 1, "failure")
    assert.strictEqual(signals.latency.mean, 5000)
    assert.strictEqual(signals.lastFailureAt, 1)
    assert.strictEqual(signals.successRate, 0)
  })

  it("counts a refusal as an answer that says nothing about speed", () => {
    const signals = after([0, 10])
    signals.end(signals.begin(20), 21, "refused")
    assert.strictEqual(signals.latency.mean, 10)
    assert.strictEqual(signals.latency.at, 21)
    assert.strictEqual(signals.successRate, 1)
  })

  it("does not take a server that refuses everything for one that was never tried", () => {
    const signals = new Signals()
    signals.end(signals.begin(0), 1, "refused")
    assert.strictEqual(signals.latency.mean, 30)
  })

  it("takes an interrupted statement for at least as slow as it was", () => {
    const signals = after([0, 10])
    signals.end(signals.begin(10), 15, "interrupted")
    assert.strictEqual(signals.latency.mean, 10)
    signals.end(signals.begin(20), 1020, "interrupted")
    assert.isAbove(signals.latency.mean!, 500)
    assert.strictEqual(signals.successRate, 1)
  })

  it("forgets failures with time", () => {
    const signals = new Signals()
    for (let i = 0; i < 10; i++) signals.end(signals.begin(i), i, "failure")
    for (let i = 0; i < 10; i++) signals.end(signals.begin(60_000), 60_001, "success")
    assert.isAbove(signals.successRate, 0.99)
  })

  it("begins anew when the server is back", () => {
    const signals = new Signals()
    assert.strictEqual(signals.since, Number.NEGATIVE_INFINITY)
    signals.end(signals.begin(0), 1, "failure")
    signals.recovered(5)
    assert.strictEqual(signals.since, 5)
    assert.strictEqual(signals.latency.mean, undefined)
    assert.strictEqual(signals.successRate, 1)
    assert.strictEqual(signals.lastFailureAt, 1)
  })
})
