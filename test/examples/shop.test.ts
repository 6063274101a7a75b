import { MysqlClient } from "@effect/sql-mysql2"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import type { SqlClient } from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { ReadConsistency, RouteDecision } from "effect-sql-router"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { placeOrders, report } from "../../examples/shop.js"
import { caughtUp, freshDatabase } from "../servers/index.js"
import { temporaryFolder } from "../sqlite/support.js"

const expected = { customers: ["Grace 80", "Ada 125"], largest: 1, names: ["Ada", "Grace"] }

/** Runs the program, and tells the roles of the endpoints that ran its three reads. */
const run = <A, E>(layer: Layer.Layer<A | SqlClient, E>, replicate: Effect.Effect<unknown, unknown, A> = Effect.void) =>
  Effect.gen(function*() {
    const [result, decisions] = yield* RouteDecision.capture(
      Effect.zipRight(Effect.zipRight(placeOrders, replicate), report)
    )
    assert.deepStrictEqual(result, expected)
    return decisions.slice(-3).map((_) => _.role)
  }).pipe(Effect.provide(layer))

const at = (server: { readonly url: string }) => ({ url: Redacted.make(server.url) })
const onReplicas = ["replica", "replica", "replica"]

describe("one program, unchanged", () => {
  it.scoped("on SQLite, plain and routed", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = (name: string) => `${folder}/${name}.db`
      assert.deepStrictEqual(yield* run(SqliteClient.layer({ filename: file("plain") })), [])
      const routed = RoutedSqliteClient.layer({
        primary: { filename: file("primary") },
        replicas: { replica1: { filename: file("replica1") }, replica2: { filename: file("replica2") } },
        // A backup does not tell how old it is: after a write, reads would go to the primary for a while.
        consistency: { level: ReadConsistency.eventual }
      })
      const backup = Effect.flatMap(
        SqliteClient.SqliteClient,
        (client) => Effect.forEach(["replica1", "replica2"], (name) => client.backup(file(name)))
      )
      assert.deepStrictEqual(yield* run(routed, backup), onReplicas)
    }))

  it.scoped("on PostgreSQL, plain and routed", () =>
    Effect.gen(function*() {
      const { primary, replicas: [replica1, replica2] } = yield* freshDatabase("postgres", { remoteApply: true })
      assert.deepStrictEqual(yield* run(PgClient.layer(at(primary))), [])
      const routed = RoutedPgClient.layer({
        primary: at(primary),
        replicas: { replica1: at(replica1), replica2: at(replica2) }
      })
      assert.deepStrictEqual(yield* run(routed), onReplicas)
    }))

  it.scoped("on MariaDB, plain and routed", () =>
    Effect.gen(function*() {
      const { primary, replicas: [replica] } = yield* freshDatabase("mariadb")
      assert.deepStrictEqual(yield* run(MysqlClient.layer(at(primary))), [])
      const routed = RoutedMysqlClient.layer({ primary: at(primary), replicas: { replica: at(replica) } })
      assert.deepStrictEqual(yield* run(routed, caughtUp("mariadb")), onReplicas)
    }))
})
