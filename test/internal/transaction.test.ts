import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"
import { yieldAt } from "../fixtures/yieldAt.js"

const texts = (log: ReadonlyArray<string>) => log.map((line) => line.slice(line.indexOf(" ") + 1))

const tagOf = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))._tag

/** The fake endpoint fails the texts that are named, with what is said of them. */
const failing = (errors: { readonly [text: string]: SqlError }) => (sql: string) =>
  errors[sql] === undefined ? Effect.succeed([]) : Effect.fail(errors[sql])

describe("withTransaction", () => {
  it.scoped("runs all its statements, reads too, on one connection of the primary", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: {} } })
      yield* sql.withTransaction(Effect.zipRight(sql`INSERT 1`, sql`SELECT 1`))
      assert.deepStrictEqual(log, ["primary#1 BEGIN", "primary#1 INSERT 1", "primary#1 SELECT 1", "primary#1 COMMIT"])
    }))

  it.scoped("sends nothing, and borrows nothing, when it has no statements", () =>
    Effect.gen(function*() {
      const { log, open, sql } = yield* fakeRouter()
      assert.strictEqual(yield* sql.withTransaction(Effect.succeed(42)), 42)
      assert.deepStrictEqual([log.length, open.length], [0, 0])
    }))

  it.scoped("rolls back when its body fails, dies or is interrupted, and passes the exit on", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const run = (end: Effect.Effect<never, string>) =>
        Effect.exit(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, end)))
      assert.deepStrictEqual(yield* run(Effect.fail("no")), Exit.fail("no"))
      assert.isTrue(Exit.isFailure(yield* run(Effect.die("defect"))))
      assert.isTrue(Exit.isInterrupted(yield* run(Effect.interrupt)))
      assert.deepStrictEqual(texts(log).filter((_) => _ === "ROLLBACK").length, 3)
      assert.notInclude(texts(log), "COMMIT")
    }))

  it.scoped("keeps the body's error when the rollback fails, and destroys the connection", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({ primary: { execute: failing({ ROLLBACK: failure({}) }) } })
      const exit = yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, Effect.fail("mine"))))
      assert.deepStrictEqual(exit, Exit.fail("mine"))
      yield* Effect.yieldNow()
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("fails, typed, when COMMIT is refused", () =>
    Effect.gen(function*() {
      const refusal = failure({ outcome: "rolledBack" })
      const { sql } = yield* fakeRouter({ primary: { execute: failing({ COMMIT: refusal }) } })
      assert.strictEqual(yield* Effect.flip(sql.withTransaction(sql`INSERT 1`)), refusal)
    }))

  it.scoped("says so when nobody knows whether COMMIT happened", () =>
    Effect.gen(function*() {
      const lost = failure({ connection: "destroy", outcome: "unknown" })
      const { sql } = yield* fakeRouter({ primary: { execute: failing({ COMMIT: lost }) } })
      assert.strictEqual(tagOf(yield* Effect.flip(sql.withTransaction(sql`INSERT 1`))), "CommitOutcomeUnknown")
    }))

  it.scoped("fails with the error of BEGIN even if its body swallows it, and runs nothing more", () =>
    Effect.gen(function*() {
      const refusal = failure({ blame: "configuration" })
      const { log, sql } = yield* fakeRouter({ primary: { execute: failing({ BEGIN: refusal }) } })
      const body = Effect.all([Effect.ignore(sql`INSERT 1`), Effect.ignore(sql`INSERT 2`)])
      assert.deepInclude((yield* Effect.flip(sql.withTransaction(body))).cause, { blame: "configuration" })
      assert.deepStrictEqual(texts(log), ["BEGIN"])
    }))

  it.scoped("replaces a connection that turns out dead at BEGIN", () =>
    Effect.gen(function*() {
      let dead = true
      const execute = (text: string) =>
        Effect.suspend(() => {
          if (text !== "BEGIN" || !dead) return Effect.succeed([])
          dead = false
          return Effect.fail(failure({ blame: "connection", connection: "destroy", outcome: "notSent" }))
        })
      const { log, open, sql } = yield* fakeRouter({ primary: { execute } })
      yield* sql.withTransaction(sql`INSERT 1`)
      assert.deepStrictEqual(log, ["primary#1 BEGIN", "primary#2 BEGIN", "primary#2 INSERT 1", "primary#2 COMMIT"])
      yield* Effect.yieldNow()
      assert.strictEqual(open.length, 1)
    }))

  it.scoped("fails when its connection was lost and its body swallowed that", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter()
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.zipRight(sql`INSERT 1`, Effect.sync(() => open[0]!.lose()))
      ))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
    }))

  it.scoped("is interrupted promptly while it waits for a connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ pool: { max: 1 } })
      const held = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, Effect.never)))
      yield* Effect.yieldNow()
      const waiting = yield* Effect.fork(sql.withTransaction(sql`INSERT 2`))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(held)
      assert.deepStrictEqual((yield* sql.pools).map((_) => [_.active, _.waiting]), [[0, 0]])
    }))
})

describe("a nested transaction", () => {
  it.scoped("misses no turn, wherever its fiber gives way", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const nested = sql.withTransaction(Effect.zipRight(sql`INSERT 1`, Effect.yieldNow()))
      for (let step = 1; step < 150; step++) {
        const fiber = yield* Effect.fork(
          yieldAt(sql.withTransaction(Effect.all([nested, nested, sql`INSERT 2`], { concurrency: "unbounded" })), step)
        )
        for (let i = 0; i < 60 && fiber.unsafePoll() === null; i++) yield* Effect.yieldNow()
        assert.isNotNull(fiber.unsafePoll(), `gave way at step ${step}`)
      }
    }))

  it.scoped("is a savepoint, sent with its first statement and released at its end", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT 1`
        yield* sql.withTransaction(Effect.void)
        yield* sql.withTransaction(sql`INSERT 2`)
      }))
      assert.deepStrictEqual(texts(log), [
        "BEGIN",
        "INSERT 1",
        "SAVEPOINT effect_sql_2",
        "INSERT 2",
        "RELEASE effect_sql_2",
        "COMMIT"
      ])
    }))

  it.scoped("undoes only itself when it fails", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT 1`
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`INSERT 2`, Effect.fail("no"))))
        yield* sql`INSERT 3`
      }))
      assert.deepStrictEqual(texts(log), [
        "BEGIN",
        "INSERT 1",
        "SAVEPOINT effect_sql_1",
        "INSERT 2",
        "ROLLBACK TO effect_sql_1",
        "RELEASE effect_sql_1",
        "INSERT 3",
        "COMMIT"
      ])
    }))

  it.scoped("begins the transaction around it if that has sent nothing yet", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql.withTransaction(sql.withTransaction(sql.withTransaction(sql`INSERT 1`)))
      assert.deepStrictEqual(texts(log), [
        "BEGIN",
        "SAVEPOINT effect_sql_1",
        "SAVEPOINT effect_sql_2",
        "INSERT 1",
        "RELEASE effect_sql_2",
        "RELEASE effect_sql_1",
        "COMMIT"
      ])
    }))

  it.scoped("runs beside no other: concurrent ones, and statements of the outer one, wait for their turn", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        primary: {
          execute: (text) => text.startsWith("SLOW") ? Effect.as(Effect.sleep("1 seconds"), []) : Effect.succeed([])
        }
      })
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.all([
        Effect.ignore(sql.withTransaction(Effect.zipRight(sql`SLOW a`, Effect.fail("undo a")))),
        sql.withTransaction(Effect.zipRight(sql`SLOW b`, sql`INSERT b`)),
        Effect.zipRight(Effect.sleep("500 millis"), sql`INSERT outer`)
      ], { concurrency: "unbounded" })))
      yield* TestClock.adjust("1 minutes")
      yield* Fiber.join(fiber)
      const lines = texts(log)
      assert.deepStrictEqual(lines.slice(0, 5), [
        "BEGIN",
        "SAVEPOINT effect_sql_1",
        "SLOW a",
        "ROLLBACK TO effect_sql_1",
        "RELEASE effect_sql_1"
      ])
      const nested = lines.slice(lines.indexOf("SAVEPOINT effect_sql_2"))
      assert.deepStrictEqual(nested.slice(0, 4), [
        "SAVEPOINT effect_sql_2",
        "SLOW b",
        "INSERT b",
        "RELEASE effect_sql_2"
      ])
      assert.include(lines, "INSERT outer")
      assert.strictEqual(lines.at(-1), "COMMIT")
    }))

  it.scoped("that a statement of the outer one waits for in vain is named as the reason", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const gate = yield* Deferred.make<void>()
      const deadlock = Effect.all([
        sql.withTransaction(Effect.zipRight(sql`INSERT inner`, Deferred.await(gate))),
        Effect.zipRight(
          Effect.sleep("1 seconds"),
          Effect.zipRight(sql`INSERT outer`, Deferred.succeed(gate, undefined))
        )
      ], { concurrency: "unbounded" })
      const fiber = yield* Effect.fork(Effect.flip(sql.withTransaction(deadlock)))
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual(tagOf(yield* Fiber.join(fiber)), "TransactionFrameBusy")
    }))

  it.scoped("that could not be undone keeps the transaction from being committed", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        primary: { execute: failing({ "ROLLBACK TO effect_sql_1": failure({}) }) }
      })
      const error = yield* Effect.flip(sql.withTransaction(
        Effect.ignore(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, Effect.fail("no"))))
      ))
      assert.strictEqual(tagOf(error), "TransactionRolledBack")
      assert.strictEqual(texts(log).at(-1), "ROLLBACK")
    }))
})

describe("a fiber that outlives its transaction", () => {
  const slow = (sql: string) =>
    sql.startsWith("SLOW") ? Effect.as(Effect.sleep("1 seconds"), []) : Effect.succeed([{ a: 1 }, { a: 2 }])

  const aWhile = Effect.repeatN(Effect.yieldNow(), 10)

  it.scoped("does not begin it after its end", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        primary: {
          execute: (text) => text === "BEGIN" ? Effect.as(Effect.sleep("1 seconds"), []) : Effect.succeed([])
        },
        pool: { max: 1 }
      })
      const late = yield* sql.withTransaction(
        Effect.zipLeft(Effect.forkDaemon(sql`INSERT late`), aWhile)
      )
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(tagOf(yield* Effect.flip(Fiber.join(late))), "TransactionClosed")
      assert.deepStrictEqual(texts(log), ["BEGIN", "ROLLBACK"])
      assert.deepStrictEqual((yield* sql.pools).map((_) => [_.active, _.idle]), [[0, 1]])
    }))

  it.scoped("ends its statement before the connection is somebody else's", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { execute: slow }, pool: { max: 1 } })
      const fiber = yield* Effect.fork(sql.withTransaction(
        Effect.zipRight(sql`INSERT 1`, Effect.zipLeft(Effect.forkDaemon(sql`SLOW`), aWhile))
      ))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual((yield* sql.pools).map((_) => _.active), [1])
      yield* TestClock.adjust("500 millis")
      yield* Effect.flatMap(Fiber.join(fiber), Fiber.join)
      assert.deepStrictEqual(texts(log), ["BEGIN", "INSERT 1", "SLOW", "COMMIT"])
    }))

  it.scoped("keeps nobody's connection with its stream", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({ primary: { execute: slow } })
      const stream = sql`SELECT a FROM t`.stream.pipe(Stream.mapEffect(() => Effect.never), Stream.runDrain)
      const late = yield* sql.withTransaction(
        Effect.zipRight(sql`INSERT 1`, Effect.zipLeft(Effect.forkDaemon(stream), aWhile))
      )
      assert.strictEqual(open.length, 0)
      yield* Fiber.interrupt(late)
    }))

  it.scoped("has its nested transaction undone, and is told so", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { execute: slow }, pool: { max: 1 } })
      const gate = yield* Deferred.make<void>()
      const outlives = Effect.forkDaemon(
        sql.withTransaction(Effect.zipRight(sql`INSERT nested`, Deferred.await(gate)))
      )
      const late = yield* sql.withTransaction(
        Effect.zipRight(sql`INSERT 1`, Effect.zipLeft(outlives, aWhile))
      )
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT 2`
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual(tagOf(yield* Effect.flip(Fiber.join(late))), "TransactionClosed")
      }))
      assert.deepStrictEqual(texts(log), [
        "BEGIN",
        "INSERT 1",
        "SAVEPOINT effect_sql_1",
        "INSERT nested",
        "ROLLBACK TO effect_sql_1",
        "RELEASE effect_sql_1",
        "COMMIT",
        "BEGIN",
        "INSERT 2",
        "COMMIT"
      ])
    }))

  it.scoped("leaves the frames below a nested one alone", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const gate = yield* Deferred.make<void>()
      const outlives = Effect.forkDaemon(
        sql.withTransaction(Effect.zipRight(sql`INSERT innermost`, Deferred.await(gate)))
      )
      yield* sql.withTransaction(Effect.gen(function*() {
        const late = yield* sql.withTransaction(Effect.zipLeft(outlives, aWhile))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.await(late)
        yield* sql`INSERT after`
      }))
      assert.deepStrictEqual(texts(log).slice(-3), ["RELEASE effect_sql_1", "INSERT after", "COMMIT"])
    }))
})

describe("who may use a transaction", () => {
  it.scoped("not a fiber that outlives it", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const gate = yield* Deferred.make<void>()
      const daemon = yield* sql.withTransaction(
        Effect.zipRight(sql`INSERT 1`, Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), sql`INSERT late`)))
      )
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(tagOf(yield* Effect.flip(Fiber.join(daemon))), "TransactionClosed")
      assert.notInclude(texts(log), "INSERT late")
    }))

  it.scoped("not another client, which is told so", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const foreign = Effect.flatMap(
        SqlClient.TransactionConnection,
        ([connection]) => connection.execute("INSERT foreign", [], undefined)
      ) as Effect.Effect<ReadonlyArray<unknown>, SqlError>
      const error = yield* Effect.flip(sql.withTransaction(foreign))
      assert.strictEqual(tagOf(error), "ForeignClientInTransaction")
    }))

  it.scoped("isolated hides it from others, not from the router's own statements", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const [seen] = yield* sql.withTransaction(RoutedSqlClient.isolated(
        Effect.zip(Effect.serviceOption(SqlClient.TransactionConnection), sql`INSERT 1`)
      ))
      assert.isTrue(Option.isNone(seen))
      assert.deepStrictEqual(texts(log), ["BEGIN", "INSERT 1", "COMMIT"])
    }))

  it.scoped("each router has its own", () =>
    Effect.gen(function*() {
      const a = yield* fakeRouter()
      const b = yield* fakeRouter()
      yield* a.sql.withTransaction(Effect.zipRight(
        a.sql`INSERT a`,
        Effect.ignore(b.sql.withTransaction(Effect.zipRight(b.sql`INSERT b`, Effect.fail("no"))))
      ))
      assert.deepStrictEqual(texts(a.log), ["BEGIN", "INSERT a", "COMMIT"])
      assert.deepStrictEqual(texts(b.log), ["BEGIN", "INSERT b", "ROLLBACK"])
    }))
})
