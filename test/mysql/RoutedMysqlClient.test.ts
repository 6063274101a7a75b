import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Config,
  ConfigProvider,
  Context,
  Deferred,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Redacted,
  Stream,
  String
} from "effect"
import { RoutedSqlClient, RoutingError } from "effect-sql-router"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import { everythingIsRead, selectsAreReads } from "../fixtures/classifiers.js"
import { caughtUp, freshDatabase } from "../servers/index.js"

const databaseOptions = Effect.map(freshDatabase("mariadb"), ({ primary, replicas: [replica] }) => ({
  primary: { url: Redacted.make(primary.url) },
  replicas: { near: { url: Redacted.make(replica.url) } },
  classifier: selectsAreReads
}))

const serverIds = { primary: 1, near: 2 }

const ran = (rows: ReadonlyArray<any>): number => rows[0].server

/** Runs a program with a routed client on a database of its own. */
const routed = <A, E>(
  program: Effect.Effect<A, E, RoutedMysqlClient.Services>,
  options: Partial<RoutedMysqlClient.RoutedMysqlClientConfig> = {}
) =>
  Effect.scoped(
    Effect.flatMap(databaseOptions, (database) =>
      Effect.provide(program, RoutedMysqlClient.layer({ ...database, ...options })))
  )

describe("layer", () => {
  it.live("sends reads to the replica and writes to the primary, whichever way they are executed", () =>
    routed(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const read = sql<{ server: number }>`SELECT @@server_id AS server`
      assert.strictEqual(ran(yield* read), serverIds.near)
      assert.strictEqual(ran((yield* read.raw) as ReadonlyArray<any>), serverIds.near)
      assert.strictEqual(ran(yield* read.unprepared), serverIds.near)
      assert.strictEqual(ran(yield* read.withoutTransform), serverIds.near)
      assert.deepStrictEqual(yield* read.values, [[serverIds.near]])
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(read.stream)), [{ server: serverIds.near }])

      yield* sql`CREATE TABLE written (id INT PRIMARY KEY, server INT)`
      yield* sql`INSERT INTO written VALUES (1, @@server_id)`
      yield* sql`INSERT INTO written ${sql.insert([{ id: 2, server: 0 }])}`
      yield* caughtUp("mariadb")
      assert.strictEqual(ran(yield* sql`SELECT server FROM written WHERE id = 1`), serverIds.primary)
    })))

  it.live("keeps a transaction on the primary, and commits or rolls it back", () =>
    routed(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE kept (id INT PRIMARY KEY)`
      yield* sql.withTransaction(Effect.gen(function*() {
        assert.strictEqual(ran(yield* sql`SELECT @@server_id AS server`), serverIds.primary)
        yield* sql`INSERT INTO kept VALUES (1)`
        const inner = sql.withTransaction(Effect.zipRight(sql`INSERT INTO kept VALUES (2)`, Effect.fail("undo")))
        assert.strictEqual(yield* Effect.flip(inner), "undo")
        yield* sql.withTransaction(sql`INSERT INTO kept VALUES (3)`)
      }))
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`INSERT INTO kept VALUES (4)`, Effect.fail("undo"))))
      yield* caughtUp("mariadb")
      assert.deepStrictEqual(yield* sql`SELECT id FROM kept ORDER BY id`, [{ id: 1 }, { id: 3 }])
    })))

  it.live("goes on with a transaction in which one of several concurrent statements failed", () =>
    routed(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE went_on (id INT PRIMARY KEY)`
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO went_on VALUES (1)`
        const failed = yield* Effect.exit(Effect.all(
          [
            sql`INSERT INTO went_on VALUES (1)`,
            sql`INSERT INTO went_on VALUES (2)`,
            sql`INSERT INTO went_on VALUES (3)`
          ],
          { concurrency: "unbounded" }
        ))
        assert.isTrue(Exit.isFailure(failed))
        yield* sql`INSERT INTO went_on VALUES (4)`
      }))
      yield* caughtUp("mariadb")
      assert.deepStrictEqual(yield* sql`SELECT id FROM went_on`, [{ id: 1 }, { id: 4 }])
    })))

  it.live("writes nothing of a transaction that a deadlock ended, even if the error is swallowed", () =>
    routed(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE deadlocked (id INT PRIMARY KEY, v INT)`
      yield* sql`INSERT INTO deadlocked VALUES (1, 0), (2, 0)`
      const locked = yield* Deferred.make<void>()
      const waits = yield* Deferred.make<void>()
      const winner = sql.withTransaction(Effect.gen(function*() {
        // The server picks whoever changed fewer rows.
        yield* sql`INSERT INTO deadlocked SELECT seq, 1 FROM seq_200_to_220`
        yield* sql`UPDATE deadlocked SET v = 1 WHERE id = 1`
        yield* Deferred.await(locked)
        yield* Effect.forkScoped(Effect.zipRight(Effect.sleep("100 millis"), Deferred.succeed(waits, void 0)))
        yield* sql`UPDATE deadlocked SET v = 1 WHERE id = 2`
      }))
      const inserted: Array<unknown> = []
      const loser = sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO deadlocked VALUES (100, 2)`
        yield* sql`UPDATE deadlocked SET v = 2 WHERE id = 2`
        yield* Deferred.succeed(locked, void 0)
        yield* Deferred.await(waits)
        const insert = (id: number) => Effect.either(sql`INSERT INTO deadlocked VALUES (${id}, 2)`)
        const [lost, queued] = yield* Effect.all(
          [Effect.either(sql`UPDATE deadlocked SET v = 2 WHERE id = 1`), insert(101)],
          { concurrency: "unbounded" }
        )
        inserted.push(Either.flip(lost), queued, yield* insert(102))
      }))
      const [, end] = yield* Effect.scoped(Effect.all([winner, Effect.flip(loser)], { concurrency: "unbounded" }))
      assert.instanceOf(end.cause, RoutingError.TransactionRolledBack)
      const [lost, ...later] = inserted as ReadonlyArray<Either.Either<unknown, SqlError>>
      assert.deepInclude(Either.getOrThrow(lost!), { _tag: "SqlError" })
      for (const result of later) {
        const { cause } = Either.getOrThrow(Either.flip(result))
        assert.instanceOf(cause, RoutingError.TransactionClosed)
        assert.strictEqual(cause.reason, "rolledBack")
      }
      yield* caughtUp("mariadb")
      assert.deepStrictEqual(yield* sql`SELECT id FROM deadlocked WHERE v <> 1`, [])
      yield* sql.withTransaction(sql`INSERT INTO deadlocked VALUES (103, 3)`)
    })))

  it.live("has a write that was taken for a read refused by the replica, and run by the primary", () =>
    routed(
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE misread (id INT PRIMARY KEY, server INT)`
        yield* sql`INSERT INTO misread VALUES (1, @@server_id)`
        yield* caughtUp("mariadb")
        assert.strictEqual(ran(yield* sql`SELECT server FROM misread`), serverIds.primary)
        const { pools } = yield* RoutedSqlClient.RoutedSqlClient
        const near = (yield* pools).find((pool) => pool.endpoint === "near")
        assert.deepInclude(near, { active: 0, created: 1 })
      }),
      { classifier: everythingIsRead }
    ))

  it.live("provides a MysqlClient that is the same client, with the primary's configuration", () =>
    routed(
      Effect.gen(function*() {
        const mysql = yield* MysqlClient.MysqlClient
        assert.strictEqual<unknown>(mysql, yield* SqlClient.SqlClient)
        assert.strictEqual<unknown>(mysql, yield* RoutedSqlClient.RoutedSqlClient)
        assert.strictEqual(mysql[MysqlClient.TypeId], MysqlClient.TypeId)
        assert.isDefined(mysql.config.url)
        assert.deepStrictEqual(Object.keys(mysql.config), ["maxConnections", "url"])
      }),
      { maxConnections: 2 }
    ))

  it.live("transforms names of queries and results as the primary's configuration says", () =>
    routed(
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE ${sql("namedThings")} (${sql("someId")} INT)`
        yield* sql`INSERT INTO ${sql("namedThings")} ${sql.insert({ someId: 1 })}`
        yield* caughtUp("mariadb")
        const read = sql`SELECT some_id FROM named_things`
        assert.deepStrictEqual(yield* read, [{ someId: 1 }])
        assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(read.stream)), [{ someId: 1 }])
        assert.deepStrictEqual(yield* read.withoutTransform, [{ some_id: 1 }])
      }),
      { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }
    ))

  it.live("lends as many connections after interruptions, early ends and errors as before", () =>
    routed(
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { pools } = yield* RoutedSqlClient.RoutedSqlClient
        const many = sql<{ id: number }>`SELECT seq AS id, REPEAT('x', 200) AS filler FROM seq_1_to_50000`
        yield* Effect.forEach(Array.from({ length: 20 }, (_, i) => i), (i) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.fork(sql`SELECT SLEEP(20)`)
            yield* Effect.sleep(Duration.millis(i))
            const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
            assert.isBelow(Duration.toMillis(took), 1000)
            yield* Stream.runHead(many.stream)
            yield* Effect.exit(Stream.runForEach(many.stream, () => Effect.fail("enough")))
            yield* Effect.timeoutOption(Stream.runForEach(many.stream, () => Effect.never), "5 millis")
            yield* Effect.exit(sql`SELECT nothing`)
          }), { concurrency: 4, discard: true })
        // What was being opened for a borrower that left is finished by the pool.
        const atRest = Effect.map(pools, (all) => all.every((_) => _.active + _.connecting + _.waiting === 0))
        const eventually = Effect.repeat(Effect.zipLeft(atRest, Effect.sleep("10 millis")), {
          until: (isAtRest) => isAtRest,
          times: 300
        })
        assert.isTrue(yield* eventually)
        assert.strictEqual(ran(yield* sql`SELECT @@server_id AS server`), serverIds.near)
      }),
      { maxConnections: 2 }
    ))

  it.live("builds while no server is up, and tells with the statement which one could not be reached", () => {
    const down = { host: "127.0.0.1", port: 1 }
    return Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql`INSERT INTO t VALUES (1)`)
      assert.instanceOf(error.cause, RoutingError.EndpointUnavailable)
      assert.include(error.message, "primary")
      assert.include(error.message, "ECONNREFUSED")
    }).pipe(Effect.provide(RoutedMysqlClient.layer({ primary: down, replicas: { near: down } })))
  })

  it.live("does not build with a malformed URL, and says where it stands", () =>
    Effect.gen(function*() {
      const layer = RoutedMysqlClient.layer({
        primary: { host: "127.0.0.1" },
        replicas: { near: { url: Redacted.make("postgres://somewhere") } }
      })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.instanceOf(error.cause, RoutingError.ConfigurationError)
      assert.include(error.message, "replicas.near.url")
    }))

  it.effect("makes a client of its own in each call", () =>
    Effect.gen(function*() {
      const options = { primary: { host: "127.0.0.1", port: 1 } }
      const clients = yield* Effect.scoped(Effect.forEach([1, 2], () =>
        Effect.map(
          Layer.build(RoutedMysqlClient.layer(options)),
          (context) => Context.get(context, SqlClient.SqlClient)
        )))
      assert.notStrictEqual(clients[0], clients[1])
    }))
})

describe("layers from Config", () => {
  it.live("layerDatabaseUrl reads the primary's URL and those of the replicas", () =>
    Effect.scoped(Effect.gen(function*() {
      const { primary, replicas: [replica] } = yield* freshDatabase("mariadb")
      const provider = ConfigProvider.fromMap(
        new Map([["DATABASE_URL", primary.url], ["DATABASE_REPLICA_URLS", ` ${replica.url}, ${replica.url},`]])
      )
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.strictEqual(ran(yield* sql`SELECT @@server_id AS server`), serverIds.near)
        const { pools } = yield* RoutedSqlClient.RoutedSqlClient
        assert.deepStrictEqual((yield* pools).map((pool) => pool.endpoint), ["primary", "replica1", "replica2"])
      }).pipe(
        Effect.provide(RoutedMysqlClient.layerDatabaseUrl({ classifier: selectsAreReads })),
        Effect.withConfigProvider(provider)
      )
    })))

  it.live("layerDatabaseUrl needs no replicas, but a primary", () =>
    Effect.gen(function*() {
      const build = (variables: ReadonlyArray<readonly [string, string]>) =>
        Effect.scoped(Layer.build(RoutedMysqlClient.layerDatabaseUrl())).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(variables))),
          Effect.exit
        )
      assert.isTrue(Exit.isSuccess(yield* build([["DATABASE_URL", "mysql://127.0.0.1:1/shop"]])))
      assert.isTrue(Exit.isFailure(yield* build([])))
    }))

  it.live("layerConfig reads any setting, nested ones too", () =>
    Effect.scoped(Effect.gen(function*() {
      const { primary, replicas: [replica] } = yield* freshDatabase("mariadb")
      const provider = ConfigProvider.fromMap(
        new Map([["PRIMARY_URL", primary.url], ["REPLICA_URL", replica.url], ["MAX", "3"]])
      )
      yield* Effect.gen(function*() {
        const { pools } = yield* RoutedSqlClient.RoutedSqlClient
        assert.deepStrictEqual((yield* pools).map((pool) => pool.max), [3, 3])
        const sql = yield* SqlClient.SqlClient
        assert.strictEqual(ran(yield* sql`SELECT @@server_id AS server`), serverIds.near)
      }).pipe(
        Effect.provide(RoutedMysqlClient.layerConfig({
          primary: { url: Config.redacted("PRIMARY_URL") },
          replicas: Config.map(Config.redacted("REPLICA_URL"), (url) => ({ near: { url } })),
          pool: { max: Config.integer("MAX") },
          classifier: Config.succeed(selectsAreReads)
        })),
        Effect.withConfigProvider(provider)
      )
    })))
})
