import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { codeOf } from "./dispositions.js"

/**
 * Errors that say: another process, or another handle of this one, holds the lock for now.
 *
 * None of them has an effect, nor ends the transaction around: of the failures of a step, SQLite itself rolls back for
 * NOMEM, IOERR, INTERRUPT and FULL only (`sqlite3VdbeHalt`).
 */
const busyCodes: ReadonlySet<unknown> = new Set(["SQLITE_BUSY", "SQLITE_BUSY_RECOVERY"])

/**
 * Whether it helps to wait and try again. A transaction that has read an older snapshot than it would write to stays
 * refused however long it waits: it has to begin anew. A statement of its own begins anew by itself.
 */
export const mayWait = ({ cause }: SqlError, inTransaction: boolean): boolean => {
  const code = codeOf(cause)
  return busyCodes.has(code) || (code === "SQLITE_BUSY_SNAPSHOT" && !inTransaction)
}

/** 5, 10, 20, 40, 80 ms, then every 100 ms: a commit elsewhere takes milliseconds. */
const patience = (timeout: Duration.Duration): Schedule.Schedule<unknown> =>
  Schedule.exponential("5 millis").pipe(Schedule.union(Schedule.spaced("100 millis")), Schedule.upTo(timeout))

/**
 * Tries until the lock is free. SQLite's own busy timeout sleeps in the thread, and with it every fiber and timer of
 * the program; this one waits like every fiber, and can be interrupted.
 */
export const retry = <A>(
  attempt: Effect.Effect<A, SqlError>,
  options: { readonly while: (error: SqlError) => boolean; readonly timeout: Duration.Duration }
): Effect.Effect<A, SqlError> => Effect.retry(attempt, { schedule: patience(options.timeout), while: options.while })
