/**
 * Where consistency tokens are kept between the requests of a session that carries no cookie.
 *
 * @since 0.1.0
 */
import * as Persistence from "@effect/experimental/Persistence"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ConsistencyToken from "./ConsistencyToken.js"
import { open } from "./internal/consistency/current.js"

/**
 * Where consistency tokens are kept, by the name of a session, such as a user's id.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenStore {
  /** What the session has seen; the empty token where nothing is known of it. */
  readonly get: (session: string) => Effect.Effect<ConsistencyToken.ConsistencyToken, TokenStoreError>
  /** Adds what the session has seen. */
  readonly add: (session: string, token: ConsistencyToken.ConsistencyToken) => Effect.Effect<void, TokenStoreError>
}

/**
 * Where consistency tokens are kept.
 *
 * @since 0.1.0
 * @category services
 */
export const TokenStore: Context.Tag<TokenStore, TokenStore> = Context.GenericTag<TokenStore>(
  "effect-sql-router/TokenStore"
)

/**
 * A store could not be read or written.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenStoreError extends Data.TaggedError("TokenStoreError")<{
  readonly operation: "get" | "add"
  readonly cause: unknown
}> {
  override get message(): string {
    const detail = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return this.operation === "get"
      ? `The session's consistency token could not be read (${detail}): its reads go to the primary`
      : `The session's consistency token could not be stored (${detail}): its next request may read from a replica that `
        + "does not have its writes yet"
  }
}

/**
 * Keeps tokens in this process: enough where each session's requests come to the same process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (options: {
  /**
   * How many sessions are kept apart. Default 10000. What the oldest beyond that has seen is taken to have been seen by all: a
   * store that is too small costs reads from replicas, and never a stale one.
   */
  readonly capacity?: number | undefined
} = {}): Layer.Layer<TokenStore> =>
  Layer.effect(
    TokenStore,
    Effect.map(ConsistencyToken.CurrentTokenCodec, ({ maxAge }) => memory(options.capacity ?? 10_000, maxAge))
  )

const memory = (capacity: number, maxAge: Duration.Duration): TokenStore => {
  // In the order of the last write, so that the first is the oldest.
  const sessions = new Map<string, ConsistencyToken.ConsistencyToken>()
  let everyone = ConsistencyToken.empty
  const current = (token: ConsistencyToken.ConsistencyToken, now: number) =>
    ConsistencyToken.prune(token, now, Duration.toMillis(maxAge))
  const read = (session: string, now: number) => current(sessions.get(session) ?? ConsistencyToken.empty, now)
  const makeRoom = (now: number) => {
    for (const [session, token] of sessions) {
      const left = current(token, now)
      if (!ConsistencyToken.isEmpty(left) && sessions.size <= capacity) return
      sessions.delete(session)
      everyone = ConsistencyToken.merge(everyone, left)
    }
  }
  return {
    get: (session) =>
      Effect.map(millis, (now) => {
        everyone = current(everyone, now)
        return ConsistencyToken.merge(read(session, now), everyone)
      }),
    add: (session, token) =>
      Effect.map(millis, (now) => {
        const merged = ConsistencyToken.merge(read(session, now), current(token, now))
        sessions.delete(session)
        if (!ConsistencyToken.isEmpty(merged)) sessions.set(session, merged)
        makeRoom(now)
      })
  }
}

const millis = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** Writes of sessions that share one wait for each other. */
const stripes = 64

/**
 * Keeps tokens in @effect/experimental's `BackingPersistence`: Redis, a key value store, LMDB. They expire after the codec's
 * `maxAge`.
 *
 * That service has no atomic update. Writes of one session in this process wait for each other; of two processes that store for
 * one session within the same round trip, the mark of one can be lost. Carry the token in a cookie where that matters.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPersistence = (options: {
  /** The name, or prefix, of the store. Default `sql-router/tokens/`. */
  readonly storeId?: string | undefined
} = {}): Layer.Layer<TokenStore, never, Persistence.BackingPersistence> =>
  Layer.scoped(
    TokenStore,
    Effect.gen(function*() {
      const backing = yield* Persistence.BackingPersistence
      const store = yield* backing.make(options.storeId ?? "sql-router/tokens/")
      const codec = yield* ConsistencyToken.CurrentTokenCodec
      const locks = Array.from({ length: stripes }, () => Effect.unsafeMakeSemaphore(1))
      const get = (session: string) =>
        Effect.flatMap(
          store.get(session),
          Option.match({
            onNone: () => Effect.succeed(ConsistencyToken.empty),
            onSome: (text) => typeof text === "string" ? codec.decodeOrEmpty(text) : codec.decodeOrEmpty("?")
          })
        )
      const failed = (operation: TokenStoreError["operation"]) => (cause: unknown) =>
        new TokenStoreError({ operation, cause })
      return TokenStore.of({
        get: (session) => Effect.mapError(get(session), failed("get")),
        add: (session, token) =>
          get(session).pipe(
            Effect.flatMap((known) => codec.encode(ConsistencyToken.merge(known, token))),
            Effect.flatMap((text) => text === "" ? Effect.void : store.set(session, text, Option.some(codec.maxAge))),
            locks[Math.abs(Hash.string(session)) % stripes]!.withPermits(1),
            Effect.mapError(failed("add"))
          )
      })
    })
  )

/** A store that does not answer must not hold a request for longer. */
const patience = Duration.seconds(2)

/**
 * Opens a session for an effect, a request, that has seen what the named session has, and stores what it has seen at its
 * end, however it ends.
 *
 * The effect never fails because of the store. Where that cannot be read within 2 seconds, reads go to the primary; where
 * it cannot be written, a warning is logged.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Effect } from "effect"
 * import { TokenStore } from "effect-sql-router"
 *
 * const rename = (user: string, name: string) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`UPDATE users SET name = ${name} WHERE id = ${user}`
 *   }).pipe(TokenStore.withSession(user))
 *
 * const program = rename("42", "Ada").pipe(Effect.provide(TokenStore.layerMemory()))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSession: {
  (session: string): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | TokenStore>
  <A, E, R>(effect: Effect.Effect<A, E, R>, session: string): Effect.Effect<A, E, R | TokenStore>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R | TokenStore> =>
    Effect.flatMap(TokenStore, (store) =>
      Effect.flatMap(
        Effect.catchAll(timely(store.get(name), "get"), (error) => Effect.zipRight(warn(error), primaryOnly)),
        (token) =>
          open(token, (session) =>
            Effect.ensuring(
              effect,
              Effect.suspend(() =>
                session.writes === 0
                  ? Effect.void
                  : Effect.catchAll(timely(store.add(name, session.token), "add"), warn)
              )
            ))
      ))
)

const timely = <A>(
  effect: Effect.Effect<A, TokenStoreError>,
  operation: TokenStoreError["operation"]
): Effect.Effect<A, TokenStoreError> =>
  Effect.timeoutFail(Effect.interruptible(effect), {
    duration: patience,
    onTimeout: () => new TokenStoreError({ operation, cause: `no answer within ${Duration.format(patience)}` })
  })

const warn = (error: TokenStoreError) => Effect.logWarning(error.message)

const primaryOnly = Effect.zipWith(
  millis,
  ConsistencyToken.CurrentTokenCodec,
  (now, { maxAge }) =>
    ConsistencyToken.make(ConsistencyToken.everyDatabase, { until: now + Duration.toMillis(maxAge), at: now })
)
