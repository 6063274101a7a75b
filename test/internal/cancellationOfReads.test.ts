/** An interruption before every single step of the reads that take more than one connection, or more than their turn. */
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { FakeRouterOptions } from "../fixtures/fakeRouter.js"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"
import type { Work } from "./cancellation.js"
import { interruptedAt } from "./cancellation.js"

const answers = ["slow", "never", "lost"] as const
type Answer = typeof answers[number]

interface Read {
  readonly work: Work
  readonly options: Pick<FakeRouterOptions, "rules">
  /** Whether no replica can be connected to. */
  readonly isFallback: boolean
}

const slow = Effect.repeatN(Effect.yieldNow(), 2)
const fails = (outcome: "notSent" | "unknown") =>
  Effect.zipRight(
    slow,
    Effect.fail(failure({ blame: "endpoint", connection: "destroy", outcome, readRetry: "elsewhere" }))
  )

const select: Work = (sql) => sql`SELECT 1`
const fallback = (work: Work): Read => ({ work, options: {}, isFallback: true })
const onReplica = (work: Work, options: Read["options"] = {}): Read => ({ work, options, isFallback: false })

const reads: { readonly [kind: string]: Read } = {
  "a read from the primary's share": fallback(select),
  "a stream from the primary's share": fallback((sql) => Stream.runDrain(sql`SELECT 1`.stream)),
  "a transaction from the primary's share": fallback((sql) => sql.readOnlyTransaction(sql`SELECT 1`)),
  "a read with a deadline": onReplica((sql) => RoutedSqlClient.withDeadline("1 minute")(sql`SELECT 1`)),
  "a mirrored read": onReplica(select, {
    rules: RoutingRules.make([
      RoutingRules.read(Target.mirrored(Target.auto, { percent: 100, to: Target.database("other") }))
    ])
  })
}

const cancelled = ({ isFallback, options, work }: Read, answer: Answer, step: number) =>
  Effect.scoped(Effect.gen(function*() {
    const where = `answer ${answer}, interrupted before step ${step}`
    const over = yield* Deferred.make<void>()
    let isOver = false
    const answered = () => {
      switch (isOver ? "slow" : answer) {
        case "slow":
          return slow
        case "lost":
          return fails("unknown")
        case "never":
          return Deferred.await(over)
      }
    }
    const server = { execute: () => Effect.as(Effect.suspend(answered), []) }
    const replica = isFallback ? { ...server, connect: fails("notSent") } : server
    const { sql } = yield* fakeRouter({
      ...options,
      primary: server,
      replicas: { replica1: replica, replica2: replica },
      databases: { other: { primary: server } },
      pool: { max: 2, acquireTimeout: "1 hour" }
    })
    const { cameSoFar, exit } = yield* interruptedAt(work(sql), step)
    assert.isNotNull(exit, `still runs, ${where}`)

    isOver = true
    yield* Deferred.succeed(over, undefined)
    for (let turn = 0; turn < 60; turn++) yield* Effect.yieldNow()
    // What could not be connected to is not tried again at once.
    yield* TestClock.adjust("1 second")
    for (const pool of yield* sql.pools) assert.deepInclude(pool, { active: 0, connecting: 0, waiting: 0 }, where)
    const servers = (yield* sql.replicas).flatMap(({ endpoints }) => endpoints)
    assert.deepStrictEqual(servers.filter(({ inFlight }) => inFlight !== 0), [], where)
    // The primary's share is one: whoever kept it would keep this from running.
    yield* work(sql)
    return cameSoFar
  }))

describe("an interruption at any point leaves connections, counts and the primary's share as they were", () => {
  for (const [kind, read] of Object.entries(reads)) {
    it.effect(`of ${kind}`, () =>
      Effect.gen(function*() {
        const stride = kind.startsWith("a stream") ? 31 : 11
        for (const [round, answer] of answers.entries()) {
          let step = 1 + 4 * round
          while (yield* cancelled(read, answer, step)) step += stride
          assert.isAbove(step, 10)
        }
      }), { timeout: 60_000 })
  }
})
