import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { ConnectedEndpoint, ConnectionHooks } from "../ConnectionHooks.js"
import { CurrentConnectionHooks } from "../ConnectionHooks.js"
import { invalid } from "./configuration.js"
import { ConnectionBudget } from "./connectionBudget.js"
import * as Endpoints from "./endpoints.js"
import * as Hooks from "./hooks.js"

/** What all pools of a router have in common. */
export interface Pooling {
  readonly budget: ConnectionBudget | undefined
  readonly hooksFor: (target: ConnectedEndpoint) => Hooks.PoolHooks
  /** Fails if some pool could never have a connection; to be asked when a pool has joined. */
  readonly check: Effect.Effect<void, SqlError>
}

export const make = (options: {
  readonly maxTotalConnections?: number | undefined
  readonly hooks?: ConnectionHooks | undefined
}): Effect.Effect<Pooling, SqlError> =>
  Effect.gen(function*() {
    const { maxTotalConnections } = options
    const hooks = options.hooks ?? (yield* CurrentConnectionHooks)
    const timeout = yield* Endpoints.duration("hooks.timeout", hooks.timeout ?? Hooks.defaultTimeout)
    if (maxTotalConnections !== undefined && !(Number.isInteger(maxTotalConnections) && maxTotalConnections >= 1)) {
      yield* invalid("maxTotalConnections", `${maxTotalConnections} is not a whole number of at least 1`)
    }
    const budget = maxTotalConnections === undefined ? undefined : new ConnectionBudget(maxTotalConnections)
    return {
      budget,
      hooksFor: (target) => Hooks.make(hooks, timeout, target),
      check: Effect.suspend(() =>
        budget?.problem === undefined ? Effect.void : invalid("maxTotalConnections", budget.problem)
      )
    }
  })
