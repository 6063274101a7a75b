import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Utils from "effect/Utils"
import type { ConnectionPoolOptions, ConnectionPoolSettings } from "../ConnectionPool.js"
import type { Driver } from "../Driver.js"
import type { Access, Endpoint } from "../Endpoint.js"
import type { Plan } from "../Plan.js"
import type { Candidate, ReplicaChooser, ReplicaStrategy } from "../ReplicaStrategy.js"
import * as Planner from "./plan.js"
import * as Pool from "./pool.js"

/** An endpoint at run time: its pools, and the signals that strategies see. */
export class Server implements Candidate {
  inFlight = 0

  constructor(
    readonly endpoint: Endpoint,
    readonly attributes: ReadonlyArray<readonly [string, unknown]>,
    readonly pool: Pool.Pool,
    /** Lends connections to reads outside transactions; the same as `pool` unless the driver keeps them apart. */
    readonly readers: Pool.Pool
  ) {}

  get name(): string {
    return this.endpoint.name
  }
  get weight(): number {
    return this.endpoint.weight
  }
  get zone(): string | undefined {
    return this.endpoint.zone
  }
}

/** A primary with its replicas at run time. */
export class Database {
  private readonly byName: ReadonlyMap<string, Server>
  private readonly serversOf = new WeakMap<ReadonlyArray<string>, ReadonlyArray<Server>>()

  constructor(
    readonly driver: Driver<never>,
    readonly primary: Server,
    readonly replicas: ReadonlyArray<Server>,
    readonly plan: Planner.Planner,
    readonly pinnedPlan: Plan,
    private readonly chooser: ReplicaChooser
  ) {
    this.byName = new Map([primary, ...replicas].map((server) => [server.name, server]))
  }

  get name(): string {
    return this.primary.endpoint.database
  }

  get servers(): ReadonlyArray<Server> {
    return [this.primary, ...this.replicas]
  }

  get pools(): ReadonlyArray<Pool.Pool> {
    return Array.from(new Set(this.servers.flatMap((server) => [server.pool, server.readers])))
  }

  /** The best server that was not tried yet: the strategy's choice in the first class that has one. */
  choose(plan: Plan, tried: ReadonlyArray<Server>): Server | undefined {
    for (const { endpoints } of plan.candidates) {
      const all = this.resolve(endpoints)
      const left = tried.length === 0 ? all : all.filter((server) => !tried.includes(server))
      if (left.length === 1) return left[0]
      // A strategy may be a user's own, and its index out of range.
      if (left.length > 1) return left[this.chooser.choose(left)] ?? left[0]
    }
    return undefined
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
  readonly primary: Endpoint<Config>
  readonly replicas: ReadonlyArray<Endpoint<Config>>
  readonly strategy: ReplicaStrategy
  readonly readOnlyReplicas: boolean
  readonly shutdownTimeout: Duration.Duration
  /** A pool's settings, from what the endpoint's driver says. */
  readonly poolSettings: (
    endpoint: Endpoint<Config>,
    fromDriver: ConnectionPoolOptions
  ) => Effect.Effect<ConnectionPoolSettings, SqlError>
}

/** A database whose pools end with the Scope. Nothing here waits for a server. */
export const make = <Config>(options: DatabaseOptions<Config>): Effect.Effect<Database, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const { driver } = options
    // One generator per database, drawn from Effect's Random: a seed replays every choice.
    const generator = new Utils.PCGRandom(yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER))
    const random = () => generator.number()

    // They end side by side: one after the other, each would have the whole deadline to itself.
    const pools = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.parallel)
    const poolOf = (endpoint: Endpoint<Config>, access: Access, lane: "main" | "readers") =>
      Effect.gen(function*() {
        const pool = Pool.make({
          database: endpoint.database,
          endpoint: endpoint.name,
          lane,
          settings: yield* options.poolSettings(endpoint, driver.pool(endpoint, access)),
          open: driver.open(endpoint, access),
          random,
          shutdownTimeout: options.shutdownTimeout
        })
        return yield* Scope.extend(pool, yield* Scope.fork(pools, ExecutionStrategy.sequential))
      })
    const serverOf = (endpoint: Endpoint<Config>, access: Access) =>
      Effect.gen(function*() {
        const pool = yield* poolOf(endpoint, access, "main")
        const readers = endpoint.role === "primary" && driver.readersBesideWriter(endpoint.config)
          ? yield* poolOf(endpoint, "readOnly", "readers")
          : pool
        return new Server(endpoint, driver.serverAttributes(endpoint.config), pool, readers)
      })

    const primary = yield* serverOf(options.primary, "readWrite")
    const replicas = yield* Effect.forEach(
      options.replicas,
      (endpoint) => serverOf(endpoint, options.readOnlyReplicas ? "readOnly" : "readWrite")
    )
    const name = options.primary.database
    const plan = Planner.make({
      database: name,
      primary: primary.name,
      replicas: replicas.filter((_) => _.weight > 0).map((_) => _.name),
      excluded: replicas.filter((_) => _.weight === 0).map((_) => ({ endpoint: _.name, reason: "its weight is 0" }))
    })
    return new Database(
      driver,
      primary,
      replicas,
      plan,
      Planner.pinned(name, primary.name),
      options.strategy.make(random)
    )
  })
