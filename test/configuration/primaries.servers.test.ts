import { assert, describe, it } from "@effect/vitest"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as Chunk from "effect/Chunk"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { freshDatabase } from "../servers/index.js"

const at = ({ url }: { readonly url: string }) => ({ url: Redacted.make(url) })

/** The endpoints that a few writes ran on, by a router whose first primary is a standby. */
const writes = Effect.gen(function*() {
  const sql = yield* RoutedSqlClient.RoutedSqlClient
  yield* sql`CREATE TABLE notes (id INTEGER PRIMARY KEY)`
  const [, decisions] = yield* RouteDecision.capture(
    Effect.forEach([1, 2, 3], (id) => sql`INSERT INTO notes ${sql.insert({ id })}`)
  )
  return decisions.map(({ endpoint }) => endpoint)
})

describe("of several primaries, of which the first is a standby,", () => {
  it.scopedLive("the one that takes writes gets them, and is the one that is listened to", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* freshDatabase("postgres", { remoteApply: true })
      const context = yield* Layer.build(RoutedPgClient.layer({ primary: [at(replicas[0]), at(primary)] }))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* writes, ["primary2", "primary2", "primary2"])
        const sql = yield* RoutedPgClient.RoutedPgClient
        const [main] = yield* sql.replicas
        assert.deepStrictEqual(
          main!.endpoints.map(({ endpoint, role }) => [endpoint, role]),
          [["primary", "replica"], ["primary2", "primary"]]
        )
        const heard = yield* Effect.fork(Stream.runCollect(Stream.take(sql.listen("news"), 1)))
        yield* sql.notify("news", "hello").pipe(
          Effect.repeat(Schedule.spaced("50 millis")),
          Effect.race(Fiber.await(heard)),
          Effect.timeout("5 seconds")
        )
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(heard)), ["hello"])
      }).pipe(Effect.provide(context))
    }))

  it.scopedLive("DATABASE_URL may tell both", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* freshDatabase("postgres")
      const provider = ConfigProvider.fromMap(new Map([["DATABASE_URL", `${replicas[0].url},${primary.url}`]]))
      const context = yield* Effect.withConfigProvider(Layer.build(RoutedPgClient.layerDatabaseUrl()), provider)
      assert.deepStrictEqual(yield* writes.pipe(Effect.provide(context)), ["primary2", "primary2", "primary2"])
    }))
})
