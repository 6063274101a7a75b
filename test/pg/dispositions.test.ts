import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Dispositions from "../../src/internal/pg/dispositions.js"
import { EndpointUnavailable, toSqlError } from "../../src/RoutingError.js"
import { postgres } from "../servers/index.js"
import { backendPid, connect, eventually, kill, replicaUrl, rows, stateOf } from "./support.js"

/** blame, connection, evidence, outcome, readRetry */
const meaning = (error: SqlError): string => {
  const { blame, connection, evidence, outcome, readRetry } = Dispositions.of(error)
  return `${blame} ${connection} ${evidence} ${outcome} ${readRetry}`
}

const failed = (fields: object, message = ""): SqlError =>
  new SqlError({ cause: Object.assign(new Error(message), fields), message: "Failed to execute statement" })

const refused = (fields: object, message = ""): SqlError =>
  toSqlError(
    new EndpointUnavailable({
      database: "main",
      endpoint: "primary",
      cause: new SqlError({ cause: Object.assign(new Error(message), fields), message: "Failed to connect" })
    })
  )

const fault = "statement keep none rolledBack none"
const lost = "connection destroy soft unknown elsewhere"
const expired = "connection destroy none unknown sameEndpoint"
const dead = "connection destroy none notSent sameEndpoint"
const stalePlan = "connection destroy none refused sameEndpoint"
const shutdown = "endpoint destroy hard unknown elsewhere"
const broken = "endpoint destroy soft unknown elsewhere"
const conflict = "transaction keep none rolledBack sameEndpoint"
const wrongRole = "role keep none refused primary"
const unreachable = "endpoint destroy hard notSent elsewhere"
const full = "capacity destroy hard notSent elsewhere"
const misconfigured = "configuration destroy hard notSent elsewhere"
const exhausted = "capacity keep soft rolledBack elsewhere"
const locked = "transaction keep none rolledBack none"
const unknownName = "statement keep none rolledBack primary"
const timedOut = "statement keep soft rolledBack none"
const cancelled = "connection keep none rolledBack elsewhere"
const refusedFault = "statement keep none refused none"
const unexplained = "statement keep none unknown none"
const notOpened = "endpoint destroy soft notSent elsewhere"

describe("SQLSTATEs of a statement", () => {
  const states: { readonly [code: string]: string } = {
    "01000": fault,
    "02000": fault,
    "03000": fault,
    "08000": lost,
    "08001": unreachable,
    "08003": lost,
    "08004": unreachable,
    "08006": lost,
    "08007": broken,
    "08P01": lost,
    "0A000": fault,
    "21000": fault,
    "22012": fault,
    "23505": fault,
    "25001": fault,
    "25006": wrongRole,
    "25P02": refusedFault,
    "25P03": expired,
    "25P04": expired,
    "26000": stalePlan,
    "28000": misconfigured,
    "28P01": misconfigured,
    "2F003": fault,
    "34000": fault,
    "3D000": misconfigured,
    "3F000": fault,
    "40001": conflict,
    "40002": fault,
    "40003": broken,
    "40P01": conflict,
    "42501": fault,
    "42601": fault,
    "42703": unknownName,
    "42883": unknownName,
    "42P01": unknownName,
    "44000": fault,
    "53000": exhausted,
    "53100": exhausted,
    "53200": exhausted,
    "53300": full,
    "53400": "capacity keep none rolledBack none",
    "54001": fault,
    "55000": fault,
    "55006": locked,
    "55P03": locked,
    "57000": lost,
    "57014": fault,
    "57P01": shutdown,
    "57P02": shutdown,
    "57P03": unreachable,
    "57P04": "configuration destroy hard unknown none",
    "57P05": expired,
    "58000": broken,
    "58030": broken,
    "58P01": broken,
    "F0000": broken,
    "P0001": fault,
    "U1234": fault,
    "XX000": broken,
    "XX001": shutdown,
    "XX002": shutdown
  }
  for (const [code, expected] of Object.entries(states)) {
    it(code, () => assert.strictEqual(meaning(failed({ severity: "ERROR", code })), expected))
  }

  it("every exact code of the table is tested", () => {
    assert.deepStrictEqual(Object.keys(Dispositions.bySqlState).filter((code) => !(code in states)), [])
  })

  it("a FATAL error ends the connection, whatever it says", () => {
    const conflicting = "terminating connection due to conflict with recovery"
    assert.strictEqual(
      meaning(failed({ code: "40001", severity: "FATAL" }, conflicting)),
      "transaction destroy none rolledBack elsewhere"
    )
  })
})

describe("texts that tell SQLSTATEs apart", () => {
  const recovery = "transaction keep none rolledBack elsewhere"
  const texts: ReadonlyArray<readonly [code: string, message: string, expected: string, routine?: string]> = [
    ["40001", "canceling statement due to conflict with recovery", recovery],
    ["40001", "Abbruch, in einer anderen Sprache", recovery, "ProcessInterrupts"],
    ["40001", "could not serialize access due to concurrent update", conflict, "ExecUpdate"],
    ["40P01", "canceling statement due to conflict with recovery", recovery],
    ["40P01", "deadlock detected", conflict, "DeadLockReport"],
    ["0A000", "cannot use serializable mode in a hot standby", wrongRole],
    ["0A000", "cannot set transaction read-write mode during recovery", wrongRole],
    ["0A000", "cached plan must not change result type", stalePlan],
    ["0A000", "in einer anderen Sprache", stalePlan, "RevalidateCachedQuery"],
    ["55000", "recovery is in progress", wrongRole],
    ["55000", "currval of sequence \"s\" is not yet defined in this session", fault],
    ["57014", "canceling statement due to statement timeout", timedOut],
    ["57014", "canceling statement due to user request", cancelled]
  ]
  for (const [code, message, expected, routine] of texts) {
    it(`${code} ${message}`, () =>
      assert.strictEqual(meaning(failed({ severity: "ERROR", code, routine }, message)), expected))
  }
})

describe("errors without a SQLSTATE", () => {
  it("of a socket that was open leave the outcome unknown", () => {
    for (const code of Object.keys(Dispositions.bySocketCode)) {
      assert.strictEqual(meaning(failed({ code, syscall: "read" })), lost)
    }
  })

  it("of a connect that pg or Node names by itself say that nothing was sent", () => {
    for (const code of ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]) {
      const syscall = code.startsWith("E") && ["ENOTFOUND", "EAI_AGAIN"].includes(code) ? "getaddrinfo" : "connect"
      assert.strictEqual(meaning(failed({ code, syscall })), unreachable)
    }
  })

  const messages: ReadonlyArray<readonly [message: string, expected: string]> = [
    ["Connection terminated unexpectedly", lost],
    ["Connection terminated", lost],
    ["Client has encountered a connection error and is not queryable", dead],
    ["Client was closed and is not queryable", dead],
    ["Query read timeout", broken],
    ["something nobody has seen before", unexplained]
  ]
  for (const [message, expected] of messages) {
    it(message, () => assert.strictEqual(meaning(failed({}, message)), expected))
  }

  it("that are no errors are unknown", () => {
    for (const cause of [undefined, null, "text", 7]) {
      assert.strictEqual(meaning(new SqlError({ cause })), unexplained)
    }
  })
})

describe("errors while connecting mean that nothing was sent", () => {
  const connects: ReadonlyArray<readonly [name: string, error: SqlError, expected: string]> = [
    ["a socket error", refused({ code: "ECONNRESET", syscall: "read" }), unreachable],
    [
      "a name with several addresses",
      new SqlError({
        cause: new AggregateError([Object.assign(new Error(), { code: "ECONNREFUSED", syscall: "connect" })]),
        message: "Failed to connect"
      }),
      unreachable
    ],
    ["a refused encryption", refused({}, "The server does not support SSL connections"), unreachable],
    ["a hang-up", refused({}, "Connection terminated unexpectedly"), unreachable],
    ["a timeout", refused({}, "not connected within 5s"), notOpened],
    ["EPIPE", refused({ code: "EPIPE", syscall: "write" }), unreachable],
    ["ETIMEDOUT", refused({ code: "ETIMEDOUT" }), notOpened],
    ["08P01", refused({ severity: "FATAL", code: "08P01" }), unreachable],
    ["57P03", refused({ severity: "FATAL", code: "57P03" }), unreachable],
    ["58P01", refused({ severity: "FATAL", code: "58P01" }), unreachable],
    ["XX000", refused({ severity: "FATAL", code: "XX000" }), unreachable],
    ["53300", refused({ severity: "FATAL", code: "53300" }), full],
    ["28P01", refused({ severity: "FATAL", code: "28P01" }), misconfigured],
    ["3D000", refused({ severity: "FATAL", code: "3D000" }), misconfigured],
    ["42704", refused({ severity: "FATAL", code: "42704" }), misconfigured]
  ]
  for (const [name, error, expected] of connects) {
    it(name, () => assert.strictEqual(meaning(error), expected))
  }
})

describe("what a server really says", () => {
  const of = <A, R>(effect: Effect.Effect<A, SqlError, R>) => Effect.map(Effect.flip(effect), meaning)

  const says = (name: string, expected: string, ...sqls: ReadonlyArray<string>) =>
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const connection = yield* connect()
        const last = sqls.at(-1)!
        for (const sql of sqls.slice(0, -1)) yield* rows(connection, sql)
        assert.strictEqual(yield* of(rows(connection, last)), expected)
      }))

  says("a unique violation", fault, "CREATE TEMPORARY TABLE t (n int UNIQUE)", "INSERT INTO t VALUES (1), (1)")
  says("a division by zero", fault, "SELECT 1 / 0")
  says("a syntax error", fault, "SELEC 1")
  says("a function's own error", fault, "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$")
  says("a statement timeout", timedOut, "SET statement_timeout = 20", "SELECT pg_sleep(5)")
  says("a prepared statement that is gone", stalePlan, "EXECUTE nothing")
  says(
    "a prepared statement whose table has changed",
    stalePlan,
    "CREATE TEMPORARY TABLE t (n int)",
    "PREPARE p AS SELECT * FROM t",
    "ALTER TABLE t ADD m int",
    "EXECUTE p"
  )
  says("an option it does not have", fault, "SET nothing = 1")

  it.scopedLive("a transaction that has failed", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "BEGIN")
      yield* Effect.flip(rows(connection, "SELECT 1 / 0"))
      assert.strictEqual(yield* of(rows(connection, "SELECT 1")), refusedFault)
    }))

  it.scopedLive("a write on a standby", () =>
    Effect.gen(function*() {
      const replica = yield* connect({ url: replicaUrl })
      assert.strictEqual(yield* of(rows(replica, "CREATE TABLE t (n int)")), wrongRole)
      assert.strictEqual(yield* of(rows(replica, "BEGIN READ WRITE")), wrongRole)
      assert.strictEqual(yield* of(rows(replica, "SELECT pg_current_wal_lsn()")), wrongRole)
    }))

  it.scopedLive("a lock that is taken, and a deadlock", () =>
    Effect.gen(function*() {
      const [left, right] = [yield* connect(), yield* connect()]
      const lock = (connection: typeof left, key: number) => rows(connection, "SELECT pg_advisory_xact_lock($1)", [key])
      for (const connection of [left, right]) yield* rows(connection, "BEGIN; SET LOCAL deadlock_timeout = '20ms'")
      yield* lock(left, 4711)
      yield* lock(right, 4712)
      const waiting = yield* Effect.fork(Effect.either(lock(left, 4712)))
      const crossing = yield* Effect.either(lock(right, 4711))
      const victims = [yield* Fiber.join(waiting), crossing].filter((result) => result._tag === "Left")
      assert.deepStrictEqual(victims.map((victim) => meaning(victim.left)), [conflict])
    }))

  it.scopedLive("somebody's cancel", () =>
    Effect.gen(function*() {
      const [admin, connection] = [yield* connect(), yield* connect()]
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(of(rows(connection, "SELECT pg_sleep(30)")))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      yield* rows(admin, "SELECT pg_cancel_backend($1)", [pid])
      assert.strictEqual(yield* Fiber.join(fiber), cancelled)
    }))

  it.scopedLive("the end of a backend under a statement, then a statement on the dead client", () =>
    Effect.gen(function*() {
      const [admin, connection] = [yield* connect(), yield* connect()]
      const pid = yield* backendPid(connection)
      const fiber = yield* Effect.fork(of(rows(connection, "SELECT pg_sleep(30)")))
      yield* eventually(Effect.map(stateOf(admin, pid), (state) => state === "active"))
      yield* kill(admin, pid)
      assert.strictEqual(yield* Fiber.join(fiber), shutdown)
      yield* Effect.sleep("20 millis")
      assert.strictEqual(yield* of(rows(connection, "SELECT 1")), dead)
    }))

  it.scopedLive("refusals to connect", () =>
    Effect.gen(function*() {
      const { database, primary, user } = postgres()
      const server = { host: primary.host, port: primary.port, username: user, database }
      assert.strictEqual(yield* of(connect({ ...server, port: 1 })), unreachable)
      assert.strictEqual(yield* of(connect({ ...server, host: "nowhere.invalid" })), unreachable)
      assert.strictEqual(yield* of(connect({ ...server, database: "nothing" })), misconfigured)
      assert.strictEqual(yield* of(connect({ ...server, username: "nobody" })), misconfigured)
      assert.strictEqual(yield* of(connect({ ...server, ssl: true })), unreachable)
    }))

  it.scopedLive("no room for another connection", () =>
    Effect.gen(function*() {
      const { database, primary: { host, port } } = postgres()
      const crowded = connect({ host, port, database, username: "crowded" })
      const admin = yield* connect()
      yield* rows(admin, "CREATE ROLE crowded LOGIN CONNECTION LIMIT 1")
      yield* Effect.addFinalizer(() => Effect.ignore(rows(admin, "DROP ROLE crowded")))
      yield* Effect.scoped(
        Effect.zipRight(crowded, Effect.map(of(crowded), (row) => assert.deepStrictEqual(row, full)))
      )
    }))
})
