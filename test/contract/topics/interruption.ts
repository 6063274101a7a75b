import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Topic } from "../support.js"
import { add, makePeople, maxConnections, namesIn, session } from "../support.js"

export const interruption: Topic = (it, { dialect, expectStockDefects }) => {
  it.effect("a statement that waits for a connection is interrupted promptly, and others go on", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.replicateEffect(session, dialect === "sqlite" ? 1 : maxConnections)
        const fiber = yield* Effect.fork(add(people, "Ada"))
        yield* Effect.sleep("20 millis")
        const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
        assert.isBelow(Duration.toMillis(took), 500)
      }))
      yield* add(people, "Bob")
      assert.include(yield* namesIn(people), "Bob")
    }))

  // A statement of SQLite is one synchronous call: nothing can come in between.
  if (dialect === "sqlite") return

  const sleep = Effect.map(
    SqlClient.SqlClient,
    (sql) => sql.onDialectOrElse({ pg: () => sql`SELECT pg_sleep(3)`, orElse: () => sql`SELECT SLEEP(3)` })
  )

  it.effect("a running statement is interrupted promptly, and others go on", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const fiber = yield* Effect.fork(Effect.flatten(sleep))
      yield* Effect.sleep("100 millis")
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(took), 1500)
      yield* add(people, "Ada")
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect("a running statement times out promptly", () =>
    Effect.gen(function*() {
      const [took, result] = yield* Effect.timed(Effect.timeoutOption(Effect.flatten(sleep), "100 millis"))
      assert.strictEqual(result._tag, "None")
      assert.isBelow(Duration.toMillis(took), 1500)
    }))

  // The stock client of MySQL lets the statement run to its end, and waits: see the differences.
  if (dialect === "pg" || !expectStockDefects) {
    it.effect("a transaction is interrupted promptly while a statement of it runs, and undone", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        const fiber = yield* Effect.fork(
          sql.withTransaction(Effect.zipRight(add(people, "Ada"), Effect.flatten(sleep)))
        )
        yield* Effect.sleep("100 millis")
        const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
        assert.isBelow(Duration.toMillis(took), 1500)
        assert.deepStrictEqual(yield* namesIn(people), [])
      }))
  }

  it.effect("a statement whose race is lost is interrupted", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const winner = yield* Effect.race(Effect.flatten(sleep), Effect.delay(sql`SELECT 1 AS one`, "100 millis"))
      assert.deepStrictEqual(winner.map((row) => Number(Object.values(row)[0])), [1])
    }))
}
