/**
 * A router over clients that exist already: any `SqlClient` of @effect/sql for PostgreSQL, MySQL or SQLite becomes an
 * endpoint. For clients that are configured elsewhere, or whose drivers have no entry of their own here.
 *
 * The clients keep their connections; the router borrows them, one at a time, and pools what it has borrowed. A client should
 * not be used beside the router, and needs a connection more than `pool.max` (default 8) for the router's probes, or two where
 * lag is measured. One of SQLite has one connection, which the router gives back after a second without statements.
 *
 * What the entries can do and this cannot:
 *
 * - An interrupted statement is cancelled if its client does it: that of PostgreSQL does. Its connection goes back to the
 *   client all the same.
 * - Positions do not come with answers: reads that must see a write ask the primary for its position, with a statement.
 * - Sessions are not kept apart: `withSession` fails, and a setting that a statement makes goes back to the client with its
 *   connection.
 * - Connections are not made read-only: give replicas whose servers, or users, refuse writes.
 * - Lost connections are noticed when they are used, or asked for a sign of life.
 * - Rows of SQLite are not streamed, but read at once.
 * - The clients' name transforms of results are not known: `transformResultNames` gives them to the router. Those of queries
 *   are the primary's own.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import { CurrentConnectionPoolOptions } from "./ConnectionPool.js"
import type { EndpointOptions } from "./Endpoint.js"
import * as Driver from "./internal/adapted/driver.js"
import * as Router from "./internal/client.js"
import { invalid } from "./internal/configuration.js"
import * as Endpoints from "./internal/endpoints.js"
import * as Entry from "./internal/entry.js"
import type { RoutedSqlClient, RouterOptions } from "./RoutedSqlClient.js"

/**
 * A client, and what an endpoint has beside it.
 *
 * @since 0.1.0
 * @category models
 */
export interface AdaptedEndpoint extends EndpointOptions {
  readonly client: SqlClient.SqlClient
}

/**
 * The clients, all of one dialect, and the router's options.
 *
 * @since 0.1.0
 * @category models
 */
export interface AdaptedClientsConfig extends RouterOptions {
  /** The name used in errors, spans and `explain`. Default `main`. */
  readonly name?: string | undefined
  /** Where writes go; of several, which are named `primary`, `primary2` and so on, to the one that takes them. */
  readonly primary: AdaptedPrimary | readonly [AdaptedPrimary, ...ReadonlyArray<AdaptedPrimary>]
  /** Where reads go, by name. Default: none. */
  readonly replicas?: { readonly [name: string]: SqlClient.SqlClient | AdaptedEndpoint } | undefined
  /** The clients' name transform of results. Default: none. */
  readonly transformResultNames?: ((name: string) => string) | undefined
  /** Put on every statement's span. Default: none. */
  readonly spanAttributes?: Readonly<Record<string, unknown>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type AdaptedPrimary = SqlClient.SqlClient | AdaptedEndpoint

/** The clients' own default is 10, and probes need a connection, or two. */
const defaultMax = 8

/**
 * Makes a router over clients. What it has borrowed goes back to them when the Scope ends: they must live longer.
 *
 * Fails with a `ConfigurationError` where the clients' dialects differ, or there is no router for one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: AdaptedClientsConfig
): Effect.Effect<RoutedSqlClient, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const [first, ...others] = primariesOf(options).map(endpointOf)
    if (first === undefined) return yield* invalid("primary", "there is none")
    const endpoints = Endpoints.fromOptions<Driver.AdaptedConfig>({
      name: options.name,
      primary: [first, ...others],
      replicas: Object.fromEntries(
        Object.entries(options.replicas ?? {}).map(([name, given]) => [name, endpointOf(given)])
      )
    }, {})
    const dialect = Driver.dialectOf(first.client)
    if (dialect === undefined) return yield* invalid("primary", "there is no router for its dialect")
    const stranger = endpoints.find(({ config }) => Driver.dialectOf(config.client) !== dialect)
    if (stranger !== undefined) {
      const path = stranger.role === "primary" ? stranger.name : `replicas.${stranger.name}`
      return yield* invalid(path, `its dialect is not the primary's, ${dialect}: text is compiled for one`)
    }
    const max = options.pool?.max ?? (yield* CurrentConnectionPoolOptions).max ?? defaultMax
    const { client } = yield* Router.make(
      [{ driver: Driver.make(first.client, dialect, options), endpoints, policies: {} }],
      { ...options, pool: { ...options.pool, max } }
    )
    return client
  })

const primariesOf = ({ primary }: AdaptedClientsConfig): ReadonlyArray<AdaptedPrimary> =>
  // A client is a function and an endpoint an object: only several of them are an array.
  Array.isArray(primary) ? primary as ReadonlyArray<AdaptedPrimary> : [primary as AdaptedPrimary]

const endpointOf = (given: AdaptedPrimary): AdaptedEndpoint => SqlClient.TypeId in given ? { client: given } : given

/**
 * A router over clients that an effect makes or finds; those that it makes live as long as the Layer.
 *
 * @example
 * ```ts
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import { Effect, Redacted } from "effect"
 * import * as AdaptedClients from "effect-sql-router/AdaptedClients"
 *
 * const Database = AdaptedClients.layer(
 *   Effect.gen(function*() {
 *     const primary = yield* PgClient.make({ url: Redacted.make("postgres://app@primary/app") })
 *     const replica1 = yield* PgClient.make({ url: Redacted.make("postgres://app@replica1/app") })
 *     return { primary, replicas: { replica1: { client: replica1, weight: 3 } } }
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R>(
  options: Effect.Effect<AdaptedClientsConfig, E, R>
): Layer.Layer<
  RoutedSqlClient | SqlClient.SqlClient,
  E | SqlError,
  Exclude<Exclude<R, Scope>, Reactivity.Reactivity>
> => Entry.layer(Effect.flatMap(options, make))
