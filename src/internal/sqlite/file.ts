import { SqlError } from "@effect/sql/SqlError"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Fs from "node:fs"
import * as Connection from "./connection.js"
import { codeOf } from "./dispositions.js"

/** How a file is opened. */
export interface FileMode {
  readonly filename: string
  readonly readonly: boolean
  readonly mustExist: boolean
  /** Whether the file is put into WAL mode, in which readers and the writer do not lock each other out. */
  readonly wal: boolean
}

/**
 * Whether the name stands for a database that only its one connection can see, and that ends with it. The `file:` names
 * do so in builds of SQLite that read URIs; in others, such a file merely has no second connection.
 */
export const isAnonymous = (filename: string): boolean => {
  const name = filename.trim()
  return name === "" || name === ":memory:" || /^file:.*(:memory:|[?&]mode=memory)/.test(name)
}

/**
 * Opens a connection that ends with its Scope. SQLite reads a file only when it must; here it is read once, so that
 * what is wrong with it shows now, and not in somebody's first statement.
 */
export const open = (
  mode: FileMode,
  options: Connection.ConnectionOptions
): Effect.Effect<Connection.SqliteConnection, SqlError, Scope> =>
  Effect.gen(function*() {
    const connection = yield* Effect.acquireRelease(
      Effect.try({
        try: () => Connection.make(handle(mode), options),
        catch: (cause) => openError(mode, cause, openingProblem(mode, cause))
      }),
      (connection) => Effect.sync(connection.close)
    )
    const setUp = mode.wal
      ? Effect.zipRight(connection.executeUnprepared("PRAGMA journal_mode = WAL", [], undefined), connection.ping)
      : connection.ping
    yield* Effect.mapError(setUp, ({ cause }) => openError(mode, cause, readingProblem(cause)))
    return connection
  })

const handle = ({ filename, mustExist, readonly }: FileMode): Sqlite.Database =>
  new Sqlite(filename, { readonly, fileMustExist: mustExist, timeout: 0 })

const openError = ({ filename, readonly }: FileMode, cause: unknown, problem: string): SqlError => {
  const message = `Cannot open the SQLite database "${filename}"${readonly ? " read-only" : ""}: ${problem}`
  return new SqlError({ message, cause: new Error(message, { cause }) })
}

const openingProblem = ({ filename, mustExist }: FileMode, cause: unknown): string => {
  if (codeOf(cause) !== "SQLITE_CANTOPEN") return readingProblem(cause)
  if (Fs.existsSync(filename)) return "this process may not read it"
  return mustExist ? "the file does not exist" : "the file cannot be created"
}

const readingProblem = (cause: unknown): string => {
  const code = codeOf(cause)
  return (code === undefined ? undefined : readingProblems[code]) ??
    (cause instanceof Error ? cause.message : String(cause))
}

const withoutWalFiles =
  "it is in WAL mode, which needs the files \"-wal\" and \"-shm\" beside it, and this process can "
  + "neither read nor create them: let it write to the directory, or make the file one with a rollback journal "
  + "(PRAGMA journal_mode = DELETE) before you ship it"

const readingProblems: { readonly [code: string]: string } = {
  SQLITE_CANTOPEN: withoutWalFiles,
  SQLITE_IOERR_READ: "it cannot be read; is it a directory?",
  SQLITE_NOTADB: "it is not a SQLite database",
  SQLITE_READONLY: "this process may not write to it; with `readonly: true` it needs only to read",
  SQLITE_READONLY_DIRECTORY: withoutWalFiles,
  SQLITE_READONLY_ROLLBACK: "a transaction in it was cut off, and only a connection that may write can roll it back"
}
