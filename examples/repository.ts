/**
 * What @effect/sql itself has to offer: migrations on the primary alone, a repository, and a resolver that batches.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as Model from "@effect/sql/Model"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { Effect, Option, Schema } from "effect"
import { RoutedSqlClient } from "effect-sql-router"
import { replicate, run } from "./embedded.js"

class Customer extends Model.Class<Customer>("Customer")({
  id: Model.Generated(Schema.Int),
  name: Schema.String
}) {}

const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "1_customers": Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => Effect.asVoid(sql`CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)`)
    )
  })
})

run(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.provide(migrate, RoutedSqlClient.layerOnlyPrimary)
  const customers = yield* Model.makeRepository(Customer, {
    tableName: "customers",
    spanPrefix: "Customers",
    idColumn: "id"
  })
  const byId = yield* SqlResolver.findById("CustomerById", {
    Id: Schema.Int,
    Result: Customer,
    ResultId: (customer) => customer.id,
    execute: (ids) => sql`SELECT * FROM customers WHERE ${sql.in("id", ids)}`
  })

  const ada = yield* customers.insert(Customer.insert.make({ name: "Ada" }))
  yield* customers.insert(Customer.insert.make({ name: "Grace" }))
  const own = yield* customers.findById(ada.id)
  yield* replicate
  // One statement for both.
  const both = yield* Effect.forEach([1, 2], byId.execute, { batching: true, concurrency: "unbounded" })
  return [own, ...both].map(Option.map(({ name }) => name)).map(Option.getOrNull)
}))
