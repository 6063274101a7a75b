import type { BackupMetadata } from "@effect/sql-sqlite-node/SqliteClient"
import { SqlError } from "@effect/sql/SqlError"
import Sqlite from "better-sqlite3"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Busy from "./busy.js"

/** Pages copied between two turns of the event loop. */
const pagesPerTurn = 100

export const problem = "Failed to backup database"

/**
 * Copies a database into a file, which may be in use.
 *
 * better-sqlite3 tells of success when it could not lock one of the two, although nothing was copied. A backup counts
 * the schema version of its destination up: where that stands still, the lock is waited for like any other.
 */
export const run = (
  db: Sqlite.Database,
  destination: string,
  timeout: Duration.Duration
): Effect.Effect<BackupMetadata, SqlError> =>
  Busy.retry(
    Effect.tryPromise({
      try: async (signal) => {
        const before = schemaVersion(destination)
        const metadata = await db.backup(destination, {
          progress: () => {
            signal.throwIfAborted()
            return pagesPerTurn
          }
        })
        if (schemaVersion(destination) === before) throw new Sqlite.SqliteError("database is locked", "SQLITE_BUSY")
        return metadata
      },
      catch: (cause) => new SqlError({ cause, message: problem })
    }),
    { while: (error) => Busy.mayWait(error, false), timeout }
  )

const schemaVersion = (filename: string): unknown => {
  if (!Fs.existsSync(filename)) return undefined
  const db = new Sqlite(filename, { fileMustExist: true, timeout: 0 })
  try {
    return db.pragma("schema_version", { simple: true })
  } finally {
    db.close()
  }
}
