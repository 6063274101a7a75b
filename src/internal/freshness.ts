/** How fresh the reads of one Database must be, and which of its servers are. */
import type * as Clock from "effect/Clock"
import * as ConsistencyToken from "../ConsistencyToken.js"
import type { PhysicalConnection } from "../Driver.js"
import type { ConsistencyFallback, Plan, PlanConsistency } from "../Plan.js"
import * as ReplicationPosition from "../ReplicationPosition.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import type { Access, StatementFacts, Table } from "../StatementFacts.js"
import type { Fiber } from "./compat.js"
import { demandOf, millis, noteWrite, sessionOf } from "./consistency/current.js"
import type { Level } from "./consistency/level.js"
import type { Demand, Session, SessionSettings } from "./consistency/session.js"
import type { Database, Server } from "./database.js"
import type { FiberSettings } from "./fiberSettings.js"
import * as fiberSettings from "./fiberSettings.js"
import type { Route } from "./plan.js"

type Position = ReplicationPosition.ReplicationPosition

/** Times in milliseconds. */
export interface FreshnessSettings extends SessionSettings {
  readonly level: Level
  readonly waitBudget: number
  readonly maxWaiting: number
}

/** A read, or what begins like one, that asks for more than any replica. */
export interface FreshRead {
  readonly level: PlanConsistency["level"]
  /** Whether its plan is carried out as it is, and only noted. */
  readonly isFixed: boolean
  readonly demand: () => Demand
  readonly now: () => number
  /** What it has to see; `undefined` where only its level decides. */
  readonly session: Session | undefined
  /** The open session in which reads never go back. */
  readonly open: Session | undefined
  readonly deadline: bigint | undefined
}

/** What is to be done about a read. */
export type Look =
  | { readonly _tag: "Run"; readonly plan: Plan }
  /** Ask the primary where it is, and look again. */
  | { readonly _tag: "Ask" }
  /** Of these replicas, one may be at the position by now, or soon. */
  | { readonly _tag: "Try"; readonly plan: Plan; readonly position: Position }

/** Has the connection tell where the server is with the answer to what is sent next, if that is wanted or costs nothing. */
export const expectPosition = (note: Note | undefined, { positions }: PhysicalConnection): void => {
  // Who cannot ask is told unasked; what it was told before is forgotten by this.
  if (note !== undefined && (note.wantsPosition || positions?.guards === false)) positions?.expect("after")
}

/** What is to be noted when a statement of the primary is done. */
export interface Note {
  readonly wantsPosition: boolean
  readonly done: (position: Position | undefined) => void
}

/** Whether a statement of this access may have written. */
const writes: { readonly [access in Access]: boolean } = {
  read: false,
  lock: false,
  session: false,
  write: true,
  unknown: true,
  transaction: true,
  admin: true
}

export const mayWrite = ({ access }: StatementFacts): boolean => writes[access]

/** `undefined` where it is not known which. */
export const tablesWritten = (facts: StatementFacts): ReadonlyArray<string> | undefined =>
  facts.access === "write" && facts.kind !== "multiple" ? namesOf(facts.writes) : undefined

/** A replica that did not get there in time is not tried again for so many times as long. */
const stallFactor = 5

/** A position that the primary itself has not reached after so long is from another history, or none at all. */
const settledAfter = 3000

export class Freshness {
  /** Of all writes that were noted: what has them, or until when only the primary does for certain. */
  private newest: { position: Position | undefined; until: number; at: number } = {
    position: undefined,
    until: 0,
    at: 0
  }

  /** Where the server that takes writes was when that was heard of last. */
  private ofPrimary: { readonly server: Server; readonly position: Position } | undefined

  constructor(
    private readonly database: Database,
    readonly settings: FreshnessSettings,
    private readonly clock: Clock.Clock,
    private readonly publish: (event: RoutingEvent) => void
  ) {}

  private get isAlone(): boolean {
    return this.database.servers.length === 1
  }

  /** What a read asks for; `undefined` where its plan will do. */
  ofRead(
    fiber: Fiber,
    settings: FiberSettings,
    facts: StatementFacts | undefined,
    plan: Plan,
    route: Route | undefined
  ): FreshRead | undefined {
    if (this.isAlone) return undefined
    const level = settings.consistency ?? route?.consistency ?? this.settings.level
    if (level._tag === "Eventual") return undefined
    const session = sessionOf(fiber)
    const isSession = level._tag === "Session"
    const isOpen = session !== undefined && session.owner === undefined
    // What a strict read has shown must not be unseen later, either.
    const open = isOpen && (isSession || level._tag === "Strict") ? session : undefined
    if (isSession && open === undefined && (session === undefined || session.isIdle)) return undefined
    const isFixed = route?.endpoint !== undefined || plan.candidates[0]?.role !== "replica"
    if (isFixed && open === undefined) return undefined
    // What a function reads that nobody knows cannot be told.
    const tables = () => facts?.replicaSafe === true ? namesOf(facts.reads) : undefined
    return {
      level: isSession ? "session" : level._tag === "Strict" ? "strict" : "boundedStaleness",
      isFixed,
      demand: () => demandOf(fiber, this.database.name, tables, level, this.settings),
      now: () => millis(fiber),
      session: isSession ? session : undefined,
      open,
      deadline: settings.deadline
    }
  }

  /** What is to be noted of a statement that runs on the primary; `undefined` where nobody will ask. */
  ofStatement(fiber: Fiber, settings: FiberSettings, facts: StatementFacts): Note | undefined {
    const open = this.openSession(fiber)
    const isWrite = mayWrite(facts) && !settings.ignoreWrites
    if (!isWrite && (open === undefined || this.isAlone)) return undefined
    if (this.isAlone && open === undefined && !this.database.driver.tellsPositions) return undefined
    return {
      wantsPosition: this.wantsPosition(open),
      done: isWrite
        ? (position) => this.wrote(fiber, tablesWritten(facts), position)
        : (position) => this.readOnPrimary(fiber, open!, position)
    }
  }

  /** What is to be noted when a transaction of the primary is committed, or may have been. */
  ofCommit(fiber: Fiber, tables: ReadonlySet<string> | "all" | undefined): Note | undefined {
    const open = this.openSession(fiber)
    if (tables === undefined && (open === undefined || this.isAlone)) return undefined
    if (this.isAlone && open === undefined && !this.database.driver.tellsPositions) return undefined
    return {
      wantsPosition: this.wantsPosition(open),
      done: (position) =>
        tables !== undefined
          ? this.wrote(fiber, tables === "all" ? undefined : tables, position)
          : this.readOnPrimary(fiber, open!, position)
    }
  }

  private openSession(fiber: Fiber): Session | undefined {
    const session = sessionOf(fiber)
    return session !== undefined && session.owner === undefined ? session : undefined
  }

  /**
   * Whether the position is to be asked for with the answer. An open session may be handed on to another process, so it must
   * know. Elsewhere the first later read asks, if there ever is one: writes cost what they did without a router.
   */
  private wantsPosition(open: Session | undefined): boolean {
    return open !== undefined && this.settings.mode === "position" && this.database.driver.tellsPositions
  }

  /** Notes a write of which no more is known. */
  wrote(fiber: Fiber, tables: Iterable<string> | undefined, position: Position | undefined): void {
    const { database, settings } = this
    if (fiberSettings.of(fiber).ignoreWrites) return
    if (position !== undefined) this.sawPrimary(position)
    noteWrite(fiber, database.name, tables, position, settings)
    const { newest } = this
    newest.at = millis(fiber)
    if (position === undefined) newest.until = newest.at + settings.ttl
    else newest.position = newest.position ? ReplicationPosition.merge(newest.position, position) : position
  }

  private readOnPrimary(fiber: Fiber, open: Session, position: Position | undefined): void {
    const { name, primary } = this.database
    if (position === undefined || open.isOfOtherHistory(name, position)) open.readFrom(name, primary.life)
    else open.saw(name, position, millis(fiber))
  }

  /** What a read must have seen that must not miss anybody's write, as far as this process knows. */
  get newestWrite(): ConsistencyToken.ConsistencyToken {
    return ConsistencyToken.make(this.database.name, this.newest)
  }

  /** The server shows something to the session, or is about to. */
  noteSource({ open }: FreshRead, server: Server): void {
    open?.readFrom(this.database.name, server.life)
  }

  /** The same, for what runs in a transaction there. */
  noteTransaction(fiber: Fiber, server: Server): void {
    if (!this.isAlone) this.openSession(fiber)?.readFrom(this.database.name, server.life)
  }

  /** The plan of a read by what is known now, without asking anybody. */
  planned(read: FreshRead, plan: Plan): Plan {
    const look = this.look(read, plan, false)
    return look._tag === "Ask" ? this.onPrimary(read, plan, "positionUnknown") : look.plan
  }

  /** What is to be done about a read, by what is known now. */
  look(read: FreshRead, plan: Plan, mayAsk: boolean): Look {
    if (read.isFixed) return { _tag: "Run", plan }
    const demand = read.demand()
    switch (demand._tag) {
      case "Staleness": {
        const fresh = this.narrow(
          plan,
          ({ lag }) => lag !== undefined && lag.millis !== undefined && lag.millis + lag.age <= demand.max
        )
        return {
          _tag: "Run",
          plan: fresh === undefined
            ? this.onPrimary(read, plan, "lag")
            : this.on(read, plan, fresh, "lag")
        }
      }
      case "Primary": {
        if (demand.reason === "strict") return { _tag: "Run", plan: this.onPrimary(read, plan, undefined) }
        return demand.reason === "positionUnknown" && this.mayAsk(read, plan, mayAsk)
          ? { _tag: "Ask" }
          : { _tag: "Run", plan: this.onPrimary(read, plan, demand.reason) }
      }
      case "None":
      case "Position":
        return this.lookFrom(read, plan, demand, mayAsk)
    }
  }

  private lookFrom(
    read: FreshRead,
    plan: Plan,
    demand: Extract<Demand, { readonly _tag: "None" | "Position" }>,
    mayAsk: boolean
  ): Look {
    const sources = read.open?.sourcesOf(this.database.name)
    const [source] = sources ?? []
    let from = plan
    if (source !== undefined) {
      const same = sources!.size > 1 ? undefined : this.narrow(plan, ({ life }) => life === source)
      if (same === undefined) {
        return this.mayAsk(read, plan, mayAsk)
          ? { _tag: "Ask" }
          : { _tag: "Run", plan: this.onPrimary(read, plan, "positionUnknown", demand) }
      }
      from = this.on(read, plan, same, "sameReplica", demand)
    }
    if (demand._tag === "None") return { _tag: "Run", plan: from }
    const { position } = demand
    if (!this.isOfPrimary(position)) {
      return mayAsk ? { _tag: "Ask" } : { _tag: "Run", plan: this.onPrimary(read, plan, "otherHistory", demand) }
    }
    const there = this.narrow(from, (server) => this.isAt(server, position))
    if (there !== undefined) return { _tag: "Run", plan: this.on(read, from, there, "cachedPosition", demand) }
    const now = read.now()
    const soon = this.narrow(
      from,
      (server) => this.isNear(server, now) && this.verdictOf(server.name, position) !== "otherHistory"
    )
    if (soon !== undefined) {
      return { _tag: "Try", plan: this.on(read, from, soon, "guard", demand), position }
    }
    if (mayAsk && this.isFromNowhere(position, now - demand.since)) return { _tag: "Ask" }
    const isForeign = !from.candidates[0]!.endpoints.some((name) => this.verdictOf(name, position) !== "otherHistory")
    return {
      _tag: "Run",
      plan: this.onPrimary(read, plan, isForeign ? "otherHistory" : "behind", demand)
    }
  }

  private verdictOf(server: string, wanted: Position): ReturnType<typeof ReplicationPosition.reached> | undefined {
    const position = this.database.lag?.position(server)
    return position && ReplicationPosition.reached(position, wanted)
  }

  private isAt(server: Server, wanted: Position): boolean {
    return this.verdictOf(server.name, wanted) === "reached"
  }

  private sawPrimary(position: Position): void {
    const { lag, primary } = this.database
    lag?.observe(primary.name, position)
    this.ofPrimary = { server: primary, position }
  }

  /** `undefined` if the primary was never heard of since it became the primary. */
  private get primaryPosition(): Position | undefined {
    const { lag, primary } = this.database
    const position = lag?.position(primary.name)
    if (position !== undefined && position !== this.ofPrimary?.position) this.ofPrimary = { server: primary, position }
    return this.ofPrimary?.server === primary ? this.ofPrimary.position : undefined
  }

  /**
   * Whether a position is of the primary's own history. After a failover no replica is believed to have one of before, not
   * even on its own word: a standby of PostgreSQL may name the timeline that it was on, though its log is another's by then.
   */
  private isOfPrimary(position: Position): boolean {
    const { primaryPosition } = this
    return primaryPosition !== undefined && ReplicationPosition.reached(primaryPosition, position) !== "otherHistory"
  }

  /** Whether a replica that is behind may be waited for. */
  private isNear({ lag, role, stalledAt }: Server, now: number): boolean {
    const { waitBudget } = this.settings
    const patience = stallFactor * waitBudget
    const isFar = lag?.millis !== undefined && lag.millis > waitBudget && lag.age < patience
    return role === "replica" && !isFar && now - stalledAt >= patience
  }

  /** Whether it is worth asking the primary where it is: not if no replica is going to be there. */
  private mayAsk(read: FreshRead, plan: Plan, isFirst: boolean): boolean {
    const now = read.now()
    return isFirst && this.database.driver.tellsPositions &&
      this.narrow(plan, (server) => this.isNear(server, now)) !== undefined
  }

  private isFromNowhere(position: Position, age: number): boolean {
    const { primaryPosition } = this
    return age > settledAfter && primaryPosition !== undefined
      && ReplicationPosition.reached(primaryPosition, position) !== "reached"
  }

  /** Takes in where the primary is, and what follows for the session from that. */
  learn(read: FreshRead, history: ConsistencyToken.PrimaryHistory, before: Asked): void {
    const { name } = this.database
    const { open, session } = read
    const { position } = history
    this.sawPrimary(position)
    if (session === undefined) return
    if (session.token === before.token) {
      for (const lost of session.settle(name, history, read.now() + this.settings.ttl)) this.publish(lost)
    } else if (session.isOfOtherHistory(name, position)) return
    if (before.unresolved !== undefined) session.learn(name, position, before.unresolved)
    if (before.reads !== undefined) open!.sawAll(name, position, read.now(), before.reads)
  }

  /** What is known of the session before the primary is asked. */
  asking({ now, open, session }: FreshRead): Asked {
    return {
      unresolved: session?.unresolved(this.database.name, now(), this.settings),
      token: session?.token,
      reads: open?.reads
    }
  }

  /** The plan for the primary, in the place of replicas. */
  onPrimary(read: FreshRead, plan: Plan, fallback: ConsistencyFallback | undefined, demand?: Demand): Plan {
    return {
      ...plan,
      reason: fallback === undefined
        ? "read that must be strictly consistent"
        : fallback === "lag"
        ? "read, but no replica is fresh enough"
        : fallback === "lostWrite"
        ? "read, after a failover seems to have lost what the session has seen"
        : "read your own write",
      candidates: [{ role: "primary", endpoints: [this.database.primary.name], isFallback: false }],
      consistency: consistencyOf(read, "primary", demand ?? read.demand(), fallback)
    }
  }

  /** The plan for some of its endpoints; what cannot be read there is left to the primary. */
  on(read: FreshRead, plan: Plan, endpoints: ReadonlyArray<string>, by: PlanConsistency["by"], demand?: Demand): Plan {
    const [first, ...rest] = plan.candidates
    return {
      ...plan,
      reason: read.level === "session"
        ? "read, from a replica that has what the session has seen"
        : "read, from a replica fresh enough",
      candidates: [{ ...first!, endpoints }, ...rest],
      consistency: consistencyOf(read, by, demand ?? read.demand(), undefined)
    }
  }

  /** Tells of a read that no replica could serve for its freshness. */
  tell({ consistency, database }: Plan): void {
    if (consistency?.fallback !== undefined) {
      this.publish({
        _tag: "FreshnessFallback",
        database,
        level: consistency.level,
        reason: consistency.fallback
      })
    }
  }

  /** How long a replica may be waited for. */
  budgetOf({ deadline }: FreshRead): number {
    const { waitBudget } = this.settings
    if (deadline === undefined) return waitBudget
    return Math.max(0, Math.min(waitBudget, Number(deadline - this.clock.unsafeCurrentTimeNanos()) / 4e6))
  }

  /** The endpoints of the plan's first class that are as asked, the primary always; `undefined` if none is. */
  private narrow(plan: Plan, accepts: (server: Server) => boolean): ReadonlyArray<string> | undefined {
    const fresh = plan.candidates[0]!.endpoints.filter((name) => {
      const server = this.database.serverOf(name)
      return server.role === "primary" || accepts(server)
    })
    return fresh.length === 0 ? undefined : fresh
  }
}

/** What was known of a session when the primary was asked. */
export interface Asked {
  /** What it has seen since may be later than the answer, and is not lost for that. */
  readonly token: ConsistencyToken.ConsistencyToken | undefined
  readonly unresolved: number | undefined
  readonly reads: number | undefined
}

const consistencyOf = (
  { level, now }: FreshRead,
  by: PlanConsistency["by"],
  demand: Demand,
  fallback: ConsistencyFallback | undefined
): PlanConsistency => ({
  level,
  by,
  position: demand._tag === "Position" ? ReplicationPosition.format(demand.position) : undefined,
  age: demand._tag === "Position" || (demand._tag === "Primary" && level === "session")
    ? now() - demand.since
    : undefined,
  fallback
})

/** A statement without tables may be one of which nothing is known. */
const namesOf = (tables: ReadonlyArray<Table>): ReadonlyArray<string> | undefined =>
  tables.length === 0 ? undefined : tables.map(({ name }) => name)
