/**
 * When an endpoint is taken out of service, and how it comes back: a circuit breaker for each replica, and who takes
 * the writes when servers change roles.
 *
 * Errors are evidence, each as the driver reads it. *Hard* evidence (connection refused, server shutting down) opens a
 * replica's breaker at once; *soft* evidence (a connection lost in the middle, a timeout) only when it repeats. An open
 * replica gets no statement until its cooldown is over and one probe, on a connection of its own, has found it well: no
 * user's statement is ever the trial.
 *
 * The primary is never closed for writes. Where it cannot be connected to, writes fail at once with that error for 250 ms,
 * and are then tried again.
 *
 * **Roles.** Servers are asked what they are. When the primary refuses writes, cannot be connected to, or another server
 * claims its role, all endpoints are asked at once, and the one that takes writes becomes the primary. A replica counts only
 * if it was seen as a replica before, that is, if it was *promoted*: one that always accepted writes (a MySQL replica
 * without `read_only`) stays the replica it is configured as. Two servers that both take writes are never chosen between:
 * writes fail with `SplitBrain` until one of them steps down or is quarantined. Not even a higher timeline settles
 * it, for it tells which was promoted last, and not that nobody writes to the other. A claim ends when its server
 * says that it is a replica, or when a server that was promoted later is the only one to take writes; it does not end by
 * being unreachable.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { Role } from "./Endpoint.js"

/**
 * Settings of a database's health. The `health` option of the layer comes first, then {@link CurrentReplicaHealth}, then
 * the default.
 *
 * @example
 * ```ts
 * import { Schedule } from "effect"
 * import { ReplicaHealth } from "effect-sql-router"
 *
 * const patient: ReplicaHealth.ReplicaHealthOptions = {
 *   cooldown: Schedule.spaced("30 seconds"),
 *   whenNoneLeft: "fail"
 * }
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaHealthOptions {
  /**
   * How long a replica is out of service before a probe tries it: the schedule's nth delay for the nth time in a row,
   * its last one for ever if it ends. It must give its delays without waiting for anything, at least 100 ms each. Too many
   * connections count for at most 5 seconds, a wrong configuration (password, database name) for at least 30. Default
   * exponential from 1 second to 60, half of it random.
   */
  readonly cooldown?: Schedule.Schedule<unknown, SqlError> | undefined
  /** One trip is forgiven for each such time in service: the next cooldown is that much shorter. Default 30 seconds. */
  readonly healthyAfter?: Duration.DurationInput | undefined
  /** So many soft failures in a row open the breaker. Default 3. */
  readonly softFailures?: number | undefined
  /** A share of successes below this opens the breaker, at the next soft failure. Default 0.8. */
  readonly minSuccessRate?: number | undefined
  /** The time that `minSuccessRate` looks back. Default 30 seconds. */
  readonly successWindow?: Duration.DurationInput | undefined
  /** The fewest statements in that time that tell anything. Default 5. */
  readonly minSamples?: number | undefined
  /**
   * The largest share of a database's replicas that may be out of service before soft evidence takes out no more (but at
   * least one, unless it is 0): what all of them suffer from, none of them is to blame for. Hard evidence always counts. Default 0.5.
   */
  readonly maxEjected?: number | undefined
  /**
   * How often an endpoint is asked for its role, on a connection of its own; put off, five times at most, while statements
   * on it succeed. `Duration.infinity`: never, but for trials and failovers. A database with a single endpoint is
   * probed only while it cannot be connected to. Default 5 seconds.
   */
  readonly probeInterval?: Duration.DurationInput | undefined
  /** A probe that takes longer, connecting included, failed. Default 1 second. */
  readonly probeTimeout?: Duration.DurationInput | undefined
  /** The share by which an interval may be longer or shorter, so that processes do not probe in step. Default 0.2. */
  readonly probeJitter?: number | undefined
  /**
   * Where reads go when no replica may take them: to the `primary`; to all replicas that nobody took out by hand, well or
   * not, those first that failed longest ago (`panic`); nowhere: they `fail`. Default `primary`.
   */
  readonly whenNoneLeft?: "primary" | "panic" | "fail" | undefined
  /** The largest share of the primary's pool that reads may use which were meant for replicas. Default 0.5. */
  readonly primaryReadShare?: number | undefined
  /** How long all endpoints are asked every 100 ms who takes writes now; then at `probeInterval`. Default 10 seconds. */
  readonly failoverTimeout?: Duration.DurationInput | undefined
  /**
   * How long a write that was certainly not sent waits for a primary, instead of failing. It holds no connection
   * meanwhile. Default 0: it fails.
   */
  readonly awaitPrimary?: Duration.DurationInput | undefined
}

/**
 * Health settings for every router built below the Layer that provides them.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentReplicaHealth extends Context.Reference<CurrentReplicaHealth>()(
  "effect-sql-router/ReplicaHealth/CurrentReplicaHealth",
  { defaultValue: (): ReplicaHealthOptions => ({}) }
) {}

/**
 * {@link ReplicaHealthOptions} with every default filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaHealthSettings {
  readonly cooldown: Schedule.Schedule<unknown, SqlError>
  readonly healthyAfter: Duration.Duration
  readonly softFailures: number
  readonly minSuccessRate: number
  readonly successWindow: Duration.Duration
  readonly minSamples: number
  readonly maxEjected: number
  readonly probeInterval: Duration.Duration
  readonly probeTimeout: Duration.Duration
  readonly probeJitter: number
  readonly whenNoneLeft: "primary" | "panic" | "fail"
  readonly primaryReadShare: number
  readonly failoverTimeout: Duration.Duration
  readonly awaitPrimary: Duration.Duration
}

/**
 * What happens where nothing else is said. The equal jitter is finagle's, the soft thresholds too; half-open with a
 * single trial is Hystrix's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaults: ReplicaHealthSettings = {
  cooldown: Schedule.exponential("1 second").pipe(
    Schedule.union(Schedule.spaced("60 seconds")),
    Schedule.jitteredWith({ min: 0.5, max: 1 })
  ),
  healthyAfter: Duration.seconds(30),
  softFailures: 3,
  minSuccessRate: 0.8,
  successWindow: Duration.seconds(30),
  minSamples: 5,
  maxEjected: 0.5,
  probeInterval: Duration.seconds(5),
  probeTimeout: Duration.seconds(1),
  probeJitter: 0.2,
  whenNoneLeft: "primary",
  primaryReadShare: 0.5,
  failoverTimeout: Duration.seconds(10),
  awaitPrimary: Duration.zero
}

/**
 * Whether an endpoint may serve what it is there for (reads, if it is a replica), and why.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verdict {
  readonly available: boolean
  /** In a few words, e.g. `open until 12:00:31 (connection refused)`. */
  readonly why: string
  /** Until when it is out of service, in milliseconds since 1970; `undefined` where no time is set. */
  readonly untilMillis: number | undefined
}

/**
 * How one endpoint is, and what was seen of it since the Layer was built.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointHealth extends Verdict {
  readonly endpoint: string
  /** What it is used as now; for the role it claims otherwise, see `why`. */
  readonly role: Role
  readonly state: "closed" | "open" | "trial" | "drained" | "quarantined"
  /** Since when it is in that state, in milliseconds since 1970; `undefined` if it was never in another. */
  readonly sinceMillis: number | undefined
  readonly lastError: SqlError | undefined
  readonly successes: number
  /** Those that speak against it; a statement's own error does not. */
  readonly failures: number
  readonly probes: { readonly succeeded: number; readonly failed: number }
}
