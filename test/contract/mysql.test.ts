import * as NodeContext from "@effect/platform-node/NodeContext"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as MysqlMigrator from "@effect/sql-mysql2/MysqlMigrator"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { describe, it } from "@effect/vitest"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Tracer from "effect/Tracer"
import * as Mysql from "mysql2/promise"
import type { Clusters, Server } from "../servers/index.js"
import { freshDatabase } from "../servers/index.js"
import { assertServedByReplicas, collecting } from "./reads.js"
import { suite } from "./suite.js"
import { maxConnections, nameTransforms, spanAttributes } from "./support.js"
import { migrates, ownMigrations } from "./topics/migrations.js"

type Servers = Clusters["mariadb"]

interface Settings extends Partial<typeof nameTransforms> {
  readonly spanAttributes: typeof spanAttributes
  readonly maxConnections: number
}

const onFreshDatabase = <A, E>(client: (servers: Servers, settings: Settings) => Layer.Layer<A, E>) => {
  const on = (settings: Settings) =>
    Layer.unwrapScoped(Effect.map(freshDatabase("mariadb"), (servers) => client(servers, settings)))
  const settings = { maxConnections, spanAttributes }
  return { plain: on(settings), transformed: on({ ...settings, ...nameTransforms }) }
}

/** By fields, for the stock client does not read them from a URL. */
const at = ({ host, port }: Server, { database, user }: Servers) => ({ host, port, database, username: user })

/**
 * Lets every statement wait until the replica has replayed what the primary has committed, for MariaDB has no commit that
 * waits. The tests that bring a transformer of their own read no table.
 */
const neverBehind = ({ primary, replicas: [replica] }: Servers) => {
  const connect = (server: Server) =>
    Effect.acquireRelease(
      Effect.promise(() => Mysql.createConnection(server.url)),
      (connection) => Effect.promise(() => connection.end())
    )
  return Layer.unwrapScoped(Effect.gen(function*() {
    const [onPrimary, onReplica] = [yield* connect(primary), yield* connect(replica)]
    const caughtUp = Effect.promise(async () => {
      const [[row]] = await onPrimary.query<Array<Mysql.RowDataPacket>>("SELECT @@gtid_binlog_pos AS position")
      await onReplica.query("SELECT MASTER_GTID_WAIT(?, 5)", [row!["position"]])
    })
    return Statement.setTransformer((statement) => Effect.as(caughtUp, statement))
  }))
}

const stock = onFreshDatabase((servers, settings) =>
  MysqlClient.layer({ ...at(servers.primary, servers), ...settings })
)
suite("MariaDB, the stock client", stock.plain, {
  dialect: "mysql",
  transformed: stock.transformed,
  expectStockDefects: true
})

const primaryOnly = onFreshDatabase((servers, settings) =>
  RoutedMysqlClient.layer({ primary: at(servers.primary, servers), ...settings })
)
suite("MariaDB, routed, only a primary", primaryOnly.plain, {
  dialect: "mysql",
  transformed: primaryOnly.transformed,
  expectStockDefects: false
})

describe("MariaDB, routed, reads on a replica", () => {
  const spans: Array<Tracer.Span> = []
  const replicated = onFreshDatabase((servers, settings) =>
    RoutedMysqlClient.layer({
      primary: at(servers.primary, servers),
      replicas: { replica1: at(servers.replicas[0], servers) },
      ...settings
    }).pipe(
      Layer.provideMerge(collecting(spans)),
      Layer.provideMerge(neverBehind(servers))
    )
  )
  suite("the suite", replicated.plain, {
    dialect: "mysql",
    transformed: replicated.transformed,
    expectStockDefects: false
  })

  it("at least 90 % of the reads that a replica may serve ran on one", () =>
    assertServedByReplicas(spans, ["replica1"], 200))
})

describe("MysqlMigrator", () => {
  const over = <E>(client: Layer.Layer<MysqlClient.MysqlClient | SqlClient.SqlClient, E>) =>
    MysqlMigrator.layer(ownMigrations).pipe(Layer.provideMerge(client), Layer.provide(NodeContext.layer))
  migrates("over the stock client", over(stock.plain))
  migrates("over the routed client", over(primaryOnly.plain))
})
