import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Utils from "effect/Utils"
import type { ConnectionPoolOptions, ConnectionPoolSettings } from "../ConnectionPool.js"
import * as ConnectionPool from "../ConnectionPool.js"
import type { Driver, PhysicalConnection } from "../Driver.js"
import type { Access, Endpoint, Role } from "../Endpoint.js"
import type { Plan } from "../Plan.js"
import type { ReplicaHealthSettings } from "../ReplicaHealth.js"
import type {
  Candidate,
  ChoiceContext,
  Connections,
  Outcome,
  ReplicaChooser,
  ReplicaStrategy
} from "../ReplicaStrategy.js"
import type { ReplicaLag, ReplicationLagSettings } from "../ReplicationLag.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import type { StatementFacts } from "../StatementFacts.js"
import type { FiberSettings } from "./fiberSettings.js"
import * as Health from "./health/health.js"
import * as Hooks from "./hooks.js"
import * as Lag from "./lag.js"
import type { LagMonitor } from "./lag.js"
import { Planner, type Route, type SessionStatePolicy, type Topology } from "./plan.js"
import * as Pool from "./pool.js"
import type { Pooling } from "./pooling.js"
import { type InFlight, Signals, toMillis } from "./signals.js"

/** An endpoint at run time: its pools, and the signals that strategies see. */
export class Server extends Signals implements Candidate {
  role: Role
  /** Its share of the reads. */
  weight: number
  /** Another one whenever it may have come back with less than it had. */
  life: object = {}
  /** Who measures how far it is behind its primary. */
  lagOf: LagMonitor["lag"] = () => undefined
  /** When a read waited for it in vain, in milliseconds of the clock. */
  stalledAt = Number.NEGATIVE_INFINITY
  /** Reads that wait until it has got further. */
  awaited = 0

  constructor(
    readonly endpoint: Endpoint,
    readonly attributes: ReadonlyArray<readonly [string, unknown]>,
    readonly pool: Pool.Pool,
    /** Lends connections to reads outside transactions; the same as `pool` unless the driver keeps them apart. */
    readonly readers: Pool.Pool
  ) {
    super()
    this.role = endpoint.role
    this.weight = endpoint.weight
  }

  get name(): string {
    return this.endpoint.name
  }
  get zone(): string | undefined {
    return this.endpoint.zone
  }
  get lag(): ReplicaLag | undefined {
    return this.lagOf(this.name)
  }
  get lagMillis(): number | undefined {
    return this.lag?.millis
  }
  get connections(): Connections {
    const { active, idle, max, waiting } = this.readers.stats
    return { idle, total: active + idle, max, waiting }
  }

  /** What is connected leads to a server that is not what it was, or not at all. */
  evict(): void {
    this.pool.evict()
    if (this.readers !== this.pool) this.readers.evict()
  }
}

/** Who may serve what, and who takes writes: what a Database needs to know of health. */
export type Standing = Pick<
  Health.Health,
  "success" | "failure" | "primary" | "hasPrimary" | "refuseWrite" | "refreshRoles" | "awaitPrimary"
>

/** What a choice of a replica is made for. */
export interface Choosing {
  readonly facts: StatementFacts
  readonly settings: FiberSettings
  readonly session: object | undefined
  readonly route: Route | undefined
}

/** A primary with its replicas at run time. */
export class Database<out Care extends Standing = Standing> {
  /** Where the last read was sent, or the last attempt at one. */
  lastChoice: Server | undefined
  private readonly byName: ReadonlyMap<string, Server>
  private isUsed = false
  /** Of rules that have strategies of their own. */
  private readonly choosers = new Map<ReplicaStrategy, ReplicaChooser>()
  private readonly serversOf = new WeakMap<ReadonlyArray<string>, ReadonlyArray<Server>>()

  constructor(
    readonly name: string,
    readonly driver: Driver<never>,
    readonly servers: ReadonlyArray<Server>,
    readonly planner: Planner,
    private readonly chooser: ReplicaChooser,
    private readonly clock: Clock.Clock,
    /** Uniform in [0, 1). */
    private readonly random: () => number,
    readonly health: Care,
    /** Told when the first statement comes. */
    private readonly onFirstUse: () => void,
    /** Who knows how far the replicas are; nobody does where there are none, or they cannot tell. */
    readonly lag?: LagMonitor | undefined
  ) {
    this.byName = new Map(servers.map((server) => [server.name, server]))
  }

  /** Who takes writes now, or did last. */
  get primary(): Server {
    return this.byName.get(this.health.primary)!
  }

  get replicas(): ReadonlyArray<Server> {
    const { primary } = this
    return this.servers.filter((server) => server !== primary)
  }

  /** One of the Database's own. */
  serverOf(endpoint: string): Server {
    return this.byName.get(endpoint)!
  }

  /** Forgets what a server had: it may come back with less. */
  forget(server: Server): void {
    server.life = {}
    this.lag?.forget(server.name)
  }

  has(endpoint: string): boolean {
    return this.byName.has(endpoint)
  }

  get pools(): ReadonlyArray<Pool.Pool> {
    return Array.from(new Set(this.servers.flatMap((server) => [server.pool, server.readers])))
  }

  /** The best server that was not tried yet: the strategy's choice in the first class that has one. */
  choose(plan: Plan, tried: ReadonlyArray<Server>, chooses?: Choosing): Server | undefined {
    if (!this.isUsed) {
      this.isUsed = true
      this.onFirstUse()
    }
    for (const { endpoints } of plan.candidates) {
      const all = this.resolve(endpoints)
      const left = tried.length === 0 ? all : all.filter((server) => !tried.includes(server))
      if (left.length === 0) continue
      const chosen = left.length === 1 ? left[0]! : this.ask(left, tried, chooses)
      if (plan.access === "readOnly") this.lastChoice = chosen
      return chosen
    }
    return undefined
  }

  /** A strategy may be a user's own: its index out of range, or an exception instead. */
  private ask(left: ReadonlyArray<Server>, tried: ReadonlyArray<Server>, chooses: Choosing | undefined): Server {
    try {
      return left[this.chooserOf(chooses?.route?.strategy).choose(left, this.context(tried, chooses))] ?? left[0]!
    } catch {
      return left[0]!
    }
  }

  /** Takes in how a statement ended. */
  observe(
    server: Server,
    statement: InFlight,
    nanos: bigint,
    outcome: Outcome
  ): void {
    const now = toMillis(nanos)
    const millis = server.end(statement, now, outcome)
    if (outcome === "success") this.health.success(server.name, nanos)
    try {
      this.chooser.observe?.(server.name, outcome, millis, now)
    } catch {
      // A user's own, like `choose`; the connection that the statement had is still to be given back.
    }
    if (this.choosers.size === 0) return
    for (const chooser of this.choosers.values()) chooser.observe?.(server.name, outcome, millis, now)
  }

  private context(tried: ReadonlyArray<Server>, chooses: Choosing | undefined): ChoiceContext {
    return {
      now: toMillis(this.clock.unsafeCurrentTimeNanos()),
      attempt: tried.length + 1,
      key: chooses?.settings.affinity,
      session: chooses?.session,
      facts: chooses?.facts
    }
  }

  /** Makes a rule's own strategy ready. */
  prepare(strategy: ReplicaStrategy): Effect.Effect<void, never, Scope.Scope> {
    return this.choosers.has(strategy)
      ? Effect.void
      : Effect.map(strategy.make({ random: this.random }), (chooser) => void this.choosers.set(strategy, chooser))
  }

  private chooserOf(strategy: ReplicaStrategy | undefined): ReplicaChooser {
    return (strategy && this.choosers.get(strategy)) ?? this.chooser
  }

  /** Plans name endpoints, for they are values; the servers behind a plan's list are looked up once. */
  private resolve(endpoints: ReadonlyArray<string>): ReadonlyArray<Server> {
    let servers = this.serversOf.get(endpoints)
    if (servers === undefined) {
      servers = endpoints.map((name) => this.byName.get(name)!)
      this.serversOf.set(endpoints, servers)
    }
    return servers
  }
}

export interface DatabaseOptions<Config> {
  readonly driver: Driver<Config>
  /** The first one is believed to be the primary. */
  readonly endpoints: ReadonlyArray<Endpoint<Config>>
  readonly strategy: ReplicaStrategy
  /** The primary's share of the reads; 0 for those alone that no replica can serve. */
  readonly primaryReadWeight: number
  readonly sessionState: SessionStatePolicy
  readonly readOnlyReplicas: boolean
  readonly shutdownTimeout: Duration.Duration
  readonly pooling: Pooling
  readonly health: ReplicaHealthSettings
  readonly lag: ReplicationLagSettings
  readonly publish: (event: RoutingEvent) => void
  /** A pool's settings, from what the endpoint's driver says. */
  readonly poolSettings: (
    endpoint: Endpoint<Config>,
    fromDriver: ConnectionPoolOptions
  ) => Effect.Effect<ConnectionPoolSettings, SqlError>
}

/** A database whose pools end with the Scope. Nothing here waits for a server. */
export const make = <Config>(
  options: DatabaseOptions<Config>
): Effect.Effect<Database<Health.Health>, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const { driver, endpoints, pooling } = options
    const name = endpoints[0]!.database
    const clock = yield* Effect.clock
    // One generator per database, drawn from Effect's Random: a seed replays every choice.
    const generator = new Utils.PCGRandom(yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER))
    const random = () => generator.number()

    const byName = new Map<string, Server>()
    let lag: LagMonitor | undefined = undefined as LagMonitor | undefined
    const forget = (name: string) => {
      const server = byName.get(name)
      // A connection may be lost while others are still made ready.
      if (server !== undefined) server.life = {}
      lag?.forget(name)
    }

    // They end side by side: one after the other, each would have the whole deadline to itself.
    const pools = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.parallel)
    const poolOf = (endpoint: Endpoint<Config>, lane: Pool.PoolOptions["lane"], access: () => Access) =>
      Effect.gen(function*() {
        const pool = Pool.make({
          database: name,
          endpoint: endpoint.name,
          lane,
          settings: yield* options.poolSettings(endpoint, driver.pool(endpoint, access())),
          // A server that changed roles is connected to for what it is now.
          open: Effect.suspend(() => driver.open(endpoint, access())),
          rollback: driver.texts.rollback,
          hooks: pooling.hooksFor({ database: name, endpoint: endpoint.name, role: endpoint.role, access: access() }),
          budget: pooling.budget,
          random,
          shutdownTimeout: options.shutdownTimeout,
          onLost: () => forget(endpoint.name)
        })
        const scope = yield* Scope.fork(pools, ExecutionStrategy.sequential)
        return yield* Effect.zipLeft(Scope.extend(pool, scope), pooling.check)
      })
    const serverOf = (endpoint: Endpoint<Config>, index: number) =>
      Effect.gen(function*() {
        const isPrimary = () => server === undefined ? index === 0 : server.role === "primary"
        const access = (): Access => isPrimary() || !options.readOnlyReplicas ? "readWrite" : "readOnly"
        let server: Server | undefined = undefined as Server | undefined
        const pool = yield* poolOf(endpoint, "main", access)
        const readers = endpoint.role === "primary" && driver.readersBesideWriter(endpoint.config)
          ? yield* poolOf(endpoint, "readers", () => "readOnly")
          : pool
        server = new Server(endpoint, driver.serverAttributes(endpoint.config), pool, readers)
        become(server, index === 0 ? "primary" : "replica")
        return server
      })
    /** What was the primary takes its share of the reads once it is a replica, and the other way round. */
    const become = (server: Server, role: Role) => {
      server.role = role
      server.weight = role === "primary" ? options.primaryReadWeight : server.endpoint.weight
    }
    const servers = yield* Effect.forEach(endpoints, serverOf)
    for (const server of servers) byName.set(server.name, server)

    const started = yield* Deferred.make<void>()
    const monitor = yield* makeMonitor(options, clock, byName)
    const health: Health.Health = yield* Health.make({
      database: name,
      endpoints,
      settings: options.health,
      random,
      started: Deferred.await(started),
      status: (name) => monitor(name, driver.status),
      disposition: (error) => driver.disposition(error),
      publish: options.publish,
      onChange: () => {
        const before = planner.topology.replicas
        planner.topology = topologyOf()
        const now = toMillis(clock.unsafeCurrentTimeNanos())
        for (const back of planner.topology.replicas) if (!before.includes(back)) byName.get(back)!.recovered(now)
      },
      onRoleChange: (endpoint, role) => {
        const server = byName.get(endpoint)!
        become(server, role)
        server.evict()
        forget(endpoint)
      },
      onOpen: (endpoint) => {
        byName.get(endpoint)!.evict()
        forget(endpoint)
      }
    })
    const mayRead = endpoints.some((endpoint, i) => i > 0 && endpoint.weight > 0)
    const isNear = (replica: string) => replica === health.primary || lag === undefined || lag.serving(replica)
    const tooFar = (replica: string) => ({ endpoint: replica, reason: `lags by more than ${maxLag}` })
    const maxLag = Duration.format(options.lag.maxLag)
    const topologyOf = (): Topology => ({
      database: name,
      primary: health.primary,
      replicas: health.serving.every(isNear) ? health.serving : health.serving.filter(isNear),
      excluded: health.serving.every(isNear)
        ? health.excluded
        : [...health.excluded, ...health.serving.filter((replica) => !isNear(replica)).map(tooFar)],
      primaryServesReads: !mayRead || options.health.whenNoneLeft === "primary",
      primaryAmongReplicas: options.primaryReadWeight > 0 && !health.isPrimaryHeld,
      isReplica: (endpoint) => endpoint !== health.primary
    })
    const planner = new Planner(topologyOf(), options.sessionState)
    if (endpoints.length > 1 && (driver.tellsPositions || options.lag.probe._tag !== "Positions")) {
      lag = yield* Lag.make({
        servers: () => servers,
        ask: monitor,
        status: driver.status,
        settings: options.lag,
        random,
        // Not beside the first statements: they would look slow, and their servers with them.
        started: Effect.zipRight(
          Deferred.await(started),
          Effect.suspend(() => Effect.sleep(Duration.times(options.lag.interval, 0.5 + random() / 2)))
        ),
        publish: (event) => options.publish(routingEvent(name, event)),
        onChange: () => {
          const { replicas } = planner.topology
          const next = topologyOf()
          if (replicas.length === next.replicas.length && next.replicas.every((one) => replicas.includes(one))) return
          planner.topology = next
        }
      })
      for (const server of servers) server.lagOf = lag.lag
    }
    const chooser = yield* options.strategy.make({ random })
    // Nothing is connected to before somebody uses the database.
    const onFirstUse = () => Deferred.unsafeDone(started, Effect.void)
    return new Database(name, driver, servers, planner, chooser, clock, random, health, onFirstUse, lag)
  })

const routingEvent = (database: string, event: Lag.LagEvent): RoutingEvent => {
  const { endpoint } = event
  switch (event._tag) {
    case "Measured":
      return { _tag: "LagMeasured", database, endpoint, lag: event.lag }
    case "Lagging":
      return { _tag: "ReplicaLagging", database, endpoint, lag: Duration.millis(event.millis) }
    case "CaughtUp":
      return { _tag: "ReplicaCaughtUp", database, endpoint }
    case "ProbeFailed":
      return { _tag: "LagUnknown", database, endpoint, cause: event.cause }
  }
}

/** Asks an endpoint something, on a connection that it keeps for the next time. */
type Monitor = <A>(
  name: string,
  question: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>
) => Effect.Effect<A, SqlError>

const makeMonitor = <Config>(
  { driver, endpoints, health, readOnlyReplicas, shutdownTimeout }: DatabaseOptions<Config>,
  clock: Clock.Clock,
  servers: ReadonlyMap<string, Server>
): Effect.Effect<Monitor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pools = new Map<string, Pool.Pool>()
    for (const endpoint of endpoints) {
      const access: Access = endpoint.role === "primary" || !readOnlyReplicas ? "readWrite" : "readOnly"
      const pool = yield* Pool.make({
        database: endpoint.database,
        endpoint: endpoint.name,
        lane: "main",
        settings: { ...ConnectionPool.defaults, max: 1, connectTimeout: health.probeTimeout },
        open: driver.open(endpoint, access),
        rollback: driver.texts.rollback,
        hooks: Hooks.none,
        budget: undefined,
        random: () => 0,
        shutdownTimeout
      })
      pools.set(endpoint.name, pool)
    }
    return (name, question) => {
      const pool = pools.get(name)!
      const server = servers.get(name)!
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          pool.acquire(restore),
          (slot) =>
            Effect.onExit(restore(Effect.suspend(() => question(slot.connection))), (exit) =>
              Effect.sync(() => {
                const now = clock.unsafeCurrentTimeNanos()
                if (Exit.isFailure(exit)) return pool.discard(slot)
                server.probed(toMillis(now - slot.lentAt), toMillis(now))
                pool.release(slot, now)
              }))
        )
      )
    }
  })
