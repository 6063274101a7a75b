import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { ConnectionPoolSettings } from "effect-sql-router/ConnectionPool"
import * as ConnectionPool from "effect-sql-router/ConnectionPool"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Hooks from "../../src/internal/hooks.js"
import type { Slot } from "../../src/internal/pool.js"
import * as Pool from "../../src/internal/pool.js"
import type { FakeConfig } from "../fixtures/fakeDriver.js"
import { fakeDriver } from "../fixtures/fakeDriver.js"
import { yieldAt } from "../fixtures/yieldAt.js"

const noHooks = Hooks.make({}, Duration.seconds(5), {
  database: "main",
  endpoint: "primary",
  role: "primary",
  access: "readWrite"
})

const setup = (
  settings: Partial<ConnectionPoolSettings> = {},
  config: FakeConfig = {},
  random = () => 0,
  shutdownTimeout: Duration.Duration = Duration.zero
) =>
  Effect.gen(function*() {
    const fake = fakeDriver()
    const pool = yield* Pool.make({
      database: "main",
      endpoint: "primary",
      lane: "main",
      settings: { ...ConnectionPool.defaults, ...settings },
      open: fake.driver.open(
        { database: "main", name: "primary", role: "primary", weight: 1, zone: undefined, config },
        "readWrite"
      ),
      rollback: "ROLLBACK",
      hooks: noHooks,
      budget: undefined,
      random,
      shutdownTimeout
    })
    return { pool, open: fake.open }
  })

const acquire = (pool: Pool.Pool) => Effect.uninterruptibleMask((restore) => pool.acquire(restore))

const release = (pool: Pool.Pool, slot: Slot) =>
  Effect.clockWith((clock) => Effect.sync(() => pool.release(slot, clock.unsafeCurrentTimeNanos())))

const use = <A>(pool: Pool.Pool, effect: Effect.Effect<A>) =>
  Effect.acquireUseRelease(acquire(pool), () => effect, (slot) => release(pool, slot))

const routingError = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))

const reasonOf = <A>(exit: Exit.Exit<A, SqlError>) =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" ? routingError(exit.cause.error) : undefined

describe("Pool", () => {
  it.scoped("opens no connection before it is asked for one", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup()
      assert.strictEqual(open.length, 0)
      yield* acquire(pool)
      assert.strictEqual(open.length, 1)
    }))

  it.scoped("lends the connection that was used last, so that a quiet pool shrinks", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup()
      const first = yield* acquire(pool)
      const second = yield* acquire(pool)
      yield* release(pool, first)
      yield* release(pool, second)
      assert.strictEqual(yield* acquire(pool), second)
      assert.strictEqual(pool.takeIdle(), first)
      assert.strictEqual(pool.takeIdle(), undefined)
    }))

  it.scoped("never has more connections than max, and serves those that wait in their order", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ max: 2 })
      const served: Array<number> = []
      const gate = yield* Deferred.make<void>()
      const fibers = yield* Effect.forEach(
        [0, 1, 2, 3, 4, 5],
        (i) => Effect.fork(use(pool, Effect.zipRight(Effect.sync(() => served.push(i)), Deferred.await(gate))))
      )
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(served, [0, 1])
      assert.strictEqual(pool.stats.waiting, 4)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(served, [0, 1, 2, 3, 4, 5])
      assert.strictEqual(open.length, 2)
      assert.strictEqual(pool.stats.acquired, 6)
    }))

  it.scoped("opens at most maxConnecting connections at once", () =>
    Effect.gen(function*() {
      let connecting = 0
      let most = 0
      const connect = Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++connecting)),
        () => Effect.sleep("10 millis"),
        () => Effect.sync(() => connecting--)
      )
      const { pool } = yield* setup({ max: 8, maxConnecting: 3 }, { connect })
      const fibers = yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.fork(acquire(pool)))
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(most, 3)
      assert.strictEqual(pool.stats.created, 8)
    }))

  it.scoped("fails after acquireTimeout with the state of the pool", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1, acquireTimeout: Duration.seconds(5) })
      yield* acquire(pool)
      const fiber = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("4999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = reasonOf(yield* Fiber.await(fiber))
      assert.strictEqual(error?._tag, "AcquireTimeout")
      assert.strictEqual(
        error?.message,
        "No connection to endpoint primary of database \"main\" became free within 5s "
          + "(1 of 1 connections in use, 0 waiting). Raise pool.max, or look for connections that are held too long."
      )
      assert.strictEqual(pool.stats.timeouts, 1)
    }))

  it.scoped("gives each borrower its own deadline", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1, acquireTimeout: Duration.seconds(5) })
      const held = yield* acquire(pool)
      const early = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("3 seconds")
      const late = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(reasonOf(yield* Fiber.await(early))?._tag, "AcquireTimeout")
      yield* release(pool, held)
      assert.strictEqual(yield* Fiber.join(late), held)
    }))

  it.scoped("serves a borrower that yields between looking for a connection and waiting for one", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1, acquireTimeout: Duration.infinity })
      for (let step = 1; step < 40; step++) {
        const held = yield* acquire(pool)
        const borrower = yield* Effect.fork(yieldAt(acquire(pool), step))
        yield* Effect.yieldNow()
        yield* release(pool, held)
        for (let i = 0; i < 5; i++) yield* Effect.yieldNow()
        assert.isNotNull(borrower.unsafePoll(), `yielded at step ${step}`)
        yield* release(pool, yield* Fiber.join(borrower))
      }
    }))

  it.scoped("counts as waiting only whom no connection can be opened for", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 2, maxWaiters: 0 }, { connect: Effect.sleep("1 seconds") })
      const two = yield* Effect.fork(Effect.all([acquire(pool), acquire(pool)], { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(reasonOf(yield* Effect.exit(acquire(pool)))?._tag, "AcquireTimeout")
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.join(two)
    }))

  it.scoped("fails at once when maxWaiters already wait", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1, maxWaiters: 1 })
      yield* acquire(pool)
      yield* Effect.fork(acquire(pool))
      yield* Effect.yieldNow()
      const error = routingError(yield* Effect.flip(acquire(pool)))
      assert.isTrue(error._tag === "AcquireTimeout" && error.reason === "tooManyWaiters")
    }))

  it.scoped("loses nothing when a waiting borrower is interrupted", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1 })
      const held = yield* acquire(pool)
      const interrupted = yield* Effect.fork(acquire(pool))
      const next = yield* Effect.fork(acquire(pool))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(interrupted)
      yield* release(pool, held)
      assert.strictEqual(yield* Fiber.join(next), held)
    }))

  it.scoped("loses nothing when a borrower is interrupted in the moment it is served", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ max: 1 })
      for (let round = 0; round < 50; round++) {
        const held = yield* acquire(pool)
        const borrower = yield* Effect.fork(use(pool, Effect.never))
        yield* Effect.yieldNow()
        // Both in one step: the hand-over has happened, the borrower has not run yet.
        yield* Effect.clockWith((clock) =>
          Effect.sync(() => {
            pool.release(held, clock.unsafeCurrentTimeNanos())
            borrower.unsafeInterruptAsFork(borrower.id())
          })
        )
        yield* Fiber.await(borrower)
        assert.strictEqual(pool.stats.active, 0)
      }
    }))

  it.scoped("keeps what was being opened for a borrower that left", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({}, { connect: Effect.sleep("1 seconds") })
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(borrower)
      yield* TestClock.adjust("500 millis")
      assert.isDefined(pool.takeIdle())
      assert.strictEqual(pool.stats.created, 1)
    }))

  it.scoped("fails those that wait, with the cause, when the endpoint cannot be connected to", () =>
    Effect.gen(function*() {
      const connect = Effect.fail(
        new SqlError({ cause: new Error("connection refused"), message: "Failed to connect" })
      )
      const { pool } = yield* setup({ max: 2 }, { connect })
      const exits = yield* Effect.all([Effect.exit(acquire(pool)), Effect.exit(acquire(pool))], {
        concurrency: "unbounded"
      })
      for (const exit of exits) {
        assert.strictEqual(
          reasonOf(exit)?.message,
          "Cannot connect to endpoint primary of database \"main\": connection refused"
        )
      }
      assert.strictEqual(pool.stats.active, 0)
    }))

  it.scoped("tries again for those that still wait when connecting failed while others hold connections", () =>
    Effect.gen(function*() {
      let attempts = 0
      const connect = Effect.suspend(() =>
        ++attempts === 2 ? Effect.fail(new SqlError({ message: "too many connections" })) : Effect.void
      )
      const { pool } = yield* setup({ max: 2 }, { connect })
      yield* acquire(pool)
      const waiting = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("50 millis")
      assert.isNull(waiting.unsafePoll())
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(waiting)
      assert.strictEqual(attempts, 3)
    }))

  it.scoped("gives up opening a connection after connectTimeout", () =>
    Effect.gen(function*() {
      const { pool } = yield* setup({ connectTimeout: Duration.seconds(2) }, { connect: Effect.never })
      const borrower = yield* Effect.fork(acquire(pool))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("2 seconds")
      assert.include(reasonOf(yield* Fiber.await(borrower))?.message, "not connected within 2s")
    }))

  it.scoped("closes connections unused for idleTimeout, down to min", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ min: 1, idleTimeout: Duration.minutes(10), maxLifetime: Duration.infinity })
      const slots = yield* Effect.all([acquire(pool), acquire(pool), acquire(pool)])
      yield* TestClock.adjust("3 minutes")
      for (const slot of slots) yield* release(pool, slot)
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual(open.length, 3)
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(open.length, 1)
      assert.strictEqual(pool.stats.closed.idle, 2)
    }))

  it.scoped("closes connections at the end of their lifetime, each at its own", () =>
    Effect.gen(function*() {
      const randoms = [0, 0.5]
      const { open, pool } = yield* setup(
        { maxLifetime: Duration.minutes(100), idleTimeout: Duration.infinity },
        {},
        () => randoms.shift() ?? 0
      )
      const slots = yield* Effect.all([acquire(pool), acquire(pool)])
      for (const slot of slots) yield* release(pool, slot)
      yield* TestClock.adjust("94 minutes")
      assert.strictEqual(open.length, 2)
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(open.length, 1)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(open.length, 0)
      assert.strictEqual(pool.stats.closed.lifetime, 2)
    }))

  it.scoped("closes a connection at the end of its lifetime though it was in use when the pool last looked", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ maxLifetime: Duration.minutes(100), idleTimeout: Duration.infinity })
      yield* TestClock.adjust("50 minutes")
      const slot = yield* acquire(pool)
      yield* TestClock.adjust("45 minutes")
      yield* release(pool, slot)
      yield* TestClock.adjust("54 minutes")
      assert.strictEqual(open.length, 1)
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(open.length, 0)
    }))

  it.scoped(
    "tells the time in today's dates, where a clock cannot count nanoseconds any more",
    () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_790_000_000_000.7)
        const { pool } = yield* setup({ max: 1, maxLifetime: Duration.minutes(1) }, {}, () => 0.123456789)
        yield* release(pool, yield* acquire(pool))
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(pool.stats.closed.lifetime, 1)
      }),
    2000
  )

  it.scoped("closes a connection whose lifetime ended while it was in use when it comes back", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ maxLifetime: Duration.minutes(1) })
      const slot = yield* acquire(pool)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(open.length, 1)
      yield* release(pool, slot)
      yield* Effect.yieldNow()
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("keeps min connections open from the start, and again after a loss", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ min: 2 })
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(pool.stats.idle, 2)
      open[0]!.lose()
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(pool.stats.idle, 2)
      assert.strictEqual(pool.stats.closed.lost, 1)
    }))

  it.scoped("fills up to min when a server that was down comes back", () =>
    Effect.gen(function*() {
      let down = true
      const connect = Effect.suspend(() => down ? Effect.fail(new SqlError({ message: "refused" })) : Effect.void)
      const { pool } = yield* setup({ min: 2 }, { connect })
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(pool.stats.idle, 0)
      down = false
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(pool.stats.idle, 2)
    }))

  it.scoped("never lends a connection that was lost while idle", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup()
      yield* release(pool, yield* acquire(pool))
      open[0]!.lose()
      assert.isUndefined(pool.takeIdle())
    }))

  it.scoped("destroys a connection that comes back unusable, and opens another for who waits", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* setup({ max: 1 })
      const slot = yield* acquire(pool)
      const waiting = yield* Effect.fork(acquire(pool))
      yield* Effect.yieldNow()
      open[0]!.lose()
      yield* release(pool, slot)
      assert.notStrictEqual(yield* Fiber.join(waiting), slot)
      assert.strictEqual(pool.stats.closed.unusable, 1)
    }))

  it.effect("waits at its end for connections in use, and fails those that still ask", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { open, pool } = yield* Scope.extend(setup({ max: 1 }, {}, undefined, Duration.seconds(5)), scope)
      const slot = yield* acquire(pool)
      const waiting = yield* Effect.fork(acquire(pool))
      yield* Effect.yieldNow()
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(reasonOf(yield* Fiber.await(waiting))?._tag, "RouterClosed")
      assert.strictEqual(routingError(yield* Effect.flip(acquire(pool)))._tag, "RouterClosed")
      assert.isNull(closing.unsafePoll())
      yield* release(pool, slot)
      yield* Fiber.join(closing)
      assert.strictEqual(open.length, 0)
    }))

  it.effect("destroys what is still in use when the deadline has passed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { open, pool } = yield* Scope.extend(setup({}, {}, undefined, Duration.seconds(5)), scope)
      yield* acquire(pool)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(open.length, 0)
      assert.strictEqual(pool.stats.closed.shutdown, 1)
    }))

  it.effect("ends promptly though it was built in an uninterruptible region", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { pool } = yield* Effect.uninterruptible(Scope.extend(setup({ max: 1 }, { connect: Effect.never }), scope))
      yield* Effect.fork(acquire(pool))
      yield* Effect.yieldNow()
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 millis")
      assert.isNotNull(closing.unsafePoll())
    }))

  it.effect("destroys a connection that opens while the pool ends", () =>
    Effect.gen(function*() {
      for (let ops = 10; ops <= 30; ops++) {
        for (let steps = 0; steps < 15; steps++) {
          const scope = yield* Scope.make()
          const { open, pool } = yield* Effect.withMaxOpsBeforeYield(Scope.extend(setup({ max: 1 }), scope), ops)
          yield* Effect.fork(Effect.exit(acquire(pool)))
          for (let i = 0; i < steps; i++) yield* Effect.yieldNow()
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(open.length, 0, `${ops} operations before a yield, ${steps} steps`)
        }
      }
    }))

  it.effect("survives a connection whose end is a defect", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const fake = fakeDriver()
      let fails = true
      const pool = yield* Scope.extend(
        Pool.make({
          database: "main",
          endpoint: "primary",
          lane: "main",
          settings: { ...ConnectionPool.defaults, max: 1 },
          open: Effect.addFinalizer(() => Effect.die("no good-bye")).pipe(
            Effect.zipRight(
              Effect.suspend(() => fails ? Effect.fail(new SqlError({ message: "refused" })) : Effect.void)
            ),
            Effect.zipRight(fake.driver.open(
              { database: "main", name: "primary", role: "primary", weight: 1, zone: undefined, config: {} },
              "readWrite"
            ))
          ),
          rollback: "ROLLBACK",
          hooks: noHooks,
          budget: undefined,
          random: () => 0,
          shutdownTimeout: Duration.minutes(1)
        }),
        scope
      )
      const refused = yield* Effect.fork(Effect.exit(acquire(pool)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(reasonOf(yield* Fiber.join(refused))?._tag, "EndpointUnavailable")
      fails = false
      const slot = yield* acquire(pool)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 millis")
      yield* release(pool, slot)
      yield* TestClock.adjust("1 millis")
      assert.isNotNull(closing.unsafePoll())
    }), 2000)
})
