import * as Model from "@effect/sql/Model"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Topic } from "../support.js"
import { makePeople, namesIn } from "../support.js"

class Person extends Model.Class<Person>("Person")({ id: Model.Generated(Schema.Int), name: Schema.String }) {}

const options = (tableName: string) => ({ tableName, idColumn: "id", spanPrefix: "People" }) as const

const makeRepository = Effect.gen(function*() {
  const people = yield* makePeople
  return { people, ...yield* Model.makeRepository(Person, options(people)) }
})

const makeLoaders = Effect.gen(function*() {
  const people = yield* makePeople
  return { people, ...yield* Model.makeDataLoaders(Person, { ...options(people), window: "10 millis" }) }
})

const person = (name: string) => Person.insert.make({ name })

export const models: Topic = (it) => {
  it.effect("a repository inserts and gives what was inserted", () =>
    Effect.gen(function*() {
      const { insert, insertVoid, people } = yield* makeRepository
      assert.deepStrictEqual(yield* insert(person("Ada")), new Person({ id: 1, name: "Ada" }))
      assert.isUndefined(yield* insertVoid(person("Bob")))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada", "Bob"])
    }))

  it.effect("a repository updates and gives what was updated", () =>
    Effect.gen(function*() {
      const { insert, people, update, updateVoid } = yield* makeRepository
      const ada = yield* insert(person("Ada"))
      assert.deepStrictEqual(
        yield* update(Person.update.make({ ...ada, name: "Bob" })),
        new Person({ id: 1, name: "Bob" })
      )
      yield* updateVoid(Person.update.make({ ...ada, name: "Cy" }))
      assert.deepStrictEqual(yield* namesIn(people), ["Cy"])
    }))

  it.effect("a repository finds and deletes", () =>
    Effect.gen(function*() {
      const { delete: remove, findById, insert } = yield* makeRepository
      const ada = yield* insert(person("Ada"))
      assert.deepStrictEqual(Option.getOrNull(yield* findById(ada.id)), ada)
      yield* remove(ada.id)
      assert.isNull(Option.getOrNull(yield* findById(ada.id)))
    }))

  it.scoped("data loaders insert, find and delete in batches", () =>
    Effect.gen(function*() {
      const { delete: remove, findById, insert, insertVoid, people } = yield* makeLoaders
      const inserted = yield* Effect.forEach(["Ada", "Bob"], (name) => insert(person(name)), {
        batching: true,
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(inserted.map(({ name }) => name), ["Ada", "Bob"])
      yield* insertVoid(person("Cy"))
      assert.sameMembers(yield* namesIn(people), ["Ada", "Bob", "Cy"])
      const found = yield* Effect.forEach([...inserted.map(({ id }) => id), 99], (id) => findById(id), {
        batching: true,
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(found.map(Option.getOrNull), [...inserted, null])
      yield* remove(inserted[0]!.id)
      assert.sameMembers(yield* namesIn(people), ["Bob", "Cy"])
    }))
}
