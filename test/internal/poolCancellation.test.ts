/** Every gate at every stage of what the pool does for a borrower, which is interrupted before every single step. */
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RuntimeFiber } from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"
import { ConnectionBudget } from "../../src/internal/connectionBudget.js"
import type { Pool } from "../../src/internal/pool.js"
import type { FakePoolConnection } from "../fixtures/fakePool.js"
import { fakePool, filled, release } from "../fixtures/fakePool.js"

const gates = ["ok", "error", "slow", "never"] as const
type Gate = typeof gates[number]

const stages = ["validation", "rollback", "hook", "eviction"] as const
type Stage = typeof stages[number]

/** The exit of a fiber, once it had all the turns it can need. */
const ended = <A, E>(fiber: RuntimeFiber<A, E>) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 60 && fiber.unsafePoll() === null; turn++) yield* Effect.yieldNow()
    return fiber.unsafePoll()
  })

/** Interrupts an effect before its `n`th step, and tells whether it came so far. */
const interruptedAt = <A, E>(effect: Effect.Effect<A, E>, n: number) =>
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
    victim.unsafeInterruptAsFork(FiberId.none)
    return { cameSoFar, exit: yield* ended(victim) }
  })

/** As the router borrows: only waiting and using can be interrupted. */
const borrow = (pool: Pool, leaves: (connection: FakePoolConnection) => void) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      pool.acquire(restore),
      (slot) =>
        Effect.ensuring(
          restore(Effect.sync(() => leaves(slot.connection as FakePoolConnection))),
          release(pool, slot)
        )
    )
  )

const cancelled = (stage: Stage, gate: Gate, step: number) =>
  Effect.scoped(Effect.gen(function*() {
    const where = `${stage} ${gate}, interrupted before step ${step}`
    const over = yield* Deferred.make<void>()
    let isOver = false
    const pass = (at: Stage): Effect.Effect<void, SqlError> => {
      switch (isOver || at !== stage ? "ok" : gate) {
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
    const budget = new ConnectionBudget(1)
    const settings = { max: 1, validateAfterIdle: Duration.millis(30), acquireTimeout: Duration.infinity }
    const options = {
      budget,
      ping: () => Effect.suspend(() => pass("validation")),
      execute: () => Effect.suspend(() => pass("rollback")),
      goodbye: Effect.ignore(Effect.suspend(() => pass("eviction"))),
      hooks: { afterConnect: () => Effect.suspend(() => pass("hook")) }
    }
    const { open, pool } = yield* fakePool(settings, options)
    const other = yield* fakePool(settings, { ...options, endpoint: "replica1" })
    if (stage === "validation") {
      yield* filled(pool, 1)
      yield* TestClock.adjust("30 millis")
    }
    if (stage === "eviction") yield* filled(other.pool, 1)

    const { cameSoFar, exit } = yield* interruptedAt(
      borrow(pool, (connection) => connection.transaction = stage === "rollback"),
      step
    )
    assert.isNotNull(exit, `still runs, ${where}`)

    isOver = true
    yield* Deferred.succeed(over, undefined)
    const next = yield* ended(yield* Effect.fork(borrow(pool, () => {})))
    assert.isTrue(next !== null && Exit.isSuccess(next), `the next borrower gets none, ${where}`)
    assert.deepInclude(pool.stats, { active: 0, idle: 1, connecting: 0, closing: 0, waiting: 0 }, where)
    assert.deepStrictEqual([open.length, other.open.length, budget.open], [1, 0, 1], where)
    assert.isNotTrue(open[0]!.transaction, where)
    return cameSoFar
  }))

describe("an interruption at any point leaves a pool of one intact", () => {
  for (const stage of stages) {
    it.effect(`when it meets a ${stage}`, () =>
      Effect.gen(function*() {
        for (const gate of gates) {
          let step = 1
          while (yield* cancelled(stage, gate, step)) step++
          assert.isAbove(step, 10, gate)
        }
      }))
  }
})
