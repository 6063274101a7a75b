/**
 * What is to happen with one statement, and why: a value.
 *
 * @since 0.1.0
 */
import type { Access, Role } from "./Endpoint.js"

/**
 * Endpoints that serve a statement equally well; the strategy chooses among them.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreferenceClass {
  readonly role: Role
  readonly endpoints: ReadonlyArray<string>
  /** Whether it is the primary in the place of replicas: it takes a share of its connections' worth of them. */
  readonly isFallback: boolean
}

/**
 * What is to happen with one statement: made by the rules from its facts, carried out by the router.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  readonly database: string
  /** The rule that decided. */
  readonly rule: string
  /** Why, in a few words that do not depend on the statement's text: also the span's `sql.router.reason`. */
  readonly reason: string
  /** Where it may run, best first. */
  readonly candidates: ReadonlyArray<PreferenceClass>
  /** Endpoints that may not run it, each with the reason. */
  readonly excluded: ReadonlyArray<{ readonly endpoint: string; readonly reason: string }>
  /** What its connection must be able to do. */
  readonly access: Access
  /**
   * `read`: may be tried again elsewhere. `write`: if the server never got it, refused it, or rolled it back for certain.
   * `unsentOnly`: if the server never got it, or refused it.
   */
  readonly retry: "read" | "write" | "unsentOnly" | "never"
  /** Whether it leaves its session changed: the connection is not lent to others after it. */
  readonly leavesSession: boolean
  /** What freshness a read asks for, where it asks for any. */
  readonly consistency?: PlanConsistency | undefined
  /** Why the statement is not run at all, where it is not; there are no candidates then. */
  readonly refusal: Refusal | undefined
}

/**
 * How a read comes to be as fresh as it has to be.
 *
 * `by` tells how: a replica was known to have got far enough (`cachedPosition`), or tells so with its answer (`guard`); it
 * was waited for (`wait`); its lag is small enough (`lag`); it has served the session before (`sameReplica`); or the primary
 * serves the read.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlanConsistency {
  readonly level: "boundedStaleness" | "session" | "strict"
  readonly by: "cachedPosition" | "guard" | "wait" | "lag" | "sameReplica" | "primary"
  /** Where a replica must be, as its server writes it; `undefined` where that is not what decides. */
  readonly position: string | undefined
  /** Milliseconds since the session last wrote, or saw something new. */
  readonly age: number | undefined
  /** Why the primary serves a read that a replica might have served. */
  readonly fallback: ConsistencyFallback | undefined
}

/**
 * Why no replica is fresh enough for a read.
 *
 * - `positionUnknown`: where a replica must be is not known.
 * - `window`: the time after a write in which only the primary is read.
 * - `behind`: the replicas are not there yet, and were not in time.
 * - `otherHistory`: no replica's position can be compared, as after a failover.
 * - `lostWrite`: a failover seems to have lost what the session has seen, so that no replica can have it.
 * - `lag`: no replica is known to lag by so little.
 *
 * @since 0.1.0
 * @category models
 */
export type ConsistencyFallback = "positionUnknown" | "window" | "behind" | "otherHistory" | "lostWrite" | "lag"

/**
 * Why a statement is refused before anything is sent.
 *
 * - `denied`: a rule denies it.
 * - `noRoute`: no rule matched, and the rules say that this fails.
 * - `writeOnReplica`: it was asked to run on a replica, and is not known to be a read.
 * - `sessionState`: it changes or depends on its session, outside of anything that holds one connection.
 * - `unavailable`: none of its endpoints may serve it now.
 * - `unknownTarget`: it was sent to a Database or an endpoint that does not exist.
 *
 * @since 0.1.0
 * @category models
 */
export interface Refusal {
  readonly reason: "denied" | "noRoute" | "writeOnReplica" | "sessionState" | "unavailable" | "unknownTarget"
  /** A whole sentence, with what to do instead. */
  readonly message: string
}
