/**
 * How fresh reads must be: so that a read from a replica sees what was written before it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as ConsistencyToken from "./ConsistencyToken.js"
import * as compat from "./internal/compat.js"
import { currentSession, millis, open, sessionForWrite, sessionOf } from "./internal/consistency/current.js"
import type * as level from "./internal/consistency/level.js"
import { Session, type SessionSettings } from "./internal/consistency/session.js"
import * as fiberSettings from "./internal/fiberSettings.js"

/**
 * How fresh a read must be.
 *
 * - `Eventual`: any replica may serve it.
 * - `BoundedStaleness`: a replica that lags by no more than `max`; it may not show yet what the session wrote.
 * - `Session`: it shows what the session wrote, and no less than what it has read; other sessions' writes may come later.
 * - `Strict`: the primary serves it.
 *
 * What replicas and the primary show is causally consistent at `Session`, not one snapshot: PostgreSQL makes commits visible
 * on a replica in the order of the log, on the primary in the order in which they ended.
 *
 * @since 0.1.0
 * @category models
 */
export type Level = level.Level

/**
 * Any replica may serve a read.
 *
 * @since 0.1.0
 * @category levels
 */
export const eventual: Level = { _tag: "Eventual" }

/**
 * A replica may serve a read if it lags by no more than `max`.
 *
 * @since 0.1.0
 * @category levels
 */
export const boundedStaleness = (max: Duration.DurationInput): Level => ({
  _tag: "BoundedStaleness",
  max: Duration.decode(max)
})

/**
 * A read shows what the session wrote, and no less than what it has read before.
 *
 * @since 0.1.0
 * @category levels
 */
export const session: Level = { _tag: "Session" }

/**
 * The primary serves reads.
 *
 * @since 0.1.0
 * @category levels
 */
export const strict: Level = { _tag: "Strict" }

/**
 * How a router keeps reads consistent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadConsistencyOptions {
  /** How fresh reads must be where nothing else is said. Default `session`. */
  readonly level?: Level | undefined
  /**
   * When a session that wrote reads from replicas again.
   *
   * - `position`, the default: from each as soon as it has the write. Where the driver cannot tell, as `ttl`.
   * - `ttl`: some time after the write.
   * - `untilScopeEnd`: not before the session ends; as `ttl` in a fiber without an open session.
   */
  readonly mode?: "position" | "ttl" | "untilScopeEnd" | undefined
  /**
   * How long a write holds reads on the primary where its position is not used, or not known yet. Default 12 seconds: what a
   * replica may lag by default, 10 seconds, and what may pass until its lag is measured.
   */
  readonly ttl?: Duration.DurationInput | undefined
  /** How long a position is asked for at most. Default 60 seconds. */
  readonly maxAge?: Duration.DurationInput | undefined
  /**
   * `database`, the default: after a write all reads of the Database ask for it. `tables`: only those that read a table that
   * was written; where the tables of a read or a write are not known, they are taken for all.
   */
  readonly granularity?: "database" | "tables" | undefined
  /**
   * For `tables`: which tables' writes a view or table shows, besides its own. `{ order_totals: ["orders"] }` for a view,
   * or a table that a trigger or a cascade of `orders` writes to. Schemas are left out; upper case is as lower case. Default: none.
   */
  readonly dependencies?: { readonly [name: string]: ReadonlyArray<string> } | undefined
  /**
   * How long a read may wait for a replica that is a little behind before the primary serves it; never more than a quarter
   * of what is left of its deadline. Default 50 milliseconds; 0 for not at all.
   */
  readonly waitBudget?: Duration.DurationInput | undefined
  /** How many reads may wait for one replica at once: each holds one of its connections. Default 2. */
  readonly maxWaiting?: number | undefined
}

/**
 * How a router keeps reads consistent, decoded.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadConsistency {
  readonly level: Level
  readonly mode: "position" | "ttl" | "untilScopeEnd"
  readonly ttl: Duration.Duration
  readonly maxAge: Duration.Duration
  readonly granularity: "database" | "tables"
  /** In lower case, with the dependencies of dependencies. */
  readonly dependencies: ReadonlyMap<string, ReadonlyArray<string>>
  readonly waitBudget: Duration.Duration
  readonly maxWaiting: number
}

/**
 * Decodes options, with their defaults.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ReadConsistencyOptions = {}): ReadConsistency => ({
  level: options.level ?? session,
  mode: options.mode ?? "position",
  ttl: Duration.decode(options.ttl ?? "12 seconds"),
  maxAge: Duration.decode(options.maxAge ?? "60 seconds"),
  granularity: options.granularity ?? "database",
  dependencies: closure(options.dependencies ?? {}),
  waitBudget: Duration.decode(options.waitBudget ?? "50 millis"),
  maxWaiting: options.maxWaiting ?? 2
})

const closure = (
  dependencies: { readonly [name: string]: ReadonlyArray<string> }
): ReadonlyMap<string, ReadonlyArray<string>> => {
  const direct = new Map(
    Object.entries(dependencies).map(([name, shown]) => [name.toLowerCase(), shown.map((_) => _.toLowerCase())])
  )
  return new Map(Array.from(direct, ([name, shown]) => {
    const all = new Set(shown)
    // A Set's iteration goes on to what is added meanwhile.
    for (const one of all) for (const further of direct.get(one) ?? []) all.add(further)
    return [name, Array.from(all)]
  }))
}

/**
 * The consistency of every router built below the Layer that provides it.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentReadConsistency extends Context.Reference<CurrentReadConsistency>()(
  "effect-sql-router/ReadConsistency/CurrentReadConsistency",
  { defaultValue: (): ReadConsistency => make() }
) {}

/** @internal */
export const settingsOf = (self: ReadConsistency): SessionSettings => ({
  ...self,
  ttl: Duration.toMillis(self.ttl),
  maxAge: Duration.toMillis(self.maxAge)
})

/**
 * What is wrong with the settings, given how much a replica may lag and how often that is measured: with these, a read could
 * go to a replica that does not have the session's write yet.
 *
 * @since 0.1.0
 * @category checking
 */
export const warnings = (
  self: ReadConsistency,
  replicas: { readonly maxLag: Duration.DurationInput; readonly measuredEvery: Duration.DurationInput }
): ReadonlyArray<string> => {
  const unseen = Duration.sum(replicas.maxLag, replicas.measuredEvery)
  const found: Array<string> = []
  const check = (setting: "ttl" | "maxAge", consequence: string) => {
    if (Duration.greaterThanOrEqualTo(self[setting], unseen)) return
    const lag = Duration.isFinite(Duration.decode(replicas.maxLag))
      ? `${Duration.format(unseen)}, which is what a replica may lag and the time until that is measured`
      : "what a replica may lag, which has no limit"
    found.push(`ReadConsistency.${setting} (${Duration.format(self[setting])}) is below ${lag}: ${consequence}`)
  }
  check("ttl", "a read after a write may miss it. Raise ttl or lower maxLag.")
  if (self.mode === "position") {
    check("maxAge", "a write may be forgotten before each replica has it. Raise maxAge or lower maxLag.")
  }
  return found
}

/**
 * Sets how fresh the reads of an effect must be.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { ReadConsistency } from "effect-sql-router"
 *
 * const report = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT count(*) FROM orders`
 * }).pipe(ReadConsistency.withLevel(ReadConsistency.boundedStaleness("5 seconds")))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withLevel: {
  (level: Level): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, level: Level): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, level: Level): Effect.Effect<A, E, R> =>
    fiberSettings.update(effect, () => ({ consistency: level }))
)

/**
 * Opens a session for an effect: a request, a job. All its fibers share it, whether they are joined, fail, lose a race or
 * run on a Runtime inside a Promise: what one of them has written, the others' next read sees.
 *
 * It begins with what the fiber had seen. Where it was opened inside another session, that one has seen at the end what this
 * one has; else it ends with the effect. Without any, a fiber that writes keeps a session of its own, which its later
 * children inherit and fibers that join it take over.
 *
 * Within it reads never go back, and keep to one replica while that serves: open one for each request, not one for all. A
 * batch of requests (`SqlResolver`) runs in the session of the fiber that waits for it; without an open one it does not see
 * what a child has written that it has not joined yet.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { ReadConsistency } from "effect-sql-router"
 *
 * const request = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* Effect.fork(sql`INSERT INTO visits (page) VALUES ('home')`).pipe(Effect.flatMap((fiber) => fiber.await))
 *   return yield* sql`SELECT count(*) FROM visits`
 * }).pipe(ReadConsistency.scoped)
 * ```
 *
 * @since 0.1.0
 * @category sessions
 */
export const scoped = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  open(ConsistencyToken.empty, () => effect)

/**
 * Runs work in a session of its own: it begins as if nothing had been seen, and what it writes stays its own matter. For work
 * that is done on behalf of nobody, such as filling a cache.
 *
 * @since 0.1.0
 * @category sessions
 */
export const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.locally(effect, currentSession, new Session(undefined)))

/**
 * Runs an effect that has seen what the token has. An open session takes it over; without one, the effect gets one.
 *
 * @example
 * ```ts
 * import { ConsistencyToken, ReadConsistency } from "effect-sql-router"
 * import { Effect, Schema } from "effect"
 *
 * const codec = ConsistencyToken.makeCodec()
 * const Job = (codec: ConsistencyToken.TokenCodec) =>
 *   Schema.Struct({ order: Schema.Number, seen: ConsistencyToken.schema(codec) })
 *
 * declare const queue: { readonly offer: (payload: unknown) => Effect.Effect<void> }
 * declare const ship: (order: number) => Effect.Effect<void>
 *
 * const enqueue = (order: number) =>
 *   Effect.gen(function*() {
 *     const seen = yield* ReadConsistency.currentToken
 *     yield* queue.offer(yield* Schema.encode(Job(yield* codec))({ order, seen }))
 *   })
 *
 * const work = (payload: unknown) =>
 *   Effect.gen(function*() {
 *     const { order, seen } = yield* Schema.decodeUnknown(Job(yield* codec))(payload)
 *     yield* ReadConsistency.withToken(ship(order), seen)
 *   })
 * ```
 *
 * @since 0.1.0
 * @category sessions
 */
export const withToken: {
  (token: ConsistencyToken.ConsistencyToken): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, token: ConsistencyToken.ConsistencyToken): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, token: ConsistencyToken.ConsistencyToken): Effect.Effect<A, E, R> =>
    compat.withFiber((fiber) => {
      const session = sessionOf(fiber)
      if (session === undefined || session.owner !== undefined) return open(token, () => effect)
      session.absorb(token)
      return effect
    })
)

/**
 * Lets the fiber's session, its own if none is open, take over what a token has seen.
 *
 * @since 0.1.0
 * @category sessions
 */
export const see = (token: ConsistencyToken.ConsistencyToken): Effect.Effect<void> =>
  compat.withFiber((fiber) => {
    if (!ConsistencyToken.isEmpty(token)) sessionForWrite(fiber).absorb(token)
    return Effect.void
  })

/**
 * What the fiber's session has seen; positions are left out after `maxAge`, as the {@link CurrentReadConsistency} around says.
 *
 * @since 0.1.0
 * @category sessions
 */
export const currentToken: Effect.Effect<ConsistencyToken.ConsistencyToken> = compat.withFiber((fiber) => {
  const session = sessionOf(fiber)
  if (session === undefined || session.isIdle) return Effect.succeed(ConsistencyToken.empty)
  const { maxAge } = Context.get(fiber.currentContext, CurrentReadConsistency)
  return Effect.succeed(session.tokenAt(millis(fiber), Duration.toMillis(maxAge)))
})

/**
 * What the fiber's session has seen, as a text of the {@link ConsistencyToken.CurrentTokenCodec}: for a header or a job.
 *
 * @since 0.1.0
 * @category sessions
 */
export const currentTokenEncoded: Effect.Effect<string> = Effect.flatMap(
  currentToken,
  (token) =>
    ConsistencyToken.isEmpty(token)
      ? Effect.succeed("")
      : Effect.flatMap(ConsistencyToken.CurrentTokenCodec, (codec) => codec.encode(token))
)

/**
 * Runs an effect that has seen what an encoded token has; one that is not to be trusted counts for nothing.
 *
 * @since 0.1.0
 * @category sessions
 */
export const withEncodedToken: {
  (text: string): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, text: string): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, text: string): Effect.Effect<A, E, R> =>
    ConsistencyToken.CurrentTokenCodec.pipe(
      Effect.flatMap((codec) => codec.decodeOrEmpty(text)),
      Effect.flatMap((token) => withToken(effect, token))
    )
)

/**
 * Lets the session forget what it has seen: its next reads may go to any replica.
 *
 * @since 0.1.0
 * @category sessions
 */
export const forget: Effect.Effect<void> = compat.withFiber((fiber) => {
  if (sessionOf(fiber) !== undefined) sessionForWrite(fiber).forget()
  return Effect.void
})

/**
 * Runs an effect whose writes leave the session as it is, for those that nobody will look for: a log, a counter of visits.
 *
 * @since 0.1.0
 * @category combinators
 */
export const ignoreWrites = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  fiberSettings.update(effect, () => ({ ignoreWrites: true }))
