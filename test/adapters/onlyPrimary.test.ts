import { assert, describe, it } from "@effect/vitest"
import { RouteDecision, RoutedSqlClient, RoutingRules, Target } from "effect-sql-router"
import * as Effect from "effect/Effect"
import { fakeRouter } from "../fixtures/fakeRouter.js"
import { rolesOf, tagOf } from "./support.js"

const router = fakeRouter({
  replicas: { replica: {} },
  databases: { other: { primary: {} } },
  rules: RoutingRules.make([RoutingRules.read(Target.replica), RoutingRules.write(Target.deny("not here"))])
})

describe("a client for the primary alone", () => {
  it.scoped("runs there what rules would send elsewhere, or refuse", () =>
    Effect.gen(function*() {
      const { sql } = yield* router
      const primary = yield* sql.onlyPrimary
      assert.deepStrictEqual(yield* rolesOf(sql`SELECT 1`), ["replica"])
      assert.deepStrictEqual(yield* rolesOf(Effect.all([primary`SELECT 1`, primary`INSERT 1`])), ["primary", "primary"])
      assert.strictEqual(tagOf(yield* Effect.flip(sql`INSERT 1`)), "StatementRefused")
    }))

  it.scoped("runs there whatever the fiber says", () =>
    Effect.gen(function*() {
      const { sql } = yield* router
      const primary = yield* sql.onlyPrimary
      const read = primary.withoutTransforms()`SELECT 1`
      const overrides = [
        RoutedSqlClient.withReplica,
        RoutedSqlClient.withEndpoint("replica"),
        RoutedSqlClient.withDatabase("other")
      ]
      for (const override of overrides) {
        const [, [decision]] = yield* RouteDecision.capture(override(read))
        assert.deepStrictEqual([decision!.plan.database, decision!.role], ["main", "primary"])
      }
    }))

  it.scoped("explains it", () =>
    Effect.gen(function*() {
      const { sql } = yield* router
      const primary = yield* sql.onlyPrimary
      const { plan, rules } = yield* primary.explain(primary`SELECT 1`)
      assert.strictEqual(plan.rule, "onlyPrimary")
      assert.deepStrictEqual(rules, [])
    }))

  it.scoped("shares a transaction with the router's other clients", () =>
    Effect.gen(function*() {
      const { sql } = yield* router
      const primary = yield* sql.onlyPrimary
      const roles = yield* rolesOf(sql.withTransaction(Effect.all([sql`SELECT 1`, primary`SELECT 1`])))
      assert.deepStrictEqual(roles, ["primary", "primary"])
      assert.deepStrictEqual(yield* rolesOf(sql.readOnlyTransaction(primary`SELECT 1`)), ["replica"])
    }))
})
