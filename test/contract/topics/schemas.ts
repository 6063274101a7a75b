import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Topic } from "../support.js"
import { add, makePeople, namesIn } from "../support.js"

class Person extends Schema.Class<Person>("Person")({ id: Schema.Int, name: Schema.NonEmptyString }) {}

const repository = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const people = yield* makePeople
  return {
    people,
    insert: SqlSchema.void({
      Request: Schema.Struct({ name: Schema.Trim }),
      execute: (request) => sql`INSERT INTO ${sql(people)} ${sql.insert(request)}`
    }),
    findAll: SqlSchema.findAll({
      Request: Schema.Array(Schema.NumberFromString),
      Result: Person,
      execute: (ids) => sql`SELECT * FROM ${sql(people)} WHERE ${sql.in("id", ids.map(Number))} ORDER BY id`
    }),
    findOne: SqlSchema.findOne({
      Request: Schema.Int,
      Result: Person,
      execute: (id) => sql`SELECT * FROM ${sql(people)} WHERE id = ${id}`
    }),
    single: SqlSchema.single({
      Request: Schema.Int,
      Result: Person,
      execute: (id) => sql`SELECT * FROM ${sql(people)} WHERE id = ${id}`
    })
  }
})

export const schemas: Topic = (it) => {
  it.effect("void encodes its request and gives nothing", () =>
    Effect.gen(function*() {
      const { insert, people } = yield* repository
      assert.isUndefined(yield* insert({ name: "Ada" }))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect("findAll decodes every row", () =>
    Effect.gen(function*() {
      const { findAll, people } = yield* repository
      yield* add(people, "Ada", "Bob", "Cy")
      assert.deepStrictEqual(yield* findAll([1, 3]), [
        new Person({ id: 1, name: "Ada" }),
        new Person({ id: 3, name: "Cy" })
      ])
      assert.deepStrictEqual(yield* findAll([]), [])
    }))

  it.effect("findOne gives a row, or none", () =>
    Effect.gen(function*() {
      const { findOne, people } = yield* repository
      yield* add(people, "Ada")
      assert.deepStrictEqual(Option.getOrNull(yield* findOne(1)), new Person({ id: 1, name: "Ada" }))
      assert.isNull(Option.getOrNull(yield* findOne(2)))
    }))

  it.effect("single gives a row, or fails", () =>
    Effect.gen(function*() {
      const { people, single } = yield* repository
      yield* add(people, "Ada")
      assert.deepStrictEqual(yield* single(1), new Person({ id: 1, name: "Ada" }))
      const error = yield* Effect.flip(single(2))
      assert.strictEqual(error._tag, "NoSuchElementException")
    }))

  it.effect("a row that does not fit the schema fails with a ParseError", () =>
    Effect.gen(function*() {
      const { people, single } = yield* repository
      yield* add(people, "")
      const error = yield* Effect.flip(single(1))
      assert.strictEqual(error._tag, "ParseError")
    }))
}
