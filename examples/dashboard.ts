/**
 * A live page of a router over real SQLite files: `npx tsx examples/dashboard.ts --serve`, then http://127.0.0.1:4980/.
 * Without `--serve` it asks its own page once, prints some of the answer, and ends.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { SqliteClient } from "@effect/sql-sqlite-node"
import * as SqlClient from "@effect/sql/SqlClient"
import { Console, Effect, Random, Schedule } from "effect"
import { ReadConsistency, ReplicaStrategy, RoutedSqlClient } from "effect-sql-router"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import type { Snapshot } from "effect-sql-router/RoutingDashboard"
import * as RoutingDashboardNode from "effect-sql-router/RoutingDashboardNode"

/** What happens in a small shop: many look, some buy and see what they have bought; each in a session of its own. */
const requests = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const look = ReadConsistency.isolated(sql`SELECT customer, total FROM orders ORDER BY total DESC LIMIT 10`)
  const buy = ReadConsistency.isolated(Effect.zipRight(
    sql`INSERT INTO orders ${sql.insert({ customer: "Ada", total: 12 })}`,
    sql`SELECT count(*) FROM orders WHERE customer = ${"Ada"}`
  ))
  yield* Effect.all([look, look, look, look, look, look, buy])
})

/** Something to see: every half minute a replica is out for ten seconds. */
const maintenance = Effect.gen(function*() {
  const sql = yield* RoutedSqlClient.RoutedSqlClient
  yield* Effect.sleep("20 seconds")
  yield* sql.drain("replica1")
  yield* Effect.sleep("10 seconds")
  yield* sql.release("replica1")
})

const serve = Effect.gen(function*() {
  const url = yield* RoutingDashboardNode.make({ title: "shop" })
  yield* Console.log(`Open ${url} in a browser; Ctrl+C ends it.`)
  yield* Effect.all([
    Effect.repeat(requests, Schedule.spaced("50 millis")),
    Effect.forever(maintenance)
  ], { concurrency: 2, discard: true })
})

const once = Effect.gen(function*() {
  const url = yield* RoutingDashboardNode.make({ title: "shop", port: 0 })
  yield* Effect.replicateEffect(requests, 10)
  const { counts, databases, title } = yield* Effect.promise(async () => {
    const response = await fetch(`${url}?snapshot`)
    return await response.json() as Snapshot
  })
  yield* Console.log(`${title}:`)
  for (const { available, endpoint, role, why } of databases.flatMap((_) => _.endpoints)) {
    yield* Console.log(`  ${endpoint}, ${role}: ${available ? "available" : "not available"}, ${why}`)
  }
  for (const { count, name, tags } of counts) {
    if (name === "statements") yield* Console.log(`  ${count} on ${tags["endpoint"]}: ${tags["reason"]}`)
  }
})

const main = Effect.gen(function*() {
  const directory = yield* Effect.flatMap(FileSystem.FileSystem, (_) => _.makeTempDirectoryScoped())
  const Database = RoutedSqliteClient.layer({
    primary: { filename: `${directory}/primary.db` },
    replicas: {
      replica1: { filename: `${directory}/replica1.db` },
      replica2: { filename: `${directory}/replica2.db`, weight: 2 }
    },
    // By latency and load, the default, no two runs would be alike.
    strategy: ReplicaStrategy.weighted
  })
  const createTables = Effect.gen(function*() {
    const sql = yield* SqliteClient.SqliteClient
    yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total INTEGER NOT NULL)`
    // SQLite has no replication of its own.
    yield* Effect.forEach(["replica1", "replica2"], (name) => sql.backup(`${directory}/${name}.db`))
  })
  const program = process.argv.includes("--serve") ? serve : once
  yield* Effect.zipRight(createTables, program).pipe(Effect.provide(Database))
})

main.pipe(
  Effect.scoped,
  Effect.withRandom(Random.make("dashboard")),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
