import type { Plan, Refusal } from "../Plan.js"
import type { ReplicaStrategy } from "../ReplicaStrategy.js"
import type { Access, SessionEffect, StatementFacts, StatementKind } from "../StatementFacts.js"
import type { Level } from "./consistency/level.js"

/**
 * What a plan does with a statement's role: `auto` sends confirmed reads to a replica and everything else to the primary;
 * `any` lets primary and replicas share the reads.
 */
export type RouteRole = "auto" | "primary" | "replica" | "any"

/** Where a rule, or the program, sends a statement within its Database. A value of long life: plans are kept by it. */
export interface Route {
  /** Who says so: the rule's name, or the override's. */
  readonly rule: string
  readonly role: RouteRole
  /** This endpoint and no other. */
  readonly endpoint: string | undefined
  /** Why the statement must not run at all. */
  readonly deny: Refusal | undefined
  /** Which replica takes a read, if that is not for its Database to say. */
  readonly strategy: ReplicaStrategy | undefined
  /** How fresh reads must be, where the rule says so. */
  readonly consistency?: Level | undefined
}

/** Where statements go when nobody says otherwise. */
export const defaultRoute: Route = {
  rule: "reads to a replica, everything else to the primary",
  role: "auto",
  endpoint: undefined,
  deny: undefined,
  strategy: undefined
}

/** A Database as plans see it; a new one is made when something of it changes. */
export interface Topology {
  readonly database: string
  readonly primary: string
  /** Replicas that may serve reads now. */
  readonly replicas: ReadonlyArray<string>
  /** Replicas that may not, each with the reason. */
  readonly excluded: Plan["excluded"]
  /** Whether the primary also serves the reads that no replica can. */
  readonly primaryServesReads: boolean
  /** Whether the primary is one of those that share the reads. */
  readonly primaryAmongReplicas: boolean
  readonly isReplica: (endpoint: string) => boolean
}

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
 * What becomes of statements that change their session, or depend on it, outside of anything that holds one connection;
 * `own` is for connections that are held.
 */
export type SessionStatePolicy = "refuse" | "primary" | "own"

/**
 * What a statement has to do with its session: it `depends` on what another one left there; it `leaves` something, but is
 * complete in itself; or it `changes` the session, for those that come after it.
 */
type SessionUse = "none" | "depends" | "leaves" | "changes"

/** Whether the next to use the connection would find it; the server's own counters are nobody's. */
const lasts = ({ change, state, until }: SessionEffect): boolean =>
  change !== "reads" && until === "session" && state !== "generated value"

/** Whether it comes from a statement before, or is for one after. */
const isShared = ({ change, state, until }: SessionEffect, access: Access): boolean => {
  // What others may be asked just as well is not of the session alone.
  if (change === "reads") return state !== "setting" && state !== "identity" && state !== "database" && state !== "lock"
  if (state === "generated value") return false
  // A write is a transaction of its own, which may take a lock for its length.
  return until === "session" || access !== "write"
}

/** Whether the session is another one after the statement. */
const leavesSession = (facts: StatementFacts): boolean => !facts.replicaSafe && facts.sessionEffects.some(lasts)

const sessionUse = (facts: StatementFacts): SessionUse => {
  const { access, kind, sessionEffects, transaction } = facts
  if (kind === "multiple") return leavesSession(facts) ? "leaves" : "none"
  if (access === "transaction") {
    // The second half of a two-phase commit may come from any connection.
    const isSecondPhase = transaction?.name !== undefined
      && (transaction.action === "commit" || transaction.action === "rollback")
    // A transaction that is left open is rolled back with the return of its connection.
    return isSecondPhase ? "none" : sessionEffects.some(lasts) ? "changes" : "depends"
  }
  // Settings of the server; of the one connection that writes to a file.
  if (access === "admin" || kind === "pragma") return "none"
  if (kind !== "attach" && !sessionEffects.some((effect) => isShared(effect, access))) return "none"
  return sessionEffects.some(lasts) ? "changes" : "depends"
}

/** Writes that are done or undone as a whole; what a procedure committed before it failed stays. */
const isSingleWrite: { readonly [kind in StatementKind]?: true } = {
  insert: true,
  update: true,
  delete: true,
  replace: true,
  merge: true
}

interface PlansOfRoute {
  read: Plan | undefined
  /** For the others: by access, and for selects that nobody can vouch for apart from the rest. */
  readonly others: Map<string, Plan>
}

/**
 * Plans the statements of one Database: pure and total.
 *
 * Nothing in a plan depends on the text or its parameters beyond the route they led to, so the few plans there are get made
 * once per topology, and planning a statement allocates nothing.
 */
export class Planner {
  private plans = new WeakMap<Route, PlansOfRoute>()
  private pinnedPlan: Plan
  private pinnedLeaving: Plan

  constructor(private current: Topology, private readonly sessionState: SessionStatePolicy) {
    this.pinnedPlan = pinned(current, false)
    this.pinnedLeaving = pinned(current, true)
  }

  get topology(): Topology {
    return this.current
  }

  /** What changes makes all plans anew; those on their way are carried out as they are. */
  set topology(topology: Topology) {
    this.current = topology
    this.plans = new WeakMap()
    this.pinnedPlan = pinned(topology, false)
    this.pinnedLeaving = pinned(topology, true)
  }

  plan(facts: StatementFacts, route: Route): Plan {
    let plans = this.plans.get(route)
    if (plans === undefined) this.plans.set(route, plans = { read: undefined, others: new Map() })
    if (facts.replicaSafe) return plans.read ??= this.planRead(route)
    const session = sessionUse(facts)
    const isSelect = facts.access === "unknown" && facts.kind === "select"
    const retry = facts.access === "write" && isSingleWrite[facts.kind] === true ? "write" : "unsentOnly"
    const key = session !== "none"
      ? `${session} ${facts.access}`
      : isSelect
      ? "select"
      : retry === "write"
      ? retry
      : `${facts.access}s`
    let plan = plans.others.get(key)
    if (plan === undefined) plans.others.set(key, plan = this.planOther(route, facts.access, isSelect, session, retry))
    return plan
  }

  /** The plan of a statement inside a transaction: it runs where the transaction runs. */
  get pinned(): Plan {
    return this.pinnedPlan
  }

  /** The plan of one of its statements. */
  inside(facts: StatementFacts): Plan {
    return leavesSession(facts) ? this.pinnedLeaving : this.pinnedPlan
  }

  /** What a read-only transaction may run on: the candidates of any read. */
  get readOnly(): Plan {
    return this.planRead({ ...defaultRoute, rule: "read-only transactions to a replica" })
  }

  private planRead(route: Route): Plan {
    const { database, excluded, primary, primaryAmongReplicas, primaryServesReads, replicas } = this.current
    const base = {
      database,
      rule: route.rule,
      excluded,
      access: "readOnly",
      retry: "read",
      refusal: undefined,
      leavesSession: false
    } as const
    if (route.deny !== undefined) return refused(base, route.deny.reason, route.deny.message)
    const onPrimary = { role: "primary", endpoints: [primary], isFallback: false } as const
    if (route.endpoint !== undefined) return { ...base, ...this.only(route.endpoint) }
    if (route.role === "primary") {
      return { ...base, reason: "read, sent to the primary", candidates: [onPrimary], excluded: [] }
    }
    const shared = route.role === "any" || (route.role === "auto" && primaryAmongReplicas)
      ? [...replicas, primary]
      : replicas
    if (shared.length === 0 && !primaryServesReads) {
      return refused(base, "unavailable", unavailable(this.current))
    }
    const rest = primaryServesReads && !shared.includes(primary)
      ? [{ ...onPrimary, isFallback: replicas.length + excluded.length > 0 }]
      : []
    return {
      ...base,
      reason: shared.length === 0 ? "read, but no replica takes reads" : "read",
      candidates: shared.length === 0 ? rest : [{ role: "replica", endpoints: shared, isFallback: false }, ...rest]
    }
  }

  private planOther(route: Route, access: Access, isSelect: boolean, session: SessionUse, retry: Plan["retry"]): Plan {
    const { database, isReplica, primary } = this.current
    const base = {
      database,
      rule: route.rule,
      excluded: [],
      access: "readWrite",
      retry,
      refusal: undefined,
      leavesSession: session === "leaves" || session === "changes"
    } as const
    if (route.deny !== undefined) return refused(base, route.deny.reason, route.deny.message)
    if ((session === "depends" || session === "changes") && this.sessionState === "refuse") {
      return refused(base, "sessionState", access === "transaction" ? transactionControl : sessionState)
    }
    const toReplica = route.endpoint === undefined ? route.role === "replica" : isReplica(route.endpoint)
    if (toReplica) {
      // Nobody knows what a function of the user's does; whoever asks for a replica does, and the server refuses writes.
      if (isSelect) {
        return { ...this.planRead(route), reason: "not recognised as a read, sent to a replica all the same" }
      }
      return refused(
        base,
        "writeOnReplica",
        `The statement was asked to run on a replica, but it ${
          access === "read" ? "is a read that only the primary may answer" : `is not a read (${primaryReasons[access]})`
        }. Run it outside of withReplica, or send it to the primary.`
      )
    }
    return {
      ...base,
      reason: primaryReasons[access],
      candidates: [{ role: "primary", endpoints: [route.endpoint ?? primary], isFallback: false }]
    }
  }

  private only(endpoint: string): Pick<Plan, "reason" | "candidates" | "excluded"> {
    const role = this.current.isReplica(endpoint) ? "replica" : "primary"
    return {
      reason: `read, sent to endpoint ${endpoint}`,
      candidates: [{ role, endpoints: [endpoint], isFallback: false }],
      excluded: []
    }
  }
}

const refused = (
  base: Omit<Plan, "reason" | "candidates" | "refusal">,
  reason: Refusal["reason"],
  message: string
): Plan => ({ ...base, reason: "refused", candidates: [], refusal: { reason, message } })

const transactionControl =
  "The statement begins or ends a transaction, but its connection is given back right after it. "
  + "Use withTransaction, or hold one connection: reserve, withPooledConnection, freshConnection."

const sessionState =
  "The statement changes its session, or depends on it, but the next one may run on another connection. "
  + "Hold one connection: withTransaction, reserve, withPooledConnection or freshConnection; for settings, withSession. "
  + "The option sessionState: \"primary\" lets it run on a connection of the primary all the same."

const unavailable = ({ database, excluded }: Topology): string => {
  const why = excluded.map(({ endpoint, reason }) => `${endpoint}: ${reason}`).join("; ")
  return `No endpoint of database "${database}" may serve this read${
    why === "" ? ", for it has no replicas" : `: ${why}`
  }.`
}

const pinned = ({ database, primary }: Topology, leavesSession: boolean): Plan => ({
  database,
  rule: "a transaction stays where it began",
  reason: "in a transaction",
  candidates: [{ role: "primary", endpoints: [primary], isFallback: false }],
  excluded: [],
  access: "readWrite",
  retry: "never",
  refusal: undefined,
  leavesSession
})
