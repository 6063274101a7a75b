import type * as Reactivity from "@effect/experimental/Reactivity"
import type * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { type Equal, isTrue } from "./assert.js"

const primary = { host: "p" }
const file = { filename: "a.db" }

// A layer needs nothing, fails with an SqlError, and provides what the stock one does and the router beside it.
const pg = RoutedPgClient.layer({ primary })
isTrue<
  Equal<
    typeof pg,
    Layer.Layer<
      RoutedPgClient.RoutedPgClient | RoutedSqlClient | PgClient.PgClient | SqlClient.SqlClient,
      SqlError
    >
  >
>()
const mysql = RoutedMysqlClient.layer({ primary })
isTrue<
  Equal<typeof mysql, Layer.Layer<RoutedSqlClient | MysqlClient.MysqlClient | SqlClient.SqlClient, SqlError>>
>()
const sqlite = RoutedSqliteClient.layer({ primary: file })
isTrue<
  Equal<typeof sqlite, Layer.Layer<RoutedSqlClient | SqliteClient.SqliteClient | SqlClient.SqlClient, SqlError>>
>()

// Where settings are read, reading them may fail as well.
isTrue<Equal<Layer.Layer.Error<ReturnType<typeof RoutedPgClient.layerConfig>>, SqlError | ConfigError>>()
isTrue<Equal<Layer.Layer.Context<ReturnType<typeof RoutedPgClient.layerConfig>>, never>>()
isTrue<Equal<Layer.Layer.Error<ReturnType<typeof RoutedMysqlClient.layerDatabaseUrl>>, SqlError | ConfigError>>()
isTrue<Equal<Layer.Layer.Error<ReturnType<typeof RoutedSqliteClient.layerDatabaseUrl>>, SqlError | ConfigError>>()
isTrue<Equal<Layer.Layer.Context<ReturnType<typeof RoutedSqliteClient.layerConfig>>, never>>()
RoutedPgClient.layerConfig({
  password: Config.redacted("PASSWORD"),
  primary: { host: Config.string("PRIMARY") },
  replicas: { replica1: { host: Config.succeed("r"), weight: Config.integer("WEIGHT") } },
  consistency: { ttl: Config.duration("TTL") }
})
RoutedMysqlClient.layerConfig({ primary: { host: Config.string("PRIMARY") } })
RoutedSqliteClient.layerConfig({ primary: { filename: Config.string("FILE") } })
// @ts-expect-error: a host is no number
RoutedPgClient.layerConfig({ primary: { host: Config.integer("PRIMARY") } })

// A further Database provides nothing of its own: it is found by its name.
isTrue<
  Equal<ReturnType<typeof RoutedPgClient.layerDatabase>, Layer.Layer<never, SqlError, RoutedSqlClient>>
>()
const two = RoutedSqliteClient.layerDatabase("places", { primary: file }).pipe(Layer.provideMerge(pg))
isTrue<Equal<typeof two, typeof pg>>()

// Without a Layer, the connections' Scope is the caller's.
const made = RoutedPgClient.make({ primary })
isTrue<
  Equal<typeof made, Effect.Effect<RoutedPgClient.RoutedPgClient, SqlError, Scope | Reactivity.Reactivity>>
>()

// A program that knows only SqlClient needs nothing more.
const program = Effect.flatMap(SqlClient.SqlClient, (sql) => sql<{ readonly id: number }>`SELECT id FROM t`)
const provided = program.pipe(Effect.provide(sqlite))
isTrue<Equal<typeof provided, Effect.Effect<ReadonlyArray<{ readonly id: number }>, SqlError>>>()

// A policy is a reference with a default: a Layer of one provides nothing and needs nothing.
const policies = Layer.mergeAll(ReplicaStrategy.layer(ReplicaStrategy.weighted), StatementClassifier.layer())
isTrue<Equal<typeof policies, Layer.Layer<never>>>()
const withPolicies = pg.pipe(Layer.provide(policies))
isTrue<Equal<typeof withPolicies, typeof pg>>()

// Secrets are redacted.
RoutedPgClient.layer({ primary: { url: Redacted.make("postgres://p/app"), password: Redacted.make("secret") } })
// @ts-expect-error: a password is no text
RoutedPgClient.layer({ primary: { host: "p", password: "secret" } })
// @ts-expect-error: nor is a URL, which may hold one
RoutedMysqlClient.layer({ primary: { url: "mysql://app:secret@p/app" } })
// @ts-expect-error: a file's settings are not a server's
RoutedPgClient.layer({ primary: { filename: "a.db" } })
