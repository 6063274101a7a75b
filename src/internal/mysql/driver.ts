import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import type * as Mysql from "mysql2"
import type { Driver, SessionTexts } from "../../Driver.js"
import type { Endpoint } from "../../Endpoint.js"
import { ConfigurationError, toSqlError } from "../../RoutingError.js"
import { PasswordUnavailable } from "../password.js"
import * as Connection from "./connection.js"
import { disposition } from "./dispositions.js"
import * as Settings from "./settings.js"
import * as Status from "./status.js"
import { texts } from "./transaction.js"

/** A user variable begins with `@`; what else is set is a variable of the server, which takes no quoted numbers. */
const session: SessionTexts = {
  endWithTransaction: false,
  set: (settings) => {
    const entries = Object.entries(settings)
    if (entries.length === 0) return undefined
    const isNumber = ([name, value]: readonly [string, string]) =>
      !name.startsWith("@") && /^-?\d+(\.\d+)?$/.test(value)
    const assignments = entries.map((entry) => `${target(entry[0])} = ${isNumber(entry) ? entry[1] : "?"}`)
    return [`SET ${assignments.join(", ")}`, entries.filter((entry) => !isNumber(entry)).map(([, value]) => value)]
  },
  reset: (names) =>
    names.length === 0
      ? undefined
      : [`SET ${names.map((name) => `${target(name)} = ${name.startsWith("@") ? "NULL" : "DEFAULT"}`).join(", ")}`, []]
}

const target = (name: string): string => name.startsWith("@") ? name : `SESSION ${name}`

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
  session,
  statementTimeout: (connection, duration) => {
    const millis = Math.ceil(Duration.toMillis(duration))
    // MySQL limits selects only, MariaDB every statement.
    return connection instanceof Connection.MysqlConnection && connection.isMariaDb
      ? ["max_statement_time", String(millis / 1000)]
      : ["max_execution_time", String(millis)]
  },
  comments: true,
  // MySQL and MariaDB commit what can be committed, or fail: COMMIT never answers that it rolled back.
  commitWasRollback: undefined,
  commitTracking: undefined,
  open: (endpoint, access) =>
    Effect.tap(
      open(endpoint),
      // Binds every account, root too, which the server's `read_only` would not.
      (connection) =>
        access === "readOnly"
          ? connection.executeUnprepared(readOnlySession, [], undefined)
          : Status.trackPositions(connection)
    ),
  pool: ({ config }) => Either.match(Settings.decode(config), { onLeft: () => ({}), onRight: ({ pool }) => pool }),
  readersBesideWriter: () => false,
  disposition,
  tellsPositions: true,
  status: Status.status,
  currentPosition: Status.currentPosition,
  history: Status.history,
  awaitPosition: Status.awaitPosition
})

const readOnlySession = "SET SESSION TRANSACTION READ ONLY"

/** Fails with a typed error if an endpoint's configuration cannot be decoded. */
export const settings = (
  endpoint: Endpoint<Settings.MysqlEndpointConfig>,
  path = ""
): Effect.Effect<Settings.Settings, SqlError> =>
  Either.mapLeft(Settings.decode(endpoint.config), (problem) =>
    toSqlError(
      new ConfigurationError({
        path: `${path}${endpoint.role === "primary" ? "" : "replicas."}${endpoint.name}.url`,
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
