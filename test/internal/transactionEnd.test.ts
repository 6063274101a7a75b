import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const tagOf = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))._tag

const { afterCommit, retryTransaction } = RoutedSqlClient

const notes = () => {
  const seen: Array<string> = []
  return { seen, note: (text: string) => afterCommit(Effect.sync(() => void seen.push(text))) }
}

describe("afterCommit", () => {
  it.scoped("runs at once outside a transaction", () =>
    Effect.gen(function*() {
      const { note, seen } = notes()
      yield* note("now")
      assert.deepStrictEqual(seen, ["now"])
    }))

  it.scoped("runs after the outermost COMMIT, in order, without those of an undone nested transaction", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const { note, seen } = notes()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* note("first")
        yield* sql.withTransaction(Effect.zipRight(sql`INSERT 1`, note("nested")))
        yield* Effect.ignore(sql.withTransaction(Effect.all([sql`INSERT 2`, note("undone"), Effect.fail("no")])))
        yield* afterCommit(Effect.sync(() => void seen.push(`after ${log.at(-1)}`)))
        assert.deepStrictEqual(seen, [])
      }))
      assert.deepStrictEqual(seen, ["first", "nested", "after primary#1 COMMIT"])
    }))

  it.scoped("does not run when the transaction is undone, or nobody knows whether it was", () =>
    Effect.gen(function*() {
      const { note, seen } = notes()
      const { sql } = yield* fakeRouter({
        primary: {
          execute: (text) =>
            text === "COMMIT"
              ? Effect.fail(failure({ connection: "destroy", outcome: "unknown" }))
              : Effect.succeed([])
        }
      })
      yield* Effect.exit(sql.withTransaction(Effect.all([sql`INSERT 1`, note("a"), Effect.fail("no")])))
      yield* Effect.exit(sql.withTransaction(Effect.all([sql`INSERT 1`, note("b"), Effect.interrupt])))
      yield* Effect.exit(sql.withTransaction(Effect.all([sql`INSERT 1`, note("c")])))
      assert.deepStrictEqual(seen, [])
    }))

  it.scoped("that dies is logged, and keeps neither the transaction from succeeding nor the next from running", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const { note, seen } = notes()
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel }) => void logged.push(logLevel._tag))
      const result = yield* sql.withTransaction(Effect.as(
        Effect.all([sql`INSERT 1`, afterCommit(Effect.die("bug")), note("next")]),
        42
      )).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)), Logger.withMinimumLogLevel(LogLevel.Error))
      assert.strictEqual(result, 42)
      assert.deepStrictEqual([seen, logged], [["next"], ["Error"]])
    }))

  it.scoped("runs outside of the transaction, and what it writes is committed on its own", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql.withTransaction(Effect.zipRight(
        sql`INSERT 1`,
        afterCommit(Effect.orDie(sql.withTransaction(sql`INSERT 2`)))
      ))
      assert.deepStrictEqual(log.map((line) => line.slice(line.indexOf(" ") + 1)), [
        "BEGIN",
        "INSERT 1",
        "COMMIT",
        "BEGIN",
        "INSERT 2",
        "COMMIT"
      ])
    }))

  it.scoped("of a fiber that outlives the transaction runs at once if that was committed, else never", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const { note, seen } = notes()
      const gate = yield* Deferred.make<void>()
      const late = (text: string) => Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), note(text)))
      const committed = yield* sql.withTransaction(late("committed"))
      let undone: Fiber.Fiber<void> | undefined
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(
        Effect.tap(late("undone"), (fiber) => Effect.sync(() => void (undone = fiber))),
        Effect.fail("no")
      )))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(committed)
      yield* Fiber.join(undone!)
      assert.deepStrictEqual(seen, ["committed"])
    }))

  it.scoped("of the inner one of two routers waits for that one's own commit", () =>
    Effect.gen(function*() {
      const a = yield* fakeRouter()
      const b = yield* fakeRouter()
      const { note, seen } = notes()
      yield* Effect.exit(a.sql.withTransaction(Effect.gen(function*() {
        yield* note("a")
        yield* b.sql.withTransaction(note("b"))
        assert.deepStrictEqual(seen, ["b"])
        return yield* Effect.fail("undoes a")
      })))
      assert.deepStrictEqual(seen, ["b"])
    }))
})

describe("retryTransaction", () => {
  const conflict = failure({ blame: "transaction", outcome: "rolledBack" })
  const retry = <A, E, R>(effect: Effect.Effect<A, E, R>) => retryTransaction(Schedule.recurs(2))(effect)

  /** Fails the first statements, or COMMITs, with what is said. */
  const failing = (error: SqlError, times: number, text: string) => {
    let left = times
    return (sql: string) => Effect.suspend(() => sql === text && left-- > 0 ? Effect.fail(error) : Effect.succeed([]))
  }
  const runs = (error: SqlError, times: number, text = "INSERT 1") =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { execute: failing(error, times, text) } })
      const exit = yield* Effect.exit(retry(sql.withTransaction(sql`INSERT 1`)))
      return [log.filter((line) => line.endsWith("BEGIN")).length, Exit.isSuccess(exit)] as const
    })

  it.scoped("runs a transaction again after a conflict, at a statement or at COMMIT, as often as the schedule says", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runs(conflict, 1), [2, true])
      assert.deepStrictEqual(yield* runs(conflict, 1, "COMMIT"), [2, true])
      assert.deepStrictEqual(yield* runs(conflict, 9), [3, false])
    }))

  it.scoped("does not when it was the statement's own fault, or nobody knows what became of COMMIT", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runs(failure({}), 1), [1, false])
      const lost = failure({ blame: "transaction", connection: "destroy", outcome: "unknown" })
      assert.deepStrictEqual(yield* runs(lost, 1, "COMMIT"), [1, false])
    }))

  it.scoped("does not when a nested transaction could not be undone", () =>
    Effect.gen(function*() {
      let runs = 0
      const { sql } = yield* fakeRouter({
        primary: {
          execute: (text) => text.startsWith("ROLLBACK TO") ? Effect.fail(conflict) : Effect.succeed([])
        }
      })
      const transaction = sql.withTransaction(Effect.suspend(() => {
        runs++
        return Effect.ignore(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, Effect.fail("no"))))
      }))
      const error = yield* Effect.flip(retry(transaction))
      assert.deepStrictEqual([runs, tagOf(error)], [1, "TransactionRolledBack"])
    }))

  it.scoped("does nothing inside a transaction, and leaves a statement of its own alone", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { execute: failing(conflict, 9, "INSERT 1") } })
      yield* Effect.exit(sql.withTransaction(retry(sql.withTransaction(sql`INSERT 1`))))
      assert.strictEqual(log.filter((line) => line.endsWith("INSERT 1")).length, 1)
      const before = log.length
      yield* Effect.exit(sql.withTransaction(RoutedSqlClient.isolated(retry(sql`INSERT 1`))))
      assert.strictEqual(log.slice(before).filter((line) => line.endsWith("INSERT 1")).length, 1)
    }))

  it.scoped("runs again when a conflict ended one of several fibers", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { execute: failing(conflict, 1, "INSERT 1") } })
      yield* retry(sql.withTransaction(Effect.all([sql`INSERT 1`, sql`SELECT 1`], { concurrency: "unbounded" })))
      assert.strictEqual(log.filter((line) => line.endsWith("BEGIN")).length, 2)
    }))
})

describe("a server that does not answer", () => {
  it.scoped("is waited for with the rollback of a failed transaction only as long as others use its connection", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({
        primary: { execute: (text) => text === "HANG" ? Effect.never : Effect.succeed([]) },
        pool: { max: 1 }
      })
      const fiber = yield* Effect.fork(Effect.exit(sql.withTransaction(Effect.all([
        sql`INSERT 1`,
        Effect.forkDaemon(sql`HANG`),
        Effect.yieldNow(),
        Effect.fail("mine")
      ]))))
      yield* TestClock.adjust("1 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail("mine"))
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("loses a reserved connection that somebody uses for longer than a while after its Scope", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        primary: { execute: (text) => text === "HANG" ? Effect.never : Effect.succeed([]) },
        pool: { max: 1 }
      })
      const fiber = yield* Effect.fork(
        Effect.scoped(
          Effect.flatMap(
            sql.reserve,
            (connection) =>
              Effect.zipRight(Effect.forkDaemon(connection.execute("HANG", [], undefined)), Effect.yieldNow())
          )
        )
      )
      yield* TestClock.adjust("1 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      yield* sql`INSERT 1`
    }))
})
