import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { PCGRandom } from "effect/Utils"
import { everythingIsRead } from "../fixtures/classifiers.js"

const { between, exponential, layer, longTailed, make, makeCluster } = InMemoryDriver

const twoReplicas = { replicas: { replica1: {}, replica2: {} } }

/** How long an effect takes, while the clock is moved on a millisecond at a time. */
const taking = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const begun = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.fork(Effect.zipRight(effect, Clock.currentTimeMillis))
    while ((yield* Fiber.poll(fiber))._tag === "None") yield* TestClock.adjust("1 millis")
    return (yield* Fiber.join(fiber)) - begun
  })

const texts = (asked: ReadonlyArray<InMemoryDriver.Asked>) => asked.map(({ sql }) => sql)

const routing = <A, R>(effect: Effect.Effect<A, SqlError, R>) =>
  Effect.map(Effect.flip(effect), (error) => Option.getOrThrow(RoutingError.from(error)))

describe("a cluster in memory", () => {
  it.effect("takes the place of a program's database", () =>
    Effect.gen(function*() {
      const cluster = yield* InMemoryDriver.Cluster
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO orders ${sql.insert({ id: 1 })}`
      yield* sql`SELECT * FROM orders WHERE id = ${1}`
      assert.deepStrictEqual(texts(yield* cluster.endpoint("primary").asked), [
        "INSERT INTO orders (\"id\") VALUES ($1)"
      ])
      const [read] = yield* cluster.endpoint("replica1").asked
      assert.strictEqual(read?.sql, "SELECT * FROM orders WHERE id = $1")
      assert.deepStrictEqual(read?.params, [1])
      assert.strictEqual(read?.access, "readOnly")
    }).pipe(Effect.provide(layer({ replicas: { replica1: {} } }))))

  it.scoped("writes what the dialect's driver would write", () =>
    Effect.gen(function*() {
      for (
        const [dialect, text] of [
          ["postgres", "SELECT \"a b\" FROM t WHERE x = $1 AND \"y\" IN ($2,$3)"],
          ["mysql", "SELECT `a b` FROM t WHERE x = ? AND `y` IN (?,?)"],
          ["sqlite", "SELECT \"a b\" FROM t WHERE x = ? AND \"y\" IN (?,?)"]
        ] as const
      ) {
        const { client: sql, cluster } = yield* make({ dialect })
        yield* sql`SELECT ${sql("a b")} FROM t WHERE x = ${1} AND ${sql.in("y", [2, 3])}`
        assert.deepStrictEqual(texts(yield* cluster.asked), [text])
      }
    }))

  it.scoped("answers as it is told", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* make({
        ...twoReplicas,
        answer: ({ params, role }) => [{ id: params[0], role }]
      })
      assert.deepStrictEqual(yield* sql`SELECT ${7}`, [{ id: 7, role: "replica" }])
      assert.deepStrictEqual(yield* sql`SELECT ${7}`.values, [[7, "replica"]])
    }))

  it.scoped("fails a statement whose answer throws, and nothing else", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({
        answer: () => {
          throw new Error("no such table")
        }
      })
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.include(String(error.cause), "no such table")
      assert.strictEqual((yield* cluster.endpoint("primary").state).connections, 1)
    }))

  it.scoped("fails a statement whose latency throws", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* make({
        latency: () => {
          throw new Error("no idea")
        }
      })
      assert.include(String((yield* Effect.flip(sql`SELECT 1`)).cause), "no idea")
    }))

  it.effect("fails what still runs when its router has ended", () =>
    Effect.gen(function*() {
      const read = yield* Effect.scoped(Effect.gen(function*() {
        const { client: sql } = yield* make({ latency: "1 hour", shutdownTimeout: "1 millis" })
        const read = yield* Effect.forkDaemon(Effect.flip(sql`SELECT 1`))
        yield* TestClock.adjust("1 millis")
        yield* Effect.forkDaemon(TestClock.adjust("1 second"))
        return read
      }))
      assert.strictEqual((yield* Fiber.join(read))._tag, "SqlError")
    }))

  it.scoped("has several processes", () =>
    Effect.gen(function*() {
      const cluster = yield* makeCluster(twoReplicas)
      const [a, b] = [yield* cluster.connect(), yield* cluster.connect()]
      yield* Effect.all([a`INSERT INTO t VALUES (1)`, b`INSERT INTO t VALUES (2)`])
      yield* Effect.all([a`INSERT INTO t VALUES (3)`, b`INSERT INTO t VALUES (4)`])
      const [first, second, ...later] = (yield* cluster.asked).map(({ connection }) => connection)
      assert.notStrictEqual(first, second)
      assert.deepStrictEqual(later, [first, second])
    }))

  it.scoped("has other databases", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ databases: { analytics: { primary: {}, replicas: { far: {} } } } })
      yield* RoutedSqlClient.withDatabase("analytics")(sql`SELECT 1`)
      assert.strictEqual((yield* cluster.endpoint("far", "analytics").asked).length, 1)
    }))

  it.scoped("names the endpoints it has when asked for another", () =>
    Effect.gen(function*() {
      const { cluster } = yield* make(twoReplicas)
      const error = yield* routing(cluster.endpoint("replica3").recover)
      assert.strictEqual(error._tag, "ConfigurationError")
      assert.include(error.message, "\"replica2\"")
    }))

  it.scoped("refuses endpoints that cannot be", () =>
    Effect.gen(function*() {
      assert.include((yield* routing(make({ servers: 0 }))).message, "primary.servers")
    }))
})

describe("time", () => {
  it.scoped("a statement takes its latency and the way", () =>
    Effect.gen(function*() {
      const { client: sql } = yield* make({ latency: "20 millis", distance: "5 millis", connectTime: "3 millis" })
      assert.strictEqual(yield* taking(sql`SELECT 1`), 28)
      assert.strictEqual(yield* taking(sql`SELECT 1`), 25)
    }))

  it.scoped("statements wait for their turn", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ latency: "10 millis", servers: 2 })
      const all = yield* Effect.fork(taking(
        Effect.replicateEffect(sql`SELECT 1`, 6).pipe(
          Effect.zipRight(Effect.all(Array.from({ length: 6 }, () => sql`SELECT 1`), { concurrency: "unbounded" }))
        )
      ))
      assert.strictEqual(yield* Fiber.join(all), 90)
      assert.deepInclude(yield* cluster.endpoint("primary").state, { working: 0, waiting: 0 })
    }))

  it.scoped("an interrupted statement leaves its place and its connection", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ latency: "1 hour", servers: 1 })
      const primary = cluster.endpoint("primary")
      const [working, waiting] = [yield* Effect.fork(sql`SELECT 1`), yield* Effect.fork(sql`SELECT 2`)]
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* primary.state, { working: 1, waiting: 1, connections: 2 })
      yield* Fiber.interruptAll([waiting, working])
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* primary.state, { working: 0, waiting: 0, connections: 0 })
    }))

  it.scoped("latencies are drawn by the seed", () =>
    Effect.gen(function*() {
      const total = (seed: number) =>
        Effect.flatMap(
          make({ latency: exponential("10 millis"), seed }),
          ({ client: sql }) => taking(Effect.replicateEffect(sql`SELECT 1`, 10))
        )
      const [one, same, other] = [yield* total(1), yield* total(1), yield* total(2)]
      // The clock adds fractions of milliseconds.
      assert.closeTo(one, same, 1e-6)
      assert.isAbove(Math.abs(one - other), 1)
    }))

  it.scoped("latencies are distributed as they say", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make()
      yield* sql`SELECT 1`
      const [statement] = yield* cluster.asked
      const random = new PCGRandom(1)
      const drawn = (latency: InMemoryDriver.LatencyDistribution) =>
        Array.from({ length: 20_000 }, () => Duration.toMillis(latency(statement!, () => random.number())))
          .toSorted((a, b) => a - b)
      const mean = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0) / values.length
      assert.closeTo(mean(drawn(exponential("10 millis"))), 10, 0.3)
      const even = drawn(between("10 millis", "20 millis"))
      assert.closeTo(mean(even), 15, 0.1)
      assert.isAtLeast(even[0]!, 10)
      assert.isBelow(even.at(-1)!, 20)
      const tailed = drawn(longTailed("10 millis", "100 millis"))
      assert.closeTo(tailed[10_000]!, 10, 0.3)
      assert.closeTo(tailed[19_800]!, 100, 8)
    }))
})

describe("faults", () => {
  it.scoped("reads go on while a replica is down, and it comes back by itself", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make(twoReplicas)
      const read = Effect.replicateEffect(sql`SELECT 1`, 20, { discard: true })
      yield* read
      yield* cluster.endpoint("replica1").fail("down")
      yield* cluster.forget
      yield* read
      assert.strictEqual((yield* cluster.endpoint("replica2").asked).length, 20)
      assert.strictEqual((yield* cluster.endpoint("replica1").state).connections, 0)
      yield* cluster.endpoint("replica1").recover
      yield* TestClock.adjust("1 minute")
      yield* cluster.forget
      yield* read
      assert.isAbove((yield* cluster.endpoint("replica1").asked).length, 0)
    }))

  it.scoped("what hangs goes on when it recovers", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ latency: "1 millis" })
      yield* cluster.endpoint("primary").fail("hang")
      const read = yield* Effect.fork(sql`SELECT 1`)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.poll(read))._tag, "None")
      yield* cluster.endpoint("primary").recover
      assert.isAtMost(yield* taking(Fiber.join(read)), 2)
    }))

  it.scoped("a statement under way fails at once when its server goes down", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ latency: "1 hour" })
      const write = yield* Effect.fork(routing(sql`INSERT INTO t VALUES (1)`))
      yield* TestClock.adjust("1 millis")
      yield* cluster.endpoint("primary").fail("down")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(write))._tag, "OutcomeUnknown")
      assert.deepStrictEqual((yield* cluster.endpoint("primary").state).writes, [])
    }))

  it.scoped("a write whose connection is lost was done or not, and is not repeated", () =>
    Effect.gen(function*() {
      for (const [fault, done] of [["lostBefore", 0], ["lostAfter", 1]] as const) {
        const { client: sql, cluster } = yield* make()
        yield* cluster.endpoint("primary").fail(fault, { times: 1 })
        assert.strictEqual((yield* routing(sql`INSERT INTO t VALUES (1)`))._tag, "OutcomeUnknown")
        assert.strictEqual((yield* cluster.endpoint("primary").state).writes.length, done)
      }
    }))

  it.scoped("concern the statements that they are meant for", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make()
      yield* cluster.endpoint("primary").fail("refused", { when: ({ sql }) => sql.includes("orders"), times: 2 })
      yield* sql`INSERT INTO customers VALUES (1)`
      yield* Effect.flip(sql`INSERT INTO orders VALUES (1)`)
      const error = yield* Effect.flip(sql`INSERT INTO orders VALUES (2)`)
      assert.instanceOf(error.cause, InMemoryDriver.InMemoryFault)
      yield* sql`INSERT INTO orders VALUES (3)`
    }))

  it.scoped("by chance, come in the share that was asked for", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make()
      yield* cluster.endpoint("primary").fail("refused", { share: 0.2 })
      const exits = yield* Effect.replicateEffect(Effect.exit(sql`SELECT 1`), 1000)
      assert.closeTo(exits.filter(({ _tag }) => _tag === "Failure").length, 200, 40)
    }))

  it.scoped("a server takes no more connections than it is meant to", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ ...twoReplicas, maxConnections: 1, latency: "5 millis" })
      yield* taking(Effect.all(Array.from({ length: 10 }, () => sql`SELECT 1`), { concurrency: "unbounded" }))
      assert.isAtMost((yield* cluster.endpoint("replica1").state).opened, 1)
    }))
})

describe("replication", () => {
  it.scoped("a replica sees a write when it has replayed it", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({
        replicas: { replica1: { replayDelay: "1 second" } },
        answer: ({ visible }) => [{ writes: visible.length }]
      })
      const onReplica = Effect.map(RoutedSqlClient.withEndpoint("replica1")(sql`SELECT 1`), ([row]) => row!.writes)
      yield* sql`INSERT INTO t VALUES (1)`
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* onReplica, 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* onReplica, 1)
      assert.deepStrictEqual(
        (yield* cluster.endpoint("replica1").state).position,
        (yield* cluster.endpoint("primary").state).position
      )
    }))

  it.scoped("a program reads its own writes though replicas lag", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({
        replicas: { replica1: {}, replica2: {} },
        replayDelay: "1 second",
        answer: ({ visible }) => [{ writes: visible.length }]
      })
      yield* sql`INSERT INTO t VALUES (1)`
      yield* taking(Effect.map(sql`SELECT 1`, (rows) => assert.deepStrictEqual(rows, [{ writes: 1 }])))
      yield* TestClock.adjust("2 seconds")
      yield* cluster.forget
      yield* sql`SELECT 1`
      assert.deepStrictEqual((yield* cluster.asked).map(({ role }) => role), ["replica"])
    }))

  it.scoped("what a replica has replayed stays when it begins to lag", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make(twoReplicas)
      yield* sql`INSERT INTO t VALUES (1)`
      yield* cluster.endpoint("replica1").configure({ replayDelay: "1 hour" })
      yield* sql`INSERT INTO t VALUES (2)`
      assert.strictEqual((yield* cluster.endpoint("replica1").state).writes.length, 1)
    }))

  it.scoped("a transaction's writes come together, those of a savepoint rolled back not at all", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ answer: ({ visible }) => [{ n: visible.length }] })
      const { writes } = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO t VALUES (1)`
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`INSERT INTO t VALUES (2)`, Effect.fail("no"))))
        yield* sql`INSERT INTO t VALUES (3)`
        assert.deepStrictEqual(yield* sql`SELECT 1`, [{ n: 2 }])
        return yield* cluster.endpoint("primary").state
      }))
      assert.deepStrictEqual(writes, [])
      assert.deepStrictEqual((yield* cluster.endpoint("primary").state).writes.map(({ sql }) => sql), [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (3)"
      ])
    }))

  it.scoped("a replica refuses a write that was taken for a read", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ ...twoReplicas, classifier: everythingIsRead })
      yield* sql`INSERT INTO t VALUES (1)`
      assert.deepStrictEqual((yield* cluster.asked).map(({ role }) => role), ["replica", "primary"])
      assert.strictEqual((yield* cluster.endpoint("primary").state).writes.length, 1)
    }))

  it.scoped("writes follow a promotion, and not who was the primary when it comes back", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ ...twoReplicas, health: { awaitPrimary: "10 seconds" } })
      yield* sql`INSERT INTO t VALUES (1)`
      yield* TestClock.adjust("10 seconds")
      yield* cluster.endpoint("primary").fail("down")
      yield* cluster.endpoint("replica1").promote
      yield* taking(sql`INSERT INTO t VALUES (2)`)
      yield* cluster.endpoint("primary").recover
      yield* TestClock.adjust("1 minute")
      yield* sql`INSERT INTO t VALUES (3)`
      const written = (name: string) => Effect.map(cluster.endpoint(name).state, ({ writes }) => writes.length)
      assert.strictEqual(yield* written("replica1"), 3)
      assert.strictEqual(yield* written("replica2"), 3)
      assert.strictEqual(yield* written("primary"), 1)
    }))

  it.scoped("a demoted primary loses what it wrote alone", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make({ replicas: { replica1: { replayDelay: "1 second" } } })
      yield* sql`INSERT INTO t VALUES (1)`
      yield* cluster.endpoint("replica1").promote
      yield* cluster.endpoint("primary").demote
      assert.deepInclude(yield* cluster.endpoint("primary").state, { role: "replica", writes: [] })
    }))

  it.scoped("tells the settings that a statement ran with", () =>
    Effect.gen(function*() {
      const { client: sql, cluster } = yield* make(twoReplicas)
      yield* RoutedSqlClient.withSession({ "app.user": "7" })(sql`SELECT 1`)
      yield* Effect.replicateEffect(sql`SELECT 2`, 4)
      assert.deepStrictEqual(
        (yield* cluster.asked).map(({ session, sql }) => [sql, session]),
        [["SELECT 1", { "app.user": "7" }], ...Array.from({ length: 4 }, () => ["SELECT 2", {}])]
      )
    }))
})
