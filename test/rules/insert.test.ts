import { assert, describe, it } from "@effect/vitest"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import { goes } from "./support.js"

const shards = [Target.database("main"), Target.database("archive")] as const

const rules = RoutingRules.make([
  RoutingRules.byField("tenant_id", (tenant) => shards[Number(tenant)], {
    targets: shards,
    otherwise: Target.deny("Name the tenant")
  })
])

describe("an INSERT", () => {
  it.each(
    [
      ["postgres", "INSERT INTO orders (id, tenant_id) VALUES ($1, $2)", [9, 1]],
      ["mysql", "INSERT INTO orders (id, tenant_id) VALUES (?, ?)", [9, 1]],
      ["mysql", "INSERT INTO orders SET id = ?, tenant_id = ?", [9, 1]],
      ["sqlite", "INSERT INTO orders (id, TENANT_ID) VALUES (?, ?), (8, 1)", [9, 1]]
    ] as const
  )("of %s goes where its bound tenant is: %s", (dialect, sql, params) => {
    assert.strictEqual(goes(rules, sql, { dialect, params }), "archive")
  })

  it("of several tenants that are apart has no one place", () => {
    assert.strictEqual(
      goes(rules, "INSERT INTO orders (id, tenant_id) VALUES ($1, $2), ($3, $4)", { params: [1, 0, 2, 1] }),
      "deny: Name the tenant"
    )
  })

  it("that may change a row of another tenant has no place either", () => {
    assert.strictEqual(
      goes(rules, "INSERT INTO orders (id, tenant_id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET tenant_id = 0", {
        params: [9, 1]
      }),
      "deny: Name the tenant"
    )
  })
})
