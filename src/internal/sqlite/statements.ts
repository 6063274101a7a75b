import { SqlError } from "@effect/sql/SqlError"
import type Sqlite from "better-sqlite3"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

interface Entry {
  readonly statement: Sqlite.Statement
  /** In nanoseconds of Effect's Clock; `undefined`: never. */
  readonly expiresAt: bigint | undefined
}

/** The prepared statements of one handle: the `capacity` ones used last, each for its time to live. */
export class PreparedStatements {
  /** In the order of their last use. */
  private readonly entries = new Map<string, Entry>()
  private readonly nanos: bigint | undefined

  constructor(
    private readonly db: Sqlite.Database,
    private readonly capacity: number,
    timeToLive: Duration.Duration
  ) {
    this.nanos = Option.getOrUndefined(Duration.toNanos(timeToLive))
  }

  get(sql: string, now: bigint): Sqlite.Statement {
    const found = this.entries.get(sql)
    if (found !== undefined) this.entries.delete(sql)
    const entry = found !== undefined && (found.expiresAt === undefined || now < found.expiresAt)
      ? found
      : { statement: prepare(this.db, sql), expiresAt: this.nanos === undefined ? undefined : now + this.nanos }
    this.entries.set(sql, entry)
    if (this.entries.size > this.capacity) this.evict()
    return entry.statement
  }

  private evict(): void {
    const [leastRecent] = this.entries.keys()
    this.entries.delete(leastRecent!)
  }
}

/** Prepares a statement, or throws an `SqlError`. */
export const prepare = (db: Sqlite.Database, sql: string): Sqlite.Statement => {
  try {
    return db.prepare(sql)
  } catch (cause) {
    throw new SqlError({ cause, message: "Failed to prepare statement" })
  }
}
