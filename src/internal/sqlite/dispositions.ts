import type { SqlError } from "@effect/sql/SqlError"
import type { Disposition } from "../../Driver.js"
import { dead, failed, misconfigured, refused, shutdown, unexplained, unsent, wrongRole } from "../dispositions.js"

const ofFile: Disposition = { ...shutdown, outcome: "refused" }

/**
 * What SQLite's codes mean, as better-sqlite3 names them; a code without a row of its own means what the longest of its
 * beginnings means: `SQLITE_IOERR_WRITE` what `SQLITE_IOERR` does. https://www.sqlite.org/rescode.html
 */
export const byCode: { readonly [code: string]: Disposition } = {
  // The lock stayed taken for all of `busyTimeout`.
  SQLITE_BUSY: { ...refused, blame: "transaction", readRetry: "elsewhere" },
  // The transaction has read what somebody else has changed since: it must begin anew before it may write.
  SQLITE_BUSY_SNAPSHOT: { ...refused, blame: "transaction" },
  // Never another connection, for there is no shared cache: the statement is in its own transaction's way.
  SQLITE_LOCKED: refused,

  SQLITE_READONLY: wrongRole,
  // The file was moved away or replaced; a new connection opens what is there now.
  SQLITE_READONLY_DBMOVED: { ...dead, outcome: "refused" },
  // Even a read would have to write first: to roll back or recover what a crash left, or to create the -shm file.
  SQLITE_READONLY_CANTINIT: ofFile,
  SQLITE_READONLY_CANTLOCK: ofFile,
  SQLITE_READONLY_DIRECTORY: ofFile,
  SQLITE_READONLY_RECOVERY: ofFile,
  SQLITE_READONLY_ROLLBACK: ofFile,

  SQLITE_CANTOPEN: ofFile,
  SQLITE_CORRUPT: ofFile,
  // A damaged full-text or R-Tree index, in a file that is otherwise sound.
  SQLITE_CORRUPT_VTAB: { ...refused, readRetry: "elsewhere" },
  // During COMMIT, an I/O error leaves open whether the commit is on the disk.
  SQLITE_IOERR: { ...ofFile, outcome: "unknown" },
  SQLITE_NOTADB: ofFile,
  SQLITE_PROTOCOL: ofFile,

  // The handle is sound, and most reads need no room.
  SQLITE_FULL: { ...failed, blame: "endpoint", evidence: "soft", readRetry: "elsewhere" },
  SQLITE_NOMEM: { ...failed, blame: "capacity", evidence: "soft" },

  SQLITE_AUTH: refused,
  SQLITE_CONSTRAINT: refused,
  SQLITE_ERROR: refused,
  SQLITE_MISMATCH: refused,
  SQLITE_RANGE: refused,
  SQLITE_SCHEMA: refused,
  SQLITE_TOOBIG: refused
}

/** What errors mean whose code does not tell, or that have none, by their message; the first that matches counts. */
export const byMessage: ReadonlyArray<readonly [message: RegExp, meaning: Disposition]> = [
  // The file that ATTACH or VACUUM INTO names, not the database's own ("unable to open database file").
  [/^unable to open database: /, refused],
  [/^The database connection is not open$/, dead],
  [/^Cannot open database because the directory does not exist$/, misconfigured],
  [/^In-memory\/temporary databases cannot be readonly$/, misconfigured]
]

/** What an error that a statement, or opening a file, failed with means. */
export const disposition = (error: SqlError): Disposition => {
  const cause = rootOf(error)
  if (!(cause instanceof Error)) return unexplained
  const meaning = byMessage.find(([message]) => message.test(cause.message))
  if (meaning !== undefined) return meaning[1]
  const code = codeOf(cause)
  if (code !== undefined) return ofCode(code)
  // Parameters that cannot be bound, more than one statement in a text, a handle that a stream keeps busy.
  return cause instanceof TypeError || cause instanceof RangeError ? unsent : unexplained
}

const ofCode = (code: string): Disposition => {
  const meaning = byCode[code]
  if (meaning !== undefined) return meaning
  const end = code.lastIndexOf("_")
  return end < 0 ? unexplained : ofCode(code.slice(0, end))
}

/** The driver's own error: an error of opening a file tells more, and carries it. */
const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error

/** SQLite's name of what went wrong, e.g. `SQLITE_CONSTRAINT_UNIQUE`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
