import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import * as Fs from "node:fs"
import { codeOf } from "../../src/internal/sqlite/dispositions.js"
import * as Driver from "../../src/internal/sqlite/driver.js"
import { connect, endpoint, makeFile } from "./support.js"

const names = (filename: string): ReadonlyArray<unknown> => {
  const db = new Sqlite(filename, { readonly: true })
  try {
    return db.prepare("SELECT name FROM t").pluck().all()
  } finally {
    db.close()
  }
}

describe("backup", () => {
  it.scopedLive("copies the database into a new file", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const { remainingPages, totalPages } = yield* (yield* connect(filename)).backup(`${filename}.copy`)
      assert.deepStrictEqual([totalPages, remainingPages], [2, 0])
      assert.deepStrictEqual(names(`${filename}.copy`), ["one"])
    }))

  for (const wal of [true, false]) {
    it.scopedLive(`refreshes a ${wal ? "WAL" : "rollback-journal"} file in place, under a connection that reads it`, () =>
      Effect.gen(function*() {
        const primary = yield* connect(yield* makeFile({ wal }))
        const replica = yield* makeFile({ wal, sql: "CREATE TABLE t (name)" })
        const reader = yield* connect(replica, { readonly: true })
        assert.deepStrictEqual(yield* reader.executeValues("SELECT name FROM t", []), [])
        yield* primary.backup(replica)
        assert.deepStrictEqual(yield* reader.executeValues("SELECT name FROM t", []), [["one"]])
      }))
  }

  it.scopedLive("waits for a destination that is locked, where better-sqlite3 would do nothing and tell of success", () =>
    Effect.gen(function*() {
      const primary = yield* connect(yield* makeFile())
      const replica = yield* makeFile({ sql: "CREATE TABLE t (name)" })
      const other = yield* connect(replica)
      yield* other.execute("BEGIN EXCLUSIVE", [], undefined)
      const fiber = yield* Effect.fork(primary.backup(replica))
      yield* Effect.sleep("30 millis")
      assert.isNull(fiber.unsafePoll())
      yield* other.execute("COMMIT", [], undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(names(replica), ["one"])
    }))

  it.scopedLive("waits for who reads a destination with a rollback journal, and fails with SQLITE_BUSY in the end", () =>
    Effect.gen(function*() {
      const primary = yield* connect(yield* makeFile({ wal: false }), {}, { busyTimeout: Duration.millis(50) })
      const replica = yield* makeFile({ wal: false, sql: "CREATE TABLE t (name)" })
      const reader = yield* connect(replica, { readonly: true })
      yield* reader.execute("BEGIN", [], undefined)
      yield* reader.execute("SELECT * FROM t", [], undefined)
      assert.strictEqual(codeOf((yield* Effect.flip(primary.backup(replica))).cause), "SQLITE_BUSY")
      yield* reader.execute("COMMIT", [], undefined)
      yield* primary.backup(replica)
      assert.deepStrictEqual(names(replica), ["one"])
    }))

  it.scoped("is refused inside a transaction of its own connection, where it could never end", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename)
      yield* connection.execute("BEGIN IMMEDIATE", [], undefined)
      const error = yield* Effect.flip(connection.backup(`${filename}.copy`))
      assert.include(String(error.cause), "the transaction must end first")
    }))

  it.scopedLive("is a typed error where the destination cannot be made, or is no database", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename)
      Fs.writeFileSync(`${filename}.text`, "not a database".repeat(100))
      for (const destination of ["", ":memory:", `${filename}/x/copy.db`, `${filename}.text`]) {
        assert.strictEqual((yield* Effect.flip(connection.backup(destination))).message, "Failed to backup database")
      }
    }))

  it.scopedLive("of a snapshot ends, and is of one moment, however much is written meanwhile", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({
        sql: "CREATE TABLE t (name); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
          + "INSERT INTO t SELECT zeroblob(2000) FROM n"
      })
      const primary = endpoint({ filename })
      const driver = yield* Driver.make(primary.config)
      const writer = yield* driver.open(primary, "readWrite")
      const write = writer.execute("INSERT INTO t VALUES ('late')", [], undefined)
      const snapshot = yield* driver.openSnapshot(primary)
      const writing = yield* Effect.fork(Effect.forever(Effect.zipRight(write, Effect.sleep(0))))
      yield* snapshot.backup(`${filename}.copy`)
      yield* Fiber.interrupt(writing)
      assert.strictEqual(names(`${filename}.copy`).length, 2000)
      assert.isAbove(names(filename).length, 2001)
    }))

  it.scopedLive("is interruptible, and then leaves no half a file", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({
        sql: "CREATE TABLE t (name); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
          + "INSERT INTO t SELECT zeroblob(2000) FROM n"
      })
      const connection = yield* connect(filename)
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Effect.zipRight(Deferred.succeed(started, undefined), connection.backup(`${filename}.copy`))
      )
      yield* Deferred.await(started)
      while (!Fs.existsSync(`${filename}.copy`)) yield* Effect.sleep(0)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      while (Fs.existsSync(`${filename}.copy`)) yield* Effect.sleep(1)
    }))
})
