import * as Persistence from "@effect/experimental/Persistence"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as TokenStore from "effect-sql-router/TokenStore"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"

const { equals, make, merge } = ConsistencyToken
const pg = (lsn: string) => Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", lsn))
const at = (lsn: string, database = "main") => make(database, { position: pg(lsn), at: 0 })
const get = (session: string) => Effect.flatMap(TokenStore.TokenStore, (store) => store.get(session))
const add = (session: string, token: ConsistencyToken.ConsistencyToken) =>
  Effect.flatMap(TokenStore.TokenStore, (store) => store.add(session, token))
const assertToken = (actual: ConsistencyToken.ConsistencyToken, expected: ConsistencyToken.ConsistencyToken) =>
  assert.isTrue(equals(actual, expected))

const persistence = TokenStore.layerPersistence()

/** A store that answers later, as one across a network does. */
const remote = Layer.effect(
  Persistence.BackingPersistence,
  Effect.map(Persistence.BackingPersistence, (backing) =>
    Persistence.BackingPersistence.of({
      ...backing,
      make: (id) =>
        Effect.map(backing.make(id), (store) => ({
          ...store,
          get: (key) => Effect.zipLeft(store.get(key), Effect.yieldNow()),
          set: (key, value, ttl) => Effect.zipRight(Effect.yieldNow(), store.set(key, value, ttl))
        }))
    }))
).pipe(Layer.provide(Persistence.layerMemory))
const stores: ReadonlyArray<readonly [string, Layer.Layer<TokenStore.TokenStore>]> = [
  ["in memory", TokenStore.layerMemory()],
  ["in a persistence", persistence.pipe(Layer.provide(remote))],
  [
    "in a key value store",
    persistence.pipe(Layer.provide(Persistence.layerKeyValueStore), Layer.provide(KeyValueStore.layerMemory))
  ]
]

for (const [where, layer] of stores) {
  describe(where, () => {
    it.effect("knows nothing of a session that has seen nothing", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* get("ada"), ConsistencyToken.empty)
        yield* add("ada", ConsistencyToken.empty)
        assert.strictEqual(yield* get("ada"), ConsistencyToken.empty)
      }).pipe(Effect.provide(layer)))

    it.effect("merges what a session has seen, and keeps sessions apart", () =>
      Effect.gen(function*() {
        yield* add("ada", at("2/0"))
        yield* add("ada", merge(at("1/0"), at("1/0", "audit")))
        yield* add("bob", at("9/0"))
        assertToken(yield* get("ada"), merge(at("2/0"), at("1/0", "audit")))
      }).pipe(Effect.provide(layer)))

    it.effect("loses nothing of what is added at once", () =>
      Effect.gen(function*() {
        yield* Effect.all(
          ["a", "b", "c", "d"].map((database) => add("ada", at("1/0", database))),
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual((yield* get("ada")).marks.size, 4)
      }).pipe(Effect.provide(layer)))

    it.effect("forgets a token at its age, not before", () =>
      Effect.gen(function*() {
        yield* add("ada", at("2/0"))
        yield* TestClock.adjust("59 seconds")
        assertToken(yield* get("ada"), at("2/0"))
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(yield* get("ada"), ConsistencyToken.empty)
      }).pipe(Effect.provide(layer)))

    it.effect("carries a session from one request to the next, also from one that fails", () =>
      Effect.gen(function*() {
        yield* ReadConsistency.see(at("2/0")).pipe(
          Effect.zipRight(Effect.fail("no")),
          TokenStore.withSession("ada"),
          Effect.ignore
        )
        assertToken(yield* TokenStore.withSession(ReadConsistency.currentToken, "ada"), at("2/0"))
        assert.strictEqual(
          yield* TokenStore.withSession(ReadConsistency.currentToken, "bob"),
          ConsistencyToken.empty
        )
      }).pipe(Effect.provide(layer)))
  })
}

describe("a store in memory that is too small", () => {
  it.effect("makes what the oldest session has seen a matter of all, rather than forget it", () =>
    Effect.gen(function*() {
      yield* add("ada", at("5/0"))
      yield* add("bob", at("1/0"))
      yield* add("ada", at("6/0"))
      assertToken(yield* get("bob"), at("1/0"))
      yield* add("eve", at("2/0"))
      assertToken(yield* get("ada"), at("6/0"))
      assertToken(yield* get("bob"), at("1/0"))
      yield* add("kim", at("3/0"))
      assertToken(yield* get("bob"), at("6/0"))
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* get("bob"), ConsistencyToken.empty)
    }).pipe(Effect.provide(TokenStore.layerMemory({ capacity: 2 }))))
})

describe("a store that does not work", () => {
  const failing: TokenStore.TokenStore = {
    get: () => Effect.fail(new TokenStore.TokenStoreError({ operation: "get", cause: new Error("ECONNREFUSED") })),
    add: () => Effect.fail(new TokenStore.TokenStoreError({ operation: "add", cause: new Error("ECONNREFUSED") }))
  }
  const hanging: TokenStore.TokenStore = { get: () => Effect.never, add: () => Effect.never }

  it.effect("leaves reads to the primary, and breaks no request", () =>
    Effect.gen(function*() {
      const token = yield* TokenStore.withSession(
        Effect.zipRight(ReadConsistency.see(at("2/0")), ReadConsistency.currentToken),
        "ada"
      )
      assert.strictEqual(token.marks.get(ConsistencyToken.everyDatabase)?.all.until, 60_000)
    }).pipe(Effect.provideService(TokenStore.TokenStore, failing)))

  it.effect("holds a request for no more than 2 seconds, before and after", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(TokenStore.withSession(ReadConsistency.see(at("2/0")), "ada"))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("2 seconds")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
    }).pipe(Effect.provideService(TokenStore.TokenStore, hanging)))

  it.effect("is not asked to store what is not news", () =>
    TokenStore.withSession(ReadConsistency.currentToken, "ada").pipe(
      Effect.provideService(TokenStore.TokenStore, {
        get: () => Effect.succeed(at("1/0")),
        add: () => Effect.die("stored")
      })
    ))
})
