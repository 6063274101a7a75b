import type * as Tracer from "effect/Tracer"
import type { Plan, PlanConsistency } from "../Plan.js"
import type { Call } from "./call.js"
import type { Server } from "./database.js"

/** Counts an attempt, and tells span and listeners which server runs the statement, and why; again when another does. */
export const announce = (call: Call, server: Server): void => {
  const { plan, tally } = call
  const reason = reasonOn(server, plan)
  if (tally !== undefined) {
    tally.statement(server.endpoint, server.role, reason)
    if (plan.access === "readOnly" && isFallback(plan, server)) tally.fallbackRead(plan.database)
  }
  tell(call, server, reason)
}

/** The same without counting: the attempt was, or it is none. */
export const tell = (call: Call, server: Server, reason = reasonOn(server, call.plan)): void => {
  const { capture, plan, span } = call
  const { name, role } = server
  call.server = server
  if (span !== undefined) {
    for (const [key, value] of server.attributes) span.attribute(key, value)
    span.attribute("sql.router.endpoint", name)
    span.attribute("sql.router.role", role)
    span.attribute("sql.router.reason", reason)
    if (plan.consistency !== undefined) describeConsistency(span, plan.consistency)
  }
  if (capture === undefined && !call.isHeard) return
  const before = call.decision
  call.decision = { sql: call.sql, facts: call.facts, plan, endpoint: name, role, reason }
  if (capture === undefined) return
  // Others that run beside it may have been captured since.
  const at = before === undefined ? -1 : capture.lastIndexOf(before)
  if (at === -1) capture.push(call.decision)
  else capture[at] = call.decision
}

const describeConsistency = (span: Tracer.Span, { age, by, fallback, level, position }: PlanConsistency): void => {
  span.attribute("sql.router.consistency.level", level)
  span.attribute("sql.router.consistency.by", by)
  if (position !== undefined) span.attribute("sql.router.consistency.position", position)
  if (age !== undefined) span.attribute("sql.router.consistency.age_ms", age)
  if (fallback !== undefined) span.attribute("sql.router.consistency.fallback", fallback)
}

/** Whether the server is the primary, in the place of replicas. */
export const isFallback = ({ candidates }: Plan, server: Server): boolean =>
  server.role === "primary" &&
  candidates.some(({ endpoints, isFallback }) => isFallback && endpoints.includes(server.name))

const reasonOn = (server: Server, plan: Plan): string =>
  server.role === "primary" && plan.candidates[0]?.role === "replica" &&
    !plan.candidates[0].endpoints.includes(server.name)
    ? "read, but no replica could serve it"
    : plan.reason
