/**
 * What happened in routing, beside the statements themselves: breakers, roles, failovers, retries. Plain data; the
 * source of metrics, span events and logs.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type { LostWriteSuspected } from "./ConsistencyToken.js"
import type { Role } from "./Endpoint.js"
import type { ConsistencyFallback, PlanConsistency } from "./Plan.js"
import type { ReplicaLag } from "./ReplicationLag.js"
import type { RouteDecision } from "./RouteDecision.js"

interface OfDatabase {
  readonly database: string
}

interface OfEndpoint extends OfDatabase {
  readonly endpoint: string
}

/**
 * A replica was taken out of service by what was seen of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface BreakerOpened extends OfEndpoint {
  readonly _tag: "BreakerOpened"
  readonly evidence: "soft" | "hard"
  readonly error: SqlError
  /** How often in a row it was taken out; one is forgiven for each `healthyAfter` in service. */
  readonly trips: number
  /** How long until a probe tries it. */
  readonly cooldown: Duration.Duration
}

/**
 * The cooldown of a replica is over, and one probe is on its way to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface TrialStarted extends OfEndpoint {
  readonly _tag: "TrialStarted"
  readonly trips: number
}

/**
 * A replica is back in service.
 *
 * @since 0.1.0
 * @category models
 */
export interface BreakerClosed extends OfEndpoint {
  readonly _tag: "BreakerClosed"
  /** How long it was out of service. */
  readonly after: Duration.Duration
}

/**
 * Soft evidence would have taken a replica out of service, but too many are out already.
 *
 * @since 0.1.0
 * @category models
 */
export interface EjectionWithheld extends OfEndpoint {
  readonly _tag: "EjectionWithheld"
  readonly error: SqlError
}

/**
 * Somebody took an endpoint out of service by hand.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointHeld extends OfEndpoint {
  readonly _tag: "EndpointHeld"
  readonly by: "drain" | "quarantine"
}

/**
 * Somebody gave an endpoint back that had been taken out of service by hand.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointReleased extends OfEndpoint {
  readonly _tag: "EndpointReleased"
}

/**
 * A probe failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProbeFailed extends OfEndpoint {
  readonly _tag: "ProbeFailed"
  readonly error: SqlError
}

/**
 * No replica may take reads any more, or at least one may again.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicasChanged extends OfDatabase {
  readonly _tag: "ReplicasExhausted" | "ReplicasRestored"
}

/**
 * A server says that it is in another role than it was.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoleChanged extends OfEndpoint {
  readonly _tag: "RoleChanged"
  readonly from: Role
  readonly to: Role
}

/**
 * The writes of a database go to another endpoint from now on.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrimaryChanged extends OfDatabase {
  readonly _tag: "PrimaryChanged"
  readonly from: string
  readonly to: string
}

/**
 * The primary cannot be connected to, or refuses writes, and no other endpoint takes them.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrimaryLost extends OfEndpoint {
  readonly _tag: "PrimaryLost"
  readonly reason: "unreachable" | "demoted" | "quarantined"
}

/**
 * The primary takes writes again.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrimaryRestored extends OfEndpoint {
  readonly _tag: "PrimaryRestored"
}

/**
 * Several servers claim to be the primary, so nothing is written.
 *
 * @since 0.1.0
 * @category models
 */
export interface SplitBrainDetected extends OfDatabase {
  readonly _tag: "SplitBrainDetected"
  readonly endpoints: ReadonlyArray<string>
}

/**
 * A statement is tried once more.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementRetried extends OfEndpoint {
  readonly _tag: "StatementRetried"
  /** Where it goes now, after it failed on `endpoint`. */
  readonly to: string
  /** Which attempt this is, counted from 1. */
  readonly attempt: number
  readonly error: SqlError
}

/**
 * A statement was not tried again because too many were of late.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryBudgetExhausted extends OfEndpoint {
  readonly _tag: "RetryBudgetExhausted"
  readonly error: SqlError
}

/**
 * A read that took long was sent to a second endpoint too; `winner` is the one that answered first.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadHedged extends OfEndpoint {
  readonly _tag: "ReadHedged"
  readonly second: string
  readonly winner: string
}

/**
 * A rule mirrored a read: it was sent a second time elsewhere, or would have been but for those still on their way.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadMirrored extends OfDatabase {
  readonly _tag: "ReadMirrored"
  readonly rule: string
  readonly outcome: "answered" | "failed" | "dropped"
}

/**
 * A read that a replica might have served went to the primary, for no replica was known to be fresh enough.
 *
 * @since 0.1.0
 * @category models
 */
export interface FreshnessFallback extends OfDatabase {
  readonly _tag: "FreshnessFallback"
  readonly level: PlanConsistency["level"]
  readonly reason: ConsistencyFallback
}

/**
 * A replica's lag was measured.
 *
 * @since 0.1.0
 * @category models
 */
export interface LagMeasured extends OfEndpoint {
  readonly _tag: "LagMeasured"
  readonly lag: ReplicaLag
}

/**
 * A replica lags by more than `maxLag`, and takes no reads until it is back.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaLagging extends OfEndpoint {
  readonly _tag: "ReplicaLagging"
  readonly lag: Duration.Duration
}

/**
 * A replica lags little enough again.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaCaughtUp extends OfEndpoint {
  readonly _tag: "ReplicaCaughtUp"
}

/**
 * A server could not be asked how far it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface LagUnknown extends OfEndpoint {
  readonly _tag: "LagUnknown"
  readonly cause: Cause.Cause<SqlError>
}

/**
 * A statement was sent, or failed for want of a connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementRouted extends OfEndpoint {
  readonly _tag: "StatementRouted"
  readonly decision: RouteDecision
}

/**
 * What changes who serves what, or speaks of trouble: rare, and worth knowing of afterwards.
 *
 * @since 0.1.0
 * @category models
 */
export type NotableEvent =
  | BreakerOpened
  | BreakerClosed
  | EjectionWithheld
  | EndpointHeld
  | EndpointReleased
  | ReplicasChanged
  | RoleChanged
  | PrimaryChanged
  | PrimaryLost
  | PrimaryRestored
  | SplitBrainDetected
  | RetryBudgetExhausted
  | ReplicaLagging
  | ReplicaCaughtUp
  | LostWriteSuspected

/**
 * What happened in routing.
 *
 * @since 0.1.0
 * @category models
 */
export type RoutingEvent =
  | NotableEvent
  | TrialStarted
  | ProbeFailed
  | StatementRouted
  | StatementRetried
  | ReadHedged
  | ReadMirrored
  | FreshnessFallback
  | LagMeasured
  | LagUnknown

/**
 * A notable event that is remembered, whether or not anybody listened.
 *
 * @since 0.1.0
 * @category models
 */
export interface RememberedEvent {
  readonly event: NotableEvent
  /** When it happened, or happened last, in milliseconds since 1970. */
  readonly atMillis: number
  /** How often it happened since anything else did to its endpoint: a replica that stays down is one event. */
  readonly times: number
}
