import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { Disposition } from "../../src/Driver.js"
import { disposition, mayEndTransaction, rows } from "../../src/internal/mysql/dispositions.js"
import { PasswordUnavailable } from "../../src/internal/password.js"
import { ConfigurationError, EndpointUnavailable, toSqlError, TransactionClosed } from "../../src/RoutingError.js"

type Cause = object

const server = (errno: number, message = "refused by the server"): Cause =>
  Object.assign(new Error(message), { errno, code: "ER_ANY", sqlState: "HY000" })
const client = (code: string, more: object = {}): Cause =>
  Object.assign(new Error(`failed: ${code}`), { code, ...more })
const fatal = (message: string): Cause => Object.assign(new Error(message), { fatal: true })

const judge = (cause: unknown): Disposition =>
  disposition(new SqlError({ cause, message: "Failed to execute statement" }))

/** As a pool tells that it could not open a connection. */
const connecting = (cause: unknown): Disposition =>
  disposition(toSqlError(
    new EndpointUnavailable({
      database: "main",
      endpoint: "replica1",
      cause: new SqlError({ cause, message: "Failed to connect" })
    })
  ))

const inWords = (_: Disposition): string => `${_.blame} ${_.connection} ${_.evidence} ${_.outcome} ${_.readRetry}`

describe("while a statement runs", () => {
  const table: ReadonlyArray<readonly [expected: string, causes: ReadonlyArray<unknown>]> = [
    ["capacity destroy hard notSent elsewhere", [1040, 1203].map((_) => server(_))],
    ["capacity keep hard refused elsewhere", [server(1226)]],
    ["endpoint destroy hard unknown elsewhere", [1053, 1077, 1078, 1079, 1080].map((_) => server(_))],
    [
      "connection destroy soft unknown elsewhere",
      [1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031].map((_) => server(_))
    ],
    ["endpoint destroy soft unknown elsewhere", [
      ...[2006, 2013, 2055].map((_) => server(_)),
      ...["PROTOCOL_CONNECTION_LOST", "ECONNRESET", "ECONNABORTED", "EPIPE"].map((_) => client(_, { errno: -104 })),
      ...["ETIMEDOUT", "EHOSTUNREACH"].map((_) => client(_, { errno: -110, syscall: "read" })),
      client("PROTOCOL_SEQUENCE_TIMEOUT")
    ]],
    ["connection destroy none notSent sameEndpoint", [client("CONNECTION_CLOSED")]],
    ["transaction keep none notSent none", [new TransactionClosed({ database: "main", reason: "rolledBack" })]],
    ["statement keep none notSent none", [
      new TypeError("Bind parameters must not contain undefined. To pass SQL NULL specify JS null")
    ]],
    ["connection destroy none unknown none", [client("CONNECTION_DESTROYED", { fatal: true })]],
    ["endpoint destroy hard notSent elsewhere", [
      ...[2002, 2003, 2005].map((_) => server(_)),
      ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH"].map((_) => client(_, { errno: -111 })),
      client("ETIMEDOUT", { syscall: "connect" })
    ]],
    ["transaction keep none rolledBack sameEndpoint", [1020, 1205, 1213, 1614, 3101].map((_) => server(_))],
    ["endpoint destroy soft unknown none", [1180, 3100].map((_) => server(_))],
    ["role keep none refused primary", [
      ...[1792, 1836, 3797, 3798].map((_) => server(_)),
      server(1290, "The MariaDB server is running with the --read-only option so it cannot execute this statement"),
      server(1290, "The MySQL server is running with the --super-read-only option so it cannot execute this statement")
    ]],
    ["transaction keep none rolledBack none", [3058, 3572].map((_) => server(_))],
    ["statement keep none rolledBack none", [1062, 1206, 1242, 1317, 1451, 1452, 1644, 3819].map((_) => server(_))],
    ["statement keep soft rolledBack none", [1969, 3024].map((_) => server(_))],
    ["endpoint keep hard refused elsewhere", [
      server(1047, "WSREP has not yet prepared node for application use"),
      ...[3092, 3093].map((_) => server(_))
    ]],
    ["endpoint keep hard unknown elsewhere", [
      server(1105, "target: shop.0.replica: no healthy tablet available"),
      server(1105, "primary is not serving, there may be a reparent operation in progress")
    ]],
    ["role keep none unknown none", [1032, 1942, 1950].map((_) => server(_))],
    ["statement destroy none refused none", [server(1153)]],
    ["statement keep none refused none", [
      ...[1044, 1045, 1046, 1064, 1142, 1227, 1295].map((_) => server(_)),
      server(1047, "Unknown command"),
      server(1290, "The MariaDB server is running with the --secure-file-priv option")
    ]],
    ["statement keep none refused primary", [1049, 1054, 1146, 1305].map((_) => server(_))],
    ["connection destroy soft unknown elsewhere", [
      fatal("Unexpected packet"),
      fatal("Can't add new command when connection is in closed state"),
      client("PROTOCOL_UNEXPECTED_PACKET", { fatal: true })
    ]],
    ["statement keep none unknown none", [new Error("thrown by a typeCast function"), "not even an error"]]
  ]

  for (const [expected, causes] of table) {
    it(`${expected}: ${causes.map((_) => (_ as { errno?: number }).errno ?? (_ as Error).message).join(", ")}`, () => {
      for (const cause of causes) assert.strictEqual(inWords(judge(cause)), expected, String((cause as Error).message))
    })
  }

  it("a number that came as code counts like one that came as errno", () => {
    assert.deepStrictEqual(
      judge(Object.assign(new Error("Connection was killed"), { code: 1927 })),
      judge(server(1927))
    )
  })

  it("data that a server repeats in its message is never taken for mysql2's own words", () => {
    const message = "Duplicate entry 'Bind parameters must not contain undefined' for key 'PRIMARY'"
    assert.strictEqual(judge(server(1062, message)).outcome, "rolledBack")
  })

  it("what may have ended the whole transaction: deadlock, lost certification, lock timeout, changed snapshot", () => {
    for (const errno of [1020, 1205, 1206, 1213, 1614, 3101]) assert.isTrue(mayEndTransaction(server(errno)))
    for (const cause of [server(1062), server(1317), server(3572), client("ECONNRESET"), "not even an error"]) {
      assert.isFalse(mayEndTransaction(cause))
    }
  })
})

describe("while a connection is opened", () => {
  it("nothing was sent, and nothing is kept, whatever ended it", () => {
    for (const row of rows) {
      const [errno, code, text] = [row.errnos?.[0], row.codes?.[0], row.texts?.[0]]
      const { connection, outcome } = connecting(
        Object.assign(new Error(text ?? "…"), { errno, code: code ?? "ER_ANY", syscall: row.syscalls?.[0] })
      )
      assert.deepStrictEqual({ connection, outcome }, { connection: "destroy", outcome: "notSent" }, row.what)
    }
  })

  it("host, user, password or database not accepted: configuration", () => {
    for (
      const cause of [
        ...[1044, 1045, 1049, 1129, 1130, 2054, 2059].map((_) => server(_)),
        client("AUTH_SWITCH_PLUGIN_ERROR"),
        client("MYSQL_CLEAR_PASSWORD_NOT_ENABLED")
      ]
    ) assert.strictEqual(inWords(connecting(cause)), "configuration destroy hard notSent elsewhere")
  })

  it("a TLS or handshake error: endpoint", () => {
    for (const code of ["HANDSHAKE_NO_SSL_SUPPORT", "HANDSHAKE_SSL_ERROR", "HANDSHAKE_UNKNOWN_ERROR"]) {
      assert.strictEqual(inWords(connecting(client(code))), "endpoint destroy hard notSent elsewhere")
    }
  })

  it("hung up, reset or too slow: soft evidence against the endpoint", () => {
    for (
      const cause of [client("PROTOCOL_CONNECTION_LOST"), client("ECONNRESET"), new Error("not connected within 5s")]
    ) {
      assert.strictEqual(inWords(connecting(cause)), "endpoint destroy soft notSent elsewhere")
    }
  })

  it("a configuration that cannot be decoded, or a password that cannot be had", () => {
    const malformed = new ConfigurationError({ path: "primary.url", problem: "not a URL" })
    assert.strictEqual(inWords(connecting(malformed)), "configuration destroy hard notSent elsewhere")
    // The error of whatever gives passwords is not the database server's.
    const noToken = new PasswordUnavailable({ endpoint: "replica1", cause: client("ECONNREFUSED") })
    assert.strictEqual(inWords(connecting(noToken)), "configuration destroy soft notSent elsewhere")
  })
})

describe("the table", () => {
  it("has no number or code that a line before it always takes", () => {
    const taken = new Set<string>()
    for (const row of rows) {
      const keys = [...(row.errnos ?? []), ...(row.codes ?? [])].map(String)
      for (const key of keys) assert.isFalse(taken.has(key), `${key} (${row.what})`)
      const isConditional = row.texts !== undefined || row.syscalls !== undefined || row.phase !== undefined
      if (!isConditional) { for (const key of keys) taken.add(key) }
    }
  })
})
