import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ConnectionPool from "../ConnectionPool.js"
import type { Endpoint, EndpointOptions } from "../Endpoint.js"
import type { DatabaseEndpoints } from "../RoutedSqlClient.js"
import * as RoutingError from "../RoutingError.js"

/**
 * The endpoints that a layer's options describe. Shared settings lie under each endpoint's own; a key that is
 * `undefined` in the endpoint does not hide the shared one.
 */
export const fromOptions = <Config extends object>(
  database: DatabaseEndpoints<Config>,
  shared: Partial<Config>
): ReadonlyArray<Endpoint<Config>> => {
  const name = database.name ?? "main"
  const endpoint = (endpointName: string, role: Endpoint["role"], own: Config & EndpointOptions): Endpoint<Config> => {
    const { weight, zone, ...config } = own
    return {
      database: name,
      name: endpointName,
      role,
      weight: weight ?? 1,
      zone,
      // `own` is a whole Config without the two options, and `shared` a part of one.
      config: { ...shared, ...withoutUndefined(config) } as unknown as Config
    }
  }
  return [
    endpoint("primary", "primary", database.primary),
    ...Object.entries(database.replicas ?? {}).map(([name, own]) => endpoint(name, "replica", own))
  ]
}

const withoutUndefined = (record: object): object =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

const invalid = (path: string, problem: string): Effect.Effect<never, SqlError> =>
  Effect.fail(RoutingError.toSqlError(new RoutingError.ConfigurationError({ path, problem })))

/** Finds what is wrong with the endpoints before any is connected to. */
export const validate = (endpoints: ReadonlyArray<Endpoint>): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const names = new Set<string>()
    for (const { name, role, weight } of endpoints) {
      const path = role === "primary" ? "primary" : `replicas.${name}`
      if (name === "") yield* invalid("replicas", "a replica needs a name")
      if (names.has(name)) yield* invalid(path, `the name "${name}" is taken by another endpoint`)
      names.add(name)
      if (!(Number.isFinite(weight) && weight >= 0)) {
        yield* invalid(`${path}.weight`, `${weight} is not a finite number of at least 0`)
      }
    }
  })

/** A time that may have been given as nonsense. */
export const duration = (path: string, input: unknown): Effect.Effect<Duration.Duration, SqlError> => {
  const decoded = Duration.decodeUnknown(input)
  return decoded._tag === "Some" ? Effect.succeed(decoded.value) : invalid(path, `${String(input)} is not a duration`)
}

/** A pool's settings: what comes first in `sources` wins, and what none of them says is the default. */
export const poolSettings = (
  endpoint: string,
  ...sources: ReadonlyArray<ConnectionPool.ConnectionPoolOptions>
): Effect.Effect<ConnectionPool.ConnectionPoolSettings, SqlError> =>
  Effect.gen(function*() {
    const merged = { ...ConnectionPool.defaults, ...Object.assign({}, ...sources.toReversed().map(withoutUndefined)) }
    const at = (key: string) => `the pool of ${endpoint}: ${key}`
    const count = (key: "max" | "min" | "maxConnecting" | "maxWaiters", least: number) =>
      merged[key] >= least && (Number.isInteger(merged[key]) || merged[key] === Number.POSITIVE_INFINITY)
        ? Effect.succeed(merged[key])
        : invalid(at(key), `${merged[key]} is not a whole number of at least ${least}`)
    const time = (key: "acquireTimeout" | "connectTimeout" | "idleTimeout" | "maxLifetime") => {
      const decoded = Duration.decodeUnknown(merged[key])
      return decoded._tag === "Some" && Duration.greaterThan(decoded.value, Duration.zero)
        ? Effect.succeed(decoded.value)
        : invalid(at(key), `${String(merged[key])} is not a duration of more than 0`)
    }
    const settings: ConnectionPool.ConnectionPoolSettings = {
      max: yield* count("max", 1),
      min: yield* count("min", 0),
      maxConnecting: yield* count("maxConnecting", 1),
      maxWaiters: yield* count("maxWaiters", 0),
      acquireTimeout: yield* time("acquireTimeout"),
      connectTimeout: yield* time("connectTimeout"),
      idleTimeout: yield* time("idleTimeout"),
      maxLifetime: yield* time("maxLifetime")
    }
    return settings.min > settings.max
      ? yield* invalid(at("min"), `${settings.min} is more than max, ${settings.max}`)
      : settings
  })
