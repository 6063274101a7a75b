/**
 * A routed client for SQLite: everything that `@effect/sql-sqlite-node` provides, and streams, over a primary file and
 * its replicas.
 *
 * **How files are opened.** The primary's file has one connection that writes, and in WAL mode (the default) up to
 * `pool.max` (default 4) that read beside it. Writing transactions begin with `BEGIN IMMEDIATE`. A database in memory,
 * and one with `disableWAL`, has one connection for everything; a primary that is `readonly` has only readers.
 *
 * **Replicas** are copies of the primary's file that something else keeps in step: `backup`, Litestream, LiteFS.
 * They are opened so that no SQL can write to them; nothing is ever created in their place. Refresh one in place, as
 * `backup` does: a connection to a file that was replaced goes on reading the old one until it is closed. A replica in
 * WAL mode needs its `-wal` and `-shm` files or a directory in which they can be made: in a read-only directory ship a
 * file with a rollback journal (`PRAGMA journal_mode = DELETE`).
 *
 * **Locks** of other processes are waited for without blocking the event loop, for `busyTimeout`.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Struct from "effect/Struct"
import { CurrentConnectionPoolOptions } from "./ConnectionPool.js"
import type { EndpointOptions } from "./Endpoint.js"
import * as Router from "./internal/client.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import type { SqliteConnection } from "./internal/sqlite/connection.js"
import * as Driver from "./internal/sqlite/driver.js"
import * as Settings from "./internal/sqlite/settings.js"
import { parse } from "./internal/sqlite/url.js"
import type {
  DatabaseEndpoints,
  OtherDatabases,
  RoutedSqlClient,
  RouterOptions,
  WithKnownNames
} from "./RoutedSqlClient.js"
import { ConfigurationError, toSqlError } from "./RoutingError.js"

export type {
  /**
   * How a file is opened: the configuration of `@effect/sql-sqlite-node`, and how long a lock is waited for.
   *
   * @since 0.1.0
   * @category models
   */
  SqliteEndpointConfig
} from "./internal/sqlite/settings.js"

/**
 * A primary, its replicas, and the router's options. Settings of `SqliteEndpointConfig` beside them are shared by all
 * endpoints; what an endpoint sets itself comes first. Name transforms and span attributes are the primary's.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedSqliteClientConfig
  extends
    Partial<Omit<Settings.SqliteEndpointConfig, "filename">>,
    DatabaseEndpoints<Settings.SqliteEndpointConfig>,
    OtherDatabases<Settings.SqliteEndpointConfig>,
    RouterOptions
{
  /** One file: there is nothing that a file could fail over to. */
  readonly primary: Settings.SqliteEndpointConfig & EndpointOptions
}

/**
 * What the layers provide.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = RoutedSqlClient | SqliteClient.SqliteClient | SqlClient.SqlClient

/** A handle may hold 16 MB of pages, and all run in one thread: more help only while many streams are open. */
const defaultMaxReaders = 4

/**
 * Makes a routed client whose connections end with the Scope. Its `config`, `export` and `backup` are the primary's;
 * an extension is loaded into every connection. Fails with a `ConfigurationError` where a setting is invalid.
 *
 * Rules may name its Databases only.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedSqliteClientConfig, Main, Others, Named>
): Effect.Effect<RoutedSqlClient & SqliteClient.SqliteClient, SqlError, Scope | Reactivity.Reactivity> =>
  makeOf(options)

const makeOf = (
  options: RoutedSqliteClientConfig
): Effect.Effect<RoutedSqlClient & SqliteClient.SqliteClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const [main, ...others] = yield* Either.mapLeft(
      Endpoints.databases<Settings.SqliteEndpointConfig>(
        options,
        (_) => Struct.pick(_ as RoutedSqliteClientConfig, ...Settings.sharedNames)
      ),
      toSqlError
    )
    const { driver, endpoints, policies } = yield* sourceOf(main)
    const primary = endpoints[0]!
    const max = options.pool?.max ?? (yield* CurrentConnectionPoolOptions).max ?? defaultMaxReaders
    const { client, usePrimary } = yield* Router.make(
      [{ driver, endpoints, policies }, ...yield* Effect.forEach(others, sourceOf)],
      { ...options, pool: { ...options.pool, max } }
    )
    const onPrimary = <A>(use: (connection: SqliteConnection) => Effect.Effect<A, SqlError>) =>
      // What the router lends was opened by this driver.
      usePrimary((connection) => use(connection as SqliteConnection))

    return Object.assign(client as RoutedSqlClient & SqliteClient.SqliteClient, {
      [SqliteClient.TypeId]: SqliteClient.TypeId as SqliteClient.TypeId,
      config: primary.config,
      export: onPrimary((connection) => connection.export),
      backup: (destination: string) =>
        driver.readersBesideWriter(primary.config)
          ? Effect.scoped(Effect.flatMap(driver.openSnapshot(primary), (snapshot) => snapshot.backup(destination)))
          : onPrimary((connection) => connection.backup(destination)),
      loadExtension: (path: string) => onPrimary((connection) => connection.loadExtension(path))
    })
  })

const sourceOf = (
  { database, path, policies, shared }: Endpoints.DatabaseOptions<Settings.SqliteEndpointConfig>
) =>
  Effect.gen(function*() {
    if (Endpoints.primariesOf(database).length > 1) {
      const problem = "a file does not fail over to another: give one, and the others as replicas"
      yield* Effect.fail(toSqlError(new ConfigurationError({ path: `${path}primary`, problem })))
    }
    const endpoints = Endpoints.fromOptions<Settings.SqliteEndpointConfig>(database, shared)
    yield* Effect.forEach(endpoints, Settings.decode, { discard: true })
    return { driver: yield* Driver.make(endpoints[0]!.config), endpoints, policies }
  })

/**
 * A routed client with fixed options; each call opens connections of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedSqliteClientConfig, Main, Others, Named>
): Layer.Layer<Services, SqlError> => Entry.layer(makeOf(options), SqliteClient.SqliteClient)

/**
 * Adds a Database, with a router of its own, to the router in the context: `database(name)` of that one gives it, until the
 * Layer ends.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabase = (
  name: string,
  options: Omit<RoutedSqliteClientConfig, "name">
): Layer.Layer<never, SqlError, RoutedSqlClient> => Entry.layerDatabase(name, makeOf({ ...options, name }))

/**
 * A routed client whose options are read from `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Entry.Wrap<RoutedSqliteClientConfig>
): Layer.Layer<Services, ConfigError.ConfigError | SqlError> =>
  Entry.layer(Effect.flatMap(Entry.unwrap(config), makeOf), SqliteClient.SqliteClient)

/**
 * A routed client from `DATABASE_URL`, the primary's file, and `DATABASE_REPLICA_URLS`, those of the replicas, separated
 * by commas; none if it is not set. The replicas are named `replica1`, `replica2` and so on. A URL is a path,
 * `file:path`, `sqlite:path`, `sqlite://path` or `:memory:`; a comma in a path behind a scheme is written `%2C`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabaseUrl = (
  options?: Omit<RoutedSqliteClientConfig, "primary" | "replicas">
): Layer.Layer<Services, ConfigError.ConfigError | SqlError> =>
  Entry.layer(
    Effect.flatMap(urls, ({ primary, replicas }) =>
      makeOf({
        ...options,
        primary: { filename: primary },
        replicas: Entry.numbered(replicas.map((filename) => ({ filename })))
      })),
    SqliteClient.SqliteClient
  )

const urls = Config.all({
  primary: parsed("DATABASE_URL", Config.string("DATABASE_URL"), parse),
  replicas: parsed(
    "DATABASE_REPLICA_URLS",
    Config.withDefault(Config.string("DATABASE_REPLICA_URLS"), ""),
    (urls) => Either.all(urls.split(",").filter((url) => url.trim() !== "").map(parse))
  )
})

function parsed<A>(name: string, text: Config.Config<string>, parse: (text: string) => Either.Either<A, string>) {
  return Config.mapOrFail(
    text,
    (text) => Either.mapLeft(parse(text), (problem) => ConfigError.InvalidData([name], problem))
  )
}
