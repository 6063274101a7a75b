import * as Reactivity from "@effect/experimental/Reactivity"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as AdaptedClients from "effect-sql-router/AdaptedClients"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import * as TestClock from "effect/TestClock"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { borrow } from "../src/internal/adapted/connection.js"
import { caughtUp, freshDatabase } from "./servers/index.js"

type Clients = Effect.Effect<
  {
    readonly primary: SqlClient.SqlClient
    readonly replica: SqlClient.SqlClient
    readonly settle: Effect.Effect<void>
  },
  unknown,
  Scope.Scope | Reactivity.Reactivity
>

const names = { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }

const pg: Clients = Effect.gen(function*() {
  const { primary, replicas } = yield* freshDatabase("postgres", { remoteApply: true })
  const at = (url: string) => PgClient.make({ url: Redacted.make(url), ...names })
  return { primary: yield* at(primary.url), replica: yield* at(replicas[0].url), settle: Effect.void }
})

const mysql: Clients = Effect.gen(function*() {
  const { primary, replicas } = yield* freshDatabase("mariadb")
  const at = (url: string) => MysqlClient.make({ url: Redacted.make(url), ...names })
  return { primary: yield* at(primary.url), replica: yield* at(replicas[0].url), settle: caughtUp("mariadb") }
})

/** Two clients of one file: what one writes the other sees. */
const sqlite: Clients = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(path.join(tmpdir(), "adapted-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )
  const open = SqliteClient.make({ filename: path.join(folder, "main.db"), ...names })
  return { primary: yield* open, replica: yield* open, settle: Effect.void }
})

const options = { transformResultNames: String.snakeToCamel, shutdownTimeout: Duration.millis(100) }

const routed = (clients: Clients) =>
  Effect.gen(function*() {
    const { primary, replica, settle } = yield* clients
    const sql = yield* AdaptedClients.make({ primary, replicas: { replica }, ...options })
    return { sql, primary, replica, settle }
  }).pipe(Effect.provide(Reactivity.layer))

const makePeople = (sql: SqlClient.SqlClient) =>
  sql`CREATE TABLE people (id INTEGER PRIMARY KEY, full_name VARCHAR(50) NOT NULL)`

/** Reads that need not see what was just written. */
const anywhere = ReadConsistency.withLevel(ReadConsistency.eventual)

const endpointsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(RouteDecision.capture(effect), ([, decisions]) => decisions.map(({ endpoint }) => endpoint))

for (const [engine, clients] of [["PgClient", pg], ["MysqlClient", mysql], ["SqliteClient", sqlite]] as const) {
  describe(`a router over two of the stock ${engine}`, () => {
    it.scopedLive("sends reads to the replica and everything else to the primary, with their name transforms", () =>
      Effect.gen(function*() {
        const { settle, sql } = yield* routed(clients)
        yield* makePeople(sql)
        const written = yield* endpointsOf(sql`INSERT INTO people ${sql.insert([{ id: 1, fullName: "Ada" }])}`)
        yield* settle
        const [rows, decisions] = yield* RouteDecision.capture(
          sql`SELECT * FROM people WHERE ${sql("fullName")} = ${"Ada"}`.pipe(anywhere)
        )
        assert.deepStrictEqual(written, ["primary"])
        assert.deepStrictEqual(rows, [{ id: 1, fullName: "Ada" }])
        assert.deepStrictEqual(decisions.map(({ endpoint }) => endpoint), ["replica"])
        const plain = yield* sql`SELECT * FROM people`.withoutTransform.pipe(anywhere)
        assert.deepStrictEqual(plain, [{ id: 1, full_name: "Ada" }])
        assert.deepStrictEqual(yield* sql`SELECT id FROM people`.values.pipe(anywhere), [[1]])
      }))

    it.scopedLive("commits a transaction as a whole, and undoes one that fails", () =>
      Effect.gen(function*() {
        const { sql } = yield* routed(clients)
        yield* makePeople(sql)
        const add = (id: number) => sql`INSERT INTO people ${sql.insert({ id, fullName: "x" })}`
        yield* sql.withTransaction(
          Effect.zip(add(1), Effect.ignore(sql.withTransaction(Effect.zip(add(2), Effect.fail("no")))))
        )
        yield* Effect.ignore(sql.withTransaction(Effect.zip(add(3), Effect.fail("no"))))
        const ids = yield* sql<{ id: number }>`SELECT id FROM people ORDER BY id`.pipe(RoutedSqlClient.withPrimary)
        assert.deepStrictEqual(ids, [{ id: 1 }])
      }))

    it.scopedLive("reads its own writes", () =>
      Effect.gen(function*() {
        const { sql } = yield* routed(clients)
        yield* makePeople(sql)
        for (let id = 1; id <= 5; id++) {
          yield* sql`INSERT INTO people ${sql.insert({ id, fullName: "x" })}`
          assert.deepStrictEqual(yield* sql`SELECT id FROM people WHERE id = ${id}`, [{ id }])
        }
      }))

    it.scopedLive("streams", () =>
      Effect.gen(function*() {
        const { settle, sql } = yield* routed(clients)
        yield* makePeople(sql)
        yield* sql`INSERT INTO people ${sql.insert(Array.from({ length: 300 }, (_, id) => ({ id, fullName: "x" })))}`
        yield* settle
        const rows = yield* Stream.runCollect(sql`SELECT * FROM people ORDER BY id`.stream).pipe(anywhere)
        assert.strictEqual(Chunk.size(rows), 300)
        assert.deepStrictEqual(Chunk.unsafeHead(rows), { id: 0, fullName: "x" })
      }))

    it.scopedLive("tells what the servers say of themselves, and fails as the driver did", () =>
      Effect.gen(function*() {
        const { sql } = yield* routed(clients)
        const error = yield* Effect.flip(sql`SELECT * FROM nowhere`)
        assert.isFalse(RoutingError.isRoutingError(error.cause))
        yield* Effect.sleep("300 millis")
        const [main] = yield* sql.replicas
        assert.deepStrictEqual(
          main!.endpoints.map(({ available, endpoint, failures, role }) => [endpoint, role, available, failures]),
          [["primary", "primary", true, 0], ["replica", "replica", true, 0]]
        )
      }))

    it.scopedLive("gives back what it borrowed when its Scope ends, outside of any transaction", () =>
      Effect.gen(function*() {
        const { primary, replica, settle: _ } = yield* clients
        yield* Effect.scoped(
          Effect.gen(function*() {
            const sql = yield* AdaptedClients.make({ primary, replicas: { replica }, ...options })
            yield* makePeople(sql)
            yield* sql.withPooledConnection(
              {},
              (own) =>
                Effect.zip(own.unsafe("BEGIN"), own`INSERT INTO people ${own.insert({ id: 1, fullName: "lost" })}`)
            )
          })
        )
        assert.deepStrictEqual(yield* primary`SELECT id FROM people`, [])
        yield* primary.withTransaction(primary`INSERT INTO people ${primary.insert({ id: 2, fullName: "kept" })}`)
        assert.deepStrictEqual(yield* primary`SELECT id FROM people`, [{ id: 2 }])
      }).pipe(Effect.provide(Reactivity.layer)))
  })
}

describe("a router over clients", () => {
  it.scopedLive("cancels an interrupted statement as its client does, and goes on", () =>
    Effect.gen(function*() {
      const { sql } = yield* routed(pg)
      const slow = yield* Effect.fork(sql`SELECT pg_sleep(30)`.pipe(RoutedSqlClient.withPrimary))
      yield* Effect.sleep("200 millis")
      const [elapsed] = yield* Effect.timed(Fiber.interrupt(slow))
      assert.isBelow(Duration.toMillis(elapsed), 2000)
      const running = yield* sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%'
        AND state = 'active'`.pipe(RoutedSqlClient.withPrimary)
      assert.deepStrictEqual(running, [{ n: 0 }])
    }))

  it.scopedLive("undoes a transaction whose statement was interrupted", () =>
    Effect.gen(function*() {
      const { primary, sql } = yield* routed(pg)
      yield* makePeople(sql)
      const writing = yield* Effect.fork(sql.withTransaction(
        Effect.zip(sql`INSERT INTO people ${sql.insert({ id: 1, fullName: "x" })}`, sql`SELECT pg_sleep(30)`)
      ))
      yield* Effect.sleep("300 millis")
      yield* Fiber.interrupt(writing)
      assert.deepStrictEqual(yield* primary`SELECT id FROM people`, [])
      const left = yield* primary`SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      assert.deepStrictEqual(left, [{ n: 0 }])
    }))

  it.scopedLive("gives back a connection that comes after its borrower was interrupted", () =>
    Effect.gen(function*() {
      const { primary } = yield* freshDatabase("postgres")
      const client = yield* PgClient.make({ url: Redacted.make(primary.url), maxConnections: 1 })
      const scope = yield* Scope.make()
      yield* Scope.extend(client.reserve, scope)
      const late = yield* Effect.scoped(
        Effect.timeoutOption(borrow(client, "primary", "ROLLBACK"), "100 millis")
      )
      assert.isTrue(Option.isNone(late))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* client`SELECT 1 AS one`.pipe(Effect.timeout("2 seconds")), [{ one: 1 }])
    }).pipe(Effect.provide(Reactivity.layer)))

  it.scoped("leaves a client's only connection to statements, however often it is probed", () =>
    Effect.gen(function*() {
      const { primary, replica } = yield* sqlite
      // Seldom enough for the pools to ask idle connections for a sign of life in between.
      const sql = yield* AdaptedClients.make({ primary, replicas: { replica }, health: { probeInterval: "2 minutes" } })
      yield* sql`CREATE TABLE t (a INTEGER)`
      yield* TestClock.adjust("1 millis")
      for (let i = 0; i < 40; i++) yield* TestClock.adjust("10 seconds")
      const [main] = yield* sql.replicas
      assert.isAbove(main!.endpoints[1]!.probes.succeeded, 1)
      const reading = yield* Effect.fork(sql`SELECT 1 AS one`.pipe(anywhere))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(reading), [{ one: 1 }])
    }).pipe(Effect.provide(Reactivity.layer)))

  it.scopedLive("weighs replicas, and is a layer whose clients live as long as it does", () =>
    Effect.gen(function*() {
      const sql = yield* RoutedSqlClient.RoutedSqlClient
      assert.deepStrictEqual(
        (yield* sql.replicas)[0]!.endpoints.map(({ endpoint, weight, zone }) => [endpoint, weight, zone]),
        [["primary", 0, undefined], ["near", 3, "a"], ["far", 1, undefined]]
      )
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }).pipe(Effect.provide(AdaptedClients.layer(Effect.gen(function*() {
      const open = SqliteClient.make({ filename: ":memory:" })
      return {
        primary: yield* open,
        replicas: { near: { client: yield* open, weight: 3, zone: "a" }, far: yield* open }
      }
    })))))

  it.scopedLive("fails where a client speaks another dialect", () =>
    Effect.gen(function*() {
      const { primary } = yield* sqlite
      const { primary: other } = yield* pg
      const error = yield* Effect.flip(AdaptedClients.make({ primary, replicas: { replica1: other } }))
      assert.instanceOf(error.cause, RoutingError.ConfigurationError)
      assert.strictEqual((error.cause as RoutingError.ConfigurationError).path, "replicas.replica1")
    }).pipe(Effect.provide(Reactivity.layer)))
})

describe("the module", () => {
  it("imports no driver", () => {
    const seen = new Set<string>()
    const packages = new Set<string>()
    const visit = (file: string) => {
      if (seen.has(file)) return
      seen.add(file)
      const imports = /^(?:import|export)\s+(type\s+)?(?:\*[^"]*?|\{[^}"]*\}\s*)from "([^"]+)"/gm
      for (const [, isType, from] of readFileSync(file, "utf8").matchAll(imports)) {
        if (isType !== undefined) continue
        if (from!.startsWith(".")) visit(path.resolve(path.dirname(file), from!.replace(/\.js$/, ".ts")))
        else packages.add(from!)
      }
    }
    visit(path.resolve(import.meta.dirname, "../src/AdaptedClients.ts"))
    assert.isAbove(seen.size, 50)
    assert.deepStrictEqual(
      [...packages].filter((name) => !/^(effect\/|@effect\/sql\/|@effect\/experimental\/|node:)/.test(name)),
      []
    )
  })
})
