/**
 * A routed client for MySQL and MariaDB: everything that `@effect/sql-mysql2` provides, over a primary and its replicas.
 *
 * Tested on MariaDB; what differs in MySQL 8 follows its documentation.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import * as Struct from "effect/Struct"
import * as Router from "./internal/client.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import * as Driver from "./internal/mysql/driver.js"
import { type MysqlEndpointConfig, sharedNames } from "./internal/mysql/settings.js"
import type {
  DatabaseEndpoints,
  OtherDatabases,
  RoutedSqlClient,
  RouterOptions,
  WithKnownNames
} from "./RoutedSqlClient.js"
import { toSqlError } from "./RoutingError.js"

export type {
  /**
   * How an endpoint is connected to: the configuration of `@effect/sql-mysql2`, with a password that may be an Effect.
   *
   * @since 0.1.0
   * @category models
   */
  MysqlEndpointConfig
} from "./internal/mysql/settings.js"

/**
 * A primary, its replicas, and the router's options. Settings of `MysqlEndpointConfig` beside them are shared by all
 * endpoints; what an endpoint sets itself comes first. Name transforms and span attributes are the primary's.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedMysqlClientConfig
  extends
    Partial<Omit<MysqlEndpointConfig, "url">>,
    DatabaseEndpoints<MysqlEndpointConfig>,
    OtherDatabases<MysqlEndpointConfig>,
    RouterOptions
{}

/**
 * What the layers provide.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = RoutedSqlClient | MysqlClient.MysqlClient | SqlClient.SqlClient

/**
 * Makes a routed client whose connections end with the Scope. The servers need not be up.
 *
 * Its `config` is the primary's, without the password if that is an Effect. Fails with a `ConfigurationError` where an
 * endpoint's URL is malformed.
 *
 * Rules may name its Databases only.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedMysqlClientConfig, Main, Others, Named>
): Effect.Effect<RoutedSqlClient & MysqlClient.MysqlClient, SqlError, Scope | Reactivity.Reactivity> => makeOf(options)

const makeOf = (
  options: RoutedMysqlClientConfig
): Effect.Effect<RoutedSqlClient & MysqlClient.MysqlClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const [main, ...others] = yield* Either.mapLeft(
      Endpoints.databases<MysqlEndpointConfig>(
        options,
        (_) => Struct.pick(_ as RoutedMysqlClientConfig, ...sharedNames)
      ),
      toSqlError
    )
    const sources = [yield* sourceOf(main), ...yield* Effect.forEach(others, sourceOf)] as const
    const { config } = sources[0].endpoints[0]!
    const { client } = yield* Router.make(sources, options)
    return Object.assign(client, {
      [MysqlClient.TypeId]: MysqlClient.TypeId as MysqlClient.TypeId,
      config: stockConfig(config)
    })
  })

const sourceOf = (
  { database, path, policies, shared }: Endpoints.DatabaseOptions<MysqlEndpointConfig>
): Effect.Effect<Router.DatabaseSource<MysqlEndpointConfig>, SqlError> =>
  Effect.gen(function*() {
    const endpoints = Endpoints.fromOptions<MysqlEndpointConfig>(database, shared)
    yield* Effect.forEach(endpoints, (endpoint) => Driver.settings(endpoint, path), { discard: true })
    return { driver: Driver.make(endpoints[0]!.config), endpoints, policies }
  })

const stockConfig = ({ password, ...config }: MysqlEndpointConfig): MysqlClient.MysqlClientConfig =>
  Redacted.isRedacted(password) ? { ...config, password } : config

/**
 * A routed client with fixed options; each call makes connections of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedMysqlClientConfig, Main, Others, Named>
): Layer.Layer<Services, SqlError> => Entry.layer(makeOf(options), MysqlClient.MysqlClient)

/**
 * Adds a Database, with a router of its own, to the router in the context: `database(name)` of that one gives it, until the
 * Layer ends.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabase = (
  name: string,
  options: Omit<RoutedMysqlClientConfig, "name">
): Layer.Layer<never, SqlError, RoutedSqlClient> => Entry.layerDatabase(name, makeOf({ ...options, name }))

/**
 * A routed client whose options are, wholly or in part, read from `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Entry.Wrap<RoutedMysqlClientConfig>
): Layer.Layer<Services, ConfigError | SqlError> =>
  Entry.layer(Effect.flatMap(Entry.unwrap(config), makeOf), MysqlClient.MysqlClient)

/**
 * A routed client from `DATABASE_URL`, the primary's URL, and `DATABASE_REPLICA_URLS`, those of the replicas, if it is
 * set. Each may hold several, separated by commas: of several primaries the one that takes writes is used. They are named
 * `primary`, `primary2`, and `replica1`, `replica2` and so on. A comma separates where another URL's scheme follows.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabaseUrl = (
  options?: Omit<RoutedMysqlClientConfig, "primary" | "replicas">
): Layer.Layer<Services, ConfigError | SqlError> =>
  Entry.layer(
    Effect.flatMap(Entry.databaseUrls, ({ primaries: [first, ...others], replicas }) =>
      makeOf({
        ...options,
        primary: [{ url: first }, ...others.map((url) => ({ url }))],
        replicas: Entry.numbered(replicas.map((url) => ({ url })))
      })),
    MysqlClient.MysqlClient
  )
