import * as NodeContext from "@effect/platform-node/NodeContext"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgMigrator from "@effect/sql-pg/PgMigrator"
import type * as SqlClient from "@effect/sql/SqlClient"
import { describe, it } from "@effect/vitest"
import { ReadConsistency, ReplicaStrategy } from "effect-sql-router"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Tracer from "effect/Tracer"
import type { Clusters } from "../servers/index.js"
import { freshDatabase } from "../servers/index.js"
import { assertServedByReplicas, collecting } from "./reads.js"
import { suite } from "./suite.js"
import { maxConnections, nameTransforms, spanAttributes } from "./support.js"
import { migrates, ownMigrations } from "./topics/migrations.js"

interface Settings extends Partial<typeof nameTransforms> {
  readonly spanAttributes: typeof spanAttributes
  readonly maxConnections: number
}

/** Commits wait for both replicas to apply them where reads go there. */
const onFreshDatabase = <A, E>(
  remoteApply: boolean,
  client: (servers: Clusters["postgres"], settings: Settings) => Layer.Layer<A, E>
) => {
  const on = (settings: Settings) =>
    Layer.unwrapScoped(Effect.map(freshDatabase("postgres", { remoteApply }), (servers) => client(servers, settings)))
  const settings = { maxConnections, spanAttributes }
  return { plain: on(settings), transformed: on({ ...settings, ...nameTransforms }) }
}

const at = ({ url }: { readonly url: string }) => ({ url: Redacted.make(url) })

const stock = onFreshDatabase(false, ({ primary }, settings) => PgClient.layer({ ...at(primary), ...settings }))
suite("PostgreSQL, the stock client", stock.plain, {
  dialect: "pg",
  transformed: stock.transformed,
  expectStockDefects: true
})

const primaryOnly = onFreshDatabase(
  false,
  ({ primary }, settings) => RoutedPgClient.layer({ primary: at(primary), ...settings })
)
suite("PostgreSQL, routed, only a primary", primaryOnly.plain, {
  dialect: "pg",
  transformed: primaryOnly.transformed,
  expectStockDefects: false
})

describe("PostgreSQL, routed, reads on replicas", () => {
  const spans: Array<Tracer.Span> = []
  const replicated = onFreshDatabase(
    true,
    ({ primary, replicas: [replica1, replica2] }, settings) =>
      Layer.provideMerge(
        RoutedPgClient.layer({
          primary: at(primary),
          replicas: { replica1: at(replica1), replica2: at(replica2) },
          strategy: ReplicaStrategy.roundRobin,
          // Each commit waits until both replicas have it.
          consistency: { level: ReadConsistency.eventual },
          ...settings
        }),
        collecting(spans)
      )
  )
  suite("the suite", replicated.plain, {
    dialect: "pg",
    transformed: replicated.transformed,
    expectStockDefects: false
  })

  it("at least 90 % of the reads that a replica may serve ran on one", () =>
    assertServedByReplicas(spans, ["replica1", "replica2"], 200))
})

describe("PgMigrator", () => {
  const over = <E>(client: Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, E>) =>
    PgMigrator.layer(ownMigrations).pipe(Layer.provideMerge(client), Layer.provide(NodeContext.layer))
  migrates("over the stock client", over(stock.plain))
  migrates("over the routed client", over(primaryOnly.plain))
})
