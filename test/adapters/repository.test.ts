import * as Model from "@effect/sql/Model"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert, describe, it } from "@effect/vitest"
import { ReadConsistency } from "effect-sql-router"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { mariadb, onReplicas, postgres, rolesOf } from "./support.js"

class Person extends Model.Class<Person>("Person")({ id: Schema.Int, name: Schema.String }) {}

const people = Model.makeRepository(Person, { tableName: "t", spanPrefix: "People", idColumn: "id" })

const byId = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  SqlResolver.findById("PersonById", {
    Id: Schema.Int,
    Result: Person,
    ResultId: ({ id }) => id,
    execute: (ids) => sql`SELECT * FROM t WHERE ${sql.in("id", ids)}`
  }))

const ada = Person.insert.make({ id: 1, name: "Ada" })
const bob = Person.insert.make({ id: 2, name: "Bob" })

for (const engine of [postgres, mariadb]) {
  describe(`repositories and resolvers on ${engine.name}`, () => {
    it.scopedLive("a repository finds on a replica, and changes on the primary", () =>
      Effect.gen(function*() {
        const { delete: remove, findById, insertVoid, update } = yield* people
        assert.deepStrictEqual(yield* rolesOf(findById(1)), ["replica"])
        const changes = Effect.all([insertVoid(ada), update(Person.update.make(ada)), remove(1)])
        assert.deepStrictEqual(yield* rolesOf(changes), ["primary", "primary", "primary"])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a repository finds what it was given, while replication is stopped", () =>
      Effect.gen(function*() {
        const { findById, insertVoid } = yield* people
        yield* Effect.zipRight(engine.paused, insertVoid(ada))
        assert.isTrue(Option.isSome(yield* findById(1)))
      }).pipe(onReplicas(engine)))

    it.scopedLive("requests in one batch see what any of their fibers wrote, while replication is stopped", () =>
      Effect.gen(function*() {
        const { insertVoid } = yield* people
        const { execute } = yield* byId
        yield* engine.paused
        const found = yield* Effect.all(
          [Effect.zipRight(insertVoid(ada), execute(1)), Effect.zipRight(insertVoid(bob), execute(2))],
          { batching: true, concurrency: "unbounded" }
        )
        assert.deepStrictEqual(found.map(Option.isSome), [true, true])
      }).pipe(ReadConsistency.isolated, onReplicas(engine)))
  })
}
