/** What users notice when another server becomes the primary. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import { withPrimary } from "effect-sql-router/RoutedSqlClient"
import type { TestServer } from "./cluster.js"
import { caughtUp, follow, gtidReached, makeMariadb, makePostgres, rejoin, replicate } from "./cluster.js"
import { eventually, load, routedMysql, routedPg, tagOf } from "./support.js"

/** Writes ids that nobody else writes; remembers those that were acknowledged. */
const ledger = (sql: RoutedSqlClient) => {
  const acknowledged = new Set<number>()
  let last = 0
  return {
    acknowledged,
    write: Effect.suspend(() => {
      const id = ++last
      return Effect.map(sql`INSERT INTO ledger VALUES (${id})`, () => {
        acknowledged.add(id)
        return "written"
      })
    })
  }
}

const idsOn = (server: TestServer, schema = ""): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(
    Effect.promise(() => server.query(`SELECT id FROM ${schema}ledger ORDER BY id`)),
    (rows) => rows.map(({ id }) => Number(id))
  )

const assertOnce = (ids: ReadonlyArray<number>, acknowledged: ReadonlySet<number>) => {
  assert.strictEqual(new Set(ids).size, ids.length)
  assert.deepStrictEqual(Array.from(acknowledged).filter((id) => !ids.includes(id)), [])
}

const portOf = (sql: RoutedSqlClient): Effect.Effect<number, SqlError> =>
  Effect.map(sql<{ port: number }>`SELECT inet_server_port() AS port`, ([row]) => row!.port)

it.scopedLive(
  "PostgreSQL: writes follow a promotion; the old primary is not written to when it comes back, and reads when it is a standby",
  () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* makePostgres
      const { count, excluded, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        health: { probeInterval: "1 second" }
      })
      // Before anything is written here: who has written may have to read it where it is, and that server goes.
      const readers = yield* load(4, Effect.map(portOf(sql), String), 2)
      yield* sql`CREATE TABLE ledger (id INT)`
      const { acknowledged, write } = ledger(sql)
      const writers = yield* load(4, write, 2)
      yield* eventually("writes go on", () => acknowledged.size > 20)

      yield* primary.end("SIGINT")
      yield* Effect.promise(() =>
        replica2.query(
          `ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=${replica1.port} user=postgres application_name=replica2'`
        )
      )
      yield* Effect.promise(() => replica2.query("SELECT pg_reload_conf()"))
      yield* Effect.promise(() => replica1.query("SELECT pg_promote()"))
      const before = acknowledged.size
      yield* eventually("writes land", () => acknowledged.size > before + 20, 2500)
      assert.strictEqual(yield* withPrimary(portOf(sql)), replica1.port)
      const [setting] = yield* withPrimary(
        sql<{ readonly: string }>`SELECT current_setting('default_transaction_read_only') AS readonly`
      )
      assert.strictEqual(setting!.readonly, "off")
      assert.strictEqual(count("PrimaryChanged"), 1)
      yield* eventually(
        "only the other standby serves reads",
        () => readers.answers.at(-1)![2] === String(replica2.port)
      )

      // Back as what it was: it takes writes, but nobody's.
      yield* primary.start
      yield* Effect.sleep("2500 millis")
      assert.include((yield* excluded).join(), "primary: it accepts writes, but is not the primary")
      assert.strictEqual(yield* withPrimary(portOf(sql)), replica1.port)
      assert.strictEqual(count("SplitBrainDetected"), 0)

      yield* writers.stop
      const onOld = yield* idsOn(primary)
      yield* caughtUp(replica1, [replica2])
      assertOnce(yield* idsOn(replica1), acknowledged)
      assert.deepStrictEqual(onOld.filter((id) => id > before + writers.errors.length + 8), [])
      const unexpected = writers.errors.map(tagOf).filter((tag) =>
        !["EndpointUnavailable", "NoPrimary", "OutcomeUnknown"].includes(tag)
      )
      assert.deepStrictEqual(unexpected, [])

      // Back as a standby of the new one, it serves reads.
      yield* Effect.all([primary.end("SIGINT"), replica2.end("SIGINT")], { concurrency: 2 })
      rejoin(primary, replica2, replica1)
      follow(replica2, replica1)
      yield* Effect.all([primary.start, replica2.start], { concurrency: 2 })
      yield* eventually("it reads", () => readers.done.has(String(primary.port)), 15_000)
      yield* write
      yield* readers.stop
      assert.deepStrictEqual(readers.errors.map(tagOf), [])

      // Two that take writes are not chosen between.
      const restored = count("PrimaryRestored")
      yield* Effect.promise(() => primary.query("SELECT pg_promote()"))
      yield* eventually("it is seen", () => count("SplitBrainDetected") === 1)
      assert.strictEqual(tagOf(yield* Effect.flip(write)), "SplitBrain")
      yield* portOf(sql)
      yield* primary.end("SIGINT")
      yield* replica2.end("SIGINT")
      rejoin(primary, replica2, replica1)
      yield* Effect.all([primary.start, replica2.start], { concurrency: 2 })
      yield* eventually("it is over", () => count("PrimaryRestored") > restored)
      yield* write
      assert.strictEqual(yield* withPrimary(portOf(sql)), replica1.port)
    }),
  60_000
)

it.scopedLive(
  "MariaDB: writes that a primary refuses as read-only go to the one that takes its place, each once",
  () =>
    Effect.gen(function*() {
      const { primary, replica1 } = yield* makeMariadb
      const { count, sql } = yield* routedMysql({ primary, replicas: { replica1 } }, {
        health: { awaitPrimary: "10 seconds" }
      })
      yield* sql`CREATE TABLE ledger (id INT)`
      const { acknowledged, write } = ledger(sql)
      const writers = yield* load(8, write, 2)
      yield* eventually("writes go on", () => acknowledged.size > 50)
      const switchOver = (from: TestServer, to: TestServer) =>
        Effect.gen(function*() {
          yield* Effect.promise(() => from.query("SET GLOBAL read_only = 1"))
          yield* gtidReached(from, to)
          yield* Effect.sleep("500 millis")
          yield* Effect.promise(() => to.query("STOP SLAVE"))
          yield* Effect.promise(() => to.query("SET GLOBAL read_only = 0"))
          yield* replicate(from, to)
          const before = acknowledged.size
          yield* eventually("writes land", () => acknowledged.size > before + 50)
        })
      yield* switchOver(primary, replica1)
      assert.strictEqual(count("PrimaryChanged"), 1)
      // And back again.
      yield* switchOver(replica1, primary)
      yield* writers.stop
      assert.strictEqual(count("PrimaryChanged"), 2)
      assert.deepStrictEqual(writers.errors.map(tagOf), [])
      const ids = yield* idsOn(primary, "test.")
      assertOnce(ids, acknowledged)
      assert.strictEqual(ids.length, acknowledged.size)
    }),
  60_000
)

it.scopedLive(
  "MariaDB: transactions that a primary refuses as read-only are followed at the first refusal, not at the next probe",
  () =>
    Effect.gen(function*() {
      const { primary, replica1 } = yield* makeMariadb
      const { count, sql } = yield* routedMysql({ primary, replicas: { replica1 } }, {
        health: { probeInterval: "1 minute" }
      })
      yield* sql`CREATE TABLE ledger (id INT)`
      const { acknowledged, write } = ledger(sql)
      yield* sql.withTransaction(write)
      yield* Effect.promise(() => primary.query("SET GLOBAL read_only = 1"))
      yield* gtidReached(primary, replica1)
      yield* Effect.promise(() => replica1.query("STOP SLAVE"))
      yield* Effect.promise(() => replica1.query("SET GLOBAL read_only = 0"))
      const refused = yield* Effect.flip(sql.withTransaction(write))
      assert.include(String(refused.cause), "read-only")
      yield* eventually("it is followed", () => count("PrimaryChanged") === 1, 2000)
      yield* sql.withTransaction(write)
      assertOnce(yield* idsOn(replica1, "test."), acknowledged)
    }),
  60_000
)
