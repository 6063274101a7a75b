import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { Topic } from "../support.js"
import { add, makePeople, namesIn } from "../support.js"

export const reactivity: Topic = (it) => {
  // The very instance that the client's layer uses, for layers are memoised.
  it.layer(Reactivity.layer)((it) => {
    it.scoped("a reactive stream runs its query, and again when a key is invalidated", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        yield* add(people, "Ada")
        const results = yield* Mailbox.fromStream(sql.reactive([people], namesIn(people)))
        assert.deepStrictEqual(yield* results.take, ["Ada"])
        yield* Reactivity.mutation(add(people, "Bob"), [people])
        assert.deepStrictEqual(yield* results.take, ["Ada", "Bob"])
      }).pipe(Effect.timeout("5 seconds")))

    it.scoped("a reactive mailbox runs its query, and again when one of its keys is invalidated", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const results = yield* sql.reactiveMailbox({ [people]: [1] }, namesIn(people))
        assert.deepStrictEqual(yield* results.take, [])
        yield* Reactivity.mutation(add(people, "Ada"), { [people]: [1] })
        assert.deepStrictEqual(yield* results.take, ["Ada"])
      }).pipe(Effect.timeout("5 seconds")))

    it.scoped("a query that fails ends its reactive stream with the error", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(Stream.runDrain(sql.reactive(["nothing"], sql`SELEC 1`)))
        assert.strictEqual(error._tag, "SqlError")
      }))
  })
}
