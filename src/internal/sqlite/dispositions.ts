import type { SqlError } from "@effect/sql/SqlError"
import type { Disposition } from "../../Driver.js"

const ofStatement: Disposition = {
  blame: "statement",
  connection: "keep",
  evidence: "none",
  outcome: "refused",
  readRetry: "none"
}

const ofFile: Disposition = {
  blame: "endpoint",
  connection: "destroy",
  evidence: "hard",
  outcome: "refused",
  readRetry: "elsewhere"
}

const ofOpening: Disposition = {
  blame: "configuration",
  connection: "destroy",
  evidence: "hard",
  outcome: "notSent",
  readRetry: "elsewhere"
}

/**
 * What SQLite's codes mean, as better-sqlite3 names them; a code without a row of its own means what the longest of its
 * beginnings means: `SQLITE_IOERR_WRITE` what `SQLITE_IOERR` does. https://www.sqlite.org/rescode.html
 */
export const byCode: { readonly [code: string]: Disposition } = {
  // The lock stayed taken for all of `busyTimeout`.
  SQLITE_BUSY: {
    blame: "transaction",
    connection: "keep",
    evidence: "none",
    outcome: "refused",
    readRetry: "elsewhere"
  },
  // The transaction has read what somebody else has changed since: it must begin anew before it may write.
  SQLITE_BUSY_SNAPSHOT: {
    blame: "transaction",
    connection: "keep",
    evidence: "none",
    outcome: "refused",
    readRetry: "none"
  },
  // Never another connection, for there is no shared cache: the statement is in its own transaction's way.
  SQLITE_LOCKED: ofStatement,

  SQLITE_READONLY: {
    blame: "role",
    connection: "keep",
    evidence: "none",
    outcome: "refused",
    readRetry: "primary"
  },
  // The file was moved away or replaced; a new connection opens what is there now.
  SQLITE_READONLY_DBMOVED: {
    blame: "connection",
    connection: "destroy",
    evidence: "none",
    outcome: "refused",
    readRetry: "sameEndpoint"
  },
  // Even a read would have to write first: to roll back or recover what a crash left, or to create the -shm file.
  SQLITE_READONLY_CANTINIT: ofFile,
  SQLITE_READONLY_CANTLOCK: ofFile,
  SQLITE_READONLY_DIRECTORY: ofFile,
  SQLITE_READONLY_RECOVERY: ofFile,
  SQLITE_READONLY_ROLLBACK: ofFile,

  SQLITE_CANTOPEN: ofFile,
  SQLITE_CORRUPT: ofFile,
  // A damaged full-text or R-Tree index, in a file that is otherwise sound.
  SQLITE_CORRUPT_VTAB: { ...ofStatement, readRetry: "elsewhere" },
  // During COMMIT, an I/O error leaves open whether the commit is on the disk.
  SQLITE_IOERR: { ...ofFile, outcome: "unknown" },
  SQLITE_NOTADB: ofFile,
  SQLITE_PROTOCOL: ofFile,

  // The handle is sound, and most reads need no room.
  SQLITE_FULL: {
    blame: "endpoint",
    connection: "keep",
    evidence: "soft",
    outcome: "rolledBack",
    readRetry: "elsewhere"
  },
  SQLITE_NOMEM: {
    blame: "capacity",
    connection: "keep",
    evidence: "soft",
    outcome: "rolledBack",
    readRetry: "none"
  },

  SQLITE_AUTH: ofStatement,
  SQLITE_CONSTRAINT: ofStatement,
  SQLITE_ERROR: ofStatement,
  SQLITE_MISMATCH: ofStatement,
  SQLITE_RANGE: ofStatement,
  SQLITE_SCHEMA: ofStatement,
  SQLITE_TOOBIG: ofStatement
}

/** What errors mean whose code does not tell, or that have none, by their message; the first that matches counts. */
export const byMessage: ReadonlyArray<readonly [message: RegExp, meaning: Disposition]> = [
  // The file that ATTACH or VACUUM INTO names, not the database's own ("unable to open database file").
  [/^unable to open database: /, ofStatement],
  [/^The database connection is not open$/, {
    blame: "connection",
    connection: "destroy",
    evidence: "none",
    outcome: "notSent",
    readRetry: "sameEndpoint"
  }],
  [/^Cannot open database because the directory does not exist$/, ofOpening],
  [/^In-memory\/temporary databases cannot be readonly$/, ofOpening]
]

/** Parameters that cannot be bound, more than one statement in a text, a handle that a stream keeps busy. */
const ofCall: Disposition = { ...ofStatement, outcome: "notSent" }

const unknown: Disposition = { ...ofStatement, outcome: "unknown" }

/** What an error that a statement, or opening a file, failed with means. */
export const disposition = (error: SqlError): Disposition => {
  const cause = rootOf(error)
  if (!(cause instanceof Error)) return unknown
  const meaning = byMessage.find(([message]) => message.test(cause.message))
  if (meaning !== undefined) return meaning[1]
  const code = codeOf(cause)
  if (code !== undefined) return ofCode(code)
  return cause instanceof TypeError || cause instanceof RangeError ? ofCall : unknown
}

const ofCode = (code: string): Disposition => {
  const meaning = byCode[code]
  if (meaning !== undefined) return meaning
  const end = code.lastIndexOf("_")
  return end < 0 ? unknown : ofCode(code.slice(0, end))
}

/** The driver's own error: an error of opening a file tells more, and carries it. */
const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error

/** SQLite's name of what went wrong, e.g. `SQLITE_CONSTRAINT_UNIQUE`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
