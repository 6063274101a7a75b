import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { RouteDecision } from "effect-sql-router"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { program, rules } from "../../examples/shards.js"
import { freshDatabase } from "../servers/index.js"

describe("tenants over the shards of a PostgreSQL server", () => {
  it.scoped("each statement runs on its tenant's shard, by its bound parameter; one without a tenant is refused", () =>
    Effect.gen(function*() {
      const database = Effect.map(
        freshDatabase("postgres", { remoteApply: true }),
        ({ primary, replicas: [replica] }) => ({
          primary: { url: Redacted.make(primary.url) },
          replicas: { replica1: { url: Redacted.make(replica.url) } }
        })
      )
      const sql = yield* RoutedPgClient.make({
        ...yield* database,
        databases: { shard0: yield* database, shard1: yield* database },
        rules
      })
      for (const shard of ["shard0", "shard1"]) {
        const client = yield* sql.database(shard)
        yield* client`CREATE TABLE orders (tenant_id INTEGER NOT NULL, total INTEGER NOT NULL)`
      }
      const [result, decisions] = yield* RouteDecision.capture(
        Effect.provideService(program, SqlClient.SqlClient, sql)
      )
      assert.deepStrictEqual(result.orders, [{ total: 305 }])
      assert.include(result.refused, "Name the tenant")
      assert.deepStrictEqual(decisions.map((_) => _.plan.database), ["shard1", "shard0", "shard1", "shard1", "shard1"])
      const tenantsOf = (shard: string) =>
        Effect.flatMap(
          sql.database(shard),
          (client) => Effect.map(client`SELECT tenant_id FROM orders ORDER BY tenant_id`.values, (rows) => rows.flat())
        )
      assert.deepStrictEqual(yield* tenantsOf("shard0"), [2])
      assert.deepStrictEqual(yield* tenantsOf("shard1"), [1, 3])
    }).pipe(Effect.provide(Reactivity.layer)))
})
