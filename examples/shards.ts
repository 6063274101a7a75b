/**
 * Rules for tenants over two shards, and an ordinary program that knows nothing of either.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { RoutingRules, Target } from "effect-sql-router"

const shards = [Target.database("shard0"), Target.database("shard1")] as const

export const rules = RoutingRules.make([
  RoutingRules.byField("tenant_id", (tenant) => shards[Number(tenant) % shards.length], {
    tables: ["orders"],
    targets: shards,
    otherwise: Target.deny("Name the tenant: WHERE tenant_id = …")
  })
])

export const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  for (const tenant_id of [1, 2, 3]) {
    yield* sql`INSERT INTO orders ${sql.insert({ tenant_id, total: tenant_id * 100 })}`
  }
  yield* sql`UPDATE orders SET total = total + 5 WHERE tenant_id = ${3}`
  const orders = yield* sql<{ total: number }>`SELECT total FROM orders WHERE tenant_id = ${3}`
  const allTenants = yield* Effect.either(sql`SELECT sum(total) FROM orders`)
  return { orders, refused: allTenants._tag === "Left" && allTenants.left.message }
})
