import * as Either from "effect/Either"
import type { TransactionTexts } from "../../Driver.js"
import { standardTexts } from "../standardTexts.js"

/** Ends what a read-only transaction began with. */
export const allowWrites = ["PRAGMA query_only = 0"]

export const texts: TransactionTexts = {
  begin: ({ access, deferrable, isolation, mode }) => {
    if (deferrable === true) return Either.left("deferrable is PostgreSQL's; SQLite has no such transactions")
    if (isolation !== undefined && isolation !== "serializable") {
      return Either.left(`isolation "${isolation}" is not SQLite's: all its transactions are serializable`)
    }
    if (access === "readOnly") {
      if (mode !== undefined && mode !== "deferred") {
        return Either.left(`mode "${mode}" takes the lock for writing, which a read-only transaction does not need`)
      }
      return Either.right({
        mode: { access, isolation: "serializable", mode: "deferred" },
        // A database in memory has one connection for everything: there, the pragma alone refuses writes.
        texts: ["PRAGMA query_only = 1", "BEGIN"],
        after: allowWrites
      })
    }
    // A deferred BEGIN that comes to write may find that it read too early (SQLITE_BUSY_SNAPSHOT): no waiting helps then.
    const lock = mode ?? "immediate"
    return Either.right({
      mode: { access, isolation: "serializable", mode: lock },
      texts: [`BEGIN ${lock.toUpperCase()}`],
      after: []
    })
  },
  snapshot: "serializable",
  ...standardTexts
}
