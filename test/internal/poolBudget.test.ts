import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { ConnectionPoolSettings } from "effect-sql-router/ConnectionPool"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { ConnectionBudget } from "../../src/internal/connectionBudget.js"
import type { Pool } from "../../src/internal/pool.js"
import type { FakePoolOptions } from "../fixtures/fakePool.js"
import { acquire, fakePool, filled, release } from "../fixtures/fakePool.js"
import { fakeRouter } from "../fixtures/fakeRouter.js"

/** Pools under one cap. */
const capped = (
  limit: number,
  count: number,
  settings: (pool: number) => Partial<ConnectionPoolSettings> = () => ({}),
  options: FakePoolOptions = {}
) =>
  Effect.gen(function*() {
    const budget = new ConnectionBudget(limit)
    const pools = yield* Effect.forEach(
      Array.from({ length: count }, (_, i) => i),
      (i) => Effect.map(fakePool(settings(i), { ...options, budget, endpoint: `endpoint${i}` }), (_) => _.pool)
    )
    return { budget, pools }
  })

/** Borrows for a while, again and again, and counts how often. */
const busy = (pool: Pool, served: { count: number }) =>
  Effect.forever(
    Effect.acquireUseRelease(acquire(pool), () => {
      served.count++
      return Effect.sleep("1 millis")
    }, (slot) => release(pool, slot))
  )

describe("maxTotalConnections", () => {
  it.scoped("bounds what all pools together have open", () =>
    Effect.gen(function*() {
      const { budget, pools: [a, b] } = yield* capped(3, 2)
      yield* acquire(a!)
      yield* acquire(a!)
      yield* acquire(b!)
      const borrower = yield* Effect.fork(Effect.flip(acquire(b!)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(budget.open, 3)
      yield* TestClock.adjust("5 seconds")
      const error = Option.getOrThrow(RoutingError.from(yield* Fiber.join(borrower)))
      assert.include(error.message, "all 3 connections of the router open). Raise maxTotalConnections")
    }))

  it.scoped("makes a pool close the connection that has been idle for longest, for one that another needs", () =>
    Effect.gen(function*() {
      const { budget, pools: [a, b, c] } = yield* capped(4, 3)
      yield* filled(b!, 2)
      yield* TestClock.adjust("1 seconds")
      yield* filled(a!, 2)
      yield* TestClock.adjust("1 seconds")
      yield* acquire(c!)
      assert.deepStrictEqual([a, b, c].map((pool) => pool!.stats.total), [2, 1, 1])
      yield* acquire(c!)
      assert.deepStrictEqual([a, b, c].map((pool) => pool!.stats.total), [2, 0, 2])
      yield* acquire(c!)
      assert.deepStrictEqual([a, b, c].map((pool) => pool!.stats.total), [1, 0, 3])
      assert.deepStrictEqual([a, b].map((pool) => pool!.stats.closed.evicted), [1, 2])
      assert.strictEqual(budget.open, 4)
    }))

  it.scoped("never takes what a pool keeps open as its min", () =>
    Effect.gen(function*() {
      const { pools: [a, b] } = yield* capped(3, 2, (i) => ({ min: i === 0 ? 2 : 0 }))
      yield* TestClock.adjust("1 millis")
      yield* acquire(b!)
      const borrower = yield* Effect.fork(Effect.flip(acquire(b!)))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(borrower)
      assert.deepStrictEqual([a!.stats.idle, b!.stats.total], [2, 1])
    }))

  it.scoped("gives what is given back in one pool to another that waits for its first connection", () =>
    Effect.gen(function*() {
      const { pools: [a, b] } = yield* capped(1, 2)
      const slot = yield* acquire(a!)
      const borrower = yield* Effect.fork(acquire(b!))
      yield* TestClock.adjust("1 millis")
      yield* release(a!, slot)
      yield* Fiber.join(borrower)
      assert.deepStrictEqual([a!.stats.total, b!.stats.total], [0, 1])
    }))

  it.scoped("counts connections that are being opened, and those that say good-bye", () =>
    Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const { budget, pools: [a, b] } = yield* capped(1, 2, () => ({}), {
        connect: Effect.sleep("100 millis"),
        goodbye: Deferred.await(over)
      })
      const first = yield* Effect.fork(acquire(a!))
      const second = yield* Effect.fork(acquire(b!))
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([a!.stats.connecting, b!.stats.connecting], [1, 0])
      yield* TestClock.adjust("100 millis")
      yield* release(a!, yield* Fiber.join(first))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual([a!.stats.closing, b!.stats.connecting, budget.open], [1, 0, 1])
      yield* Deferred.succeed(over, undefined)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(second)
    }))

  it.scoped("gives a place to others when connecting fails, or whoever waited for it has left", () =>
    Effect.gen(function*() {
      const { pools: [a, b, c] } = yield* capped(1, 3, () => ({ acquireTimeout: Duration.infinity }))
      const slot = yield* acquire(a!)
      const left = yield* Effect.fork(acquire(b!))
      yield* Effect.yieldNow()
      const stays = yield* Effect.fork(acquire(c!))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(left)
      yield* release(a!, slot)
      yield* Fiber.join(stays)

      const { pools: [d, e] } = yield* capped(1, 2, (i) => ({ connectTimeout: Duration.seconds(1 + 9 * i) }), {
        connect: Effect.never
      })
      const fails = yield* Effect.fork(Effect.flip(acquire(d!)))
      yield* Effect.fork(Effect.exit(acquire(e!)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(e!.stats.connecting, 0)
      yield* TestClock.adjust("1 seconds")
      assert.instanceOf(yield* Fiber.join(fails), SqlError)
      assert.strictEqual(e!.stats.connecting, 1)
    }))

  // In real time: a clock that stands still between steps makes all borrowers come at once.
  it.scopedLive("starves no pool, however busy the others are", () =>
    Effect.gen(function*() {
      for (const [limit, count] of [[1, 2], [2, 3], [3, 2], [4, 3]] as const) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { budget, pools } = yield* capped(limit, count)
          const served = pools.map(() => ({ count: 0 }))
          for (const [i, pool] of pools.entries()) {
            for (let n = 0; n < 8; n++) yield* Effect.forkScoped(busy(pool, served[i]!))
          }
          let most = 0
          for (let i = 0; i < 50; i++) {
            yield* Effect.sleep("10 millis")
            most = Math.max(most, budget.open)
          }
          const counts = served.map((_) => _.count)
          assert.strictEqual(most, limit)
          assert.isAbove(Math.min(...counts), 10, `${limit} connections, ${counts}`)
        }))
      }
    }))

  it.scopedLive("comes to rest: pools that are all busy do not go on taking connections from each other", () =>
    Effect.gen(function*() {
      const { pools } = yield* capped(6, 3)
      for (const pool of pools) {
        for (let n = 0; n < 8; n++) yield* Effect.forkScoped(busy(pool, { count: 0 }))
        yield* Effect.sleep("20 millis")
      }
      yield* Effect.sleep("200 millis")
      assert.deepStrictEqual(pools.map((pool) => pool.stats.total), [2, 2, 2])
      const created = pools.map((pool) => pool.stats.created)
      yield* Effect.sleep("200 millis")
      assert.deepStrictEqual(pools.map((pool) => pool.stats.created), created)
    }))

  it.scoped("is refused when it is nonsense, or leaves a pool without any connection", () =>
    Effect.gen(function*() {
      const problem = (options: Parameters<typeof fakeRouter>[0]) =>
        Effect.map(Effect.flip(fakeRouter(options)), (error) => error.message)
      assert.strictEqual(
        yield* problem({ maxTotalConnections: 0 }),
        "Invalid configuration at maxTotalConnections: 0 is not a whole number of at least 1"
      )
      assert.strictEqual(
        yield* problem({ maxTotalConnections: 5, replicas: { replica1: {} }, pool: { min: 3 } }),
        "Invalid configuration at maxTotalConnections: 5 is too little beside the 6 connections that the pools keep open "
          + "as their min"
      )
    }))

  it.scoped("holds for all pools of a router", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({ maxTotalConnections: 1, replicas: { replica1: {} } })
      for (let i = 0; i < 3; i++) {
        yield* sql`SELECT 1`
        yield* sql`INSERT INTO a VALUES (1)`
        assert.strictEqual(open.length, 1)
      }
    }))
})
