import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type { Scope } from "effect"
import { Duration, Effect, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Disposition } from "../../src/Driver.js"
import { byCode, codeOf, disposition } from "../../src/internal/sqlite/dispositions.js"
import { connect, makeFile, temporaryFolder, unprivileged } from "./support.js"

type Short = readonly [
  Disposition["blame"],
  Disposition["connection"],
  Disposition["evidence"],
  Disposition["outcome"],
  Disposition["readRetry"]
]

const short = ({ blame, connection, evidence, outcome, readRetry }: Disposition): Short => [
  blame,
  connection,
  evidence,
  outcome,
  readRetry
]

const statement: Short = ["statement", "keep", "none", "refused", "none"]
const call: Short = ["statement", "keep", "none", "notSent", "none"]
const file: Short = ["endpoint", "destroy", "hard", "refused", "elsewhere"]

const fails = (
  name: string,
  expected: Short,
  failing: Effect.Effect<unknown, SqlError, Scope.Scope>
) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(failing)
      assert.deepStrictEqual(short(disposition(error)), expected)
      if (name.startsWith("SQLITE_")) assert.strictEqual(rootCode(error), name.split(/\W/)[0])
    }))

const rootCode = (error: unknown): string | undefined =>
  error instanceof Error ? codeOf(error) ?? rootCode(error.cause) : undefined

/** Runs statements on a fresh file; the last one is to fail. */
const statements = (...sql: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const connection = yield* connect(yield* makeFile())
    for (const text of sql) yield* connection.execute(text, [], undefined)
  })

const parameters = (...params: ReadonlyArray<unknown>) =>
  Effect.gen(function*() {
    yield* (yield* connect(yield* makeFile())).execute("SELECT ?", params, undefined)
  })

describe("disposition, of errors that SQLite really makes", () => {
  fails(
    "SQLITE_BUSY",
    ["transaction", "keep", "none", "refused", "elsewhere"],
    Effect.gen(function*() {
      const filename = yield* makeFile()
      yield* (yield* connect(filename)).execute("BEGIN IMMEDIATE", [], undefined)
      yield* (yield* connect(filename, {}, { busyTimeout: Duration.zero })).execute("DELETE FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_BUSY_SNAPSHOT",
    ["transaction", "keep", "none", "refused", "none"],
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename)
      yield* connection.execute("BEGIN", [], undefined)
      yield* connection.execute("SELECT * FROM t", [], undefined)
      yield* (yield* connect(filename)).execute("DELETE FROM t", [], undefined)
      yield* connection.execute("DELETE FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_LOCKED: no checkpoint inside a transaction",
    statement,
    statements("PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE", "DELETE FROM t", "PRAGMA wal_checkpoint")
  )

  fails(
    "SQLITE_READONLY",
    ["role", "keep", "none", "refused", "primary"],
    Effect.gen(function*() {
      yield* (yield* connect(yield* makeFile(), { readonly: true })).execute("DELETE FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_READONLY_DBMOVED",
    ["connection", "destroy", "none", "refused", "sameEndpoint"],
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const connection = yield* connect(filename)
      Fs.renameSync(filename, `${filename}.moved`)
      yield* connection.execute("DELETE FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_READONLY_ROLLBACK",
    file,
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const db = new Sqlite(filename)
      db.pragma("cache_size = 1")
      db.exec("BEGIN")
      for (let i = 0; i < 200; i++) db.prepare("INSERT INTO t (name) VALUES (zeroblob(3000))").run()
      Fs.copyFileSync(filename, `${filename}.crashed`)
      Fs.copyFileSync(`${filename}-journal`, `${filename}.crashed-journal`)
      db.close()
      yield* connect(`${filename}.crashed`, { readonly: true })
    })
  )

  fails(
    "SQLITE_READONLY_DIRECTORY",
    file,
    Effect.gen(function*() {
      const filename = yield* makeFile()
      Fs.chmodSync(Path.dirname(filename), 0o555)
      yield* unprivileged(connect(filename, { readonly: true }))
    })
  )

  fails(
    "SQLITE_CANTOPEN",
    file,
    Effect.gen(function*() {
      yield* connect(`${yield* temporaryFolder}/missing.db`, { readonly: true })
    })
  )

  fails("SQLITE_CANTOPEN of a file that the statement names", statement, statements("ATTACH '/missing/a.db' AS a"))

  fails(
    "SQLITE_CORRUPT",
    file,
    Effect.gen(function*() {
      const filename = yield* makeFile({
        wal: false,
        sql: "CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(100000))"
      })
      Fs.truncateSync(filename, 8192)
      yield* (yield* connect(filename)).execute("SELECT * FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_IOERR_READ",
    ["endpoint", "destroy", "hard", "unknown", "elsewhere"],
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const connection = yield* connect(filename)
      Fs.mkdirSync(`${filename}-journal`)
      yield* connection.execute("DELETE FROM t", [], undefined)
    })
  )

  fails(
    "SQLITE_NOTADB",
    file,
    Effect.gen(function*() {
      const filename = `${yield* temporaryFolder}/text.db`
      Fs.writeFileSync(filename, "not a database".repeat(100))
      yield* connect(filename)
    })
  )

  fails(
    "SQLITE_FULL",
    ["endpoint", "keep", "soft", "rolledBack", "elsewhere"],
    statements(
      "PRAGMA max_page_count = 3",
      "INSERT INTO t (name) VALUES (zeroblob(100000))"
    )
  )

  fails("SQLITE_CONSTRAINT_PRIMARYKEY", statement, statements("INSERT INTO t (id) VALUES (1)"))
  fails("SQLITE_ERROR", statement, statements("SELECT * FROM missing"))
  fails("SQLITE_MISMATCH", statement, statements("INSERT INTO t (id) VALUES ('x')"))
  fails("SQLITE_TOOBIG", statement, statements("SELECT zeroblob(2000000000)"))

  fails("too few parameters", call, parameters())
  fails("too many parameters", call, parameters(1, 2))
  fails("a parameter that cannot be bound", call, parameters(new Date(0)))
  fails("several statements in one text", call, statements("SELECT 1; SELECT 2"))

  fails(
    "a handle that a stream keeps busy",
    call,
    Effect.gen(function*() {
      const connection = yield* connect(yield* makeFile({ sql: "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)" }))
      yield* connection.executeStream(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        [],
        undefined
      )
        .pipe(Stream.runForEach(() => connection.execute("DELETE FROM t", [], undefined)))
    })
  )

  fails(
    "a connection that was closed",
    ["connection", "destroy", "none", "notSent", "sameEndpoint"],
    Effect.gen(function*() {
      const filename = yield* makeFile()
      yield* (yield* Effect.scoped(connect(filename))).execute("SELECT 1", [], undefined)
    })
  )

  fails(
    "a directory that does not exist",
    ["configuration", "destroy", "hard", "notSent", "elsewhere"],
    Effect.gen(function*() {
      yield* connect(`${yield* temporaryFolder}/missing/app.db`)
    })
  )

  fails(
    "memory that is to be read-only",
    ["configuration", "destroy", "hard", "notSent", "elsewhere"],
    connect(":memory:", {
      readonly: true
    })
  )
})

describe("disposition, of errors that take a broken disk or an exhausted machine", () => {
  const of = (code: string) => short(disposition(new SqlError({ cause: new Sqlite.SqliteError("", code) })))

  const rows: ReadonlyArray<readonly [code: string, expected: Short]> = [
    ["SQLITE_BUSY_RECOVERY", ["transaction", "keep", "none", "refused", "elsewhere"]],
    ["SQLITE_READONLY_CANTINIT", file],
    ["SQLITE_READONLY_CANTLOCK", file],
    ["SQLITE_READONLY_RECOVERY", file],
    ["SQLITE_CORRUPT_INDEX", file],
    ["SQLITE_CORRUPT_VTAB", ["statement", "keep", "none", "refused", "elsewhere"]],
    ["SQLITE_IOERR_FSYNC", ["endpoint", "destroy", "hard", "unknown", "elsewhere"]],
    ["SQLITE_NOMEM", ["capacity", "keep", "soft", "rolledBack", "none"]],
    ["SQLITE_PROTOCOL", file],
    ["SQLITE_AUTH", statement],
    ["SQLITE_RANGE", statement],
    ["SQLITE_SCHEMA", statement]
  ]
  for (const [code, expected] of rows) it(code, () => assert.deepStrictEqual(of(code), expected))

  it("what nobody knows is taken for the statement's fault, with an unknown outcome", () => {
    const unknown: Short = ["statement", "keep", "none", "unknown", "none"]
    assert.deepStrictEqual(of("UNKNOWN_SQLITE_ERROR_773"), unknown)
    assert.deepStrictEqual(short(disposition(new SqlError({ cause: "?" }))), unknown)
  })

  it("each row is one that better-sqlite3 can name", () => {
    for (const code of Object.keys(byCode)) assert.match(code, /^SQLITE_[A-Z_]+$/)
  })
})
