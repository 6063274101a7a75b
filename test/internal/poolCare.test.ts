import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type { FakePoolConnection } from "../fixtures/fakePool.js"
import { acquire, fakePool, filled, numberOf, release } from "../fixtures/fakePool.js"

const dead = Effect.fail(new SqlError({ message: "no sign of life" }))
const seconds = Duration.seconds
const pings = (log: ReadonlyArray<string>) => log.filter((line) => line.endsWith("ping")).map((line) => parseInt(line))

const routingError = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))

/** What was logged as a warning. */
const warnings = () => {
  const messages: Array<string> = []
  const layer = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (logLevel.label === "WARN") messages.push(String(Array.isArray(message) ? message[0] : message))
    })
  )
  return { messages, layer }
}

describe("health checks", () => {
  it.scoped("ask idle connections that have given no sign of life since the round before", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ healthCheckInterval: seconds(30) })
      yield* TestClock.adjust("1 seconds")
      yield* filled(pool, 2)
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(pings(log), [])
      yield* TestClock.adjust("29999 millis")
      assert.deepStrictEqual(pings(log), [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(pings(log), [1, 2])
      assert.deepInclude(pool.stats, { healthChecks: 2, healthCheckFailures: 0, idle: 2, active: 0 })
    }))

  it.scoped("ask at most three at a time, those first that have been silent for longest", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ healthCheckInterval: seconds(30) })
      yield* filled(pool, 5)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(pings(log), [1, 2, 3])
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(pings(log), [1, 2, 3, 4, 5, 1])
    }))

  it.scoped("do not make a connection count as used, and leave the order of use", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ healthCheckInterval: seconds(30), idleTimeout: Duration.minutes(2) })
      yield* filled(pool, 2)
      yield* TestClock.adjust("119 seconds")
      assert.strictEqual(pool.stats.idle, 2)
      assert.strictEqual(numberOf(pool.takeIdle()!), 2)
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(pool.stats, { idle: 0, active: 1 })
      assert.strictEqual(pool.stats.closed.idle, 1)
    }))

  it.scoped("leave connections in use alone", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ healthCheckInterval: seconds(30) })
      yield* acquire(pool)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("close a connection that fails or does not answer within a second, and refill up to min", () =>
    Effect.gen(function*() {
      const { log, open, pool } = yield* fakePool({ healthCheckInterval: seconds(30), min: 2 }, {
        ping: (number) => number === 1 ? dead : number === 2 ? Effect.never : Effect.void
      })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(pings(log), [1, 2])
      assert.deepStrictEqual(open.map((_) => _.number), [2, 3])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(open.map((_) => _.number), [3, 4])
      assert.deepInclude(pool.stats, { healthChecks: 2, healthCheckFailures: 2, idle: 2 })
      assert.strictEqual(pool.stats.closed.unhealthy, 2)
    }))

  it.scoped("close a connection after a second even if its driver takes longer to give up", () =>
    Effect.gen(function*() {
      const givesUpLate = Effect.onInterrupt(Effect.never, () => Effect.sleep("5 seconds"))
      const { pool } = yield* fakePool({ healthCheckInterval: seconds(30) }, { ping: () => givesUpLate })
      yield* filled(pool, 1)
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(pool.stats, { healthChecks: 1, active: 1 })
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(pool.stats, { healthCheckFailures: 1, total: 0 })
    }))

  it.scoped("do not make a borrower wait: another connection is opened", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ healthCheckInterval: seconds(30) }, { ping: () => Effect.never })
      yield* filled(pool, 1)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(numberOf(yield* acquire(pool)), 2)
    }))

  it.scoped("end with the pool", () =>
    Effect.gen(function*() {
      const ended = yield* Effect.scoped(Effect.gen(function*() {
        const { open, pool } = yield* fakePool({ healthCheckInterval: seconds(30) }, { ping: () => Effect.never })
        yield* filled(pool, 1)
        yield* TestClock.adjust("30 seconds")
        return { open, pool }
      }))
      assert.deepStrictEqual(ended.open, [])
      assert.strictEqual(ended.pool.stats.closed.shutdown, 1)
    }))
})

describe("validateAfterIdle", () => {
  it.scoped("asks a connection for a sign of life before it is lent after so much silence, and not sooner", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ validateAfterIdle: seconds(30) })
      yield* filled(pool, 1)
      yield* TestClock.adjust("29999 millis")
      yield* release(pool, yield* acquire(pool))
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(pool.takeIdle(), undefined)
      yield* release(pool, yield* acquire(pool))
      assert.deepStrictEqual(pings(log), [1])
      assert.deepInclude(pool.stats, { created: 1, acquired: 3, reused: 2, healthChecks: 1 })
    }))

  it.scoped("is satisfied by a health check", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ validateAfterIdle: seconds(30), healthCheckInterval: seconds(20) })
      yield* filled(pool, 1)
      yield* TestClock.adjust("45 seconds")
      assert.deepStrictEqual(pings(log), [1, 1])
      assert.strictEqual(numberOf(pool.takeIdle()!), 1)
    }))

  it.scoped("lends a connection that has given a sign of life, before one that must be asked", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ validateAfterIdle: seconds(30), healthCheckInterval: seconds(50) })
      yield* filled(pool, 4)
      yield* TestClock.adjust("1 seconds")
      yield* release(pool, yield* acquire(pool))
      yield* TestClock.adjust("54 seconds")
      // The fourth was used last, and is the one that the round left out.
      assert.strictEqual(pool.takeIdle(), undefined)
      assert.strictEqual(numberOf(yield* acquire(pool)), 3)
      assert.deepStrictEqual(pings(log), [1, 2, 3])
    }))

  it.scoped("discards what fails, and takes the next", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ validateAfterIdle: seconds(30), max: 2 }, {
        ping: (number) => number === 2 ? dead : Effect.void
      })
      yield* filled(pool, 2)
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(numberOf(yield* acquire(pool)), 1)
      assert.deepStrictEqual(pings(log), [2, 1])
      assert.strictEqual(pool.stats.closed.unhealthy, 1)
    }))

  it.scoped("finds all that a network has dropped within two timeouts, not one after the other", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({ validateAfterIdle: seconds(30), max: 8 }, {
        ping: (number) => number <= 8 ? Effect.never : Effect.void
      })
      yield* filled(pool, 8)
      yield* TestClock.adjust("1 minutes")
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(pings(log), [8])
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(pings(log).length, 8)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(numberOf(yield* Fiber.join(borrower)), 9)
      assert.strictEqual(pool.stats.closed.unhealthy, 8)
    }))

  it.scoped("keeps within the borrower's time", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool(
        { validateAfterIdle: seconds(30), max: 1, acquireTimeout: Duration.millis(500) },
        { ping: () => Effect.never }
      )
      yield* filled(pool, 1)
      yield* TestClock.adjust("1 minutes")
      const borrower = yield* Effect.fork(Effect.flip(acquire(pool)))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(routingError(yield* Fiber.join(borrower))._tag, "AcquireTimeout")
    }))

  it.scoped("keeps for others what a borrower that left had asked for", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ validateAfterIdle: seconds(30), max: 1 }, {
        ping: () => Effect.sleep("100 millis")
      })
      yield* filled(pool, 1)
      yield* TestClock.adjust("1 minutes")
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(borrower)
      yield* TestClock.adjust("50 millis")
      assert.deepInclude(pool.stats, { idle: 1, active: 0, created: 1 })
      assert.isDefined(pool.takeIdle())
    }))
})

describe("a connection that comes back in a transaction", () => {
  const leftOpen = (execute: (text: string) => Effect.Effect<void, SqlError>) =>
    Effect.gen(function*() {
      const fake = yield* fakePool({ max: 1 }, { execute })
      const slot = yield* acquire(fake.pool)
      const connection = slot.connection as FakePoolConnection
      connection.transaction = true
      yield* release(fake.pool, slot)
      return { ...fake, connection }
    })

  it.scoped("is rolled back by the pool, and lent again", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* leftOpen(() => Effect.sleep("10 millis"))
      assert.deepInclude(pool.stats, { active: 1, idle: 0 })
      const next = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(numberOf(yield* Fiber.join(next)), 1)
      assert.deepStrictEqual(log, ["1 ROLLBACK"])
      assert.strictEqual(pool.stats.rolledBack, 1)
    }))

  it.scoped("is destroyed when rolling back fails, or does nothing", () =>
    Effect.gen(function*() {
      const failing = yield* leftOpen(() => dead)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(failing.pool.stats, { active: 0, idle: 0, rolledBack: 0 })
      assert.strictEqual(failing.pool.stats.closed.reset, 1)

      const useless = yield* leftOpen(() => Effect.void)
      Object.defineProperty(useless.connection, "transaction", { get: () => true })
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(useless.pool.stats.closed.reset, 1)
    }))

  it.scoped("is destroyed when rolling back takes longer than a second", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* leftOpen(() => Effect.never)
      const next = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("999 millis")
      assert.isNull(next.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(numberOf(yield* Fiber.join(next)), 2)
      assert.strictEqual(open.length, 1)
      assert.strictEqual(pool.stats.closed.reset, 1)
    }))
})

describe("an eviction", () => {
  it.scoped("takes what is being opened too: who waits gets one that was opened after it", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* fakePool({ max: 1 }, { connect: Effect.sleep("1 seconds") })
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("500 millis")
      pool.evict()
      yield* TestClock.adjust("500 millis")
      assert.isNull(borrower.unsafePoll())
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(numberOf(yield* Fiber.join(borrower)), 2)
      assert.deepStrictEqual(open.map(({ number }) => number), [2])
    }))

  it.scoped("takes what is being checked too, when that is over", () =>
    Effect.gen(function*() {
      const ping = () => Effect.sleep("500 millis")
      const { open, pool } = yield* fakePool({ healthCheckInterval: seconds(30) }, { ping })
      yield* filled(pool, 1)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(pool.stats.active, 1)
      pool.evict()
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(pool.stats.closed.evicted, 1)
      assert.deepStrictEqual(open, [])
    }))
})

describe("a server that accepts connections and hangs up", () => {
  it.scoped("is not connected to again for min without a delay, which grows", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* fakePool({ min: 1, max: 1 })
      const at: Array<number> = []
      for (let millis = 0; millis < 1000; millis += 10) {
        yield* TestClock.adjust("10 millis")
        if (open.length > 0) {
          at.push(millis)
          open[0]!.lose()
        }
      }
      assert.strictEqual(pool.stats.created, at.length)
      assert.deepStrictEqual(at.map((millis, i) => i === 0 ? 0 : millis - at[i - 1]!), [0, 100, 200, 400])
    }))

  it.scoped("makes borrowers wait for the delay when three in a row have died", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 1 })
      for (let i = 0; i < 3; i++) pool.discard(yield* acquire(pool))
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("99 millis")
      assert.isNull(borrower.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(borrower)
    }))

  it.scoped("is forgiven as soon as a connection has served a borrower", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 1 })
      for (let i = 0; i < 9; i++) {
        const slot = yield* acquire(pool)
        if (i % 3 === 2) yield* release(pool, slot)
        pool.discard(i % 3 === 2 ? yield* acquire(pool) : slot)
      }
      assert.strictEqual(pool.stats.acquired, 12)
    }))

  it.scoped("is not blamed for an interrupted statement", () =>
    Effect.gen(function*() {
      const { pool } = yield* fakePool({ max: 1 })
      for (let i = 0; i < 5; i++) {
        const slot = yield* acquire(pool)
        const connection = slot.connection as FakePoolConnection
        connection.usable = false
        yield* release(pool, slot)
      }
      assert.strictEqual(pool.stats.closed.unusable, 5)
    }))

  it.scoped("does not get a connect for every borrower that comes while it refuses more and others hold some", () =>
    Effect.gen(function*() {
      let attempts = 0
      const { pool } = yield* fakePool({ max: 10 }, {
        connect: Effect.suspend(() => ++attempts === 1 ? Effect.void : dead)
      })
      yield* acquire(pool)
      for (let i = 0; i < 50; i++) {
        yield* Effect.fork(Effect.exit(acquire(pool)))
        yield* Effect.yieldNow()
      }
      yield* TestClock.adjust("99 millis")
      assert.isAtMost(attempts, 4)
    }))
})

describe("leakWarning", () => {
  it.scoped("tells once of a connection that is lent for longer, with the span that holds it", () =>
    Effect.gen(function*() {
      const { layer, messages } = warnings()
      yield* Effect.gen(function*() {
        const { pool } = yield* fakePool({ leakWarning: seconds(30) })
        const span = yield* Effect.makeSpan("import customers")
        const slot = yield* acquire(pool, span)
        yield* TestClock.adjust("29999 millis")
        assert.deepStrictEqual(messages, [])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(messages, [
          "A connection to endpoint primary of database \"main\" has been held for 30s by the span \"import customers\" "
          + `(trace ${span.traceId}, span ${span.spanId}). `
          + "If that is not meant, look there for a transaction, stream or reserved connection that does not end."
        ])
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual(messages.length, 1)
        yield* release(pool, slot)
        assert.isUndefined(slot.holder)
        assert.strictEqual(pool.takeIdle(span), slot)
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual(messages.length, 2)
        assert.strictEqual(pool.stats.leakWarnings, 2)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is silent about connections that are idle, or given back in time", () =>
    Effect.gen(function*() {
      const { layer, messages } = warnings()
      yield* Effect.gen(function*() {
        const { pool } = yield* fakePool({ leakWarning: seconds(30) })
        for (let i = 0; i < 10; i++) {
          const slot = yield* acquire(pool)
          yield* TestClock.adjust("20 seconds")
          yield* release(pool, slot)
        }
        yield* TestClock.adjust("1 minutes")
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(messages, [])
    }))
})

describe("the end of a connection", () => {
  it.scoped("comes at its own idle time, up to a tenth sooner", () =>
    Effect.gen(function*() {
      const randoms = [0, 0.5]
      const { open, pool } = yield* fakePool({ idleTimeout: Duration.minutes(10) }, {
        random: () => randoms.shift() ?? 0
      })
      yield* filled(pool, 2)
      yield* TestClock.adjust("569 seconds")
      assert.strictEqual(open.length, 2)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(open.map((_) => _.number), [1])
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("keeps its place until it has said good-bye", () =>
    Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const { open, pool } = yield* fakePool(
        { max: 1, idleTimeout: seconds(10) },
        { goodbye: Deferred.await(over) }
      )
      yield* filled(pool, 1)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(pool.stats, { total: 0, closing: 1 })
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(open.length, 1)
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.join(borrower)
      assert.deepStrictEqual(open.map((_) => _.number), [2])
      assert.strictEqual(pool.stats.closing, 0)
    }))

  it.scoped("loses its place to others when it says good-bye for ever", () =>
    Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      yield* Effect.addFinalizer(() => Deferred.succeed(over, undefined))
      const { pool } = yield* fakePool({ max: 1, idleTimeout: seconds(10), acquireTimeout: Duration.infinity }, {
        goodbye: Deferred.await(over)
      })
      yield* filled(pool, 1)
      yield* TestClock.adjust("10 seconds")
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("9999 millis")
      assert.isNull(borrower.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(borrower)
      yield* Deferred.succeed(over, undefined)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(pool.stats.closing, 0)
    }))
})
