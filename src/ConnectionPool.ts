/**
 * The pool: how many connections an endpoint has, who waits for one, and when one ends. It is the same for every
 * driver, and all its time goes through Effect's `Clock`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/**
 * Settings of a pool. What an endpoint's driver configuration says (`maxConnections`, `idleTimeout`, …) comes first,
 * then the `pool` option of the layer, then {@link CurrentConnectionPoolOptions}, then the default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolOptions {
  /** Most connections open at once. Default 10. */
  readonly max?: number | undefined
  /** Connections kept open even when idle. Default 0. */
  readonly min?: number | undefined
  /** Most connections being opened at once, so that a server coming back is not stormed. Default 2. */
  readonly maxConnecting?: number | undefined
  /**
   * Longest wait for a connection of one endpoint, opening it included; a read that finds none goes on to the next
   * endpoint and waits there anew. Default 5 seconds.
   */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /** Longest time that opening one connection may take. Default 5 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * Most borrowers that may wait at once for others to give a connection back, beside those for whom one can be opened;
   * one more fails at once. Default unlimited.
   */
  readonly maxWaiters?: number | undefined
  /** A connection unused for this long is closed, down to `min`. Default 10 minutes. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * A connection older than this is closed as soon as nobody uses it. Each one gets up to 10 % less, so that those
   * opened together do not expire together. Default 30 minutes.
   */
  readonly maxLifetime?: Duration.DurationInput | undefined
}

/**
 * Pool settings for every router built below the Layer that provides them.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentConnectionPoolOptions extends Context.Reference<CurrentConnectionPoolOptions>()(
  "effect-sql-router/ConnectionPool/CurrentConnectionPoolOptions",
  { defaultValue: (): ConnectionPoolOptions => ({}) }
) {}

/**
 * {@link ConnectionPoolOptions} with every default filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolSettings {
  readonly max: number
  readonly min: number
  readonly maxConnecting: number
  readonly acquireTimeout: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly maxWaiters: number
  readonly idleTimeout: Duration.Duration
  readonly maxLifetime: Duration.Duration
}

/**
 * What a pool does where nothing else is said.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: ConnectionPoolSettings = {
  max: 10,
  min: 0,
  maxConnecting: 2,
  acquireTimeout: Duration.seconds(5),
  connectTimeout: Duration.seconds(5),
  maxWaiters: Number.POSITIVE_INFINITY,
  idleTimeout: Duration.minutes(10),
  maxLifetime: Duration.minutes(30)
}

/**
 * Why a pool closed a connection.
 *
 * @since 0.1.0
 * @category models
 */
export type CloseReason = "idle" | "lifetime" | "lost" | "unusable" | "shutdown"

/**
 * What a pool has done and holds now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionPoolStats {
  readonly endpoint: string
  /** `readers` where the primary lends its reads connections of their own. */
  readonly lane: "main" | "readers"
  readonly max: number
  readonly active: number
  readonly idle: number
  readonly connecting: number
  readonly waiting: number
  readonly created: number
  readonly acquired: number
  readonly timeouts: number
  readonly connectFailures: number
  readonly closed: { readonly [reason in CloseReason]: number }
}
