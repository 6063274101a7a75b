import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingDashboard from "effect-sql-router/RoutingDashboard"
import { EndpointUnavailable } from "effect-sql-router/RoutingError"
import type { NotableEvent } from "effect-sql-router/RoutingEvent"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as TestClock from "effect/TestClock"
import { inWords } from "../../src/internal/dashboard/eventWords.js"

const database = "main"
const endpoint = "replica1"
const error = new SqlError({
  cause: new EndpointUnavailable({ database, endpoint, cause: new Error("connect ECONNREFUSED 10.0.0.5:5432") })
})
const position = Either.getOrThrow(ReplicationPosition.pgLsn("1/1", "0/1"))

const events: ReadonlyArray<NotableEvent> = [
  { _tag: "BreakerOpened", database, endpoint, evidence: "hard", error, trips: 1, cooldown: Duration.millis(1234) },
  { _tag: "BreakerClosed", database, endpoint, after: Duration.minutes(2) },
  { _tag: "EjectionWithheld", database, endpoint, error },
  { _tag: "EndpointHeld", database, endpoint, by: "quarantine" },
  { _tag: "EndpointReleased", database, endpoint },
  { _tag: "ReplicasExhausted", database },
  { _tag: "ReplicasRestored", database },
  { _tag: "RoleChanged", database, endpoint, from: "replica", to: "primary" },
  { _tag: "PrimaryChanged", database, from: "primary", to: endpoint },
  { _tag: "PrimaryLost", database, endpoint, reason: "demoted" },
  { _tag: "PrimaryRestored", database, endpoint },
  { _tag: "SplitBrainDetected", database, endpoints: ["primary", endpoint] },
  { _tag: "RetryBudgetExhausted", database, endpoint, error },
  { _tag: "ReplicaLagging", database, endpoint, lag: Duration.seconds(12) },
  { _tag: "ReplicaCaughtUp", database, endpoint },
  { _tag: "LostWriteSuspected", database, reason: "timelineLeft", position, primary: position }
]

describe("an event in words", () => {
  it("tells what became of whom, and why", () => {
    assert.deepStrictEqual(events.map((event) => `${inWords(event).tone}: ${inWords(event).text}`), [
      "bad: replica1 is out of service for 1.2 s (connect ECONNREFUSED 10.0.0.5:5432)",
      "good: replica1 is back in service after 2m",
      "warn: replica1 fails, but stays: too many are out already (connect ECONNREFUSED 10.0.0.5:5432)",
      "plain: replica1 was quarantined by hand",
      "plain: replica1 was released",
      "bad: No replica takes reads any more",
      "good: A replica takes reads again",
      "plain: replica1 says that it is a primary now",
      "warn: Failover: writes go to replica1 now, no longer to primary",
      "bad: Primary lost: replica1 takes no writes any more",
      "good: Primary back: replica1 takes writes",
      "bad: Split brain: primary and replica1 claim to be the primary",
      "bad: Statements that replica1 failed are no longer retried: too many of late",
      "warn: replica1 lags by 12.0 s, and takes no reads",
      "good: replica1 has caught up",
      "bad: A failover seems to have lost writes (the new primary never had them)"
    ])
  })
})

describe("what is wrong with a Database", () => {
  const cluster = InMemoryDriver.make({
    replicas: { replica1: {}, replica2: {} },
    health: { probeInterval: "500 millis" }
  })

  const problemsOf = (sql: RoutedSqlClient.RoutedSqlClient) =>
    RoutingDashboard.snapshot().pipe(
      Effect.provideService(RoutedSqlClient.RoutedSqlClient, sql),
      Effect.map(({ databases: [main] }) => main!.problems)
    )

  it.scoped("is nothing while all is well", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* cluster
      yield* sql`SELECT 1`
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* problemsOf(sql), [])
    }))

  it.scoped("is a primary that cannot be connected to, before what replicas lack", () =>
    Effect.gen(function*() {
      const { client: sql, cluster: { endpoint } } = yield* cluster
      yield* sql`SELECT 1`
      yield* endpoint("replica1").fail("down")
      yield* endpoint("primary").fail("down")
      yield* TestClock.adjust("2 seconds")
      yield* Effect.exit(sql`INSERT INTO t VALUES (1)`)
      assert.deepStrictEqual(yield* problemsOf(sql), [
        { tone: "bad", text: "Writes fail: primary cannot be connected to (primary: the server is down)" },
        { tone: "warn", text: "replica1 is out of service (replica1: the server is down)" }
      ])
    }))

  it.scoped("is that no replica is left, beside why", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* cluster
      yield* sql.drain("replica1")
      yield* sql.quarantine("replica2")
      assert.deepStrictEqual((yield* problemsOf(sql)).map(({ text }) => text), [
        "No replica serves reads",
        "replica1: drained",
        "replica2: quarantined"
      ])
    }))

  it.scoped("is that two servers take writes, and who", () =>
    Effect.gen(function*() {
      const { client: sql, cluster: { endpoint } } = yield* cluster
      yield* sql`SELECT 1`
      yield* TestClock.adjust("2 seconds")
      yield* endpoint("replica1").promote
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* problemsOf(sql), {
        tone: "bad",
        text: "Split brain: primary and replica1 claim to be the primary, so writes fail until one steps down"
      })
    }))

  it.scoped("is that nobody takes writes", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* cluster
      yield* sql`SELECT 1`
      yield* TestClock.adjust("2 seconds")
      yield* sql.quarantine("primary")
      assert.deepInclude(yield* problemsOf(sql), { tone: "bad", text: "No endpoint takes writes, so they fail" })
    }))

  it.scoped("is that statements wait for a connection", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* InMemoryDriver.make({ latency: "1 minute", pool: { max: 1 } })
      yield* Effect.forkScoped(Effect.all([sql`SELECT 1`, sql`SELECT 1`], { concurrency: 2 }))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(yield* problemsOf(sql), [
        { tone: "warn", text: "Statements wait for a connection of primary" }
      ])
    }))
})
