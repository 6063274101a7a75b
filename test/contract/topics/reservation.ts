import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Options, Topic } from "../support.js"
import { add, freshName, makePeople, maxConnections, namesIn, session } from "../support.js"

/** Something that only one session has. */
const sessionStates: {
  readonly [dialect in Options["dialect"]]: { readonly set: string; readonly get: string }
} = {
  sqlite: { set: "PRAGMA recursive_triggers = 1", get: "PRAGMA recursive_triggers" },
  pg: { set: "SET application_name = 'reserved'", get: "SHOW application_name" },
  mysql: { set: "SET @reserved = 1", get: "SELECT @reserved AS reserved" }
}

export const reservation: Topic = (it, options) => {
  it.scoped("what a session is told, the reserved connection keeps", () =>
    Effect.gen(function*() {
      const { get, set } = sessionStates[options.dialect]
      const run = yield* session
      yield* run(set)
      for (let round = 0; round < 3; round++) {
        const [row] = yield* run(get)
        assert.include(["1", "reserved"], String(Object.values(row)[0]))
      }
      yield* run(set.replace("= 1", "= 0"))
    }))

  it.scoped("a temporary table lives on the reserved connection", () =>
    Effect.gen(function*() {
      const run = yield* session
      const table = freshName("temporary")
      yield* run(`CREATE TEMPORARY TABLE ${table} (id INTEGER)`)
      yield* run(`INSERT INTO ${table} VALUES (1)`)
      assert.deepStrictEqual(yield* run(`SELECT id FROM ${table}`), [{ id: 1 }])
      yield* run(`DROP TABLE ${table}`)
    }))

  it.scoped("a reserved connection executes in every way", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const connection = yield* sql.reserve
      const text = "SELECT 1 AS one"
      const shout = (rows: ReadonlyArray<any>) => rows.map((row) => ({ ONE: row.one }))
      assert.deepStrictEqual(yield* connection.execute(text, [], undefined), [{ one: 1 }])
      assert.deepStrictEqual(yield* connection.execute(text, [], shout as any), [{ ONE: 1 }] as any)
      assert.deepStrictEqual(yield* connection.executeUnprepared(text, [], undefined), [{ one: 1 }])
      assert.deepStrictEqual(yield* connection.executeValues(text, []), [[1]])
      assert.strictEqual(typeof (yield* connection.executeRaw(text, [])), "object")
      if (options.dialect === "sqlite" && options.expectStockDefects) return
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(yield* Stream.runCollect(connection.executeStream(text, [], undefined))),
        [{ one: 1 }]
      )
    }))

  it.effect("a reserved connection writes like any other", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* Effect.scoped(Effect.flatMap(session, (run) => run(`INSERT INTO ${people} (name) VALUES ('Ada')`)))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect("a reserved connection comes back at the end of its Scope, however that ends", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const use = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.scoped(Effect.zipRight(session, body))
      for (let round = 0; round < 2 * maxConnections; round++) {
        yield* use(Effect.void)
        yield* Effect.flip(use(Effect.fail("failed")))
        const held = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(use(Effect.zipRight(Deferred.succeed(held, undefined), Effect.never)))
        yield* Deferred.await(held)
        yield* Fiber.interrupt(fiber)
      }
      yield* add(people, "Ada")
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }).pipe(Effect.timeout("5 seconds")))

  if (options.dialect !== "sqlite") {
    it.scoped("reserved connections are different ones", () =>
      Effect.gen(function*() {
        const id = options.dialect === "pg" ? "SELECT pg_backend_pid() AS id" : "SELECT CONNECTION_ID() AS id"
        const ids = yield* Effect.forEach([1, 2, 3], () => Effect.flatMap(session, (run) => run(id)))
        assert.strictEqual(new Set(ids.map(([row]) => row.id)).size, 3)
      }))
  }
}
