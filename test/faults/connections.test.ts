/** What becomes of connections that are refused, never answered, lost or waited for in vain. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import type { RoutedSqlClient as Router, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as mysql from "mysql2/promise"
import dns from "node:dns"
import * as pool from "../pool/support.js"
import type { Cluster, Server } from "../servers/index.js"
import { caughtUp, freshDatabase } from "../servers/index.js"
import type { Endpoints, Routed } from "./support.js"
import { eventually, percentile, routedMysql, routedPg, tagOf, watchConnects } from "./support.js"

interface Engine {
  readonly kind: "postgres" | "mariadb"
  readonly pool: pool.Engine
  readonly router: (
    cluster: Cluster,
    endpoints: Endpoints,
    options?: RouterOptions
  ) => Effect.Effect<Routed<Router>, SqlError, Scope.Scope>
}

const read = (sql: Router) => sql`SELECT 1 AS one`

const within = ({ database, user }: Cluster, options: RouterOptions = {}): RouterOptions =>
  ({ username: user, database, ...options }) as RouterOptions

const engines: ReadonlyArray<Engine> = [
  {
    kind: "postgres",
    pool: pool.postgres,
    router: (cluster, endpoints, options) => routedPg(endpoints, within(cluster, options))
  },
  {
    kind: "mariadb",
    pool: pool.mariadb,
    router: (cluster, endpoints, options) => routedMysql(endpoints, within(cluster, options))
  }
]

/** The time that something took, in milliseconds. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.map(Effect.timed(effect), ([took]) => Duration.toMillis(took))

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<A>, E, R> =>
  Effect.replicateEffect(effect, count)

for (const { kind, pool: place, router } of engines) {
  describe(`on ${kind}`, () => {
    it.scopedLive("a replica that refuses costs no read, and is asked once until its cooldown is over", () =>
      Effect.gen(function*() {
        const cluster = yield* freshDatabase(kind)
        const [replica1, replica2] = yield* Effect.forEach(
          [cluster.replicas[0], cluster.replicas.at(-1)!],
          (server) => TcpProxy.make(server)
        ) as Effect.Effect<[TcpProxy.TcpProxy, TcpProxy.TcpProxy], TcpProxy.TcpProxyError, Scope.Scope>
        yield* replica1.configure({ connect: "refuse" })
        const connects = yield* watchConnects(replica1.port)
        const { excluded, sql } = yield* router(cluster, {
          primary: cluster.primary,
          replicas: { replica1, replica2 }
        }, { health: { cooldown: Schedule.spaced("1 hour"), probeInterval: "1 hour" } })
        yield* Effect.repeat(Effect.zipRight(read(sql), excluded), { until: ({ length }) => length === 1 })
        const { count } = connects
        // The probe of the start, the first measurement of its lag, and a read that had not heard of either.
        assert.isAtMost(count, 3)
        const took = yield* timed(times(200, read(sql)))
        // The lag is asked for every second, on a connection of its own.
        assert.isAtMost(connects.count - count, took / 1000 + 1)
        const opened = (yield* sql.recentEvents).filter(({ event }) => event._tag === "BreakerOpened")
        assert.deepStrictEqual(opened.map(({ times }) => times), [1])
      }))

    it.scopedLive("a connect that nobody answers ends at connectTimeout, and its borrower sooner if interrupted", () =>
      Effect.gen(function*() {
        const cluster = yield* freshDatabase(kind)
        const proxy = yield* TcpProxy.make(cluster.primary)
        yield* proxy.configure({ connect: "ignore" })
        const { sql } = yield* router(cluster, { primary: proxy, replicas: {} }, {
          pool: { connectTimeout: "1 second" }
        })
        const interruptions = yield* times(
          20,
          Effect.gen(function*() {
            const waiting = yield* Effect.fork(read(sql))
            yield* Effect.sleep("5 millis")
            const took = yield* timed(Fiber.interrupt(waiting))
            assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
            return took
          })
        )
        assert.isBelow(percentile(interruptions, 0.5), 50)
        const took = yield* timed(Effect.flip(read(sql)))
        assert.isBelow(took, 2000)
        yield* eventually("no socket is left", () => Effect.runSync(proxy.state).open.length === 0)
        const [stats] = yield* sql.pools
        assert.deepInclude(stats, { active: 0, connecting: 0, waiting: 0, total: 0 })
        yield* proxy.recover
        yield* Effect.retry(read(sql), { times: 20, schedule: Schedule.spaced("100 millis") })
      }))

    it.scopedLive("a statement that nobody answers ends at its deadline, and its connection with it", () =>
      Effect.gen(function*() {
        const cluster = yield* freshDatabase(kind)
        const proxy = yield* TcpProxy.make(cluster.primary)
        const { sql } = yield* router(cluster, { primary: proxy, replicas: {} }, { pool: { max: 1 } })
        yield* read(sql)
        let asked = 0
        yield* proxy.configure({
          request: ({ connection, text }) => {
            if (text.includes("unanswered")) asked = connection
            return "pass"
          },
          answer: ({ connection }) => connection === asked ? "swallow" : "pass"
        })
        const error = yield* Effect.flip(
          RoutedSqlClient.withDeadline("200 millis")(sql.unsafe("SELECT 1 AS unanswered"))
        )
        assert.strictEqual(tagOf(error), "DeadlineExceeded")
        const used = new Set<number>()
        yield* proxy.configure({
          request: ({ connection, text }) => {
            if (text.includes("afterwards")) used.add(connection)
            return "pass"
          },
          answer: () => "pass"
        })
        yield* times(5, sql.unsafe("SELECT 1 AS afterwards"))
        assert.isAbove(asked, 0)
        assert.isFalse(used.has(asked))
        assert.strictEqual(used.size, 1)
      }))

    it.scopedLive("a transaction whose session is killed says so with the server's own error, and its place is free", () =>
      Effect.gen(function*() {
        const { admins: [admin], router } = yield* place.place
        const sql = yield* router({ pool: { max: 1 } })
        for (let round = 0; round < 5; round++) {
          const error = yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
            yield* sql`INSERT INTO t (id) VALUES (1)`
            yield* admin!.kill(yield* pool.backendId(sql, place))
            yield* sql`INSERT INTO t (id) VALUES (2)`
          })))
          // The first error of a lost session is the server's last word, or that of the socket.
          assert.match(String(error.cause), /terminating|terminated|closed|lost|ECONNRESET|killed/i)
          assert.deepInclude(yield* pool.onlyPool(sql), { active: 0, waiting: 0 })
          assert.deepStrictEqual(yield* pool.ids(sql), [])
        }
        // One more may be the monitor's.
        yield* pool.eventually(Effect.map(admin!.backends, ({ length }) => length <= 2))
      }))

    it.scopedLive("1,000 that are interrupted while they wait for a connection leave at once, and take no place along", () =>
      Effect.gen(function*() {
        const { router } = yield* place.place
        const sql = yield* router({ pool: { max: 1, acquireTimeout: "1 minute" } })
        const held = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(sql.withTransaction(
          Effect.zipRight(sql`SELECT 1`, Effect.zipRight(Deferred.succeed(held, undefined), Effect.never))
        ))
        yield* Deferred.await(held)
        const waits: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [
          sql`SELECT 1`,
          sql.withTransaction(sql`SELECT 1`),
          Stream.runDrain(sql`SELECT 1`.stream),
          Effect.scoped(sql.reserve)
        ]
        const took: Array<number> = []
        for (let round = 0; round < 1000; round++) {
          const waiting = yield* Effect.fork(waits[round % waits.length]!)
          yield* Effect.repeatN(Effect.yieldNow(), 10)
          if (round % 20 < waits.length) assert.strictEqual((yield* pool.onlyPool(sql)).waiting, 1)
          took.push(yield* timed(Fiber.interrupt(waiting)))
          assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
        }
        console.log(
          kind,
          [0, 1, 2, 3].map((k) => took.filter((_, i) => i % 4 === k)).map((
            x
          ) => [percentile(x, 0.5), percentile(x, 0.95), x.reduce((a, b) => a + b)])
        )
        assert.isBelow(percentile(took, 0.5), 50)
        assert.deepInclude(yield* pool.onlyPool(sql), { active: 1, waiting: 0, created: 1 })
        yield* Fiber.interrupt(holder)
        yield* times(4, sql`SELECT 1`)
        assert.strictEqual((yield* pool.onlyPool(sql)).total, 1)
      }))

    it.scopedLive("a pool of ours that is exhausted costs its replica nothing, and no read", () =>
      Effect.gen(function*() {
        const cluster = yield* freshDatabase(kind)
        const [replica] = cluster.replicas
        const { sql } = yield* router(cluster, { primary: cluster.primary, replicas: { replica1: replica! } }, {
          pool: { max: 1, acquireTimeout: "300 millis" }
        })
        const there = RoutedSqlClient.withEndpoint("replica1")
        yield* Effect.retry(there(read(sql)), { times: 20 })
        const held = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(
          sql.withPooledConnection(
            { endpoint: "replica1" },
            () => Effect.zipRight(Deferred.succeed(held, undefined), Effect.never)
          )
        )
        yield* Deferred.await(held)
        yield* times(3, read(sql))
        yield* Fiber.interrupt(holder)
        const tags = (yield* sql.recentEvents).map(({ event }) => event._tag)
        assert.notInclude(tags, "BreakerOpened")
        yield* Effect.retry(there(read(sql)), { times: 20 })
      }))

    it.scopedLive("a name that leads elsewhere is followed by the next connection, and back again, without a restart", () =>
      Effect.gen(function*() {
        const cluster = yield* freshDatabase(kind)
        const proxy = yield* TcpProxy.make(cluster.primary)
        const leadTo = yield* nameServer("primary.test")
        const { sql } = yield* router(cluster, {
          primary: { host: "primary.test", port: proxy.port },
          replicas: {}
        }, { pool: { max: 1 } })
        leadTo("127.0.0.1")
        yield* read(sql)
        // What is connected stays so.
        leadTo("127.0.0.2")
        yield* read(sql)
        yield* proxy.reset()
        const error = yield* Effect.flip(Effect.repeat(read(sql), { times: 5, schedule: Schedule.spaced("20 millis") }))
        assert.strictEqual(tagOf(error), "EndpointUnavailable")
        assert.include((error.cause as Error).message, "127.0.0.2")
        leadTo("127.0.0.1")
        yield* Effect.retry(read(sql), { times: 20, schedule: Schedule.spaced("100 millis") })
      }))
  })
}

it.scopedLive("mariadb: a replica that takes no more connections of ours is left alone for 5 seconds at most", () =>
  Effect.gen(function*() {
    const cluster = yield* freshDatabase("mariadb")
    const [replica] = cluster.replicas
    const guest = `guest_${cluster.database}`
    yield* Effect.acquireRelease(
      administer(cluster.primary, `CREATE USER ${guest} WITH MAX_USER_CONNECTIONS 1`),
      () => administer(cluster.primary, `DROP USER ${guest}`)
    )
    yield* administer(cluster.primary, `GRANT ALL ON ${cluster.database}.* TO ${guest}`)
    yield* caughtUp("mariadb")
    yield* Effect.acquireRelease(
      Effect.promise(() => mysql.createConnection({ host: replica!.host, port: replica!.port, user: guest })),
      (connection) => Effect.sync(() => connection.destroy())
    )
    const spare = yield* TcpProxy.make(replica!)
    const { sql } = yield* routedMysql({
      primary: cluster.primary,
      replicas: { replica1: { port: replica!.port, username: guest }, spare }
    }, within(cluster, { health: { cooldown: Schedule.spaced("1 minute") } }))
    yield* times(20, read(sql))
    const opened = (yield* sql.recentEvents).flatMap(({ event }) => event._tag === "BreakerOpened" ? [event] : [])
    assert.deepStrictEqual(opened.map(({ endpoint }) => endpoint), ["replica1"])
    assert.strictEqual(Duration.toSeconds(opened[0]!.cooldown), 5)
    assert.include(opened[0]!.error.message, "max_user_connections")
  }))

const administer = (server: Server, text: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const connection = await mysql.createConnection({ host: server.host, port: server.port, user: "root" })
    try {
      await connection.query(text)
    } finally {
      connection.destroy()
    }
  })

/** Answers for one name with the address that it is told, until the Scope ends. */
const nameServer = (name: string): Effect.Effect<(address: string) => void, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const { lookup } = dns
        const state = { address: "127.0.0.1", lookup }
        dns.lookup = ((host: string, ...rest: ReadonlyArray<any>) => {
          if (host !== name) return (lookup as Function)(host, ...rest)
          const [options, answer] = rest.length === 1 ? [{}, rest[0]] : rest
          if (options.all === true) answer(null, [{ address: state.address, family: 4 }])
          else answer(null, state.address, 4)
        }) as typeof lookup
        return state
      }),
      ({ lookup }) => Effect.sync(() => void (dns.lookup = lookup))
    ),
    (state) => (address) => void (state.address = address)
  )
