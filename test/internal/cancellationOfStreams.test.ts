import * as Stream from "effect/Stream"
import { leavesThePoolIntact } from "./cancellation.js"

leavesThePoolIntact("a stream", (sql) => Stream.runDrain(sql`SELECT 1`.stream), 71)

leavesThePoolIntact(
  "a stream in a transaction",
  (sql) => sql.withTransaction(Stream.runDrain(sql`SELECT 1`.stream)),
  73
)
