import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ConnectionPool from "../ConnectionPool.js"
import type { Endpoint, EndpointOptions } from "../Endpoint.js"
import type { DatabaseEndpoints, DatabasePolicies, OtherDatabases } from "../RoutedSqlClient.js"
import * as RoutingError from "../RoutingError.js"
import { invalid, merged, withoutUndefined } from "./configuration.js"

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
    ...primariesOf(database).map((own, i) => endpoint(primaryName(i), "primary", own)),
    ...Object.entries(database.replicas ?? {}).map(([name, own]) => endpoint(name, "replica", own))
  ]
}

type Own<Config> = Config & EndpointOptions

/** The endpoints that may be the primary, the one first that is believed to be. */
export const primariesOf = <Config>(
  { primary }: Pick<DatabaseEndpoints<Config>, "primary">
): readonly [Own<Config>, ...ReadonlyArray<Own<Config>>] =>
  // A configuration is never an array itself, which the compiler cannot know.
  Array.isArray(primary) ? primary as unknown as [Own<Config>] : [primary as Own<Config>]

/** `primary`, `primary2` and so on. */
export const primaryName = (index: number): string => index === 0 ? "primary" : `primary${index + 1}`

/** A Database as options describe it: where it stands in them, and what it shares with those beside it. */
export interface DatabaseOptions<Config> {
  readonly path: string
  readonly database: DatabaseEndpoints<Config>
  readonly shared: Partial<Config>
  readonly policies: DatabasePolicies
}

/** The Databases that a layer's options describe, the default one first; `pick` takes a driver's settings out of them. */
export const databases = <Config extends object>(
  options: DatabaseEndpoints<Config> & OtherDatabases<Config>,
  pick: (options: object) => Partial<Config>
): Either.Either<
  readonly [DatabaseOptions<Config>, ...ReadonlyArray<DatabaseOptions<Config>>],
  RoutingError.ConfigurationError
> => {
  const shared = pick(options)
  const all: readonly [DatabaseOptions<Config>, ...ReadonlyArray<DatabaseOptions<Config>>] = [
    { path: "", database: options, shared, policies: {} },
    ...Object.entries(options.databases ?? {}).map((
      [name, { health, pool, primary, primaryReadWeight, replicas, replicationLag, retry, strategy, ...own }]
    ) => ({
      path: `databases.${name}.`,
      database: { name, primary, replicas },
      // What is left of a Database's options beside its endpoints and policies are its driver's settings.
      shared: { ...shared, ...withoutUndefined(own) } as Partial<Config>,
      policies: { health, pool, primaryReadWeight, replicationLag, retry, strategy }
    }))
  ]
  const without = all.find(({ database }) => primariesOf(database).length === 0)
  return without === undefined
    ? Either.right(all)
    : Either.left(new RoutingError.ConfigurationError({ path: `${without.path}primary`, problem: "there is none" }))
}

/** Finds what is wrong with Databases, each given by its endpoints, before any is connected to. */
export const validateDatabases = (
  databases: ReadonlyArray<ReadonlyArray<Endpoint>>
): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const names = new Set<string>()
    for (const endpoints of databases) {
      const name = endpoints[0]!.database
      if (name === "") yield* invalid("databases", "a database needs a name")
      if (names.has(name)) yield* invalid(`databases.${name}`, `the name "${name}" is taken by another database`)
      names.add(name)
      yield* validate(endpoints)
    }
  })

/** Finds what is wrong with the endpoints before any is connected to. */
export const validate = (endpoints: ReadonlyArray<Endpoint>): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const names = new Set<string>()
    for (const { name, role, weight } of endpoints) {
      const path = role === "primary" ? name : `replicas.${name}`
      if (name === "") yield* invalid("replicas", "a replica needs a name")
      if (names.has(name)) yield* invalid(path, `the name "${name}" is taken by another endpoint`)
      names.add(name)
      yield* checkWeight(`${path}.weight`, weight)
    }
  })

/** A share of the reads that may have been given as nonsense. */
export const checkWeight = (path: string, weight: number): Effect.Effect<number, SqlError> =>
  Number.isFinite(weight) && weight >= 0
    ? Effect.succeed(weight)
    : invalid(path, `${weight} is not a finite number of at least 0`)

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
    const given = merged(ConnectionPool.defaults, sources)
    const at = (key: string) => `the pool of ${endpoint}: ${key}`
    const count = (key: "max" | "min" | "maxConnecting" | "maxWaiters", least: number) =>
      given[key] >= least && (Number.isInteger(given[key]) || given[key] === Number.POSITIVE_INFINITY)
        ? Effect.succeed(given[key])
        : invalid(at(key), `${given[key]} is not a whole number of at least ${least}`)
    const time = (
      key:
        | "acquireTimeout"
        | "connectTimeout"
        | "idleTimeout"
        | "maxLifetime"
        | "healthCheckInterval"
        | "validateAfterIdle"
        | "leakWarning"
    ) => {
      const decoded = Duration.decodeUnknown(given[key])
      return decoded._tag === "Some" && Duration.greaterThan(decoded.value, Duration.zero)
        ? Effect.succeed(decoded.value)
        : invalid(at(key), `${String(given[key])} is not a duration of more than 0`)
    }
    const settings: ConnectionPool.ConnectionPoolSettings = {
      max: yield* count("max", 1),
      min: yield* count("min", 0),
      maxConnecting: yield* count("maxConnecting", 1),
      maxWaiters: yield* count("maxWaiters", 0),
      acquireTimeout: yield* time("acquireTimeout"),
      connectTimeout: yield* time("connectTimeout"),
      idleTimeout: yield* time("idleTimeout"),
      maxLifetime: yield* time("maxLifetime"),
      healthCheckInterval: yield* time("healthCheckInterval"),
      validateAfterIdle: yield* time("validateAfterIdle"),
      leakWarning: yield* time("leakWarning")
    }
    return settings.min > settings.max
      ? yield* invalid(at("min"), `${settings.min} is more than max, ${settings.max}`)
      : settings
  })
