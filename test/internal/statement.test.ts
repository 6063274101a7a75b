import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fakeRouter } from "../fixtures/fakeRouter.js"

describe("a template literal", () => {
  it.scoped("compiles to one string, each time with its own parameters", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const byId = (id: unknown, name: unknown) => sql`SELECT * FROM t WHERE id = ${id} AND name = ${name}`.compile()
      const text = "SELECT * FROM t WHERE id = $1 AND name = $2"
      assert.deepStrictEqual(byId(1, "a"), [text, [1, "a"]])
      assert.deepStrictEqual(byId(null, undefined), [text, [null, undefined]])
      const date = new Date(0)
      assert.deepStrictEqual(byId(2n, date), [text, [2n, date]])
    }))

  it.scoped("compiles to another text where the same one is given a fragment", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const where = (condition: unknown) => sql`SELECT * FROM t WHERE ${condition} ORDER BY id`.compile()
      assert.deepStrictEqual(where(true), ["SELECT * FROM t WHERE $1 ORDER BY id", [true]])
      assert.deepStrictEqual(where(sql`id = ${7}`), ["SELECT * FROM t WHERE id = $1 ORDER BY id", [7]])
      assert.deepStrictEqual(where(sql.in("id", [1, 2])), ["SELECT * FROM t WHERE \"id\" IN ($1,$2) ORDER BY id", [
        1,
        2
      ]])
      assert.deepStrictEqual(where(sql("id")), ["SELECT * FROM t WHERE \"id\" ORDER BY id", []])
      assert.deepStrictEqual(where(false), ["SELECT * FROM t WHERE $1 ORDER BY id", [false]])
    }))

  it.scoped("can be part of another one", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const part = sql`id = ${1}`
      part.compile()
      assert.deepStrictEqual(sql`SELECT ${0}, * FROM t WHERE ${part}`.compile(), [
        "SELECT $1, * FROM t WHERE id = $2",
        [0, 1]
      ])
    }))
})
