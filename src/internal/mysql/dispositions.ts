import type { SqlError } from "@effect/sql/SqlError"
import type { Disposition } from "../../Driver.js"
import { ConfigurationError, EndpointUnavailable, TransactionClosed } from "../../RoutingError.js"
import {
  broken,
  conflict,
  dead,
  failed,
  full,
  locked,
  lost,
  misconfigured,
  noPassword,
  notOpened,
  refused,
  shutdown,
  timedOut,
  unexplained,
  unreachable,
  unsent,
  wrongRole
} from "../dispositions.js"
import { PasswordUnavailable } from "../password.js"

/** What is known of an error: the server's number, the driver's code, the system call, the text. */
interface Facts {
  readonly errno: number | undefined
  readonly code: string | undefined
  readonly syscall: string | undefined
  readonly message: string
  /** Whether mysql2 gave the connection up. */
  readonly fatal: boolean
  /** `connect`: no statement of ours was sent yet. */
  readonly phase: "connect" | "statement"
}

/**
 * One line of the table. It matches an error that has one of its `errnos` or `codes`, and for which every further
 * condition holds. A line with neither matches by its conditions alone; by text only where the server gave no number,
 * for its messages repeat data.
 */
export interface DispositionRow {
  readonly what: string
  readonly errnos?: ReadonlyArray<number>
  readonly codes?: ReadonlyArray<string>
  /** The message holds one of these, in any case. */
  readonly texts?: ReadonlyArray<string>
  readonly syscalls?: ReadonlyArray<string>
  readonly phase?: "connect" | "statement"
  readonly fatal?: boolean
  /** The server may have rolled back all of the transaction: its settings and the tables' engines decide. */
  readonly mayEndTransaction?: true
  readonly disposition: Disposition
}

/** A member of a cluster that is up, but takes no statements now. */
const notServing: Disposition = { ...shutdown, connection: "keep", outcome: "refused" }

const networkCodes = ["ETIMEDOUT", "EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN"]

/**
 * The errors of MySQL, MariaDB and mysql2; the first line that matches decides. Numbers are the servers' own (MySQL 8
 * and MariaDB share those below 1900); mysql2 knows names only for MySQL's, so no line depends on a name of theirs.
 */
export const rows: ReadonlyArray<DispositionRow> = [
  {
    what: "too many connections",
    errnos: [1040, 1203],
    disposition: full
  },
  {
    what: "a user's hourly limit is reached",
    errnos: [1226],
    disposition: { ...full, connection: "keep", outcome: "refused" }
  },
  {
    // The same numbers answer a statement that names what it may not use: there the endpoint is not to blame.
    what: "host, user, password or database not accepted",
    phase: "connect",
    errnos: [1044, 1045, 1049, 1129, 1130, 2054, 2059],
    codes: ["AUTH_SWITCH_PLUGIN_ERROR", "MYSQL_CLEAR_PASSWORD_NOT_ENABLED"],
    disposition: misconfigured
  },
  {
    what: "the server shuts down",
    errnos: [1053, 1077, 1078, 1079, 1080],
    disposition: shutdown
  },
  {
    what: "the server ended this connection",
    errnos: [1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031],
    disposition: lost
  },
  {
    what: "connection lost",
    errnos: [2006, 2013, 2055],
    codes: ["PROTOCOL_CONNECTION_LOST", "ECONNRESET", "ECONNABORTED", "EPIPE"],
    disposition: broken
  },
  {
    what: "the network failed under an open connection",
    codes: networkCodes,
    syscalls: ["read", "write"],
    disposition: broken
  },
  {
    what: "a statement that was not sent before its connection was closed",
    codes: ["CONNECTION_CLOSED"],
    disposition: dead
  },
  {
    what: "a parameter that cannot be bound",
    texts: ["bind parameters must"],
    disposition: unsent
  },
  {
    what: "destroyed by us: interrupted, or still running when the Layer closed",
    codes: ["CONNECTION_DESTROYED"],
    disposition: { ...lost, evidence: "none", readRetry: "none" }
  },
  {
    what: "cannot connect",
    errnos: [2002, 2003, 2005],
    codes: [
      "ECONNREFUSED",
      "ENOTFOUND",
      "EAI_AGAIN",
      "ENOENT",
      "HANDSHAKE_NO_SSL_SUPPORT",
      "HANDSHAKE_SSL_ERROR",
      "HANDSHAKE_UNKNOWN_ERROR",
      ...networkCodes
    ],
    disposition: unreachable
  },
  {
    what: "no answer within mysql2's own timeout; the statement still runs",
    codes: ["PROTOCOL_SEQUENCE_TIMEOUT"],
    disposition: broken
  },
  {
    what: "lock wait timeout: the statement was undone, or the transaction where innodb_rollback_on_timeout is set",
    errnos: [1205],
    mayEndTransaction: true,
    disposition: conflict
  },
  {
    what: "deadlock, failed certification or a changed snapshot: the transaction was rolled back",
    errnos: [1020, 1213, 1614, 3101],
    mayEndTransaction: true,
    disposition: conflict
  },
  {
    what: "no room for another row lock: the transaction was rolled back",
    errnos: [1206],
    mayEndTransaction: true,
    disposition: failed
  },
  {
    what: "an error while the transaction was being committed",
    errnos: [1180, 3100],
    disposition: { ...broken, readRetry: "none" }
  },
  {
    what: "a group replication member is behind what the transaction asks for",
    errnos: [3797, 3798],
    disposition: wrongRole
  },
  {
    what: "a lock that the statement would not wait for",
    errnos: [3058, 3572],
    disposition: locked
  },
  {
    what: "the statement was killed",
    errnos: [1317],
    disposition: failed
  },
  {
    what: "the statement ran longer than the server allows",
    errnos: [1969, 3024],
    disposition: timedOut
  },
  {
    what: "a write on a server or session that only reads",
    errnos: [1792, 1836],
    disposition: wrongRole
  },
  {
    what: "a write on a server that was started or set read-only",
    errnos: [1290],
    texts: ["read-only", "read_only"],
    disposition: wrongRole
  },
  {
    what: "a Galera or group replication node that does not serve",
    errnos: [1047],
    texts: ["wsrep"],
    disposition: notServing
  },
  {
    what: "a group replication member that is not online",
    errnos: [3092, 3093],
    disposition: notServing
  },
  {
    what: "a Vitess shard that does not serve",
    errnos: [1105],
    texts: ["no healthy tablet", "primary is not serving", "reparent"],
    disposition: { ...notServing, outcome: "unknown" }
  },
  {
    what: "replication is broken",
    errnos: [1032, 1942, 1950],
    disposition: { ...wrongRole, outcome: "unknown", readRetry: "none" }
  },
  {
    what: "a packet larger than the server takes",
    errnos: [1153],
    disposition: { ...refused, connection: "destroy" }
  },
  {
    what: "a database, column, table or routine that is not there; a replica may not have replayed the DDL yet",
    errnos: [1049, 1054, 1146, 1305],
    disposition: { ...refused, readRetry: "primary" }
  },
  {
    // Syntax, names, privileges, options: found before the statement does anything.
    what: "a statement that the server does not carry out",
    errnos: [
      1044,
      1045,
      1046,
      1047,
      1052,
      1064,
      1065,
      1109,
      1142,
      1143,
      1149,
      1193,
      1227,
      1290,
      1295,
      1370
    ],
    disposition: refused
  },
  {
    what: "the connection failed while it was being opened",
    phase: "connect",
    disposition: notOpened
  },
  {
    what: "mysql2 gave the connection up",
    fatal: true,
    disposition: lost
  }
]

/** A statement whose transaction the server had ended before its turn came. */
const transactionClosed: Disposition = { ...unsent, blame: "transaction" }

/** What an error means that a statement or `open` failed with. */
export const disposition = (error: SqlError): Disposition => of(error.cause, "statement")

/** What a driver's error means, in a phase. */
export const of = (cause: unknown, phase: Facts["phase"]): Disposition => {
  if (cause instanceof ConfigurationError) return misconfigured
  if (cause instanceof PasswordUnavailable) return noPassword
  if (cause instanceof TransactionClosed) return transactionClosed
  if (cause instanceof EndpointUnavailable) return of(cause.cause, "connect")
  if (isSqlError(cause)) return of(cause.cause, phase)
  const facts = factsOf(cause, phase)
  const row = rowOf(facts)
  // Any other answer of the server is about data, constraints, errors raised by SQL.
  if (row === undefined) return facts.errno === undefined ? unexplained : failed
  // While connecting nothing of ours can have been carried out, whatever ended the attempt.
  return phase === "connect" ? { ...row.disposition, connection: "destroy", outcome: "notSent" } : row.disposition
}

/** Whether the server may have ended the transaction with an error, which its answer does not tell. */
export const mayEndTransaction = (cause: unknown): boolean =>
  rowOf(factsOf(cause, "statement"))?.mayEndTransaction === true

const rowOf = (facts: Facts): DispositionRow | undefined => rows.find((row) => matches(row, facts))

const isSqlError = (u: unknown): u is SqlError =>
  typeof u === "object" && u !== null && "_tag" in u && u._tag === "SqlError"

const matches = (row: DispositionRow, facts: Facts): boolean => {
  const keyed = row.errnos === undefined && row.codes === undefined
      && (row.texts === undefined || facts.errno === undefined)
    || facts.errno !== undefined && row.errnos?.includes(facts.errno) === true
    || facts.code !== undefined && row.codes?.includes(facts.code) === true
  return keyed
    && (row.texts === undefined || row.texts.some((text) => facts.message.includes(text)))
    && (row.syscalls === undefined || facts.syscall !== undefined && row.syscalls.includes(facts.syscall))
    && (row.phase === undefined || row.phase === facts.phase)
    && (row.fatal === undefined || row.fatal === facts.fatal)
}

const factsOf = (cause: unknown, phase: Facts["phase"]): Facts => {
  const error: {
    readonly errno?: unknown
    readonly code?: unknown
    readonly syscall?: unknown
    readonly message?: unknown
    readonly fatal?: unknown
  } = typeof cause === "object" && cause !== null ? cause : {}
  // An error that arrives while no statement runs carries its number as `code`; a socket's `errno` is negative.
  const number = typeof error.code === "number" ? error.code : error.errno
  return {
    errno: typeof number === "number" && number > 0 ? number : undefined,
    code: typeof error.code === "string" ? error.code : undefined,
    syscall: typeof error.syscall === "string" ? error.syscall : undefined,
    message: String(error.message ?? cause).toLowerCase(),
    fatal: error.fatal === true,
    phase
  }
}
