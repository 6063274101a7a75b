import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Topic } from "../support.js"
import { add, makePeople, namesIn, ways } from "../support.js"

export const execution: Topic = (it, options) => {
  // The stock SQLite client prepares such statements outside of any error channel: see the differences.
  const failing = ways(options).filter(({ operation }) =>
    !(options.dialect === "sqlite" && options.expectStockDefects && operation === "executeUnprepared")
  )

  it.effect.each(ways(options))("$operation gives the rows", ({ run }) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      yield* add(people, "Ada", "Bob")
      assert.deepStrictEqual(
        yield* run(sql`SELECT id, name FROM ${sql(people)} WHERE name <> ${"Cy"} ORDER BY id`),
        [[1, "Ada"], [2, "Bob"]]
      )
    }))

  it.effect.each(ways(options))("$operation gives no rows where there are none", ({ run }) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      assert.deepStrictEqual(yield* run(sql`SELECT id, name FROM ${sql(people)}`), [])
    }))

  it.effect.each(ways(options).filter(({ operation }) => operation !== "executeRaw" && operation !== "executeStream"))(
    "$operation writes, and gives no rows",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        assert.deepStrictEqual(yield* run(sql`INSERT INTO ${sql(people)} ${sql.insert({ name: "Ada" })}`), [])
        assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
      })
  )

  it.effect("raw gives the driver's own answer to a write", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      const raw = yield* sql`INSERT INTO ${sql(people)} ${sql.insert([{ name: "Ada" }, { name: "Bob" }])}`.raw
      const { count } = { sqlite: { count: "changes" }, pg: { count: "rowCount" }, mysql: { count: "affectedRows" } }[
        options.dialect
      ]
      assert.propertyVal(raw, count, 2)
    }))

  it.effect.each(failing)(
    "$operation fails with an SqlError that carries the driver's",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(run(sql`SELEC ${1}`))
        assert.instanceOf(error, SqlError)
        assert.instanceOf(error.cause, Error)
        const { code } = error.cause as Error & { readonly code: unknown }
        assert.strictEqual(code, { sqlite: "SQLITE_ERROR", pg: "42601", mysql: "ER_PARSE_ERROR" }[options.dialect])
      })
  )

  it.effect.each(failing)(
    "$operation fails again with the same error, then runs what is right",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        yield* add(people, "Ada")
        const missing = run(sql`SELECT nothing FROM ${sql(people)}`)
        const [first, second] = [yield* Effect.flip(missing), yield* Effect.flip(missing)]
        assert.strictEqual(
          (first.cause as Error).message,
          (second.cause as Error).message
        )
        assert.deepStrictEqual(yield* run(sql`SELECT name FROM ${sql(people)}`), [["Ada"]])
      })
  )

  if (options.dialect !== "sqlite") {
    it.effect("a text of several statements gives the rows of each", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const text = sql`INSERT INTO ${sql(people)} (name) VALUES ('Ada'); SELECT name FROM ${sql(people)}`
        const [, rows] = yield* text.unprepared
        assert.deepStrictEqual(rows as unknown, [{ name: "Ada" }])
        assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
      }))
  }

  it.effect("a violated constraint fails with the driver's code, and writes nothing", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      yield* add(people, "Ada")
      const error = yield* Effect.flip(
        sql`INSERT INTO ${sql(people)} ${sql.insert([{ id: 2, name: "Bob" }, { id: 1, name: "Cy" }])}`
      )
      assert.propertyVal(
        error.cause,
        "code",
        { sqlite: "SQLITE_CONSTRAINT_PRIMARYKEY", pg: "23505", mysql: "ER_DUP_ENTRY" }[options.dialect]
      )
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect("the same statement value runs again and again, and beside itself", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      const insert = sql`INSERT INTO ${sql(people)} ${sql.insert({ name: "Ada" })}`
      yield* insert
      yield* Effect.all(Array.from({ length: 20 }, () => insert), { concurrency: "unbounded", discard: true })
      assert.lengthOf(yield* namesIn(people), 21)
    }))

  it.effect("many statements at once wait for their turn", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        (index) => sql<{ n: number }>`SELECT ${sql.literal(String(index))} AS n`,
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(rows.map(([row]) => row!.n), Array.from({ length: 50 }, (_, index) => index))
    }))

  if (ways(options).some(({ operation }) => operation === "executeStream")) {
    it.effect("a stream ends early without waiting for the rest, and gives its connection back", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        yield* add(people, ...Array.from({ length: 1000 }, (_, index) => `person ${index}`))
        for (let round = 0; round < 10; round++) {
          const first = yield* Stream.runCollect(Stream.take(sql`SELECT * FROM ${sql(people)} ORDER BY id`.stream, 3))
          assert.deepStrictEqual(Chunk.toReadonlyArray(first).map((row) => row.id), [1, 2, 3])
        }
        yield* add(people, "Ada")
        assert.lengthOf(yield* namesIn(people), 1001)
      }))

    it.effect("a stream gives all rows in order", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const names = Array.from({ length: 1000 }, (_, index) => `person ${index}`)
        yield* add(people, ...names)
        const rows = yield* Stream.runCollect(sql<{ name: string }>`SELECT name FROM ${sql(people)} ORDER BY id`.stream)
        assert.deepStrictEqual(Chunk.toReadonlyArray(rows).map((row) => row.name), names)
      }))

    it.effect("a stream inside a transaction sees what the transaction wrote", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const rows = yield* sql.withTransaction(
          Effect.zipRight(add(people, "Ada"), Stream.runCollect(sql`SELECT name FROM ${sql(people)}`.stream))
        )
        assert.deepStrictEqual(Chunk.toReadonlyArray(rows), [{ name: "Ada" }])
      }))
  }
}
