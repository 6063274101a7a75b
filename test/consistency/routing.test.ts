import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, FiberRef, Stream, TestClock } from "effect"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import type { ServerStatus } from "effect-sql-router/Driver"
import * as Explanation from "effect-sql-router/Explanation"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import { withDeadline } from "effect-sql-router/RoutedSqlClient"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import { currentSession } from "../../src/internal/consistency/current.js"
import { failure, fakeRouter, type FakeRouterOptions } from "../fixtures/fakeRouter.js"

const at = (lsn: number, timeline = 1): ReplicationPosition.ReplicationPosition =>
  Either.getOrThrow(ReplicationPosition.pgLsn(`7/${timeline}`, `0/${lsn.toString(16)}`))

/** A primary with two replicas that are where the test says. */
const cluster = (options: Omit<FakeRouterOptions, "primary" | "replicas"> = {}, whenAsked = () => {}) =>
  Effect.gen(function*() {
    const positions: Record<string, ReplicationPosition.ReplicationPosition | undefined> = {
      primary: at(10),
      replica1: at(10),
      replica2: at(10)
    }
    const status = (name: string) => (): ServerStatus => {
      whenAsked()
      return {
        role: name === "primary" ? "primary" : "replica",
        position: positions[name],
        replication: name === "primary" ? "none" : "streaming",
        generation: "1"
      }
    }
    const router = yield* fakeRouter({
      tellsPositions: true,
      consistency: {},
      ...options,
      primary: { status: status("primary") },
      replicas: { replica1: { status: status("replica1") }, replica2: { status: status("replica2") } }
    })
    const events: Array<RoutingEvent> = []
    yield* Effect.forkScoped(
      Stream.runForEach(router.sql.events, (event) => Effect.sync(() => void events.push(event)))
    )
    // Connects, and measures once.
    yield* router.sql`SELECT 0`
    yield* TestClock.adjust("1100 millis")
    const read = Effect.map(RouteDecision.capture(router.sql`SELECT 1`), ([, decisions]) => decisions.at(-1)!)
    const write = (lsn: number) =>
      Effect.zipRight(Effect.sync(() => void (positions["primary"] = at(lsn))), router.sql`INSERT 1`)
    return { ...router, events, positions, read, write }
  })

describe("a read after a write", () => {
  it.scoped("goes to a replica that is known to have it, without asking", () =>
    Effect.gen(function*() {
      const { positions, read, write } = yield* cluster()
      yield* write(20)
      positions["replica2"] = at(25)
      yield* TestClock.adjust("2 seconds")
      const { endpoint, plan } = yield* read
      assert.strictEqual(endpoint, "replica2")
      assert.deepInclude(plan.consistency, { level: "session", by: "cachedPosition", position: "0/14", age: 2000 })
    }))

  it.scoped("is explained as it would be run", () =>
    Effect.gen(function*() {
      const { positions, read, sql, write } = yield* cluster()
      yield* write(20)
      positions["replica2"] = at(25)
      yield* TestClock.adjust("2 seconds")
      assert.include((yield* sql.explain(sql`SELECT 1`)).plan.consistency, { fallback: "positionUnknown" })
      yield* read
      const explanation = yield* sql.explain(sql`SELECT 1`)
      assert.deepStrictEqual(explanation.plan.candidates[0]!.endpoints, ["replica2"])
      assert.include(
        Explanation.render(explanation),
        "level session, position 0/14: a replica that is known to be there"
      )
    }))

  it.scoped("asks a replica for its position with the rows, and keeps them if it has got far enough", () =>
    Effect.gen(function*() {
      const { log, positions, read, write } = yield* cluster()
      yield* write(20)
      positions["replica1"] = positions["replica2"] = at(20)
      log.length = 0
      const { plan, role } = yield* read
      assert.strictEqual(role, "replica")
      assert.strictEqual(plan.consistency!.by, "guard")
      assert.lengthOf(log, 1)
    }))

  it.scoped("waits for a replica no longer than the budget, then goes to the primary", () =>
    Effect.gen(function*() {
      const { events, read, write } = yield* cluster()
      yield* write(20)
      const fiber = yield* Effect.fork(read)
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("48 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("2 millis")
      const { plan, role } = yield* Fiber.join(fiber)
      assert.strictEqual(role, "primary")
      assert.deepInclude(plan.consistency, { by: "primary", fallback: "behind" })
      assert.deepInclude(events.find(({ _tag }) => _tag === "FreshnessFallback"), {
        level: "session",
        reason: "behind"
      })
    }))

  it.scoped("does not wait again for replicas that it has just waited for in vain", () =>
    Effect.gen(function*() {
      const { read, write } = yield* cluster()
      yield* write(20)
      for (let i = 0; i < 2; i++) {
        const fiber = yield* Effect.fork(read)
        yield* TestClock.adjust("1 millis")
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(fiber)
      }
      assert.strictEqual((yield* read).role, "primary")
    }))

  it.scoped("waits no longer than a quarter of what is left of its deadline", () =>
    Effect.gen(function*() {
      const { read, write } = yield* cluster({ consistency: { waitBudget: "1 second" } })
      yield* write(20)
      const fiber = yield* Effect.fork(withDeadline("400 millis")(read))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("101 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).role, "primary")
    }))

  it.scoped("goes to the primary until the ttl is over where the mode says so", () =>
    Effect.gen(function*() {
      const { positions, read, write } = yield* cluster({ consistency: { mode: "ttl", ttl: "12 seconds" } })
      yield* write(20)
      positions["replica1"] = positions["replica2"] = at(20)
      yield* TestClock.adjust("11 seconds")
      const { plan, role } = yield* read
      assert.strictEqual(role, "primary")
      assert.strictEqual(plan.consistency!.fallback, "window")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* read).role, "replica")
    }))

  it.scoped("goes to the primary for the ttl where its servers do not tell positions", () =>
    Effect.gen(function*() {
      const { read, write } = yield* cluster({ tellsPositions: false })
      yield* write(20)
      assert.strictEqual((yield* read).role, "primary")
      yield* TestClock.adjust("13 seconds")
      assert.strictEqual((yield* read).role, "replica")
    }))
})

describe("after a failover", () => {
  it.scoped("a replica of the new history never passes for one that has a write of the old", () =>
    Effect.gen(function*() {
      const { positions, read, write } = yield* cluster()
      yield* write(20)
      // The new primary went on from before the write, and has come further since.
      positions["primary"] = at(40, 2)
      positions["replica1"] = positions["replica2"] = at(30, 2)
      yield* TestClock.adjust("2 seconds")
      const fiber = yield* Effect.fork(read)
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("60 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).role, "primary")
      positions["replica1"] = positions["replica2"] = at(40, 2)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* read).role, "replica")
    }))

  it.scoped("what was written beyond where the primary is counts as lost, is told, and is not waited for", () =>
    Effect.gen(function*() {
      const { events, positions, read } = yield* cluster()
      const token = ConsistencyToken.make("main", { position: at(99), at: Duration.toMillis("0 millis") })
      yield* TestClock.adjust("4 seconds")
      positions["primary"] = positions["replica1"] = positions["replica2"] = at(50)
      yield* TestClock.adjust("1 seconds")
      const reading = yield* Effect.fork(ReadConsistency.withToken(
        Effect.all([Effect.zipRight(read, read), Effect.delay(read, "13 seconds")]),
        token
      ))
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("60 millis")
      yield* TestClock.adjust("13 seconds")
      const [first, later] = yield* Fiber.join(reading)
      assert.deepInclude(first.plan.consistency, { by: "primary", fallback: "lostWrite" })
      assert.strictEqual(later.role, "replica")
      const lost = events.filter(({ _tag }) => _tag === "LostWriteSuspected")
      assert.lengthOf(lost, 1)
      assert.deepInclude(lost[0], { reason: "aheadOfPrimary" })
    }))

  it.scoped("what a replica says of the history before is not believed", () =>
    Effect.gen(function*() {
      const { positions, read } = yield* cluster()
      const token = ConsistencyToken.make("main", { position: at(20), at: Duration.toMillis("2 seconds") })
      // They replay what the new primary writes, and do not know yet that it is another's.
      positions["primary"] = at(40, 2)
      positions["replica1"] = positions["replica2"] = at(40, 1)
      yield* TestClock.adjust("2 seconds")
      const { plan } = yield* ReadConsistency.withToken(read, token)
      assert.deepInclude(plan.consistency, { by: "primary", fallback: "lostWrite" })
    }))

  it.scoped("a write that is younger than the primary's answer is not taken for lost", () =>
    Effect.gen(function*() {
      let whenAsked = () => {}
      const { events, positions, read } = yield* cluster({}, () => whenAsked())
      const token = ConsistencyToken.make("main", { position: undefined, until: 60_000, at: 1100 })
      const { fallback } = yield* ReadConsistency.withToken(
        Effect.gen(function*() {
          const session = (yield* FiberRef.get(currentSession))!
          whenAsked = () => session.absorb(ConsistencyToken.make("main", { position: at(30), at: 1100 }))
          return (yield* read).plan.consistency!
        }),
        token
      )
      assert.strictEqual(fallback, "positionUnknown")
      assert.deepStrictEqual(positions["primary"], at(10))
      assert.notInclude(events.map(({ _tag }) => _tag), "LostWriteSuspected")
    }))
})

describe("the lag of replicas", () => {
  it.scoped("takes them out of service above maxLag, tells why, and takes them back", () =>
    Effect.gen(function*() {
      const { events, positions, sql } = yield* cluster({
        consistency: { level: ReadConsistency.eventual },
        replicationLag: { maxLag: "3 seconds" }
      })
      for (let i = 0; i < 8; i++) {
        positions["primary"] = positions["replica2"] = at(20 + i)
        yield* TestClock.adjust("1100 millis")
      }
      const { plan } = yield* sql.explain(sql`SELECT 1`)
      assert.deepStrictEqual(plan.candidates[0]!.endpoints, ["replica2"])
      assert.deepStrictEqual(plan.excluded, [{ endpoint: "replica1", reason: "lags by more than 3s" }])
      positions["replica1"] = positions["primary"]
      yield* TestClock.adjust("2200 millis")
      const after = yield* sql.explain(sql`SELECT 1`)
      assert.sameMembers([...after.plan.candidates[0]!.endpoints], ["replica1", "replica2"])
      assert.includeMembers(events.map(({ _tag }) => _tag), ["LagMeasured", "ReplicaLagging", "ReplicaCaughtUp"])
    }))
})

describe("an error", () => {
  it.scoped("that says that nothing was written leaves reads where they were", () =>
    Effect.gen(function*() {
      const router = yield* fakeRouter({
        tellsPositions: true,
        consistency: {},
        primary: { execute: () => Effect.fail(failure({ outcome: "refused" })) },
        replicas: { replica1: {} }
      })
      yield* Effect.ignore(router.sql`INSERT 1`)
      const [, [decision]] = yield* RouteDecision.capture(router.sql`SELECT 1`)
      assert.strictEqual(decision!.role, "replica")
    }))

  it.scoped("that leaves open whether it was written counts as a write", () =>
    Effect.gen(function*() {
      const router = yield* fakeRouter({
        tellsPositions: true,
        consistency: {},
        primary: {
          execute: (sql) => sql.startsWith("INSERT") ? Effect.fail(failure({ outcome: "unknown" })) : Effect.succeed([])
        },
        replicas: { replica1: {} }
      })
      yield* Effect.ignore(router.sql`INSERT 1`)
      const [, [decision]] = yield* RouteDecision.capture(router.sql`SELECT 1`)
      assert.strictEqual(decision!.role, "primary")
    }))
})
