import * as Duration from "effect/Duration"
import * as ConsistencyToken from "../../ConsistencyToken.js"
import * as ReplicationPosition from "../../ReplicationPosition.js"
import type { Level } from "./level.js"
import * as marks from "./marks.js"

type Position = ReplicationPosition.ReplicationPosition

/** How a router keeps sessions, decoded; times in milliseconds. */
export interface SessionSettings {
  readonly mode: "position" | "ttl" | "untilScopeEnd"
  readonly ttl: number
  readonly maxAge: number
  readonly granularity: "database" | "tables"
  /** For each table or view, in lower case, those whose writes it shows, directly or not. */
  readonly dependencies: ReadonlyMap<string, ReadonlyArray<string>>
}

/** What a read asks for. Times in milliseconds of the clock. */
export type Demand =
  | { readonly _tag: "None" }
  /** Of a replica: that it is at the position. `since` is when the session last wrote or saw something new. */
  | { readonly _tag: "Position"; readonly position: Position; readonly since: number }
  /**
   * The primary, until then. With `positionUnknown` it is until `Session.learn` is told a position that the primary was at
   * after the write.
   */
  | {
    readonly _tag: "Primary"
    readonly reason: "strict" | "window" | "positionUnknown" | "lostWrite"
    readonly until: number
    readonly since: number
  }
  /** Of a replica: that it lags by no more than so many milliseconds. */
  | { readonly _tag: "Staleness"; readonly max: number }

export const none: Demand = { _tag: "None" }

/**
 * How far a session has seen: the cell that its fibers share.
 *
 * A session that was opened has no owner: whoever holds it writes to it. One that a fiber's first write installed belongs
 * to that fiber; others that inherited it only read it, and copy it before they write. So what a program wrote when it
 * started does not tie together the requests that it serves later.
 */
export class Session {
  /** Counts writes, also those heard of from other sessions: tells whether there is news to hand on. */
  writes = 0
  /** Counts the servers noted by {@link readFrom}, each time. */
  reads = 0
  /** When something of the token ends; 0 for not known yet. */
  private endsAt = 0
  private state: ConsistencyToken.ConsistencyToken
  /**
   * Which servers its reads of each Database came from, since a position at or after all of them was known. A server only
   * goes forward: while there is but one, what it shows next is not before what it has shown.
   */
  private readonly sources = new Map<string, Set<object>>()
  /** Until when each Database's primary alone is read, for what was lost there. */
  private readonly losses = new Map<string, number>()

  constructor(
    /** The number of the fiber that alone may write; `undefined` for a session that was opened. */
    readonly owner: number | undefined,
    token: ConsistencyToken.ConsistencyToken = ConsistencyToken.empty
  ) {
    this.state = token
  }

  get token(): ConsistencyToken.ConsistencyToken {
    return this.state
  }

  /** Whether nothing is asked for: reads need not look further. */
  get isIdle(): boolean {
    return this.state === ConsistencyToken.empty
  }

  /**
   * Notes a write that was committed, or whose outcome is not known, at `now` or before.
   *
   * Without `tables`, or with none, it is taken to have written to any. Without `position` the primary is read until one is
   * learned or the time window ends. So it is after a failover, too: joined with one of before, the position would hide
   * whether that was lost.
   */
  wrote(
    database: string,
    tables: Iterable<string> | undefined,
    position: Position | undefined,
    now: number,
    settings: SessionSettings
  ): void {
    this.writes++
    const comparable = position !== undefined && this.isOfOtherHistory(database, position) ? undefined : position
    this.add(ConsistencyToken.make(database, {
      ...this.boundOfWrite(comparable, now, settings),
      tables: settings.granularity === "tables" && tables !== undefined ? Array.from(tables, fold) : undefined,
      at: now
    }))
  }

  private boundOfWrite(position: Position | undefined, now: number, settings: SessionSettings): marks.Bound {
    switch (settings.mode) {
      case "position":
        return position === undefined ? { position, until: now + settings.ttl } : { position, until: 0 }
      case "ttl":
        return { position: undefined, until: now + settings.ttl }
      case "untilScopeEnd":
        // A session that nobody opened has no end.
        return {
          position: undefined,
          until: this.owner === undefined ? Number.POSITIVE_INFINITY : now + settings.ttl
        }
    }
  }

  /**
   * Notes that a read saw the Database at `position`, so that later reads see it no earlier. For that the position must have
   * been taken when the read had been done, or later.
   */
  saw(database: string, position: Position, now: number): void {
    const known = this.state.marks.get(database)?.all.position
    if (known === undefined || ReplicationPosition.reached(known, position) !== "reached") {
      this.add(ConsistencyToken.make(database, { position, at: now }))
    }
  }

  /** Notes that a read came, or is about to come, from a server in the life that it has now. */
  readFrom(database: string, life: object): void {
    this.reads++
    const sources = this.sources.get(database)
    if (sources === undefined) this.sources.set(database, new Set([life]))
    else sources.add(life)
  }

  /** The servers that the next read must not be behind. */
  sourcesOf(database: string): ReadonlySet<object> | undefined {
    return this.sources.get(database)
  }

  /**
   * Puts a position in the place of the servers: the primary was there after all reads up to the ticket had been done, which
   * is what {@link reads} was before it was asked.
   */
  sawAll(database: string, position: Position, now: number, ticket: number): void {
    if (ticket === this.reads) this.sources.delete(database)
    this.saw(database, position, now)
  }

  /**
   * What a read asks for. Its tables, `undefined` where they are not known, are asked only where it matters: to tell them,
   * a statement must be read once more.
   */
  demand(
    database: string,
    tables: () => Iterable<string> | undefined,
    level: Level,
    now: number,
    settings: SessionSettings
  ): Demand {
    const fixed = demandOfLevel(level, now)
    if (fixed !== undefined) return fixed
    if (this.isIdle) return none
    this.prune(now, settings)
    const mark = this.state.marks.get(database)
    const everywhere = this.state.marks.get(ConsistencyToken.everyDatabase)
    const since = (mark ?? everywhere)?.at ?? now
    const loss = this.losses.get(database) ?? 0
    if (loss > now) return { _tag: "Primary", reason: "lostWrite", until: loss, since }
    const bound = mark === undefined
      ? marks.noBound
      : mark.tables.size === 0
      ? mark.all
      : marks.boundOf(mark, withDependencies(tables(), settings))
    const until = Math.max(bound.until, everywhere?.all.until ?? 0)
    if (until > now) {
      return {
        _tag: "Primary",
        reason: settings.mode === "position" && bound.until > now ? "positionUnknown" : "window",
        until,
        since
      }
    }
    return bound.position === undefined ? none : { _tag: "Position", position: bound.position, since }
  }

  /**
   * A ticket for {@link learn}, if a write to the Database waits for its position. To be taken before the primary is asked.
   */
  unresolved(database: string, now: number, settings: SessionSettings): number | undefined {
    if (this.isIdle || settings.mode !== "position") return undefined
    this.prune(now, settings)
    return this.state.marks.has(database) && marks.boundOf(this.state.marks.get(database)!, undefined).until > now
      ? this.writes
      : undefined
  }

  /**
   * Puts the position that the primary was at in the place of time windows. It is at or after each commit before the question;
   * if there was a write since, as the ticket tells, the windows stay.
   */
  learn(database: string, position: Position, ticket: number): void {
    const mark = this.state.marks.get(database)
    if (mark === undefined || ticket !== this.writes) return
    this.set(ConsistencyToken.replace(
      this.state,
      database,
      marks.mapBounds(
        mark,
        (bound) => bound.until > 0 ? marks.joinBounds({ ...bound, until: 0 }, { position, until: 0 }) : bound
      )
    ))
  }

  /** Whether the session has seen something that cannot be compared with a position, as after a failover. */
  isOfOtherHistory(database: string, position: Position): boolean {
    const mark = this.state.marks.get(database)
    const isOther = ({ position: seen }: marks.Bound) =>
      seen !== undefined && ReplicationPosition.reached(position, seen) === "otherHistory"
    return mark !== undefined && (isOther(mark.all) || Array.from(mark.tables.values()).some(isOther))
  }

  /**
   * Holds the positions of the Database against its primary's history, after a failover or where a token came from outside.
   * Returns the writes that seem lost: no replica is to answer for them, so until `until` the primary is read.
   */
  settle(
    database: string,
    primary: ConsistencyToken.PrimaryHistory,
    until: number
  ): ReadonlyArray<ConsistencyToken.LostWriteSuspected> {
    const { lost, token } = ConsistencyToken.settle(this.state, database, primary)
    this.set(token)
    if (lost.length > 0) this.losses.set(database, until)
    return lost
  }

  /** Takes over what another session has seen. */
  absorb(token: ConsistencyToken.ConsistencyToken): void {
    const before = this.state
    this.add(token)
    if (this.state !== before) this.writes++
  }

  /** Forgets all it has seen. */
  forget(): void {
    this.set(ConsistencyToken.empty)
    this.sources.clear()
    this.losses.clear()
  }

  /** Its token at `now`, without what has ended. */
  tokenAt(now: number, maxAge: number): ConsistencyToken.ConsistencyToken {
    return ConsistencyToken.prune(this.state, now, maxAge)
  }

  private add(token: ConsistencyToken.ConsistencyToken): void {
    this.set(ConsistencyToken.merge(this.state, token))
  }

  private set(token: ConsistencyToken.ConsistencyToken): void {
    if (token === this.state) return
    this.state = token
    this.endsAt = 0
  }

  private prune(now: number, settings: SessionSettings): void {
    if (now < this.endsAt) return
    this.set(ConsistencyToken.prune(this.state, now, settings.maxAge))
    this.endsAt = ConsistencyToken.nextEnd(this.state, settings.maxAge)
  }
}

/** What a level asks for, whatever the session has seen; `undefined` where that decides. */
export const demandOfLevel = (level: Level, now: number): Demand | undefined => {
  switch (level._tag) {
    case "Eventual":
      return none
    case "BoundedStaleness":
      return { _tag: "Staleness", max: Duration.toMillis(level.max) }
    case "Strict":
      return { _tag: "Primary", reason: "strict", until: now, since: now }
    case "Session":
      return undefined
  }
}

/** Servers differ in whether names tell upper from lower case; taking them for one only asks for more. */
const fold = (table: string): string => table.toLowerCase()

const withDependencies = (
  tables: Iterable<string> | undefined,
  { dependencies }: SessionSettings
): Iterable<string> | undefined => {
  if (tables === undefined) return undefined
  const read = new Set<string>()
  for (const table of tables) {
    const name = fold(table)
    read.add(name)
    for (const shown of dependencies.get(name) ?? []) read.add(shown)
  }
  return read
}
