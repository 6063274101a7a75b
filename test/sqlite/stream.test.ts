import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { connect, makeFile } from "./support.js"

const manyRows = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);"
  + "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, 'n' || i FROM n"

const all = "SELECT id, name FROM t ORDER BY id"

const open = Effect.flatMap(makeFile({ sql: manyRows }), (filename) => connect(filename))

describe("executeStream", () => {
  it.scoped("gives the rows of execute, in order", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const rows = yield* Stream.runCollect(connection.executeStream(all, [], undefined))
      assert.deepStrictEqual(Chunk.toReadonlyArray(rows), yield* connection.execute(all, [], undefined))
    }))

  it.scoped("reads in chunks of a bounded size", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const sizes = yield* connection.executeStream(all, [], undefined).pipe(
        Stream.chunks,
        Stream.map(Chunk.size),
        Stream.runCollect
      )
      assert.strictEqual(Math.max(...sizes), 128)
    }))

  it.scoped("reads no further than it is consumed", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
      const rows = yield* connection.executeStream(endless, [], undefined).pipe(Stream.take(3), Stream.runCollect)
      assert.deepStrictEqual(Chunk.toReadonlyArray(rows), [{ i: 1 }, { i: 2 }, { i: 3 }])
    }))

  it.scoped("has no rows where nothing matches, and none from a statement without rows, which it runs", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const drain = (sql: string) => Stream.runCollect(connection.executeStream(sql, [], undefined))
      assert.isTrue(Chunk.isEmpty(yield* drain("SELECT * FROM t WHERE id < 0")))
      assert.isTrue(Chunk.isEmpty(yield* drain("DELETE FROM t WHERE id = 1")))
      assert.deepStrictEqual(yield* connection.executeValues("SELECT MIN(id) FROM t", []), [[2]])
    }))

  it.scoped("transforms rows", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const rows = yield* connection.executeStream(all, [], (rows) => rows.map((row) => ({ ...row, seen: true })))
        .pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(Chunk.toReadonlyArray(rows), [{ id: 1, name: "n1", seen: true }])
    }))

  it.scoped("honours SafeIntegers", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const first = connection.executeStream(all, [], undefined).pipe(Stream.take(1), Stream.runCollect)
      const safe = yield* Effect.provideService(first, SqlClient.SafeIntegers, true)
      assert.deepStrictEqual(Chunk.toReadonlyArray(safe), [{ id: 1n, name: "n1" }])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* first), [{ id: 1, name: "n1" }])
    }))

  it.scoped("fails with a typed error where the statement is wrong", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const drain = (sql: string, params: ReadonlyArray<unknown>) =>
        Effect.flip(Stream.runDrain(connection.executeStream(sql, params, undefined)))
      assert.strictEqual((yield* drain("SELECT * FROM missing", [])).message, "Failed to prepare statement")
      assert.strictEqual((yield* drain("SELECT ?", [])).message, "Failed to execute statement")
    }))

  it.scoped("keeps its handle from being written to, and reading goes on beside it", () =>
    Effect.gen(function*() {
      const connection = yield* open
      yield* connection.executeStream(all, [], undefined).pipe(
        Stream.take(200),
        Stream.rechunk(1),
        Stream.runForEach(() =>
          Effect.gen(function*() {
            assert.lengthOf(yield* connection.execute(`${all} LIMIT 1`, [], undefined), 1)
            const error = yield* Effect.flip(connection.execute("DELETE FROM t", [], undefined))
            assert.include(String(error.cause), "busy executing a query")
          })
        )
      )
      yield* connection.execute("DELETE FROM t", [], undefined)
    }))

  it.scoped("frees the handle when it ends early or fails", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const rows = connection.executeStream(all, [], undefined)
      yield* Stream.runDrain(Stream.take(rows, 1))
      yield* connection.execute("UPDATE t SET name = '' WHERE id = 1", [], undefined)
      yield* Effect.flip(Stream.runForEach(rows, () => Effect.fail("enough")))
      yield* connection.execute("UPDATE t SET name = '' WHERE id = 2", [], undefined)
    }))

  it.scopedLive("lets timers fire, is interrupted between chunks, and then frees the handle", () =>
    Effect.gen(function*() {
      const connection = yield* open
      const endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
      const fiber = yield* Effect.fork(Stream.runDrain(connection.executeStream(endless, [], undefined)))
      yield* Effect.sleep("20 millis")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* connection.execute("DELETE FROM t", [], undefined)
    }))

  it.scoped("fails, instead of ending, when its connection is closed under it", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ sql: manyRows })
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(connect(filename), scope)
      const error = yield* connection.executeStream(all, [], undefined).pipe(
        Stream.runForEach(() => Scope.close(scope, Exit.void)),
        Effect.flip
      )
      assert.include(String(error.cause), "The database connection is not open")
    }))
})
