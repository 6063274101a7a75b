/**
 * Effects that run as connections come and go: to prepare the session of a new connection, to warn, to count, to fetch
 * what connecting needs.
 *
 * They run in the pool's own fibers, never in a borrower's, and each has {@link ConnectionHooks.timeout} to end.
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Access, Role } from "./Endpoint.js"

/**
 * The endpoint that a connection leads to.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectedEndpoint {
  readonly database: string
  readonly endpoint: string
  readonly role: Role
  /** Whether the connection is opened so that the server refuses writes on it. */
  readonly access: Access
}

/**
 * What to do as connections come and go; what is left out does nothing.
 *
 * Only `afterConnect` decides about a connection. A failure, defect or timeout of the others is logged as a warning, and
 * the connection goes its way.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionHooks<out R = never> {
  /** Before every attempt to connect. */
  readonly beforeConnect?: ((target: ConnectedEndpoint) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Prepares a new connection before anybody gets it. If it fails, so does the attempt to connect, with this error as
   * its cause, and the connection is destroyed.
   */
  readonly afterConnect?:
    | ((connection: Connection, target: ConnectedEndpoint) => Effect.Effect<unknown, SqlError, R>)
    | undefined
  /**
   * Before an attempt that follows a failed attempt, or the loss of a connection; after `beforeConnect`. `attempt` counts
   * from 1 since a connection was last opened.
   */
  readonly beforeReconnect?:
    | ((attempt: number, target: ConnectedEndpoint) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /** When such an attempt has succeeded; after `afterConnect`. */
  readonly afterReconnect?:
    | ((connection: Connection, target: ConnectedEndpoint) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /** When an attempt has failed. `attempt` counts from 1 since a connection was last opened. */
  readonly onConnectionFailure?:
    | ((error: SqlError, attempt: number, target: ConnectedEndpoint) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /**
   * Before the pool says good-bye to an idle connection. A connection that was lost, or is destroyed, ends without it.
   */
  readonly beforeClose?:
    | ((connection: Connection, target: ConnectedEndpoint) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /** How long each of them may take. Default 5 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * The hooks of every router built below the Layer that provides them, unless its `hooks` option says otherwise.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentConnectionHooks extends Context.Reference<CurrentConnectionHooks>()(
  "effect-sql-router/ConnectionHooks/CurrentConnectionHooks",
  { defaultValue: (): ConnectionHooks => ({}) }
) {}

/**
 * Hooks with the services that they need.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { ConnectionHooks } from "effect-sql-router"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 *
 * const Database = RoutedPgClient.layer({ primary: { url: Redacted.make("postgres://app@primary/app") } }).pipe(
 *   Layer.provide(ConnectionHooks.layer({
 *     afterConnect: (connection) => connection.executeUnprepared("SET search_path TO app", [], undefined),
 *     onConnectionFailure: (error, attempt, { endpoint }) =>
 *       Effect.logWarning(`Attempt ${attempt} to connect to ${endpoint} failed: ${error.message}`)
 *   }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(hooks: ConnectionHooks<R>): Layer.Layer<never, never, R> =>
  Layer.effect(
    CurrentConnectionHooks,
    Effect.map(Effect.context<R>(), (context) => provide(hooks, context))
  ) as Layer.Layer<never, never, R>

const provide = <R>(hooks: ConnectionHooks<R>, context: Context.Context<R>): ConnectionHooks => {
  const provided = <Args extends ReadonlyArray<unknown>, E>(
    hook: ((...args: Args) => Effect.Effect<unknown, E, R>) | undefined
  ) => hook && ((...args: Args) => Effect.provide(Effect.suspend(() => hook(...args)), context))
  return {
    beforeConnect: provided(hooks.beforeConnect),
    afterConnect: provided(hooks.afterConnect),
    beforeReconnect: provided(hooks.beforeReconnect),
    afterReconnect: provided(hooks.afterReconnect),
    onConnectionFailure: provided(hooks.onConnectionFailure),
    beforeClose: provided(hooks.beforeClose),
    timeout: hooks.timeout
  }
}
