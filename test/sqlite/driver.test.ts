import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Exit, Scope, String as Str } from "effect"
import * as Fs from "node:fs"
import * as Driver from "../../src/internal/sqlite/driver.js"
import * as Settings from "../../src/internal/sqlite/settings.js"
import type { SqliteEndpointConfig } from "../../src/internal/sqlite/settings.js"
import { ConfigurationError } from "../../src/RoutingError.js"
import { endpoint, extension, hasExtension, makeFile, temporaryFolder } from "./support.js"

const writer = { max: 1, min: 1, idleTimeout: Duration.infinity, maxLifetime: Duration.infinity }

const make = (config: SqliteEndpointConfig) => Driver.make(config)

describe("the pools of SQLite", () => {
  const cases: ReadonlyArray<readonly [name: string, config: SqliteEndpointConfig, writes: boolean, readers: boolean]> =
    [
      ["a file", { filename: "app.db" }, true, true],
      ["a file without WAL", { filename: "app.db", disableWAL: true }, true, false],
      ["a file that is readonly", { filename: "app.db", readonly: true }, false, false],
      ["memory", { filename: ":memory:" }, true, false],
      ["a temporary database", { filename: "" }, true, false]
    ]
  for (const [name, config, writes, readers] of cases) {
    it.scoped(
      `${name} has ${writes ? "one writer that is never closed" : "no writer"} and ${
        readers ? "" : "no "
      }readers beside it`,
      () =>
        Effect.gen(function*() {
          const driver = yield* make(config)
          assert.deepStrictEqual(driver.pool(endpoint(config), "readWrite"), writes ? writer : {})
          assert.deepStrictEqual(driver.pool(endpoint(config), "readOnly"), {})
          assert.strictEqual(driver.readersBesideWriter(config), readers)
        })
    )
  }
})

describe("opening an endpoint", () => {
  const journalMode = "PRAGMA journal_mode"

  it.scoped("a reader that comes before the writer finds the file made, in WAL mode", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: `${yield* temporaryFolder}/new.db` })
      const driver = yield* make(primary.config)
      const reader = yield* driver.open(primary, "readOnly")
      assert.deepStrictEqual(yield* reader.executeValues(journalMode, []), [["wal"]])
      yield* Effect.flip(reader.execute("CREATE TABLE t (id)", [], undefined))
    }))

  it.scoped("disableWAL leaves the file in its mode", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: yield* makeFile({ wal: false }), disableWAL: true })
      const connection = yield* (yield* make(primary.config)).open(primary, "readWrite")
      assert.deepStrictEqual(yield* connection.executeValues(journalMode, []), [["delete"]])
    }))

  it.scoped("a readonly primary is not written to, even to change its mode", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: yield* makeFile({ wal: false }), readonly: true })
      const connection = yield* (yield* make(primary.config)).open(primary, "readWrite")
      assert.deepStrictEqual(yield* connection.executeValues(journalMode, []), [["delete"]])
      yield* Effect.flip(connection.execute("DELETE FROM t", [], undefined))
      yield* connection.execute("BEGIN IMMEDIATE", [], undefined)
    }))

  it.scoped("a replica that may be written to is neither created nor put into another mode", () =>
    Effect.gen(function*() {
      const replica = endpoint({ filename: yield* makeFile({ wal: false }) }, "replica")
      const driver = yield* make({ filename: ":memory:" })
      const connection = yield* driver.open(replica, "readWrite")
      assert.deepStrictEqual(yield* connection.executeValues(journalMode, []), [["delete"]])
      yield* connection.execute("DELETE FROM t", [], undefined)
      const missing = endpoint({ filename: `${yield* temporaryFolder}/missing.db` }, "replica")
      yield* Effect.flip(driver.open(missing, "readWrite"))
      assert.isFalse(Fs.existsSync(missing.config.filename))
    }))

  it.scoped("memory outlives its connections, and begins each one without a transaction", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: ":memory:" })
      const driver = yield* make(primary.config)
      const scope = yield* Scope.make()
      const first = yield* Scope.extend(driver.open(primary, "readWrite"), scope)
      yield* first.execute("CREATE TABLE t (id)", [], undefined)
      yield* first.execute("BEGIN", [], undefined)
      yield* first.execute("INSERT INTO t VALUES (1)", [], undefined)
      yield* Scope.close(scope, Exit.fail("broken"))
      const second = yield* driver.open(primary, "readWrite")
      assert.isFalse(second.inTransaction())
      assert.deepStrictEqual(yield* second.executeValues("SELECT COUNT(*) FROM t", []), [[0]])
    }))

  it.scoped("memory ends with its client", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: ":memory:" })
      const connection = yield* Effect.scoped(
        Effect.flatMap(make(primary.config), (driver) => driver.open(primary, "readWrite"))
      )
      assert.isFalse(connection.isUsable())
    }))

  it.scoped.skipIf(!hasExtension)(
    "an extension reaches connections that are open and those that are opened later",
    () =>
      Effect.gen(function*() {
        const primary = endpoint({ filename: yield* makeFile() })
        const replica = endpoint({ filename: yield* makeFile() }, "replica")
        const driver = yield* make(primary.config)
        const open = [
          yield* driver.open(primary, "readWrite"),
          yield* driver.open(primary, "readOnly"),
          yield* driver.open(replica, "readOnly")
        ] as const
        yield* open[0].loadExtension(extension)
        const later = yield* driver.open(primary, "readOnly")
        for (const connection of [...open, later]) {
          assert.deepStrictEqual(yield* connection.executeValues("SELECT testExtensionFunction(1, 2)", []), [[2]])
        }
      })
  )

  it.scoped("an extension that cannot be loaded is a typed error, and no later connection tries", () =>
    Effect.gen(function*() {
      const primary = endpoint({ filename: yield* makeFile() })
      const driver = yield* make(primary.config)
      const connection = yield* driver.open(primary, "readWrite")
      const error = yield* Effect.flip(connection.loadExtension("/missing/extension"))
      assert.strictEqual(error.message, "Failed to load extension")
      yield* (yield* driver.open(primary, "readOnly")).ping
    }))
})

describe("the settings of an endpoint", () => {
  const invalid: ReadonlyArray<readonly [config: object, role: "primary" | "replica", path: string]> = [
    [{ filename: ":memory:" }, "replica", "replicas.replica1.filename"],
    [{ filename: "" }, "replica", "replicas.replica1.filename"],
    [{ filename: ":memory:", readonly: true }, "primary", "primary.readonly"],
    [{ filename: "app.db", prepareCacheSize: -1 }, "primary", "primary.prepareCacheSize"],
    [{ filename: "app.db", prepareCacheSize: 1.5 }, "primary", "primary.prepareCacheSize"],
    [{ filename: "app.db", prepareCacheTTL: "soon" }, "primary", "primary.prepareCacheTTL"],
    [{ filename: "app.db", busyTimeout: "soon" }, "replica", "replicas.replica1.busyTimeout"]
  ]
  for (const [config, role, path] of invalid) {
    it.effect(`${path} of ${JSON.stringify(config)} is a ConfigurationError`, () =>
      Effect.gen(function*() {
        const { cause } = yield* Effect.flip(Settings.decode(endpoint(config as SqliteEndpointConfig, role)))
        assert.instanceOf(cause, ConfigurationError)
        assert.strictEqual((cause as ConfigurationError).path, path)
      }))
  }
})

describe("what statements are made with", () => {
  it.scoped("compiles, names and attributes as the stock client does", () =>
    Effect.gen(function*() {
      const config: SqliteEndpointConfig = {
        filename: ":memory:",
        spanAttributes: { "service.name": "orders" },
        transformQueryNames: Str.camelToSnake,
        transformResultNames: Str.snakeToCamel
      }
      const driver = yield* make(config)
      const sql = yield* SqliteClient.make(config).pipe(Effect.provide(Reactivity.layer))
      const statement = sql`SELECT ${sql("userId")} FROM t WHERE ${sql.in("userId", [1, 2])}`
      assert.deepStrictEqual(driver.compiler.compile(statement, false), statement.compile())
      assert.deepStrictEqual(driver.transformRows?.([{ user_id: 1 }]), [{ userId: 1 } as never])
      assert.deepStrictEqual(driver.spanAttributes, [["service.name", "orders"], ["db.system.name", "sqlite"]])
      assert.deepStrictEqual(driver.serverAttributes(config), [])
    }))

  it.scoped("begins to write at once, and to read when it reads", () =>
    Effect.gen(function*() {
      const { texts } = yield* make({ filename: ":memory:" })
      assert.deepStrictEqual(Either.getOrThrow(texts.begin({ access: "readWrite" })).texts, ["BEGIN IMMEDIATE"])
      assert.deepStrictEqual(Either.getOrThrow(texts.begin({ access: "readOnly" })).texts, [
        "PRAGMA query_only = 1",
        "BEGIN"
      ])
    }))
})
