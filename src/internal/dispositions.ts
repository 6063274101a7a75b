/*
 * What errors mean in every dialect; each dialect's tables tell which errors mean it.
 */
import type { Disposition } from "../Driver.js"

/** The statement's own fault, found while it ran: it would fail anywhere, and was undone. */
export const failed: Disposition = {
  blame: "statement",
  connection: "keep",
  evidence: "none",
  outcome: "rolledBack",
  readRetry: "none"
}

/** The statement's own fault, found before it did anything. */
export const refused: Disposition = { ...failed, outcome: "refused" }

/** The statement's own fault, found before it left this process. */
export const unsent: Disposition = { ...failed, outcome: "notSent" }

/** An error that neither server nor network made, e.g. of a parameter or a type parser, or that is in no table. */
export const unexplained: Disposition = { ...failed, outcome: "unknown" }

/** It ran longer than the server allows: its own fault, or that of a server under too much load. */
export const timedOut: Disposition = { ...failed, evidence: "soft" }

/** Rolled back in favour of another transaction: to be tried again where it was. */
export const conflict: Disposition = { ...failed, blame: "transaction", readRetry: "sameEndpoint" }

/** A lock was taken that the statement would not wait for. */
export const locked: Disposition = { ...conflict, readRetry: "none" }

/** Asked of a server that is not in the role for it. */
export const wrongRole: Disposition = { ...refused, blame: "role", readRetry: "primary" }

/** The connection went while a statement was on its way. */
export const lost: Disposition = {
  blame: "connection",
  connection: "destroy",
  evidence: "soft",
  outcome: "unknown",
  readRetry: "elsewhere"
}

/** A connection that was already closed was used: nothing left this process. */
export const dead: Disposition = { ...lost, evidence: "none", outcome: "notSent", readRetry: "sameEndpoint" }

/** The server, or the way to it, failed at something that has nothing to do with the statement. */
export const broken: Disposition = { ...lost, blame: "endpoint" }

/** The server is going away. */
export const shutdown: Disposition = { ...broken, evidence: "hard" }

/** The server refused the connection, or was not there. */
export const unreachable: Disposition = { ...shutdown, outcome: "notSent" }

/** The connection did not come about, for a reason that may pass. */
export const notOpened: Disposition = { ...unreachable, evidence: "soft" }

/** The server takes no more connections. */
export const full: Disposition = { ...unreachable, blame: "capacity" }

/** What the connection was opened with is not accepted. */
export const misconfigured: Disposition = { ...unreachable, blame: "configuration" }

/** Where passwords come from is down, not the server. */
export const noPassword: Disposition = { ...misconfigured, evidence: "soft" }
