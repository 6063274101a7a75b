import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import type * as RoutingError from "effect-sql-router/RoutingError"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { postgres as cluster } from "../servers/index.js"
import { codeOf, ids, insert, postgres, routingError, tagOf } from "./engines.js"
import { suite } from "./suite.js"

suite(postgres)

const router = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.flatMap(postgres.place, (place) => place.router(options))

const pid = (sql: RoutedSqlClient.RoutedSqlClient) =>
  Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([row]) => row!.pid)

const kill = (sql: RoutedSqlClient.RoutedSqlClient, pid: number) =>
  sql.withTransaction(sql`SELECT pg_terminate_backend(${pid}, 1000)`)

/** A router whose connections pass through a proxy, and one whose do not. */
const throughProxy = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.gen(function*() {
    const { database, direct } = yield* Effect.flatMap(postgres.place, (place) =>
      Effect.flatMap(place.router(), (direct) =>
        Effect.map(
          direct.withTransaction(direct<{ name: string }>`SELECT current_database() AS name`),
          ([row]) => ({ database: row!.name, direct })
        )))
    const proxy = yield* TcpProxy.make(cluster().primary)
    const sql = yield* Effect.provide(
      RoutedPgClient.make({
        ...options,
        primary: { host: "127.0.0.1", port: proxy.port, username: cluster().user, database }
      }),
      Reactivity.layer
    )
    return { direct, proxy, sql }
  })

describe("transactions on postgres", () => {
  it.scopedLive.each(
    [
      [{ isolation: "readCommitted" }, "read committed", "off", "off"],
      [{ isolation: "repeatableRead" }, "repeatable read", "off", "off"],
      [{ isolation: "serializable", access: "readOnly" }, "serializable", "on", "off"],
      [{ isolation: "serializable", access: "readOnly", deferrable: true }, "serializable", "on", "on"]
    ] as const
  )("are %o if the server is asked", ([options, isolation, readOnly, deferrable]) =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const setting = (name: string) =>
        Effect.map(sql<{ value: string }>`SELECT current_setting(${name}) AS value`, ([row]) => row!.value)
      const settings = Effect.all([
        setting("transaction_isolation"),
        setting("transaction_read_only"),
        setting("transaction_deferrable")
      ])
      assert.deepStrictEqual(yield* sql.transaction(options)(settings), [isolation, readOnly, deferrable])
      assert.deepStrictEqual(yield* sql.withTransaction(settings), ["read committed", "off", "off"])
    }))

  it.scopedLive("that are serializable and only read run on the primary, for a standby cannot", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const sql = yield* place.withReplicas()
      const standby = Effect.map(
        sql<{ standby: boolean }>`SELECT pg_is_in_recovery() AS standby`,
        ([row]) => row!.standby
      )
      assert.isTrue(yield* sql.readOnlyTransaction(standby))
      assert.isFalse(yield* sql.readOnlyTransaction({ isolation: "serializable" })(standby))
    }))

  it.scopedLive("never show that an idle connection was killed", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const sql = yield* place.router({ pool: { max: 1 } })
      const admin = yield* place.router()
      for (let round = 1; round <= 20; round++) {
        yield* kill(admin, yield* sql.withTransaction(pid(sql)))
        yield* sql.withTransaction(insert(sql, round))
      }
      assert.strictEqual((yield* ids(sql)).length, 20)
    }))

  it.scopedLive("fail, and write nothing, when their connection is killed although nobody looked", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const sql = yield* place.router()
      const admin = yield* place.router()
      const error = yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, 1)
        yield* kill(admin, yield* pid(sql))
        yield* Effect.ignore(insert(sql, 2))
      })))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive("fail when an error in them was swallowed", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(insert(sql, 1), Effect.ignore(insert(sql, 1)))
      ))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive("fail with the deferred constraint that COMMIT finds violated", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      yield* sql`ALTER TABLE t ADD CONSTRAINT once UNIQUE (name) DEFERRABLE INITIALLY DEFERRED`
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(insert(sql, 1, "twice"), insert(sql, 2, "twice"))
      ))
      assert.strictEqual(codeOf(error), "23505")
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive("are undone when they are interrupted during a statement, which ends", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const sql = yield* place.router({ pool: { max: 1 } })
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.gen(function*() {
        yield* insert(sql, 1)
        yield* Deferred.succeed(started, undefined)
        yield* sql`SELECT pg_sleep(60)`
      })))
      yield* Deferred.await(started)
      yield* Effect.sleep("50 millis")
      const [elapsed] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(elapsed), 2000)
      assert.deepStrictEqual(yield* ids(sql), [])
    }))

  it.scopedLive("are committed when they are interrupted at COMMIT, and what waited for that runs", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      yield* sql`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END'`
      yield* sql`CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle()`
      const written = yield* Deferred.make<void>()
      let hooks = 0
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.all([
        insert(sql, 1),
        RoutedSqlClient.afterCommit(Effect.sync(() => void hooks++)),
        Deferred.succeed(written, undefined)
      ])))
      yield* Deferred.await(written)
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* ids(sql), [1])
      assert.strictEqual(hooks, 1)
    }))

  it.scopedLive("are run again after a serialization failure, the outermost alone", () =>
    Effect.gen(function*() {
      const sql = yield* router()
      yield* insert(sql, 1, "0")
      const both = yield* Deferred.make<void>()
      let here = 0
      const runs = { outer: 0, inner: 0 }
      const hooks: Array<string> = []
      const meet = Effect.suspend(() => ++here >= 2 ? Deferred.succeed(both, undefined) : Deferred.await(both))
      const retry = RoutedSqlClient.retryTransaction(Schedule.recurs(3))
      const increment = Effect.gen(function*() {
        runs.inner++
        const [row] = yield* sql<{ name: string }>`SELECT name FROM t WHERE id = 1`
        yield* meet
        yield* sql`UPDATE t SET name = ${String(Number(row!.name) + 1)} WHERE id = 1`
      })
      const transaction = Effect.suspend(() => {
        runs.outer++
        return Effect.zipRight(
          RoutedSqlClient.afterCommit(Effect.sync(() => void hooks.push("committed"))),
          retry(sql.withTransaction(increment))
        )
      }).pipe(sql.transaction({ isolation: "serializable" }), retry)
      yield* Effect.all([transaction, transaction], { concurrency: "unbounded" })
      assert.deepStrictEqual(runs, { outer: 3, inner: 3 })
      assert.deepStrictEqual(hooks, ["committed", "committed"])
      const [row] = yield* sql<{ name: string }>`SELECT name FROM t WHERE id = 1`
      assert.strictEqual(row!.name, "2")
    }))

  it.scopedLive("are run again after a deadlock", () =>
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
          yield* sql`UPDATE t SET name = name || 'x' WHERE id = ${first}`
          yield* meet
          yield* sql`UPDATE t SET name = name || 'x' WHERE id = ${second}`
        }).pipe(sql.withTransaction, RoutedSqlClient.retryTransaction(Schedule.recurs(3)))
      yield* Effect.all([update(1, 2), update(2, 1)], { concurrency: "unbounded" })
      assert.strictEqual(runs, 3)
    }))

  it.scopedLive(
    "whose COMMIT was not answered are never said to be undone, and resolve to what became of them",
    () =>
      Effect.gen(function*() {
        const { direct, proxy, sql } = yield* throughProxy({ transactions: { resolveCommits: true }, pool: { max: 2 } })
        const rounds = 200
        const isLost = (round: number) => round % 4 === 0
        let round = 0
        yield* proxy.configure({
          request: ({ text }) => !text.includes("COMMIT") ? "pass" : isLost(round) ? "cutBefore" : "cutAfter"
        })
        const claimed: Array<number> = []
        for (round = 1; round <= rounds; round++) {
          const error: SqlError = yield* Effect.flip(sql.withTransaction(insert(sql, round)))
          const unknown = routingError(error) as RoutingError.CommitOutcomeUnknown
          assert.strictEqual(unknown._tag, "CommitOutcomeUnknown", `round ${round}`)
          const outcome = yield* unknown.resolve
          assert.strictEqual(outcome, isLost(round) ? "rolledBack" : "committed", `round ${round}`)
          if (outcome === "committed") claimed.push(round)
        }
        assert.deepStrictEqual(yield* ids(direct), claimed)
      }),
    60_000
  )

  it.scopedLive("whose id was not asked for resolve to nothing", () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* throughProxy()
      yield* proxy.configure({ request: ({ text }) => text.includes("COMMIT") ? "cutAfter" : "pass" })
      const unknown = routingError(yield* Effect.flip(sql.withTransaction(insert(sql, 1))))
      assert.strictEqual(yield* (unknown as RoutingError.CommitOutcomeUnknown).resolve, "unknown")
    }))

  it.scopedLive("whose COMMIT takes too long end, with an outcome that nobody knows", () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* throughProxy({ transactions: { commitTimeout: "200 millis" } })
      yield* proxy.configure({ request: ({ text }) => text.includes("COMMIT") ? "swallow" : "pass" })
      const [elapsed, error] = yield* Effect.timed(Effect.flip(sql.withTransaction(insert(sql, 1))))
      assert.strictEqual(tagOf(error), "CommitOutcomeUnknown")
      assert.isBelow(Duration.toMillis(elapsed), 2000)
      yield* proxy.recover
      yield* sql.withTransaction(insert(sql, 2))
      assert.deepStrictEqual(yield* ids(sql), [2])
    }))

  it.scopedLive("whose ROLLBACK takes too long end, with the error that they had", () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* throughProxy()
      yield* proxy.configure({ request: ({ text }) => text.includes("ROLLBACK") ? "swallow" : "pass" })
      const exit = yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(sql, 1), Effect.fail("mine"))))
      assert.deepStrictEqual(exit, Exit.fail("mine"))
      assert.deepStrictEqual((yield* sql.pools).map((pool) => pool.active), [0])
    }))

  it.scopedLive("end a reserved connection that somebody still uses after a while", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const daemon = yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const fiber = yield* Effect.forkDaemon(connection.execute("SELECT pg_sleep(0.3)", [], undefined))
        yield* Effect.sleep("50 millis")
        return fiber
      }))
      // Its Scope waited for the statement.
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(daemon)))
      yield* insert(sql, 1)
      // Its statement left nothing in the session, so it is lent again.
      assert.deepStrictEqual((yield* sql.pools).map((pool) => [pool.created, pool.active]), [[1, 0]])
    }))
})
