import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import type * as Mysql from "mysql2"
import type { Driver, TransactionTexts } from "../../Driver.js"
import type { Endpoint } from "../../Endpoint.js"
import { ConfigurationError, toSqlError } from "../../RoutingError.js"
import { PasswordUnavailable } from "../password.js"
import * as Connection from "./connection.js"
import { disposition } from "./dispositions.js"
import * as Settings from "./settings.js"

const texts: TransactionTexts = {
  begin: ({ access }) => access === "readOnly" ? "START TRANSACTION READ ONLY" : "START TRANSACTION",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  savepoint: (name) => `SAVEPOINT ${name}`,
  releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
  rollbackToSavepoint: (name) => `ROLLBACK TO SAVEPOINT ${name}`
}

/** The driver of MySQL and MariaDB. Name transforms and span attributes are those of the primary's configuration. */
export const make = (config: Settings.MysqlEndpointConfig): Driver<Settings.MysqlEndpointConfig> => ({
  dialect: "mysql",
  compiler: MysqlClient.makeCompiler(config.transformQueryNames),
  transformRows: config.transformResultNames && Statement.defaultTransforms(config.transformResultNames).array,
  spanAttributes: [
    ...Object.entries(config.spanAttributes ?? {}),
    ["db.system.name", "mysql"],
    ...Either.match(Settings.decode(config), {
      onLeft: () => [],
      onRight: ({ database }) => database === undefined ? [] : [["db.namespace", database] as const]
    })
  ],
  serverAttributes: (config) => {
    const { host, port } = Either.getOrElse(Settings.decode(config), () => ({
      host: config.host ?? "localhost",
      port: config.port ?? 3306
    }))
    return [["server.address", host], ["server.port", port]]
  },
  texts,
  // MySQL and MariaDB commit what can be committed, or fail: COMMIT never answers that it rolled back.
  commitWasRollback: () => false,
  open: (endpoint, access) =>
    Effect.tap(
      open(endpoint),
      // Binds every account, root too, which the server's `read_only` would not.
      (connection) => access === "readOnly" ? connection.executeUnprepared(readOnlySession, [], undefined) : Effect.void
    ),
  pool: ({ config }) => Either.match(Settings.decode(config), { onLeft: () => ({}), onRight: ({ pool }) => pool }),
  readersBesideWriter: () => false,
  disposition
})

const readOnlySession = "SET SESSION TRANSACTION READ ONLY"

/** Fails with a typed error if an endpoint's configuration cannot be decoded. */
export const settings = (
  endpoint: Endpoint<Settings.MysqlEndpointConfig>
): Effect.Effect<Settings.Settings, SqlError> =>
  Either.mapLeft(Settings.decode(endpoint.config), (problem) =>
    toSqlError(
      new ConfigurationError({
        path: endpoint.role === "primary" ? "primary.url" : `replicas.${endpoint.name}.url`,
        problem
      })
    ))

const open = (
  endpoint: Endpoint<Settings.MysqlEndpointConfig>
): Effect.Effect<Connection.MysqlConnection, SqlError, Scope> =>
  Effect.flatMap(
    connectionOptions(endpoint),
    (options) => Connection.open(options, endpoint.database, (threadId) => kill(endpoint, threadId))
  )

/** Asks for the password anew, for it may be a token that has expired meanwhile. */
const connectionOptions = (
  endpoint: Endpoint<Settings.MysqlEndpointConfig>
): Effect.Effect<Mysql.ConnectionOptions, SqlError> =>
  Effect.flatMap(settings(endpoint), ({ connection, password }) => {
    if (password === undefined) return Effect.succeed(connection)
    if (Redacted.isRedacted(password)) return Effect.succeed(withPassword(connection, password))
    return Effect.matchCauseEffect(password, {
      onSuccess: (password) => Effect.succeed(withPassword(connection, password)),
      onFailure: (cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
        const error = new PasswordUnavailable({ endpoint: endpoint.name, cause: Cause.squash(cause) })
        return Effect.fail(new SqlError({ cause: error, message: error.message }))
      }
    })
  })

const withPassword = (
  options: Mysql.ConnectionOptions,
  password: Redacted.Redacted
): Mysql.ConnectionOptions => ({ ...options, password: Redacted.value(password) })

/** Stops the statement of a thread, over a short-lived connection that is not one of the pool's. */
const kill = (endpoint: Endpoint<Settings.MysqlEndpointConfig>, threadId: number): Effect.Effect<unknown, SqlError> =>
  Effect.scoped(
    Effect.flatMap(
      open(endpoint),
      (connection) => connection.executeUnprepared(`KILL QUERY ${threadId}`, [], undefined)
    )
  )
