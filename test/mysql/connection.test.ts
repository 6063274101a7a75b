import * as Reactivity from "@effect/experimental/Reactivity"
import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Duration, Effect, Exit, Fiber, Option, Redacted, Schedule, Scope, Stream } from "effect"
import type { PhysicalConnection } from "../../src/Driver.js"
import type { Access, Endpoint } from "../../src/Endpoint.js"
import * as Driver from "../../src/internal/mysql/driver.js"
import type { MysqlEndpointConfig } from "../../src/internal/mysql/settings.js"
import { ConfigurationError, EndpointUnavailable, toSqlError, TransactionClosed } from "../../src/RoutingError.js"
import * as TcpProxy from "../../src/testing/TcpProxy.js"
import { caughtUp, mariadb } from "../servers/index.js"

const cluster = mariadb()
const server = {
  host: cluster.primary.host,
  port: cluster.primary.port,
  username: cluster.user,
  database: cluster.database
}

const endpoint = (own: Partial<MysqlEndpointConfig> = {}): Endpoint<MysqlEndpointConfig> => ({
  database: "main",
  name: "replica1",
  role: "replica",
  weight: 1,
  zone: undefined,
  config: { ...server, ...own }
})

const driver = Driver.make(server)
const open = (access: Access = "readWrite", own?: Partial<MysqlEndpointConfig>) => driver.open(endpoint(own), access)

const rows = (connection: PhysicalConnection, sql: string, params: ReadonlyArray<unknown> = []) =>
  connection.execute(sql, params, undefined)
const text = (connection: PhysicalConnection, sql: string) => connection.executeUnprepared(sql, [], undefined)

const threadId = (connection: PhysicalConnection) =>
  Effect.map(rows(connection, "SELECT CONNECTION_ID() AS id"), (rows) => rows[0].id as number)

/** Statements that other connections run now. */
const running = (connection: PhysicalConnection, needle: string) =>
  rows(connection, "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE INFO LIKE ? AND ID <> CONNECTION_ID()", [
    `%${needle}%`
  ])

const eventually = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("3 seconds")
  )

const errno = (error: SqlError): unknown => (error.cause as { readonly errno?: number }).errno

const table = (connection: PhysicalConnection, name: string, columns: string) =>
  Effect.acquireRelease(
    text(connection, `DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (${columns}) ENGINE=InnoDB`),
    () => Effect.ignore(text(connection, `DROP TABLE IF EXISTS ${name}`))
  )

const account = (root: PhysicalConnection, name: string, options: string) =>
  Effect.acquireRelease(
    text(root, `CREATE OR REPLACE USER ${name}@'127.0.0.1' ${options}`),
    () => Effect.ignore(text(root, `DROP USER IF EXISTS ${name}@'127.0.0.1'`))
  )

/** Two transactions in a state where the loser's next update, of row 1 of the table, is a deadlock that it loses. */
const deadlock = (winner: PhysicalConnection, loser: PhysicalConnection, name: string, autocommit: number) =>
  Effect.gen(function*() {
    yield* text(winner, `INSERT INTO ${name} VALUES (1, 0), (2, 0)`)
    yield* text(winner, "START TRANSACTION")
    // The server picks whoever changed fewer rows.
    yield* rows(winner, `INSERT INTO ${name} SELECT seq, 1 FROM seq_200_to_220`)
    yield* rows(winner, `UPDATE ${name} SET v = 1 WHERE id = 1`)
    yield* text(loser, `SET autocommit = ${autocommit}; START TRANSACTION`)
    yield* rows(loser, `UPDATE ${name} SET v = 1 WHERE id = 2`)
    yield* Effect.forkScoped(Effect.exit(rows(winner, `UPDATE ${name} SET v = 1 WHERE id = 2`)))
    yield* Effect.sleep("100 millis")
  })

/** A table of `count` rows of some 200 bytes, made by the server. */
const manyRows = (count: number) => `SELECT seq AS id, REPEAT('x', 200) AS filler FROM seq_1_to_${count}`

describe("results", () => {
  const stock = Effect.flatMap(
    MysqlClient.make({ ...server, maxConnections: 1 }),
    (client) => client.reserve
  ).pipe(Effect.provide(Reactivity.layer))

  const statements: ReadonlyArray<readonly [sql: string, params: ReadonlyArray<unknown>]> = [
    ["SELECT 1 AS one, ? AS text, NULL AS nothing", ["a"]],
    ["SELECT CAST(? AS DECIMAL(10,2)) AS price, CAST(? AS DATE) AS day", ["1.50", "2024-02-29"]],
    ["SELECT 9007199254740993 AS big, TRUE AS yes, X'0102' AS bytes, JSON_OBJECT('a', 1) AS json", []],
    ["SELECT id, v FROM stock_results WHERE id > ? ORDER BY id", [1]],
    ["SELECT id FROM stock_results WHERE id > 100", []],
    ["UPDATE stock_results SET v = CONCAT(v, ?) WHERE id = 2", ["!"]],
    ["DO 1", []]
  ]
  const several = "SELECT 1 AS a; DO 1; SELECT 2 AS b"

  it.scopedLive("of all five ways to execute are those of the stock driver", () =>
    Effect.gen(function*() {
      const ours = yield* open()
      const theirs = yield* stock
      const reset = Effect.zipRight(
        text(ours, "CREATE OR REPLACE TABLE stock_results (id INT PRIMARY KEY, v VARCHAR(20))"),
        text(ours, "INSERT INTO stock_results VALUES (1, 'one'), (2, 'two'), (3, 'three')")
      )
      const ways: ReadonlyArray<
        readonly [
          name: string,
          (connection: Pick<PhysicalConnection, keyof typeof theirs>) => Effect.Effect<unknown, SqlError>
        ]
      > = [
        ...statements.flatMap(([sql, params]) =>
          ([
            ["execute", (_) => _.execute(sql, params, undefined)],
            ["executeRaw", (_) => _.executeRaw(sql, params)],
            ["executeValues", (_) => _.executeValues(sql, params)],
            ["executeUnprepared", (_) => _.executeUnprepared(sql, params, undefined)],
            ["executeStream", (_) =>
              Effect.map(Stream.runCollect(_.executeStream(sql, params, undefined)), Chunk.toArray)]
          ] satisfies typeof ways).map(([name, way]) =>
            [`${name}: ${sql}`, way] as const
          )
        ),
        [several, (_) => _.executeUnprepared(several, [], undefined)],
        ["transformed", (_) => _.execute("SELECT 1 AS a", [], (rows) => [...rows, ...rows])],
        [
          "transformed stream",
          (_) =>
            Stream.runCollect(_.executeStream("SELECT 1 AS a", [], (rows) => [...rows, ...rows])).pipe(
              Effect.map(Chunk.toArray)
            )
        ]
      ]
      for (const [name, way] of ways) {
        yield* reset
        const expected = yield* way(theirs)
        yield* reset
        assert.deepStrictEqual(yield* way(ours), expected, name)
      }
      yield* text(ours, "DROP TABLE stock_results")
    }))

  it.scopedLive("of executeRaw carry what the session tracker tells", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const header = yield* connection.executeRaw("SET time_zone = '+01:00'", [])
      assert.nestedProperty(header, "stateChanges.systemVariables.time_zone")
    }))

  it.scopedLive("that cannot be had fail typed: bad SQL, and a parameter that cannot be bound", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      assert.strictEqual(errno(yield* Effect.flip(rows(connection, "SELEC 1"))), 1064)
      const unbound = yield* Effect.flip(rows(connection, "SELECT ?", [undefined]))
      assert.instanceOf(unbound.cause, TypeError)
      assert.deepInclude(driver.disposition(unbound), { blame: "statement", outcome: "notSent" })
      assert.isTrue(connection.isUsable())
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))
})

describe("connecting", () => {
  it.scopedLive("uses what the URL says before the other settings, and those for what it leaves out", () =>
    Effect.gen(function*() {
      const { database, host, port, username, ...rest } = server
      const connection = yield* open("readWrite", {
        ...rest,
        url: Redacted.make(`mariadb://${host}:${port}/information_schema?timezone=Z`),
        username,
        port: 1,
        database,
        poolConfig: { timezone: "local", dateStrings: true, connectionLimit: 3 }
      })
      const [row] = yield* rows(connection, "SELECT DATABASE() AS db, CAST('2024-01-01' AS DATE) AS day")
      assert.deepStrictEqual(row, { db: "information_schema", day: "2024-01-01" })
    }))

  it.scopedLive("fails with a typed error where the URL is malformed, and does not repeat it", () =>
    Effect.gen(function*() {
      for (const url of ["no url", "postgres://u:secret@h/d", "mysql://u:secret%@h/d", "localhost:3306/secret"]) {
        const error = yield* Effect.flip(open("readWrite", { url: Redacted.make(url) }))
        assert.instanceOf(error.cause, ConfigurationError)
        assert.include(error.message, "replicas.replica1.url")
        assert.notInclude(JSON.stringify(error) + error.message, "secret")
        assert.deepInclude(driver.disposition(error), { blame: "configuration", outcome: "notSent" })
      }
    }))

  it.scopedLive("fails typed where mysql2 does not take an option", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(open("readWrite", { poolConfig: { charset: "nonsense" } }))
      assert.include(String(error.cause), "Unknown charset")
    }))

  it.scopedLive("asks for the password each time", () =>
    Effect.gen(function*() {
      const root = yield* open()
      yield* account(root, "tokens", "IDENTIFIED BY 'one'")
      let token = "one"
      let asked = 0
      const own = {
        username: "tokens",
        database: "information_schema",
        password: Effect.sync(() => {
          asked++
          return Redacted.make(token)
        })
      }
      const first = yield* open("readWrite", own)
      token = "two"
      yield* text(root, "SET PASSWORD FOR tokens@'127.0.0.1' = PASSWORD('two')")
      const second = yield* open("readWrite", own)
      assert.strictEqual(asked, 2)
      assert.notStrictEqual(yield* threadId(first), yield* threadId(second))
    }))

  it.scopedLive("fails, naming the endpoint, when the password cannot be had", () =>
    Effect.gen(function*() {
      for (const password of [Effect.fail(new Error("no token today")), Effect.die("no token today")]) {
        const error = yield* Effect.flip(open("readWrite", { password }))
        assert.include(error.message, "replica1")
        assert.include(error.message, "no token today")
        assert.deepInclude(driver.disposition(error), { blame: "configuration", evidence: "soft", outcome: "notSent" })
      }
    }))

  it.scopedLive("can be interrupted, and leaves no socket behind", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(server)
      yield* proxy.configure({ connect: "ignore" })
      const fiber = yield* Effect.fork(Effect.scoped(open("readWrite", { port: proxy.port })))
      yield* eventually(Effect.map(proxy.state, ({ open }) => open.length === 1))
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(took), 100)
      yield* eventually(Effect.map(proxy.state, ({ open }) => open.length === 0))
    }))

  it.scopedLive("refuses writes of a read-only connection at the server, even root's", () =>
    Effect.gen(function*() {
      const writer = yield* open()
      yield* table(writer, "refused_writes", "id INT PRIMARY KEY")
      const reader = yield* open("readOnly")
      for (const sql of ["INSERT INTO refused_writes VALUES (1)", "CREATE TABLE refused_ddl (id INT)"]) {
        const error = yield* Effect.flip(rows(reader, sql))
        assert.strictEqual(errno(error), 1792)
        assert.deepInclude(driver.disposition(error), { blame: "role", outcome: "refused", readRetry: "primary" })
      }
      assert.isTrue(reader.isUsable())
      yield* text(reader, "START TRANSACTION")
      assert.strictEqual(errno(yield* Effect.flip(rows(reader, "DELETE FROM refused_writes"))), 1792)
    }))

  it.scopedLive("says good-bye when its Scope closes with a success, and not when it closes with a failure", () =>
    Effect.gen(function*() {
      const lastWords = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.gen(function*() {
          const proxy = yield* TcpProxy.make(server)
          let last = ""
          yield* proxy.configure({
            request: ({ bytes }) => {
              last = Buffer.from(bytes).toString("hex")
              return "pass"
            }
          })
          const scope = yield* Scope.make()
          const connection = yield* Scope.extend(open("readWrite", { port: proxy.port }), scope)
          yield* rows(connection, "SELECT 1")
          yield* Scope.close(scope, exit)
          assert.isFalse(connection.isUsable())
          yield* eventually(Effect.map(proxy.state, ({ open }) => open.length === 0))
          return last
        })
      const quit = "0100000001"
      assert.strictEqual(yield* lastWords(Exit.void), quit)
      assert.notStrictEqual(yield* lastWords(Exit.fail("broken")), quit)
    }))
})

describe("interrupting", () => {
  for (const way of ["execute", "executeUnprepared", "executeStream"] as const) {
    it.scopedLive(`a running statement (${way}) stops it at the server, at once`, () =>
      Effect.gen(function*() {
        const observer = yield* open()
        const connection = yield* open()
        const sql = `SELECT SLEEP(20) /* ${way} */`
        const fiber = yield* Effect.fork(
          way === "executeStream"
            ? Stream.runDrain(connection.executeStream(sql, [], undefined))
            : Effect.asVoid(connection[way](sql, [], undefined))
        )
        yield* eventually(Effect.map(running(observer, `${way} */`), (rows) => rows.length === 1))
        const [took, exit] = yield* Effect.timed(Fiber.interrupt(fiber))
        assert.isTrue(Exit.isInterrupted(exit))
        assert.isBelow(Duration.toMillis(took), 300)
        assert.deepStrictEqual(yield* running(observer, `${way} */`), [])
        assert.isFalse(connection.isUsable())
      }))
  }

  it.scopedLive("the running one of two statements never lets the other begin", () =>
    Effect.gen(function*() {
      const observer = yield* open()
      yield* table(observer, "queued_behind", "id INT")
      const connection = yield* open()
      const first = yield* Effect.fork(rows(connection, "SELECT SLEEP(20) /* first of two */"))
      yield* eventually(Effect.map(running(observer, "first of two"), (rows) => rows.length === 1))
      const second = yield* Effect.fork(rows(connection, "INSERT INTO queued_behind VALUES (1)"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      const error = yield* Effect.flip(Fiber.join(second))
      assert.deepInclude(driver.disposition(error), { blame: "connection", evidence: "none", outcome: "notSent" })
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(yield* rows(observer, "SELECT * FROM queued_behind"), [])
    }))

  for (const way of ["execute", "executeStream"] as const) {
    it.scopedLive(`a statement that waits for another (${way}) takes it out of the line, and harms nobody`, () =>
      Effect.gen(function*() {
        const connection = yield* open()
        yield* table(connection, "left_the_line", "id INT")
        const insert = (id: number) => {
          const sql = `INSERT INTO left_the_line VALUES (${id})`
          return way === "execute"
            ? Effect.asVoid(connection.execute(sql, [], undefined))
            : Stream.runDrain(connection.executeStream(sql, [], undefined))
        }
        const fibers = yield* Effect.forEach(
          [rows(connection, "SELECT SLEEP(0.2)"), insert(1), insert(2), insert(3)],
          (statement) => Effect.fork(Effect.asVoid(statement))
        )
        yield* Effect.sleep("50 millis")
        const [took] = yield* Effect.timed(Fiber.interrupt(fibers[2]!))
        assert.isBelow(Duration.toMillis(took), 100)
        yield* Fiber.interrupt(fibers[3]!)
        yield* Fiber.join(fibers[0]!)
        yield* Fiber.join(fibers[1]!)
        assert.isTrue(connection.isUsable())
        assert.deepStrictEqual(yield* rows(connection, "SELECT id FROM left_the_line"), [{ id: 1 }])
      }))
  }

  it.scopedLive("what an answer makes superfluous, before it is sent", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      yield* table(connection, "superfluous", "id INT")
      const insert = rows(connection, "INSERT INTO superfluous VALUES (1)")
      const together = { concurrency: "unbounded" } as const
      const failed = yield* Effect.exit(Effect.all([rows(connection, "SELEC"), insert, insert], together))
      assert.isTrue(Exit.isFailure(failed))
      yield* Effect.race(rows(connection, "SELECT 1"), insert)
      assert.isTrue(connection.isUsable())
      assert.deepStrictEqual(yield* rows(connection, "SELECT id FROM superfluous"), [])
    }))

  it.scopedLive("a statement whose answer has come already changes nothing", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const answered = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Effect.zipRight(Effect.ensuring(rows(connection, "SELECT 1"), Deferred.succeed(answered, void 0)), Effect.never)
      )
      yield* Deferred.await(answered)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(connection.isUsable())
    }))

  it.scopedLive("gives up on the kill after two seconds where the server does not answer", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(server)
      const connection = yield* open("readWrite", { port: proxy.port })
      const fiber = yield* Effect.fork(rows(connection, "SELECT SLEEP(3)"))
      yield* Effect.sleep("100 millis")
      yield* proxy.configure({ connect: "ignore", request: () => "swallow", answer: () => "swallow" })
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isAbove(Duration.toMillis(took), 1900)
      assert.isBelow(Duration.toMillis(took), 2500)
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("never harms another connection, however late the kill arrives", () =>
    Effect.gen(function*() {
      const victim = yield* open()
      const outcomes = yield* Effect.forEach(Array.from({ length: 150 }, (_, i) => i), (i) =>
        Effect.scoped(Effect.gen(function*() {
          const connection = yield* open()
          const fiber = yield* Effect.fork(rows(connection, "SELECT SLEEP(0.004)"))
          yield* Effect.sleep(Duration.millis(i % 8))
          yield* Fiber.interrupt(fiber)
          return yield* Effect.exit(rows(victim, "SELECT SLEEP(0.001) AS slept"))
        })), { concurrency: 4 })
      assert.isTrue(outcomes.every(Exit.isSuccess))
    }))
})

describe("a lost connection", () => {
  it.scopedLive("is unusable, and tells its listener when nobody uses it", () =>
    Effect.gen(function*() {
      const killer = yield* open()
      const connection = yield* open()
      const lost = yield* Deferred.make<unknown>()
      connection.onLost((cause) => Deferred.unsafeDone(lost, Exit.succeed(cause)))
      yield* text(killer, `KILL ${yield* threadId(connection)}`)
      const cause = yield* Effect.timeout(Deferred.await(lost), "1 second")
      assert.instanceOf(cause, Error)
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("fails its statement, whose outcome is unknown, and the next, which was never sent", () =>
    Effect.gen(function*() {
      const killer = yield* open()
      const connection = yield* open()
      let told = 0
      connection.onLost(() => told++)
      const id = yield* threadId(connection)
      const fiber = yield* Effect.fork(rows(connection, "SELECT SLEEP(20) /* lost */"))
      yield* eventually(Effect.map(running(killer, "/* lost */"), (rows) => rows.length === 1))
      yield* text(killer, `KILL ${id}`)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepInclude(driver.disposition(error), { connection: "destroy", outcome: "unknown" })
      assert.isFalse(connection.isUsable())
      for (
        const next of [
          rows(connection, "SELECT 1"),
          Effect.scoped(Stream.runDrain(connection.executeStream("SELECT 1", [], undefined)))
        ]
      ) {
        assert.deepInclude(driver.disposition(yield* Effect.flip(Effect.asVoid(next))), {
          connection: "destroy",
          outcome: "notSent",
          readRetry: "sameEndpoint"
        })
      }
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.ping)))
      assert.strictEqual(told, 0)
    }))

  it.scopedLive("fails its stream, where the stock driver's waits for ever", () =>
    Effect.gen(function*() {
      const killer = yield* open()
      const connection = yield* open()
      const id = yield* threadId(connection)
      const begun = yield* Deferred.make<void>()
      const killed = yield* Deferred.make<void>()
      const fiber = yield* connection.executeStream(manyRows(100_000), [], undefined).pipe(
        Stream.tap(() => Effect.zipRight(Deferred.succeed(begun, void 0), Deferred.await(killed))),
        Stream.runDrain,
        Effect.fork
      )
      yield* Deferred.await(begun)
      yield* text(killer, `KILL ${id}`)
      yield* Deferred.succeed(killed, void 0)
      const error = yield* Effect.flip(Effect.timeout(Fiber.join(fiber), "10 seconds"))
      assert.instanceOf(error, SqlError)
      assert.isFalse(connection.isUsable())
    }))
})

describe("inTransaction", () => {
  it.scopedLive("follows the status that the server sends with each answer", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      yield* table(connection, "in_transaction", "id INT PRIMARY KEY")
      const after = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.map(Effect.exit(effect), () => connection.inTransaction())
      assert.isFalse(connection.inTransaction())
      assert.isTrue(yield* after(text(connection, "START TRANSACTION")))
      assert.isTrue(yield* after(rows(connection, "INSERT INTO in_transaction VALUES (1)")))
      assert.isTrue(yield* after(rows(connection, "SELECT 1")))
      assert.isFalse(yield* after(connection.executeRaw("COMMIT", [])))
      assert.isTrue(yield* after(text(connection, "SELECT 1; START TRANSACTION READ ONLY; SELECT 2")))
      assert.isFalse(yield* after(text(connection, "SELECT 1; ROLLBACK; SELECT 2")))
      assert.isTrue(yield* after(Stream.runDrain(connection.executeStream("START TRANSACTION", [], undefined))))
      assert.isFalse(yield* after(text(connection, "ROLLBACK")))
    }))

  it.scopedLive("does not claim to know after an error, or without autocommit", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      yield* Effect.exit(text(connection, "START TRANSACTION; SELEC"))
      assert.isUndefined(connection.inTransaction())
      yield* text(connection, "ROLLBACK")
      assert.isFalse(connection.inTransaction())
      yield* text(connection, "SET autocommit = 0")
      yield* rows(connection, "SELECT * FROM information_schema.ENGINES")
      assert.isUndefined(connection.inTransaction())
      yield* text(connection, "ROLLBACK; SELECT * FROM information_schema.ENGINES")
      assert.isUndefined(connection.inTransaction())
    }))

  for (const autocommit of [1, 0]) {
    for (const way of ["execute", "executeStream"] as const) {
      it.scopedLive(`is false after a deadlock (${way}, autocommit = ${autocommit}), and whoever waits is refused`, () =>
        Effect.gen(function*() {
          const observer = yield* open()
          const name = `deadlock_${way}_${autocommit}`
          yield* table(observer, name, "id INT PRIMARY KEY, v INT")
          const winner = yield* open()
          const loser = yield* open()
          yield* deadlock(winner, loser, name, autocommit)
          const update = `UPDATE ${name} SET v = 1 WHERE id = 1`
          const [lost, refused] = yield* Effect.all([
            way === "execute"
              ? Effect.flip(rows(loser, update))
              : Effect.flip(Stream.runDrain(loser.executeStream(update, [], undefined))),
            // A stream takes a turn of the scheduler to begin.
            Effect.flip(Effect.zipRight(Effect.yieldNow(), rows(loser, `INSERT INTO ${name} VALUES (109, 9)`)))
          ], { concurrency: "unbounded" })
          assert.strictEqual(errno(lost), 1213)
          assert.instanceOf(refused.cause, TransactionClosed)
          assert.isFalse(loser.inTransaction())
          assert.isTrue(loser.isUsable())
          yield* text(winner, "ROLLBACK")
          assert.deepStrictEqual(yield* rows(observer, `SELECT * FROM ${name} WHERE v <> 0`), [])
        }))
    }
  }

  it.scopedLive("is false after a changed snapshot", () =>
    Effect.gen(function*() {
      const writer = yield* open()
      yield* table(writer, "changed_snapshot", "id INT PRIMARY KEY, v INT")
      const reader = yield* open()
      yield* text(writer, "INSERT INTO changed_snapshot VALUES (1, 0)")
      yield* text(reader, "SET innodb_snapshot_isolation = ON; START TRANSACTION")
      yield* rows(reader, "SELECT * FROM changed_snapshot")
      yield* rows(writer, "UPDATE changed_snapshot SET v = 1")
      const error = yield* Effect.flip(rows(reader, "UPDATE changed_snapshot SET v = 2"))
      assert.strictEqual(errno(error), 1020)
      assert.isFalse(reader.inTransaction())
    }))

  it.scopedLive("a deadlock outside of a transaction refuses nobody", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const raise = text(connection, "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")
      const [, one] = yield* Effect.all([Effect.flip(raise), rows(connection, "SELECT 1 AS one")], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(one, [{ one: 1 }])
      yield* text(connection, "START TRANSACTION")
      yield* Effect.flip(raise)
      assert.isTrue(connection.inTransaction())
    }))

  it.scopedLive("knows COMMIT through the prepared protocol, for which servers list it", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      yield* table(connection, "commit_prepared", "id INT PRIMARY KEY")
      yield* text(connection, "START TRANSACTION")
      yield* rows(connection, "INSERT INTO commit_prepared VALUES (1)")
      yield* connection.executeRaw(driver.texts.commit, [])
      const other = yield* open()
      assert.deepStrictEqual(yield* rows(other, "SELECT id FROM commit_prepared"), [{ id: 1 }])
    }))
})

describe("streams", () => {
  it.scopedLive("deliver every row in order, in chunks", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const chunks = yield* connection.executeStream(manyRows(20_000), [], undefined).pipe(
        Stream.chunks,
        Stream.runCollect
      )
      const ids = Chunk.toArray(Chunk.flatten(chunks)).map((row) => row.id)
      assert.deepStrictEqual(ids, Array.from({ length: 20_000 }, (_, i) => i + 1))
      assert.isBelow(chunks.length, 1000)
      assert.isTrue(connection.isUsable())
    }))

  it.scopedLive("hold back the server while nobody takes rows", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const observer = yield* open()
      const id = yield* threadId(connection)
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      let seen = 0
      const fiber = yield* connection.executeStream(manyRows(100_000), [], undefined).pipe(
        Stream.tap(() =>
          Effect.suspend(() => {
            seen++
            return seen === 1 ? Effect.zipRight(Deferred.succeed(begun, void 0), Deferred.await(go)) : Effect.void
          })
        ),
        Stream.runDrain,
        Effect.fork
      )
      yield* Deferred.await(begun)
      yield* Effect.sleep("500 millis")
      // 20 MB cannot have left the server: it still sends.
      const [process] = yield* rows(
        observer,
        "SELECT STATE AS state FROM information_schema.PROCESSLIST WHERE ID = ?",
        [id]
      )
      assert.include(process.state, "Writing to net")
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.join(fiber)
      assert.strictEqual(seen, 100_000)
    }))

  it.scopedLive("that end early leave a usable connection where little is left to read", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      for (const count of [1, 2, 5000]) {
        const head = yield* Stream.runHead(connection.executeStream(manyRows(count), [], undefined))
        assert.strictEqual(Option.getOrThrow(head).id, 1)
        assert.isTrue(connection.isUsable())
        assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
      }
    }))

  it.scopedLive("that end early stop the server and end the connection where much is left", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const observer = yield* open()
      const slow = "SELECT seq, SLEEP(IF(seq > 1000, 0.05, 0)), REPEAT('x', 1000) AS early_end FROM seq_1_to_2000"
      const [took] = yield* Effect.timed(Stream.runHead(connection.executeStream(slow, [], undefined)))
      assert.isBelow(Duration.toMillis(took), 1000)
      assert.isFalse(connection.isUsable())
      yield* eventually(Effect.map(running(observer, "early_end"), (rows) => rows.length === 0))
    }))

  it.scopedLive("whose consumer fails give the failure, and read on or end likewise", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const error = yield* connection.executeStream(manyRows(5000), [], undefined).pipe(
        Stream.mapEffect(() => Effect.fail("enough")),
        Stream.runDrain,
        Effect.flip
      )
      assert.strictEqual(error, "enough")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("let statements run on their connection between rows", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const sum = yield* connection.executeStream(manyRows(20_000), [], undefined).pipe(
        Stream.mapEffect((row) =>
          row.id % 1000 === 0
            ? Effect.map(rows(connection, "SELECT ? AS id", [row.id]), (rows) => rows[0].id)
            : Effect.succeed(0)
        ),
        Stream.runSum,
        Effect.timeout("10 seconds")
      )
      assert.strictEqual(sum, 210_000)
    }))

  it.scopedLive("of one connection may be read together", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const stream = connection.executeStream(manyRows(5000), [], undefined)
      const pairs = yield* Stream.zip(stream, stream).pipe(Stream.runCount, Effect.timeout("10 seconds"))
      assert.strictEqual(pairs, 5000)
    }))

  it.scopedLive("fail with the server's error, after the rows that came before it", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      let seen = 0
      const error = yield* connection.executeStream("SELECT 1 AS one; SELEC", [], undefined).pipe(
        Stream.runForEach(() => Effect.sync(() => seen++)),
        Effect.flip
      )
      assert.strictEqual(errno(error), 1064)
      assert.strictEqual(seen, 1)
      assert.isTrue(connection.isUsable())
    }))
})

describe("dispositions of a real server", () => {
  const judged = (effect: Effect.Effect<unknown, SqlError>) =>
    Effect.map(Effect.flip(effect), (error) => [errno(error), driver.disposition(error)] as const)

  it.scopedLive("statement: duplicate key, syntax, unknown table, unknown database", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      yield* table(connection, "judged_keys", "id INT PRIMARY KEY")
      yield* rows(connection, "INSERT INTO judged_keys VALUES (1)")
      for (
        const [sql, number, outcome] of [
          ["INSERT INTO judged_keys VALUES (1)", 1062, "rolledBack"],
          ["SELEC", 1064, "refused"],
          ["SELECT * FROM judged_nothing", 1146, "refused"],
          ["SELECT nothing FROM judged_keys", 1054, "refused"],
          ["CREATE TABLE judged_nothing.t (id INT)", 1049, "refused"],
          ["SELECT SLEEP(2) FROM (SELECT 1) AS t WHERE 0 = (SELECT 1 UNION SELECT 2)", 1242, "rolledBack"]
        ] as const
      ) {
        const [actual, disposition] = yield* judged(text(connection, sql))
        assert.strictEqual(actual, number, sql)
        assert.deepInclude(disposition, { blame: "statement", connection: "keep", evidence: "none", outcome }, sql)
      }
      assert.isTrue(connection.isUsable())
    }))

  /** What a pool makes of a connection that cannot be opened. */
  const opened = (own: Partial<MysqlEndpointConfig>) =>
    Effect.scoped(Effect.asVoid(open("readWrite", own))).pipe(
      Effect.tapError((error) => Effect.sync(() => assert.strictEqual(error.message, "Failed to connect"))),
      Effect.mapError((cause) => toSqlError(new EndpointUnavailable({ database: "main", endpoint: "replica1", cause })))
    )

  it.scopedLive("configuration: unknown database, wrong password", () =>
    Effect.gen(function*() {
      for (
        const own of [
          { database: "judged_nothing" },
          { username: "judged_nobody", password: Redacted.make("x") }
        ]
      ) {
        const [, disposition] = yield* judged(opened(own))
        assert.deepInclude(disposition, { blame: "configuration", evidence: "hard", outcome: "notSent" })
      }
    }))

  it.scopedLive("endpoint: nobody listens, or it hangs up in the middle of the handshake", () =>
    Effect.gen(function*() {
      const [, refused] = yield* judged(opened({ port: 1 }))
      assert.deepInclude(refused, { blame: "endpoint", evidence: "hard", outcome: "notSent", readRetry: "elsewhere" })
      const proxy = yield* TcpProxy.make(server)
      yield* proxy.configure({ answer: () => "cutBefore" })
      const [, hungUp] = yield* judged(opened({ port: proxy.port }))
      assert.deepInclude(hungUp, { blame: "endpoint", evidence: "soft", outcome: "notSent", readRetry: "elsewhere" })
    }))

  it.scopedLive("transaction: deadlock", () =>
    Effect.gen(function*() {
      const a = yield* open()
      const b = yield* open()
      yield* table(a, "judged_deadlock", "id INT PRIMARY KEY, v INT")
      yield* rows(a, "INSERT INTO judged_deadlock VALUES (1, 0), (2, 0)")
      yield* text(a, "START TRANSACTION")
      yield* text(b, "START TRANSACTION")
      yield* rows(a, "UPDATE judged_deadlock SET v = 1 WHERE id = 1")
      yield* rows(b, "UPDATE judged_deadlock SET v = 1 WHERE id = 2")
      const waiting = yield* Effect.fork(Effect.either(rows(a, "UPDATE judged_deadlock SET v = 1 WHERE id = 2")))
      yield* Effect.sleep("100 millis")
      const second = yield* Effect.either(rows(b, "UPDATE judged_deadlock SET v = 1 WHERE id = 1"))
      const first = yield* Fiber.join(waiting)
      const error = first._tag === "Left" ? first.left : second._tag === "Left" ? second.left : undefined
      assert.isDefined(error)
      assert.strictEqual(errno(error!), 1213)
      assert.deepInclude(driver.disposition(error!), {
        blame: "transaction",
        outcome: "rolledBack",
        connection: "keep"
      })
      yield* text(a, "ROLLBACK")
      yield* text(b, "ROLLBACK")
    }))

  it.scopedLive("transaction: lock wait timeout, which leaves the transaction open", () =>
    Effect.gen(function*() {
      const a = yield* open()
      const b = yield* open()
      yield* table(a, "judged_lock", "id INT PRIMARY KEY")
      yield* rows(a, "INSERT INTO judged_lock VALUES (1), (2)")
      yield* text(b, "SET SESSION innodb_lock_wait_timeout = 1")
      yield* text(a, "START TRANSACTION")
      yield* rows(a, "DELETE FROM judged_lock WHERE id = 1")
      yield* text(b, "START TRANSACTION")
      yield* rows(b, "DELETE FROM judged_lock WHERE id = 2")
      const [number, disposition] = yield* judged(rows(b, "DELETE FROM judged_lock WHERE id = 1"))
      assert.strictEqual(number, 1205)
      assert.deepInclude(disposition, { blame: "transaction", outcome: "rolledBack", readRetry: "sameEndpoint" })
      assert.isTrue(b.inTransaction())
      yield* text(b, "ROLLBACK")
      yield* text(a, "ROLLBACK")
    }))

  it.scopedLive("statement: time limit, and killed by somebody else", () =>
    Effect.gen(function*() {
      const connection = yield* open()
      const killer = yield* open()
      const limited = yield* judged(text(connection, "SET STATEMENT max_statement_time = 0.1 FOR SELECT SLEEP(5)"))
      assert.strictEqual(limited[0], 1969)
      assert.deepInclude(limited[1], { blame: "statement", evidence: "soft", outcome: "rolledBack" })
      const id = yield* threadId(connection)
      const fiber = yield* Effect.fork(judged(rows(connection, "SELECT SLEEP(20) /* judged kill */")))
      yield* eventually(Effect.map(running(killer, "judged kill"), (rows) => rows.length === 1))
      yield* text(killer, `KILL QUERY ${id}`)
      const [number, disposition] = yield* Fiber.join(fiber)
      assert.strictEqual(number, 1317)
      assert.deepInclude(disposition, { blame: "statement", evidence: "none", readRetry: "none" })
      assert.isTrue(connection.isUsable())
    }))

  it.scopedLive("role: a server that is read-only, to whom it may refuse", () =>
    Effect.gen(function*() {
      const root = yield* open()
      yield* account(root, "ordinary", "")
      yield* text(root, `GRANT ALL ON ${server.database}.* TO ordinary@'127.0.0.1'`)
      yield* table(root, "judged_role", "id INT")
      yield* caughtUp("mariadb")
      const { port } = cluster.replicas[0]
      const replicaRoot = yield* open("readWrite", { port })
      // Root and replication are exempt, so nobody else notices.
      yield* Effect.acquireRelease(
        text(replicaRoot, "SET GLOBAL read_only = ON"),
        () => Effect.ignore(text(replicaRoot, "SET GLOBAL read_only = OFF"))
      )
      const replica = yield* open("readWrite", { port, username: "ordinary" })
      const [number, disposition] = yield* judged(rows(replica, "INSERT INTO judged_role VALUES (1)"))
      assert.strictEqual(number, 1290)
      assert.deepInclude(disposition, { blame: "role", outcome: "refused", readRetry: "primary", connection: "keep" })
    }))

  it.scopedLive("capacity: too many connections of one user", () =>
    Effect.gen(function*() {
      const root = yield* open()
      yield* account(root, "crowded", "WITH MAX_USER_CONNECTIONS 1")
      const own = { username: "crowded", database: "information_schema" }
      yield* open("readWrite", own)
      const [, disposition] = yield* judged(opened(own))
      assert.deepInclude(disposition, { blame: "capacity", evidence: "hard", readRetry: "elsewhere" })
    }))
})

describe("attributes and pool settings", () => {
  it("say where statements go and what the pool's bounds are", () => {
    const url = Redacted.make("mysql://app@[::1]:3307/shop?connectionLimit=4")
    const config: MysqlEndpointConfig = { url, connectionTTL: "1 minute", poolConfig: { connectTimeout: 1500 } }
    const driver = Driver.make({ ...config, spanAttributes: { team: "a" } })
    assert.deepStrictEqual(driver.spanAttributes, [["team", "a"], ["db.system.name", "mysql"], [
      "db.namespace",
      "shop"
    ]])
    assert.deepStrictEqual(driver.serverAttributes(config), [["server.address", "::1"], ["server.port", 3307]])
    assert.deepStrictEqual(driver.serverAttributes({}), [["server.address", "localhost"], ["server.port", 3306]])
    assert.deepStrictEqual(driver.pool(endpoint(config), "readWrite"), {
      max: 4,
      idleTimeout: "1 minute",
      connectTimeout: 1500,
      maxWaiters: undefined
    })
    assert.strictEqual(driver.pool(endpoint({ ...config, maxConnections: 7 }), "readWrite").max, 7)
  })
})
