import * as Duration from "effect/Duration"
import type { Disposition } from "../../Driver.js"
import type { RetryPolicySettings } from "../../RetryPolicy.js"

/**
 * What a statement is, as far as repeating it goes.
 *
 * - `read`: may be repeated wherever its error says so.
 * - `idempotent`: a write that its author says may run more than once.
 * - `write`: may be repeated if it was never sent, refused before any effect, or rolled back for certain. Only a single
 *   statement is one: what a procedure committed before it failed is not rolled back.
 * - `unsentOnly`: may be repeated if it was never sent, or refused before any effect.
 * - `never`: part of a transaction.
 */
export type Repeatable = "read" | "idempotent" | "write" | "unsentOnly" | "never"

export interface Attempted {
  readonly retry: Repeatable
  readonly disposition: Disposition
  /** How often it was tried on a connection, this time included; 0 if none could be opened yet. */
  readonly attempts: number
  /** Whether a row was handed to the caller: it cannot be taken back. */
  readonly emitted: boolean
  /** Whether it failed on a connection of the primary that may write. */
  readonly onPrimary: boolean
  /** Whether the roles were already asked for on behalf of this statement, or there is no other endpoint to ask. */
  readonly refreshed: boolean
  /** Whether writes wait for a primary, instead of failing. */
  readonly awaitsPrimary: boolean
  /** Whether the budget allows one more. */
  readonly affordable: boolean
  /** What is left of the statement's deadline, if it has one. */
  readonly remaining: Duration.Duration | undefined
}

/**
 * What is to happen after a failure.
 *
 * - `elsewhere`: on an endpoint that was not tried yet.
 * - `sameEndpoint`: where it was, on another connection if that one is gone, after `delay`.
 * - `primary`: on the primary; it is not for replicas.
 * - `refreshRole`: on the primary, after all endpoints were asked which one that is.
 */
export type RetryDecision =
  | { readonly _tag: "none"; readonly reason: "settled" | "unknownOutcome" | "attempts" | "budget" | "deadline" }
  | {
    readonly _tag: Where
    readonly delay: Duration.Duration
    /** Whether it is to be taken from the budget. */
    readonly costs: boolean
  }

type Where = "elsewhere" | "sameEndpoint" | "primary" | "refreshRole"

/**
 * Whether and where a statement that failed is tried again: pure, and the only place that decides it.
 *
 * What was never sent costs nothing of the budget, for no server did any work for it; nor does a refusal for the role,
 * which only a statement in the wrong place can meet.
 */
export const decide = (
  attempted: Attempted,
  settings: RetryPolicySettings,
  random: () => number
): RetryDecision => {
  const { affordable, attempts, disposition, emitted, remaining, retry } = attempted
  if (emitted || retry === "never") return none("settled")
  if (isOutcomeUnknown(retry, disposition)) return none("unknownOutcome")
  const where = whereNext(attempted)
  if (where === undefined) return none("settled")
  const unsent = disposition.outcome === "notSent"
  // Going on without having been sent ends by itself: what could not be connected to is not tried again.
  if (attempts >= settings.maxAttempts && !(unsent && where === "elsewhere")) return none("attempts")
  const costs = !unsent && disposition.blame !== "role"
  if (costs && !affordable) return none("budget")
  const delay = where === "sameEndpoint" && disposition.blame === "transaction"
    ? backoff(settings, attempts, random)
    : Duration.zero
  return remaining !== undefined && Duration.lessThanOrEqualTo(remaining, delay)
    ? none("deadline")
    : { _tag: where, delay, costs }
}

/** Whether the caller cannot know what became of its write, and must be told so. */
export const isOutcomeUnknown = (retry: Repeatable, disposition: Disposition): boolean =>
  disposition.outcome === "unknown" && (retry === "write" || retry === "unsentOnly")

const whereNext = (attempted: Attempted): Where | undefined => {
  const { awaitsPrimary, disposition, onPrimary, refreshed, retry } = attempted
  const { blame, evidence, outcome, readRetry } = disposition
  // A connection that was dead before it was used.
  if (outcome === "notSent" && blame === "connection") return "sameEndpoint"
  if (onPrimary && blame === "role" && outcome !== "unknown") return refreshed ? undefined : "refreshRole"
  if (retry === "read") return readRetry === "none" || readRetry === "primary" && onPrimary ? undefined : readRetry
  switch (outcome) {
    case "notSent":
      return awaitsPrimary && evidence === "hard" && blame !== "capacity" ? "refreshRole" : undefined
    case "refused":
      return readRetry === "sameEndpoint" ? "sameEndpoint" : undefined
    case "rolledBack":
      return readRetry === "sameEndpoint" && retry !== "unsentOnly" ? "sameEndpoint" : undefined
    case "unknown":
      // An idempotent write; any other does not come here.
      return readRetry === "none" ? undefined : "sameEndpoint"
  }
}

/** Who lost against another transaction waits, at random, so that the two do not meet again. */
const backoff = ({ backoff }: RetryPolicySettings, attempts: number, random: () => number): Duration.Duration =>
  Duration.times(
    Duration.min(Duration.times(backoff.first, 2 ** Math.max(0, attempts - 1)), backoff.cap),
    random()
  )

const none = (reason: Extract<RetryDecision, { readonly _tag: "none" }>["reason"]): RetryDecision => ({
  _tag: "none",
  reason
})
