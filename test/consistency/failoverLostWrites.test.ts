/** A failover that loses what was acknowledged: what becomes of a session that has seen it. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ConsistencyToken, ReplicationPosition } from "effect-sql-router"
import { ReadConsistency, RouteDecision } from "effect-sql-router"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as cluster from "../faults/cluster.js"
import { eventually, routedMysql, routedPg } from "../faults/support.js"
import { cutOff, followOnline, grantTimeline } from "./failovers.js"

const options: RouterOptions = {
  // Short, so that the test sees the end of it.
  consistency: { ttl: "3 seconds" },
  replicationLag: { interval: "200 millis", maxLag: "2 seconds" }
}

/** Writes in a session of its own, and what that has seen. */
const write = (sql: RoutedSqlClient, id: number) =>
  ReadConsistency.scoped(Effect.zipRight(sql`INSERT INTO ledger VALUES (${id})`, ReadConsistency.currentToken))

/** The ids there are, and who says so. */
const read = (sql: RoutedSqlClient) =>
  Effect.map(
    RouteDecision.capture(sql<{ id: number }>`SELECT id FROM ledger WHERE id < 100 ORDER BY id`),
    ([rows, decisions]) => {
      const { plan, role } = decisions.at(-1)!
      return { ids: rows.map(({ id }) => id), role, fallback: plan.consistency?.fallback, by: plan.consistency?.by }
    }
  )

/** Reads with a token until a replica serves it, as those of a write that is there are soon. */
const readOnReplica = (sql: RoutedSqlClient, token: ConsistencyToken.ConsistencyToken) =>
  Effect.repeat(
    Effect.tap(ReadConsistency.withToken(read(sql), token), () => Effect.sleep("20 millis")),
    { until: ({ role }) => role === "replica", times: 250 }
  )

/** What holds for a session that has seen a write which a failover lost, while the new primary writes on beyond its position. */
const assertHonest = (
  { count, sql }: { readonly sql: RoutedSqlClient; readonly count: (tag: "LostWriteSuspected") => number },
  survived: ConsistencyToken.ConsistencyToken,
  lost: ConsistencyToken.ConsistencyToken
) =>
  Effect.gen(function*() {
    // A write that survived is known to have: a replica of the new primary may answer for it.
    assert.include((yield* readOnReplica(sql, survived)).ids, 1)
    assert.strictEqual(count("LostWriteSuspected"), 0)

    // Tokens go from request to request, each of them a session that knows no more than the token.
    for (let i = 0; i < 20; i++) {
      const { fallback, ids, role } = yield* ReadConsistency.withToken(read(sql), lost)
      assert.deepStrictEqual({ fallback, ids, role }, { fallback: "lostWrite", ids: [1, 3], role: "primary" })
    }
    assert.strictEqual(count("LostWriteSuspected"), 20)

    yield* ReadConsistency.withToken(
      Effect.gen(function*() {
        for (let i = 0; i < 20; i++) assert.strictEqual((yield* read(sql)).role, "primary")
        // Told once in a session, and not for ever.
        assert.strictEqual(count("LostWriteSuspected"), 21)
        yield* Effect.sleep("3100 millis")
        yield* Effect.repeat(read(sql), { until: ({ role }) => role === "replica", times: 100 })
        assert.deepInclude(yield* read(sql), { ids: [1, 3], role: "replica" })
      }),
      lost
    )

    // What the session writes now does not cover up what it lost.
    yield* ReadConsistency.withToken(
      Effect.gen(function*() {
        yield* sql`INSERT INTO ledger VALUES (4)`
        assert.deepInclude(yield* read(sql), { fallback: "lostWrite", ids: [1, 3, 4], role: "primary" })
      }),
      lost
    )
    const { by, ids } = yield* readOnReplica(sql, yield* write(sql, 5))
    assert.deepStrictEqual(ids, [1, 3, 4, 5])
    assert.include(["cachedPosition", "guard", "wait"], by)
  })

/** PostgreSQL, promoted without the second of two writes; the log of the new primary is longer by now than that of the old. */
const promotedWithoutWrite = (mayTellTimeline: boolean) =>
  Effect.gen(function*() {
    const { primary, replica1, replica2 } = yield* cluster.makePostgres
    if (mayTellTimeline) yield* grantTimeline(primary)
    const router = yield* routedPg({ primary, replicas: { replica1, replica2 } }, options)
    const { count, sql } = router
    yield* sql`CREATE TABLE ledger (id INT, filler TEXT)`
    const survived = yield* write(sql, 1)
    yield* cluster.caughtUp(primary, [replica1, replica2])
    yield* Effect.forEach([replica1, replica2], cutOff)
    const lost = yield* write(sql, 2)
    yield* primary.kill
    yield* followOnline(replica2, replica1)
    yield* Effect.promise(() => replica1.query("SELECT pg_promote()"))
    yield* eventually("it is found", () => count("PrimaryChanged") === 1)
    yield* write(sql, 3)
    yield* sql`INSERT INTO ledger SELECT 100, repeat('x', 1000) FROM generate_series(1, 100)`
    yield* ReadConsistency.forget
    yield* cluster.caughtUp(replica1, [replica2])
    const [replayed] = yield* Effect.promise(() =>
      replica2.query("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn AS bytes")
    )
    const { lsn } = lost.marks.get("main")!.all.position as ReplicationPosition.PgLsn
    assert.isTrue(BigInt(replayed.bytes) > lsn)
    return { lost, replica1, replica2, router, survived }
  })

it.scopedLive(
  "PostgreSQL: no standby claims a write that the promoted one had not received",
  () =>
    Effect.gen(function*() {
      const { lost, replica1, replica2, router, survived } = yield* promotedWithoutWrite(true)
      yield* assertHonest(router, survived, lost)

      // In a process that has not seen the failover, either.
      const other = yield* routedPg({ primary: replica1, replicas: { replica2 } }, options)
      assert.deepInclude(yield* ReadConsistency.withToken(read(other.sql), lost), {
        fallback: "lostWrite",
        role: "primary"
      })
      assert.deepInclude(yield* readOnReplica(other.sql, survived), { role: "replica" })
      assert.strictEqual(other.count("LostWriteSuspected"), 1)
    }),
  60_000
)

it.scopedLive(
  "PostgreSQL: nor does one that names the timeline of before, for it may not tell its own",
  () =>
    Effect.gen(function*() {
      const { lost, replica1, replica2, router: { sql }, survived } = yield* promotedWithoutWrite(false)
      const other = yield* routedPg({ primary: replica1, replicas: { replica2 } }, options)
      for (const router of [sql, other.sql]) {
        for (let i = 0; i < 20; i++) {
          assert.deepInclude(yield* ReadConsistency.withToken(read(router), lost), {
            fallback: "lostWrite",
            ids: [1, 3],
            role: "primary"
          })
          assert.deepInclude(yield* ReadConsistency.withToken(read(router), survived), { ids: [1, 3], role: "primary" })
        }
      }
    }),
  60_000
)

it.scopedLive(
  "MariaDB: no replica claims a write that the promoted one had not received",
  () =>
    Effect.gen(function*() {
      const { primary, replica1 } = yield* cluster.makeMariadb
      const router = yield* routedMysql({ primary, replicas: { replica1 } }, options)
      const { count, sql } = router
      yield* sql`CREATE TABLE ledger (id INT)`
      const survived = yield* write(sql, 1)
      yield* cluster.gtidReached(primary, replica1)
      yield* Effect.promise(() => replica1.query("STOP SLAVE"))
      const lost = yield* write(sql, 2)
      yield* primary.kill
      yield* Effect.promise(() => replica1.query("SET GLOBAL read_only = 0"))
      yield* eventually("it is found", () => count("PrimaryChanged") === 1)
      yield* write(sql, 3)
      // The sequence goes beyond that of the write that was lost.
      for (let i = 0; i < 5; i++) yield* sql`INSERT INTO ledger VALUES (100)`
      yield* ReadConsistency.forget
      yield* cluster.rejoinMariadb(primary, replica1)
      yield* Effect.sleep("1 second")
      yield* assertHonest(router, survived, lost)
    }),
  60_000
)
