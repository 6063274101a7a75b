import type * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { mariadb, routingError, sqlite, tagOf } from "../transaction/engines.js"

const router = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.flatMap(mariadb.place, (place) => place.router(options))

const as = (user: string) => RoutedSqlClient.withSession({ "@app_user": user })

/** A view sees user variables through functions only, so that it may read what a statement of its own must not. */
const prepare = (sql: SqlClient.SqlClient) =>
  sql.unsafe(
    "CREATE FUNCTION app_user() RETURNS VARCHAR(40) NOT DETERMINISTIC READS SQL DATA RETURN COALESCE(@app_user, '')"
  )

const user = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ name: string }>`SELECT app_user() AS name`, ([row]) => row!.name)

const id = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ id: number }>`SELECT CONNECTION_ID() AS id`, ([row]) => row!.id)

const prepared = (options?: RoutedSqlClient.RouterOptions) => Effect.tap(router(options), prepare)

describe("withSession on mariadb", () => {
  it.scopedLive("sets them on replicas too", () =>
    Effect.gen(function*() {
      const place = yield* mariadb.place
      yield* Effect.flatMap(place.router(), prepare)
      const sql = yield* place.withReplicas()
      const where = Effect.map(
        sql<{ name: string; server: number; size: number }>`
          SELECT app_user() AS name, @@server_id AS server, @@session.sort_buffer_size AS size`,
        ([row]) => row!
      )
      const settings = RoutedSqlClient.withSession({ "@app_user": "it's \"ada\" \\", sort_buffer_size: "65536" })
      const onReplica = RoutedSqlClient.withReplica(where)
      assert.deepStrictEqual(yield* settings(onReplica), { name: "it's \"ada\" \\", server: 2, size: 65536 })
      assert.deepStrictEqual(yield* settings(sql.readOnlyTransaction(where)), {
        name: "it's \"ada\" \\",
        server: 2,
        size: 65536
      })
      const { name, size } = yield* onReplica
      assert.strictEqual(name, "")
      assert.notStrictEqual(size, 65536)
    }))

  it.scopedLive.each([1, 2])(
    "is never seen by others: interleaved fibers with a pool of %i",
    (max) =>
      Effect.gen(function*() {
        const sql = yield* prepared({ pool: { max } })
        const names = Array.from({ length: 60 }, (_, i) => i % 3 === 0 ? "" : `user${i % 7}`)
        const seen = yield* Effect.forEach(
          names,
          (name, i) => {
            const one = i % 4 === 0 ? sql.withTransaction(Effect.zipRight(Effect.yieldNow(), user(sql))) : user(sql)
            return name === "" ? one : as(name)(one)
          },
          { concurrency: 16 }
        )
        assert.deepStrictEqual(seen, names)
      })
  )

  it.scopedLive("is never seen by others in one transaction, and follows savepoints", () =>
    Effect.gen(function*() {
      const sql = yield* prepared({ pool: { max: 1 } })
      const names = Array.from({ length: 30 }, (_, i) => i % 3 === 0 ? "" : `user${i % 4}`)
      const side = Effect.forEach(
        names,
        (name) => name === "" ? user(sql) : as(name)(user(sql)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* sql.withTransaction(side), names)
      const seen: Array<string> = []
      const look = Effect.map(user(sql), (name) => void seen.push(name))
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* as("ada")(look)
        yield* Effect.ignore(sql.withTransaction(as("bob")(Effect.zipRight(look, Effect.fail("undone")))))
        yield* as("ada")(look)
        yield* look
      }))
      assert.deepStrictEqual(seen, ["ada", "bob", "ada", ""])
    }))

  it.scopedLive("holds for streams and on reserved connections, and leaves nothing after an interruption", () =>
    Effect.gen(function*() {
      const sql = yield* prepared({ pool: { max: 1 } })
      const rows = yield* as("ada")(Stream.runCollect(sql<{ name: string }>`SELECT app_user() AS name`.stream))
      assert.deepStrictEqual(Array.from(rows), [{ name: "ada" }])
      assert.strictEqual(yield* user(sql), "")
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const look = connection.executeUnprepared("SELECT app_user() AS name", [], undefined)
        assert.deepStrictEqual(yield* as("bob")(look), [{ name: "bob" }])
        assert.deepStrictEqual(yield* look, [{ name: "" }])
      }))
      const slow = yield* Effect.fork(as("ada")(sql`SELECT SLEEP(10)`))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(slow)
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive("fails with what the server says, and the next has nothing to do with it", () =>
    Effect.gen(function*() {
      const sql = yield* prepared({ pool: { max: 1 } })
      const before = yield* id(sql)
      for (const settings of [{ nonsense: "1" }, { "@app_user": "ada", sort_buffer_size: "much" }]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(RoutedSqlClient.withSession(settings)(sql`SELECT 1`))))
        assert.strictEqual(yield* user(sql), "")
      }
      assert.strictEqual(yield* id(sql), before)
      const error = yield* Effect.flip(RoutedSqlClient.withSession({ "@a = 1, @b": "x" })(sql`SELECT 1`))
      assert.strictEqual(tagOf(error), "ConfigurationError")
    }))
})

describe("sessions that statements change on mariadb", () => {
  it.scopedLive("end with the transaction, the pooled and the reserved connection that left them so", () =>
    Effect.gen(function*() {
      const sql = yield* prepared({ pool: { max: 1 } })
      const first = yield* id(sql)
      yield* sql.withTransaction(sql`INSERT INTO t (id) VALUES (1)`)
      yield* sql.withPooledConnection({}, id)
      assert.strictEqual(yield* id(sql), first)
      yield* sql.withTransaction(sql`SET @app_user = 'ada'`)
      assert.strictEqual(yield* user(sql), "")
      yield* sql.withPooledConnection({}, (own) => own`CREATE TEMPORARY TABLE mine (id INTEGER)`)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT * FROM mine`)))
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (_) => _.executeUnprepared("SET @app_user = 'a'", [], undefined))
      )
      assert.strictEqual(yield* user(sql), "")
      const [pool] = yield* sql.pools
      assert.strictEqual(pool!.closed.reset, 3)
    }))

  it.scopedLive("leave a text alone that is complete in itself", () =>
    Effect.gen(function*() {
      const sql = yield* prepared({ pool: { max: 1 } })
      yield* sql`CREATE TABLE own (id INTEGER PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))`
      const answer = yield* sql.withoutTransforms()<any>`
        INSERT INTO own (name) VALUES (${"a"}); SELECT * FROM own WHERE id = LAST_INSERT_ID()`.unprepared
      assert.deepInclude(answer[1], [{ id: 1, name: "a" }][0])
      const error = yield* Effect.flip(sql`SELECT LAST_INSERT_ID()`)
      assert.deepInclude(routingError(error), { _tag: "StatementRefused", reason: "sessionState" })
    }))
})

describe("withSession on sqlite", () => {
  it.scopedLive("is refused, for sessions have no settings there; their own connections are kept", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.flatMap(sqlite.place, (place) => place.router())
      for (
        const statement of [
          Effect.asVoid(sql`SELECT 1`),
          Effect.asVoid(sql.withTransaction(sql`SELECT 1`)),
          Stream.runDrain(sql`SELECT 1`.stream)
        ]
      ) {
        const error = yield* Effect.flip(RoutedSqlClient.withSession({ a: "1" })(statement))
        assert.strictEqual(tagOf(error), "ConfigurationError")
      }
      yield* sql.withTransaction(sql`CREATE TEMP TABLE mine (id INTEGER)`)
      yield* Effect.scoped(sql.reserve)
      assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT * FROM mine`), [])
    }))
})
