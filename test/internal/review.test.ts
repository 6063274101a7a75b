/** What went wrong once where a statement, its server and what is told of it meet. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { FakeRouterOptions } from "../fixtures/fakeRouter.js"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const lost = failure({ blame: "endpoint", connection: "destroy", outcome: "unknown", readRetry: "elsewhere" })
const down = Effect.fail(
  failure({ blame: "endpoint", connection: "destroy", outcome: "notSent", readRetry: "elsewhere" })
)
const never = () => Effect.never
const mirrored = RoutingRules.make([
  RoutingRules.read(Target.mirrored(Target.auto, { percent: 100, to: Target.database("other") }))
])

/** Statements that never end would keep the router, which ends with the test, from ending. */
const router = (options: FakeRouterOptions) => fakeRouter({ shutdownTimeout: 0, ...options })

const advance = (millis: number) => Effect.zipRight(TestClock.adjust("1 millis"), TestClock.adjust(millis))

describe("a connection is given back", () => {
  it.scoped("when the strategy dies of what it is told of a statement", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({
        replicas: { replica1: {}, replica2: {} },
        strategy: {
          name: "dies",
          make: () =>
            Effect.succeed({
              choose: () => 0,
              observe: () => {
                throw new Error("a strategy's own")
              }
            })
        }
      })
      yield* sql`SELECT 1`
      assert.deepStrictEqual((yield* sql.pools).map(({ active }) => active), [0, 0, 0])
    }))

  it.scoped("when the driver dies instead of giving an Effect", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* router({})
      yield* sql`INSERT 1`
      Object.assign(open[0]!, {
        execute: () => {
          throw new Error("a driver's own")
        }
      })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`INSERT 1`)))
      assert.strictEqual((yield* sql.pools)[0]!.active, 0)
    }))
})

describe("in an uninterruptible region", () => {
  const endsWithin = (millis: number, effect: Effect.Effect<unknown, SqlError>) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(Effect.exit(effect)))
      yield* advance(millis)
      assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)))
    })
  const late = RoutedSqlClient.withDeadline("1 second")

  it.scoped("a statement keeps to its deadline", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({ primary: { execute: never } })
      yield* endsWithin(1000, late(sql`INSERT 1`))
    }))

  it.scoped("a statement that waits for a connection keeps to its deadline", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({
        primary: { connect: Effect.never },
        pool: { acquireTimeout: "1 hour", connectTimeout: "1 hour" }
      })
      yield* endsWithin(1000, late(sql`INSERT 1`))
    }))

  it.scoped("a stream keeps to its deadline", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({ primary: { execute: never } })
      yield* endsWithin(1000, late(Stream.runDrain(sql`SELECT 1`.stream)))
    }))

  it.scoped("a read that may be sent twice ends with its answer", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({
        replicas: { replica1: {}, replica2: {} },
        retry: { hedge: { after: "1 hour", maxExtra: 1 } }
      })
      yield* endsWithin(0, sql`SELECT 1`)
    }))

  it.scoped("a read waits for the primary's share no longer than for a connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({
        primary: { execute: never },
        replicas: { replica1: { connect: down } },
        pool: { max: 2, acquireTimeout: "1 second" }
      })
      yield* Effect.forkDaemon(sql`SELECT 1`)
      yield* endsWithin(1000, sql`SELECT 2`)
    }))
})

describe("what is told of a statement", () => {
  const heardBy = (sql: RoutedSqlClient.RoutedSqlClient) =>
    Effect.gen(function*() {
      const heard: Array<RoutingEvent> = []
      yield* Effect.forkScoped(Stream.runForEach(sql.events, (event) => Effect.sync(() => void heard.push(event))))
      yield* TestClock.adjust("1 millis")
      return heard
    })

  it.scoped("is one captured decision, though it was tried again while others ran", () =>
    Effect.gen(function*() {
      let losses = 1
      const execute = (text: string) =>
        Effect.suspend(() =>
          text === "SELECT 1" && losses-- > 0 ? Effect.delay(Effect.fail(lost), "10 millis") : Effect.succeed([])
        )
      const { sql } = yield* router({
        primary: { execute },
        replicas: { replica1: { execute }, replica2: { execute } }
      })
      const fiber = yield* Effect.fork(
        RouteDecision.capture(Effect.all([sql`SELECT 1`, sql`SELECT 2`], { concurrency: 2 }))
      )
      yield* advance(10)
      const [, decisions] = yield* Fiber.join(fiber)
      assert.deepStrictEqual(decisions.map(({ sql }) => sql), ["SELECT 1", "SELECT 2"])
    }))

  it.scoped("is told of a stream too", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({ replicas: { replica1: {} } })
      const heard = yield* heardBy(sql)
      yield* Stream.runDrain(sql`SELECT 1`.stream)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(heard.map(({ _tag }) => _tag), ["StatementRouted"])
    }))

  it.scoped("is told of a stream that begins again", () =>
    Effect.gen(function*() {
      let losses = 1
      const execute = () => Effect.suspend(() => losses-- > 0 ? Effect.fail(lost) : Effect.succeed([]))
      const { sql } = yield* router({ replicas: { replica1: { execute }, replica2: { execute } } })
      const heard = yield* heardBy(sql)
      yield* Stream.runDrain(sql`SELECT 1`.stream)
      yield* TestClock.adjust("1 millis")
      const retried = heard.find((event) => event._tag === "StatementRetried")
      assert.deepInclude(retried, { attempt: 2, error: lost })
    }))

  it.scoped("of a stream that begins again is that it went elsewhere", () =>
    Effect.gen(function*() {
      const execute = (name: string) => () => name === "replica1" ? Effect.fail(lost) : Effect.succeed([])
      const { log, sql } = yield* router({
        replicas: {
          replica1: { execute: execute("replica1") },
          replica2: { execute: execute("replica2") },
          replica3: { execute: execute("replica3") }
        },
        // Left to itself it would choose the one that failed again.
        strategy: ReplicaStrategy.random
      })
      for (let round = 0; round < 10; round++) {
        const fiber = yield* Effect.fork(Stream.runDrain(sql`SELECT 1`.stream))
        // Whoever closes one connection after the other is connected to with delays.
        yield* advance(10_000)
        yield* Fiber.join(fiber)
      }
      const servers = log.map((line) => line.replace(/#.*/, ""))
      for (const [index, server] of servers.entries()) {
        if (server === "replica1") assert.notStrictEqual(servers[index + 1], "replica1")
      }
      assert.include(servers, "replica1")
    }))
})

describe("shadow mode", () => {
  it.scoped("does not count what is only explained", () =>
    Effect.gen(function*() {
      const { sql } = yield* router({ replicas: { replica1: {} }, shadow: true })
      yield* sql.explain(sql`SELECT 1`)
      assert.deepStrictEqual(yield* sql.shadowed, [])
    }))

  it.scoped("mirrors nothing", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* router({
        databases: { other: { replicas: { replica2: {} } } },
        shadow: true,
        rules: mirrored
      })
      yield* sql`SELECT 1`
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(log, ["primary#1 SELECT 1"])
    }))

  it.scoped("follows the primary while a write waits for it", () =>
    Effect.gen(function*() {
      let primary = "primary"
      const readOnly = Effect.fail(failure({ blame: "role", outcome: "refused", readRetry: "primary" }))
      const serverNamed = (name: string) => ({
        execute: () => primary === name ? Effect.succeed([]) : readOnly,
        status: () => ({
          role: primary === name ? "primary" as const : "replica" as const,
          position: undefined,
          replication: "none" as const,
          generation: ""
        })
      })
      const { log, sql } = yield* router({
        primary: serverNamed("primary"),
        primaries: { primary2: serverNamed("primary2") },
        shadow: true
      })
      yield* sql`INSERT 1`
      primary = "primary2"
      const fiber = yield* Effect.fork(sql`INSERT 2`)
      for (let round = 0; round < 10; round++) yield* TestClock.adjust("100 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log.map((line) => line.replace(/#\d+/, "")), [
        "primary INSERT 1",
        "primary INSERT 2",
        "primary2 INSERT 2"
      ])
    }))
})

describe("a mirrored read", () => {
  it.live("ends with a router that was built where nothing can be interrupted", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const sent = yield* Deferred.make<void>()
      const mirror = { execute: () => Effect.zipRight(Deferred.succeed(sent, undefined), Effect.never) }
      const built = router({ databases: { other: { primary: mirror } }, rules: mirrored })
      const { sql } = yield* Effect.uninterruptible(Scope.extend(built, scope))
      yield* sql`SELECT 1`
      yield* Deferred.await(sent)
      yield* Effect.timeout(Effect.disconnect(Scope.close(scope, Exit.void)), "1 second")
    }))
})

describe("mirrored reads", () => {
  it.scoped("that never end make way for others after 30 seconds", () =>
    Effect.gen(function*() {
      let sent = 0
      const { sql } = yield* router({
        databases: { other: { primary: { execute: () => Effect.zipRight(Effect.sync(() => sent++), Effect.never) } } },
        pool: { max: 100 },
        rules: mirrored
      })
      for (let i = 0; i < 17; i++) yield* sql`SELECT 1`
      yield* advance(29_000)
      assert.strictEqual(sent, 16)
      yield* sql`SELECT 1`
      yield* advance(1000)
      assert.strictEqual(sent, 16)
      yield* sql`SELECT 1`
      yield* advance(1)
      assert.strictEqual(sent, 17)
    }))
})

describe("a read that was too late", () => {
  it.scoped("is not waited for, though it is cancelled while it finds out whether it is fresh", () =>
    Effect.gen(function*() {
      const status = (role: "primary" | "replica", lsn: string) => () => ({
        role,
        position: Either.getOrThrow(ReplicationPosition.pgLsn("7/1", lsn)),
        replication: role === "primary" ? "none" as const : "streaming" as const,
        generation: ""
      })
      const { log, sql } = yield* router({
        tellsPositions: true,
        primary: { status: status("primary", "0/14") },
        replicas: {
          replica1: {
            status: status("replica", "0/A"),
            execute: () => Effect.as(Effect.uninterruptible(Effect.sleep("1 minute")), [])
          }
        },
        consistency: {}
      })
      yield* sql`INSERT 1`
      const late = yield* Effect.fork(RoutedSqlClient.withDeadline("1 second")(Effect.flip(sql`SELECT 1`)))
      yield* advance(1000)
      yield* advance(100)
      assert.match(log.at(-1)!, /^replica1/)
      assert.strictEqual(Option.getOrThrow(RoutingError.from(yield* Fiber.join(late)))._tag, "DeadlineExceeded")
    }))
})

describe("a write that was too late", () => {
  it.scoped("is seen by the next read, even where it takes long to be cancelled", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* router({
        primary: {
          execute: (text) =>
            text.startsWith("INSERT")
              ? Effect.as(Effect.uninterruptible(Effect.sleep("1 minute")), [])
              : Effect.succeed([])
        },
        replicas: { replica1: {} },
        consistency: {}
      })
      const late = RoutedSqlClient.withDeadline("1 second")(Effect.flip(sql`INSERT 1`))
      const fiber = yield* Effect.fork(Effect.zipRight(late, sql`SELECT 1`))
      yield* advance(1000)
      yield* advance(100)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log.map((line) => line.replace(/#\d+/, "")), ["primary INSERT 1", "primary SELECT 1"])
    }))
})
