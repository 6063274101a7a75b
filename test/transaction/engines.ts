/** A fresh database of each engine, and routed and stock clients on it. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { caughtUp, freshDatabase } from "../servers/index.js"
import { makeFile } from "../sqlite/support.js"

/** A database with a table `t (id, name)`. */
export interface Place {
  readonly router: (options?: RouterOptions) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
  /** The same with replicas; what was written before is on them. */
  readonly withReplicas: (options?: RouterOptions) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
  readonly stock: Effect.Effect<SqlClient.SqlClient, unknown, Scope>
}

export interface Engine {
  readonly name: "postgres" | "mariadb" | "sqlite"
  readonly place: Effect.Effect<Place, SqlError, Scope>
}

const create = (place: Place): Effect.Effect<Place, SqlError> =>
  Effect.as(
    Effect.scoped(
      Effect.flatMap(place.router(), (sql) => sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(40))`)
    ),
    place
  )

export const postgres: Engine = {
  name: "postgres",
  place: Effect.flatMap(freshDatabase("postgres"), ({ primary, replicas: [first, second] }) => {
    const url = Redacted.make(primary.url)
    const replicas = { replica1: { url: Redacted.make(first.url) }, replica2: { url: Redacted.make(second.url) } }
    return create({
      router: (options) => Effect.provide(RoutedPgClient.make({ ...options, primary: { url } }), Reactivity.layer),
      withReplicas: (options) =>
        Effect.zipRight(
          caughtUp("postgres"),
          Effect.provide(RoutedPgClient.make({ ...options, primary: { url }, replicas }), Reactivity.layer)
        ),
      stock: Effect.provide(PgClient.make({ url }), Reactivity.layer)
    })
  })
}

export const mariadb: Engine = {
  name: "mariadb",
  place: Effect.flatMap(freshDatabase("mariadb"), ({ primary, replicas: [first] }) => {
    const url = Redacted.make(primary.url)
    const replicas = { replica1: { url: Redacted.make(first.url) } }
    return create({
      router: (options) => Effect.provide(RoutedMysqlClient.make({ ...options, primary: { url } }), Reactivity.layer),
      withReplicas: (options) =>
        Effect.zipRight(
          caughtUp("mariadb"),
          Effect.provide(RoutedMysqlClient.make({ ...options, primary: { url }, replicas }), Reactivity.layer)
        ),
      stock: Effect.provide(MysqlClient.make({ url }), Reactivity.layer)
    })
  })
}

export const sqlite: Engine = {
  name: "sqlite",
  place: Effect.flatMap(makeFile({ sql: "SELECT 1" }), (filename) => {
    const primary = { filename }
    return create({
      router: (options) => Effect.provide(RoutedSqliteClient.make({ ...options, primary }), Reactivity.layer),
      // The file itself, opened as a replica.
      withReplicas: (options) =>
        Effect.provide(
          RoutedSqliteClient.make({ ...options, primary, replicas: { replica1: { filename } } }),
          Reactivity.layer
        ),
      stock: Effect.provide(SqliteClient.make({ filename }), Reactivity.layer)
    })
  })
}

export const insert = (sql: SqlClient.SqlClient, id: number, name = "") =>
  sql`INSERT INTO t (id, name) VALUES (${id}, ${name})`

export const ids = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ id: number }>`SELECT id FROM t ORDER BY id`, (rows) => rows.map(({ id }) => id))

/** The router's own error behind an error. */
export const routingError = (error: unknown): RoutingError.RoutingError =>
  Option.getOrThrowWith(RoutingError.from(error as SqlError), () => error as Error)

export const tagOf = (error: unknown): string => routingError(error)._tag

/** The error that a statement of the server's refusal to write has failed with, by the driver's code. */
export const codeOf = (error: unknown): unknown => ((error as SqlError).cause as { readonly code?: unknown }).code
