/**
 * Comments that travel with statements to the server's logs and statistics, in the form of sqlcommenter: which route,
 * job or trace a statement belongs to.
 *
 * A comment belongs to a fiber and its children. It is added when a statement is sent: the classifier's cache does not see
 * it. On SQLite, where nobody could read it, nothing is sent.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as FiberSettings from "./internal/fiberSettings.js"
import { traceparent } from "./internal/queryComment.js"

/**
 * The tags of a comment, e.g. `{ route: "/orders/:id", application: "shop" }`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tags {
  readonly [key: string]: string
}

const none: FiberSettings.QueryComment = new Map()

const change = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  f: (comment: FiberSettings.QueryComment) => FiberSettings.QueryComment | undefined
): Effect.Effect<A, E, R> => FiberSettings.update(effect, ({ comment }) => ({ comment: f(comment ?? none) }))

/**
 * Runs an effect whose statements carry these tags and no others.
 *
 * @since 0.1.0
 * @category combinators
 */
export const set = (tags: Tags) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  change(effect, () => new Map(Object.entries(tags)))

/**
 * Runs an effect whose statements carry these tags beside those of the effect around; a key given twice has the inner
 * value.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { QueryComment } from "effect-sql-router"
 *
 * // SELECT * FROM orders /*route='%2Forders'*\/
 * const orders = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT * FROM orders`
 * }).pipe(QueryComment.merge({ route: "/orders" }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (tags: Tags) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  change(effect, (comment) => new Map([...comment, ...Object.entries(tags)]))

/**
 * Runs an effect whose statements carry no comment.
 *
 * @since 0.1.0
 * @category combinators
 */
export const clear = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  change(effect, () => undefined)

/**
 * The tags that statements of this fiber carry.
 *
 * @since 0.1.0
 * @category accessors
 */
export const get: Effect.Effect<Tags> = Effect.map(
  FiberSettings.current,
  ({ comment }) => Object.fromEntries(comment ?? none)
)

/**
 * Runs an effect whose statements also carry the `traceparent` (W3C Trace Context) of the span around the effect, so that a
 * slow statement in the server's log leads to its trace. Without a span around, nothing is added.
 *
 * Each such statement has a text of its own. MySQL prepares it, and forgets it right after: one more round trip each.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withTraceparent = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.serviceOption(Tracer.ParentSpan), (span) =>
    Option.match(span, {
      onNone: () => effect,
      onSome: ({ sampled, spanId, traceId }) =>
        merge({ [traceparent]: `00-${traceId}-${spanId}-${sampled ? "01" : "00"}` })(effect)
    }))
