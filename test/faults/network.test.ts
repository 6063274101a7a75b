/** What users notice when the network between them and PostgreSQL replicas fails. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Schedule } from "effect"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import { freshDatabase, postgres } from "../servers/index.js"
import { eventually, load, percentile, routedPg, tagOf } from "./support.js"

const [one, two] = postgres().replicas
const primary = postgres().primary

const serverOf = (sql: RoutedSqlClient.RoutedSqlClient): Effect.Effect<string, SqlError> =>
  Effect.map(sql<{ port: number }>`SELECT inet_server_port() AS port`, ([row]) => String(row!.port))

const app = { username: "postgres" } as RoutedSqlClient.RouterOptions

/** Whether a message from a client carries the text of a statement that `serverOf` sends. */
const isRead = ({ text }: TcpProxy.Message) => text.includes("inet_server_port() AS port")

const proxies = Effect.all({
  primary: TcpProxy.make(primary),
  replica1: TcpProxy.make(one),
  replica2: TcpProxy.make(two)
})

describe("a replica that fails fast", () => {
  it.scopedLive("fails no read, and gets next to none, when it resets who connects", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, app)
      yield* replica1.configure({ connect: "reset" })
      const readers = yield* load(8, serverOf(sql))
      yield* Effect.sleep("1 second")
      const [{ opened }, done] = [yield* replica1.state, readers.answers.length]
      yield* Effect.sleep("1 second")
      yield* readers.stop
      assert.deepStrictEqual(readers.errors.map(tagOf), [])
      assert.isBelow(((yield* replica1.state).opened - opened) / (readers.answers.length - done), 0.05)
    }))

  it.scopedLive("fails no read, and gets less than 5 % after a second, when it resets who asks", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, app)
      let asked = 0
      yield* replica1.configure({
        request: (message) => {
          if (!isRead(message)) return "pass"
          asked++
          return "cutBefore"
        }
      })
      const readers = yield* load(8, serverOf(sql))
      yield* Effect.sleep("1 second")
      const [before, done] = [asked, readers.answers.length]
      yield* Effect.sleep("2 seconds")
      yield* readers.stop
      assert.deepStrictEqual(readers.errors.map(tagOf), [])
      assert.isBelow((asked - before) / (readers.answers.length - done), 0.05)
    }))
})

describe("a replica that is ten times slower", () => {
  it.scopedLive("costs reads nothing after a second", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const replica3 = yield* TcpProxy.make(two)
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2, replica3 } }, app)
      for (const replica of [replica1, replica2, replica3]) yield* replica.configure({ delay: "5 millis" })
      const readers = yield* load(4, serverOf(sql))
      yield* Effect.sleep("500 millis")
      const p99In = (from: number, to: number) =>
        percentile(readers.answers.filter(([at]) => at >= from && at < to).map(([, millis]) => millis), 0.99)
      const start = Date.now()
      yield* Effect.sleep("1 second")
      yield* replica1.configure({ delay: "50 millis" })
      const slow = Date.now()
      yield* Effect.sleep("2500 millis")
      yield* readers.stop
      const healthy = p99In(start, slow)
      const after = p99In(slow + 1000, slow + 2500)
      // A machine that does other things as well must not fail the test; what the slow one answers takes 50 ms at least.
      assert.isBelow(after, Math.max(2 * healthy, 45))
      assert.deepStrictEqual(readers.errors.map(tagOf), [])
    }))
})

describe("a black hole", () => {
  it.scopedLive("before a connection is open costs the first reads their deadline, and the others nothing", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      yield* replica1.configure({ connect: "ignore" })
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, app)
      // Before the first answer comes, none of the replicas is known to be the better one.
      const readers = yield* load(8, serverOf(sql).pipe(RoutedSqlClient.withDeadline("500 millis")))
      yield* Effect.sleep("2500 millis")
      yield* readers.stop
      assert.isAtMost(readers.errors.length, 8)
      assert.isAbove(readers.answers.length, 20 * readers.errors.length)
    }))

  it.scopedLive("before a connection is open costs no read that has more time than connecting may take", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      yield* replica1.configure({ connect: "ignore" })
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        ...app,
        pool: { connectTimeout: "300 millis" }
      })
      const readers = yield* load(8, serverOf(sql).pipe(RoutedSqlClient.withDeadline("1 second")))
      yield* Effect.sleep("1500 millis")
      yield* readers.stop
      assert.deepStrictEqual(readers.errors.map(tagOf), [])
    }))

  it.scopedLive("in the middle of reads costs those that are there their deadline, and the others nothing", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        ...app,
        // A connect that has fallen into the hole does not come out of it.
        pool: { connectTimeout: "300 millis" },
        health: {
          cooldown: Schedule.spaced("500 millis"),
          probeInterval: "500 millis",
          probeTimeout: "200 millis"
        }
      })
      const late: Array<number> = []
      const read = Effect.suspend(() => {
        const begun = performance.now()
        return serverOf(sql).pipe(
          RoutedSqlClient.withDeadline("300 millis"),
          Effect.tapError(() => Effect.sync(() => late.push(performance.now() - begun)))
        )
      })
      const readers = yield* load(8, read)
      yield* eventually("both serve", () => readers.done.size === 2)
      yield* replica1.configure({ connect: "ignore", request: () => "swallow" })
      yield* Effect.sleep("2 seconds")
      const errors = readers.errors.length
      yield* replica1.recover
      const before = readers.done.get(String(one.port))!
      yield* eventually("it serves again", () => readers.done.get(String(one.port))! > before)
      yield* readers.stop
      assert.isAtMost(errors, 12)
      assert.deepStrictEqual([...new Set(readers.errors.map(tagOf))], ["DeadlineExceeded"])
      assert.isBelow(Math.max(...late), 1000)
    }))
})

describe("a hedged read", () => {
  it.scopedLive("is answered by another replica where the first stalls, whose connection is then closed", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        ...app,
        strategy: ReplicaStrategy.failover,
        retry: { hedge: { after: "100 millis", maxExtra: 1 } }
      })
      // The first ones may wait for a connection for so long that they are hedged as well.
      yield* Effect.repeat(serverOf(sql), { until: (by) => by === String(one.port) })
      let stalled = 0
      yield* replica1.configure({
        request: (message) => {
          if (!isRead(message)) return "pass"
          stalled++
          return "swallow"
        }
      })
      const [took, by] = yield* Effect.timed(Effect.forEach(Array.from({ length: 3 }), () => serverOf(sql)))
      assert.deepStrictEqual(by, Array(3).fill(String(two.port)))
      assert.isBelow(Duration.toMillis(took), 2000)
      yield* eventually("somebody tells", () => count("ReadHedged", "replica1") >= 3)
      yield* Effect.sleep("1500 millis")
      const pool = (yield* sql.pools).find(({ endpoint }) => endpoint === "replica1")!
      assert.strictEqual(pool.active, 0)
      assert.isAbove(stalled, 0)
      assert.isAtLeast(pool.closed.unusable, stalled)
    }))

  it.scopedLive("is a second one for at most `maxExtra` of the reads", () =>
    Effect.gen(function*() {
      const { primary, replica1, replica2 } = yield* proxies
      const { count, sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        ...app,
        retry: { hedge: { after: "5 millis", maxExtra: 0.1 } }
      })
      yield* Effect.forEach(Array.from({ length: 8 }), () => serverOf(sql), { concurrency: 4 })
      let asked = 0
      for (const replica of [replica1, replica2]) {
        yield* replica.configure({
          request: (message) => {
            if (isRead(message)) asked++
            return "pass"
          },
          delay: "15 millis"
        })
      }
      yield* Effect.forEach(Array.from({ length: 200 }), () => serverOf(sql), { concurrency: 4 })
      // Some were answered before their second one had a connection.
      assert.isAbove(asked, 205)
      assert.isAtMost(asked, 200 * 1.1 + 1)
      yield* eventually("each is told of", () => count("ReadHedged") >= asked - 200)
      assert.isAtMost(count("ReadHedged"), 200 * 0.1 + 1)
    }))
})

describe("when everything fails", () => {
  it.scopedLive("servers are sent at most 1.2 times what they are asked, beside the reserve", () =>
    Effect.gen(function*() {
      const { database } = yield* freshDatabase("postgres", { remoteApply: true })
      const { primary, replica1, replica2 } = yield* proxies
      const { sql } = yield* routedPg({ primary, replicas: { replica1, replica2 } }, {
        ...app,
        database,
        retry: { budget: { perSecond: 0 } },
        health: { cooldown: Schedule.spaced("100 millis") }
      } as RoutedSqlClient.RouterOptions)
      yield* sql`CREATE FUNCTION fails() RETURNS INT LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'; END $$`
      let sent = 0
      for (const proxy of [primary, replica1, replica2]) {
        yield* proxy.configure({
          request: ({ text }) => {
            if (text.includes("SELECT fails()")) sent++
            return "pass"
          }
        })
      }
      const read = Effect.exit(RoutedSqlClient.withReplica(sql`SELECT fails()`))
      const exits = yield* Effect.forEach(Array.from({ length: 2000 }), () => read, { concurrency: 16 })
      assert.isTrue(exits.every(Exit.isFailure))
      assert.isAbove(sent, 2000 * 1.1)
      assert.isAtMost(sent, 2000 * 1.2)
    }))
})
