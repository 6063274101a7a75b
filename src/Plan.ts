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
  /** `read`: may be tried again elsewhere. `unsentOnly`: only if the server never got it. */
  readonly retry: "read" | "unsentOnly" | "never"
}
