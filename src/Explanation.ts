/**
 * The answer to "why?": where a statement would go, from what it was concluded, and who had said so.
 *
 * @since 0.1.0
 */
import { json } from "./internal/explain/json.js"
import { tree } from "./internal/explain/tree.js"
import type { Plan, PreferenceClass } from "./Plan.js"
import type { RuleTrace } from "./RoutingRules.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * Where a statement would go, and why: what `RoutedSqlClient.explain` gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Explanation {
  readonly sql: string
  readonly facts: StatementFacts
  readonly plan: Plan
  /** What each rule says of it, in order; empty where rules are not asked. */
  readonly rules: ReadonlyArray<RuleTrace>
  /** The policies of the plan's Database. */
  readonly policies: ReadonlyArray<PolicyInForce>
}

/**
 * A policy, its value in words, and where it came from: an `option` of the Layer, the `context` that was provided to it, or
 * nowhere, so that the `default` is in force.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyInForce {
  readonly policy: string
  readonly value: string
  readonly source: "option" | "context" | "default"
}

/**
 * The endpoints among which the strategy would choose; `undefined` if the statement is refused.
 *
 * @since 0.1.0
 * @category getters
 */
export const chosen = ({ plan }: Explanation): PreferenceClass | undefined => plan.candidates[0]

/**
 * How an explanation is printed.
 *
 * @since 0.1.0
 * @category models
 */
export interface RenderOptions {
  /** Whether to use the colours of a terminal. Default `false`. */
  readonly color?: boolean | undefined
  /** Characters per line at most, words longer than a line aside. Default 100, at least 60. */
  readonly width?: number | undefined
}

/**
 * An explanation as a tree to print. Parameters are not part of it; literals in the text are.
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Explanation, RoutedSqlClient } from "effect-sql-router"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* RoutedSqlClient.RoutedSqlClient
 *   const explanation = yield* sql.explain(sql`SELECT * FROM orders WHERE id = ${1} FOR UPDATE`)
 *   yield* Console.log(Explanation.render(explanation))
 * })
 * ```
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (explanation: Explanation, options?: RenderOptions): string =>
  tree(explanation, options?.color ?? false, Math.max(60, options?.width ?? 100))

/**
 * A value that JSON can hold.
 *
 * @since 0.1.0
 * @category models
 */
export type Json =
  | null
  | boolean
  | number
  | string
  | ReadonlyArray<Json>
  | { readonly [name: string]: Json }

/**
 * An explanation as plain JSON, with all facts and the endpoints that {@link chosen} gives. What is `undefined` is left out;
 * a bigint becomes a number or, where that would not be exact, its decimal digits as a string.
 *
 * @since 0.1.0
 * @category rendering
 */
export const toJSON = (explanation: Explanation): { readonly [name: string]: Json } => json(explanation)
