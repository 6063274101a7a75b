/** Sessions that end while nobody uses them: their callers must not notice. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import { backendId, engines, eventually, ids, onlyPool, postgres } from "./support.js"

const rounds = 40

const kinds: { readonly [kind: string]: (sql: RoutedSqlClient, n: number) => Effect.Effect<unknown, SqlError> } = {
  "a read": (sql) => ids(sql),
  "a write": (sql, n) => sql`INSERT INTO t (id) VALUES (${n})`,
  "a transaction": (sql, n) => sql.withTransaction(Effect.zipRight(ids(sql), sql`INSERT INTO t (id) VALUES (${n})`)),
  "a read-only transaction": (sql) => sql.readOnlyTransaction(ids(sql)),
  "a stream": (sql) =>
    Effect.map(Stream.runCollect(sql<{ id: number }>`SELECT id FROM t ORDER BY id`.stream), Chunk.toReadonlyArray)
}

const holds: { readonly [kind: string]: (sql: RoutedSqlClient) => Effect.Effect<unknown, SqlError> } = {
  "a reserved connection": (sql) =>
    Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.execute("SELECT id FROM t", [], undefined))),
  "a pooled connection": (sql) => sql.withPooledConnection({}, (own) => ids(own))
}

/** The next request gets lost, with the session that was to answer it. */
const loseNext = (proxy: TcpProxy.TcpProxy, kill: Effect.Effect<void>) =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    proxy.configure({
      request: TcpProxy.once("swallow", () => {
        Runtime.runFork(runtime, kill)
        return true
      })
    }))

for (const engine of engines) {
  describe(`an idle session that ${engine.name} has ended`, () => {
    for (const [kind, work] of Object.entries(kinds)) {
      it.scopedLive(`is not seen by ${kind}`, () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const [admin] = place.admins
          const sql = yield* place.router({ pool: { max: 2 } })
          for (let round = 0; round < rounds; round++) {
            const id = yield* backendId(sql, engine)
            yield* admin!.kill(id)
            yield* work(sql, round)
            assert.notStrictEqual(yield* backendId(sql, engine), id)
          }
          const pool = yield* onlyPool(sql)
          assert.strictEqual(pool.closed.lost + pool.closed.unusable, rounds)
        }), { timeout: 30_000 })
    }

    it.scopedLive("while the pool asks it for a sign of life is replaced, and its borrower served", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const [admin] = place.admins
        const proxy = yield* TcpProxy.make(place.primary)
        const sql = yield* place.router(
          { pool: { max: 1, validateAfterIdle: "50 millis", healthCheckInterval: "1 hour" } },
          proxy.port
        )
        for (let round = 0; round < 5; round++) {
          const id = yield* backendId(sql, engine)
          yield* Effect.sleep("60 millis")
          yield* loseNext(proxy, admin!.kill(id))
          assert.notStrictEqual(yield* backendId(sql, engine), id)
          const pool = yield* onlyPool(sql)
          assert.deepInclude(pool, { healthChecks: round + 1, healthCheckFailures: round + 1, connectFailures: 0 })
          assert.strictEqual(pool.closed.unhealthy, round + 1)
        }
        // Told of the loss, it does not wait for the answer any longer.
        assert.isTrue(Duration.lessThan((yield* onlyPool(sql)).acquireTime.p99, "900 millis"))
      }))

    for (const [kind, hold] of Object.entries(holds)) {
      it.scopedLive(`is not seen by ${kind}, once the news is there`, () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const [admin] = place.admins
          const sql = yield* place.router({ pool: { max: 2 } })
          for (let round = 0; round < rounds; round++) {
            yield* admin!.kill(yield* backendId(sql, engine))
            // What a holder sends on its connection cannot be sent again on another.
            yield* Effect.sleep("5 millis")
            yield* hold(sql)
          }
        }))
    }

    it.scopedLive("takes none of the others with it", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const [admin] = place.admins
        const sql = yield* place.router({ pool: { min: 4, max: 4 } })
        yield* eventually(Effect.map(onlyPool(sql), ({ idle }) => idle === 4))
        const before = yield* admin!.backends
        yield* admin!.kill(before[0]!.id)
        yield* eventually(Effect.map(onlyPool(sql), ({ closed, idle }) => closed.lost === 1 && idle === 4))
        const after = (yield* admin!.backends).map(({ id }) => id)
        assert.sameMembers(before.slice(1).map(({ id }) => id), after.filter((id) => before.some((_) => _.id === id)))
      }))
  })
}

describe("a write whose session PostgreSQL ends", () => {
  it.scopedLive("before it has read the write, is made once, on another", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const [admin] = place.admins
      const proxy = yield* TcpProxy.make(place.primary)
      const sql = yield* place.router({ pool: { max: 1 } }, proxy.port)
      for (let id = 0; id < 5; id++) {
        const backend = yield* backendId(sql, postgres)
        yield* loseNext(proxy, admin!.kill(backend))
        yield* sql`INSERT INTO t (id) VALUES (${id})`
      }
      assert.deepStrictEqual(yield* ids(sql), [0, 1, 2, 3, 4])
    }))

  it.scopedLive("while it runs, has an unknown outcome", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const [admin] = place.admins
      const sql = yield* place.router({ pool: { max: 1 } })
      const backend = yield* backendId(sql, postgres)
      const writing = yield* Effect.fork(
        Effect.flip(sql`INSERT INTO t (id) SELECT ${1}::int FROM (SELECT pg_sleep(5)) AS s`)
      )
      yield* eventually(Effect.map(admin!.backends, (all) => all.some(({ state }) => state === "active")))
      yield* admin!.kill(backend)
      assert.strictEqual(Option.getOrThrow(RoutingError.from(yield* Fiber.join(writing)))._tag, "OutcomeUnknown")
    }))
})
