import * as Reactivity from "@effect/experimental/Reactivity"
import type * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import { postgres as cluster } from "../servers/index.js"
import { ids, insert, postgres, routingError, tagOf } from "../transaction/engines.js"

const router = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.flatMap(postgres.place, (place) => place.router(options))

const replicated = (options?: RoutedSqlClient.RouterOptions) =>
  Effect.flatMap(postgres.place, (place) => place.withReplicas(options))

const as = (user: string) => RoutedSqlClient.withSession({ "app.user": user })

/** Who the server thinks it is asked by; what was never set is `null`, what was taken away empty. */
const user = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ name: string | null }>`SELECT current_setting('app.user', true) AS name`, ([row]) => row!.name ?? "")

const pid = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([row]) => row!.pid)

const where = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ name: string; replica: boolean }>`
      SELECT coalesce(current_setting('app.user', true), '') AS name, pg_is_in_recovery() AS replica`,
    ([row]) => `${row!.name}${row!.replica ? " on a replica" : ""}`
  )

const closed = (sql: RoutedSqlClient.RoutedSqlClient, reason: "reset") =>
  Effect.map(sql.pools, (pools) => pools.reduce((sum, pool) => sum + pool.closed[reason], 0))

describe("withSession on postgres", () => {
  it.scopedLive("sets them on whichever connection of whichever endpoint runs the statement", () =>
    Effect.gen(function*() {
      const sql = yield* replicated()
      assert.deepStrictEqual(
        yield* Effect.all([
          where(sql),
          as("ada")(where(sql)),
          as("ada")(RoutedSqlClient.withPrimary(where(sql))),
          as("bob")(sql.withTransaction(where(sql))),
          as("cyd")(sql.readOnlyTransaction(where(sql))),
          where(sql)
        ]),
        [" on a replica", "ada on a replica", "ada", "bob", "cyd on a replica", " on a replica"]
      )
    }))

  it.scopedLive("makes row-level security hold on replicas, for a role that cannot bypass it", () =>
    Effect.gen(function*() {
      const place = yield* postgres.place
      const owner = yield* place.router()
      const role = `tenant_${Math.trunc(performance.now() * 1000)}`
      const [{ database }] = yield* owner.withTransaction(
        owner<{ database: string }>`SELECT current_database() AS database`
      ) as unknown as Effect.Effect<[{ database: string }]>
      yield* Effect.acquireRelease(
        owner.unsafe(`CREATE ROLE ${role} LOGIN`),
        () => Effect.orDie(Effect.zipRight(owner.unsafe(`DROP OWNED BY ${role}`), owner.unsafe(`DROP ROLE ${role}`)))
      )
      yield* owner`CREATE TABLE orders (id INTEGER, owner TEXT)`
      yield* owner`INSERT INTO orders VALUES (1, 'ada'), (2, 'bob'), (3, 'ada')`
      yield* owner`ALTER TABLE orders ENABLE ROW LEVEL SECURITY`
      yield* owner`CREATE POLICY own ON orders USING (owner = current_setting('app.user', true))`
      yield* owner.unsafe(`GRANT SELECT, INSERT ON orders TO ${role}`)
      // What is on the replicas is what the place waits for.
      yield* place.withReplicas()
      const endpoint = ({ host, port }: { readonly host: string; readonly port: number }) => ({
        url: Redacted.make(`postgres://${role}@${host}:${port}/${database}`)
      })
      const { primary, replicas: [first, second] } = cluster()
      const sql = yield* Effect.provide(
        RoutedPgClient.make({
          primary: endpoint(primary),
          replicas: { replica1: endpoint(first), replica2: endpoint(second) },
          pool: { max: 2 }
        }),
        Reactivity.layer
      )
      const ids = Effect.map(
        sql<{ id: number; replica: boolean }>`SELECT id, pg_is_in_recovery() AS replica FROM orders ORDER BY id`,
        (rows) => rows.map(({ id, replica }) => `${id}${replica}`)
      )
      const seen = yield* Effect.forEach(
        Array.from({ length: 60 }, (_, i) => ["ada", "bob", undefined][i % 3]),
        (name) => Effect.map(name === undefined ? ids : as(name)(ids), (ids) => [name, ids] as const),
        { concurrency: 12 }
      )
      const expected = { ada: ["1true", "3true"], bob: ["2true"] }
      for (const [name, ids] of seen) {
        assert.deepStrictEqual(ids, expected[name as "ada"] ?? [], name)
      }
    }))

  it.scopedLive.each([1, 2])(
    "is never seen by others: interleaved fibers with a pool of %i",
    (max) =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max } })
        const names = Array.from({ length: 90 }, (_, i) => i % 3 === 0 ? "" : `user${i % 7}`)
        const seen = yield* Effect.forEach(
          names,
          (name, i) => {
            const one = i % 4 === 0 ? sql.withTransaction(Effect.zipRight(Effect.yieldNow(), user(sql))) : user(sql)
            return name === "" ? one : as(name)(one)
          },
          { concurrency: 16 }
        )
        assert.deepStrictEqual(seen, names)
      })
  )

  it.scopedLive("is never seen by others: statements side by side in one transaction", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const names = Array.from({ length: 30 }, (_, i) => i % 3 === 0 ? "" : `user${i % 4}`)
      const seen = yield* sql.withTransaction(Effect.forEach(
        names,
        (name) => name === "" ? user(sql) : as(name)(user(sql)),
        { concurrency: "unbounded" }
      ))
      assert.deepStrictEqual(seen, names)
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive("follows savepoints that are rolled back and released", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const seen: Array<string> = []
      const look = Effect.map(user(sql), (name) => void seen.push(name))
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* look
        yield* as("ada")(Effect.gen(function*() {
          yield* look
          yield* Effect.ignore(sql.withTransaction(as("bob")(Effect.zipRight(look, Effect.fail("undone")))))
          yield* look
          yield* sql.withTransaction(as("cyd")(look))
          yield* look
        }))
        yield* look
      }))
      yield* look
      assert.deepStrictEqual(seen, ["", "ada", "bob", "ada", "cyd", "ada", "", ""])
    }))

  it.scopedLive("lets what has the same settings run beside a stream, in nested transactions too", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const rows = sql<{ i: number }>`SELECT i FROM generate_series(1, 3) AS i`.stream
      const seen = yield* sql.withTransaction(
        as("ada")(Stream.runCollect(Stream.mapEffect(
          rows,
          ({ i }) => Effect.zip(user(sql), sql.withTransaction(Effect.zipRight(insert(sql, i), user(sql))))
        )))
      )
      assert.deepStrictEqual(Array.from(seen), Array.from({ length: 3 }, () => ["ada", "ada"] as [string, string]))
      assert.deepStrictEqual(yield* ids(sql), [1, 2, 3])
    }))

  it.scoped("fails what waits inside a stream that needs other settings, instead of waiting for ever", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const rows = sql`SELECT i FROM generate_series(1, 3) AS i`.stream
      const fiber = yield* Effect.fork(Effect.flip(
        sql.withTransaction(as("ada")(Stream.runForEach(rows, () => as("bob")(user(sql)))))
      ))
      yield* TestServices.provideLive(Effect.sleep("300 millis"))
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(tagOf(yield* Fiber.join(fiber)), "TransactionFrameBusy")
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive("nests: the inner setting wins, the others stay", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const both = sql<{ a: string; b: string }>`
        SELECT current_setting('app.user', true) AS a, current_setting('app.user.group', true) AS b`
      const seen = yield* both.pipe(
        RoutedSqlClient.withSession({ "app.user.group": "inner" }),
        RoutedSqlClient.withSession({ "app.user": "ada", "app.user.group": "outer" })
      )
      assert.deepStrictEqual(seen, [{ a: "ada", b: "inner" }])
      assert.deepStrictEqual(yield* as("bob")(both), [{ a: "bob", b: "" }])
    }))

  it.scopedLive("holds for a stream to its end, and for nobody else", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const names = sql<{ name: string }>`
        SELECT current_setting('app.user', true) AS name FROM generate_series(1, 500)`.stream
      const seen = yield* as("ada")(Stream.runCollect(names))
      assert.deepStrictEqual(new Set(Array.from(seen, ({ name }) => name)), new Set(["ada"]))
      assert.strictEqual(yield* user(sql), "")
      const inside = yield* sql.withTransaction(
        as("bob")(
          Stream.runCollect(Stream.mapEffect(names, ({ name }) => Effect.map(user(sql), (now) => `${name} ${now}`)))
        )
      )
      assert.deepStrictEqual(new Set(inside), new Set(["bob bob"]))
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive("holds on a reserved connection, in the transactions that its holder begins too", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const seen: Array<unknown> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const run = (text: string) => connection.executeUnprepared(text, [], undefined)
        const look = Effect.map(
          run("SELECT coalesce(current_setting('app.user', true), '') AS name"),
          ([row]) => void seen.push(row.name)
        )
        yield* look
        yield* as("ada")(look)
        yield* run("BEGIN")
        yield* look
        yield* as("bob")(look)
        yield* run("ROLLBACK")
        yield* as("bob")(look)
        yield* look
        yield* run("BEGIN")
        yield* as("cyd")(look)
        yield* run("COMMIT")
        yield* as("cyd")(look)
      }))
      assert.deepStrictEqual(seen, ["", "ada", "", "bob", "bob", "", "cyd", "cyd"])
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive.each(["withPooledConnection", "freshConnection"] as const)(
    "holds in transactions that the holder of %s begins and rolls back",
    (name) =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const seen: Array<string> = []
        const body = (own: SqlClient.SqlClient) => {
          const look = Effect.map(user(own), (name) => void seen.push(name))
          return Effect.all([
            as("ada")(look),
            own`BEGIN`,
            as("bob")(look),
            look,
            own`ROLLBACK`,
            as("bob")(look),
            look,
            own`BEGIN`,
            look,
            as("cyd")(look),
            own`COMMIT`,
            look,
            as("cyd")(look)
          ])
        }
        if (name === "withPooledConnection") yield* sql.withPooledConnection({}, body)
        else yield* Effect.scoped(Effect.flatMap(sql.freshConnection(), body))
        assert.deepStrictEqual(seen, ["ada", "bob", "", "bob", "", "", "cyd", "", "cyd"])
        assert.strictEqual(yield* user(sql), "")
      })
  )

  it.scopedLive("leaves nothing behind after a statement that fails, or is interrupted", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(as("ada")(sql`SELECT 1 / 0`))))
      assert.strictEqual(yield* user(sql), "")
      const slow = yield* Effect.fork(as("ada")(sql`SELECT pg_sleep(10)`))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(slow)
      assert.strictEqual(yield* user(sql), "")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql.withTransaction(as("bob")(sql`SELECT 1 / 0`)))))
      assert.strictEqual(yield* user(sql), "")
    }))

  it.scopedLive("fails with what the server says of a setting, and the next has nothing to do with it", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const before = yield* pid(sql)
      for (const settings of [{ nonsense: "1" }, { work_mem: "much", "app.user": "ada" }]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(RoutedSqlClient.withSession(settings)(sql`SELECT 1`))))
        assert.strictEqual(yield* user(sql), "")
      }
      assert.strictEqual(yield* pid(sql), before)
    }))

  it.scopedLive.each(["", "a b", "app.user; DROP TABLE t", "app.", "\"a\"", "a--", "@@x", "1a"])(
    "refuses %j as a name before anything is sent",
    (name) =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        for (const statement of [Effect.asVoid(sql`SELECT 1`), Effect.asVoid(sql.withTransaction(sql`SELECT 1`))]) {
          const error = yield* Effect.flip(RoutedSqlClient.withSession({ [name]: "x" })(statement))
          assert.strictEqual(tagOf(error), "ConfigurationError")
          assert.include(routingError(error).message, JSON.stringify(name))
        }
      })
  )

  it.scopedLive("can set any setting whose name is a keyword, and take it away", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const value = Effect.map(
        sql<{ v: string }>`SELECT current_setting('app.select', true) || current_setting('search_path') AS v`,
        ([row]) => row!.v
      )
      const settings = { "app.select": "x", search_path: "pg_catalog", role: "none" }
      assert.strictEqual(yield* RoutedSqlClient.withSession(settings)(value), "xpg_catalog")
      assert.strictEqual(yield* value, "\"$user\", public")
    }))

  it.scopedLive("costs one round trip per connection and change, none for more statements with the same settings", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const proxy = yield* TcpProxy.make(cluster().primary)
      const url = Redacted.make(`postgres://${cluster().user}@127.0.0.1:${proxy.port}/${cluster().database}`)
      const sql = yield* Effect.provide(RoutedPgClient.make({ primary: { url }, pool: { max: 1 } }), Reactivity.layer)
      yield* sql`SELECT 0`
      yield* proxy.configure({
        request: ({ text }) => {
          sent.push(text)
          return "pass"
        }
      })
      const texts = () => sent.splice(0).map((data) => /SELECT \d|set_config|TO DEFAULT|BEGIN|COMMIT/.exec(data)?.[0])
      const inside = as("ada")
      yield* inside(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`))
      yield* as("ada")(sql`SELECT 3`)
      assert.deepStrictEqual(texts(), ["set_config", "SELECT 1", "SELECT 2", "SELECT 3"])
      yield* as("bob")(sql`SELECT 4`)
      assert.deepStrictEqual(texts(), ["set_config", "SELECT 4"])
      yield* Effect.zipRight(sql`SELECT 5`, sql`SELECT 6`)
      assert.deepStrictEqual(texts(), ["TO DEFAULT", "SELECT 5", "SELECT 6"])
      yield* sql.withTransaction(inside(Effect.zipRight(sql`SELECT 7`, sql`SELECT 8`)))
      assert.deepStrictEqual(texts(), ["BEGIN", "set_config", "SELECT 7", "SELECT 8", "COMMIT"])
      yield* sql`SELECT 9`
      assert.deepStrictEqual(texts(), ["SELECT 9"])
    }))
})

describe("sessions that statements change on postgres", () => {
  it.scopedLive("end with the transaction that left them so; SET LOCAL leaves nothing", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const first = yield* pid(sql)
      yield* sql.withTransaction(sql`SET LOCAL "app"."user" = 'ada'`)
      yield* sql.withTransaction(sql`SELECT set_config('app.user', 'ada', true)`)
      yield* sql.withTransaction(sql`SELECT pg_advisory_xact_lock(1)`)
      yield* sql.withTransaction(sql`CREATE TEMP TABLE a (b int) ON COMMIT DROP`)
      assert.strictEqual(yield* pid(sql), first)
      yield* sql.withTransaction(sql`SET "app"."user" = 'ada'`)
      assert.notStrictEqual(yield* pid(sql), first)
      assert.strictEqual(yield* user(sql), "")
      assert.strictEqual(yield* closed(sql, "reset"), 1)
      yield* sql.withTransaction(sql`SELECT pg_advisory_lock(1)`)
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory'`, [])
    }))

  it.scopedLive("end with withPooledConnection, which keeps the others", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const first = yield* pid(sql)
      assert.strictEqual(yield* sql.withPooledConnection({}, pid), first)
      assert.strictEqual(yield* pid(sql), first)
      const seen = yield* sql.withPooledConnection({}, (own) =>
        Effect.zipRight(own`SET "app"."user" = 'ada'`, Effect.all([user(own), pid(own), user(own)])))
      assert.deepStrictEqual(seen, ["ada", first, "ada"])
      assert.strictEqual(yield* user(sql), "")
      assert.notStrictEqual(yield* pid(sql), first)
    }))

  it.scopedLive("end with reserve, whose statements nobody looks at, without a pause for the next", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      for (let round = 0; round < 6; round++) {
        yield* Effect.scoped(
          Effect.flatMap(
            sql.reserve,
            (connection) => connection.executeUnprepared("SET \"app\".\"user\" = 'ada'", [], undefined)
          )
        )
        assert.strictEqual(yield* user(sql), "")
      }
      assert.strictEqual(yield* closed(sql, "reset"), 6)
    }))

  it.scopedLive("are refused outside, or run on the primary once and end, as the policy says", () =>
    Effect.gen(function*() {
      const refusing = yield* router()
      const error = yield* Effect.flip(refusing`SET "app"."user" = 'ada'`)
      assert.deepInclude(routingError(error), { _tag: "StatementRefused", reason: "sessionState" })
      const sql = yield* replicated({ sessionState: "primary", pool: { max: 1 } })
      const primary = RoutedSqlClient.withPrimary(pid(sql))
      const first = yield* primary
      yield* sql`SELECT lastval()`.pipe(Effect.ignore)
      assert.strictEqual(yield* primary, first)
      yield* sql`SET "app"."user" = 'ada'`
      assert.notStrictEqual(yield* primary, first)
      assert.strictEqual(yield* RoutedSqlClient.withPrimary(user(sql)), "")
    }))

  it.scopedLive("end with a stream that left them so", () =>
    Effect.gen(function*() {
      const sql = yield* router({ pool: { max: 1 } })
      const first = yield* pid(sql)
      yield* sql.withTransaction(Stream.runDrain(sql`SELECT set_config('app.user', 'ada', false)`.stream))
      assert.notStrictEqual(yield* pid(sql), first)
    }))
})
