import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Topic } from "../support.js"
import { freshName, ways } from "../support.js"

/** For a client whose names are in camelCase in the program and in snake_case in the database. */
export const transforms: Topic = (it, options) => {
  const makeTable = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const table = freshName("names")
    yield* sql`CREATE TABLE ${sql(table)} (first_name VARCHAR(100), last_name VARCHAR(100))`
    yield* sql`INSERT INTO ${sql(table)} ${sql.insert({ firstName: "Ada", lastName: "Lovelace" })}`
    return table
  })
  const transformed = [{ firstName: "Ada", lastName: "Lovelace" }]
  const plain = [{ first_name: "Ada", last_name: "Lovelace" }]

  it.effect("names are transformed on their way in and out", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = yield* makeTable
      const query = sql`SELECT ${sql("firstName")}, ${sql("lastName")} FROM ${sql(table)} WHERE ${
        sql.in("firstName", ["Ada"])
      }`
      assert.deepStrictEqual(yield* query, transformed)
      assert.deepStrictEqual(yield* query.unprepared, transformed)
    }))

  it.effect("a way that does not transform takes and gives names as they are", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = yield* makeTable
      const query = sql`SELECT ${sql("first_name")}, ${sql("last_name")} FROM ${sql(table)}`
      assert.deepStrictEqual(yield* query.withoutTransform, plain)
      const raw: any = yield* query.raw
      assert.deepStrictEqual(Object.keys((raw.rows ?? raw)[0]), ["first_name", "last_name"])
    }))

  it.effect("values are transformed in the query and have no names in the result", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = yield* makeTable
      assert.deepStrictEqual(
        yield* sql`SELECT ${sql("firstName")}, ${sql("lastName")} FROM ${sql(table)}`.values,
        [["Ada", "Lovelace"]]
      )
    }))

  it.effect("a statement compiles either way", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statement = sql`UPDATE names SET ${sql.update({ firstName: "Ada" })}`
      const [withTransform] = statement.compile()
      const [without] = statement.compile(true)
      assert.include(withTransform, "first_name")
      assert.include(without, "firstName")
    }))

  if (ways(options).some(({ operation }) => operation === "executeStream")) {
    it.effect("a stream is transformed", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const table = yield* makeTable
        const rows = yield* Stream.runCollect(sql`SELECT * FROM ${sql(table)}`.stream)
        assert.deepStrictEqual(Chunk.toReadonlyArray(rows), transformed)
      }))
  }

  it.effect("the client without transforms takes and gives names as they are", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const table = yield* makeTable
      const untransformed = sql.withoutTransforms()
      assert.deepStrictEqual(
        yield* untransformed`SELECT ${untransformed("first_name")}, ${untransformed("last_name")} FROM ${
          untransformed(table)
        }`,
        plain
      )
      assert.strictEqual(untransformed.withoutTransforms(), untransformed)
      assert.strictEqual(untransformed.safe, untransformed)
    }))

  it.effect("the client without transforms shares the transactions of the client with them", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const untransformed = sql.withoutTransforms()
      const table = yield* makeTable
      const bob = untransformed`INSERT INTO ${sql(table)} ${untransformed.insert({ first_name: "Bob" })}`
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(bob, Effect.fail("undo"))))
      yield* Effect.flip(untransformed.withTransaction(Effect.zipRight(bob, Effect.fail("undo"))))
      yield* untransformed.withTransaction(
        Effect.ignore(sql.withTransaction(Effect.zipRight(bob, Effect.fail("undo"))))
      )
      assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(table)}`, transformed)
    }))

  if (options.dialect === "pg") {
    it.effect("a text of several statements is transformed in each", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const table = yield* makeTable
        const results: unknown = yield* sql`
          UPDATE ${sql(table)} SET last_name = 'L.';
          SELECT * FROM ${sql(table)}
        `
        assert.deepStrictEqual(results, [[], [{ firstName: "Ada", lastName: "L." }]])
      }))

    it.effect("names inside of JSON are transformed too", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const json = JSON.stringify({ first_name: { last_name: 1 } })
        assert.deepStrictEqual(
          yield* sql`SELECT ${json}::jsonb AS some_json`,
          [{ someJson: { firstName: { lastName: 1 } } }]
        )
      }))
  }
}
