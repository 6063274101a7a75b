import type { SqliteClientConfig } from "@effect/sql-sqlite-node/SqliteClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Endpoint } from "../../Endpoint.js"
import * as RoutingError from "../../RoutingError.js"
import { isAnonymous } from "./file.js"

/**
 * How a file is opened: the configuration of @effect/sql-sqlite-node, and how long a lock is waited for.
 *
 * A replica's file must exist, and is never put into WAL mode. `prepareCacheSize` (default 200) and `prepareCacheTTL`
 * (default 10 minutes) hold for each connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqliteEndpointConfig extends SqliteClientConfig {
  /** How long a statement waits for a lock that another process holds, before it fails. Default 5 seconds. */
  readonly busyTimeout?: Duration.DurationInput | undefined
}

type SharedSettings = Omit<SqliteEndpointConfig, "filename">

/** Spelled out so that the compiler tells when sql-sqlite-node gets a setting more. */
const shared: { readonly [name in keyof SharedSettings]-?: true } = {
  readonly: true,
  prepareCacheSize: true,
  prepareCacheTTL: true,
  disableWAL: true,
  busyTimeout: true,
  spanAttributes: true,
  transformResultNames: true,
  transformQueryNames: true
}

/** The settings that endpoints may share, by which they are told from the router's options. */
export const sharedNames = Object.keys(shared) as ReadonlyArray<keyof SharedSettings>

/** What a connection is opened with, decoded. */
export interface Settings {
  readonly filename: string
  readonly prepareCacheSize: number
  readonly prepareCacheTTL: Duration.Duration
  readonly busyTimeout: Duration.Duration
}

/** Decodes an endpoint's configuration, or fails with a `ConfigurationError` that tells the setting. */
export const decode = (
  { config, name, role }: Endpoint<SqliteEndpointConfig>
): Effect.Effect<Settings, SqlError> =>
  Effect.gen(function*() {
    const invalid = (setting: keyof SqliteEndpointConfig, problem: string) =>
      Effect.fail(RoutingError.toSqlError(
        new RoutingError.ConfigurationError({
          path: `${role === "primary" ? "primary" : `replicas.${name}`}.${setting}`,
          problem
        })
      ))
    const duration = (setting: "prepareCacheTTL" | "busyTimeout", standard: Duration.Duration) =>
      Effect.catchAll(
        Duration.decodeUnknown(config[setting] ?? standard),
        () => invalid(setting, `${String(config[setting])} is not a duration`)
      )
    const { filename, prepareCacheSize = 200 } = config
    if (isAnonymous(filename)) {
      if (role === "replica") yield* invalid("filename", "a database in memory cannot be a replica: nothing fills it")
      if (config.readonly === true) yield* invalid("readonly", "a database in memory cannot be read-only")
    }
    if (!(Number.isInteger(prepareCacheSize) && prepareCacheSize >= 0)) {
      yield* invalid("prepareCacheSize", `${prepareCacheSize} is not a whole number of at least 0`)
    }
    return {
      filename,
      prepareCacheSize,
      prepareCacheTTL: yield* duration("prepareCacheTTL", Duration.minutes(10)),
      busyTimeout: yield* duration("busyTimeout", Duration.seconds(5))
    }
  })
