import { SqliteClient } from "@effect/sql-sqlite-node"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type { Scope } from "effect"
import { Chunk, Config, ConfigProvider, Effect, Exit, Fiber, Layer, Stream, String as Str } from "effect"
import { ReadConsistency, RouteDecision, RoutingError } from "effect-sql-router"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Fs from "node:fs"
import { everythingIsRead, selectsAreReads } from "../fixtures/classifiers.js"
import { extension, hasExtension, makeFile, temporaryFolder } from "./support.js"

type Options = RoutedSqliteClient.RoutedSqliteClientConfig

/** Runs a program with a client that ends before the test does. */
const run = <A, E>(
  options: Options,
  program: Effect.Effect<A, E, RoutedSqliteClient.Services | Scope.Scope>
): Effect.Effect<A, E | SqlError> =>
  Effect.scoped(Effect.provide(program, RoutedSqliteClient.layer({ classifier: selectsAreReads, ...options })))

const fileWith = (name: string) => makeFile({ sql: `CREATE TABLE t (name TEXT); INSERT INTO t VALUES ('${name}')` })

/** A primary and two replicas that can be told apart by what they hold. */
const threeFiles: Effect.Effect<Options, never, Scope.Scope> = Effect.map(
  Effect.all([fileWith("primary"), fileWith("replica1"), fileWith("replica2")]),
  ([primary, replica1, replica2]) => ({
    primary: { filename: primary },
    replicas: { replica1: { filename: replica1 }, replica2: { filename: replica2 } }
  })
)

const names = (filename: string): ReadonlyArray<unknown> => {
  const db = new Sqlite(filename)
  try {
    return db.prepare("SELECT name FROM t").pluck().all()
  } finally {
    db.close()
  }
}

describe("RoutedSqliteClient", () => {
  it.scopedLive("reads from replicas and writes to the primary, on all five paths", () =>
    Effect.gen(function*() {
      const options = yield* threeFiles
      yield* run(
        options,
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const read = sql<{ readonly name: string }>`SELECT name FROM t LIMIT 1`
          const seen = [
            (yield* read)[0]!.name,
            ((yield* read.raw) as ReadonlyArray<{ readonly name: string }>)[0]!.name,
            (yield* read.values)[0]![0],
            (yield* read.unprepared)[0]!.name,
            Chunk.unsafeHead(yield* Stream.runCollect(read.stream)).name
          ]
          assert.deepStrictEqual(new Set(seen), new Set(["replica1", "replica2"]))
          const write = sql`INSERT INTO t VALUES ('written')`
          yield* write
          assert.deepInclude(yield* write.raw, { changes: 1 })
          assert.deepStrictEqual(yield* write.values, [])
          assert.deepStrictEqual(yield* write.unprepared, [])
          assert.isTrue(Chunk.isEmpty(yield* Stream.runCollect(write.stream)))
        })
      )
      assert.lengthOf(names(options.primary.filename), 6)
      for (const replica of Object.values(options.replicas!)) assert.lengthOf(names(replica.filename), 1)
    }))

  it.scopedLive("a program that only knows SqlClient runs on memory", () =>
    run(
      { primary: { filename: ":memory:" } },
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)`
        yield* sql`INSERT INTO t ${sql.insert([{ name: "a" }, { name: "b" }])}`
        const failed = sql.withTransaction(Effect.zipRight(sql`DELETE FROM t`, Effect.fail("no")))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(failed)))
        yield* sql.withTransaction(sql`UPDATE t SET name = 'c' WHERE id = 2`)
        assert.deepStrictEqual(yield* sql`SELECT name FROM t`, [{ name: "a" }, { name: "c" }])
      })
    ))

  it.scopedLive("memory keeps its data when a statement is interrupted, fails, or leaves a transaction open", () =>
    run(
      { primary: { filename: ":memory:" } },
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (name TEXT)`
        yield* sql`INSERT INTO t VALUES ('a'), ('b')`
        const endless = sql`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n`
        yield* Stream.runDrain(endless.stream).pipe(Effect.timeoutOption("20 millis"))
        yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`DELETE FROM t`, Effect.interrupt)))
        yield* Effect.exit(sql`SELECT * FROM missing`)
        yield* Effect.scoped(Effect.gen(function*() {
          const connection = yield* sql.reserve
          yield* connection.execute("BEGIN", [], undefined)
          yield* connection.execute("DELETE FROM t", [], undefined)
        }))
        yield* sql.withTransaction(sql`DELETE FROM t WHERE name = 'b'`)
        assert.deepStrictEqual(yield* sql`SELECT name FROM t`, [{ name: "a" }])
      })
    ))

  it.scopedLive("reads outside a transaction go on beside it, and see what was committed", () =>
    Effect.gen(function*() {
      const filename = yield* fileWith("one")
      yield* run(
        { primary: { filename } },
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const count = sql`SELECT COUNT(*) AS n FROM t`
          const written = yield* Effect.makeLatch()
          const outside = yield* Effect.fork(written.whenOpen(count))
          yield* sql`INSERT INTO t VALUES ('two')`
          assert.deepStrictEqual(yield* count, [{ n: 2 }])
          yield* sql.withTransaction(Effect.gen(function*() {
            yield* sql`INSERT INTO t VALUES ('three')`
            yield* written.open
            assert.deepStrictEqual(yield* Fiber.join(outside), [{ n: 2 }])
            assert.deepStrictEqual(yield* count, [{ n: 3 }])
          }))
          assert.deepStrictEqual(yield* count, [{ n: 3 }])
        })
      )
    }))

  it.scopedLive("uses up to four connections for reads, or pool.max, and one for writes", () =>
    Effect.gen(function*() {
      const options = yield* threeFiles
      const max = (options: Options) =>
        run(
          options,
          Effect.gen(function*() {
            const pools = yield* (yield* RoutedSqlClient.RoutedSqlClient).pools
            return pools.map(({ endpoint, lane, max }) => `${endpoint} ${lane} ${max}`)
          })
        )
      assert.deepStrictEqual(yield* max(options), [
        "primary main 1",
        "primary readers 4",
        "replica1 main 4",
        "replica2 main 4"
      ])
      assert.deepStrictEqual(yield* max({ primary: options.primary, pool: { max: 2, min: 2 } }), [
        "primary main 1",
        "primary readers 2"
      ])
    }))

  it.scopedLive("a write that was taken for a read is refused by the replica, and runs on the primary", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* threeFiles
      yield* run(
        { primary, replicas, classifier: everythingIsRead },
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const [, decisions] = yield* RouteDecision.capture(sql`INSERT INTO t VALUES ('new')`)
          assert.deepStrictEqual(decisions.map((_) => _.endpoint), ["primary"])
        })
      )
      assert.deepStrictEqual(names(primary.filename), ["primary", "new"])
      assert.deepStrictEqual(names(replicas!["replica1"]!.filename), ["replica1"])
    }))

  it.scopedLive("replicas may be written to with readOnlyReplicas: false", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* threeFiles
      yield* run(
        { primary, replicas, classifier: everythingIsRead, readOnlyReplicas: false },
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO t VALUES ('new')`)
      )
      assert.deepStrictEqual(names(primary.filename), ["primary"])
    }))

  it.scopedLive("a replica that cannot be opened leaves its reads to others, and is an error where it is required", () =>
    Effect.gen(function*() {
      const primary = { filename: yield* fileWith("primary") }
      const replicas = { replica1: { filename: `${yield* temporaryFolder}/missing.db` } }
      const rows = yield* run(
        { primary, replicas },
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name FROM t`)
      )
      assert.deepStrictEqual(rows, [{ name: "primary" }])
      const error = yield* Effect.flip(run({ primary, replicas, requireAtStart: "all" }, Effect.void))
      assert.instanceOf(error.cause, RoutingError.EndpointUnavailable)
      assert.include(error.message, "replica1")
      assert.include(error.message, "the file does not exist")
    }))

  it.effect("an invalid setting keeps the Layer from building", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run({
        primary: { filename: "app.db" },
        replicas: { replica1: { filename: ":memory:" } }
      }, Effect.void))
      assert.instanceOf(error.cause, RoutingError.ConfigurationError)
    }))

  it.scopedLive("settings beside the endpoints are shared by them", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* threeFiles
      const options = { primary, replicas: { replica1: replicas!["replica1"]! } }
      yield* run(
        {
          ...options,
          busyTimeout: "1 second",
          transformResultNames: Str.toUpperCase,
          transformQueryNames: Str.toLowerCase
        },
        Effect.gen(function*() {
          const sql = yield* SqliteClient.SqliteClient
          assert.strictEqual(sql.config.transformResultNames, Str.toUpperCase)
          assert.deepInclude(sql.config, { busyTimeout: "1 second", ...options.primary })
          assert.deepStrictEqual(yield* sql`SELECT ${sql("NAME")} FROM t WHERE name = ${"primary"} OR 1`, [
            { NAME: "replica1" }
          ])
        })
      )
    }))
})

describe("SqliteClient of the routed client", () => {
  it.scopedLive("exports the primary", () =>
    Effect.gen(function*() {
      const options = yield* threeFiles
      const bytes = yield* run(options, Effect.flatMap(SqliteClient.SqliteClient, (sql) => sql.export))
      const copy = `${yield* temporaryFolder}/copy.db`
      Fs.writeFileSync(copy, bytes)
      assert.deepStrictEqual(names(copy), ["primary"])
    }))

  it.scopedLive("keeps replicas in step by backup, while they are read and the primary is written to", () =>
    Effect.gen(function*() {
      const options = yield* threeFiles
      yield* run(
        options,
        Effect.gen(function*() {
          const sql = yield* SqliteClient.SqliteClient
          const read = sql`SELECT name FROM t`
          yield* Effect.all([read, read])
          yield* sql.withTransaction(Effect.gen(function*() {
            yield* sql`INSERT INTO t VALUES ('uncommitted')`
            for (const { filename } of Object.values(options.replicas!)) yield* sql.backup(filename)
          }))
          // The copies do not tell how old they are.
          yield* ReadConsistency.forget
          assert.deepStrictEqual(yield* Effect.all([read, read]), [[{ name: "primary" }], [{ name: "primary" }]])
          for (const { filename } of Object.values(options.replicas!)) yield* sql.backup(filename)
          assert.lengthOf(yield* read, 2)
        })
      )
    }))

  it.scopedLive("backs up memory", () =>
    Effect.gen(function*() {
      const destination = `${yield* temporaryFolder}/copy.db`
      yield* run(
        { primary: { filename: ":memory:" } },
        Effect.gen(function*() {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`CREATE TABLE t (name TEXT)`
          yield* sql`INSERT INTO t VALUES ('memory')`
          yield* sql.backup(destination)
        })
      )
      assert.deepStrictEqual(names(destination), ["memory"])
    }))

  it.scopedLive.skipIf(!hasExtension)("loads an extension into all connections", () =>
    Effect.gen(function*() {
      yield* run(
        yield* threeFiles,
        Effect.gen(function*() {
          const sql = yield* SqliteClient.SqliteClient
          yield* Effect.all([sql`SELECT 1`, sql`SELECT 1`])
          yield* sql.loadExtension(extension)
          const call = sql`SELECT testExtensionFunction(1, 2, 3) AS n FROM t`
          assert.deepStrictEqual(yield* Effect.all([call, call, sql.withTransaction(call)]), [
            [{ n: 3 }],
            [{ n: 3 }],
            [{ n: 3 }]
          ])
          assert.instanceOf(yield* Effect.flip(sql.loadExtension("/missing")), SqlError)
        })
      )
    }))
})

describe("layers from Config", () => {
  const withEnvironment = <A, E>(
    layer: Layer.Layer<RoutedSqliteClient.Services, E>,
    environment: Record<string, string>,
    program: Effect.Effect<A, SqlError, RoutedSqliteClient.Services>
  ) =>
    Effect.scoped(Effect.provide(
      program,
      Layer.provide(layer, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))))
    ))

  const endpoints = Effect.flatMap(
    RoutedSqlClient.RoutedSqlClient,
    ({ pools }) => Effect.map(pools, (pools) => [...new Set(pools.map((_) => _.endpoint))])
  )

  it.scopedLive("layerDatabaseUrl takes the primary from DATABASE_URL and replicas from DATABASE_REPLICA_URLS", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* threeFiles
      const [replica1, replica2] = Object.values(replicas!)
      const environment = {
        DATABASE_URL: `file:${primary.filename}`,
        DATABASE_REPLICA_URLS: `sqlite://${replica1!.filename}, ${replica2!.filename},`
      }
      const layer = RoutedSqliteClient.layerDatabaseUrl({ pool: { max: 1 } })
      assert.deepStrictEqual(yield* withEnvironment(layer, environment, endpoints), ["primary", "replica1", "replica2"])
    }))

  it.scopedLive("layerDatabaseUrl needs no replicas", () =>
    Effect.gen(function*() {
      const layer = RoutedSqliteClient.layerDatabaseUrl()
      assert.deepStrictEqual(yield* withEnvironment(layer, { DATABASE_URL: ":memory:" }, endpoints), ["primary"])
    }))

  it.scopedLive("layerDatabaseUrl fails with a ConfigError that names the variable", () =>
    Effect.gen(function*() {
      const cases = [
        [{}, "DATABASE_URL"],
        [{ DATABASE_URL: "postgres://localhost/app" }, "DATABASE_URL"],
        [{ DATABASE_URL: ":memory:", DATABASE_REPLICA_URLS: "a.db,mysql://b" }, "DATABASE_REPLICA_URLS"]
      ] as const
      for (const [environment, variable] of cases) {
        const error = yield* Effect.flip(withEnvironment(RoutedSqliteClient.layerDatabaseUrl(), environment, endpoints))
        assert.include(String(error), variable)
      }
    }))

  it.scopedLive("layerConfig reads every setting", () =>
    Effect.gen(function*() {
      const { primary } = yield* threeFiles
      const layer = RoutedSqliteClient.layerConfig({
        primary: { filename: Config.string("FILE"), busyTimeout: Config.duration("BUSY") },
        disableWAL: Config.succeed(true)
      })
      const config = Effect.map(SqliteClient.SqliteClient, (sql) => sql.config)
      const environment = { FILE: primary.filename, BUSY: "1 second" }
      assert.deepInclude(yield* withEnvironment(layer, environment, config), { ...primary, disableWAL: true })
    }))
})
