import type { Plan } from "../Plan.js"
import type { Access, StatementFacts } from "../StatementFacts.js"

/** The endpoints a plan is made for; the snapshot will grow as health, lag and sessions come to have a say. */
export interface Snapshot {
  readonly database: string
  readonly primary: string
  /** Replicas that take reads. */
  readonly replicas: ReadonlyArray<string>
  readonly excluded: Plan["excluded"]
}

/** A plan for any statement: pure and total. */
export type Planner = (facts: StatementFacts) => Plan

/** Why a statement of this access goes to the primary. */
const primaryReasons: { readonly [access in Access]: string } = {
  read: "read that only the primary may answer",
  write: "write",
  lock: "takes locks",
  session: "depends on its session",
  transaction: "transaction control",
  admin: "administration",
  unknown: "not recognised as a read"
}

/**
 * The default rules: a confirmed read goes to a replica, everything else to the primary.
 *
 * Nothing in them depends on the text or its parameters, so the few plans there are get made once, and planning a
 * statement allocates nothing.
 */
export const make = (snapshot: Snapshot): Planner => {
  const { database, excluded, primary, replicas } = snapshot
  const primaryOnly = [{ role: "primary", endpoints: [primary] }] as const
  const toPrimary = (reason: string): Plan => ({
    database,
    rule: "everything else to the primary",
    reason,
    candidates: primaryOnly,
    excluded: [],
    access: "readWrite",
    retry: "unsentOnly"
  })
  const toReplica: Plan = {
    database,
    rule: "reads to a replica",
    reason: replicas.length === 0 ? "read, but no replica takes reads" : "read",
    candidates: replicas.length === 0 ? primaryOnly : [{ role: "replica", endpoints: replicas }, ...primaryOnly],
    excluded,
    access: "readOnly",
    retry: "read"
  }
  const plans = Object.fromEntries(
    Object.entries(primaryReasons).map(([access, reason]) => [access, toPrimary(reason)])
  ) as { readonly [access in Access]: Plan }
  return (facts) => facts.replicaSafe ? toReplica : plans[facts.access]
}

/** The plan of a statement inside a transaction: it runs where the transaction runs. */
export const pinned = (database: string, primary: string): Plan => ({
  database,
  rule: "a transaction stays where it began",
  reason: "in a transaction",
  candidates: [{ role: "primary", endpoints: [primary] }],
  excluded: [],
  access: "readWrite",
  retry: "never"
})
