import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PrimaryHistory } from "../../ConsistencyToken.js"
import type { Dialect } from "../../Dialect.js"
import type { Disposition, ServerStatus } from "../../Driver.js"
import type { Access, Role } from "../../Endpoint.js"
import type { ReplicationPosition } from "../../ReplicationPosition.js"
import { classify } from "../../StatementClassifier.js"
import type { Asked, EndpointConfig, Fault, FaultOptions, Write } from "../../testing/InMemoryDriver.js"
import * as Dispositions from "../dispositions.js"
import type { Connection } from "./connection.js"

/** What stands in for an error of a server; `disposition` is what it means. */
export class InMemoryFault extends Data.TaggedError("InMemoryFault")<{
  readonly endpoint: string
  readonly problem: string
  readonly disposition: Disposition
}> {
  override get message(): string {
    return `${this.endpoint}: ${this.problem}`
  }
}

/** What the servers of a cluster share. */
export interface Surroundings {
  readonly dialect: Dialect
  readonly now: () => number
  /** Calls `act` in so many milliseconds, unless what it gives is called before. */
  readonly after: (millis: number, act: () => void) => () => void
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** What all of them were asked, in order. */
  readonly asked: Array<Asked>
}

/** What was written, in the order of its commits. Each promotion begins a history of its own. */
interface History {
  readonly timeline: number
  /** The timelines before, each with how many of its writes this one has. */
  readonly left: ReadonlyMap<number, number>
  readonly writes: Array<Write & { readonly at: number }>
}

/** The servers that replicate from each other. */
export class Replication {
  readonly servers: Array<Server> = []
  private timelines = 1
  /** What replicas follow. */
  current: History = { timeline: 1, left: new Map(), writes: [] }

  promote(server: Server): void {
    if (server.role === "primary") return
    const { history: { left, timeline, writes }, replayed } = server
    this.current = {
      timeline: ++this.timelines,
      left: new Map([...left, [timeline, writes.length] as const].map(([at, end]) => [at, Math.min(end, replayed)])),
      writes: writes.slice(0, replayed)
    }
    server.lead(this.current)
    for (const other of this.servers) if (other.role === "replica") other.follow(this.current)
  }

  demote(server: Server): void {
    if (server.role === "primary") server.follow(this.current)
  }
}

interface ActiveFault extends FaultOptions {
  readonly fault: Fault
  left: number
}

/** What a fault does to what. */
interface Effects {
  readonly problem: string
  readonly connect?: Disposition
  readonly statement?: Disposition
  /** Whether the statement does its work before it fails. */
  readonly works?: boolean
  readonly hangs?: boolean
}

const effects: { readonly [fault in Exclude<Fault, Disposition>]: Effects } = {
  down: {
    problem: "the server is down",
    connect: Dispositions.unreachable,
    statement: Dispositions.shutdown
  },
  unreachable: { problem: "connection refused", connect: Dispositions.unreachable },
  full: { problem: "too many connections", connect: Dispositions.full },
  hang: { problem: "the server does not answer", hangs: true },
  lostBefore: { problem: "the connection was lost", statement: Dispositions.lost },
  lostAfter: { problem: "the connection was lost", statement: Dispositions.lost, works: true },
  broken: { problem: "the server is broken", statement: Dispositions.broken },
  timeout: { problem: "the statement took too long", statement: Dispositions.timedOut },
  conflict: { problem: "the statement was in conflict with another transaction", statement: Dispositions.conflict },
  refused: { problem: "the statement was refused", statement: Dispositions.refused }
}

const effectsOf = (fault: Fault): Effects =>
  typeof fault === "string" ? effects[fault] : { problem: "the statement failed", statement: fault }

/** How a statement fails. */
export interface Failure {
  readonly error: SqlError
  readonly disposition: Disposition
  readonly works: boolean
  readonly afterMillis: number
}

/** One server without a server: its queue, its history, its faults. */
export class Server {
  role: Role
  history: History
  readonly connections = new Set<Connection>()
  config: EndpointConfig
  busy = 0
  opened = 0
  private replayedWrites = 0
  private readonly queue: Array<() => void> = []
  private faults: Array<ActiveFault> = []
  /** What waits until it answers again. */
  private readonly held = new Set<() => void>()
  private restarts = 0

  constructor(
    readonly database: string,
    readonly name: string,
    role: Role,
    config: EndpointConfig,
    readonly around: Surroundings,
    readonly replication: Replication
  ) {
    this.role = role
    this.config = config
    this.history = replication.current
    replication.servers.push(this)
  }

  get waiting(): number {
    return this.queue.length
  }

  get asked(): ReadonlyArray<Asked> {
    return this.around.asked.filter(({ database, endpoint }) => database === this.database && endpoint === this.name)
  }

  // ---- replication

  /** How many of the writes it has. */
  get replayed(): number {
    const { history: { writes } } = this
    if (this.role === "primary") return writes.length
    const { replayDelay = Duration.zero } = this.config
    const until = this.around.now() - Duration.toMillis(replayDelay)
    while (this.replayedWrites < writes.length && writes[this.replayedWrites]!.at <= until) this.replayedWrites++
    return this.replayedWrites
  }

  get position(): ReplicationPosition {
    return { _tag: "PgLsn", epoch: `1/${this.history.timeline}`, lsn: BigInt(this.replayed) }
  }

  get past(): PrimaryHistory {
    const left = Array.from(this.history.left, ([timeline, writes]) => [timeline, BigInt(writes)] as const)
    return { position: this.position, left: new Map(left) }
  }

  get status(): ServerStatus {
    const { position, role } = this
    return {
      role,
      position,
      replication: role === "primary" ? "none" : "streaming",
      generation: `${this.name}/${this.restarts}`
    }
  }

  commit(writes: ReadonlyArray<Write>): void {
    const at = this.around.now()
    for (const write of writes) this.history.writes.push({ ...write, at })
  }

  lead(history: History): void {
    this.role = "primary"
    this.history = history
  }

  /** What it has beyond the history that it follows is lost. */
  follow(history: History): void {
    const common = this.history.writes.findIndex((write, i) => history.writes[i] !== write)
    const replayed = this.replayed
    this.role = "replica"
    this.history = history
    this.replayedWrites = common === -1 ? replayed : Math.min(common, replayed)
  }

  // ---- faults

  configure(config: EndpointConfig): void {
    // What was replayed stays so.
    void this.replayed
    this.config = { ...this.config, ...config }
    this.serveQueue()
  }

  fail(fault: Fault, options: FaultOptions): void {
    this.faults.push({ fault, ...options, left: options.times ?? Number.POSITIVE_INFINITY })
    if (fault === "down") this.dropConnections(Dispositions.shutdown)
  }

  dropConnections(disposition: Disposition): void {
    for (const connection of this.connections) connection.lose(disposition)
  }

  recover(): void {
    if (this.faults.some(({ fault }) => fault === "down")) this.restarts++
    this.faults = []
    const held = [...this.held]
    this.held.clear()
    for (const go of held) go()
  }

  get hangs(): boolean {
    return this.faults.some(({ fault }) => effectsOf(fault).hangs === true)
  }

  /** What comes before a connection. */
  readonly connecting: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const millis = Duration.toMillis(this.config.connectTime ?? Duration.zero)
    return millis > 0 ? Effect.zipRight(Effect.sleep(millis), this.accepting) : this.accepting
  })

  private readonly accepting: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    if (this.hangs) {
      const held = Effect.async<void>((resume) => Effect.sync(this.hold(() => resume(Effect.void))))
      return Effect.zipRight(held, this.accepting)
    }
    const { maxConnections = Number.POSITIVE_INFINITY } = this.config
    for (const { fault } of this.faults) {
      const { connect, problem } = effectsOf(fault)
      if (connect !== undefined) return Effect.fail(this.error(problem, connect))
    }
    return this.connections.size < maxConnections
      ? Effect.void
      : Effect.fail(this.error(effects.full.problem, Dispositions.full))
  })

  /** How this statement fails, if it does. */
  failureOf(statement: Asked): Failure | undefined {
    for (const active of this.faults) {
      const { problem, statement: disposition, works = false } = effectsOf(active.fault)
      const { after = Duration.zero, share = 1, when } = active
      if (
        disposition === undefined || active.left <= 0 || when?.(statement) === false
        || (share < 1 && this.around.random() >= share)
      ) continue
      active.left--
      return {
        error: this.error(problem, disposition),
        disposition,
        works,
        afterMillis: Duration.toMillis(after)
      }
    }
    return undefined
  }

  error(problem: string, disposition: Disposition): SqlError {
    const cause = new InMemoryFault({ endpoint: this.name, problem, disposition })
    return new SqlError({ cause, message: cause.message })
  }

  // ---- work

  /** Calls `act` when it recovers, unless what it gives is called before. */
  hold(act: () => void): () => void {
    this.held.add(act)
    return () => void this.held.delete(act)
  }

  /** Takes a place where a statement is worked on, if one is free and nobody waits for it. */
  takePlace(): boolean {
    if (this.queue.length > 0 || this.busy >= this.places) return false
    this.busy++
    return true
  }

  /** Calls `act` when a place was taken for it, unless what it gives is called before. */
  queueUp(act: () => void): () => void {
    this.queue.push(act)
    return () => {
      const index = this.queue.indexOf(act)
      if (index >= 0) this.queue.splice(index, 1)
    }
  }

  /** Gives a place back. */
  leave(): void {
    this.busy--
    this.serveQueue()
  }

  private serveQueue(): void {
    while (this.queue.length > 0 && this.busy < this.places) {
      this.busy++
      this.queue.shift()!()
    }
  }

  private get places(): number {
    return this.config.servers ?? Number.POSITIVE_INFINITY
  }

  get distanceMillis(): number {
    return Duration.toMillis(this.config.distance ?? Duration.zero)
  }

  latencyOf(statement: Asked): number {
    const { latency = 0 } = this.config
    const drawn = typeof latency === "function" ? latency(statement, this.around.random) : latency
    return typeof drawn === "number" ? drawn : Duration.toMillis(drawn)
  }

  /** Why a statement that writes, or locks, is refused where only reads may run. */
  refusesToWrite(sql: string, access: Access, isReadOnlyTransaction: boolean): SqlError | undefined {
    if (this.role === "primary" && access === "readWrite" && !isReadOnlyTransaction) return undefined
    const verdict = classify(this.around.dialect, sql).access
    if (verdict !== "write" && verdict !== "lock" && verdict !== "admin") return undefined
    return this.role === "replica"
      ? this.error("a replica does not write", Dispositions.wrongRole)
      : this.error("the session is read-only", isReadOnlyTransaction ? Dispositions.refused : Dispositions.wrongRole)
  }
}
