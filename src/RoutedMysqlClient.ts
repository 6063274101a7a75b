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
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import * as Struct from "effect/Struct"
import * as Router from "./internal/client.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import * as Driver from "./internal/mysql/driver.js"
import { type MysqlEndpointConfig, sharedNames } from "./internal/mysql/settings.js"
import type { DatabaseEndpoints, RoutedSqlClient, RouterOptions } from "./RoutedSqlClient.js"

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
  extends Partial<Omit<MysqlEndpointConfig, "url">>, DatabaseEndpoints<MysqlEndpointConfig>, RouterOptions
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
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: RoutedMysqlClientConfig
): Effect.Effect<RoutedSqlClient & MysqlClient.MysqlClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const endpoints = Endpoints.fromOptions<MysqlEndpointConfig>(options, Struct.pick(options, ...sharedNames))
    yield* Effect.forEach(endpoints, Driver.settings, { discard: true })
    const { config } = endpoints[0]!
    const { client } = yield* Router.make(Driver.make(config), endpoints, options)
    return Object.assign(client, {
      [MysqlClient.TypeId]: MysqlClient.TypeId as MysqlClient.TypeId,
      config: stockConfig(config)
    })
  })

const stockConfig = ({ password, ...config }: MysqlEndpointConfig): MysqlClient.MysqlClientConfig =>
  Redacted.isRedacted(password) ? { ...config, password } : config

/**
 * A routed client with fixed options; each call makes connections of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: RoutedMysqlClientConfig): Layer.Layer<Services, SqlError> =>
  Entry.layer(make(options), MysqlClient.MysqlClient)

/**
 * A routed client whose options are, wholly or in part, read from `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Entry.Wrap<RoutedMysqlClientConfig>
): Layer.Layer<Services, ConfigError | SqlError> =>
  Entry.layer(Effect.flatMap(Entry.unwrap(config), make), MysqlClient.MysqlClient)

/**
 * A routed client from `DATABASE_URL`, the primary's URL, and `DATABASE_REPLICA_URLS`, those of the replicas, separated
 * by commas; none if it is not set. The replicas are named `replica1`, `replica2` and so on. A comma inside a URL is
 * written `%2C`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabaseUrl = (
  options?: Omit<RoutedMysqlClientConfig, "primary" | "replicas">
): Layer.Layer<Services, ConfigError | SqlError> =>
  Entry.layer(
    Effect.flatMap(Entry.databaseUrls, ({ primary, replicas }) =>
      make({
        ...options,
        primary: { url: primary },
        replicas: Entry.numbered(replicas.map((url) => ({ url })))
      })),
    MysqlClient.MysqlClient
  )
