import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"
import { routingError } from "../transaction/engines.js"

/** What has come of an effect when so much time has passed. */
const after = <A, E>(duration: Duration.DurationInput, effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("1 millis")
    yield* TestClock.adjust(duration)
    const exit = fiber.unsafePoll()
    if (exit === null) yield* Effect.fork(Fiber.interrupt(fiber))
    return exit
  })

const isLate = <A>(exit: Exit.Exit<A, unknown> | null, endpoint: string | undefined) => {
  assert.isNotNull(exit)
  const late = routingError(Option.getOrThrow(Option.flatMap(Exit.causeOption(exit!), Cause.failureOption)))
  assert.strictEqual(late._tag, "DeadlineExceeded")
  assert.strictEqual((late as { readonly endpoint?: string }).endpoint, endpoint)
  assert.include(late.message, endpoint === undefined ? "waited for a connection" : `endpoint ${endpoint}`)
}

const never = { execute: (sql: string) => sql.startsWith("SLOW") ? Effect.never : Effect.succeed([{ id: 1 }]) }

describe("a deadline", () => {
  it.scoped("caps a statement that runs, and says where it ran", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({ primary: never })
      const slow = RoutedSqlClient.withDeadline("2 seconds")(sql`SLOW`)
      assert.isNull(yield* after("1900 millis", slow))
      isLate(yield* after("2 seconds", slow), "primary")
      yield* TestClock.adjust("1 millis")
      // What was interrupted is not used again.
      assert.isTrue(open.every((connection) => connection.isUsable()))
    }))

  it.scoped("caps the wait for a connection, and says that it waited", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never, pool: { max: 1 } })
      yield* Effect.forkScoped(sql.withTransaction(sql`SLOW`))
      yield* TestClock.adjust("1 millis")
      const within = RoutedSqlClient.withDeadline("2 seconds")
      isLate(yield* after("2 seconds", within(sql`QUICK`)), undefined)
      isLate(yield* after("2 seconds", within(sql.withTransaction(sql`QUICK`))), undefined)
      isLate(yield* after("2 seconds", within(Stream.runDrain(sql`QUICK`.stream))), undefined)
      isLate(yield* after("2 seconds", Effect.scoped(within(sql.reserve))), undefined)
      isLate(yield* after("2 seconds", within(sql.withPooledConnection({}, () => Effect.void))), undefined)
      const [pool] = yield* sql.pools
      assert.strictEqual(pool!.waiting, 0)
    }))

  it.scoped("caps a stream on a reserved connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never })
      const connection = yield* sql.reserve
      const within = RoutedSqlClient.withDeadline("2 seconds")
      const exit = yield* after("2 seconds", within(Stream.runDrain(connection.executeStream("SLOW", [], undefined))))
      assert.include(String(exit), "DeadlineExceeded")
    }))

  it.scoped("is for all statements of the effect together", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        primary: { execute: () => Effect.as(Effect.sleep("1 second"), []) }
      })
      const three = Effect.all([sql`ONE`, sql`TWO`, sql`THREE`])
      isLate(yield* after("2500 millis", RoutedSqlClient.withDeadline("2500 millis")(three)), "primary")
      assert.deepStrictEqual(log.map((line) => line.split(" ")[1]), ["ONE", "TWO", "THREE"])
    }))

  it.scoped("that has passed lets nothing be sent", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const statement = Effect.zipRight(Effect.sleep("1 second"), sql`LATE`)
      isLate(yield* after("1 second", RoutedSqlClient.withDeadline("500 millis")(statement)), undefined)
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("within another: the one that comes first counts", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never })
      const nested = (outer: Duration.DurationInput, inner: Duration.DurationInput) =>
        RoutedSqlClient.withDeadline(outer)(RoutedSqlClient.withDeadline(inner)(sql`SLOW`))
      isLate(yield* after("1 second", nested("1 second", "5 seconds")), "primary")
      isLate(yield* after("1 second", nested("5 seconds", "1 second")), "primary")
      assert.isNull(yield* after("4 seconds", nested("5 seconds", Duration.infinity)))
    }))

  it.scoped("caps each pull of a stream, and the statements between them", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: { execute: () => Effect.never } })
      isLate(
        yield* after("1 second", RoutedSqlClient.withDeadline("1 second")(Stream.runDrain(sql`A`.stream))),
        "primary"
      )
      const inside = RoutedSqlClient.withDeadline("1 second")(sql.withTransaction(Stream.runDrain(sql`A`.stream)))
      assert.isNotNull(yield* after("1 second", inside))
    }))

  it.scoped("caps attempts that follow one another", () =>
    Effect.gen(function*() {
      const lost = { connection: "destroy", blame: "endpoint", outcome: "notSent", readRetry: "elsewhere" } as const
      const fail = { execute: () => Effect.zipRight(Effect.sleep("700 millis"), Effect.fail(failure(lost))) }
      const { log, sql } = yield* fakeRouter({ primary: fail, replicas: { replica1: fail, replica2: fail } })
      const exit = yield* after("1 second", RoutedSqlClient.withDeadline("1 second")(sql`SELECT 1`))
      assert.isTrue(exit !== null && Exit.isFailure(exit))
      assert.isAtMost(log.length, 2)
    }))

  it.scoped("caps the wait of a nested transaction for its turn", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never })
      const started = yield* Deferred.make<void>()
      const exit = yield* after(
        "1 second",
        sql.withTransaction(Effect.all([
          Effect.zipRight(Deferred.succeed(started, undefined), sql`SLOW`),
          Effect.zipRight(
            Deferred.await(started),
            Effect.delay(RoutedSqlClient.withDeadline("500 millis")(sql.withTransaction(sql`QUICK`)), "100 millis")
          )
        ], { concurrency: "unbounded" }))
      )
      isLate(exit, undefined)
    }))

  it.scoped("is a time of the clock, not of the fiber: children share it", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never })
      const forked = Effect.flatMap(Effect.fork(Effect.delay(sql`SLOW`, "600 millis")), Fiber.join)
      isLate(yield* after("1 second", RoutedSqlClient.withDeadline("1 second")(forked)), "primary")
    }))
})

describe("Effect.timeout", () => {
  it.scoped("interrupts whatever a statement waits for, at once", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ primary: never, pool: { max: 1 } })
      const timed = (effect: Effect.Effect<unknown, SqlError>) => Effect.option(Effect.timeout(effect, "1 second"))
      const running = yield* after("1 second", timed(sql`SLOW`))
      assert.isTrue(running !== null && Exit.isSuccess(running))
      yield* Effect.forkScoped(sql.withTransaction(sql`SLOW`))
      yield* TestClock.adjust("1 millis")
      const waiting = yield* after("1 second", timed(sql`QUICK`))
      assert.isTrue(waiting !== null && Exit.isSuccess(waiting))
    }))
})
