/**
 * What errors of PostgreSQL and of pg mean. SQLSTATEs: PostgreSQL documentation, appendix A; the readings were tried on
 * real servers.
 */
import { SqlError } from "@effect/sql/SqlError"
import type { Disposition } from "../../Driver.js"
import { EndpointUnavailable } from "../../RoutingError.js"
import {
  broken,
  conflict,
  dead,
  failed,
  full,
  locked,
  lost,
  misconfigured,
  noPassword,
  notOpened,
  refused,
  shutdown,
  timedOut,
  unexplained,
  unreachable,
  wrongRole
} from "../dispositions.js"
import { PasswordUnavailable } from "../password.js"

/** The message of the error of a statement that was sent, and that the server provably did not read any more. */
export const neverRead = "The server ended the connection before it read the statement"

/** The server ended an idle connection; the statement crossed the news. */
const expired: Disposition = { ...dead, outcome: "unknown" }

/** The server has forgotten a prepared statement, or what its result looked like. */
const stalePlan: Disposition = { ...dead, outcome: "refused" }

/** The statement needs more than it may have, here or anywhere: `temp_file_limit` and the like. */
const overLimit: Disposition = { ...failed, blame: "capacity" }

const exhausted: Disposition = { ...overLimit, evidence: "soft", readRetry: "elsewhere" }

/** A standby had to choose between the read and replaying its primary. */
const recoveryConflict: Disposition = { ...conflict, readRetry: "elsewhere" }

/** A replica may not have replayed the DDL yet: its primary knows. */
const unknownName: Disposition = { ...failed, readRetry: "primary" }

/** SQLSTATEs of an error that a statement failed with. */
export const bySqlState: { readonly [code: string]: Disposition } = {
  "08001": unreachable,
  "08004": unreachable,
  "08007": broken,
  "0A000": failed,
  "25006": wrongRole,
  "25P02": refused,
  "25P03": expired,
  "25P04": expired,
  "26000": stalePlan,
  "28000": misconfigured,
  "28P01": misconfigured,
  "3D000": misconfigured,
  "40001": conflict,
  "40002": failed,
  "40003": broken,
  "40P01": conflict,
  "42703": unknownName,
  "42883": unknownName,
  "42P01": unknownName,
  "53300": full,
  "53400": overLimit,
  "55000": failed,
  "55006": locked,
  "55P03": locked,
  "57014": failed,
  "57P01": shutdown,
  "57P02": shutdown,
  "57P03": unreachable,
  "57P04": { ...shutdown, blame: "configuration", readRetry: "none" },
  "57P05": expired,
  "XX001": shutdown,
  "XX002": shutdown
}

/** Classes of SQLSTATE, where the exact code is in no table. */
export const bySqlStateClass: { readonly [firstTwo: string]: Disposition } = {
  "08": lost,
  "40": conflict,
  "53": exhausted,
  "57": lost,
  "58": broken,
  "F0": broken,
  "XX": broken
}

/**
 * Meanings that share a SQLSTATE with another. `routine` is the server's own function, the same in all its languages;
 * messages are known in English alone, and what is not known there falls back to the SQLSTATE.
 */
export const bySqlStateAndText: ReadonlyArray<{
  readonly codes: ReadonlyArray<string>
  readonly message: RegExp
  readonly routines?: ReadonlyArray<string>
  readonly disposition: Disposition
}> = [
  {
    codes: ["40001", "40P01"],
    message: /conflict with recovery/,
    routines: ["ProcessInterrupts", "ProcessRecoveryConflictInterrupt"],
    disposition: recoveryConflict
  },
  {
    codes: ["0A000"],
    message: /cached plan must not change/,
    routines: ["RevalidateCachedQuery"],
    disposition: stalePlan
  },
  { codes: ["0A000", "55000"], message: /hot standby|during recovery|recovery is in progress/, disposition: wrongRole },
  { codes: ["57014"], message: /statement timeout/, disposition: timedOut },
  // Our own cancels are never seen, because their statement was interrupted: somebody else's hit this one.
  {
    codes: ["57014"],
    message: /user request/,
    disposition: { ...failed, blame: "connection", readRetry: "elsewhere" }
  }
]

/** SQLSTATE classes of an error that a connection was refused with; every other one is a matter of configuration. */
export const bySqlStateClassAtConnect: { readonly [firstTwo: string]: Disposition } = {
  "08": unreachable,
  "53": full,
  "57": unreachable,
  "58": unreachable,
  "F0": unreachable,
  "XX": unreachable
}

/** Codes of Node's socket errors, on a connection that was open. */
export const bySocketCode: { readonly [code: string]: Disposition } = {
  ECONNRESET: lost,
  EHOSTUNREACH: lost,
  ENETUNREACH: lost,
  EPIPE: lost,
  ETIMEDOUT: lost
}

/** Errors of pg itself, which have nothing but a message. */
export const byDriverMessage: ReadonlyArray<{ readonly message: RegExp; readonly disposition: Disposition }> = [
  { message: /^Connection terminated/, disposition: lost },
  { message: /^Client .*not queryable$/, disposition: dead },
  // The server still runs it, and its answer would be taken for the next statement's.
  { message: /^Query read timeout$/, disposition: broken }
]

/** What the router's own errors say that came while connecting. */
export const failedToConnect = "Failed to connect"

const timeout = /time(d )?out|not connected within/i

/** What an error means that a statement, or opening a connection, failed with. */
export const of = (error: SqlError): Disposition => {
  const { atConnect, cause } = unwrap(error)
  if (cause instanceof PasswordUnavailable) return noPassword
  if (error.message === neverRead) return dead
  const { code, message, routine, severity, syscall } = describe(cause)
  // Only a server has severity; EPIPE would make a fine SQLSTATE.
  const sqlState = severity === "" ? undefined : code
  if (atConnect || syscall === "connect" || syscall === "getaddrinfo") {
    if (sqlState !== undefined) return bySqlStateClassAtConnect[sqlState.slice(0, 2)] ?? misconfigured
    return timeout.test(message) || code === "ETIMEDOUT" ? notOpened : unreachable
  }
  if (sqlState === undefined) {
    return bySocketCode[code] ??
      byDriverMessage.find((row) => row.message.test(message))?.disposition ??
      unexplained
  }
  const told = bySqlStateAndText.find((row) =>
    row.codes.includes(sqlState) && (row.message.test(message) || row.routines?.includes(routine))
  )
  const disposition = told?.disposition ?? bySqlState[sqlState] ?? bySqlStateClass[sqlState.slice(0, 2)] ?? failed
  return severity === "FATAL" || severity === "PANIC" ? { ...disposition, connection: "destroy" } : disposition
}

type ErrorField = "code" | "message" | "routine" | "severity" | "syscall"

const describe = (cause: unknown): { readonly [field in ErrorField]: string } => {
  // A name with several addresses fails with an error for each of them.
  const error = Object(cause instanceof AggregateError ? cause.errors[0] : cause)
  const text = (field: ErrorField): string => typeof error[field] === "string" ? error[field] : ""
  return {
    code: text("code"),
    message: text("message"),
    routine: text("routine"),
    severity: text("severity"),
    syscall: text("syscall")
  }
}

/**
 * Whether the process that serves a connection says that it was told to end. It sends what it has to say about statements
 * before that: one that it has not acknowledged, it has not read. A pooler that lost its server may say so, too, but not
 * by this function.
 */
export const isEndOfSession = (cause: unknown): boolean => {
  const { routine, severity } = describe(cause)
  return severity === "FATAL" && routine === "ProcessInterrupts"
}

/** The driver's error, and whether it came while connecting. */
const unwrap = (error: SqlError): { readonly cause: unknown; readonly atConnect: boolean } => {
  let atConnect = false
  let cause: unknown = error
  while (cause instanceof SqlError || cause instanceof EndpointUnavailable) {
    atConnect ||= cause._tag === "EndpointUnavailable" || cause.message === failedToConnect
    cause = cause.cause
  }
  return { atConnect, cause }
}
