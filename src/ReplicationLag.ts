/**
 * How far replicas are behind their primary: how it is measured, and from when on a replica is too far behind to be read.
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * What replicas are measured by.
 *
 * - `Positions`: the router notes where the primary is in its log, and when; a replica lags by the time since the primary
 *   was where the replica is. No clock but the router's own is read, and an idle primary makes no lag.
 * - `Counter`: the same with a number that the router raises on the primary and reads on the replicas, for servers that do
 *   not tell their position.
 * - `Reported`: the server knows better, as Aurora does.
 *
 * @since 0.1.0
 * @category models
 */
export type LagProbe =
  | { readonly _tag: "Positions" }
  | {
    readonly _tag: "Counter"
    /** Raises the number on the primary, and gives what it is now. */
    readonly raise: (primary: Connection) => Effect.Effect<bigint, SqlError>
    /** Reads it on a replica; `undefined` if it is not there yet. */
    readonly read: (replica: Connection) => Effect.Effect<bigint | undefined, SqlError>
  }
  | {
    readonly _tag: "Reported"
    /** Asks a replica how far it is behind; `undefined` if it cannot tell. */
    readonly lag: (replica: Connection) => Effect.Effect<Duration.DurationInput | undefined, SqlError>
  }

/**
 * Settings of the measuring of lag. What the `replicationLag` option of the layer says comes first, then
 * {@link CurrentReplicationLag}, then the default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicationLagOptions {
  /** How often each server is asked; each pause is up to 10 % shorter or longer. Default 1 second. */
  readonly interval?: Duration.DurationInput | undefined
  /** How long a server may take to answer; then its lag is unknown. Default 1 second. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * A replica that is measured twice in a row to be further behind takes no reads until it is less than half as far
   * behind. Default 10 seconds.
   */
  readonly maxLag?: Duration.DurationInput | undefined
  /**
   * So many replicas take reads that ask for no freshness even if all are too far behind, those that are least so; the
   * primary alone may not bear them. Default 1.
   */
  readonly minServing?: number | undefined
  /** What replicas are measured by. Default {@link positions}. */
  readonly probe?: LagProbe | undefined
}

/**
 * Lag settings for every router built below the Layer that provides them.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentReplicationLag extends Context.Reference<CurrentReplicationLag>()(
  "effect-sql-router/ReplicationLag/CurrentReplicationLag",
  { defaultValue: (): ReplicationLagOptions => ({}) }
) {}

/**
 * {@link ReplicationLagOptions} with every default filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicationLagSettings {
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly maxLag: Duration.Duration
  readonly minServing: number
  readonly probe: LagProbe
}

/**
 * Measures by the positions that servers tell of themselves.
 *
 * @since 0.1.0
 * @category probes
 */
export const positions: LagProbe = { _tag: "Positions" }

/**
 * Measures by a table of yours with one row and one column, `beat`, a `bigint`, that the router raises on the primary at
 * each interval: one small write per interval and process. `table` goes into the statements as it is.
 *
 * @example
 * ```ts
 * import { ReplicationLag } from "effect-sql-router"
 *
 * // CREATE TABLE ops.heartbeat (beat bigint NOT NULL);
 * // INSERT INTO ops.heartbeat VALUES (0);
 * const options: ReplicationLag.ReplicationLagOptions = {
 *   maxLag: "5 seconds",
 *   probe: ReplicationLag.heartbeat({ table: "ops.heartbeat" })
 * }
 * ```
 *
 * @since 0.1.0
 * @category probes
 */
export const heartbeat = ({ table }: { readonly table: string }): LagProbe => {
  const read = (connection: Connection) =>
    Effect.map(
      connection.executeUnprepared(`SELECT beat FROM ${table}`, [], undefined),
      ([row]): bigint | undefined => row === undefined ? undefined : BigInt(row.beat)
    )
  return {
    _tag: "Counter",
    raise: (primary) =>
      primary.executeUnprepared(`UPDATE ${table} SET beat = beat + 1`, [], undefined).pipe(
        Effect.zipRight(read(primary)),
        // An empty table is never raised, and no replica is ever ahead of it.
        Effect.map((beat) => beat ?? 0n)
      ),
    read
  }
}

/**
 * Measures by what a replica says itself.
 *
 * @example
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { ReplicationLag } from "effect-sql-router"
 *
 * const ofAurora = ReplicationLag.reported((replica) =>
 *   Effect.map(
 *     replica.execute(
 *       "SELECT replica_lag_in_msec AS lag FROM aurora_replica_status() WHERE server_id = aurora_db_instance_identifier()",
 *       [],
 *       undefined
 *     ),
 *     ([row]) => row === undefined ? undefined : Duration.millis(Number(row.lag))
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category probes
 */
export const reported = (
  lag: (replica: Connection) => Effect.Effect<Duration.DurationInput | undefined, SqlError>
): LagProbe => ({ _tag: "Reported", lag })

/**
 * What is measured where nothing else is said.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: ReplicationLagSettings = {
  interval: Duration.seconds(1),
  timeout: Duration.seconds(1),
  maxLag: Duration.seconds(10),
  minServing: 1,
  probe: positions
}

/**
 * How far a replica was behind when it was last measured. What may have come in since is at most `age`: the replica is
 * behind by no more than `millis + age` milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaLag {
  /** `undefined` if it is not known: that is not zero. */
  readonly millis: number | undefined
  /** The log that it still had to replay; `undefined` where bytes are not counted (GTIDs). */
  readonly bytes: bigint | undefined
  /** Milliseconds since then; it grows while the primary cannot be asked, too. */
  readonly age: number
}
