/** Programs are tested under the TestClock, whose time stands still: nothing that goes well may wait for it. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestServices from "effect/TestServices"
import { freshDatabase } from "../servers/index.js"
import { add, allWays, makePeople, maxConnections, namesIn } from "./support.js"

const at = ({ url }: { readonly url: string }) => ({ url: Redacted.make(url) })

const clients: { readonly [name: string]: Layer.Layer<SqlClient.SqlClient, unknown> } = {
  SQLite: RoutedSqliteClient.layer({ primary: { filename: ":memory:" } }),
  PostgreSQL: Layer.unwrapScoped(
    Effect.map(
      freshDatabase("postgres", { remoteApply: true }),
      ({ primary, replicas: [replica1, replica2] }) =>
        RoutedPgClient.layer({
          primary: at(primary),
          replicas: { replica1: at(replica1), replica2: at(replica2) },
          // A read of the session's own writes would give a replica a moment, and wait for a clock that stands still.
          consistency: { waitBudget: 0 },
          maxConnections
        })
    )
  ),
  MariaDB: Layer.unwrapScoped(
    Effect.map(
      freshDatabase("mariadb"),
      ({ primary }) => RoutedMysqlClient.layer({ primary: at(primary), maxConnections })
    )
  )
}

for (const [name, client] of Object.entries(clients)) {
  layer(client, { timeout: "60 seconds" })(`${name}, under the TestClock`, (it) => {
    it.effect.each(allWays)("$operation", ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual((yield* run(sql`SELECT 1 AS one`)).map((row) => row.map(Number)), [[1]])
      }))

    it.effect("transactions, nested and undone", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const undone = Effect.flip(sql.withTransaction(Effect.zipRight(add(people, "Bob"), Effect.fail("undo"))))
        yield* sql.withTransaction(Effect.zipRight(add(people, "Ada"), undone))
        yield* undone
        assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
      }))

    it.effect("borrowers that wait for a connection", () =>
      Effect.gen(function*() {
        const people = yield* makePeople
        yield* Effect.forEach(
          Array.from({ length: 5 * maxConnections }, (_, index) => String(index)),
          (name) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(add(people, name))),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(yield* namesIn(people), 5 * maxConnections)
      }))

    if (name !== "SQLite") {
      it.effect("a running statement that is interrupted", () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const sleep = sql.onDialectOrElse({ pg: () => sql`SELECT pg_sleep(60)`, orElse: () => sql`SELECT SLEEP(60)` })
          for (const effect of [sleep, sql.withTransaction(sleep)]) {
            const fiber = yield* Effect.fork(effect)
            yield* TestServices.provideLive(Effect.sleep("100 millis"))
            yield* Fiber.interrupt(fiber)
          }
          assert.lengthOf(yield* sql`SELECT 1`, 1)
        }))
    }
  })
}
