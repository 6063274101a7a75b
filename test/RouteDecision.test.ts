import { assert, describe, it } from "@effect/vitest"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as Effect from "effect/Effect"
import { fakeRouter } from "./fixtures/fakeRouter.js"

describe("RouteDecision", () => {
  it.scoped("captures what an effect and the fibers it forks sent, and nothing of others", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas: { replica1: {} } })
      yield* sql`SELECT 'before'`
      const [result, decisions] = yield* RouteDecision.capture(Effect.gen(function*() {
        yield* Effect.all([sql`SELECT 1`, sql`INSERT 1`], { concurrency: "unbounded" })
        yield* sql.withTransaction(sql`SELECT 2`)
        return "done"
      }))
      assert.strictEqual(result, "done")
      assert.deepStrictEqual(decisions.map((_) => [_.sql, _.endpoint, _.role, _.reason]), [
        ["SELECT 1", "replica1", "replica", "read"],
        ["INSERT 1", "primary", "primary", "write"],
        ["SELECT 2", "primary", "primary", "in a transaction"]
      ])
    }))

  it.scoped("prints as a table", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas: { replica1: {} } })
      const long = "x".repeat(80)
      const [, decisions] = yield* RouteDecision.capture(
        Effect.zipRight(sql`SELECT\n  1`, sql.unsafe(`INSERT '${long}'`))
      )
      assert.strictEqual(
        RouteDecision.table(decisions),
        [
          "statement                                                     endpoint  why",
          "SELECT 1                                                      replica1  read",
          `INSERT '${long.slice(0, 51)}…  primary   write`
        ].join("\n")
      )
    }))
})
