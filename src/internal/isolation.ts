import type { IsolationLevel } from "../Driver.js"

/** The levels in SQL's own words. */
export const isolationText: { readonly [level in IsolationLevel]: string } = {
  readUncommitted: "READ UNCOMMITTED",
  readCommitted: "READ COMMITTED",
  repeatableRead: "REPEATABLE READ",
  serializable: "SERIALIZABLE"
}
