import type { MysqlClientConfig } from "@effect/sql-mysql2/MysqlClient"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type * as Mysql from "mysql2"
import type { ConnectionPoolOptions } from "../../ConnectionPool.js"

/**
 * How an endpoint is connected to: the configuration of @effect/sql-mysql2, where every setting also reaches endpoints
 * that have a `url`. What the URL says comes first, then these settings, then `poolConfig`.
 *
 * `maxConnections` is the pool's `max`, and `connectionTTL` its `idleTimeout`: in sql-mysql2 it means how long an unused
 * connection is kept, not how long one lives. The password may be an Effect: it is asked at each connect, for tokens that
 * expire.
 *
 * @since 0.1.0
 * @category models
 */
export interface MysqlEndpointConfig extends Omit<MysqlClientConfig, "password"> {
  readonly password?: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown> | undefined
}

/** Spelled out so that the compiler tells when sql-mysql2 gets a setting more. */
const shared: { readonly [name in Exclude<keyof MysqlEndpointConfig, "url">]-?: true } = {
  host: true,
  port: true,
  database: true,
  username: true,
  password: true,
  maxConnections: true,
  connectionTTL: true,
  poolConfig: true,
  spanAttributes: true,
  transformResultNames: true,
  transformQueryNames: true
}

/** The names of the settings that endpoints can share, by which they are told from the router's options. */
export const sharedNames = Object.keys(shared) as ReadonlyArray<keyof typeof shared>

/** A configuration, decoded: where to connect, with what, and what it says of the pool. */
export interface Settings {
  readonly host: string
  readonly port: number
  readonly database: string | undefined
  readonly password: MysqlEndpointConfig["password"]
  readonly pool: ConnectionPoolOptions
  /** mysql2's options, the password excepted. */
  readonly connection: Mysql.ConnectionOptions
}

/** Decodes a configuration, or says what is wrong with its URL. */
export const decode = (config: MysqlEndpointConfig): Either.Either<Settings, string> => {
  const uri = config.url === undefined ? config.poolConfig?.uri : Redacted.value(config.url)
  return Either.map(
    uri === undefined ? Either.right(nothing) : parseUrl(uri),
    (url) => {
      const {
        connectTimeout,
        connectionLimit,
        gracefulEnd: _gracefulEnd,
        idleTimeout,
        maxIdle: _maxIdle,
        queueLimit,
        resetOnRelease: _resetOnRelease,
        uri: _uri,
        waitForConnections,
        ...rest
      }: Mysql.PoolOptions = { ...config.poolConfig, ...url.query }
      const host = url.host ?? config.host ?? rest.host ?? "localhost"
      const port = url.port ?? config.port ?? rest.port ?? 3306
      const database = url.database ?? config.database ?? rest.database
      const user = url.username ?? config.username ?? rest.user
      const { password: fromPoolConfig, ...connection } = rest
      return {
        host,
        port,
        database,
        password: url.password ?? config.password ?? (fromPoolConfig ? Redacted.make(fromPoolConfig) : undefined),
        pool: {
          max: config.maxConnections ?? connectionLimit,
          idleTimeout: (config.connectionTTL ?? idleTimeout) || undefined,
          connectTimeout: connectTimeout || undefined,
          maxWaiters: waitForConnections === false ? 0 : queueLimit || undefined
        },
        connection: {
          ...connection,
          host,
          port,
          ...(database === undefined ? {} : { database }),
          ...(user === undefined ? {} : { user }),
          multipleStatements: true,
          supportBigNumbers: true,
          rowsAsArray: false,
          // The pool's connectTimeout holds, on Effect's clock.
          connectTimeout: 0
        }
      }
    }
  )
}

/** What a URL says; a part it leaves out is `undefined`. */
interface FromUrl {
  readonly host: string | undefined
  readonly port: number | undefined
  readonly database: string | undefined
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  /** Options of mysql2, e.g. `?timezone=Z&ssl={"rejectUnauthorized":true}`. */
  readonly query: Mysql.PoolOptions
}

const nothing: FromUrl = {
  host: undefined,
  port: undefined,
  database: undefined,
  username: undefined,
  password: undefined,
  query: {}
}

const protocols = new Set(["mysql:", "mysql2:", "mariadb:"])

/** Never repeats the URL, which may hold a password. */
const malformed = "not a URL of the form mysql://user:password@host:port/database"

const parseUrl = (text: string): Either.Either<FromUrl, string> =>
  Either.filterOrLeft(
    Either.try({
      try: () => {
        const url = new URL(text)
        const password = part(url.password)
        return {
          protocol: url.protocol,
          // An IPv6 address stands in brackets.
          host: part(url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname),
          port: url.port === "" ? undefined : Number(url.port),
          database: part(url.pathname.slice(1)),
          username: part(url.username),
          password: password === undefined ? undefined : Redacted.make(password),
          query: Object.fromEntries(Array.from(url.searchParams, ([key, value]) => [key, jsonOrText(value)]))
        }
      },
      catch: () => malformed
    }),
    (url) => protocols.has(url.protocol),
    () => malformed
  )

const part = (value: string): string | undefined => value === "" ? undefined : decodeURIComponent(value)

const jsonOrText = (value: string): unknown => {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}
