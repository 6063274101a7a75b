/**
 * What may be tried again, how often, and at what cost to the servers.
 *
 * Whether a statement *may* be repeated is not a setting: a read may that gave no row yet, a write only if it was provably
 * never sent, refused before any effect, or rolled back. These settings say how far the router goes within that.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/**
 * Settings of retries. The `retry` option of the layer comes first, then {@link CurrentRetryPolicy}, then the default.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicyOptions {
  /**
   * A statement is sent at most this often; 1 never repeats one. What could not even connect does not count: a read goes on to
   * the endpoints that are left. Default 3.
   */
  readonly maxAttempts?: number | undefined
  /**
   * How many statements may be repeated, so that servers in trouble are not asked for more than they already fail at: in
   * any `window` the share `ratio` of the statements, and `perSecond` beside. Default 0.2, 2 a second, 10 seconds.
   */
  readonly budget?: {
    readonly ratio?: number | undefined
    readonly perSecond?: number | undefined
    readonly window?: Duration.DurationInput | undefined
  } | undefined
  /**
   * How long a statement waits that lost against another transaction and is tried again where it was: a random part of
   * `first`, doubled each time up to `cap`. Default 10 ms, 200 ms.
   */
  readonly backoff?: {
    readonly first?: Duration.DurationInput | undefined
    readonly cap?: Duration.DurationInput | undefined
  } | undefined
  /**
   * Sends a read that is not answered `after` this time to a second replica too, and takes the first answer; for at
   * most the share `maxExtra` of the reads (default 0.05). `p95`: the time that 95 of 100 reads take, 5 ms at least.
   * Default off.
   */
  readonly hedge?: {
    readonly after: "p95" | Duration.DurationInput
    readonly maxExtra?: number | undefined
  } | undefined
}

/**
 * Retry settings for every router built below the Layer that provides them.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentRetryPolicy extends Context.Reference<CurrentRetryPolicy>()(
  "effect-sql-router/RetryPolicy/CurrentRetryPolicy",
  { defaultValue: (): RetryPolicyOptions => ({}) }
) {}

/**
 * {@link RetryPolicyOptions} with every default filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicySettings {
  readonly maxAttempts: number
  readonly budget: { readonly ratio: number; readonly perSecond: number; readonly window: Duration.Duration }
  readonly backoff: { readonly first: Duration.Duration; readonly cap: Duration.Duration }
  readonly hedge: { readonly after: "p95" | Duration.Duration; readonly maxExtra: number } | undefined
}

/**
 * What happens where nothing else is said. The budget is that of finagle and tower, with a smaller reserve: theirs is for
 * each process, and many processes share a few replicas.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: RetryPolicySettings = {
  maxAttempts: 3,
  budget: { ratio: 0.2, perSecond: 2, window: Duration.seconds(10) },
  backoff: { first: Duration.millis(10), cap: Duration.millis(200) },
  hedge: undefined
}
