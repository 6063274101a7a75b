import { assert, describe, it } from "@effect/vitest"
import * as EndpointReport from "effect-sql-router/EndpointReport"
import * as Explanation from "effect-sql-router/Explanation"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import type * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { failure, fakeRouter } from "./fixtures/fakeRouter.js"

const hard = failure({ blame: "endpoint", connection: "destroy", evidence: "hard", readRetry: "elsewhere" })

const replicas = { replica1: {}, replica2: { weight: 3 } }

/** The report of one endpoint of the default Database. */
const reportOf = (sql: RoutedSqlClient.RoutedSqlClient, endpoint: string) =>
  Effect.map(sql.replicas, ([main]) => main!.endpoints.find((report) => report.endpoint === endpoint)!)

const served = (log: ReadonlyArray<string>) => log.map((line) => line.split("#")[0])

describe("the report", () => {
  it.scoped("names each endpoint of each Database, in order, with role and weight", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas, databases: { archive: {} } })
      const reports = yield* sql.replicas
      assert.deepStrictEqual(
        reports.map(({ database, endpoints, lastChoice, strategy }) => ({
          database,
          strategy,
          lastChoice,
          endpoints: endpoints.map(({ endpoint, role, weight }) => [endpoint, role, weight])
        })),
        [
          {
            database: "main",
            strategy: "roundRobin",
            lastChoice: undefined,
            endpoints: [["primary", "primary", 0], ["replica1", "replica", 1], ["replica2", "replica", 3]]
          },
          {
            database: "archive",
            strategy: "roundRobin",
            lastChoice: undefined,
            endpoints: [["primary", "primary", 0]]
          }
        ]
      )
    }))

  it.scoped("tells of a replica that lags too far behind to be read", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* InMemoryDriver.make({
        replicas: { replica1: { replayDelay: "1 minute" }, replica2: {} },
        replicationLag: { maxLag: "2 seconds" }
      })
      for (let i = 0; i < 20; i++) {
        yield* sql`INSERT INTO t VALUES (1)`
        yield* TestClock.adjust("500 millis")
      }
      const { available, why } = yield* reportOf(sql, "replica1")
      assert.deepStrictEqual({ available, why }, { available: false, why: "lags by more than 2s" })
      assert.isTrue((yield* reportOf(sql, "replica2")).available)
    }))

  it.scoped("tells what is in flight, and how long answers took", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        replicas: { replica1: { execute: () => Effect.as(Effect.sleep("20 millis"), []) } }
      })
      const before = yield* reportOf(sql, "replica1")
      assert.deepStrictEqual(before.latency, { mean: undefined, p50: undefined, p95: undefined, p99: undefined })
      assert.isUndefined(before.lag)
      const reading = yield* Effect.fork(sql`SELECT 1`)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* reportOf(sql, "replica1")).inFlight, 1)
      yield* TestClock.adjust("20 millis")
      yield* Fiber.join(reading)
      const after = yield* reportOf(sql, "replica1")
      assert.strictEqual(after.inFlight, 0)
      assert.strictEqual(after.successes, 1)
      assert.deepStrictEqual(after.latency.mean, Duration.millis(20))
      assert.closeTo(Duration.toMillis(after.latency.p50!), 20, 1.25)
    }))

  it.scoped("tells the last choice, which a write does not change", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas })
      yield* sql`SELECT 1`
      const chosen = served(log)[0]
      yield* sql`INSERT INTO t VALUES (1)`
      const [main] = yield* sql.replicas
      assert.strictEqual(main!.lastChoice, chosen)
      assert.match(chosen!, /^replica/)
    }))

  it.scoped("tells why a replica is out of service, since when and until when, and its last error", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const { sql } = yield* fakeRouter({
        replicas: { replica1: { connect: Effect.fail(hard) }, replica2: {} },
        health: { probeInterval: Duration.infinity },
        strategy: ReplicaStrategy.failover
      })
      yield* sql`SELECT 1`
      const { available, failures, lastError, sinceMillis, state, untilMillis, why } = yield* reportOf(sql, "replica1")
      assert.deepStrictEqual([available, state, failures, sinceMillis], [false, "open", 1, 1_000_000])
      assert.isTrue(untilMillis! > 1_000_000)
      assert.match(why, /^open until/)
      assert.isDefined(lastError)
    }))

  it.scoped("prints as a table and as JSON", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        replicas: { replica1: { connect: Effect.fail(hard) }, replica2: {} },
        strategy: ReplicaStrategy.failover
      })
      yield* sql`SELECT 1`
      const reports = yield* sql.replicas
      const lines = EndpointReport.table(reports).split("\n")
      assert.strictEqual(lines.length, 4)
      assert.match(lines[0]!, /^endpoint +strategy +role +state +weight/)
      assert.match(lines[2]!, /^main\/replica1 +failover +replica +open .*open until/)
      assert.match(lines[3]!, /^main\/replica2 \* +failover +replica +closed/)
      const json = JSON.parse(JSON.stringify(EndpointReport.toJSON(reports)))
      assert.deepStrictEqual(json, EndpointReport.toJSON(reports))
      assert.deepStrictEqual([json[0].lastChoice, json[0].endpoints[1].state], ["replica2", "open"])
      assert.isString(json[0].endpoints[1].lastError)
      assert.match(json[0].endpoints[1].until, /^1970-01-01T/)
      assert.notProperty(json[0].endpoints[0], "lagMillis")
    }))
})

describe("an endpoint that is drained", () => {
  it.scoped("takes no reads from then on, until it is released", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas })
      yield* sql.drain("replica1")
      for (let i = 0; i < 8; i++) yield* sql`SELECT 1`
      assert.deepStrictEqual([...new Set(served(log))], ["replica2"])
      assert.strictEqual((yield* reportOf(sql, "replica1")).state, "drained")
      yield* sql.release("replica1")
      for (let i = 0; i < 8; i++) yield* sql`SELECT 1`
      assert.sameMembers([...new Set(served(log))], ["replica1", "replica2"])
      assert.strictEqual((yield* reportOf(sql, "replica1")).state, "closed")
    }))

  it.scoped("is excluded in plans, by that name", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      yield* sql.drain("replica1")
      const explanation = yield* sql.explain(sql`SELECT 1`)
      assert.deepStrictEqual(explanation.plan.excluded, [{ endpoint: "replica1", reason: "drained" }])
      assert.match(Explanation.render(explanation), /replica1: drained/)
    }))

  it.scoped("stays drained when its server fails and comes back", () =>
    Effect.gen(function*() {
      let isUp = true
      const { log, sql } = yield* fakeRouter({
        replicas: {
          replica1: {
            connect: Effect.suspend(() => isUp ? Effect.void : Effect.fail(hard)),
            status: () => ({ role: "replica", position: undefined, replication: "streaming", generation: "" })
          },
          replica2: {
            status: () => ({ role: "replica", position: undefined, replication: "streaming", generation: "" })
          }
        },
        health: { probeInterval: "1 second" }
      })
      yield* sql`SELECT 1`
      yield* sql.drain("replica1")
      isUp = false
      yield* TestClock.adjust("10 seconds")
      isUp = true
      yield* TestClock.adjust("2 minutes")
      const report = yield* reportOf(sql, "replica1")
      assert.strictEqual(report.state, "drained")
      assert.isTrue(report.probes.succeeded > 0)
      log.length = 0
      for (let i = 0; i < 8; i++) yield* sql`SELECT 1`
      assert.deepStrictEqual([...new Set(served(log))], ["replica2"])
    }))

  it.scoped("takes no share of the reads as the primary either, but its writes", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas, primaryReadWeight: 1 })
      yield* sql.drain("primary")
      for (let i = 0; i < 10; i++) yield* sql`SELECT 1`
      assert.notInclude(served(log), "primary")
      yield* sql`INSERT INTO t VALUES (1)`
      assert.strictEqual(served(log).at(-1), "primary")
      yield* sql.release("primary")
      for (let i = 0; i < 10; i++) yield* sql`SELECT 1`
      assert.include(served(log).slice(11), "primary")
    }))
})

describe("an endpoint that is quarantined", () => {
  it.scoped("gets nothing any more, and writes fail if it is the only primary", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas })
      yield* sql.quarantine("primary")
      const error = yield* Effect.flip(sql`INSERT INTO t VALUES (1)`)
      assert.instanceOf(error.cause, RoutingError.NoPrimary)
      yield* sql`SELECT 1`
      assert.notInclude(served(log), "primary")
      yield* sql.release("primary")
    }))

  it.scoped("is told of by an event, and so is its release", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      const listening = yield* Effect.fork(Stream.runCollect(Stream.take(sql.events, 2)))
      yield* Effect.yieldNow()
      yield* TestClock.adjust("1 millis")
      yield* sql.quarantine("replica2")
      yield* sql.release("replica2")
      const events: ReadonlyArray<RoutingEvent> = Chunk.toReadonlyArray(yield* Fiber.join(listening))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["EndpointHeld", "EndpointReleased"])
    }))
})

describe("whom these are told", () => {
  it.scoped("is a Database's own endpoint, or that of the Database named", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas, databases: { archive: { replicas: { old: {} } } } })
      yield* sql.drain("old", { database: "archive" })
      const archive = yield* sql.database("archive")
      const state = Effect.map(sql.replicas, ([, archive]) => archive!.endpoints[1]!.state)
      assert.strictEqual(yield* state, "drained")
      yield* archive.release("old")
      assert.strictEqual(yield* state, "closed")
    }))

  it.scoped("must be known, and the error tells who is", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      for (const action of [sql.drain, sql.quarantine, sql.release]) {
        const unknown = yield* Effect.flip(action("replica9"))
        assert.instanceOf(unknown.cause, RoutingError.ConfigurationError)
        assert.match(unknown.message, /"replica9": known are "primary", "replica1", "replica2"/)
        const noDatabase = yield* Effect.flip(action("replica1", { database: "archive" }))
        assert.match(noDatabase.message, /no database "archive": known are "main"/)
      }
    }))

  it.scoped("may be told by a client that is bound to one connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      const bound = yield* sql.freshConnection()
      yield* bound.drain("replica1")
      assert.strictEqual((yield* reportOf(bound, "replica1")).state, "drained")
      assert.strictEqual((yield* reportOf(sql, "replica1")).state, "drained")
    }))
})
