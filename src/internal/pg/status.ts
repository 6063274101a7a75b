import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PrimaryHistory } from "../../ConsistencyToken.js"
import type { PhysicalConnection, ServerStatus } from "../../Driver.js"
import { format, reached, type ReplicationPosition } from "../../ReplicationPosition.js"
import { poll } from "../awaitPosition.js"
import * as Position from "./position.js"

type Columns = ReadonlyArray<string | null>

/**
 * Whether it is a standby; whether its WAL receiver is connected; since when the server is up; who set it to refuse
 * writes. The source of the last tells a server's setting from those that only our own connections have.
 */
const plainColumns = `pg_is_in_recovery()::text,
CASE WHEN (pg_stat_get_wal_receiver()).pid IS NULL THEN 'absent'
  ELSE COALESCE((pg_stat_get_wal_receiver()).status, 'hidden') END,
extract(epoch FROM pg_postmaster_start_time())::text,
CASE WHEN current_setting('default_transaction_read_only') = 'on'
  THEN (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') END`

const statusText = `SELECT ${plainColumns}, ${Position.columns}`
const plainText = `SELECT ${plainColumns}`

/** Sources of a setting that is a session's own, or that of the client that opened it. */
const ownSources = ["client", "session"]

/** What the server says of itself; only the position is missing where its functions are not to be executed by us. */
export const status = (connection: PhysicalConnection): Effect.Effect<ServerStatus, SqlError> =>
  Effect.map(
    whereAllowed(ask(connection, statusText), ask(connection, plainText)),
    ([inRecovery, receiver, startedAt, readOnlySource, ...position]) => {
      const isStandby = inRecovery === "true"
      const isFenced = typeof readOnlySource === "string" && !ownSources.includes(readOnlySource)
      return {
        role: isStandby || isFenced ? "replica" : "primary",
        position: Position.read(position),
        // Who may not see the receiver's state sees that there is one: it ends when its connection does.
        replication: !isStandby ? "none" : receiver === "streaming" || receiver === "hidden"
          ? "streaming"
          : "disconnected",
        generation: startedAt ?? ""
      }
    }
  )

export const currentPosition = (
  connection: PhysicalConnection
): Effect.Effect<ReplicationPosition | undefined, SqlError> =>
  Effect.map(
    whereAllowed(ask(connection, Position.text), Effect.succeed<Columns>([])),
    (columns) => Position.read(columns)
  )

export const history = (connection: PhysicalConnection): Effect.Effect<PrimaryHistory | undefined, SqlError> =>
  Effect.map(whereAllowed(ask(connection, Position.historyText), Effect.succeed<Columns>([])), Position.readHistory)

/**
 * Waits until a standby has replayed a position: by asking again and again, or, since PostgreSQL 19, by `WAIT FOR LSN`,
 * written after its documentation and not tried on a server yet. That knows nothing of timelines: the position is asked
 * for once more.
 */
export const awaitPosition = (
  connection: PhysicalConnection,
  wanted: ReplicationPosition,
  timeout: Duration.Duration
): Effect.Effect<boolean, SqlError> =>
  Effect.gen(function*() {
    const [elapsed, [version, ...columns]] = yield* Effect.timed(
      whereAllowed(
        ask(connection, `SELECT current_setting('server_version_num'), ${Position.columns}`),
        Effect.succeed<Columns>([])
      )
    )
    const position = Position.read(columns)
    const verdict = position === undefined ? "otherHistory" : reached(position, wanted)
    if (verdict !== "behind") return verdict === "reached"
    const left = Duration.subtract(timeout, elapsed)
    if (Number(version) < waitForVersion) return yield* poll(currentPosition(connection), wanted, left)
    const [waited] = yield* Effect.timed(
      Effect.ignore(connection.executeUnprepared(waitFor(wanted, left), [], undefined))
    )
    return yield* poll(currentPosition(connection), wanted, Duration.subtract(left, waited))
  })

const waitForVersion = 190_000

const waitFor = (position: ReplicationPosition, timeout: Duration.Duration): string =>
  `WAIT FOR LSN '${format(position)}' WITH (TIMEOUT '${Math.ceil(Duration.toMillis(timeout))}ms', NO_THROW)`

const ask = (connection: PhysicalConnection, text: string): Effect.Effect<Columns, SqlError> =>
  Effect.map(connection.executeValues(text, []), (rows) => (rows[0] ?? []) as Columns)

const whereAllowed = <A>(
  effect: Effect.Effect<A, SqlError>,
  otherwise: Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> => Effect.catchIf(effect, (error) => Position.isNotForUs(error.cause), () => otherwise)
