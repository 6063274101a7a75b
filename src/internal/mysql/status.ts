import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PrimaryHistory } from "../../ConsistencyToken.js"
import type { PhysicalConnection, ServerStatus } from "../../Driver.js"
import { format, reached, type ReplicationPosition } from "../../ReplicationPosition.js"
import * as Position from "./position.js"

const refusesWrites = `CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF') OR @@global.innodb_read_only`

/**
 * `Slave_running` is about the default connection, and needs no privilege, as everything here. MySQL tells as much only
 * to those with a privilege on `performance_schema`.
 *
 * The server counts the seconds since its start by the same clock that `UNIX_TIMESTAMP` reads: the difference is constant.
 */
const statusText = `SELECT
${refusesWrites} AS refuses_writes,
CAST(UNIX_TIMESTAMP() - (SELECT VARIABLE_VALUE
  FROM /*M!100002 information_schema */ /*!50706 performance_schema */ .global_status
  WHERE VARIABLE_NAME = 'Uptime') AS SIGNED) AS started_at,
/*M!100002 (SELECT VARIABLE_VALUE FROM information_schema.global_status WHERE VARIABLE_NAME = 'Slave_running') */
/*!50706 NULL */ AS replicates,
${Position.columns}`

const positionText = `SELECT ${Position.columns}`

export const status = (connection: PhysicalConnection): Effect.Effect<ServerStatus, SqlError> =>
  Effect.map(ask(connection, statusText), (row) => {
    const role = Number(row["refuses_writes"]) === 1 ? "replica" : "primary"
    return {
      role,
      position: Position.ofRow(row),
      replication: row["replicates"] === "ON"
        ? "streaming"
        : role === "primary"
        ? "none"
        : row["replicates"] === "OFF"
        ? "disconnected"
        : "unknown",
      generation: String(row["started_at"])
    }
  })

export const currentPosition = (
  connection: PhysicalConnection
): Effect.Effect<ReplicationPosition | undefined, SqlError> => Effect.map(ask(connection, positionText), Position.ofRow)

const historyText = `SELECT ${Position.columns}, ${Position.historyColumns} FROM DUAL WHERE NOT (${refusesWrites})`

export const history = (connection: PhysicalConnection): Effect.Effect<PrimaryHistory | undefined, SqlError> =>
  Effect.map(ask(connection, historyText), Position.historyOfRow)

/** Waits on the server, which says itself where it then is. */
export const awaitPosition = (
  connection: PhysicalConnection,
  wanted: ReplicationPosition,
  timeout: Duration.Duration
): Effect.Effect<boolean, SqlError> => {
  if (wanted._tag === "PgLsn") return Effect.succeed(false)
  const wait = wanted._tag === "MariaGtid" ? "MASTER_GTID_WAIT" : "WAIT_FOR_EXECUTED_GTID_SET"
  const seconds = (Math.max(0, Duration.toMillis(timeout)) / 1000).toFixed(3)
  const text = `SELECT ${wait}('${format(wanted)}', ${seconds}) AS waited, ${Position.columns}`
  return Effect.map(ask(connection, text), (row) => {
    const position = Position.ofRow(row)
    return position !== undefined && reached(position, wanted) === "reached"
  })
}

/** Has a connection tell what its commits reach. A server that cannot is used without. */
export const trackPositions = (connection: PhysicalConnection): Effect.Effect<void, SqlError> =>
  Effect.catchAll(
    Effect.asVoid(connection.executeUnprepared(Position.trackText, [], undefined)),
    (error) => connection.isUsable() ? Effect.void : Effect.fail(error)
  )

/** Unprepared, for preparing is a round trip of its own. */
const ask = (connection: PhysicalConnection, text: string): Effect.Effect<Position.Row, SqlError> =>
  Effect.map(connection.executeUnprepared(text, [], undefined), (rows) => (rows[0] ?? {}) as Position.Row)
