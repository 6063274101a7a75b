import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { PrimaryHistory } from "../../ConsistencyToken.js"
import { pgLsn, type ReplicationPosition } from "../../ReplicationPosition.js"

/**
 * Where a server is: its LSN and its timeline, in hexadecimal as in the names of WAL files.
 *
 * `insert`, not flushed or written: with `synchronous_commit = off` the latter are behind the commits that were
 * acknowledged.
 *
 * No function tells a standby's timeline. The WAL receiver knows what it receives; without a receiver, or without the
 * role `pg_read_all_stats`, there is the control file, which follows at the next restart point. The LSN is read first: if
 * the timeline changes in between, the earlier LSN is on both.
 *
 * Fields of functions' results, for the same as subqueries takes three times as long, nearly all of it to be planned.
 */
const ofServer =
  `(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text,
CASE WHEN pg_is_in_recovery()
  THEN to_hex(COALESCE((pg_stat_get_wal_receiver()).received_tli,
    GREATEST((pg_control_recovery()).min_recovery_end_timeline, (pg_control_checkpoint()).timeline_id)))
  ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END`

/** What never changes for a connection: whose log it is, and how it is divided. */
const ofCluster = `(pg_control_system()).system_identifier::text,
(pg_control_init()).wal_block_size::text,
(pg_control_init()).bytes_per_wal_segment::text`

export interface Cluster {
  readonly system: string
  readonly blockSize: bigint
  readonly segmentSize: bigint
}

/** The columns of a position, all of them texts. */
export const columns = `${ofServer}, ${ofCluster}`

export const text = `SELECT ${columns}`

/**
 * The position of a primary, and, if it was promoted, where it had replayed to by then. The server keeps that as long as it
 * runs, but it tells as much of its recovery from a crash: only who has received WAL since its memory was made was a standby.
 */
export const historyText = `SELECT ${columns},
CASE WHEN pg_last_wal_receive_lsn() IS NOT NULL THEN pg_last_wal_replay_lsn() END::text
WHERE NOT pg_is_in_recovery()`

/** For who knows the cluster already. */
export const textInCluster = `SELECT ${ofServer}`

type Columns = ReadonlyArray<string | null>

export const clusterOf = ([, , system, blockSize, segmentSize]: Columns): Cluster | undefined =>
  system && blockSize && segmentSize
    ? { system, blockSize: BigInt(blockSize), segmentSize: BigInt(segmentSize) }
    : undefined

/** Reads the columns; `undefined` where a server does not tell, as a standby that has replayed nothing yet. */
export const read = (
  columns: Columns,
  cluster: Cluster | undefined = clusterOf(columns)
): ReplicationPosition | undefined => {
  const [lsn, timeline] = columns
  if (!lsn || !timeline || !cluster) return undefined
  return Either.getOrUndefined(Either.map(
    pgLsn(`${cluster.system}/${parseInt(timeline, 16)}`, lsn),
    (position) => ({ ...position, lsn: withoutHeader(position.lsn, cluster) })
  ))
}

/**
 * Reads the columns of {@link historyText}. A promoted server gives its timeline the next number after those that it knows,
 * so the one before is where it came from.
 */
export const readHistory = (
  [lsn, timeline, system, blockSize, segmentSize, left]: Columns
): PrimaryHistory | undefined => {
  const ofCluster = [system ?? null, blockSize ?? null, segmentSize ?? null]
  const position = read([lsn ?? null, timeline ?? null, ...ofCluster])
  if (position === undefined || !left || !timeline) return position && { position }
  const before = parseInt(timeline, 16) - 1
  const end = read([left, before.toString(16), ...ofCluster])
  return { position, left: end?._tag === "PgLsn" ? new Map([[before, end.lsn]]) : undefined }
}

/** Sizes of what begins a segment, and any other page of the log (`SizeOfXLogLongPHD`, `SizeOfXLogShortPHD`). */
const segmentHeader = 40n
const pageHeader = 24n

/**
 * What is inserted next goes behind the header of its page; where replay ends is before it. On an idle system, after
 * `pg_switch_wal` for instance, the difference would look like lag for ever.
 */
const withoutHeader = (lsn: bigint, { blockSize, segmentSize }: Cluster): bigint => {
  if (lsn % segmentSize === segmentHeader) return lsn - segmentHeader
  return lsn % blockSize === pageHeader ? lsn - pageHeader : lsn
}

/** SQLSTATEs of a function that we may not execute, or that the server (a fork, a service) does not have. */
const notForUs: ReadonlyArray<unknown> = ["42501", "42883", "0A000"]

/** Whether asking for a position failed because it will never be answered. */
export const isNotForUs = (cause: unknown): boolean =>
  Predicate.hasProperty(cause, "code") && notForUs.includes(cause.code)
