import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Topic } from "../support.js"
import { add, makePeople, namesIn, ways } from "../support.js"

const inTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(effect))

export const transactions: Topic = (it, options) => {
  it.effect("what a transaction wrote is there after it, and its result is the effect's", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const result = yield* inTransaction(Effect.as(add(people, "Ada"), "result"))
      assert.strictEqual(result, "result")
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect.each(ways(options))(
    "inside a transaction, $operation sees what it wrote",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        assert.deepStrictEqual(
          yield* inTransaction(Effect.zipRight(add(people, "Ada"), run(sql`SELECT name FROM ${sql(people)}`))),
          [["Ada"]]
        )
      })
  )

  it.effect("a failure undoes what was written, and is passed on", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const error = yield* Effect.flip(inTransaction(Effect.zipRight(add(people, "Ada"), Effect.fail("mine" as const))))
      assert.strictEqual(error, "mine")
      assert.deepStrictEqual(yield* namesIn(people), [])
    }))

  it.effect("a statement's failure undoes what was written, and is passed on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      const error = yield* Effect.flip(inTransaction(Effect.zipRight(add(people, "Ada"), sql`SELEC 1`)))
      assert.instanceOf(error, SqlError)
      assert.deepStrictEqual(yield* namesIn(people), [])
    }))

  it.effect("a defect undoes what was written, and is passed on", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const defect = yield* Effect.catchAllDefect(
        inTransaction(Effect.zipRight(add(people, "Ada"), Effect.die("bug"))),
        Effect.succeed
      )
      assert.strictEqual(defect, "bug")
      assert.deepStrictEqual(yield* namesIn(people), [])
    }))

  it.effect("an interruption undoes what was written, and ends the transaction", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const written = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        inTransaction(
          Effect.zipRight(add(people, "Ada"), Effect.zipRight(Deferred.succeed(written, undefined), Effect.never))
        )
      )
      yield* Deferred.await(written)
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(yield* namesIn(people), [])
    }))

  it.effect("a failure that is caught inside does not undo what came before", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* inTransaction(Effect.zipRight(add(people, "Ada"), Effect.ignore(Effect.fail("caught"))))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
    }))

  it.effect("a transaction without statements gives its result", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* inTransaction(Effect.succeed(42)), 42)
      assert.strictEqual(yield* Effect.flip(inTransaction(Effect.fail("mine"))), "mine")
    }))

  it.effect("a failed nested transaction undoes only what it wrote", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* inTransaction(Effect.gen(function*() {
        yield* add(people, "Ada")
        const error = yield* Effect.flip(inTransaction(Effect.zipRight(add(people, "Bob"), Effect.fail("inner"))))
        assert.strictEqual(error, "inner")
        assert.deepStrictEqual(yield* namesIn(people), ["Ada"])
        yield* add(people, "Cy")
      }))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada", "Cy"])
    }))

  it.effect("a nested transaction in which a statement failed leaves the one around usable", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      yield* inTransaction(Effect.gen(function*() {
        yield* add(people, "Ada")
        yield* Effect.flip(inTransaction(Effect.zipRight(add(people, "Bob"), sql`SELEC 1`)))
        yield* add(people, "Cy")
      }))
      assert.deepStrictEqual(yield* namesIn(people), ["Ada", "Cy"])
    }))

  it.effect("a failed transaction undoes what its nested ones wrote", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* Effect.flip(inTransaction(Effect.gen(function*() {
        yield* inTransaction(add(people, "Ada"))
        yield* inTransaction(add(people, "Bob"))
        return yield* Effect.fail("outer")
      })))
      assert.deepStrictEqual(yield* namesIn(people), [])
    }))

  it.effect("nested transactions begin again and again, at every depth", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const failing = (name: string) =>
        Effect.ignore(inTransaction(Effect.zipRight(add(people, name), Effect.fail(""))))
      yield* inTransaction(Effect.gen(function*() {
        yield* add(people, "1")
        yield* inTransaction(Effect.gen(function*() {
          yield* add(people, "1.1")
          yield* failing("1.1.1")
          yield* inTransaction(add(people, "1.1.2"))
          yield* failing("1.1.3")
        }))
        yield* failing("1.2")
        yield* inTransaction(add(people, "1.3"))
      }))
      assert.deepStrictEqual(yield* namesIn(people), ["1", "1.1", "1.1.2", "1.3"])
    }))

  it.effect("fibers of a transaction that it waits for run inside it", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* Effect.flip(inTransaction(Effect.zipRight(
        Effect.forEach(["Ada", "Bob", "Cy"], (name) => add(people, name), { concurrency: "unbounded" }),
        Effect.fail("undo")
      )))
      assert.deepStrictEqual(yield* namesIn(people), [])
      yield* inTransaction(
        Effect.forEach(["Ada", "Bob", "Cy"], (name) => add(people, name), { concurrency: "unbounded" })
      )
      assert.sameMembers(yield* namesIn(people), ["Ada", "Bob", "Cy"])
    }))

  it.effect("transactions of different fibers do not mix", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      const exits = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, index) => index),
        (index) =>
          Effect.exit(inTransaction(
            Effect.zipRight(add(people, String(index)), index % 2 === 0 ? Effect.void : Effect.fail(index))
          )),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        exits.map((exit) => Exit.isFailure(exit) ? Option.getOrNull(Cause.failureOption(exit.cause)) : "committed"),
        ["committed", 1, "committed", 3, "committed", 5, "committed", 7, "committed", 9]
      )
      assert.sameMembers(yield* namesIn(people), ["0", "2", "4", "6", "8"])
    }))

  it.effect("a transaction that is retried begins anew", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      let attempts = 0
      yield* Effect.retry(
        inTransaction(Effect.suspend(() =>
          Effect.zipRight(add(people, `attempt ${++attempts}`), attempts < 3 ? Effect.fail("again") : Effect.void)
        )),
        { times: 5 }
      )
      assert.deepStrictEqual(yield* namesIn(people), ["attempt 3"])
    }))

  it.effect("others see that they are in a transaction", () =>
    Effect.gen(function*() {
      const depth = Effect.map(
        Effect.serviceOption(SqlClient.TransactionConnection),
        Option.match({ onNone: () => "none", onSome: ([, depth]) => depth })
      )
      assert.strictEqual(yield* depth, "none")
      assert.deepStrictEqual(yield* inTransaction(Effect.zip(depth, inTransaction(depth))), [0, 1])
    }))

  it.scoped("statements that are given a reserved connection as their transaction's run on it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      const connection = yield* sql.reserve
      const control = (text: string) => connection.executeUnprepared(text, [], undefined)
      yield* control(options.dialect === "sqlite" ? "BEGIN" : "START TRANSACTION")
      yield* Effect.provideService(
        Effect.zipRight(add(people, "Ada"), sql.withTransaction(add(people, "Bob"))),
        SqlClient.TransactionConnection,
        [connection, 0]
      ).pipe(Effect.timeout("1 second"))
      yield* control("ROLLBACK")
      assert.deepStrictEqual(yield* connection.executeValues(`SELECT name FROM ${people}`, []), [])
    }))

  it.scoped("a reserved connection goes on after a statement failed on it outside a transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      const connection = yield* sql.reserve
      yield* Effect.provideService(
        Effect.zipRight(Effect.flip(sql`SELECT * FROM nowhere_at_all`), add(people, "Ada")),
        SqlClient.TransactionConnection,
        [connection, 0]
      )
      assert.deepStrictEqual(yield* connection.executeValues(`SELECT name FROM ${people}`, []), [["Ada"]])
    }))

  it.effect("many transactions, failed and not, leave every connection usable", () =>
    Effect.gen(function*() {
      const people = yield* makePeople
      yield* Effect.forEach(
        Array.from({ length: 30 }, (_, index) => index),
        (index) =>
          Effect.exit(inTransaction(
            Effect.zipRight(add(people, String(index)), index % 3 === 0 ? Effect.void : Effect.fail(index))
          )),
        { concurrency: 5, discard: true }
      )
      assert.lengthOf(yield* namesIn(people), 10)
    }))
}
