import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { isAnonymous } from "../../src/internal/sqlite/file.js"
import { connect, makeFile, temporaryFolder, unprivileged } from "./support.js"

const read = (filename: string) =>
  Effect.scoped(
    Effect.flatMap(connect(filename, { readonly: true }), (connection) =>
      connection.executeValues("SELECT name FROM t", []))
  )

const openingFails = (filename: string, mode: Parameters<typeof connect>[1] = { readonly: true }) =>
  Effect.map(Effect.flip(Effect.scoped(connect(filename, mode))), (error: SqlError) => error.message)

describe("opening a replica's file", () => {
  it.scoped("reads a WAL file beside its live writer, and sees what it commits", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const writer = yield* connect(filename)
      const reader = yield* connect(filename, { readonly: true })
      yield* writer.execute("INSERT INTO t (name) VALUES ('two')", [], undefined)
      assert.deepStrictEqual(yield* reader.executeValues("SELECT name FROM t", []), [["one"], ["two"]])
    }))

  it.scoped("reads a WAL file without a writer", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(yield* makeFile()), [["one"]])
    }))

  it.scoped("reads a WAL file in a read-only directory while its writer lives", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      yield* connect(filename)
      Fs.chmodSync(Path.dirname(filename), 0o555)
      assert.deepStrictEqual(yield* unprivileged(read(filename)), [["one"]])
    }))

  it.scoped("says what to do about a WAL file in a read-only directory without a writer", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      Fs.chmodSync(Path.dirname(filename), 0o555)
      const message = yield* unprivileged(openingFails(filename))
      assert.include(message, filename)
      assert.include(message, "PRAGMA journal_mode = DELETE")
    }))

  it.scoped("says the same where a -wal file was left behind without its -shm", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const copy = `${filename}.copy`
      yield* Effect.scoped(Effect.tap(connect(filename), (writer) =>
        Effect.zipRight(
          writer.execute("INSERT INTO t (name) VALUES ('two')", [], undefined),
          Effect.sync(() => {
            Fs.copyFileSync(filename, copy)
            Fs.copyFileSync(`${filename}-wal`, `${copy}-wal`)
          })
        )))
      Fs.chmodSync(Path.dirname(filename), 0o555)
      assert.include(yield* unprivileged(openingFails(copy)), "PRAGMA journal_mode = DELETE")
      Fs.chmodSync(Path.dirname(filename), 0o755)
      assert.deepStrictEqual(yield* read(copy), [["one"], ["two"]])
    }))

  it.scoped("reads a file with a rollback journal from a read-only directory, and leaves it in its mode", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      Fs.chmodSync(Path.dirname(filename), 0o555)
      assert.deepStrictEqual(yield* unprivileged(read(filename)), [["one"]])
      const connection = yield* connect(filename, { readonly: true })
      assert.deepStrictEqual(yield* connection.executeValues("PRAGMA journal_mode", []), [["delete"]])
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(filename)), ["app.db"])
    }))

  it.scoped("cannot be talked into writing: not by query_only = OFF, and not by journal_mode", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const connection = yield* connect(filename, { readonly: true })
      yield* connection.execute("PRAGMA query_only = OFF", [], undefined)
      for (const sql of ["DELETE FROM t", "PRAGMA journal_mode = WAL", "CREATE TABLE u (id)", "VACUUM"]) {
        const error = yield* Effect.flip(connection.execute(sql, [], undefined))
        assert.include(String(error.cause), "readonly database", sql)
      }
    }))

  it.scoped("cannot create a file by ATTACH, but can by VACUUM INTO", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename, { readonly: true })
      yield* Effect.flip(connection.execute(`ATTACH '${filename}.a' AS a`, [], undefined))
      assert.isFalse(Fs.existsSync(`${filename}.a`))
      yield* connection.execute(`VACUUM INTO '${filename}.b'`, [], undefined)
      assert.isTrue(Fs.existsSync(`${filename}.b`))
    }))

  it.scoped("fails, and creates nothing, where there is no file, even if it may write", () =>
    Effect.gen(function*() {
      const filename = `${yield* temporaryFolder}/missing.db`
      assert.include(yield* openingFails(filename), "the file does not exist")
      assert.include(yield* openingFails(filename, { mustExist: true }), "the file does not exist")
      assert.isFalse(Fs.existsSync(filename))
    }))

  it.scoped("fails where there is no directory", () =>
    Effect.gen(function*() {
      assert.include(yield* openingFails(`${yield* temporaryFolder}/no/app.db`), "the directory does not exist")
    }))

  it.scoped("fails on a directory", () =>
    Effect.gen(function*() {
      assert.include(yield* openingFails(yield* temporaryFolder), "is it a directory?")
    }))

  it.scoped("fails on what is not a database", () =>
    Effect.gen(function*() {
      const filename = `${yield* temporaryFolder}/text.db`
      Fs.writeFileSync(filename, "not a database".repeat(100))
      assert.include(yield* openingFails(filename), "it is not a SQLite database")
    }))

  it.scoped("fails on a file that may not be read", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      Fs.chmodSync(filename, 0)
      assert.include(yield* unprivileged(openingFails(filename)), "this process may not read it")
    }))

  it.scoped("fails on a file in which a crash left a transaction that must be rolled back", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const crashed = `${filename}.crashed`
      const db = new Sqlite(filename)
      db.pragma("cache_size = 1")
      db.exec("BEGIN")
      for (let i = 0; i < 200; i++) db.prepare("INSERT INTO t (name) VALUES (zeroblob(3000))").run()
      Fs.copyFileSync(filename, crashed)
      Fs.copyFileSync(`${filename}-journal`, `${crashed}-journal`)
      db.close()
      assert.include(yield* openingFails(crashed), "only a connection that may write can roll it back")
    }))
})

describe("opening the primary's file", () => {
  it.scoped("creates it, in WAL mode", () =>
    Effect.gen(function*() {
      const connection = yield* connect(`${yield* temporaryFolder}/new.db`, { wal: true })
      assert.deepStrictEqual(yield* connection.executeValues("PRAGMA journal_mode", []), [["wal"]])
    }))

  it.scoped("fails where it cannot be created, and where it may not be written", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      Fs.chmodSync(Path.dirname(filename), 0o555)
      assert.include(yield* unprivileged(openingFails(`${filename}.new`, { wal: true })), "the file cannot be created")
      assert.include(yield* unprivileged(openingFails(filename, { wal: true })), "this process may not write to it")
    }))
})

describe("isAnonymous", () => {
  it("tells names of memory and of temporary files from paths", () => {
    for (
      const name of ["", " ", ":memory:", " :memory: ", "file::memory:", "file:a?mode=memory", "file:a?x=1&mode=memory"]
    ) {
      assert.isTrue(isAnonymous(name), name)
    }
    for (const name of ["app.db", "./:memory:x", "file:app.db", "memory"]) assert.isFalse(isAnonymous(name), name)
  })
})
