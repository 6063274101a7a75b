/** What all options have in common: who comes first, and what is said of one that is wrong. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as RoutingError from "../RoutingError.js"

/** What is wrong with a setting, and where it stands. */
export const configurationError = (path: string, problem: string): SqlError =>
  RoutingError.toSqlError(new RoutingError.ConfigurationError({ path, problem }))

export const invalid = (path: string, problem: string): Effect.Effect<never, SqlError> =>
  Effect.fail(configurationError(path, problem))

/** So that a key which is `undefined` hides nothing. */
export const withoutUndefined = (record: object): object =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

/** What comes first in `sources` wins, and what none of them says is the default. */
export const merged = <Settings extends object>(defaults: Settings, sources: ReadonlyArray<object>): Settings => ({
  ...defaults,
  ...Object.assign({}, ...sources.toReversed().map(withoutUndefined))
})
