/**
 * A routed client for PostgreSQL: everything that `@effect/sql-pg` provides, over a primary and its replicas.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Statement from "@effect/sql/Statement"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { Endpoint, EndpointOptions } from "./Endpoint.js"
import * as Router from "./internal/client.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import * as Driver from "./internal/pg/driver.js"
import { type ListenEvent, make as makeListener } from "./internal/pg/listener.js"
import { type PgEndpointConfig, read, settingNames, type Settings } from "./internal/pg/settings.js"
import type { DatabaseEndpoints, RoutedSqlClient, RouterOptions } from "./RoutedSqlClient.js"
import { type ConfigurationError, toSqlError } from "./RoutingError.js"

export type {
  /**
   * How an endpoint is connected to: the configuration of `@effect/sql-pg`, with a password that may be an Effect.
   *
   * @since 0.1.0
   * @category models
   */
  PgEndpointConfig
} from "./internal/pg/settings.js"

/**
 * A primary, its replicas, and the router's options. Settings of `PgEndpointConfig` beside them are shared by all
 * endpoints; what an endpoint sets itself, or its URL says, comes first. Name transforms and span attributes are the
 * primary's.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedPgClientConfig
  extends Partial<PgEndpointConfig>, DatabaseEndpoints<PgEndpointConfig>, RouterOptions
{}

export type {
  /**
   * What a listening connection tells: a notification, or that the connection was lost and is back.
   *
   * @since 0.1.0
   * @category models
   */
  ListenEvent
} from "./internal/pg/listener.js"

/**
 * A {@link RoutedSqlClient} that also is a `PgClient`: `listen` and `notify` go to the primary.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutedPgClient extends RoutedSqlClient, PgClient.PgClient {
  /** The primary's configuration, with what its URL says. */
  readonly config: PgClient.PgClientConfig
  /**
   * The payloads notified on a channel, empty ones included. A lost connection is opened again; what was notified
   * meanwhile is lost, which is logged as a warning. The stream fails if the first connection cannot be opened.
   */
  readonly listen: (channel: string) => Stream.Stream<string, SqlError>
  /** As `listen`, for programs that have to know what they missed. */
  readonly listenEvents: (channel: string) => Stream.Stream<ListenEvent, SqlError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export const RoutedPgClient: Context.Tag<RoutedPgClient, RoutedPgClient> = Context.GenericTag<RoutedPgClient>(
  "effect-sql-router/RoutedPgClient"
)

/**
 * What the layers provide.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = RoutedPgClient | RoutedSqlClient | PgClient.PgClient | SqlClient.SqlClient

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
  options: RoutedPgClientConfig
): Effect.Effect<RoutedPgClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const endpoints = yield* Effect.mapError(endpointsOf(options), toSqlError)
    const primary = endpoints[0]!
    const { client, usePrimary } = yield* Router.make(Driver.make(primary.config), endpoints, options)
    const listenEvents = yield* makeListener(primary)
    return Object.assign(client, {
      [PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: stockConfig(primary.config),
      json: (value: unknown): Fragment => PgJson(value),
      listenEvents,
      listen: (channel: string) =>
        Stream.filterMap(listenEvents(channel), (event) =>
          event._tag === "Notification" ? Option.some(event.payload) : Option.none()),
      notify: (channel: string, payload: string) =>
        usePrimary((connection) =>
          Effect.asVoid(connection.executeRaw("SELECT pg_notify($1, $2)", [channel, payload]))
        )
    })
  })

/** The endpoints, the primary first. URLs are read before shared settings join, so that an endpoint's own host counts. */
const endpointsOf = (
  options: RoutedPgClientConfig
): Either.Either<ReadonlyArray<Endpoint<Settings>>, ConfigurationError> =>
  Either.gen(function*() {
    const replicas: Record<string, Settings & EndpointOptions> = {}
    for (const [name, config] of Object.entries(options.replicas ?? {})) {
      replicas[name] = yield* read(config, `replicas.${name}.url`)
    }
    return Endpoints.fromOptions<Settings>(
      { name: options.name, primary: yield* read(options.primary, "primary.url"), replicas },
      yield* read(Struct.pick(options, ...settingNames), "url")
    )
  })

const stockConfig = ({ parameters: _parameters, password, ...config }: Settings): PgClient.PgClientConfig =>
  Redacted.isRedacted(password) ? { ...config, password } : config

const PgJson = Statement.custom<PgClient.PgCustom>("PgJson")

/**
 * A routed client with fixed options; each call makes connections of its own.
 *
 * @example
 * ```ts
 * import { Redacted } from "effect"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const Database = RoutedPgClient.layer({
 *   username: "app",
 *   password: Redacted.make("secret"),
 *   database: "orders",
 *   primary: { host: "primary.internal" },
 *   replicas: {
 *     replica1: { host: "replica1.internal" },
 *     replica2: { host: "replica2.internal", weight: 3 }
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: RoutedPgClientConfig): Layer.Layer<Services, SqlError> => provide(make(options))

/**
 * A routed client whose options are, wholly or in part, read from `Config`.
 *
 * @example
 * ```ts
 * import { Config } from "effect"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const Database = RoutedPgClient.layerConfig({
 *   password: Config.redacted("DB_PASSWORD"),
 *   primary: { host: Config.string("DB_PRIMARY") },
 *   replicas: { replica1: { host: Config.string("DB_REPLICA") } }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Entry.Wrap<RoutedPgClientConfig>
): Layer.Layer<Services, ConfigError | SqlError> => provide(Effect.flatMap(Entry.unwrap(config), make))

/**
 * A routed client from `DATABASE_URL`, the primary's URL, and `DATABASE_REPLICA_URLS`, those of the replicas, separated
 * by commas; none if it is not set. The replicas are named `replica1`, `replica2` and so on. A comma inside a URL is
 * written `%2C`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabaseUrl = (
  options?: Omit<RoutedPgClientConfig, "primary" | "replicas" | "url">
): Layer.Layer<Services, ConfigError | SqlError> =>
  provide(Effect.flatMap(Entry.databaseUrls, ({ primary, replicas }) =>
    make({
      ...options,
      primary: { url: primary },
      replicas: Entry.numbered(replicas.map((url) => ({ url })))
    })))

const provide = <E>(client: Effect.Effect<RoutedPgClient, E, Scope | Reactivity.Reactivity>) =>
  Entry.layer(client, PgClient.PgClient, RoutedPgClient)
