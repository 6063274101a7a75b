import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Tracer from "effect/Tracer"
import * as RoutingError from "../RoutingError.js"

/**
 * Tells a span what its statement failed with, by the names of OpenTelemetry: the server's own code where it gave one, else
 * what kind of error it was. An interruption is none.
 */
export const describeError = (span: Tracer.Span, cause: Cause.Cause<unknown>): void => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "None" || !(failure.value instanceof SqlError)) return
  const origin: ErrorFields = Object(RoutingError.origin(failure.value))
  const code = statusCode(origin)
  if (code !== undefined) span.attribute("db.response.status_code", code)
  span.attribute("error.type", code ?? text(origin._tag) ?? text(origin.code) ?? text(origin.name) ?? "_OTHER")
}

/** Of whichever driver. */
interface ErrorFields {
  readonly _tag?: unknown
  readonly code?: unknown
  readonly errno?: unknown
  readonly name?: unknown
  readonly severity?: unknown
  readonly sqlState?: unknown
}

/** What a server answered: PostgreSQL's SQLSTATE, MySQL's number, SQLite's name of its code. */
const statusCode = ({ code, errno, severity, sqlState }: ErrorFields): string | undefined => {
  if (typeof errno === "number" && typeof sqlState === "string") return String(errno)
  return typeof code === "string" && (typeof severity === "string" || code.startsWith("SQLITE_")) ? code : undefined
}

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined
