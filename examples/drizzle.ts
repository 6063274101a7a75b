/**
 * Drizzle over a routed client. Each of its queries runs in a fiber of its own, so a session is opened around those that must
 * see each other's writes: a request, a job.
 */
import * as SqliteDrizzle from "@effect/sql-drizzle/Sqlite"
import * as SqlClient from "@effect/sql/SqlClient"
import { eq } from "drizzle-orm"
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core"
import { Effect } from "effect"
import { ReadConsistency } from "effect-sql-router"
import { replicate, run } from "./embedded.js"

const orders = sqliteTable("orders", {
  id: integer().primaryKey(),
  customer: text().notNull(),
  total: integer().notNull()
})

run(ReadConsistency.scoped(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const db = yield* SqliteDrizzle.make()
  const totals = db.select({ customer: orders.customer, total: orders.total }).from(orders).orderBy(orders.total)
  yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total INTEGER NOT NULL)`
  // Drizzle's own db.transaction does not work over a client like this.
  yield* sql.withTransaction(Effect.gen(function*() {
    yield* db.insert(orders).values([{ id: 1, customer: "Ada", total: 120 }, { id: 2, customer: "Grace", total: 80 }])
    const [ada] = yield* db.select().from(orders).where(eq(orders.customer, "Ada"))
    yield* db.update(orders).set({ total: ada!.total + 5 }).where(eq(orders.id, ada!.id))
  }))
  const own = yield* totals
  yield* replicate
  return { own, replicated: yield* totals }
})))
