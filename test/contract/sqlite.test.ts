import * as NodeContext from "@effect/platform-node/NodeContext"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqliteMigrator from "@effect/sql-sqlite-node/SqliteMigrator"
import type * as SqlClient from "@effect/sql/SqlClient"
import { describe, it } from "@effect/vitest"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Tracer from "effect/Tracer"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assertServedByReplicas, collecting } from "./reads.js"
import { suite } from "./suite.js"
import { nameTransforms, spanAttributes } from "./support.js"
import { migrates, ownMigrations } from "./topics/migrations.js"

interface Settings extends Partial<typeof nameTransforms> {
  readonly spanAttributes: typeof spanAttributes
}

const freshFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "contract-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
  ),
  (folder) => path.join(folder, "contract.db")
)

const onFreshFile = <A, E>(client: (filename: string, settings: Settings) => Layer.Layer<A, E>) => {
  const on = (settings: Settings) => Layer.unwrapScoped(Effect.map(freshFile, (filename) => client(filename, settings)))
  return { plain: on({ spanAttributes }), transformed: on({ spanAttributes, ...nameTransforms }) }
}

const stock = onFreshFile((filename, settings) => SqliteClient.layer({ filename, ...settings }))
suite("SQLite, the stock client", stock.plain, {
  dialect: "sqlite",
  transformed: stock.transformed,
  expectStockDefects: true
})

const primaryOnly = onFreshFile((filename, settings) =>
  RoutedSqliteClient.layer({ primary: { filename }, ...settings })
)
suite("SQLite, routed, only a primary", primaryOnly.plain, {
  dialect: "sqlite",
  transformed: primaryOnly.transformed,
  expectStockDefects: false
})

describe("SQLite, routed, reads on replicas", () => {
  // A copy cannot follow its file. So the replicas are read-only handles of the same file, which are never behind.
  const spans: Array<Tracer.Span> = []
  const replicated = onFreshFile((filename, settings) =>
    Layer.provideMerge(
      RoutedSqliteClient.layer({
        primary: { filename },
        replicas: { replica1: { filename }, replica2: { filename } },
        consistency: { level: ReadConsistency.eventual },
        strategy: ReplicaStrategy.roundRobin,
        ...settings
      }),
      collecting(spans)
    )
  )
  suite("the suite", replicated.plain, {
    dialect: "sqlite",
    transformed: replicated.transformed,
    expectStockDefects: false
  })

  it("at least 90 % of the reads that a replica may serve ran on one", () =>
    assertServedByReplicas(spans, ["replica1", "replica2"], 200))
})

describe("SqliteMigrator", () => {
  const over = <E>(client: Layer.Layer<SqliteClient.SqliteClient | SqlClient.SqlClient, E>) =>
    SqliteMigrator.layer(ownMigrations).pipe(Layer.provideMerge(client), Layer.provide(NodeContext.layer))
  migrates("over the stock client", over(stock.plain))
  migrates("over the routed client", over(primaryOnly.plain))
})
