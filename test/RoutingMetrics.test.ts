import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingMetrics from "effect-sql-router/RoutingMetrics"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Target from "effect-sql-router/Target"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import { failure, fakeRouter } from "./fixtures/fakeRouter.js"

const hard = failure({ blame: "endpoint", connection: "destroy", evidence: "hard", readRetry: "elsewhere" })

const replicas = { replica1: {}, replica2: {} }

/** What has been counted under a name, by the values of its tags. */
const counted = (sql: RoutedSqlClient.RoutedSqlClient, name: string) =>
  Effect.map(sql.counts, (counts) =>
    Object.fromEntries(
      counts.filter((count) => count.name === `sql.router.${name}`).map(({ count, tags }) => [
        Object.values(tags).join(" "),
        count
      ])
    ))

/** The value of a metric whose tags are all of these. */
const metric = (name: string, tags: { readonly [key: string]: string }) =>
  Effect.map(Metric.snapshot, (pairs) => {
    const found = pairs.find(({ metricKey }) =>
      metricKey.name === name
      && Object.entries(tags).every(([key, value]) => metricKey.tags.some((_) => _.key === key && _.value === value))
    )
    const state = found?.metricState as { readonly value?: number; readonly count?: number } | undefined
    return state?.value ?? state?.count
  })

describe("what is counted", () => {
  it.scoped("is each statement once, by endpoint, role and reason", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      for (let i = 0; i < 4; i++) yield* sql`SELECT 1`
      yield* sql`INSERT INTO t VALUES (1)`
      yield* sql.withTransaction(Effect.zip(sql`SELECT 1`, sql`SELECT 2`))
      const statements = yield* counted(sql, "statements")
      assert.strictEqual(statements["main replica1 replica read"], 2)
      assert.strictEqual(statements["main replica2 replica read"], 2)
      assert.strictEqual(statements["main primary primary in a transaction"], 2)
      assert.strictEqual(Object.values(statements).reduce((a, b) => a + b), 7)
    }))

  it.scoped("is a retry beside the statements it makes", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        replicas: { replica1: { connect: Effect.fail(hard) }, replica2: {} },
        strategy: ReplicaStrategy.failover
      })
      yield* sql`SELECT 1`
      assert.deepStrictEqual(yield* counted(sql, "retries"), { "main replica1": 1 })
      assert.deepStrictEqual(yield* counted(sql, "statements"), {
        "main replica1 replica read": 1,
        "main replica2 replica read": 1
      })
      assert.deepStrictEqual(yield* counted(sql, "breaker_transitions"), { "main replica1 opened": 1 })
    }))

  it.scoped("is a read that the primary serves in the place of replicas", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withPrimary)
      assert.deepStrictEqual(yield* counted(sql, "fallback_reads"), {})
      yield* sql.drain("replica1")
      yield* sql.drain("replica2")
      yield* sql`SELECT 1`
      assert.deepStrictEqual(yield* counted(sql, "fallback_reads"), { main: 1 })
      assert.deepStrictEqual(yield* counted(sql, "holds"), { "main replica1 drain": 1, "main replica2 drain": 1 })
    }))

  it.scoped("is a statement that is refused, by its reason", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas, health: { whenNoneLeft: "fail" } })
      yield* Effect.flip(sql`INSERT INTO t VALUES (1)`.pipe(RoutedSqlClient.withReplica))
      yield* sql.drain("replica1")
      yield* sql.drain("replica2")
      yield* Effect.flip(sql`SELECT 1`)
      assert.deepStrictEqual(yield* counted(sql, "refusals"), { "main writeOnReplica": 1, "main unavailable": 1 })
      assert.deepStrictEqual(yield* counted(sql, "statements"), {})
    }))

  it.scoped("is a mirrored read as such, and not as a statement too", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        databases: { next: {} },
        classifier: StatementClassifier.make(),
        rules: RoutingRules.make([
          RoutingRules.read(Target.mirrored(Target.database("main"), { percent: 100, to: Target.database("next") }))
        ])
      })
      yield* sql`SELECT 1`
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* counted(sql, "mirrored_reads"), { "next answered": 1 })
      assert.deepStrictEqual(Object.values(yield* counted(sql, "statements")), [1])
    }))

  it.scoped("is what is sent through clients of one connection too, without a count for each of them", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(Effect.flatMap(sql.freshConnection(), (own) => own`INSERT INTO t VALUES (1)`))
      }
      assert.deepStrictEqual(Object.values(yield* counted(sql, "statements")), [3])
    }))
})

describe("the layer", () => {
  it.scoped("keeps Effect's metrics up to date at every interval, those of the pools too", () =>
    Effect.gen(function*() {
      // Metrics are global: other tests count under other names.
      const router = yield* fakeRouter({ databases: { metered: { replicas } } })
      const sql = yield* router.sql.database("metered")
      for (let i = 0; i < 4; i++) yield* sql`SELECT 1`
      yield* Layer.build(RoutingMetrics.layer(Effect.succeed(sql), { interval: "5 seconds" }))
      const statements = metric("sql.router.statements", { database: "metered", endpoint: "replica1", role: "replica" })
      assert.strictEqual(yield* statements, 2)
      assert.strictEqual(yield* metric("sql.router.replica_share", { database: "metered" }), 1)
      assert.strictEqual(
        yield* metric("sql.router.endpoint.available", { database: "metered", endpoint: "replica1" }),
        1
      )
      assert.strictEqual(
        yield* metric("db.client.connection.count", { database: "metered", endpoint: "replica1", state: "idle" }),
        1
      )
      yield* sql`INSERT INTO t VALUES (1)`
      yield* sql`SELECT 1`
      yield* sql`SELECT 1`
      yield* sql`INSERT INTO t VALUES (2)`
      yield* sql.drain("replica1")
      assert.strictEqual(yield* statements, 2)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* statements, 3)
      assert.strictEqual(yield* metric("sql.router.replica_share", { database: "metered" }), 0.5)
      assert.strictEqual(
        yield* metric("sql.router.endpoint.available", { database: "metered", endpoint: "replica1" }),
        0
      )
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* statements, 3)
    }))

  it.scoped("does not make statements be told to it", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ replicas })
      yield* Layer.build(RoutingMetrics.layer(Effect.succeed(sql)))
      const before = yield* sql.counts
      yield* sql`SELECT 1`
      // What was read before stays what it was: counts are values.
      assert.deepStrictEqual(before, [])
    }))
})
