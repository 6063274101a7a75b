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
import type { EndpointOptions } from "./Endpoint.js"
import * as Router from "./internal/client.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import * as Driver from "./internal/pg/driver.js"
import { type ListenEvent, make as makeListener } from "./internal/pg/listener.js"
import { type PgEndpointConfig, read, settingNames, type Settings } from "./internal/pg/settings.js"
import type {
  DatabaseEndpoints,
  OtherDatabases,
  RoutedSqlClient,
  RouterOptions,
  WithKnownNames
} from "./RoutedSqlClient.js"
import { type ConfigurationError, toSqlError } from "./RoutingError.js"

export type {
  /**
   * How an endpoint is connected to: the configuration of `@effect/sql-pg`, with a password that may be an Effect, and
   * statements that may be prepared.
   *
   * @since 0.1.0
   * @category models
   */
  PgEndpointConfig,
  /**
   * Which statements are prepared.
   *
   * @since 0.1.0
   * @category models
   */
  PreparedStatementOptions
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
  extends
    Partial<PgEndpointConfig>,
    DatabaseEndpoints<PgEndpointConfig>,
    OtherDatabases<PgEndpointConfig>,
    RouterOptions
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
 * Rules may name its Databases only.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedPgClientConfig, Main, Others, Named>
): Effect.Effect<RoutedPgClient, SqlError, Scope | Reactivity.Reactivity> => makeOf(options)

const makeOf = (
  options: RoutedPgClientConfig
): Effect.Effect<RoutedPgClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const sources = yield* Effect.mapError(sourcesOf(options), toSqlError)
    const { endpoints } = sources[0]
    const { client, primary, usePrimary } = yield* Router.make(sources, options)
    const listenEvents = yield* makeListener(() => endpoints.find(({ name }) => name === primary())!)
    return Object.assign(client, {
      [PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: stockConfig(endpoints[0]!.config),
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

type Source = Router.DatabaseSource<Settings>

const sourcesOf = (
  options: RoutedPgClientConfig
): Either.Either<readonly [Source, ...ReadonlyArray<Source>], ConfigurationError> => {
  const databases = Endpoints.databases<PgEndpointConfig>(
    options,
    (_) => Struct.pick(_ as PgEndpointConfig, ...settingNames)
  )
  return Either.gen(function*() {
    const [main, ...others] = yield* databases
    return [yield* sourceOf(main), ...yield* Either.all(others.map(sourceOf))] as const
  })
}

/** The primaries are the first endpoints. URLs are read before shared settings join, so that an endpoint's own host counts. */
const sourceOf = (
  { database, path, policies, shared }: Endpoints.DatabaseOptions<PgEndpointConfig>
): Either.Either<Source, ConfigurationError> =>
  Either.gen(function*() {
    const replicas: Record<string, Settings & EndpointOptions> = {}
    for (const [name, config] of Object.entries(database.replicas ?? {})) {
      replicas[name] = yield* read(config, `${path}replicas.${name}.url`)
    }
    const [first, ...rest] = Endpoints.primariesOf(database)
    const primary = [
      yield* read(first, `${path}primary.url`),
      ...yield* Either.all(rest.map((own, i) => read(own, `${path}${Endpoints.primaryName(i + 1)}.url`)))
    ] as const
    const endpoints = Endpoints.fromOptions<Settings>(
      { name: database.name, primary, replicas },
      yield* read(shared, `${path}url`)
    )
    return { driver: Driver.make(endpoints[0]!.config), endpoints, policies }
  })

const stockConfig = (
  { parameters: _parameters, password, preparedStatements: _preparedStatements, ...config }: Settings
): PgClient.PgClientConfig => Redacted.isRedacted(password) ? { ...config, password } : config

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
export const layer = <Main extends string = "main", Others extends string = never, Named extends string = never>(
  options: WithKnownNames<RoutedPgClientConfig, Main, Others, Named>
): Layer.Layer<Services, SqlError> => provide(makeOf(options))

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
): Layer.Layer<Services, ConfigError | SqlError> => provide(Effect.flatMap(Entry.unwrap(config), makeOf))

/**
 * A routed client from `DATABASE_URL`, the primary's URL, and `DATABASE_REPLICA_URLS`, those of the replicas, if it is
 * set. Each may hold several, separated by commas: of several primaries the one that takes writes is used. They are named
 * `primary`, `primary2`, and `replica1`, `replica2` and so on. A comma separates where another URL's scheme follows.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabaseUrl = (
  options?: Omit<RoutedPgClientConfig, "primary" | "replicas" | "url">
): Layer.Layer<Services, ConfigError | SqlError> =>
  provide(Effect.flatMap(Entry.databaseUrls, ({ primaries: [first, ...others], replicas }) =>
    makeOf({
      ...options,
      primary: [{ url: first }, ...others.map((url) => ({ url }))],
      replicas: Entry.numbered(replicas.map((url) => ({ url })))
    })))

/**
 * Adds a Database, with a router of its own, to the router in the context: `database(name)` of that one gives it, until the
 * Layer ends.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 * import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
 *
 * const Main = RoutedPgClient.layer({ primary: { host: "primary.internal" } })
 * const Databases = RoutedSqliteClient.layerDatabase("geography", { primary: { filename: "places.db" } }).pipe(
 *   Layer.provideMerge(Main)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabase = (
  name: string,
  options: Omit<RoutedPgClientConfig, "name">
): Layer.Layer<never, SqlError, RoutedSqlClient> => Entry.layerDatabase(name, makeOf({ ...options, name }))

const provide = <E>(client: Effect.Effect<RoutedPgClient, E, Scope | Reactivity.Reactivity>) =>
  Entry.layer(client, PgClient.PgClient, RoutedPgClient)
