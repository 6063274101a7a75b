import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import type * as RoutingError from "effect-sql-router/RoutingError"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { freshDatabase } from "../servers/index.js"
import { codeOf, ids, insert, mariadb, routingError, tagOf } from "./engines.js"
import { suite } from "./suite.js"

suite(mariadb)

const router = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.flatMap(mariadb.place, (place) => place.router(options))

const connectionId = (sql: RoutedSqlClient.RoutedSqlClient) =>
  Effect.map(
    sql<{ id: number }>`SELECT connection_id() AS id FROM t RIGHT JOIN (SELECT 1) one ON true LIMIT 1`,
    ([row]) => row!.id
  )

describe("transactions on mariadb", () => {
  it.scopedLive.each(
    [
      ["readUncommitted", "READ UNCOMMITTED"],
      ["readCommitted", "READ COMMITTED"],
      ["repeatableRead", "REPEATABLE READ"],
      ["serializable", "SERIALIZABLE"]
    ] as const
  )("run at the level %s, and leave the session's as it was", ([isolation, expected]) =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const session = sql<{ level: string }>`SELECT @@SESSION.tx_isolation AS level`
      const level = (id: number) =>
        Effect.gen(function*() {
          yield* insert(sql, id)
          // InnoDB shows what it showed before if it is asked again within 100 ms.
          yield* Effect.sleep("150 millis")
          const [row] = yield* sql<{ level: string }>`SELECT trx_isolation_level AS level
            FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = connection_id()`
          return row!.level
        })
      assert.strictEqual(yield* sql.transaction({ isolation })(level(1)), expected)
      assert.strictEqual(yield* sql.withTransaction(level(2)), "REPEATABLE READ")
      assert.strictEqual((yield* session)[0]!.level, "REPEATABLE-READ")
    }))

  it.scopedLive("never show that an idle connection was killed", () =>
    Effect.gen(function*() {
      const place = yield* mariadb.place
      const sql = yield* place.router({ pool: { max: 1 } })
      const admin = yield* place.router()
      for (let round = 1; round <= 10; round++) {
        const id = yield* sql.withTransaction(connectionId(sql))
        yield* admin.withTransaction(admin.unsafe(`KILL ${id}`))
        yield* sql.withTransaction(insert(sql, round))
      }
      assert.strictEqual((yield* ids(sql)).length, 10)
    }))

  it.scopedLive("fail, and write nothing, when their connection is killed although nobody looked", () =>
    Effect.gen(function*() {
      const place = yield* mariadb.place
      const sql = yield* place.router()
      const admin = yield* place.router()
      const error = yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, 1)
        yield* admin.unsafe(`KILL ${yield* connectionId(sql)}`)
        yield* Effect.ignore(insert(sql, 2))
      })))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive("are run again after a deadlock, and then both are there", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      yield* Effect.all([insert(sql, 1), insert(sql, 2)])
      const both = yield* Deferred.make<void>()
      let here = 0
      let runs = 0
      const meet = Effect.suspend(() => ++here >= 2 ? Deferred.succeed(both, undefined) : Deferred.await(both))
      const update = (first: number, second: number) =>
        Effect.gen(function*() {
          runs++
          yield* sql`UPDATE t SET name = CONCAT(name, 'x') WHERE id = ${first}`
          yield* meet
          yield* sql`UPDATE t SET name = CONCAT(name, 'x') WHERE id = ${second}`
        }).pipe(sql.withTransaction, RoutedSqlClient.retryTransaction(Schedule.recurs(3)))
      yield* Effect.all([update(1, 2), update(2, 1)], { concurrency: "unbounded" })
      assert.strictEqual(runs, 3)
      const names = yield* sql<{ name: string }>`SELECT name FROM t ORDER BY id FOR UPDATE`
      assert.deepStrictEqual(names.map(({ name }) => name), ["xx", "xx"])
    }))

  it.scopedLive("fail when a deadlock ended them and was swallowed", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      yield* Effect.all([insert(sql, 1), insert(sql, 2)])
      const both = yield* Deferred.make<void>()
      let here = 0
      const meet = Effect.suspend(() => ++here === 2 ? Deferred.succeed(both, undefined) : Deferred.await(both))
      const update = (first: number, second: number) =>
        Effect.either(sql.withTransaction(Effect.gen(function*() {
          yield* sql`UPDATE t SET name = 'x' WHERE id = ${first}`
          yield* meet
          yield* Effect.ignore(sql`UPDATE t SET name = 'x' WHERE id = ${second}`)
        })))
      const results = yield* Effect.all([update(1, 2), update(2, 1)], { concurrency: "unbounded" })
      const failures = results.flatMap((result) => result._tag === "Left" ? [tagOf(result.left)] : [])
      assert.deepStrictEqual(failures, ["TransactionRolledBack"])
    }))

  it.scopedLive("pass on a lock that was not free to nobody but who asks for retries", () =>
    Effect.gen(function*() {
      const place = yield* mariadb.place
      const sql = yield* place.router()
      const other = yield* place.router()
      yield* insert(sql, 1)
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`UPDATE t SET name = 'held' WHERE id = 1`
        const error = yield* Effect.flip(other.withTransaction(
          other`SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT`
        ))
        assert.isString(codeOf(error))
      }))
    }))

  it.scopedLive("are undone when they are interrupted during a statement, which ends", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, 1)
        yield* Deferred.succeed(started, undefined)
        yield* sql`SELECT sleep(60)`
      })))
      yield* Deferred.await(started)
      yield* Effect.sleep("50 millis")
      const [elapsed] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(elapsed), 2000)
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive(
    "whose COMMIT was not answered are never said to be undone, nor resolved",
    () =>
      Effect.gen(function*() {
        const { database, primary, user } = yield* freshDatabase("mariadb")
        const proxy = yield* TcpProxy.make(primary)
        const make = (port: number) =>
          Effect.provide(
            RoutedMysqlClient.make({
              transactions: { resolveCommits: true },
              primary: { host: "127.0.0.1", port, username: user, database }
            }),
            Reactivity.layer
          )
        const sql = yield* make(proxy.port)
        const direct = yield* make(primary.port)
        yield* direct`CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(40))`
        const rounds = 50
        let round = 0
        const isLost = (round: number) => round % 4 === 0
        yield* proxy.configure({
          request: ({ text }) => !text.includes("COMMIT") ? "pass" : isLost(round) ? "cutBefore" : "cutAfter"
        })
        const written: Array<number> = []
        for (round = 1; round <= rounds; round++) {
          const unknown = routingError(yield* Effect.flip(sql.withTransaction(insert(sql, round))))
          assert.strictEqual(unknown._tag, "CommitOutcomeUnknown", `round ${round}`)
          assert.strictEqual(yield* (unknown as RoutingError.CommitOutcomeUnknown).resolve, "unknown")
          if (!isLost(round)) written.push(round)
        }
        yield* Effect.repeat(ids(direct), {
          until: (ids) => ids.length === written.length,
          schedule: Schedule.spaced("20 millis")
        }).pipe(Effect.timeout("3 seconds"))
        assert.deepStrictEqual(yield* ids(direct), written)
      }),
    30_000
  )
})
