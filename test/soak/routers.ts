/** The routers over both databases, behind their proxies. */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, Layer } from "effect"
import type { Scope } from "effect"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutingMetrics from "effect-sql-router/RoutingMetrics"
import type { Member, Site } from "./sites.js"

/** Fewer than the fibers ask for: there is always somebody in line. */
export const poolMax = 8
export const acquireTimeout = Duration.seconds(4)

/** Short intervals, so that much happens in little time. */
const settings = {
  username: "app",
  pool: { max: poolMax, min: 2, acquireTimeout, healthCheckInterval: "1 second", validateAfterIdle: "1 second" },
  health: { probeInterval: "500 millis", awaitPrimary: "5 seconds" }
} as const satisfies RouterOptions & { readonly username: string }

const endpointsOf = ({ members: [first, ...others] }: Site) => {
  const address = ({ proxy: { port } }: Member) => ({ host: "127.0.0.1", port })
  return {
    primary: address(first!),
    replicas: Object.fromEntries(others.map((member) => [member.server.name, address(member)]))
  }
}

/** A client for each database: MariaDB's is a Database that is added to PostgreSQL's router. */
export const connect = (
  postgres: Site,
  mariadb: Site
): Effect.Effect<readonly [postgres: RoutedSqlClient, mariadb: RoutedSqlClient], SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const sql: RoutedSqlClient = yield* RoutedPgClient.make({
      ...settings,
      ...endpointsOf(postgres),
      name: "postgres",
      database: "postgres"
    })
    const other = yield* RoutedMysqlClient.make({
      ...settings,
      ...endpointsOf(mariadb),
      name: "mariadb",
      database: "test"
    })
    yield* sql.addDatabase("mariadb", other)
    for (const client of [sql, other]) {
      yield* Layer.build(RoutingMetrics.layer(Effect.succeed(client), { interval: "1 second" }))
    }
    return [sql, yield* sql.database("mariadb")] as const
  }).pipe(Effect.provide(Reactivity.layer))
