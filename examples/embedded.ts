/**
 * What the examples of adapters run on: a primary and its replica as SQLite files, and a table of where statements went.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Effect, Layer } from "effect"
import { ReadConsistency, RouteDecision } from "effect-sql-router"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"

export const Database = Layer.unwrapScoped(Effect.gen(function*() {
  const directory = yield* Effect.flatMap(FileSystem.FileSystem, (_) => _.makeTempDirectoryScoped())
  return RoutedSqliteClient.layer({
    primary: { filename: `${directory}/primary.db` },
    replicas: { replica: { filename: `${directory}/replica.db` } }
  })
}))

/** SQLite has no replication of its own: here a backup does it, after which the replica has what was written. */
export const replicate = Effect.flatMap(
  SqliteClient.SqliteClient,
  ({ backup, config }) => backup(config.filename.replace("primary", "replica"))
).pipe(Effect.zipRight(ReadConsistency.forget))

/** Runs a program, and prints what it gives and where its statements went. */
export const run = <E>(
  program: Effect.Effect<unknown, E, Layer.Layer.Success<typeof Database>>,
  print: (decisions: ReadonlyArray<RouteDecision.RouteDecision>) => string = RouteDecision.table
) =>
  Effect.gen(function*() {
    const [result, decisions] = yield* RouteDecision.capture(program)
    yield* Console.log(result)
    yield* Console.log(`\n${print(decisions)}`)
  }).pipe(Effect.provide(Database), Effect.provide(NodeContext.layer), NodeRuntime.runMain)
