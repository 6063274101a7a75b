import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { ConnectionOptions } from "node:tls"
import * as Pg from "pg"
import type { Access } from "../../Endpoint.js"
import { ConfigurationError } from "../../RoutingError.js"

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
  types: true
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
): Either.Either<C & Settings, ConfigurationError> =>
  Either.try({
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
