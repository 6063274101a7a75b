/** The checker of sessions over servers that take each other's place. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref, Schedule, Utils } from "effect"
import { ReadConsistency, RouteDecision } from "effect-sql-router"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as cluster from "../faults/cluster.js"
import { eventually, routedMysql, routedPg } from "../faults/support.js"
import { emptyReport, pauses, prepare, type Report, session } from "./checker.js"
import { cutOff, failOver, grantTimeline, setReplay, switchOver, synchronous } from "./failovers.js"

const generator = new Utils.PCGRandom(7)
const random = () => generator.number()

const log = (name: string, { failures, onReplicas, operations, reads, told, untold, violations }: Report) =>
  Effect.log(
    `${name}: ${operations} operations, ${reads} reads, ${Math.round(100 * onReplicas / reads)} % of them on replicas, `
      + `${violations.length} violations, ${told} told of a loss, ${untold} of the primary that lack a write untold; `
      + `failed: ${Array.from(failures, ([tag, count]) => `${count} ${tag}`).join(", ")}`
  )

/** Sessions run side by side while `script` happens to the servers: most at `session`, some at `eventual`. */
const runWhile = (
  sql: RoutedSqlClient,
  name: string,
  script: Effect.Effect<void, SqlError>,
  { mayLose = false } = {}
) =>
  Effect.gen(function*() {
    const over = yield* Ref.make(false)
    const [strict, eventual] = [emptyReport(), emptyReport()]
    const sessions = (count: number, report: Report, level: ReadConsistency.Level) =>
      Effect.forEach(
        Array.from({ length: count }),
        () =>
          Effect.repeat(session(sql, report, { level, mayLose, random }, Ref.get(over)), {
            until: () => Ref.get(over)
          }),
        { concurrency: "unbounded", discard: true }
      )
    yield* Effect.all(
      [
        sessions(8, strict, ReadConsistency.session),
        sessions(4, eventual, ReadConsistency.eventual),
        Effect.ensuring(script, Ref.set(over, true))
      ],
      { concurrency: "unbounded", discard: true }
    )
    yield* log(`${name}, session`, strict)
    yield* log(`${name}, eventual`, eventual)
    return { strict, eventual }
  })

/** What holds however often the primary changes. */
const assertConsistent = ({ failures, onReplicas, operations, reads, violations }: Report) => {
  assert.deepStrictEqual(violations, [])
  assert.isAbove(onReplicas / reads, 0.5)
  // While there is no primary, what needs one fails; nothing else does.
  assert.isBelow(Array.from(failures.values()).reduce((sum, count) => sum + count, 0), operations / 5)
}

const options = { replicationLag: { interval: "500 millis" }, health: { probeInterval: "500 millis" } } as const

describe("sessions, while the primary is killed and a standby promoted, twice", () => {
  it.scopedLive(
    "PostgreSQL: see what they wrote, and nothing that they saw is gone, where standbys are synchronous",
    () =>
      Effect.gen(function*() {
        const servers = yield* cluster.makePostgres
        yield* grantTimeline(servers.primary)
        yield* synchronous(Object.values(servers))
        const { primary, replica1, replica2 } = servers
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, options)
        yield* prepare(sql)
        yield* cluster.caughtUp(primary, [replica1, replica2])
        const script = Effect.gen(function*() {
          const calm = Effect.sleep("4 seconds")
          yield* calm
          const [promoted, standby] = yield* failOver(primary, [replica1, replica2])
          yield* calm
          // The one that was killed comes back as a standby.
          yield* standby.end("SIGINT")
          cluster.rejoin(primary, standby, promoted)
          yield* Effect.all([primary.start, standby.start], { concurrency: 2 })
          yield* calm
          yield* failOver(promoted, [primary, standby])
          yield* calm
        })
        const { strict } = yield* runWhile(
          sql,
          "PostgreSQL, synchronous",
          Effect.raceFirst(
            script,
            pauses(3, (i, paused) => setReplay([primary, replica1, replica2][i]!, paused), random)
          )
        )
        assertConsistent(strict)
        assert.isAtLeast(count("PrimaryChanged"), 2)
        yield* Effect.log(`PostgreSQL, synchronous: ${count("LostWriteSuspected")} writes suspected to be lost`)
      }),
    120_000
  )

  it.scopedLive(
    "PostgreSQL: are told what an asynchronous standby had not received, and no replica passes for having it",
    () =>
      Effect.gen(function*() {
        const servers = yield* cluster.makePostgres
        yield* grantTimeline(servers.primary)
        const { primary, replica1, replica2 } = servers
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, options)
        yield* prepare(sql)
        yield* cluster.caughtUp(primary, [replica1, replica2])
        const script = Effect.gen(function*() {
          yield* Effect.sleep("3 seconds")
          yield* Effect.forEach([replica1, replica2], cutOff, { concurrency: 2 })
          yield* Effect.sleep("300 millis")
          yield* ReadConsistency.scoped(Effect.gen(function*() {
            yield* sql`INSERT INTO lists (id, item) VALUES (100, 0)`
            yield* failOver(primary, [replica1, replica2])
            const served = yield* RouteDecision.capture(sql`SELECT item FROM lists WHERE id = 100`).pipe(
              Effect.retry(Schedule.spaced("20 millis")),
              Effect.map(([, decisions]) => decisions.at(-1)!),
              Effect.repeat({
                until: ({ plan, role }) => role === "replica" || plan.consistency?.fallback === "lostWrite"
              })
            )
            assert.strictEqual(served.role, "primary")
          }))
          yield* Effect.sleep("5 seconds")
        })
        const { strict } = yield* runWhile(sql, "PostgreSQL, asynchronous", script, { mayLose: true })
        assertConsistent(strict)
        assert.isAbove(count("LostWriteSuspected"), 0)
        yield* Effect.log(`PostgreSQL, asynchronous: ${count("LostWriteSuspected")} writes suspected to be lost`)
      }),
    90_000
  )
})

describe("sessions, while a primary refuses writes and its replica takes them, and back", () => {
  it.scopedLive("MariaDB: see what they wrote, and nothing that they saw is gone", () =>
    Effect.gen(function*() {
      const { primary, replica1 } = yield* cluster.makeMariadb
      const { count, sql } = yield* routedMysql({ primary, replicas: { replica1 } }, {
        ...options,
        health: { ...options.health, awaitPrimary: "10 seconds" }
      })
      yield* prepare(sql)
      yield* cluster.gtidReached(primary, replica1)
      const paused = (server: cluster.TestServer) =>
        Effect.gen(function*() {
          for (let i = 0; i < 4; i++) {
            yield* Effect.sleep(300 + random() * 500)
            yield* Effect.promise(() => server.query("STOP SLAVE SQL_THREAD"))
            yield* Effect.sleep(random() * 400)
            yield* Effect.promise(() => server.query("START SLAVE SQL_THREAD"))
          }
        })
      const script = Effect.gen(function*() {
        yield* paused(replica1)
        yield* switchOver(primary, replica1)
        yield* eventually("it is found", () => count("PrimaryChanged") === 1)
        yield* paused(primary)
        yield* switchOver(replica1, primary)
        yield* eventually("it is found", () => count("PrimaryChanged") === 2)
        yield* paused(replica1)
      })
      const { eventual, strict } = yield* runWhile(sql, "MariaDB", script)
      assertConsistent(strict)
      assert.isNotEmpty(eventual.violations)
      assert.strictEqual(count("LostWriteSuspected"), 0)
    }), 90_000)
})
