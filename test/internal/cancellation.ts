/** What deadpool's cancellation tests do: every gate at every stage, and an interruption before every single step. */
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RuntimeFiber } from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"
import { fakeRouter } from "../fixtures/fakeRouter.js"

const gates = ["ok", "error", "slow", "never"] as const
type Gate = typeof gates[number]

/** What is interrupted. */
export type Work = (sql: RoutedSqlClient) => Effect.Effect<unknown, SqlError>

/** Interrupts an effect before its `n`th step, and tells whether it came so far. */
export const interruptedAt = <A, E>(effect: Effect.Effect<A, E>, n: number) =>
  Effect.gen(function*() {
    let steps = 0
    let victim: RuntimeFiber<A, E> | undefined = undefined
    victim = yield* Effect.fork(Effect.withScheduler(effect, {
      shouldYield: () => {
        if (++steps === n) victim?.unsafeInterruptAsFork(FiberId.none)
        return false
      },
      scheduleTask: (task, priority) => Scheduler.defaultScheduler.scheduleTask(task, priority)
    }))
    yield* ended(victim)
    const cameSoFar = steps >= n
    // It waits for what never happens: the interruption that is left to try.
    victim.unsafeInterruptAsFork(FiberId.none)
    return { cameSoFar, exit: yield* ended(victim) }
  })

/** The exit of a fiber, once it had all the turns it can need. */
export const ended = <A, E>(fiber: RuntimeFiber<A, E>) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 40 && fiber.unsafePoll() === null; turn++) yield* Effect.yieldNow()
    return fiber.unsafePoll()
  })

const cancelled = (work: Work, connect: Gate, execute: Gate, step: number) =>
  Effect.scoped(Effect.gen(function*() {
    const where = `connect ${connect}, execute ${execute}, interrupted before step ${step}`
    const over = yield* Deferred.make<void>()
    let isOver = false
    const pass = (gate: Gate): Effect.Effect<void, SqlError> => {
      switch (isOver ? "ok" : gate) {
        case "ok":
          return Effect.void
        case "error":
          return Effect.fail(new SqlError({ message: "no" }))
        case "slow":
          return Effect.repeatN(Effect.yieldNow(), 2)
        case "never":
          return Deferred.await(over)
      }
    }
    let mostOpen = 0
    let inTransaction: unknown
    const { open, sql } = yield* fakeRouter({
      primary: {
        connect: Effect.suspend(() => pass(connect)),
        execute: (text) =>
          Effect.suspend(() => {
            mostOpen = Math.max(mostOpen, open.length)
            const connection = open.at(-1)
            return Effect.as(
              Effect.map(text === "ROLLBACK" ? Effect.void : pass(execute), () => {
                if (text === "BEGIN") inTransaction = connection
                if (text === "COMMIT" || text === "ROLLBACK") inTransaction = undefined
              }),
              []
            )
          })
      },
      pool: { max: 1, acquireTimeout: "1 hour" }
    })

    const { cameSoFar, exit } = yield* interruptedAt(work(sql), step)
    assert.isNotNull(exit, `still runs, ${where}`)

    isOver = true
    yield* Deferred.succeed(over, undefined)
    // A primary that cannot be connected to is not tried again at once.
    if (connect === "error") yield* TestClock.adjust("250 millis")
    const next = yield* ended(yield* Effect.fork(sql`INSERT next`))
    assert.isTrue(next !== null && Exit.isSuccess(next), `the next statement does not run, ${where}`)
    const [pool] = yield* sql.pools
    assert.deepInclude(pool, { active: 0, idle: 1, connecting: 0, waiting: 0 }, where)
    assert.deepStrictEqual([open.length, mostOpen], [1, 1], where)
    assert.isFalse(inTransaction === open[0], `the next statement runs in another's transaction, ${where}`)
    return cameSoFar
  }))

/**
 * Every gate at every stage, and of the steps one in `stride`, other ones in each round. With `EVERY_STEP` set none is
 * left out, which takes many minutes.
 */
export const leavesThePoolIntact = (kind: string, work: Work, stride: number): void => {
  describe("an interruption at any point leaves a pool of one intact", () => {
    const every = process.env["EVERY_STEP"] === undefined ? stride : 1
    it.effect(`of ${kind}`, () =>
      Effect.gen(function*() {
        let round = 0
        for (const connect of gates) {
          for (const execute of gates) {
            let step = 1 + (7 * round++) % every
            while (yield* cancelled(work, connect, execute, step)) step += every
            assert.isAbove(step, 10)
          }
        }
      }), { timeout: every === 1 ? 3_600_000 : 60_000 })
  })
}
