import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as ConnectionHooks from "effect-sql-router/ConnectionHooks"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type { FakePoolConnection } from "./fixtures/fakePool.js"
import { acquire, fakePool, filled, numberOf, release } from "./fixtures/fakePool.js"
import { fakeRouter } from "./fixtures/fakeRouter.js"

const refused = new SqlError({ cause: new Error("refused"), message: "Failed to connect" })

/** Hooks that tell what happened, in order. */
const telling = (): { readonly told: Array<string>; readonly hooks: ConnectionHooks.ConnectionHooks } => {
  const told: Array<string> = []
  const tell = (line: string) => Effect.sync(() => void told.push(line))
  const numberOf = (connection: unknown) => (connection as FakePoolConnection).number
  return {
    told,
    hooks: {
      beforeConnect: ({ database, endpoint, role }) => tell(`beforeConnect ${database}/${endpoint} ${role}`),
      afterConnect: (connection) => tell(`afterConnect ${numberOf(connection)}`),
      beforeReconnect: (attempt) => tell(`beforeReconnect ${attempt}`),
      afterReconnect: (connection) => tell(`afterReconnect ${numberOf(connection)}`),
      onConnectionFailure: (error, attempt) => tell(`onConnectionFailure ${error.message} ${attempt}`),
      beforeClose: (connection) => tell(`beforeClose ${numberOf(connection)}`)
    }
  }
}

const warnings = () => {
  const messages: Array<string> = []
  const layer = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel, message }) => {
      if (logLevel.label === "WARN") messages.push(`${Array.isArray(message) ? message[0] : message} ${cause._tag}`)
    })
  )
  return { messages, layer }
}

const routingError = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))

describe("ConnectionHooks", () => {
  it.scoped("tell of a connection from before it is opened until before it says good-bye", () =>
    Effect.gen(function*() {
      const { hooks, told } = telling()
      yield* Effect.scoped(Effect.flatMap(fakePool({}, { hooks }), ({ pool }) => filled(pool, 1)))
      assert.deepStrictEqual(told, ["beforeConnect main/primary primary", "afterConnect 1", "beforeClose 1"])
    }))

  it.scoped("tell of failed attempts, and of those that follow them, with their number", () =>
    Effect.gen(function*() {
      const { hooks, told } = telling()
      let attempts = 0
      const connect = Effect.suspend(() => ++attempts < 3 ? Effect.fail(refused) : Effect.void)
      const { pool } = yield* fakePool({}, { hooks, connect })
      for (let i = 0; i < 2; i++) yield* Effect.flip(acquire(pool))
      yield* acquire(pool)
      yield* acquire(pool)
      assert.deepStrictEqual(told, [
        "beforeConnect main/primary primary",
        "onConnectionFailure Failed to connect 1",
        "beforeConnect main/primary primary",
        "beforeReconnect 2",
        "onConnectionFailure Failed to connect 2",
        "beforeConnect main/primary primary",
        "beforeReconnect 3",
        "afterConnect 1",
        "afterReconnect 1",
        "beforeConnect main/primary primary",
        "afterConnect 2"
      ])
    }))

  it.scoped("tell of a reconnect after a loss, and of no good-bye to what was lost", () =>
    Effect.gen(function*() {
      const { hooks, told } = telling()
      const { open, pool } = yield* fakePool({}, { hooks })
      yield* filled(pool, 1)
      open[0]!.lose()
      yield* acquire(pool)
      assert.deepStrictEqual(told.slice(2), [
        "beforeConnect main/primary primary",
        "beforeReconnect 1",
        "afterConnect 2",
        "afterReconnect 2"
      ])
    }))

  it.scoped("run SQL on a new connection before anybody gets it", () =>
    Effect.gen(function*() {
      const { log, pool } = yield* fakePool({}, {
        hooks: { afterConnect: (connection) => connection.executeUnprepared("SET search_path TO app", [], undefined) }
      })
      yield* filled(pool, 2)
      assert.deepStrictEqual(log, ["1 SET search_path TO app", "2 SET search_path TO app"])
    }))

  it.scoped("fail the connect with their own error where afterConnect fails, and destroy the connection", () =>
    Effect.gen(function*() {
      const denied = new SqlError({ message: "permission denied" })
      const { open, pool } = yield* fakePool({}, { hooks: { afterConnect: () => Effect.fail(denied) } })
      const error = routingError(yield* Effect.flip(acquire(pool)))
      assert.isTrue(error._tag === "EndpointUnavailable" && error.cause === denied)
      assert.deepStrictEqual(open, [])
      assert.deepInclude(pool.stats, { created: 0, connectFailures: 1, connecting: 0 })
    }))

  it.scoped("fail the connect with a typed error where afterConnect dies or hangs", () =>
    Effect.gen(function*() {
      const dying = yield* fakePool({}, { hooks: { afterConnect: () => Effect.die(new Error("a bug")) } })
      const died = routingError(yield* Effect.flip(acquire(dying.pool)))
      assert.strictEqual(
        died.message,
        "Cannot connect to endpoint primary of database \"main\": "
          + "The connection hook afterConnect died for endpoint primary of database \"main\": a bug"
      )

      const hanging = yield* fakePool({ acquireTimeout: Duration.infinity }, {
        hooks: { afterConnect: () => Effect.never }
      })
      const borrower = yield* Effect.fork(Effect.flip(acquire(hanging.pool)))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(hanging.pool.stats.connecting, 1)
      yield* TestClock.adjust("1 millis")
      const late = routingError(yield* Fiber.join(borrower))
      assert.isTrue(late._tag === "EndpointUnavailable" && late.message.includes("afterConnect did not end in time"))
      assert.deepStrictEqual(hanging.open, [])
    }))

  it.scoped("are logged, and change nothing, where others fail, die or hang", () =>
    Effect.gen(function*() {
      const { layer, messages } = warnings()
      yield* Effect.gen(function*() {
        const { open, pool } = yield* fakePool({ idleTimeout: Duration.minutes(1) }, {
          hooks: {
            beforeConnect: () => Effect.fail("no"),
            beforeReconnect: () => Effect.dieMessage("a bug"),
            afterReconnect: () => {
              throw new Error("not even an effect")
            },
            beforeClose: () => Effect.never
          }
        })
        yield* filled(pool, 1)
        open[0]!.lose()
        assert.strictEqual(numberOf(yield* acquire(pool)), 2)
      }).pipe(Effect.scoped, Effect.provide(layer))
      assert.deepStrictEqual(messages, [
        "The hook beforeConnect failed for endpoint primary of database \"main\" Fail",
        "The hook beforeConnect failed for endpoint primary of database \"main\" Fail",
        "The hook beforeReconnect failed for endpoint primary of database \"main\" Die",
        "The hook afterReconnect failed for endpoint primary of database \"main\" Die"
      ])
    }))

  it.scoped("hold no place for longer than their timeout", () =>
    Effect.gen(function*() {
      const { layer, messages } = warnings()
      yield* Effect.gen(function*() {
        const { open, pool } = yield* fakePool({ max: 1, maxLifetime: Duration.minutes(1) }, {
          hooks: { beforeConnect: () => Effect.never, beforeClose: () => Effect.never }
        })
        const first = yield* Effect.fork(acquire(pool))
        yield* TestClock.adjust("1 millis")
        yield* TestClock.adjust("4998 millis")
        assert.strictEqual(open.length, 0)
        yield* TestClock.adjust("1 millis")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(open.length, 1)
        yield* Fiber.await(first)
      }).pipe(Effect.scoped, Effect.provide(layer))
      assert.strictEqual(messages[0], "The hook beforeConnect failed for endpoint primary of database \"main\" Fail")
    }))

  it.scoped("let a connection go after the timeout of beforeClose", () =>
    Effect.gen(function*() {
      const { open, pool } = yield* fakePool({ max: 1 }, { hooks: { beforeClose: () => Effect.never } })
      const slot = yield* acquire(pool)
      yield* TestClock.adjust("1 millis")
      yield* release(pool, slot)
      pool.evictOldest()
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(open.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(open.length, 0)
      assert.strictEqual(pool.stats.closing, 0)
    }).pipe(Effect.provide(warnings().layer)))

  it.scoped("come from the option, else from the Layer, with the services they need", () =>
    Effect.gen(function*() {
      class Told extends Context.Tag("Told")<Told, Array<string>>() {}
      const told: Array<string> = []
      const layer = ConnectionHooks.layer({
        beforeConnect: ({ endpoint }) => Effect.map(Told, (told) => told.push(`layer ${endpoint}`))
      }).pipe(Layer.provide(Layer.succeed(Told, told)))
      yield* Effect.gen(function*() {
        const one = yield* fakeRouter()
        yield* one.sql`INSERT 1`
        const other = yield* fakeRouter({
          hooks: { beforeConnect: ({ endpoint }) => Effect.sync(() => told.push(`option ${endpoint}`)) }
        })
        yield* other.sql`INSERT 1`
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(told, ["layer primary", "option primary"])
    }))

  it.scoped("are refused when their timeout is nonsense", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(fakeRouter({ hooks: { timeout: "soon" as never } }))
      assert.strictEqual(error.message, "Invalid configuration at hooks.timeout: soon is not a duration")
    }))
})
