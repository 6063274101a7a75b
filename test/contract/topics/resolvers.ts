import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Topic } from "../support.js"
import { add, makePeople, namesIn, textsOf, withSpans } from "../support.js"

const Person = Schema.Struct({ id: Schema.Int, name: Schema.String })
type Person = typeof Person.Type

const resolvers = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const people = yield* makePeople
  return {
    people,
    insert: yield* SqlResolver.ordered("Insert", {
      Request: Schema.String,
      Result: Person,
      execute: (names) =>
        Effect.zipRight(
          sql`INSERT INTO ${sql(people)} ${sql.insert(names.map((name) => ({ name })))}`,
          sql<Person>`SELECT * FROM ${sql(people)} WHERE ${sql.in("name", names)} ORDER BY id`
        )
    }),
    insertVoid: yield* SqlResolver.void("InsertVoid", {
      Request: Schema.String,
      execute: (names) => sql`INSERT INTO ${sql(people)} ${sql.insert(names.map((name) => ({ name })))}`
    }),
    findById: yield* SqlResolver.findById("FindById", {
      Id: Schema.Int,
      Result: Person,
      ResultId: ({ id }) => id,
      execute: (ids) => sql<Person>`SELECT * FROM ${sql(people)} WHERE ${sql.in("id", ids)}`
    }),
    findByName: yield* SqlResolver.grouped("FindByName", {
      Request: Schema.String,
      RequestGroupKey: (name) => name,
      Result: Person,
      ResultGroupKey: ({ name }) => name,
      execute: (names) => sql<Person>`SELECT * FROM ${sql(people)} WHERE ${sql.in("name", names)} ORDER BY id`
    })
  }
})

const batched = { batching: true, concurrency: "unbounded" } as const

export const requests: Topic = (it) => {
  it.effect("ordered answers requests in their order, by one statement", () =>
    Effect.gen(function*() {
      const { insert, people } = yield* resolvers
      const [found, spans] = yield* withSpans(Effect.forEach(["Ada", "Bob"], insert.execute, batched))
      assert.deepStrictEqual(found, [{ id: 1, name: "Ada" }, { id: 2, name: "Bob" }])
      assert.lengthOf(textsOf(spans), 2)
      assert.deepStrictEqual(yield* namesIn(people), ["Ada", "Bob"])
    }))

  it.effect("ordered fails if there are fewer rows than requests", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const resolver = yield* SqlResolver.ordered("Short", {
        Request: Schema.Int,
        Result: Schema.Unknown,
        execute: () => sql`SELECT 1 AS one`
      })
      const error = yield* Effect.flip(Effect.forEach([1, 2], resolver.execute, batched))
      assert.strictEqual(error._tag, "ResultLengthMismatch")
    }))

  it.effect("findById finds what is there", () =>
    Effect.gen(function*() {
      const { findById, people } = yield* resolvers
      yield* add(people, "Ada", "Bob")
      const [found, spans] = yield* withSpans(Effect.forEach([2, 3, 1], findById.execute, batched))
      assert.deepStrictEqual(found.map(Option.getOrNull), [{ id: 2, name: "Bob" }, null, { id: 1, name: "Ada" }])
      assert.lengthOf(textsOf(spans), 1)
    }))

  it.effect("grouped gives each request all of its rows", () =>
    Effect.gen(function*() {
      const { findByName, people } = yield* resolvers
      yield* add(people, "Ada", "Bob", "Ada")
      assert.deepStrictEqual(
        yield* Effect.forEach(["Ada", "Cy", "Bob"], findByName.execute, batched),
        [[{ id: 1, name: "Ada" }, { id: 3, name: "Ada" }], [], [{ id: 2, name: "Bob" }]]
      )
    }))

  it.effect("void runs its requests by one statement", () =>
    Effect.gen(function*() {
      const { insertVoid, people } = yield* resolvers
      const [, spans] = yield* withSpans(Effect.forEach(["Ada", "Bob"], insertVoid.execute, batched))
      assert.lengthOf(textsOf(spans), 1)
      assert.deepStrictEqual(yield* namesIn(people), ["Ada", "Bob"])
    }))

  it.effect("a failed statement fails its requests", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const resolver = yield* SqlResolver.void("Broken", { Request: Schema.Int, execute: () => sql`SELEC 1` })
      const error = yield* Effect.flip(Effect.forEach([1, 2], resolver.execute, batched))
      assert.strictEqual(error._tag, "SqlError")
    }))

  it.effect("inside a transaction requests see what it wrote", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { findById, people } = yield* resolvers
      const found = yield* sql.withTransaction(
        Effect.zipRight(add(people, "Ada", "Bob"), Effect.forEach([1, 2], findById.execute, batched))
      )
      assert.deepStrictEqual(found.map(Option.getOrNull), [{ id: 1, name: "Ada" }, { id: 2, name: "Bob" }])
    }))

  it.effect("what requests wrote inside a transaction is undone with it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { insertVoid, people } = yield* resolvers
      const written = Effect.forEach(["Ada", "Bob"], insertVoid.execute, batched)
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(written, Effect.fail("undo"))))
      assert.deepStrictEqual(yield* namesIn(people), [])
      yield* sql.withTransaction(Effect.zipRight(
        Effect.flip(sql.withTransaction(Effect.zipRight(written, Effect.fail("undo")))),
        Effect.forEach(["Cy", "Dan"], insertVoid.execute, batched)
      ))
      assert.deepStrictEqual(yield* namesIn(people), ["Cy", "Dan"])
    }))
}
