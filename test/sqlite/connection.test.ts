import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { connect, makeFile, temporaryFolder } from "./support.js"

const withSafeIntegers = Effect.provideService(SqlClient.SafeIntegers, true)

/** What a program may do, one after the other. */
const statements: ReadonlyArray<readonly [sql: string, params: ReadonlyArray<unknown>]> = [
  ["CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size REAL, data BLOB)", []],
  ["INSERT INTO item (name, size, data) VALUES (?, ?, ?)", ["a", 1.5, Buffer.from([1, 2])]],
  ["INSERT INTO item (name, size) VALUES (?, ?) RETURNING id, name", ["b", null]],
  ["SELECT * FROM item ORDER BY id", []],
  ["SELECT * FROM item WHERE id = ?", [1]],
  ["SELECT * FROM item WHERE id = ?", [99]],
  ["SELECT id AS a, id AS a FROM item", []],
  ["SELECT :a AS a", [{ a: 1 }]],
  ["SELECT ? + ?", [[1, 2]]],
  ["UPDATE item SET size = 2 WHERE id > ?", [0]],
  ["DELETE FROM item WHERE id = 99", []],
  ["PRAGMA user_version", []],
  ["PRAGMA user_version = 7", []],
  ["EXPLAIN QUERY PLAN SELECT 1", []],
  ["INSERT INTO item (name) VALUES (?)", ["a"]],
  ["SELECT * FROM missing", []],
  ["SELECT", []],
  ["", []],
  ["SELECT ?", [1, 2]],
  ["SELECT ?", []],
  ["SELECT ?", [new Date(0)]],
  ["SELECT 1; DELETE FROM item", []],
  ["BEGIN", []],
  ["INSERT INTO item (name) VALUES ('c')", []],
  ["ROLLBACK", []],
  ["ROLLBACK", []],
  ["SELECT COUNT(*) AS n FROM item", []]
]

type Path = (connection: Connection, sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<unknown, SqlError>

const paths: { readonly [name: string]: Path } = {
  execute: (connection, sql, params) => connection.execute(sql, params, undefined),
  "execute with transforms": (connection, sql, params) => connection.execute(sql, params, (rows) => rows.toReversed()),
  raw: (connection, sql, params) => connection.executeRaw(sql, params),
  values: (connection, sql, params) => connection.executeValues(sql, params),
  unprepared: (connection, sql, params) => connection.executeUnprepared(sql, params, undefined),
  "unprepared with transforms": (connection, sql, params) =>
    connection.executeUnprepared(sql, params, (rows) => rows.toReversed())
}

/** What came of it; where the stock driver dies, we fail with the same. */
const outcome = (exit: Exit.Exit<unknown, SqlError>): unknown => {
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  const cause = error instanceof SqlError ? error.cause : error
  return cause instanceof Error
    ? [cause.constructor.name, "code" in cause ? cause.code : undefined, cause.message]
    : cause
}

const stock = (filename: string) =>
  Effect.flatMap(SqliteClient.make({ filename }), (client) => client.reserve).pipe(Effect.provide(Reactivity.layer))

describe("SqliteConnection", () => {
  for (const [name, path] of Object.entries(paths)) {
    it.scoped(`${name} gives what the stock driver gives`, () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const theirs = yield* stock(`${folder}/theirs.db`)
        const ours = yield* connect(`${folder}/ours.db`, { wal: true })
        for (const [sql, params] of [...statements, ...statements.slice(1)]) {
          const expected = outcome(yield* Effect.exit(Effect.suspend(() => path(theirs, sql, params))))
          assert.deepStrictEqual(outcome(yield* Effect.exit(path(ours, sql, params))), expected, sql)
        }
      }))
  }

  it.scoped("a text of several statements is refused before any of them ran", () =>
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile())
      const error = yield* Effect.flip(connection.execute("DELETE FROM t; SELECT 1", [], undefined))
      assert.instanceOf(error, SqlError)
      assert.strictEqual(error.message, "Failed to prepare statement")
      assert.deepStrictEqual(yield* connection.executeValues("SELECT COUNT(*) FROM t", []), [[1]])
    }))

  it.scoped("an unprepared statement that cannot be prepared is an error, not a defect", () =>
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile())
      assert.instanceOf(yield* Effect.flip(connection.executeUnprepared("SELEC", [], undefined)), SqlError)
    }))

  it.scoped("SafeIntegers holds for the run it is set for, on every path, and for no other", () =>
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile())
      const all = Effect.all([
        connection.execute("SELECT id FROM t", [], undefined),
        connection.executeRaw("SELECT id FROM t", []),
        connection.executeValues("SELECT id FROM t", []),
        connection.executeUnprepared("SELECT id FROM t", [], undefined)
      ])
      const numbers = [[{ id: 1 }], [{ id: 1 }], [[1]], [{ id: 1 }]]
      const bigints = [[{ id: 1n }], [{ id: 1n }], [[1n]], [{ id: 1n }]]
      assert.deepStrictEqual(yield* all, numbers as any)
      assert.deepStrictEqual(yield* withSafeIntegers(all), bigints as any)
      assert.deepStrictEqual(yield* all, numbers as any)
      const insert = connection.executeRaw("INSERT INTO t (name) VALUES ('x')", [])
      assert.deepStrictEqual(yield* insert, { changes: 1, lastInsertRowid: 2 })
      assert.deepStrictEqual(yield* withSafeIntegers(insert), { changes: 1, lastInsertRowid: 3n })
      assert.deepStrictEqual(yield* insert, { changes: 1, lastInsertRowid: 4 })
    }))

  it.scoped("a schema that changes under a cached statement changes its rows", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const [a, b] = [yield* connect(filename), yield* connect(filename)]
      const rows = a.execute("SELECT * FROM t", [], undefined)
      assert.deepStrictEqual(yield* rows, [{ id: 1, name: "one" }])
      yield* b.execute("ALTER TABLE t ADD COLUMN size INTEGER DEFAULT 3", [], undefined)
      assert.deepStrictEqual(yield* rows, [{ id: 1, name: "one", size: 3 }])
    }))

  it.scoped("tells whether a transaction is open", () =>
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile())
      assert.isFalse(connection.inTransaction())
      yield* connection.execute("BEGIN IMMEDIATE", [], undefined)
      assert.isTrue(connection.inTransaction())
      yield* connection.execute("ROLLBACK", [], undefined)
      assert.isFalse(connection.inTransaction())
    }))

  it.scoped("is unusable once its Scope is closed, and then fails", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* Effect.scoped(Effect.tap(connect(filename), (_) => _.ping))
      assert.isFalse(connection.isUsable())
      const error = yield* Effect.flip(connection.execute("SELECT 1", [], undefined))
      assert.include(String(error.cause), "The database connection is not open")
    }))

  it.scoped("exports the database as bytes that are a database again", () =>
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile())
      assert.strictEqual(Buffer.from((yield* connection.export).subarray(0, 15)).toString(), "SQLite format 3")
    }))
})
