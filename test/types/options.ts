import type { ConnectionPoolOptions } from "effect-sql-router/ConnectionPool"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RouterOptions } from "effect-sql-router/RoutedSqlClient"
import { type Equal, isTrue } from "./assert.js"

const primary = { host: "p" }

/** The names of the options that may not be given as `undefined`, which is what an unset variable is. */
type RefusesUndefined<Options> = {
  readonly [Name in keyof Options]-?: undefined extends Options[Name] ? never : Name
}[keyof Options]

// With `exactOptionalPropertyTypes` an option that is left out and one that is `undefined` are two things: both are taken.
isTrue<Equal<RefusesUndefined<RouterOptions>, never>>()
isTrue<Equal<RefusesUndefined<ConnectionPoolOptions>, never>>()
isTrue<Equal<RefusesUndefined<ReadConsistency.ReadConsistencyOptions>, never>>()
declare const maybe: {
  readonly max: number | undefined
  readonly strategy: ReplicaStrategy.ReplicaStrategy | undefined
  readonly host: string | undefined
  readonly name: string | undefined
}
RoutedPgClient.layer({
  name: maybe.name,
  primary: { host: maybe.host },
  replicas: undefined,
  pool: { max: maybe.max },
  strategy: maybe.strategy,
  consistency: { level: undefined, ttl: undefined },
  rules: undefined,
  databases: undefined
})

// Times are durations, strategies and levels values.
RoutedPgClient.layer({
  primary,
  replicas: { replica1: { host: "r1", weight: 3, zone: "a" } },
  strategy: ReplicaStrategy.weighted,
  shutdownTimeout: "5 seconds",
  transactions: { crossDatabase: "pin", commitTimeout: 1000, resolveCommits: true },
  consistency: { level: ReadConsistency.boundedStaleness("2 seconds"), mode: "ttl" }
})
// @ts-expect-error: no such level
RoutedPgClient.layer({ primary, consistency: { level: { _tag: "Quorum" } } })
// @ts-expect-error: a strategy is a value, not a name
RoutedPgClient.layer({ primary, strategy: "weighted" })
// @ts-expect-error: no time in words
RoutedPgClient.layer({ primary, shutdownTimeout: "soon" })
// @ts-expect-error: a Database needs a primary
RoutedPgClient.layer({ primary, databases: { archive: { replicas: {} } } })
// @ts-expect-error: there is no such option
RoutedPgClient.layer({ primary, replica: {} })
// @ts-expect-error: of several primaries there is at least one
RoutedPgClient.layer({ primary: [] })
RoutedPgClient.layer({ primary: [primary, { host: "p2", weight: 2 }] })

// A strategy's state is of whatever type it begins with.
ReplicaStrategy.make({
  name: "inTurn",
  initial: { turn: 0 },
  choose: ({ turn }, candidates) => [turn % candidates.length, { turn: turn + 1 }]
})
ReplicaStrategy.make({
  name: "inTurn",
  initial: 0,
  // @ts-expect-error: a state has one type
  choose: (turn, candidates) => [turn % candidates.length, String(turn)]
})

// What wraps a strategy is called or piped.
const wrapped = [
  ReplicaStrategy.withLocality(ReplicaStrategy.ewma, ["a"]),
  ReplicaStrategy.withSubset(2)(ReplicaStrategy.leastLatency({ ttl: "1 second" }))
] as const
isTrue<Equal<(typeof wrapped)[number], ReplicaStrategy.ReplicaStrategy>>()
