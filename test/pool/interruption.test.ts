/** What interruptions leave behind on real servers: nothing. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Engine } from "./support.js"
import { backendId, closedInAll, engines, eventually, ids, onlyPool, randomFrom } from "./support.js"

/** How many statements are interrupted for each engine: 10,000 in a full run, which takes minutes. */
const rounds = Number(process.env["POOL_INTERRUPTIONS"] ?? 500)

const short: ReadonlyArray<string> = ["SELECT 1", "DELETE FROM t"]

/** Gives way so often, then waits for so long. */
const moment = (turns: number, millis: number): Effect.Effect<void> =>
  Effect.zipRight(Effect.repeatN(Effect.yieldNow(), turns), millis === 0 ? Effect.void : Effect.sleep(millis))

for (const engine of engines) {
  describe(`interrupted on ${engine.name}`, () => {
    it.scopedLive(
      `${rounds} statements leave a pool of one in order, and cancel nobody else's`,
      () =>
        Effect.gen(function*() {
          const random = randomFrom(20_260)
          const place = yield* engine.place
          const [admin] = place.admins
          // A read that somebody else's cancel has hit would be tried again, and nobody the wiser.
          const sql = yield* place.router({ pool: { max: 1 }, retry: { maxAttempts: 1 } })
          let most = 0
          let lately: ReadonlyArray<number> = []
          const watch = yield* Effect.forkScoped(Effect.forever(Effect.zipRight(
            Effect.tap(admin!.backends, (backends) => {
              // A session that its client has left takes the server a moment to end.
              lately = [...lately.slice(-2), backends.length]
              most = Math.max(most, Math.min(...lately))
              assert.notInclude(backends.map(({ state }) => state), "inTransaction")
            }),
            Effect.sleep("10 millis")
          )))
          let interrupted = 0
          let slowest = 0
          for (let round = 0; round < rounds; round++) {
            const isShort = round % 3 === 0
            const text = isShort ? short[round % short.length]! : engine.sleep(random() * 0.01)
            const victim = yield* Effect.fork(sql.unsafe(text))
            yield* moment(Math.floor(random() * 12), isShort && round % 2 === 0 ? 0 : random() * 7)
            if (Exit.isInterrupted(yield* Fiber.interrupt(victim))) interrupted++
            const start = yield* Clock.currentTimeMillis
            const next: Effect.Effect<unknown, SqlError> = round % 2 === 0
              ? ids(sql)
              : sql`INSERT INTO t VALUES (${round})`
            const exit = yield* Effect.exit(next)
            assert.isTrue(Exit.isSuccess(exit), `round ${round}: ${exit}`)
            slowest = Math.max(slowest, (yield* Clock.currentTimeMillis) - start)
          }
          assert.isBelow(slowest, 1000)
          assert.isAbove(interrupted, rounds / 2)
          assert.isNull(watch.unsafePoll(), "the server showed an idle transaction")
          // MariaDB's KILL QUERY comes on a session of its own, beside the pool.
          assert.isAtMost(most, engine.name === "mariadb" ? 2 : 1)
          const pool = yield* onlyPool(sql)
          assert.deepInclude(pool, {
            active: 0,
            connecting: 0,
            closing: 0,
            waiting: 0,
            timeouts: 0,
            connectFailures: 0
          })
          assert.strictEqual(pool.created, pool.total + closedInAll(pool))
        }),
      { timeout: Math.max(60_000, rounds * 100) }
    )
  })
}

for (const engine of engines) {
  it.scopedLive(
    `an interrupted stream of ${engine.name} does not keep its place for long`,
    () =>
      Effect.gen(function*() {
        const random = randomFrom(20_262)
        const place = yield* engine.place
        const sql = yield* place.router({ pool: { max: 4 } })
        yield* sql`INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n`
        const one = Effect.gen(function*() {
          const victim = yield* Effect.fork(Stream.runDrain(sql`SELECT id FROM t`.stream))
          yield* moment(Math.floor(random() * 20), random() * 6)
          yield* Fiber.interrupt(victim)
        })
        yield* Effect.all(Array.from({ length: 200 }, () => one), { concurrency: 4 })
        const { usageTime: { buckets } } = yield* onlyPool(sql)
        assert.isBelow(Math.max(...buckets.map(([micros]) => micros)), 900_000)
      }),
    { timeout: 60_000 }
  )
}

const kinds: { readonly [kind: string]: (sql: RoutedSqlClient, engine: Engine) => Effect.Effect<unknown, SqlError> } = {
  "statements": (sql, engine) => sql.unsafe(engine.sleep(0.001)),
  "transactions": (sql, engine) => sql.withTransaction(Effect.zipRight(ids(sql), sql.unsafe(engine.sleep(0.001)))),
  "streams": (sql) => Stream.runDrain(sql`SELECT id FROM t`.stream),
  "reserved connections": (sql, engine) =>
    Effect.scoped(
      Effect.flatMap(sql.reserve, (connection) => connection.executeUnprepared(engine.sleep(0.001), [], undefined))
    ),
  "read-only transactions": (sql) => sql.readOnlyTransaction(Effect.zipRight(ids(sql), ids(sql))),
  "pooled connections": (sql, engine) => sql.withPooledConnection({}, (own) => own.unsafe(engine.sleep(0.001)))
}

for (const engine of engines) {
  describe(`1,000 interrupted on ${engine.name} leave no connection behind:`, () => {
    for (const [kind, work] of Object.entries(kinds)) {
      it.scopedLive(kind, () =>
        Effect.gen(function*() {
          const random = randomFrom(20_261)
          const max = 4
          const place = yield* engine.place
          const [admin] = place.admins
          const sql = yield* place.router({ pool: { max } })
          let interrupted = 0
          const one = Effect.gen(function*() {
            const victim = yield* Effect.fork(work(sql, engine))
            yield* moment(Math.floor(random() * 20), random() < 0.5 ? 0 : random() * 8)
            const exit = yield* Fiber.interrupt(victim)
            if (Exit.isInterrupted(exit)) interrupted++
            else assert.isTrue(Exit.isSuccess(exit), `${exit}`)
          })
          yield* Effect.all(Array.from({ length: 1000 }, () => one), { concurrency: 12, discard: true })
          assert.isAbove(interrupted, 300)
          yield* eventually(Effect.map(onlyPool(sql), (_) => _.active + _.connecting + _.closing + _.waiting === 0))
          const pool = yield* onlyPool(sql)
          assert.strictEqual(pool.created, pool.total + closedInAll(pool))
          assert.strictEqual(pool.timeouts + pool.connectFailures, 0)
          yield* eventually(Effect.map(admin!.backends, (_) => _.length === pool.total))
          let begun = 0
          const allHaveBegun = eventually(Effect.sync(() => begun === max))
          const transaction = Effect.zipLeft(
            Effect.tap(backendId(sql, engine), () => Effect.sync(() => begun++)),
            allHaveBegun
          )
          const all = yield* Effect.all(Array.from({ length: max }, () => sql.withTransaction(transaction)), {
            concurrency: "unbounded"
          })
          assert.strictEqual(new Set(all).size, max)
          assert.strictEqual((yield* onlyPool(sql)).active, 0)
        }), { timeout: 60_000 })
    }
  })
}
