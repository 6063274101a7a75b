import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { ConnectionPoolOptions } from "../../ConnectionPool.js"
import type { Driver } from "../../Driver.js"
import type { Access, Endpoint } from "../../Endpoint.js"
import type { SqliteConnection } from "./connection.js"
import { disposition } from "./dispositions.js"
import * as File from "./file.js"
import * as Settings from "./settings.js"
import * as Status from "./status.js"
import { allowWrites, texts } from "./transaction.js"

/** The driver of one client. */
export interface SqliteDriver extends Driver<Settings.SqliteEndpointConfig> {
  readonly open: (
    endpoint: Endpoint<Settings.SqliteEndpointConfig>,
    access: Access
  ) => Effect.Effect<SqliteConnection, SqlError, Scope.Scope>
  /** Opens a connection that keeps seeing the primary as it is now, beside the writer and without hindering it. */
  readonly openSnapshot: (
    primary: Endpoint<Settings.SqliteEndpointConfig>
  ) => Effect.Effect<SqliteConnection, SqlError, Scope.Scope>
}

/** SQLite lets one connection write at a time: one is enough, and it is not worth closing. */
const writerPool: ConnectionPoolOptions = {
  max: 1,
  min: 1,
  idleTimeout: Duration.infinity,
  maxLifetime: Duration.infinity
}

const hasWriter = (config: Settings.SqliteEndpointConfig): boolean => config.readonly !== true

/** Without WAL, readers and the writer lock each other out: then they take turns on one connection. */
const hasReaders = (config: Settings.SqliteEndpointConfig): boolean =>
  hasWriter(config) && config.disableWAL !== true && !File.isAnonymous(config.filename)

type FileEndpoint = Endpoint<Settings.SqliteEndpointConfig>

/** Makes a client's driver. Name transforms and span attributes are those of the primary's configuration. */
export const make = (config: Settings.SqliteEndpointConfig): Effect.Effect<SqliteDriver, never, Scope.Scope> =>
  Effect.map(Effect.scope, (clientScope) => {
    const extensions: Array<string> = []
    /** Lives as long as the client, whatever becomes of the pool's connections: with it, its data would end. */
    let memory: SqliteConnection | undefined
    /** Whether the primary's file exists, in the mode that its readers need. */
    let primaryIsReady = false

    const openFile = (endpoint: FileEndpoint, access: Access) =>
      Effect.flatMap(Settings.decode(endpoint), (settings) => {
        const isPrimary = endpoint.role === "primary"
        const readonly = access === "readOnly" || !hasWriter(endpoint.config)
        return File.open({
          filename: settings.filename,
          readonly,
          mustExist: readonly || !isPrimary,
          wal: isPrimary && !readonly && endpoint.config.disableWAL !== true
        }, { ...settings, extensions })
      })

    const openWriter = (endpoint: FileEndpoint) =>
      Effect.tap(openFile(endpoint, "readWrite"), () => {
        primaryIsReady = true
      })

    const openReader = (endpoint: FileEndpoint) =>
      Effect.suspend(() =>
        primaryIsReady
          ? openFile(endpoint, "readOnly")
          : Effect.zipRight(Effect.scoped(openWriter(endpoint)), openFile(endpoint, "readOnly"))
      )

    const openMemory = (endpoint: FileEndpoint) =>
      Effect.suspend(() => {
        if (memory === undefined) {
          return Effect.tap(Scope.extend(openFile(endpoint, "readWrite"), clientScope), (connection) => {
            memory = connection
          })
        }
        // Its last borrower may have left a transaction open, and a read-only one.
        const leftOver = memory.inTransaction() === true ? [texts.rollback, ...allowWrites] : allowWrites
        const connection = memory
        return Effect.as(
          Effect.forEach(leftOver, (text) => connection.executeUnprepared(text, [], undefined), { discard: true }),
          connection
        )
      })

    const open: SqliteDriver["open"] = (endpoint, access) => {
      if (File.isAnonymous(endpoint.config.filename)) return openMemory(endpoint)
      if (endpoint.role === "replica" || !hasReaders(endpoint.config)) return openFile(endpoint, access)
      return access === "readOnly" ? openReader(endpoint) : openWriter(endpoint)
    }

    return {
      dialect: "sqlite",
      compiler: Statement.makeCompilerSqlite(config.transformQueryNames),
      transformRows: config.transformResultNames && Statement.defaultTransforms(config.transformResultNames).array,
      spanAttributes: [...Object.entries(config.spanAttributes ?? {}), ["db.system.name", "sqlite"]],
      serverAttributes: () => [],
      texts,
      session: undefined,
      statementTimeout: () => undefined,
      comments: false,
      // COMMIT either commits, or fails and leaves the transaction open.
      commitWasRollback: () => false,
      commitTracking: undefined,
      open,
      openSnapshot: (primary) =>
        Effect.tap(open(primary, "readOnly"), (connection) =>
          // BEGIN alone reads nothing yet.
          Effect.zipRight(connection.executeUnprepared("BEGIN", [], undefined), connection.ping)),
      pool: ({ config, role }, access) =>
        role === "primary" && access === "readWrite" && hasWriter(config) ? writerPool : {},
      readersBesideWriter: hasReaders,
      disposition,
      status: Status.status,
      currentPosition: () => Effect.succeed(undefined),
      history: undefined,
      tellsPositions: false,
      awaitPosition: () => Effect.succeed(false)
    }
  })
