import { assert, describe, it } from "@effect/vitest"
import * as ConnectionPool from "effect-sql-router/ConnectionPool"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import * as Histogram from "../../src/internal/histogram.js"
import { acquire, fakePool, filled, release } from "../fixtures/fakePool.js"

const histogramOf = (micros: ReadonlyArray<number>) => {
  const histogram = new Histogram.Histogram()
  for (const value of micros) histogram.record(BigInt(value) * 1000n)
  return histogram
}

const inMicros = (duration: Duration.Duration) => Duration.toMillis(duration) * 1000

const times = FastCheck.array(FastCheck.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 200 })

describe("a histogram of times", () => {
  it("tells percentiles within 6.25 %, and exactly below 16 microseconds", () => {
    FastCheck.assert(FastCheck.property(times, (micros) => {
      const { p50, p95, p99 } = histogramOf(micros).timings
      const sorted = micros.toSorted((a, b) => a - b)
      for (const [share, told] of [[0.5, p50], [0.95, p95], [0.99, p99]] as const) {
        const exact = sorted[Math.ceil(micros.length * share) - 1]!
        assert.isAtMost(Math.abs(inMicros(told) - exact), exact < 16 ? 1e-6 : exact / 16, `${exact}`)
      }
    }))
  })

  it("merged from several is that of all their values", () => {
    FastCheck.assert(FastCheck.property(times, times, (a, b) => {
      assert.deepStrictEqual(
        Histogram.merge([histogramOf(a).timings, histogramOf(b).timings]),
        histogramOf([...a, ...b]).timings
      )
    }))
  })

  it("has an end for what takes too long, and a beginning for a clock that went back", () => {
    const { buckets } = histogramOf([-5, 2 ** 40]).timings
    assert.deepStrictEqual(buckets.map(([, count]) => count), [1, 1])
    assert.strictEqual(buckets[0]![0], 0)
  })

  it("forgets: what happened lately weighs more", () => {
    const histogram = histogramOf(Array.from({ length: 2 ** 16 }, () => 1000))
    for (let i = 0; i < 2 ** 15 + 2; i++) histogram.record(2_000_000n)
    assert.approximately(inMicros(histogram.timings.p50), 2000, 125)
  })

  it("of nothing is zero", () => {
    assert.deepStrictEqual(Duration.toMillis(new Histogram.Histogram().timings.p99), 0)
  })
})

describe("the stats of a pool", () => {
  it.scoped("add up", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 4 })
      yield* filled(pool, 2)
      const slot = yield* acquire(pool)
      assert.deepInclude(pool.stats, {
        database: "main",
        endpoint: "primary",
        lane: "main",
        max: 4,
        total: 2,
        active: 1,
        idle: 1,
        utilization: 0.25,
        created: 2,
        acquired: 3,
        reused: 1
      })
      yield* release(pool, slot)
    }))

  it.scoped("tell how long borrowers waited, and how long they held a connection", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 1 })
      for (let i = 0; i < 98; i++) yield* filled(pool, 1)
      const slot = yield* acquire(pool)
      const waiting = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("100 millis")
      yield* release(pool, slot)
      yield* release(pool, yield* Fiber.join(waiting))
      const { acquireTime, usageTime } = pool.stats
      assert.strictEqual(Duration.toMillis(acquireTime.p95), 0)
      assert.strictEqual(Duration.toMillis(usageTime.p95), 0)
      assert.approximately(acquireTime.buckets.at(-1)![0], 100_000, 6250)
      assert.approximately(usageTime.buckets.at(-1)![0], 100_000, 6250)
      assert.strictEqual(acquireTime.buckets.reduce((sum, [, count]) => sum + count, 0), 100)
    }))

  it.scoped("can be summed", () =>
    Effect.gen(function*() {
      const one = yield* fakePool({ max: 1 })
      const two = yield* fakePool({ max: 3 }, { endpoint: "replica1" })
      yield* filled(one.pool, 1)
      yield* acquire(two.pool)
      one.open[0]!.lose()
      const total = ConnectionPool.total([one.pool.stats, two.pool.stats])
      assert.deepInclude(total, { max: 4, total: 1, active: 1, idle: 0, created: 2, acquired: 2, utilization: 0.25 })
      assert.strictEqual(total.closed.lost, 1)
      assert.strictEqual(ConnectionPool.total([]).utilization, 0)
    }))

  it.scoped("can be read as a table", () =>
    Effect.gen(function*() {
      const one = yield* fakePool({ max: 10 })
      const two = yield* fakePool({ max: 3 }, { endpoint: "replica1" })
      yield* filled(one.pool, 2)
      yield* acquire(two.pool)
      const [head, ...lines] = ConnectionPool.table([one.pool.stats, two.pool.stats]).split("\n")
      assert.match(head!, /^pool +active +idle +connecting +waiting +max +used +created/)
      assert.deepStrictEqual(lines.map((line) => line.split(/ {2,}/).slice(0, 8)), [
        ["main/primary", "0", "2", "0", "0", "10", "0 %", "2"],
        ["main/replica1", "1", "0", "0", "0", "3", "33 %", "1"],
        ["total", "1", "2", "0", "0", "13", "8 %", "3"]
      ])
      assert.strictEqual(new Set([head!.length, ...lines.map((line) => line.length)]).size, 1)
    }))

  it.scoped("are Effect's metrics, read at every interval", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 2 }, { endpoint: "metered" })
      const value = (name: string, more: Record<string, string> = {}) =>
        Effect.map(Metric.snapshot, (pairs) => {
          const tags = { database: "main", endpoint: "metered", lane: "main", ...more }
          const found = pairs.find(({ metricKey }) =>
            metricKey.name === name
            && Object.entries(tags).every(([key, value]) =>
              metricKey.tags.some((_) => _.key === key && _.value === value)
            )
          )
          const state = found!.metricState as { readonly value?: number; readonly count?: number }
          return state.value ?? state.count
        })
      const used = value("db.client.connection.count", { state: "used" })
      const acquired = value("sql.router.pool.acquired")
      const usage = value("sql.router.pool.usage_time", { quantile: "0.99" })
      yield* Layer.build(ConnectionPool.layerMetrics(Effect.sync(() => [pool.stats])))
      const slot = yield* acquire(pool)
      assert.strictEqual(yield* used, 0)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* used, 1)
      assert.strictEqual(yield* acquired, 1)
      yield* release(pool, slot)
      yield* filled(pool, 1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* used, 0)
      assert.strictEqual(yield* acquired, 2)
      assert.approximately((yield* usage)!, 10_000, 625)
    }))
})
