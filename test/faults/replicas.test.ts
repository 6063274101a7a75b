/** What users notice when PostgreSQL replicas, or the ways to them, fail. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Redacted, Schedule, Stream } from "effect"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import type { RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as pg from "pg"
import { everythingIsRead } from "../fixtures/classifiers.js"
import type { PostgresCluster } from "./cluster.js"
import { caughtUp, makePostgres } from "./cluster.js"
import { eventually, load, routedPg, tagOf, watchConnects } from "./support.js"

class Servers extends Context.Tag("Servers")<Servers, PostgresCluster>() {}

/** All three, running, whatever became of them before. */
const allUp = Effect.tap(
  Servers,
  ({ primary, replica1, replica2 }) =>
    Effect.forEach([primary, replica1, replica2], (server) => server.isRunning ? Effect.void : server.start, {
      concurrency: "unbounded"
    })
)

const serverOf = (sql: RoutedSqlClient.RoutedSqlClient): Effect.Effect<string, SqlError> =>
  Effect.map(sql<{ port: number }>`SELECT inet_server_port() AS port`, ([row]) => String(row!.port))

layer(Layer.scoped(Servers, makePostgres), { timeout: "60 seconds", excludeTestServices: true })(
  "PostgreSQL replicas",
  (it) => {
    it.scoped("a replica that is killed costs none of 64 readers a read, and serves again once it is back", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } })
        const readers = yield* load(64, serverOf(sql))
        yield* eventually("both serve", () => readers.done.size === 2)
        yield* Effect.sleep("300 millis")
        const connects = yield* watchConnects(replica1.port)
        yield* replica1.kill
        yield* eventually("the breaker opens", () => count("BreakerOpened", "replica1") > 0, 2000)
        yield* Effect.sleep("1500 millis")
        assert.isAtMost(connects.most, 2)
        yield* replica1.start
        yield* eventually("the breaker closes", () => count("BreakerClosed", "replica1") > 0)
        const before = readers.done.get(String(replica1.port))!
        yield* eventually("it serves again", () => readers.done.get(String(replica1.port))! > before + 100)
        yield* readers.stop
        assert.deepStrictEqual(readers.errors.map(tagOf), [])
        // Beside the one of the test itself, which waits for the start.
        assert.isAtMost(connects.most, 3)
        assert.strictEqual(readers.done.get(String(primary.port)), undefined)
      }))

    it.scoped("with all replicas down reads use their share of the primary's pool, and go back by themselves", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const proxy = yield* TcpProxy.make(primary)
        const { count, sql } = yield* routedPg({ primary: proxy, replicas: { replica1, replica2 } }, {
          pool: { max: 4, acquireTimeout: "300 millis" },
          health: { cooldown: Schedule.spaced("300 millis") }
        })
        yield* Effect.all([replica1.kill, replica2.kill])
        const first = yield* serverOf(sql)
        assert.strictEqual(first, String(primary.port))
        yield* eventually("none is left", () => count("ReplicasExhausted") === 1)
        yield* proxy.configure({ delay: "100 millis" })
        const readers = yield* load(12, serverOf(sql))
        let most = 0
        const watch = Effect.repeat(
          Effect.map(sql.pools, (pools) => {
            for (const { active, endpoint, lane } of pools) {
              if (endpoint === "primary" && lane === "main") most = Math.max(most, active)
            }
          }),
          { schedule: Schedule.spaced("5 millis"), times: 200 }
        )
        yield* watch
        // The rest of the pool is for writes.
        yield* sql`CREATE TABLE IF NOT EXISTS anything (id INT)`
        yield* readers.stop
        assert.isAtMost(most, 2)
        assert.isAbove(readers.errors.length, 0)
        assert.deepStrictEqual([...new Set(readers.errors.map(tagOf))], ["ReplicasUnavailable"])
        assert.isAbove(readers.done.get(String(primary.port))!, 0)
        yield* proxy.recover
        yield* Effect.all([replica1.start, replica2.start], { concurrency: 2 })
        yield* eventually(
          "both are back",
          () => count("BreakerClosed", "replica1") > 0 && count("BreakerClosed", "replica2") > 0
        )
        const after = yield* Effect.all(Array.from({ length: 20 }, () => serverOf(sql)))
        assert.notInclude(after, String(primary.port))
      }))

    it.scoped("streams and read-only transactions have their places among the reads that the primary takes", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const [one, two] = [yield* TcpProxy.make(replica1), yield* TcpProxy.make(replica2)]
        yield* Effect.all([one, two].map((proxy) => proxy.configure({ connect: "reset" })))
        const { sql } = yield* routedPg({ primary, replicas: { replica1: one, replica2: two } }, {
          pool: { max: 4, acquireTimeout: "300 millis" }
        })
        const streaming = Stream.runForEach(sql`SELECT 1`.stream, () => Effect.sleep("800 millis"))
        const transaction = sql.readOnlyTransaction(Effect.zipRight(serverOf(sql), Effect.sleep("800 millis")))
        for (const holding of [streaming, transaction]) {
          const fibers = yield* Effect.forEach([1, 2], () => Effect.fork(holding))
          yield* Effect.sleep("300 millis")
          assert.strictEqual(tagOf(yield* Effect.flip(serverOf(sql))), "ReplicasUnavailable")
          yield* Fiber.joinAll(fibers)
          // Their places are free again.
          yield* Effect.all([serverOf(sql), serverOf(sql)], { concurrency: 2 })
        }
        const both = yield* Effect.forEach([1, 2, 3], () => Effect.exit(transaction), { concurrency: 3 })
        assert.deepStrictEqual(both.map(Exit.isSuccess).toSorted(), [false, true, true])
        const streams = yield* Effect.forEach([1, 2, 3], () => Effect.exit(streaming), { concurrency: 3 })
        assert.deepStrictEqual(streams.map(Exit.isSuccess).toSorted(), [false, true, true])
      }))

    it.scoped("a read that is tried again on the primary, in the place of replicas, has its place there already", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const [one, two] = [yield* TcpProxy.make(replica1), yield* TcpProxy.make(replica2)]
        yield* Effect.all([one, two].map((proxy) => proxy.configure({ connect: "reset" })))
        const { sql } = yield* routedPg({ primary, replicas: { replica1: one, replica2: two } }, {
          pool: { max: 2, acquireTimeout: "500 millis" }
        })
        yield* sql`CREATE OR REPLACE FUNCTION conflicts() RETURNS INT LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`
        const error = yield* Effect.flip(RoutedSqlClient.withReplica(sql`SELECT conflicts()`))
        assert.strictEqual((error.cause as { code: string }).code, "40001")
      }))

    it.scoped("with all replicas down and `whenNoneLeft: fail` reads fail, writes do not", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const [one, two] = [yield* TcpProxy.make(replica1), yield* TcpProxy.make(replica2)]
        yield* Effect.all([one, two].map((proxy) => proxy.configure({ connect: "reset" })))
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1: one, replica2: two } }, {
          health: { whenNoneLeft: "fail", cooldown: Schedule.spaced("300 millis") }
        })
        const errors = yield* Effect.all(Array.from({ length: 4 }, () => Effect.flip(serverOf(sql))))
        // The first one finds out.
        assert.deepStrictEqual(errors.map(tagOf), ["EndpointUnavailable", ...Array(3).fill("ReplicasUnavailable")])
        yield* RoutedSqlClient.withPrimary(serverOf(sql))
        yield* Effect.all([one.recover, two.recover])
        yield* eventually("one is back", () => count("ReplicasRestored") > 0)
        yield* serverOf(sql)
      }))

    it.scoped("with all replicas out of service and `whenNoneLeft: panic` they are tried all the same", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const [one, two] = [yield* TcpProxy.make(replica1), yield* TcpProxy.make(replica2)]
        yield* Effect.all([one, two].map((proxy) => proxy.configure({ connect: "reset" })))
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1: one, replica2: two } }, {
          health: { whenNoneLeft: "panic", cooldown: Schedule.spaced("10 seconds") }
        })
        assert.strictEqual(tagOf(yield* Effect.flip(serverOf(sql))), "EndpointUnavailable")
        yield* eventually("none is left", () => count("ReplicasExhausted") === 1)
        yield* two.recover
        yield* Effect.sleep("250 millis")
        const by = yield* Effect.all(Array.from({ length: 8 }, () => serverOf(sql)))
        assert.deepStrictEqual([...new Set(by)], [String(replica2.port)])
      }))

    it.scoped("with the primary stopped reads go on, and writes fail typed, at once", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } })
        const write = sql`CREATE TABLE IF NOT EXISTS anything (id int)`
        // Before anything is written here: who has written may have to read it where it is, and that server goes.
        const readers = yield* load(8, serverOf(sql))
        yield* write
        yield* primary.kill
        const connects = yield* watchConnects(primary.port)
        const writers = yield* load(16, Effect.as(write.pipe(RoutedSqlClient.withDeadline("500 millis")), "written"), 5)
        yield* Effect.sleep("1 second")
        const stopping = performance.now()
        yield* writers.stop
        assert.isBelow(performance.now() - stopping, 700)
        assert.strictEqual(writers.done.size, 0)
        assert.isAbove(writers.errors.length, 100)
        // One may have been on its way when its connection broke.
        const tags = writers.errors.map(tagOf).filter((tag, i) => i > 0 || tag !== "OutcomeUnknown")
        assert.deepStrictEqual([...new Set(tags)], ["EndpointUnavailable"])
        assert.isAtMost(connects.most, 3)
        yield* primary.start
        yield* eventually("it is back", () => count("PrimaryRestored") > 0)
        yield* write
        yield* readers.stop
        assert.deepStrictEqual(readers.errors.map(tagOf), [])
      }))

    it.scoped("a backend of the primary that is killed fails what is on its way, once; writes wait, and reads go on", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          health: { awaitPrimary: "10 seconds" }
        })
        const readers = yield* load(8, serverOf(sql), 2)
        yield* sql`CREATE TABLE IF NOT EXISTS crashed (id int)`
        let last = 0
        const write = Effect.suspend(() => {
          const id = ++last
          return Effect.as(sql`INSERT INTO crashed VALUES (${id})`, String(id))
        })
        const writers = yield* load(8, write, 2)
        yield* eventually("writes go on", () => writers.done.size > 50)
        const connects = yield* watchConnects(primary.port)
        const [backend] = yield* Effect.promise(() =>
          primary.query("SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'INSERT%' LIMIT 1")
        )
        // The server then ends all others as well, and recovers as after a crash.
        process.kill(backend.pid, "SIGKILL")
        yield* eventually("some writes fail", () => writers.errors.length > 0)
        const { size } = writers.done
        yield* eventually("writes go on again", () => writers.done.size > size + 50)
        yield* Effect.all([writers.stop, readers.stop])
        assert.isAtMost(writers.errors.length, 8)
        assert.deepStrictEqual([...new Set(writers.errors.map(tagOf))], ["OutcomeUnknown"])
        assert.deepStrictEqual(readers.errors.map(tagOf), [])
        assert.isAtMost(connects.most, 3)
        const rows = yield* RoutedSqlClient.withPrimary(sql<{ id: number }>`SELECT id FROM crashed`)
        const written = rows.map(({ id }) => String(id))
        assert.strictEqual(new Set(written).size, written.length)
        assert.deepStrictEqual(Array.from(writers.done.keys()).filter((id) => !written.includes(id)), [])
      }))

    it.scoped("with `awaitPrimary` writes wait for the primary, and each runs once", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          health: { awaitPrimary: "10 seconds" }
        })
        yield* sql`CREATE TABLE IF NOT EXISTS awaited (id int)`
        yield* primary.kill
        // A write on a connection whose end was not seen yet would rightly end with `OutcomeUnknown`.
        const connected = () => Effect.runSync(sql.pools).find(({ endpoint }) => endpoint === "primary")!.total
        yield* eventually("its connections are gone", () => connected() === 0)
        const writing = yield* Effect.fork(
          Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], (id) => Effect.exit(sql`INSERT INTO awaited VALUES (${id})`), {
            concurrency: "unbounded"
          })
        )
        yield* Effect.sleep("700 millis")
        yield* primary.start
        const exits = yield* Fiber.join(writing)
        assert.deepStrictEqual(exits.filter(Exit.isFailure), [])
        const rows = yield* RoutedSqlClient.withPrimary(sql<{ id: number }>`SELECT id FROM awaited ORDER BY id`)
        assert.deepStrictEqual(rows.map(({ id }) => id), [1, 2, 3, 4, 5, 6, 7, 8])
      }))

    it.scoped("a read that a standby gives up for its replay goes elsewhere, and costs the standby nothing", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        yield* Effect.promise(() =>
          primary.query(
            "CREATE TABLE IF NOT EXISTS busy AS SELECT generate_series(1, 1000) AS id; GRANT SELECT ON busy TO app"
          )
        )
        yield* caughtUp(primary, [replica1, replica2])
        const { count, events, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          strategy: ReplicaStrategy.failover
        })
        // What the other one replays meanwhile would end the read there as well.
        yield* Effect.acquireRelease(
          Effect.promise(() => replica2.query("SELECT pg_wal_replay_pause()")),
          // What it then replays ends even this statement.
          () => Effect.promise(() => replica2.query("SELECT pg_wal_replay_resume()").catch(() => []))
        )
        const reading = yield* Effect.fork(sql<{ port: number }>`
        WITH RECURSIVE numbers AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM numbers WHERE i < 2000000)
        SELECT inet_server_port() AS port, count(*), (SELECT count(*) FROM busy) FROM numbers`)
        yield* Effect.sleep("150 millis")
        yield* Effect.promise(() => primary.query("DELETE FROM busy WHERE id > 10"))
        yield* Effect.promise(() => primary.query("VACUUM busy"))
        const [row] = yield* Fiber.join(reading)
        assert.strictEqual(row!.port, replica2.port)
        const retried = events.filter((event) => event._tag === "StatementRetried")
        assert.deepStrictEqual(
          retried.map(({ endpoint, error, to }) => [endpoint, to, (error.cause as { code: string }).code]),
          [["replica1", "replica2", "40001"]]
        )
        assert.strictEqual(count("BreakerOpened"), 0)
        assert.strictEqual(yield* serverOf(sql), String(replica1.port))
      }))

    it.scoped("a standby that gives up reads for its replay all the time stays in service, and fails none of them", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        yield* Effect.promise(() =>
          primary.query(
            "CREATE TABLE IF NOT EXISTS stormy AS SELECT generate_series(1, 1000) AS id; GRANT SELECT ON stormy TO app"
          )
        )
        yield* caughtUp(primary, [replica1, replica2])
        const { count, events, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          strategy: ReplicaStrategy.failover,
          retry: { budget: { perSecond: 100 } }
        })
        yield* Effect.acquireRelease(
          Effect.promise(() => replica2.query("SELECT pg_wal_replay_pause()")),
          () => Effect.promise(() => replica2.query("SELECT pg_wal_replay_resume()").catch(() => []))
        )
        const readers = yield* load(
          6,
          Effect.as(sql`SELECT pg_sleep(0.25), count(*) FROM (SELECT id FROM stormy LIMIT 1) AS one`, "read")
        )
        const storm = Effect.promise(() =>
          primary.query("UPDATE stormy SET id = id + 1; DELETE FROM stormy WHERE id % 50 = 0").then(() =>
            primary.query("VACUUM stormy")
          )
        )
        yield* Effect.repeat(storm, {
          schedule: Schedule.spaced("100 millis"),
          until: () => count("StatementRetried") >= 10
        })
        yield* readers.stop
        assert.deepStrictEqual(readers.errors.map(tagOf), [])
        const codes = events.flatMap((event) =>
          event._tag === "StatementRetried" ? [(event.error.cause as { code: string }).code] : []
        )
        assert.deepStrictEqual([...new Set(codes)], ["40001"])
        assert.strictEqual(count("BreakerOpened"), 0)
        assert.strictEqual(yield* serverOf(sql), String(replica1.port))
      }))

    it.scoped("a write that was taken for a read is refused by the standby, made once by the primary, and told of", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        yield* Effect.promise(() =>
          primary.query("CREATE TABLE IF NOT EXISTS misread (id int); GRANT ALL ON misread TO app")
        )
        yield* caughtUp(primary, [replica1, replica2])
        const { count, events, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          classifier: everythingIsRead
        })
        yield* Effect.forEach([1, 2, 3], (id) => sql`INSERT INTO misread VALUES (${id})`)
        const rows = yield* Effect.promise(() => primary.query("SELECT id FROM misread ORDER BY id"))
        assert.deepStrictEqual(rows.map(({ id }) => id), [1, 2, 3])
        yield* eventually("all are told of", () => count("StatementRetried") === 3)
        const told = events.flatMap((event) =>
          event._tag === "StatementRetried" ? [`${event.to} ${(event.error.cause as { code: string }).code}`] : []
        )
        assert.deepStrictEqual(told, Array(3).fill("primary 25006"))
        assert.strictEqual(count("BreakerOpened"), 0)
      }))

    it.scoped("a replica that takes no more connections is left alone for 5 seconds at most", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        yield* Effect.promise(() =>
          primary.query("DROP USER IF EXISTS limited; CREATE USER limited CONNECTION LIMIT 1")
        )
        yield* caughtUp(primary, [replica1, replica2])
        const guest = new pg.default.Client({
          host: replica1.host,
          port: replica1.port,
          user: "limited",
          database: "postgres"
        })
        yield* Effect.acquireRelease(Effect.promise(() => guest.connect()), () => Effect.promise(() => guest.end()))
        const { events, sql } = yield* routedPg({
          primary,
          replicas: { replica1: { port: replica1.port, username: "limited" }, replica2 }
        }, { health: { cooldown: Schedule.spaced("1 minute") } })
        const by = yield* Effect.forEach(Array.from({ length: 20 }), () => serverOf(sql), { concurrency: 4 })
        assert.deepStrictEqual([...new Set(by)], [String(replica2.port)])
        yield* eventually("the breaker opens", () => events.some((event) => event._tag === "BreakerOpened"))
        const opened = events.find((event) => event._tag === "BreakerOpened")!
        assert.strictEqual(opened.endpoint, "replica1")
        assert.strictEqual(Duration.toSeconds(opened.cooldown), 5)
        assert.include(opened.error.message, "too many connections")
      }))

    it.scoped("a password that one replica does not accept is its own affair, and tried again after 30 seconds", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { events, sql } = yield* routedPg({
          primary,
          replicas: { replica1: { port: replica1.port, username: "locked", password: "wrong" }, replica2 }
        })
        const by = yield* Effect.forEach(Array.from({ length: 20 }), () => serverOf(sql), { concurrency: 4 })
        assert.deepStrictEqual([...new Set(by)], [String(replica2.port)])
        yield* eventually("the breaker opens", () => events.some((event) => event._tag === "BreakerOpened"))
        const opened = events.find((event) => event._tag === "BreakerOpened")!
        assert.deepInclude(opened, { endpoint: "replica1", evidence: "hard" })
        assert.strictEqual(Duration.toSeconds(opened.cooldown), 30)
      }))

    it.scoped("a replica that cannot speak TLS, where it must, gets no reads, and is told of", () =>
      Effect.gen(function*() {
        const { primary, replica1, replica2 } = yield* allUp
        const { sql } = yield* routedPg({
          primary,
          replicas: { replica1: { port: replica1.port, ssl: true }, replica2 }
        })
        const by = yield* Effect.forEach(Array.from({ length: 20 }), () => serverOf(sql), { concurrency: 4 })
        assert.deepStrictEqual([...new Set(by)], [String(replica2.port)])
        const recent = yield* sql.recentEvents
        const opened = recent.flatMap(({ event }) => event._tag === "BreakerOpened" ? [event] : [])
        assert.deepStrictEqual(opened.map(({ endpoint }) => endpoint), ["replica1"])
        assert.include(opened[0]!.error.message, "does not support SSL")
      }))

    it.scoped("a password that no server accepts is told at once, to reads and writes", () =>
      Effect.gen(function*() {
        const servers = yield* allUp
        const { primary, replica1, replica2 } = servers
        const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
          username: "locked",
          password: Redacted.make("wrong")
        } as RouterOptions)
        const began = performance.now()
        for (const statement of [serverOf(sql), Effect.asVoid(sql`DELETE FROM nothing`), serverOf(sql)]) {
          const error = yield* Effect.flip(statement)
          assert.strictEqual(tagOf(error), "EndpointUnavailable")
          assert.include((error.cause as Error).message, "password authentication failed")
        }
        assert.isBelow(performance.now() - began, 1000)
      }))
  }
)
