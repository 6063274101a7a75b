import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Engine } from "./engines.js"
import { ids, insert, tagOf } from "./engines.js"

/** What holds of transactions on every engine. */
export const suite = (engine: Engine) => {
  const router = (options?: RoutedSqlClient.RouterOptions) =>
    Effect.flatMap(engine.place, (place) => place.router(options))
  const withReplicas = Effect.flatMap(engine.place, (place) => place.withReplicas())

  describe(`transactions on ${engine.name}`, () => {
    it.scopedLive("lose nothing of concurrent nested ones with a statement of the outer one between them", () =>
      Effect.gen(function*() {
        const sql = yield* router()
        const nested = (id: number) =>
          sql.withTransaction(Effect.all([insert(sql, id), Effect.sleep("5 millis"), insert(sql, id + 1)]))
        yield* sql.withTransaction(Effect.all([
          nested(10),
          Effect.ignore(sql.withTransaction(Effect.zipRight(insert(sql, 20), Effect.fail("undone")))),
          Effect.delay(insert(sql, 30), "2 millis"),
          nested(40),
          insert(sql, 50)
        ], { concurrency: "unbounded" }))
        assert.deepStrictEqual(yield* ids(sql), [10, 11, 30, 40, 41, 50])
      }))

    it.scopedLive("can be interrupted while they wait for a connection, and lose none", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const held = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(sql.withTransaction(
          Effect.zipRight(insert(sql, 1), Effect.zipRight(Deferred.succeed(held, undefined), Effect.never))
        ))
        yield* Deferred.await(held)
        const waiting = yield* Effect.fork(sql.withTransaction(insert(sql, 2)))
        yield* Effect.sleep("20 millis")
        const [elapsed] = yield* Effect.timed(Fiber.interrupt(waiting))
        assert.isBelow(Duration.toMillis(elapsed), 1000)
        yield* Fiber.interrupt(holder)
        yield* sql.withTransaction(insert(sql, 3))
        assert.deepStrictEqual(yield* ids(sql), [3])
      }))

    it.scopedLive("are undone when they are interrupted between statements", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const written = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(sql.withTransaction(
          Effect.zipRight(insert(sql, 1), Effect.zipRight(Deferred.succeed(written, undefined), Effect.never))
        ))
        yield* Deferred.await(written)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.deepStrictEqual(yield* ids(sql), [])
        yield* insert(sql, 1)
      }))

    it.scopedLive("let a plain client do nothing inside, and tell it why", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const sql = yield* place.router()
        const stock = yield* place.stock
        const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(sql, 1), insert(stock, 2))))
        assert.strictEqual(tagOf(error), "ForeignClientInTransaction")
        assert.deepStrictEqual(yield* ids(sql), [])
      }))

    it.scopedLive("ignore the transaction of a plain client around them", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const other = yield* engine.place
        const sql = yield* place.router()
        const stock = yield* other.stock
        yield* Effect.ignore(stock.withTransaction(Effect.all([
          insert(stock, 1),
          insert(sql, 2),
          sql.withTransaction(insert(sql, 3)),
          Effect.fail("undone")
        ])))
        assert.deepStrictEqual(yield* ids(stock), [])
        assert.deepStrictEqual(yield* ids(sql), [2, 3])
      }))

    it.scopedLive("of two routers nest independently", () =>
      Effect.gen(function*() {
        const a = yield* router()
        const b = yield* router()
        yield* a.withTransaction(Effect.gen(function*() {
          yield* insert(a, 1)
          yield* Effect.ignore(b.withTransaction(Effect.all([
            insert(b, 2),
            insert(a, 3),
            a.withTransaction(Effect.zipRight(insert(a, 4), insert(b, 5))),
            Effect.fail("undoes b")
          ])))
          yield* b.withTransaction(insert(b, 6))
        }))
        assert.deepStrictEqual(yield* ids(a), [1, 3, 4])
        assert.deepStrictEqual(yield* ids(b), [6])
      }))

    it.scopedLive("leave nothing to a daemon that outlives them", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const gate = yield* Deferred.make<void>()
        const daemon = yield* sql.withTransaction(
          Effect.zipRight(insert(sql, 1), Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), insert(sql, 2))))
        )
        yield* Effect.ignore(sql.withTransaction(Effect.gen(function*() {
          yield* insert(sql, 3)
          yield* Deferred.succeed(gate, undefined)
          assert.strictEqual(tagOf(yield* Effect.flip(Fiber.join(daemon))), "TransactionClosed")
          yield* Effect.fail("undone")
        })))
        assert.deepStrictEqual(yield* ids(sql), [1])
      }))

    it.scopedLive("that only read are refused writes by the server, on the primary", () =>
      Effect.gen(function*() {
        const sql = yield* router()
        const error = yield* Effect.flip(
          sql.transaction({ access: "readOnly" })(Effect.zipRight(ids(sql), insert(sql, 1)))
        )
        assert.match(String((error.cause as Error).message), /read.?only|readonly/i)
        assert.deepStrictEqual(yield* ids(sql), [])
        // The connection takes writes again.
        yield* insert(sql, 2)
      }))

    it.scopedLive("that only read run on a replica, whose refusal of a write is not circumvented", () =>
      Effect.gen(function*() {
        const sql = yield* withReplicas
        assert.deepStrictEqual(yield* sql.readOnlyTransaction(ids(sql)), [])
        const error = yield* Effect.flip(sql.readOnlyTransaction(insert(sql, 1)))
        assert.match(String((error.cause as Error).message), /read.?only|readonly/i)
        assert.deepStrictEqual(yield* sql.withTransaction(ids(sql)), [])
        const used = (yield* sql.pools).filter((pool) => pool.acquired > 0).map((pool) => pool.endpoint)
        assert.isTrue(used.some((endpoint) => endpoint.startsWith("replica")))
      }))

    it.scopedLive("that only read see one snapshot", () =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const sql = yield* place.router()
        const other = yield* place.router()
        yield* sql.readOnlyTransaction(Effect.gen(function*() {
          assert.deepStrictEqual(yield* ids(sql), [])
          yield* insert(other, 1)
          assert.deepStrictEqual(yield* ids(sql), [])
        }))
        assert.deepStrictEqual(yield* ids(sql), [1])
      }))

    it.scopedLive("cannot write inside one that only reads, and are told so before anything is sent", () =>
      Effect.gen(function*() {
        const sql = yield* withReplicas
        const error = yield* Effect.flip(sql.readOnlyTransaction(sql.withTransaction(insert(sql, 1))))
        assert.strictEqual(tagOf(error), "TransactionModeConflict")
        assert.deepStrictEqual((yield* sql.pools).map((pool) => pool.acquired).filter((n) => n > 0), [])
      }))

    it.scopedLive("that only read are a part of one that writes around them", () =>
      Effect.gen(function*() {
        const sql = yield* withReplicas
        const seen = yield* sql.withTransaction(Effect.zipRight(insert(sql, 1), sql.readOnlyTransaction(ids(sql))))
        assert.deepStrictEqual(seen, [1])
      }))

    it.scopedLive("that the engine does not have fail before anything is sent", () =>
      Effect.gen(function*() {
        const sql = yield* router()
        const wrong: RoutedSqlClient.TransactionOptions = engine.name === "sqlite"
          ? { isolation: "readCommitted" }
          : { mode: "exclusive" }
        const error = yield* Effect.flip(sql.transaction(wrong)(insert(sql, 1)))
        assert.strictEqual(tagOf(error), "ConfigurationError")
        assert.deepStrictEqual((yield* sql.pools).map((pool) => pool.created), (yield* sql.pools).map(() => 0))
      }))

    it.scopedLive("run what was kept for after them once they are committed, and not when they are undone", () =>
      Effect.gen(function*() {
        const sql = yield* router()
        const seen: Array<ReadonlyArray<number>> = []
        const look = RoutedSqlClient.afterCommit(Effect.orDie(Effect.map(ids(sql), (ids) => void seen.push(ids))))
        yield* sql.withTransaction(Effect.zipRight(insert(sql, 1), look))
        yield* Effect.ignore(sql.withTransaction(Effect.all([insert(sql, 2), look, Effect.fail("undone")])))
        assert.deepStrictEqual(seen, [[1]])
      }))

    it.scopedLive("leave a reserved connection usable to nobody after its Scope", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const connection = yield* Effect.scoped(sql.reserve)
        const error = yield* Effect.flip(connection.execute("SELECT 1", [], undefined))
        assert.strictEqual(tagOf(error), "TransactionClosed")
        const streamed = yield* Effect.flip(Stream.runDrain(connection.executeStream("SELECT 1", [], undefined)))
        assert.strictEqual(tagOf(streamed), "TransactionClosed")
        assert.deepStrictEqual(yield* ids(sql), [])
      }))
  })
}
