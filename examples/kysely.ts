/**
 * Kysely over a routed client: its queries are Effects that read on a replica, and write on the primary.
 */
import * as SqliteKysely from "@effect/sql-kysely/Sqlite"
import { Effect } from "effect"
import { replicate, run } from "./embedded.js"

interface Tables {
  readonly orders: { readonly id: number; readonly customer: string; readonly total: number }
}

run(Effect.gen(function*() {
  const db = yield* SqliteKysely.make<Tables>()
  const totals = db.selectFrom("orders").select(["customer", "total"]).orderBy("total")
  yield* db.schema
    .createTable("orders")
    .addColumn("id", "integer", (column) => column.primaryKey())
    .addColumn("customer", "text")
    .addColumn("total", "integer")
  yield* db.withTransaction(Effect.gen(function*() {
    yield* db.insertInto("orders").values([
      { id: 1, customer: "Ada", total: 120 },
      { id: 2, customer: "Grace", total: 80 }
    ])
    const [largest] = yield* totals.clearOrderBy().orderBy("total", "desc")
    yield* db.updateTable("orders").set({ total: 0 }).where("customer", "=", largest!.customer)
  }))
  const own = yield* totals
  yield* replicate
  return { own, replicated: yield* totals }
}))
