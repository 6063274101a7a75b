import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ids, insert, sqlite, tagOf } from "./engines.js"
import { suite } from "./suite.js"

suite(sqlite)

const router = Effect.flatMap(sqlite.place, (place) => place.router())

describe("transactions on sqlite", () => {
  it.scopedLive("fail when an error that SQLite ended them for was swallowed", () =>
    Effect.gen(function*() {
      const sql = yield* router
      yield* insert(sql, 1)
      const error = yield* Effect.flip(sql.withTransaction(Effect.all([
        insert(sql, 2),
        Effect.ignore(sql`INSERT OR ROLLBACK INTO t (id) VALUES (1)`)
      ])))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
      assert.deepStrictEqual(yield* ids(sql), [1])
    }))

  it.scopedLive("fail when that error was a stream's", () =>
    Effect.gen(function*() {
      const sql = yield* router
      yield* insert(sql, 1)
      const error = yield* Effect.flip(sql.withTransaction(Effect.all([
        insert(sql, 2),
        Effect.ignore(Stream.runDrain(sql`INSERT OR ROLLBACK INTO t (id) VALUES (1) RETURNING id`.stream)),
        insert(sql, 3)
      ])))
      assert.strictEqual(tagOf(error), "TransactionClosed")
      assert.deepStrictEqual(yield* ids(sql), [1])
    }))

  it.scopedLive("fail with the deferred constraint that COMMIT finds violated, and leave none open", () =>
    Effect.gen(function*() {
      const sql = yield* router
      yield* sql`CREATE TABLE child (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)`
      const error = yield* Effect.flip(sql.withTransaction(sql`INSERT INTO child VALUES (7)`))
      assert.match(String((error.cause as Error).message), /FOREIGN KEY/)
      assert.deepStrictEqual(yield* sql`SELECT * FROM child`, [])
      yield* insert(sql, 1)
    }))

  it.scopedLive("that only read are refused writes in memory too, where one connection does everything", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.provide(
        RoutedSqliteClient.make({ primary: { filename: ":memory:" } }),
        Reactivity.layer
      )
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)`
      const error = yield* Effect.flip(sql.readOnlyTransaction(insert(sql, 1)))
      assert.match(String((error.cause as Error).message), /readonly/)
      yield* insert(sql, 2)
      assert.deepStrictEqual(yield* ids(sql), [2])
    }))

  it.scopedLive("begin as they are asked to", () =>
    Effect.gen(function*() {
      const place = yield* sqlite.place
      const sql = yield* place.router()
      const other = yield* place.router({ pool: { acquireTimeout: "1 seconds" } })
      // Nothing was written yet: a deferred transaction has no lock.
      yield* sql.transaction({ mode: "deferred" })(Effect.zipRight(ids(sql), insert(other, 1)))
      assert.deepStrictEqual(yield* ids(sql), [1])
    }))
})
