import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConnectedEndpoint, ConnectionHooks } from "../ConnectionHooks.js"
import * as RoutingError from "../RoutingError.js"

type Name = Exclude<keyof ConnectionHooks, "timeout">

/** The hooks of one pool: bounded in time, and failing only where that is meant. */
export interface PoolHooks {
  readonly beforeConnect: Effect.Effect<void>
  readonly afterConnect: (connection: Connection) => Effect.Effect<void, SqlError>
  readonly beforeReconnect: (attempt: number) => Effect.Effect<void>
  readonly afterReconnect: (connection: Connection) => Effect.Effect<void>
  readonly onConnectionFailure: (error: SqlError, attempt: number) => Effect.Effect<void>
  /** `undefined` where nobody wants to know. */
  readonly beforeClose: ((connection: Connection) => Effect.Effect<void>) | undefined
}

export const defaultTimeout = Duration.seconds(5)

/** For connections that are nobody's but the router's. */
export const none: PoolHooks = {
  beforeConnect: Effect.void,
  afterConnect: () => Effect.void,
  beforeReconnect: () => Effect.void,
  afterReconnect: () => Effect.void,
  onConnectionFailure: () => Effect.void,
  beforeClose: undefined
}

export const make = (hooks: ConnectionHooks, timeout: Duration.Duration, target: ConnectedEndpoint): PoolHooks => {
  const failed = (hook: Name, reason: "timeout" | "defect", cause: unknown): SqlError => {
    const { database, endpoint } = target
    return RoutingError.toSqlError(new RoutingError.ConnectionHookFailed({ reason, hook, database, endpoint, cause }))
  }
  const bounded = <E>(name: Name, hook: () => Effect.Effect<unknown, E>): Effect.Effect<void, E | SqlError> =>
    Effect.asVoid(Effect.timeoutFail(
      // What it does uninterruptibly goes on without the pool.
      Effect.disconnect(Effect.interruptible(Effect.suspend(hook))),
      { duration: timeout, onTimeout: () => failed(name, "timeout", undefined) }
    ))
  const told = (name: Name, hook: () => Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
    Effect.catchAllCause(bounded(name, hook), (cause) =>
      Effect.annotateLogs(
        Effect.logWarning(
          `The hook ${name} failed for endpoint ${target.endpoint} of database "${target.database}"`,
          cause
        ),
        { hook: name, ...target }
      ))
  const { afterConnect, afterReconnect, beforeClose, beforeConnect, beforeReconnect, onConnectionFailure } = hooks
  return {
    beforeConnect: beforeConnect === undefined
      ? Effect.void
      : told("beforeConnect", () => beforeConnect(target)),
    afterConnect: (connection) =>
      afterConnect === undefined
        ? Effect.void
        : Effect.catchAllCause(
          bounded("afterConnect", () => afterConnect(connection, target)),
          (cause) =>
            Option.isSome(Cause.dieOption(cause))
              ? Effect.fail(failed("afterConnect", "defect", Cause.squash(cause)))
              : Effect.failCause(cause)
        ),
    beforeReconnect: (attempt) =>
      beforeReconnect === undefined
        ? Effect.void
        : told("beforeReconnect", () => beforeReconnect(attempt, target)),
    afterReconnect: (connection) =>
      afterReconnect === undefined
        ? Effect.void
        : told("afterReconnect", () => afterReconnect(connection, target)),
    onConnectionFailure: (error, attempt) =>
      onConnectionFailure === undefined
        ? Effect.void
        : told("onConnectionFailure", () => onConnectionFailure(error, attempt, target)),
    beforeClose: beforeClose && ((connection) => told("beforeClose", () => beforeClose(connection, target)))
  }
}
