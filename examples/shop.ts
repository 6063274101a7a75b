/**
 * An ordinary program: it knows `SqlClient` and nothing of servers, replicas or routing. It runs unchanged on SQLite,
 * PostgreSQL and MySQL/MariaDB, with the plain driver's Layer or with a routed one.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"

export const placeOrders = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TABLE IF EXISTS orders`
  yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, customer VARCHAR(40) NOT NULL, total INTEGER NOT NULL)`
  yield* sql.withTransaction(Effect.gen(function*() {
    yield* sql`INSERT INTO orders ${
      sql.insert([
        { id: 1, customer: "Ada", total: 120 },
        { id: 2, customer: "Grace", total: 80 }
      ])
    }`
    const orders = yield* sql`SELECT * FROM orders`
    // A failed part of a transaction is undone on its own.
    yield* sql.withTransaction(
      Effect.zipRight(sql`DELETE FROM orders`, Effect.fail(`keep the ${orders.length} orders`))
    ).pipe(Effect.ignore)
  }))
  yield* sql`UPDATE orders SET total = total + 5 WHERE customer = ${"Ada"}`
})

export const report = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const customers = yield* sql<{ customer: string; total: number }>`SELECT customer, total FROM orders ORDER BY total`
  const [largest] = yield* sql<{ id: number }>`SELECT id FROM orders WHERE total > ${100} ORDER BY total DESC`
  const names = yield* sql`SELECT customer FROM orders WHERE ${sql.in("id", [1, 2])} ORDER BY id`.values
  return { customers: customers.map((_) => `${_.customer} ${_.total}`), largest: largest?.id, names: names.flat() }
})
