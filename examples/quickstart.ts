/**
 * An embedded primary with two replicas, as real SQLite files: `npm run quickstart`.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Effect, Random } from "effect"
import { ReadConsistency, ReplicaStrategy, RouteDecision } from "effect-sql-router"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import { placeOrders, report } from "./shop.js"

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

  // SQLite has no replication of its own: here a backup does it, after which the replicas have what was written.
  const replicate = Effect.flatMap(
    SqliteClient.SqliteClient,
    (client) => Effect.forEach(["replica1", "replica2"], (name) => client.backup(`${directory}/${name}.db`))
  ).pipe(Effect.zipRight(ReadConsistency.forget))

  const [result, decisions] = yield* RouteDecision.capture(
    placeOrders.pipe(Effect.zipRight(report), Effect.zipRight(replicate), Effect.zipRight(report))
  ).pipe(Effect.provide(Database))

  yield* Console.log(result)
  yield* Console.log(`\n${RouteDecision.table(decisions)}`)
})

main.pipe(
  Effect.scoped,
  // The router draws from Effect's Random: with a seed, every run makes the same choices.
  Effect.withRandom(Random.make("quickstart")),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
