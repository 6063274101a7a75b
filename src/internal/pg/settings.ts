import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { ConnectionOptions } from "node:tls"
import * as Pg from "pg"
import type { Access } from "../../Endpoint.js"
import { ConfigurationError } from "../../RoutingError.js"
import type { PreparedStatementSettings } from "./prepared.js"

/**
 * How an endpoint is connected to: the configuration of @effect/sql-pg. What the URL says comes first, then these
 * settings.
 *
 * `maxConnections` is the pool's `max`, `minConnections` its `min`, and `connectionTTL` its `maxLifetime`, as in sql-pg.
 * The password may be an Effect: it is asked at each connect, for tokens that expire. `path` is the folder of a Unix
 * socket. `applicationName` is `effect-sql-router` by default.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgEndpointConfig extends Omit<PgClientConfig, "password"> {
  readonly password?: Redacted.Redacted | Effect.Effect<Redacted.Redacted, unknown> | undefined
  /**
   * Whether statements that are used often are prepared, so that the server parses them once for each connection; `true`
   * is all defaults. Default `false`.
   *
   * Prepared are statements with parameters, of at most 15 KiB, that are neither streams nor `unprepared`; a comment that
   * changes each time, with the id of a trace for instance, makes each text another one. What the server
   * has forgotten, or what is out of date after a change of the schema, is sent again as it is: the server had not begun to
   * execute it. Inside a transaction that is too late. After a change of the schema, one transaction may fail with
   * `cached plan must not change result type` for each text, which is why this has to be asked for.
   *
   * Behind a pooler in transaction mode leave it off, unless the pooler keeps track of prepared statements, as PgBouncer
   * does since 1.21 (`max_prepared_statements`). Where it turns out that none are kept, a warning is logged, and nothing is
   * prepared on that endpoint any more; transactions may have failed by then. The server may also choose one plan for all
   * values after five uses (`plan_cache_mode`), which can be a bad one where values are very unevenly distributed.
   */
  readonly preparedStatements?: boolean | PreparedStatementOptions | undefined
}

/**
 * Which statements are prepared.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedStatementOptions {
  /**
   * How many texts a connection remembers, of which it prepares those that are used often; the server keeps a plan of each
   * for each connection. Default 100, as with asyncpg and psycopg.
   */
  readonly max?: number | undefined
  /**
   * Which use of a text on one connection prepares it, counted from 1. Default 5, as with the JDBC driver and psycopg: what
   * is used less often is not worth a place.
   */
  readonly threshold?: number | undefined
}

/** Spelled out so that the compiler tells when sql-pg gets a setting more. */
const settings: { readonly [name in keyof PgEndpointConfig]-?: true } = {
  url: true,
  host: true,
  port: true,
  path: true,
  ssl: true,
  database: true,
  username: true,
  password: true,
  stream: true,
  idleTimeout: true,
  connectTimeout: true,
  maxConnections: true,
  minConnections: true,
  connectionTTL: true,
  applicationName: true,
  spanAttributes: true,
  transformResultNames: true,
  transformQueryNames: true,
  transformJson: true,
  types: true,
  preparedStatements: true
}

/** The names of an endpoint's settings, by which they are told from the router's options. */
export const settingNames = Object.keys(settings) as ReadonlyArray<keyof PgEndpointConfig>

/** A configuration whose URL has been read into the other settings. */
export interface Settings extends PgEndpointConfig {
  /** What the URL says beside them: `application_name`, `options`, `sslmode`, …; `undefined` without a URL. */
  readonly parameters: Parameters | undefined
}

interface Parameters {
  readonly [name: string]: string
}

/** Reads a configuration's URL, or says what is wrong with it. */
export const read = <C extends PgEndpointConfig>(
  config: C,
  path: string
): Either.Either<C & Settings, ConfigurationError> => {
  const { max, threshold } = preparedStatements(config) ?? defaultPrepared
  for (const [name, value] of Object.entries({ max, threshold })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      return Either.left(
        new ConfigurationError({
          path: path.replace(/url$/, `preparedStatements.${name}`),
          problem: `${value} is not a whole number from 1 on`
        })
      )
    }
  }
  return Either.try({
    try: () => {
      const url = config.url && parseUrl(Redacted.value(config.url))
      // Reads the files it names, which may not be there.
      if (url) sslOf(url.parameters)
      return {
        ...config,
        host: url?.host ?? config.host ?? config.path,
        port: url?.port ?? config.port,
        username: url?.username ?? config.username,
        password: url?.password ?? config.password,
        database: url?.database ?? config.database,
        parameters: url?.parameters
      }
    },
    // The message of URL's own error leaves out its input, which may hold a password.
    catch: (cause) => new ConfigurationError({ path, problem: cause instanceof Error ? cause.message : String(cause) })
  })
}

const defaultPrepared: PreparedStatementSettings = { max: 100, threshold: 5 }

/** What is to be prepared of an endpoint's statements, if anything. */
export const preparedStatements = (
  { preparedStatements: options }: PgEndpointConfig
): PreparedStatementSettings | undefined => {
  if (options === undefined || options === false) return undefined
  const { max = defaultPrepared.max, threshold = defaultPrepared.threshold } = options === true ? {} : options
  return { max, threshold }
}

/** What pg opens a connection with; throws where a certificate's file has gone since. */
export const clientConfig = (settings: Settings, access: Access, password: string | undefined): Pg.ClientConfig => {
  const { application_name: applicationName, options: ownOptions, ...parameters } = settings.parameters ?? {}
  // Options given to pg hide those of its environment.
  const options = ownOptions ?? process.env["PGOPTIONS"]
  return {
    ...parameters,
    host: settings.host,
    port: settings.port,
    user: settings.username,
    password,
    database: settings.database,
    ssl: sslOf(parameters) ?? settings.ssl,
    types: settings.types,
    application_name: applicationName ?? settings.applicationName ?? "effect-sql-router",
    options: access === "readOnly" ? `${options ?? ""} -c default_transaction_read_only=on` : options,
    ...(settings.stream && { stream: settings.stream })
  }
}

interface UrlParts extends Pick<Settings, "host" | "port" | "username" | "database"> {
  readonly password: Redacted.Redacted | undefined
  readonly parameters: Parameters
}

/** Every form that pg takes: a URL, where a host may also stand among the parameters, or `/folder/of/socket database`. */
const parseUrl = (text: string): UrlParts => {
  if (text.startsWith("/")) {
    const [host, database] = text.split(" ")
    return { host, port: undefined, username: undefined, password: undefined, database, parameters: {} }
  }
  if (!/^(socket:|[a-z][a-z0-9+.-]*:\/\/)/i.test(text)) {
    throw new Error("Not a URL such as postgres://user@host/database")
  }
  const url = new URL(withEncodedSigns(text).replace(/@(?=[/?#]|$)/, `@${noHost}`))
  const { host, password, port, user, ...rest } = Object.fromEntries(url.searchParams)
  const hostname = decodeURIComponent(url.hostname)
  const pathname = decodeURIComponent(url.pathname)
  const credentials = {
    username: user || decodeURIComponent(url.username) || undefined,
    password: toRedacted(password || decodeURIComponent(url.password))
  }
  if (url.protocol === "socket:") {
    const { db: database, encoding, ...parameters } = rest
    return {
      ...credentials,
      host: pathname,
      port: toPort(port),
      database,
      parameters: encoding === undefined ? parameters : { ...parameters, client_encoding: encoding }
    }
  }
  return {
    ...credentials,
    host: host || (hostname === noHost ? undefined : hostname.replace(/^\[(.*)\]$/, "$1") || undefined),
    port: toPort(port || url.port),
    database: pathname.slice(1) || undefined,
    parameters: rest
  }
}

/** Passwords are pasted as they are: with a `%` that encodes nothing, or a space. */
const withEncodedSigns = (text: string): string => text.replace(/%(?![0-9a-f]{2})/gi, "%25").replaceAll(" ", "%20")

/** `postgres://user@/database` leaves the host to its default; `URL` wants one after a user. */
const noHost = "default.invalid"

const toPort = (text: string | undefined): number | undefined => {
  if (!text) return undefined
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new Error(`"${text}" is not a port`)
}

const toRedacted = (text: string): Redacted.Redacted | undefined => text === "" ? undefined : Redacted.make(text)

const sslParameters = ["ssl", "sslmode", "sslcert", "sslkey", "sslrootcert", "uselibpqcompat"]

/** What `sslmode` and its companions mean is for pg to say: a client that never connects tells. */
const sslOf = (parameters: Parameters): boolean | ConnectionOptions | undefined => {
  const ssl = Object.entries(parameters).filter(([name]) => sslParameters.includes(name))
  if (ssl.length === 0) return undefined
  return new Pg.Client({ connectionString: `postgres://localhost?${new URLSearchParams(ssl)}` }).ssl
}
