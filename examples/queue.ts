/**
 * A queue that outlives its process: its workers claim on the primary. A job carries what its request has seen, so that the
 * worker, elsewhere, reads no less.
 */
import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlPersistedQueue from "@effect/sql/SqlPersistedQueue"
import { Effect, Layer, Schema } from "effect"
import { ReadConsistency } from "effect-sql-router"
import { replicate, run } from "./embedded.js"

const Queues = Layer.provide(PersistedQueue.layer, SqlPersistedQueue.layerStore({ pollInterval: "50 millis" }))

const makeQueue = PersistedQueue.make({
  name: "invoices",
  schema: Schema.Struct({ order: Schema.Int, seen: Schema.String })
})

const request = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const queue = yield* makeQueue
  yield* sql`UPDATE orders SET total = 125 WHERE id = 1`
  yield* queue.offer({ order: 1, seen: yield* ReadConsistency.currentTokenEncoded })
}).pipe(ReadConsistency.scoped)

const worker = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const queue = yield* makeQueue
  return yield* queue.take(({ order, seen }) =>
    ReadConsistency.withEncodedToken(sql`SELECT total FROM orders WHERE id = ${order}`, seen)
  )
}).pipe(ReadConsistency.isolated)

run(
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL)`
    yield* sql`INSERT INTO orders VALUES (1, 120)`
    yield* replicate
    yield* request
    return yield* worker
  }).pipe(Effect.scoped, Effect.provide(Queues))
)
