import * as Effect from "effect/Effect"
import { leavesThePoolIntact } from "./cancellation.js"

leavesThePoolIntact("a statement", (sql) => sql`INSERT 1`, 4)

leavesThePoolIntact("a transaction", (sql) => sql.withTransaction(Effect.zipRight(sql`INSERT 1`, sql`INSERT 2`)), 11)

leavesThePoolIntact(
  "a nested transaction",
  (sql) => sql.withTransaction(Effect.zipRight(sql`INSERT 1`, sql.withTransaction(sql`INSERT 2`))),
  13
)

leavesThePoolIntact(
  "a reserved connection",
  (sql) => Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.execute("INSERT 1", [], undefined))),
  7
)
