/** How a pool looks after sessions, as real servers see it. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSql from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import { backendId, engines, eventually, ids, onlyPool, postgres } from "./support.js"

/** Begin, write, and go away. */
const leavers: { readonly [name: string]: (sql: RoutedSqlClient) => Effect.Effect<unknown, SqlError> } = {
  reserve: (sql) =>
    Effect.scoped(Effect.flatMap(sql.reserve, (connection) =>
      Effect.zipRight(
        connection.executeUnprepared("BEGIN", [], undefined),
        connection.executeUnprepared("INSERT INTO t (id) VALUES (7)", [], undefined)
      ))),
  withPooledConnection: (sql) =>
    sql.withPooledConnection({}, (own) => Effect.zipRight(own`BEGIN`, own`INSERT INTO t (id) VALUES (7)`))
}

for (const engine of engines) {
  describe(`on ${engine.name}`, () => {
    for (const [name, leave] of Object.entries(leavers)) {
      it.scopedLive(`a transaction that a borrower by ${name} leaves open is rolled back before the next one`, () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const [admin] = place.admins
          const sql = yield* place.router({ pool: { max: 1 } })
          for (let round = 0; round < 20; round++) {
            yield* leave(sql)
            assert.deepStrictEqual(yield* ids(sql), [])
            assert.deepStrictEqual((yield* admin!.backends).map(({ state }) => state), ["idle"])
          }
          const { closed, rolledBack } = yield* onlyPool(sql)
          assert.strictEqual(rolledBack + closed.reset, 20)
        }))
    }

    it.scopedLive("a pool at rest asks its sessions for signs of life, and replaces one that has fallen silent", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const proxy = yield* TcpProxy.make(place.primary)
        const sql = yield* place.router({ pool: { min: 2, max: 2, healthCheckInterval: "100 millis" } }, proxy.port)
        yield* eventually(Effect.map(onlyPool(sql), ({ healthChecks, idle }) => idle === 2 && healthChecks >= 4))
        const before = yield* onlyPool(sql)
        assert.deepInclude(before, { created: 2, healthCheckFailures: 0 })
        const [mute] = (yield* proxy.state).open
        // What it sends is lost from now on; the server has no reason to hang up.
        yield* proxy.configure({ request: ({ connection }) => connection === mute ? "swallow" : "pass" })
        yield* eventually(Effect.map(onlyPool(sql), ({ closed, idle }) => closed.unhealthy === 1 && idle === 2))
        assert.strictEqual((yield* onlyPool(sql)).created, 3)
      }))

    it.scopedLive("a session that has fallen silent costs its borrower a second, not a statement", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const proxy = yield* TcpProxy.make(place.primary)
        const sql = yield* place.router(
          { pool: { max: 1, validateAfterIdle: "50 millis", healthCheckInterval: "1 hour" } },
          proxy.port
        )
        const before = yield* backendId(sql, engine)
        yield* Effect.sleep("60 millis")
        yield* proxy.configure({ request: ({ connection }) => connection === 1 ? "swallow" : "pass" })
        const start = yield* Clock.currentTimeMillis
        yield* sql`INSERT INTO t (id) VALUES (1)`
        const millis = (yield* Clock.currentTimeMillis) - start
        assert.isAtLeast(millis, 990)
        assert.isBelow(millis, 2000)
        assert.notStrictEqual(yield* backendId(sql, engine), before)
        assert.deepStrictEqual(yield* ids(sql), [1])
      }))

    it.scopedLive("a connection that is held for long is told of with the span of its holder", () =>
      Effect.gen(function*() {
        const warnings: Array<string> = []
        const logger = Logger.make(({ annotations, logLevel, message }) => {
          if (logLevel._tag === "Warning") {
            warnings.push(`${HashMap.unsafeGet(annotations, "endpoint")}: ${String(message)}`)
          }
        })
        yield* Effect.gen(function*() {
          const place = yield* engine.place
          const sql = yield* place.router({ pool: { leakWarning: "100 millis" } })
          const holder = yield* Effect.fork(sql.unsafe(engine.sleep(0.4)).pipe(Effect.withSpan("report")))
          yield* Fiber.join(holder)
          assert.strictEqual((yield* onlyPool(sql)).leakWarnings, 1)
        }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        assert.strictEqual(warnings.length, 1)
        assert.match(warnings[0]!, /primary: A connection to endpoint primary .* by the span "sql.execute"/)
      }))

    it.scopedLive("sessions end when they have been idle for long, and min of them stay", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const [admin] = place.admins
        const sql = yield* place.router({ pool: { min: 1, max: 6, idleTimeout: "1 seconds" } })
        yield* Effect.all(Array.from({ length: 6 }, () => sql.unsafe(engine.sleep(0.5))), { concurrency: "unbounded" })
        assert.strictEqual((yield* admin!.backends).length, 6)
        yield* eventually(Effect.map(admin!.backends, ({ length }) => length === 1))
        assert.deepInclude((yield* onlyPool(sql)).closed, { idle: 5, lost: 0 })
      }))

    it.scopedLive("sessions of a certain age are replaced while statements run, and none of those fails", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const sql = yield* place.router({ pool: { max: 3, maxLifetime: "200 millis" } })
        const one = Effect.repeat(sql.unsafe(engine.sleep(0.002)), { times: 200 })
        yield* Effect.all(Array.from({ length: 6 }, () => one), { concurrency: "unbounded" })
        const pool = yield* onlyPool(sql)
        assert.isAbove(pool.closed.lifetime, 5)
        assert.isAtMost(Duration.toMillis(pool.acquireTime.p99), 1000)
      }))
  })
}

it.scopedLive("a hook prepares the sessions of the primary and of its replicas, where the server is asked for it", () =>
  Effect.gen(function*() {
    const place = yield* postgres.place
    yield* Effect.scoped(Effect.gen(function*() {
      const sql = yield* place.router()
      yield* sql`CREATE SCHEMA tenant`
      yield* sql`CREATE TABLE tenant.only_there (id INTEGER)`
      yield* sql`INSERT INTO tenant.only_there VALUES (1)`
    }))
    const prepared: Array<string> = []
    const sql = yield* place.withReplicas({
      hooks: {
        afterConnect: (connection, { access, endpoint }) =>
          Effect.zipRight(
            Effect.sync(() => prepared.push(`${endpoint} ${access}`)),
            connection.executeUnprepared("SET search_path TO tenant", [], undefined)
          )
      }
    })
    for (const endpoint of ["primary", "replica1", "replica2"]) {
      const on = RoutedSql.withEndpoint(endpoint)
      assert.deepStrictEqual(yield* on(sql`SELECT id FROM only_there`), [{ id: 1 }])
      assert.deepStrictEqual(yield* on(sql`SELECT current_schema() AS name`), [{ name: "tenant" }])
    }
    assert.deepStrictEqual(prepared, ["primary readWrite", "replica1 readOnly", "replica2 readOnly"])
  }))
