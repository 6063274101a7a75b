import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Duration, Effect, Exit, Fiber, Redacted, Scope, Stream } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { pipeline } from "node:stream"
import * as Tls from "node:tls"
import type { PhysicalConnection } from "../../src/Driver.js"
import * as TcpProxy from "../../src/testing/TcpProxy.js"
import { postgres } from "../servers/index.js"
import {
  backendPid,
  connect,
  connectThrough,
  driver,
  eventually,
  isIdle,
  kill,
  primaryUrl,
  rows,
  silence,
  stateOf
} from "./support.js"

const transformRows = Statement.defaultTransforms((name) => name.toUpperCase()).array

const stock = Effect.flatMap(PgClient.make({ url: primaryUrl }), (client) => client.reserve).pipe(
  Effect.provide(Reactivity.layer)
)

const code = (error: SqlError): unknown => (error.cause as { readonly code?: string }).code

const manyRows = "SELECT i, repeat('x', 10) AS text FROM generate_series(1, 1000) AS i"

describe("a physical connection answers as the stock one", () => {
  const same = (name: string, run: (connection: Connection) => Effect.Effect<unknown, SqlError>) =>
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const ours = yield* Effect.exit(run(yield* connect()))
        const theirs = yield* Effect.exit(run(yield* stock))
        // Positions and lengths of errors are compared as well: they come from the server.
        assert.deepStrictEqual(plain(ours), plain(theirs))
      }))

  const plain = (exit: Exit.Exit<unknown, SqlError>): unknown =>
    Exit.match(exit, {
      onSuccess: (value) => ({ value: JSON.parse(JSON.stringify(value) ?? "null") }),
      onFailure: (cause) => {
        const error = Cause.failureOption(cause).pipe((option) => option._tag === "Some" ? option.value : undefined)
        return { message: error?.message, cause: { ...(error?.cause as object) } }
      }
    })

  const select = "SELECT $1::int AS one_value, $2::text AS \"other\", NULL AS nothing, now() > '2000-01-01' AS flag"
  const params = [1, "two"]

  same("execute", (_) => _.execute(select, params, undefined))
  same("execute with transformed names", (_) => _.execute(select, params, transformRows))
  same("executeUnprepared", (_) => _.executeUnprepared(select, params, transformRows))
  same("executeValues", (_) => _.executeValues(select, params))
  same("executeRaw", (_) => _.executeRaw(select, params))
  same(
    "executeStream",
    (_) => Effect.map(Stream.runCollect(_.executeStream(select, params, transformRows)), Chunk.toArray)
  )
  same(
    "a stream of more rows than one fetch",
    (_) => Effect.map(Stream.runCollect(_.executeStream(manyRows, [], undefined)), Chunk.toArray)
  )
  same(
    "a stream of exactly one fetch",
    (_) =>
      Effect.map(Stream.runCollect(_.executeStream("SELECT generate_series(1, 128)", [], undefined)), Chunk.toArray)
  )
  same(
    "a stream of nothing",
    (_) => Effect.map(Stream.runCollect(_.executeStream("SELECT 1 WHERE false", [], undefined)), Chunk.toArray)
  )
  same("several statements", (_) => _.execute("SELECT 1 AS a; SELECT 2 AS b, 3 AS c", [], undefined))
  same("several statements, raw", (_) => _.executeRaw("SELECT 1 AS a; SELECT 2 AS b, 3 AS c", []))
  same("no rows", (_) => _.execute("SELECT 1 WHERE false", [], undefined))
  same("a command", (_) => _.executeRaw("CREATE TEMPORARY TABLE t (id int)", []))
  same("an empty statement", (_) => _.execute("", [], undefined))
  same("values of every usual type", (_) =>
    _.execute(
      "SELECT $1::jsonb AS json, $2::timestamptz AS time, $3::bytea AS bytes, $4::int[] AS list, $5::numeric AS n",
      [{ a: [1] }, new Date(0), Buffer.from("ab"), [1, 2], "1.50"],
      undefined
    ))
  same("an error", (_) => _.execute("SELECT nothing", [], undefined))
  same(
    "an error of a stream",
    (_) => Stream.runDrain(_.executeStream("SELECT 1 / (i - 300) FROM generate_series(1, 500) AS i", [], undefined))
  )
  same("a parameter that cannot be written", (_) => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    return Effect.mapError(
      _.execute("SELECT $1::jsonb", [circular], undefined),
      (error) => ({ ...error, cause: {} }) as SqlError
    )
  })

  it.scopedLive("types are parsed as the endpoint's configuration says", () =>
    Effect.gen(function*() {
      const connection = yield* connect({
        types: { getTypeParser: ((oid: number) => (text: string) => `${oid}:${text}`) as never }
      })
      const [row] = yield* rows(connection, "SELECT 7::int AS seven")
      const [streamed] = Chunk.toArray(
        yield* Stream.runCollect(connection.executeStream("SELECT 7::int AS seven", [], undefined))
      )
      assert.deepStrictEqual(row, { seven: "23:7" })
      assert.deepStrictEqual(streamed, { seven: "23:7" })
    }))
})

describe("interruption", () => {
  it.scopedLive("cancels a running statement on the server within 200 ms, and ends the connection's use", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(rows(connection, "SELECT pg_sleep(30)"))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      const [duration] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(duration), 200)
      assert.notStrictEqual(yield* stateOf(admin, pid), "active")
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("leaves the session alive, for a transaction to be rolled back to a savepoint", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "BEGIN")
      yield* rows(connection, "SAVEPOINT here")
      yield* Effect.timeoutOption(rows(connection, "SELECT pg_sleep(30)"), "50 millis")
      yield* rows(connection, "ROLLBACK TO SAVEPOINT here")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("of a statement that waits for another sends nothing, and cancels nothing", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const first = yield* Effect.fork(rows(connection, "SELECT pg_sleep(0.2), 'first' AS name"))
      yield* Effect.sleep("50 millis")
      const second = yield* Effect.fork(rows(connection, "CREATE TABLE never_made (id int)"))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(second)
      assert.strictEqual((yield* Fiber.join(first))[0].name, "first")
      assert.isTrue(connection.isUsable())
      assert.deepStrictEqual(yield* rows(connection, "SELECT to_regclass('never_made')::text AS name"), [{
        name: null
      }])
    }))

  it.scopedLive("of 200 statements never hits another connection's statement", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const bystanders = yield* Effect.forEach(Array.from({ length: 4 }), () => connect())
      const done = yield* Deferred.make<void>()
      const busy = yield* Effect.forkIn(
        Effect.forEach(bystanders, (connection) =>
          rows(connection, "SELECT pg_sleep(0.002)").pipe(
            Effect.repeat({ until: () => Deferred.isDone(done) })
          ), { concurrency: "unbounded", discard: true }),
        scope
      )
      let interrupted = 0
      yield* Effect.forEach(Array.from({ length: 200 }), (_, i) =>
        Effect.scoped(Effect.gen(function*() {
          const connection = yield* connect()
          const exit = yield* Effect.exit(
            Effect.timeout(rows(connection, "SELECT pg_sleep(10)"), Duration.millis(i % 5))
          )
          assert.isTrue(Exit.isFailure(exit))
          interrupted++
        })), { concurrency: 8, discard: true })
      yield* Deferred.succeed(done, void 0)
      yield* Fiber.join(busy)
      assert.strictEqual(interrupted, 200)
      assert.isTrue(bystanders.every((connection) => connection.isUsable()))
    }), 60_000)

  it.scopedLive("of a server that does not answer destroys the connection after a second", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const proxy = yield* TcpProxy.make(postgres().primary)
      const connection = yield* connectThrough(proxy)
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(rows(connection, "SELECT pg_sleep(30)"))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      yield* silence(proxy)
      const [duration] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isAtLeast(Duration.toMillis(duration), 900)
      assert.isBelow(Duration.toMillis(duration), 1500)
      const error = yield* Effect.flip(rows(connection, "SELECT 1"))
      assert.strictEqual(driver.disposition(error).outcome, "notSent")
      yield* kill(admin, pid)
    }))

  it.scopedLive("of a connect ends the socket", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      yield* silence(proxy)
      const fiber = yield* Effect.fork(Effect.scoped(connectThrough(proxy)))
      yield* eventually(Effect.map(proxy.state, ({ open }) => open.length === 1))
      yield* Fiber.interrupt(fiber)
      yield* eventually(isIdle(proxy))
    }))
})

describe("streams", () => {
  const stream = (connection: PhysicalConnection, sql: string, params: ReadonlyArray<unknown> = []) =>
    connection.executeStream(sql, params, undefined)
  const endless = "SELECT generate_series(1, 1000000000) AS i"

  it.scopedLive("fetch no more than what is consumed", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "CREATE TEMPORARY SEQUENCE fetched")
      const sql = "SELECT nextval('fetched') FROM generate_series(1, 10000)"
      yield* Stream.runDrain(Stream.take(stream(connection, sql), 200))
      assert.deepStrictEqual(yield* rows(connection, "SELECT last_value::int FROM fetched"), [{ last_value: 256 }])
    }))

  it.scopedLive("that end early leave the connection as it was", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* Stream.runDrain(Stream.take(stream(connection, endless), 1))
      assert.isTrue(connection.isUsable())
      assert.isFalse(connection.inTransaction())
      assert.deepStrictEqual(yield* rows(connection, "SELECT count(*)::int AS n FROM pg_cursors"), [{ n: 0 }])
    }))

  it.scopedLive("that end early inside a transaction close their cursor", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "BEGIN")
      yield* Stream.runDrain(Stream.take(stream(connection, endless), 1))
      yield* Stream.runDrain(stream(connection, manyRows))
      assert.deepStrictEqual(yield* rows(connection, "SELECT count(*)::int AS n FROM pg_cursors"), [{ n: 0 }])
      yield* rows(connection, "COMMIT")
    }))

  it.scopedLive("inside a transaction let statements run between their rows", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "BEGIN")
      yield* rows(connection, "CREATE TEMPORARY TABLE squares (n int) ON COMMIT DROP")
      yield* Stream.runForEach(stream(connection, "SELECT i FROM generate_series(1, 300) AS i"), ({ i }) =>
        rows(connection, "INSERT INTO squares VALUES ($1)", [i * i]))
      assert.deepStrictEqual(yield* rows(connection, "SELECT max(n) AS n, count(*)::int AS count FROM squares"), [
        { n: 90_000, count: 300 }
      ])
      yield* rows(connection, "COMMIT")
    }))

  it.scopedLive("inside a transaction may run side by side", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "BEGIN")
      const [left, right] = yield* Effect.all([
        Stream.runCount(stream(connection, manyRows)),
        Stream.runCount(stream(connection, manyRows))
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([left, right], [1000, 1000])
      yield* rows(connection, "COMMIT")
    }))

  it.scopedLive("outside a transaction make statements wait for their end", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const [count, [row]] = yield* Effect.all([
        Stream.runCount(stream(connection, manyRows)),
        rows(connection, "SELECT 1 AS one")
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([count, row], [1000, { one: 1 }])
    }))

  it.scopedLive("that are interrupted while they fetch cancel on the server", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(Stream.runDrain(stream(connection, "SELECT 1, pg_sleep(30)")))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      const [duration] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(duration), 200)
      // The server counts a cursor as active until the Sync that follows its error.
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state !== "active"))
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("that are interrupted between two fetches close their cursor", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const reached = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Stream.runForEach(stream(connection, endless), () =>
          Effect.zipRight(Deferred.succeed(reached, void 0), Effect.never))
      )
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(connection.isUsable())
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("fail, and end, when the connection is lost between two fetches", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      const pid = yield* backendPid(connection)
      const exit = yield* Effect.exit(Stream.runForEach(Stream.rechunk(stream(connection, manyRows), 1), ({ i }) =>
        i === 1
          ? Effect.zipRight(
            kill(admin, pid),
            eventually(Effect.sync(() => !connection.isUsable()))
          )
          : Effect.void))
      assert.isTrue(Exit.isFailure(exit))
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("go on with the next statement after an error in their middle", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const failing = stream(connection, "SELECT 1 / (i - 300) FROM generate_series(1, 500) AS i")
      assert.strictEqual(code(yield* Effect.flip(Stream.runDrain(failing))), "22012")
      assert.strictEqual(code(yield* Effect.flip(Stream.runDrain(stream(connection, "SELECT nothing")))), "42703")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
      yield* rows(connection, "BEGIN")
      assert.strictEqual(code(yield* Effect.flip(Stream.runDrain(failing))), "22012")
      yield* rows(connection, "ROLLBACK")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("tell what their commit failed with", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "CREATE TEMPORARY TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
      const insert = stream(connection, "INSERT INTO once VALUES (1), (1) RETURNING n")
      assert.strictEqual(code(yield* Effect.flip(Stream.runDrain(insert))), "23505")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("fail with a parameter that cannot be written, having sent nothing", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      const error = yield* Effect.flip(Stream.runDrain(stream(connection, "SELECT $1::jsonb", [circular])))
      assert.instanceOf(error.cause, TypeError)
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.scopedLive("fail with a row that cannot be read", () =>
    Effect.gen(function*() {
      const types = {
        getTypeParser: () => () => {
          throw new Error("unreadable")
        }
      }
      const connection = yield* connect({ types })
      const error = yield* Effect.flip(Stream.runDrain(stream(connection, endless)))
      assert.strictEqual((error.cause as Error).message, "unreadable")
      assert.deepStrictEqual(yield* Effect.map(connection.executeRaw("BEGIN", []), () => connection.isUsable()), true)
    }))

  it.scopedLive("of COPY fail without harm", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "CREATE TEMPORARY TABLE t (n int)")
      assert.strictEqual(code(yield* Effect.flip(Stream.runDrain(stream(connection, "COPY t FROM STDIN")))), "57014")
      assert.deepStrictEqual(yield* rows(connection, "SELECT 1 AS one"), [{ one: 1 }])
    }))
})

describe("a connection", () => {
  it.scopedLive("opened readOnly refuses writes at the server", () =>
    Effect.gen(function*() {
      const connection = yield* connect({}, "readOnly")
      const error = yield* Effect.flip(rows(connection, "CREATE TABLE never_made (id int)"))
      assert.strictEqual(code(error), "25006")
      assert.strictEqual(driver.disposition(error).readRetry, "primary")
    }))

  it.scopedLive("opened readOnly keeps the options of its URL", () =>
    Effect.gen(function*() {
      const url = Redacted.make(`${Redacted.value(primaryUrl)}?options=-c%20work_mem%3D12345kB`)
      const connection = yield* connect({ url }, "readOnly")
      assert.deepStrictEqual(
        yield* rows(
          connection,
          "SELECT current_setting('work_mem') AS memory, current_setting('transaction_read_only') AS ro"
        ),
        [{ memory: "12345kB", ro: "on" }]
      )
    }))

  it.scopedLive("names its application", () =>
    Effect.gen(function*() {
      const name = (connection: PhysicalConnection) =>
        Effect.map(rows(connection, "SHOW application_name"), (rows) => rows[0].application_name)
      assert.strictEqual(yield* name(yield* connect()), "effect-sql-router")
      assert.strictEqual(yield* name(yield* connect({ applicationName: "billing" })), "billing")
    }))

  it.scopedLive("whose server ended it is unusable, and says so once", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      const losses: Array<unknown> = []
      connection.onLost((cause) => losses.push(cause))
      assert.isTrue(connection.isUsable())
      yield* kill(admin, yield* backendPid(connection))
      yield* eventually(Effect.sync(() => losses.length > 0))
      assert.isFalse(connection.isUsable())
      assert.strictEqual((losses[0] as { readonly code?: string }).code, "57P01")
      yield* Effect.sleep("20 millis")
      assert.lengthOf(losses, 1)
    }))

  it.scopedLive("whose server ended it under a statement is unusable as soon as that has failed", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(Effect.flip(rows(connection, "SELECT pg_sleep(30)")))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      yield* kill(admin, pid)
      assert.strictEqual(code(yield* Fiber.join(fiber)), "57P01")
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("fails what waits in line when it is lost", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      const connection = yield* connectThrough(proxy)
      const sleep = Effect.flip(rows(connection, "SELECT pg_sleep(30)"))
      const fibers = yield* Effect.fork(Effect.all([sleep, sleep, sleep], { concurrency: "unbounded" }))
      yield* Effect.sleep("100 millis")
      yield* proxy.reset()
      const [first, ...others] = yield* Fiber.join(fibers)
      assert.strictEqual(driver.disposition(first!).outcome, "unknown")
      assert.deepStrictEqual(others.map((error) => driver.disposition(error).outcome), ["notSent", "notSent"])
    }))

  it.scopedLive("runs statements of many fibers one after another", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const answers = yield* Effect.forEach(Array.from({ length: 20 }, (_, i) => i), (i) =>
        rows(connection, i % 5 === 3 ? "SELECT nothing" : "SELECT $1::int AS i", i % 5 === 3 ? [] : [i]).pipe(
          Effect.match({
            onFailure: code,
            onSuccess: ([row]) =>
              row.i
          })
        ), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers,
        Array.from({ length: 20 }, (_, i) =>
          i % 5 === 3 ? "42703" : i)
      )
    }))

  it.scopedLive("knows whether it is in a transaction", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      assert.isFalse(connection.inTransaction())
      yield* rows(connection, "BEGIN")
      assert.isTrue(connection.inTransaction())
      yield* Effect.flip(rows(connection, "SELECT nothing"))
      assert.isTrue(connection.inTransaction())
      const raw = yield* connection.executeRaw("COMMIT", [])
      assert.isTrue(driver.commitWasRollback!(raw))
      assert.isFalse(connection.inTransaction())
      assert.isFalse(driver.commitWasRollback!(yield* connection.executeRaw("BEGIN; COMMIT", [])))
    }))

  it.scopedLive("answers a ping, until it is lost", () =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const connection = yield* connect()
      yield* connection.ping
      yield* kill(admin, yield* backendPid(connection))
      yield* Effect.flip(connection.ping)
    }))

  it.scopedLive("says good-bye when its Scope closes with a success, and nothing when with a failure", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      let last = ""
      yield* proxy.configure({
        request: ({ text }) => {
          last = text
          return "pass"
        }
      })
      const lastWord = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          yield* Effect.flatMap(Scope.extend(connectThrough(proxy), scope), (connection) => connection.ping)
          yield* Scope.close(scope, exit)
          yield* eventually(isIdle(proxy))
          return last
        })
      assert.strictEqual(yield* lastWord(Exit.void), "X\0\0\0\x04")
      assert.include(yield* lastWord(Exit.fail("no")), "SELECT 1")
    }))

  const cancels = (connection: PhysicalConnection) =>
    Effect.gen(function*() {
      const admin = yield* connect()
      const pid = yield* backendPid(connection)
      yield* Effect.timeoutOption(rows(connection, "SELECT pg_sleep(30)"), "50 millis")
      assert.strictEqual(yield* stateOf(admin, pid), "idle")
    })

  it.scopedLive("over a Unix socket opens, and cancels", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      yield* listenBefore({ path: Path.join(folder, ".s.PGSQL.6432") })
      const { database, user: username } = postgres()
      yield* cancels(yield* connect({ path: folder, host: undefined, port: 6432, username, database }))
      yield* cancels(
        yield* connect({ url: Redacted.make(`socket:${folder}?db=${database}&user=${username}&port=6432`) })
      )
    }))

  it.scopedLive("over TLS opens and cancels, with the server's certificate checked both times", () =>
    Effect.gen(function*() {
      const { cert, key } = yield* certificate("localhost")
      const front = yield* listenBefore({ tls: { cert, key } })
      const refused = yield* Effect.flip(connectThrough(front, { ssl: true }))
      assert.strictEqual(code(refused), "DEPTH_ZERO_SELF_SIGNED_CERT")
      yield* cancels(yield* connectThrough(front, { host: "localhost", ssl: { ca: cert } }))
      yield* cancels(yield* connectThrough(front, { ssl: { rejectUnauthorized: false } }))
    }))
})

/** Stands before the primary, at a path or with TLS to its clients, and passes everything on. */
const listenBefore = (
  { path, tls }: { readonly path?: string; readonly tls?: { readonly key: string; readonly cert: string } }
) =>
  Effect.acquireRelease(
    Effect.async<Net.Server>((resume) => {
      const { host, port } = postgres().primary
      const join = (client: Net.Socket) => pipeline(client, Net.connect(port, host), client, () => {})
      const server = Net.createServer((client) => {
        if (tls === undefined) return void join(client)
        client.on("error", () => {})
        // An SSLRequest, whose answer is "yes".
        client.once("data", () => {
          client.write("S")
          join(new Tls.TLSSocket(client, { isServer: true, ...tls }))
        })
      })
      const listening = () => resume(Effect.succeed(server))
      if (path === undefined) server.listen(0, "127.0.0.1", listening)
      else server.listen(path, listening)
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => ({ port: path === undefined ? (server.address() as Net.AddressInfo).port : 0 })))

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-sql-router-pg-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

const certificate = (name: string) =>
  Effect.map(temporaryFolder, (folder) => {
    const [key, cert] = [Path.join(folder, "key.pem"), Path.join(folder, "cert.pem")]
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`]
    ChildProcess.execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "1", ...subject],
      { stdio: "ignore" }
    )
    return { key: Fs.readFileSync(key, "utf8"), cert: Fs.readFileSync(cert, "utf8") }
  })

describe("a password", () => {
  it.scopedLive("that is an Effect is asked at each connect", () =>
    Effect.gen(function*() {
      const { asked, port } = yield* passwordServer
      let token = 0
      const password = Effect.sync(() => Redacted.make(`token ${++token}`))
      const connecting = Effect.exit(Effect.scoped(connect({ host: "127.0.0.1", port, username: "app", password })))
      yield* connecting
      yield* connecting
      assert.deepStrictEqual(asked, ["token 1", "token 2"])
    }))

  it.scopedLive("whose Effect fails is named by the error", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ password: Effect.fail(new Error("token service is down")) }))
      assert.strictEqual(error.message, "Failed to connect")
      assert.strictEqual(
        (error.cause as Error).message,
        "No password for endpoint primary, the Effect it comes from failed: token service is down"
      )
      assert.deepInclude(driver.disposition(error), { blame: "configuration", evidence: "soft" })
    }))
})

/** A server that asks for a password in the clear, and refuses it. */
const passwordServer = Effect.map(
  Effect.acquireRelease(
    Effect.async<{ readonly server: Net.Server; readonly asked: Array<string> }>((resume) => {
      const asked: Array<string> = []
      const server = Net.createServer((socket) => {
        socket.once("data", () => {
          socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
          socket.once("data", (message) => {
            asked.push(message.subarray(5, -1).toString())
            socket.destroy()
          })
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, asked })))
    }),
    ({ server }) => Effect.sync(() => server.close())
  ),
  ({ asked, server }) => ({ asked, port: (server.address() as Net.AddressInfo).port })
)
