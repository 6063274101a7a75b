/** What errors a program may see while servers fail under it. */
import type { SqlError } from "@effect/sql/SqlError"
import { Option } from "effect"
import * as RoutingError from "effect-sql-router/RoutingError"

/** The package's tag, else the server's or the socket's code, else what the driver says. */
export const nameOf = (error: SqlError): string => {
  const ours = Option.getOrUndefined(RoutingError.from(error))
  if (ours !== undefined) return ours._tag
  const { code, errno, message } = Object(error.cause) as {
    readonly code?: unknown
    readonly errno?: unknown
    readonly message?: unknown
  }
  return String(code ?? errno ?? message)
}

/**
 * A server ended, changed its role, or was not to be had. Of two that are asked while one takes over from the other, both may
 * have said that they are the primary, each in its time.
 */
const ofOutages: ReadonlyArray<string> = [
  "AcquireTimeout",
  "EndpointUnavailable",
  "NoPrimary",
  "OutcomeUnknown",
  "ReplicasUnavailable",
  "SplitBrain"
]

/**
 * What holds a connection fails with what that one failed with; so does a read that lost one each time it was tried. 40001: a
 * standby had to choose between a read and replaying its primary, and the read had given rows already.
 */
const ofLostConnections: ReadonlyArray<string> = [
  "40001",
  "57P01",
  "57P03",
  "CONNECTION_CLOSED",
  "Client has encountered a connection error and is not queryable",
  "Connection terminated unexpectedly",
  "ECONNRESET",
  "EPIPE",
  "ER_CONNECTION_KILLED",
  "ER_SERVER_SHUTDOWN",
  "PROTOCOL_CONNECTION_LOST"
]

/** A transaction of a primary that became a replica meanwhile, and one that was in another one's way. */
const ofTransactions: ReadonlyArray<string> = [
  "0A000",
  "25006",
  "40P01",
  "CommitOutcomeUnknown",
  "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
  "ER_LOCK_DEADLOCK",
  "ER_OPTION_PREVENTS_STATEMENT",
  "TransactionClosed",
  "TransactionRolledBack"
]

/** What a piece of work may fail with. */
export const expected = {
  statement: new Set([...ofOutages, ...ofLostConnections]),
  deadline: new Set([...ofOutages, ...ofLostConnections, "DeadlineExceeded"]),
  connection: new Set([...ofOutages, ...ofLostConnections]),
  transaction: new Set([...ofOutages, ...ofLostConnections, ...ofTransactions])
} as const

export type Nature = keyof typeof expected

/** Another one's cancel: PostgreSQL's query_canceled, MariaDB's ER_QUERY_INTERRUPTED. */
export const strayCancels: ReadonlySet<string> = new Set(["57014", "ER_QUERY_INTERRUPTED"])
