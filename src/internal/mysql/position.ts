import * as Either from "effect/Either"
import type { PrimaryHistory } from "../../ConsistencyToken.js"
import { mariaGtid, mysqlGtid, type ReplicationPosition } from "../../ReplicationPosition.js"

/** An OK packet, as mysql2 reads it. */
export interface Header {
  serverStatus: number
  stateChanges?: {
    readonly systemVariables: { [name: string]: string }
    readonly schema: string | null
    readonly trackStateChange: string | null
    gtids: ReadonlyArray<string>
  }
}

/** The GTID that an answer brought, as the server wrote it. */
export interface Told {
  readonly maria: string | undefined
  readonly mysql: ReadonlyArray<string>
}

/** A status bit: the packet tells changes of the session. */
const sessionStateChanged = 0x4000

/**
 * Takes what {@link trackText} asked for out of a header, which is then what it would be without: that of a program that
 * never asked. One that tracks GTIDs itself does not see them here.
 */
export const take = (header: Header): Told | undefined => {
  const { stateChanges } = header
  if (stateChanges === undefined) return undefined
  const { gtids, schema, systemVariables, trackStateChange } = stateChanges
  const told = { maria: systemVariables["last_gtid"], mysql: gtids }
  delete systemVariables["last_gtid"]
  stateChanges.gtids = []
  if (Object.keys(systemVariables).length === 0 && schema === null && trackStateChange === null) {
    delete header.stateChanges
    header.serverStatus &= ~sessionStateChanged
  }
  return told
}

/**
 * Has a session tell, with the answer to whatever commits, the transaction's GTID. One text for MariaDB and MySQL: each
 * reads the comment that is meant for it. The list of variables keeps what mysql2 itself follows.
 */
export const trackText = `SET SESSION session_track_schema = @@session.session_track_schema
/*M!100203 , SESSION session_track_system_variables = CONCAT(@@session.session_track_system_variables, ',last_gtid') */
/*!50706 , SESSION session_track_gtids = 'OWN_GTID' */`

/** The position that an answer brought. */
export const read = ({ maria, mysql }: Told): ReplicationPosition | undefined =>
  maria ? readMaria(maria) : mysql.length > 0 ? readMysql(mysql.join(",")) : undefined

/**
 * The columns of a server's position: MariaDB's, or MySQL's, which was written after its documentation and not tried on
 * a server yet. MariaDB counts separately what it replicated and what is in its own log: who may not write here wants
 * the former, and it is set after the data can be seen; the latter is before, and what a primary's replicas get.
 */
export const columns = `/*M!100002 IF(@@global.read_only OR @@session.tx_read_only, @@global.gtid_slave_pos,
@@global.gtid_binlog_pos) AS maria_gtid */ /*!50706 @@global.gtid_executed AS mysql_gtid */`

/** What tells whether the server's log has a transaction of before a failover. A set of MySQL's tells that itself. */
export const historyColumns = `/*M!100002 @@global.gtid_binlog_state AS maria_state */ /*!50706 NULL AS maria_state */`

export interface Row {
  readonly [column: string]: unknown
}

/** Reads the columns; `undefined` where the server keeps no GTIDs. */
export const ofRow = ({ maria_gtid, mysql_gtid }: Row): ReplicationPosition | undefined =>
  maria_gtid ? readMaria(String(maria_gtid)) : mysql_gtid ? readMysql(String(mysql_gtid)) : undefined

/** Reads {@link columns} and {@link historyColumns}. */
export const historyOfRow = (row: Row): PrimaryHistory | undefined => {
  const position = ofRow(row)
  return position && { position, written: readState(row["maria_state"]) }
}

/** A list of GTIDs: of each domain, the last of each server. */
const readState = (state: unknown): PrimaryHistory["written"] => {
  const written = new Map<number, Map<number, bigint>>()
  for (const gtid of state ? String(state).split(",") : []) {
    const position = readMaria(gtid)
    for (const [domain, { sequence, server }] of position?._tag === "MariaGtid" ? position.domains : []) {
      const servers = written.get(domain)
      if (servers === undefined) written.set(domain, new Map([[server, sequence]]))
      else servers.set(server, sequence)
    }
  }
  return written
}

const readMaria = (text: string) => Either.getOrUndefined(mariaGtid(text))

const readMysql = (text: string) => Either.getOrUndefined(mysqlGtid(text))
