import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { CommitTracking, TransactionTexts } from "../../Driver.js"
import { isolationText } from "../isolation.js"
import { standardTexts } from "../standardTexts.js"

const begin: TransactionTexts["begin"] = (mode) => {
  const { access, deferrable, isolation } = mode
  if (mode.mode !== undefined) return Either.left(`mode "${mode.mode}" is SQLite's; PostgreSQL has none`)
  if (deferrable === true && (isolation !== "serializable" || access !== "readOnly")) {
    return Either.left("deferrable has a meaning only for transactions that are serializable and read only")
  }
  const text = [
    "BEGIN",
    ...(isolation === undefined ? [] : [`ISOLATION LEVEL ${isolationText[isolation]}`]),
    ...(access === "readOnly" ? ["READ ONLY"] : []),
    ...(deferrable === true ? ["DEFERRABLE"] : [])
  ].join(" ")
  return Either.right({ mode, texts: [text], after: [] })
}

export const texts: TransactionTexts = {
  begin,
  snapshot: "repeatableRead",
  ...standardTexts
}

/** A transaction in which a statement had failed answers ROLLBACK to COMMIT. */
export const commitWasRollback = (raw: unknown): boolean => {
  const [result] = Array.isArray(raw) ? raw : [raw]
  return (result as { readonly command?: string } | undefined)?.command === "ROLLBACK"
}

/**
 * The transaction's id, and the timeline it is valid on: after a failover the new primary may give the same id to another
 * transaction. `pg_xact_status`: PostgreSQL documentation, 9.27.8; both functions exist since version 13.
 */
export const commitTracking: CommitTracking = {
  identify: (connection) =>
    Effect.map(
      connection.execute(
        `SELECT pg_current_xact_id_if_assigned()::text AS xid, ${timeline} AS timeline`,
        [],
        undefined
      ),
      ([row]) => row.xid === null ? undefined : `${row.timeline}/${row.xid}`
    ),
  outcome: (connection, id) => {
    const [on, xid] = id.split("/")
    return Effect.flatMap(
      connection.execute(`SELECT ${timeline} = $1 AS same`, [on], undefined),
      ([row]) =>
        row.same === true
          ? Effect.map(
            connection.execute("SELECT pg_xact_status($1::xid8) AS status", [xid], undefined),
            ([row]) => outcomes[row.status as string] ?? "unknown"
          )
          : Effect.succeed("unknown")
    )
  }
}

const timeline = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"

/** It answers `NULL` once it has forgotten. */
const outcomes: { readonly [status: string]: "committed" | "rolledBack" | "inProgress" } = {
  committed: "committed",
  aborted: "rolledBack",
  "in progress": "inProgress"
}
