import type * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSql from "effect-sql-router/RoutedSqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Engine } from "../transaction/engines.js"
import { ids, insert, mariadb, postgres, tagOf } from "../transaction/engines.js"

interface Backend {
  readonly id: (sql: SqlClient.SqlClient) => Effect.Effect<number, unknown>
  readonly kill: (sql: SqlClient.SqlClient, id: number) => Effect.Effect<unknown, unknown>
  readonly sleep: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>
}

const number = <E>(rows: Effect.Effect<ReadonlyArray<object>, E>) =>
  Effect.map(rows, ([row]) => Number(Object.values(row!)[0]))

const backends: { readonly [engine: string]: Backend } = {
  postgres: {
    id: (sql) => number(sql`SELECT pg_backend_pid()`),
    kill: (sql, id) => sql`SELECT pg_terminate_backend(${id}, 1000)`,
    sleep: (sql) => sql`SELECT pg_sleep(5)`
  },
  mariadb: {
    id: (sql) => number(sql`SELECT CONNECTION_ID()`),
    kill: (sql, id) => sql.unsafe(`KILL ${id}`),
    sleep: (sql) => sql`SELECT SLEEP(5)`
  }
}

type Hold = <A, E>(
  sql: RoutedSqlClient,
  use: (own: RoutedSqlClient) => Effect.Effect<A, E>,
  target?: RoutedSql.EndpointTarget
) => Effect.Effect<A, E | unknown>

const holds: { readonly [name: string]: Hold } = {
  withPooledConnection: (sql, use, target = {}) => sql.withPooledConnection(target, use),
  freshConnection: (sql, use, target) => Effect.scoped(Effect.flatMap(sql.freshConnection(target), use))
}

const engines: ReadonlyArray<Engine> = [postgres, mariadb]

for (const engine of engines) {
  const { id, kill, sleep } = backends[engine.name]!
  const router = (options?: RoutedSql.RouterOptions) => Effect.flatMap(engine.place, (place) => place.router(options))
  const active = (sql: RoutedSqlClient) => Effect.map(sql.pools, ([pool]) => pool!.active)

  for (const [name, hold] of Object.entries(holds)) {
    describe(`${name} on ${engine.name}`, () => {
      it.scopedLive("is one physical connection for statements, streams and transactions", () =>
        Effect.gen(function*() {
          const sql = yield* router({ pool: { max: 2 } })
          const seen = yield* hold(sql, (own) =>
            Effect.all([
              id(own),
              id(own),
              own.withTransaction(Effect.zipRight(insert(own, 1), own.withTransaction(id(own)))),
              own.readOnlyTransaction(id(own)),
              Effect.map(Stream.runCollect(Stream.fromEffect(id(own))), ([id]) => id!)
            ]))
          assert.strictEqual(new Set(seen as ReadonlyArray<number>).size, 1)
          assert.deepStrictEqual(yield* ids(sql), [1])
          assert.strictEqual(yield* active(sql), 0)
        }))

      it.scopedLive("runs what is asked of it side by side in turn", () =>
        Effect.gen(function*() {
          const sql = yield* router()
          const seen = yield* hold(sql, (own) =>
            Effect.all([
              ...Array.from({ length: 10 }, () => id(own)),
              ...Array.from({ length: 5 }, (_, i) => own.withTransaction(Effect.as(insert(own, i), 0)))
            ], { concurrency: "unbounded" }))
          assert.strictEqual(new Set((seen as ReadonlyArray<number>).filter((id) => id > 0)).size, 1)
          assert.deepStrictEqual(yield* ids(sql), [0, 1, 2, 3, 4])
        }))

      it.scopedLive("keeps its session for the whole of it, and allows what needs one", () =>
        Effect.gen(function*() {
          const sql = yield* router({ pool: { max: 1 } })
          yield* hold(sql, (own) =>
            Effect.gen(function*() {
              yield* own`CREATE TEMPORARY TABLE mine (id INTEGER)`
              yield* own`INSERT INTO mine VALUES (1)`
              assert.deepStrictEqual(yield* own`SELECT id FROM mine`, [{ id: 1 }])
              yield* own`BEGIN`
              yield* insert(own, 1)
              yield* own`ROLLBACK`
            }))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT id FROM mine`)))
          assert.deepStrictEqual(yield* ids(sql), [])
        }))

      it.scopedLive("fails once its connection is lost, and opens no other; the pool does", () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const sql = yield* place.router({ pool: { max: 1 } })
          const admin = yield* place.router()
          const [elapsed] = yield* Effect.timed(hold(sql, (own) =>
            Effect.gen(function*() {
              yield* Effect.ignore(Effect.flatMap(id(own), (id) => kill(admin, id)))
              yield* Effect.sleep("50 millis")
              for (let round = 0; round < 2; round++) {
                assert.isTrue(Exit.isFailure(yield* Effect.exit(id(own))))
              }
            })))
          assert.isBelow(Number(elapsed.value._tag === "Millis" ? elapsed.value.millis : 0), 5000)
          yield* insert(sql, 1)
          assert.strictEqual(yield* active(sql), 0)
        }))

      it.scopedLive("on a replica refuses writes", () =>
        Effect.gen(function*() {
          const sql = yield* Effect.flatMap(engine.place, (place) => place.withReplicas())
          yield* hold(
            sql,
            (own) =>
              Effect.gen(function*() {
                assert.deepStrictEqual(yield* ids(own), [])
                assert.isTrue(Exit.isFailure(yield* Effect.exit(insert(own, 1))))
                assert.isTrue(Exit.isFailure(yield* Effect.exit(own.withTransaction(insert(own, 2)))))
              }),
            { endpoint: "replica1" }
          )
          const error = yield* Effect.flip(hold(sql, () => Effect.void, { endpoint: "replica9" }))
          assert.strictEqual(tagOf(error), "ConfigurationError")
        }))

      it.scopedLive("has the settings of withSession, and gives none of them to the next", () =>
        Effect.gen(function*() {
          const sql = yield* router({ pool: { max: 1 } })
          const [settings, text] = engine.name === "postgres"
            ? [{ work_mem: "77kB" }, "SELECT current_setting('work_mem') AS v"] as const
            : [{ sort_buffer_size: "65536" }, "SELECT @@session.sort_buffer_size AS v"] as const
          const look = (sql: SqlClient.SqlClient) => Effect.map(sql.unsafe(text), ([row]) => String((row as any).v))
          const set = RoutedSql.withSession(settings)
          const usual = yield* look(sql)
          const [own, plain] = (yield* hold(sql, (own) => Effect.all([set(look(own)), look(own)]))) as [string, string]
          assert.strictEqual(own, Object.values(settings)[0])
          assert.strictEqual(plain, usual)
          yield* hold(sql, (own) => set(look(own)))
          assert.strictEqual(yield* look(sql), usual)
        }))

      it.scopedLive("is of no use to a fiber that outlives it, and not lent to others under it", () =>
        Effect.gen(function*() {
          const sql = yield* router({ pool: { max: 1 } })
          const left = yield* hold(sql, (own) =>
            Effect.zipLeft(
              Effect.forkDaemon(Effect.exit(Effect.zipRight(Effect.ignore(sleep(own)), id(own)))),
              Effect.sleep("100 millis")
            ))
          const [elapsed] = yield* Effect.timed(id(sql))
          assert.isBelow(Number(elapsed.value._tag === "Millis" ? elapsed.value.millis : 0), 2000)
          assert.isTrue(Exit.isFailure(yield* Fiber.join(left as Fiber.RuntimeFiber<Exit.Exit<number, unknown>>)))
        }))
    })
  }

  describe(`connections of one's own on ${engine.name}`, () => {
    it.scopedLive("count where they come from: one of the pool's, or one more than it has", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const pooled = yield* id(sql)
        assert.strictEqual(yield* sql.withPooledConnection({}, id), pooled)
        const fresh = yield* Effect.scoped(Effect.flatMap(sql.freshConnection(), (own) => Effect.zip(id(own), id(sql))))
        assert.strictEqual(fresh[1], pooled)
        assert.notStrictEqual(fresh[0], pooled)
        assert.strictEqual(yield* id(sql), pooled)
        const waits = yield* sql.withPooledConnection({}, () => Effect.option(Effect.timeout(id(sql), "100 millis")))
        assert.strictEqual(waits._tag, "None")
        const [pool] = yield* sql.pools
        assert.deepStrictEqual([pool!.created, pool!.active, pool!.waiting], [1, 0, 0])
      }))

    it.scopedLive("are seen by their pool again when they come back, and are lost while idle", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const sql = yield* place.router({ pool: { max: 1 } })
        const admin = yield* place.router()
        const own = yield* sql.withPooledConnection({}, id)
        yield* Effect.ignore(kill(admin, own))
        yield* Effect.sleep("100 millis")
        assert.notStrictEqual(yield* id(sql), own)
        const [pool] = yield* sql.pools
        assert.strictEqual(pool!.closed.lost, 1)
      }))

    it.scopedLive("are within the cap over all pools: a fresh one waits for its place", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1, acquireTimeout: "300 millis" }, maxTotalConnections: 1 })
        yield* sql.withPooledConnection({}, (own) =>
          Effect.gen(function*() {
            yield* id(own)
            const fresh = yield* Effect.exit(Effect.scoped(sql.freshConnection()))
            assert.isTrue(Exit.isFailure(fresh))
          }))
        yield* Effect.scoped(Effect.flatMap(sql.freshConnection(), id))
      }))
  })
}
