/**
 * What happened to one statement: its plan, and the endpoint that ran it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import type { Role } from "./Endpoint.js"
import { oneLine } from "./internal/words.js"
import type { Plan } from "./Plan.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * What happened to one statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface RouteDecision {
  readonly sql: string
  readonly facts: StatementFacts
  readonly plan: Plan
  /** The endpoint that ran it, or that it failed on last. */
  readonly endpoint: string
  readonly role: Role
  readonly reason: string
}

/** @internal */
export const currentCapture: FiberRef.FiberRef<Array<RouteDecision> | undefined> = globalValue(
  "effect-sql-router/RouteDecision/currentCapture",
  () => FiberRef.unsafeMake<Array<RouteDecision> | undefined>(undefined)
)

/**
 * Runs an effect and returns, beside its result, the decision of every statement it ran, in the order they were sent.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { RouteDecision } from "effect-sql-router"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const [rows, decisions] = yield* RouteDecision.capture(sql`SELECT name FROM users`)
 *   for (const { endpoint, reason } of decisions) yield* Effect.log(`${endpoint}: ${reason}`)
 *   return rows
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const capture = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [result: A, decisions: ReadonlyArray<RouteDecision>], E, R> =>
  Effect.suspend(() => {
    const decisions: Array<RouteDecision> = []
    return Effect.map(Effect.locally(effect, currentCapture, decisions), (result) => [result, decisions] as const)
  })

const columns: ReadonlyArray<readonly [title: string, cell: (decision: RouteDecision) => string]> = [
  ["statement", ({ sql }) => oneLine(sql, 60)],
  ["endpoint", ({ endpoint }) => endpoint],
  ["why", ({ reason }) => reason]
]

/**
 * Decisions as a table to print: statement, endpoint, why.
 *
 * @since 0.1.0
 * @category rendering
 */
export const table = (decisions: ReadonlyArray<RouteDecision>): string => {
  const rows = [
    columns.map(([title]) => title),
    ...decisions.map((decision) => columns.map(([, cell]) => cell(decision)))
  ]
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()).join("\n")
}
