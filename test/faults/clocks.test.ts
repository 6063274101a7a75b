/** What does not change when somebody sets the clock of the machine, or takes an endpoint out and back all the time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schedule, TestClock } from "effect"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"

const hours = (count: number) => count * 3_600_000

/** What is `dated` is told a date that jumps when it is `set`; its time passes as the TestClock's. */
const makeDates = Effect.map(Effect.clock, (clock) => {
  let ahead = 0
  const dates: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (millis) => millis + ahead),
    currentTimeNanos: clock.currentTimeNanos,
    sleep: (duration) => clock.sleep(duration),
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + ahead,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos()
  }
  return { set: (millis: number) => void (ahead = millis), dated: Effect.withClock(dates) }
})

const replicas = { replica1: {}, replica2: {} }

for (const [jump, ahead] of [["forward", hours(1)], ["back", hours(-1)]] as const) {
  describe(`a clock that jumps an hour ${jump}`, () => {
    it.scoped("neither ends a cooldown nor prolongs it", () =>
      Effect.gen(function*() {
        const { dated, set } = yield* makeDates
        yield* TestClock.setTime(hours(24 * 365 * 50))
        const { client: sql, cluster } = yield* dated(InMemoryDriver.make({
          replicas,
          health: { cooldown: Schedule.spaced("10 seconds"), probeInterval: "1 hour", probeJitter: 0 }
        }))
        const replica1 = cluster.endpoint("replica1")
        const read = dated(Effect.replicateEffect(sql`SELECT 1`, 10, { discard: true }))
        const readsThere = Effect.gen(function*() {
          yield* cluster.forget
          yield* read
          return (yield* replica1.asked).length > 0
        })
        assert.isTrue(yield* readsThere)
        yield* replica1.fail("down")
        yield* read
        yield* replica1.recover
        set(ahead)
        yield* TestClock.adjust("9900 millis")
        assert.isFalse(yield* readsThere)
        yield* TestClock.adjust("200 millis")
        assert.isTrue(yield* readsThere)
      }))

    it.scoped("lets no read miss its own write, nor hold the primary for longer than the ttl", () =>
      Effect.gen(function*() {
        const { dated, set } = yield* makeDates
        yield* TestClock.setTime(hours(24 * 365 * 50))
        const { client: sql, cluster } = yield* dated(InMemoryDriver.make({
          replicas,
          replayDelay: "5 seconds",
          consistency: { mode: "ttl", ttl: "20 seconds" }
        }))
        const readBy = Effect.gen(function*() {
          yield* cluster.forget
          yield* dated(sql`SELECT * FROM t`)
          const [asked] = yield* cluster.asked
          return asked!.role
        })
        yield* dated(sql`INSERT INTO t VALUES (1)`)
        set(ahead)
        assert.strictEqual(yield* readBy, "primary")
        yield* TestClock.adjust("19 seconds")
        assert.strictEqual(yield* readBy, "primary")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* readBy, "replica")
      }))

    it.scoped("ends no connection that is not old or idle for long, and those that are", () =>
      Effect.gen(function*() {
        const { dated, set } = yield* makeDates
        yield* TestClock.setTime(hours(24 * 365 * 50))
        const { client: sql } = yield* dated(InMemoryDriver.make({
          pool: { maxLifetime: "10 minutes", idleTimeout: "1 minute" }
        }))
        const pool = Effect.map(sql.pools, (pools) => pools.find(({ endpoint }) => endpoint === "primary")!)
        yield* dated(sql`SELECT 1`)
        set(ahead)
        yield* TestClock.adjust("50 seconds")
        yield* dated(sql`SELECT 1`)
        assert.deepInclude(yield* pool, { created: 1, total: 1 })
        yield* TestClock.adjust("2 minutes")
        assert.deepInclude(yield* pool, { created: 1, total: 0 })
        assert.strictEqual((yield* pool).closed.idle, 1)
      }))
  })
}

it.scopedLive(
  "a replica that is taken out and back 100 times a second fails no read, and leaves no connection behind",
  () =>
    Effect.gen(function*() {
      const max = 8
      const { client: sql, cluster } = yield* InMemoryDriver.make({ replicas, latency: "7 millis", pool: { max } })
      let isOver = false
      const readers = yield* Effect.fork(Effect.all(
        Array.from({ length: 2 * max }, () => Effect.repeat(sql`SELECT 1`, { until: () => isOver })),
        { concurrency: "unbounded" }
      ))
      const flap = Effect.zipRight(
        Effect.zipRight(sql.drain("replica1"), Effect.sleep("5 millis")),
        Effect.zipRight(sql.release("replica1"), Effect.sleep("5 millis"))
      )
      yield* Effect.replicateEffect(flap, 100, { discard: true })
      isOver = true
      // All of them have ended well, also those that ran there when it was taken out.
      yield* Fiber.join(readers)
      const reads = yield* cluster.asked
      assert.isAbove(reads.filter(({ endpoint }) => endpoint === "replica1").length, 50)
      for (const { active, created, endpoint, lane, waiting } of yield* sql.pools) {
        assert.deepEqual([endpoint, lane, active, waiting], [endpoint, lane, 0, 0])
        assert.isAtMost(created, max)
      }
    }),
  30_000
)

it.scopedLive(
  "databases that come and go 100 times leave nothing behind, and let what runs on them end",
  () =>
    Effect.gen(function*() {
      const { client: sql } = yield* InMemoryDriver.make()
      const cluster = yield* InMemoryDriver.makeCluster({ latency: "5 millis" })
      const visit = Effect.scoped(Effect.gen(function*() {
        yield* sql.addDatabase("guest", yield* cluster.connect())
        const guest = yield* sql.database("guest")
        const reading = yield* Effect.forkDaemon(guest`SELECT 1`)
        yield* Effect.repeat(cluster.endpoint("primary").state, {
          until: ({ working }) => working === 1,
          schedule: Schedule.spaced("1 millis")
        })
        return reading
      }))
      for (let round = 0; round < 100; round++) {
        yield* Fiber.join(yield* visit)
      }
      assert.strictEqual((yield* cluster.endpoint("primary").state).connections, 0)
      assert.include((yield* Effect.flip(sql.database("guest"))).message, "no database \"guest\"")
    }),
  30_000
)
