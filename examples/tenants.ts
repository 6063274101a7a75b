/**
 * Tenants over two SQLite files: every statement names its tenant, and runs in that tenant's file.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { Console, Effect } from "effect"
import { RouteDecision, RoutedSqlClient } from "effect-sql-router"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import { program, rules } from "./shards.js"

const createTables = Effect.gen(function*() {
  const router = yield* RoutedSqlClient.RoutedSqlClient
  for (const shard of ["shard0", "shard1"]) {
    const sql = yield* router.database(shard)
    yield* sql`CREATE TABLE orders (tenant_id INTEGER NOT NULL, total INTEGER NOT NULL)`
  }
})

const main = Effect.gen(function*() {
  const directory = yield* Effect.flatMap(FileSystem.FileSystem, (_) => _.makeTempDirectoryScoped())
  const file = (name: string) => ({ primary: { filename: `${directory}/${name}.db` } })
  const Databases = RoutedSqliteClient.layer({
    ...file("main"),
    databases: { shard0: file("shard0"), shard1: file("shard1") },
    rules
  })
  const [result, decisions] = yield* Effect.zipRight(createTables, RouteDecision.capture(program)).pipe(
    Effect.provide(Databases)
  )
  yield* Console.log(result)
  for (const { plan, sql } of decisions) yield* Console.log(`${plan.database}  ${sql}`)
})

main.pipe(Effect.scoped, Effect.provide(NodeContext.layer), NodeRuntime.runMain)
