import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type { Scope } from "effect/Scope"
import type * as Pg from "pg"
import type { Driver } from "../../Driver.js"
import type { Access, Endpoint } from "../../Endpoint.js"
import { PasswordUnavailable } from "../password.js"
import { cancelRequest, connect, connectError } from "./connect.js"
import { PgConnection } from "./connection.js"
import * as Dispositions from "./dispositions.js"
import { EndpointStatements, PreparedStatements } from "./prepared.js"
import { clientConfig, preparedStatements, type Settings } from "./settings.js"
import * as Status from "./status.js"
import { commitTracking, commitWasRollback, texts } from "./transaction.js"

/** The driver for PostgreSQL; transforms and attributes are those of `config`, the primary's. */
export const make = (config: Settings): Driver<Settings> => ({
  dialect: "postgres",
  compiler: PgClient.makeCompiler(config.transformQueryNames, config.transformJson),
  transformRows: config.transformResultNames
    ? Statement.defaultTransforms(config.transformResultNames, config.transformJson).array
    : undefined,
  spanAttributes: [
    ...Object.entries(config.spanAttributes ?? {}),
    ["db.system.name", "postgresql"],
    ["db.namespace", config.database ?? config.username ?? "postgres"]
  ],
  serverAttributes: ({ host, port }) => [
    ["server.address", host ?? "localhost"],
    ["server.port", port ?? 5432]
  ],
  texts,
  session: {
    endWithTransaction: true,
    set: (settings, scope) => {
      const entries = Object.entries(settings)
      if (entries.length === 0) return undefined
      const calls = entries.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, ${scope === "transaction"})`)
      return [`SELECT ${calls.join(", ")}`, entries.flat()]
    },
    reset: (names, scope) =>
      names.length === 0
        ? undefined
        : [
          names.map((name) => `SET ${scope === "transaction" ? "LOCAL " : ""}${quoted(name)} TO DEFAULT`).join("; "),
          []
        ]
  },
  statementTimeout: (_, duration) => ["statement_timeout", String(Math.ceil(Duration.toMillis(duration)))],
  comments: true,
  commitWasRollback,
  commitTracking,
  open: (endpoint, access) =>
    Effect.flatMap(Effect.runtime<never>(), (runtime) =>
      Effect.map(
        open(endpoint, access, statementsOf(endpoint, Runtime.runFork(runtime))),
        ({ connection }) => connection
      )),
  pool: ({ config }) => ({
    max: config.maxConnections,
    min: config.minConnections,
    idleTimeout: config.idleTimeout,
    connectTimeout: config.connectTimeout,
    maxLifetime: config.connectionTTL
  }),
  readersBesideWriter: () => false,
  disposition: Dispositions.of,
  tellsPositions: true,
  status: Status.status,
  currentPosition: Status.currentPosition,
  history: Status.history,
  awaitPosition: Status.awaitPosition
})

/** What connections to an endpoint know together, as long as its router uses it. */
const endpoints = new WeakMap<Endpoint<Settings>, EndpointStatements>()

const statementsOf = (
  endpoint: Endpoint<Settings>,
  run: (effect: Effect.Effect<void>) => void
): EndpointStatements | undefined => {
  const settings = preparedStatements(endpoint.config)
  if (settings === undefined) return undefined
  const known = endpoints.get(endpoint)
  if (known !== undefined) return known
  const statements = new EndpointStatements(settings, () => run(Effect.logWarning(isPooled(endpoint))))
  endpoints.set(endpoint, statements)
  return statements
}

const isPooled = ({ database, name }: Endpoint<Settings>): string =>
  `Endpoint ${name} of database "${database}" does not keep prepared statements: a pooler in transaction mode, it seems. `
  + "Nothing is prepared there any more. Set preparedStatements to false for it, or let the pooler keep track of them "
  + "(PgBouncer: max_prepared_statements)."

/** Any part of a setting's name may be a keyword: `app.user`. */
const quoted = (setting: string): string => setting.split(".").map((part) => `"${part}"`).join(".")

/** A connection in a Scope, its password asked for anew, and the pg client under it. */
export const open = (
  endpoint: Endpoint<Settings>,
  access: Access,
  statements?: EndpointStatements
): Effect.Effect<{ readonly client: Pg.Client; readonly connection: PgConnection }, SqlError, Scope> =>
  Effect.gen(function*() {
    const password = yield* currentPassword(endpoint)
    const config = yield* Effect.try({
      try: () => clientConfig(endpoint.config, access, password),
      catch: connectError
    })
    const client = yield* connect(config)
    const prepared = statements && new PreparedStatements(statements)
    return { client, connection: new PgConnection(client, cancelRequest(client, config), prepared) }
  })

const currentPassword = (
  { config: { password }, name }: Endpoint<Settings>
): Effect.Effect<string | undefined, SqlError> => {
  if (!Effect.isEffect(password)) return Effect.succeed(password && Redacted.value(password))
  return Effect.mapBoth(password, {
    onFailure: (cause) => connectError(new PasswordUnavailable({ endpoint: name, cause })),
    onSuccess: Redacted.value
  })
}
