import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import type * as Pg from "pg"
import type { Driver } from "../../Driver.js"
import type { Access, Endpoint } from "../../Endpoint.js"
import { PasswordUnavailable } from "../password.js"
import { cancelRequest, connect, connectError } from "./connect.js"
import { PgConnection } from "./connection.js"
import * as Dispositions from "./dispositions.js"
import { clientConfig, type Settings } from "./settings.js"

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
  texts: {
    begin: ({ access }) => access === "readOnly" ? "BEGIN READ ONLY" : "BEGIN",
    commit: "COMMIT",
    rollback: "ROLLBACK",
    savepoint: (name) => `SAVEPOINT ${name}`,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    rollbackToSavepoint: (name) => `ROLLBACK TO SAVEPOINT ${name}`
  },
  commitWasRollback: (raw) => {
    const [result] = Array.isArray(raw) ? raw : [raw]
    return (result as Pg.QueryResult | undefined)?.command === "ROLLBACK"
  },
  open: (endpoint, access) => Effect.map(open(endpoint, access), ({ connection }) => connection),
  pool: ({ config }) => ({
    max: config.maxConnections,
    min: config.minConnections,
    idleTimeout: config.idleTimeout,
    connectTimeout: config.connectTimeout,
    maxLifetime: config.connectionTTL
  }),
  readersBesideWriter: () => false,
  disposition: Dispositions.of
})

/** A connection in a Scope, its password asked for anew, and the pg client under it. */
export const open = (
  endpoint: Endpoint<Settings>,
  access: Access
): Effect.Effect<{ readonly client: Pg.Client; readonly connection: PgConnection }, SqlError, Scope> =>
  Effect.gen(function*() {
    const password = yield* currentPassword(endpoint)
    const config = yield* Effect.try({
      try: () => clientConfig(endpoint.config, access, password),
      catch: connectError
    })
    const client = yield* connect(config)
    return { client, connection: new PgConnection(client, cancelRequest(client, config)) }
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
