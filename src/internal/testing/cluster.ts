import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type { Scope } from "effect/Scope"
import * as Struct from "effect/Struct"
import * as Utils from "effect/Utils"
import type { Endpoint } from "../../Endpoint.js"
import * as RoutingError from "../../RoutingError.js"
import type { Cluster, ClusterOptions, EndpointConfig, InMemoryEndpoint } from "../../testing/InMemoryDriver.js"
import * as Client from "../client.js"
import * as Dispositions from "../dispositions.js"
import * as Endpoints from "../endpoints.js"
import * as Driver from "./driver.js"
import { Replication, Server, type Surroundings } from "./server.js"
import { VirtualTime } from "./virtualTime.js"

/** What endpoints share if it stands beside them. */
const sharedNames = [
  "answer",
  "latency",
  "distance",
  "connectTime",
  "servers",
  "maxConnections",
  "replayDelay",
  "record"
] as const

/** A cluster, and what simulations see of its servers. */
export interface ClusterInside extends Cluster {
  readonly servers: ReadonlyArray<Server>
}

/** Servers in memory, whose time is that of the fiber; what is under way ends with the Scope. */
export const make = (options: ClusterOptions): Effect.Effect<ClusterInside, SqlError, Scope> =>
  Effect.gen(function*() {
    const { dialect = "postgres", primary = {}, seed = 1 } = options
    const around = yield* surroundings(dialect, seed)
    const servers: Array<Server> = []
    const driver = Driver.make(dialect)
    const sourceOf = ({ database, policies, shared }: Endpoints.DatabaseOptions<EndpointConfig>) => {
      const replication = new Replication()
      const endpoints = Endpoints.fromOptions<EndpointConfig>(database, shared).map((endpoint, i) => {
        // Of several that may be the primary, the first one is.
        const role = i === 0 ? "primary" : "replica"
        const server = new Server(endpoint.database, endpoint.name, role, endpoint.config, around, replication)
        servers.push(server)
        return withServer(endpoint, server)
      })
      return { driver, endpoints, policies }
    }
    const [main, ...others] = yield* Either.mapBoth(
      Endpoints.databases<EndpointConfig>(
        { ...options, primary },
        (given) => Struct.pick(given as EndpointConfig, ...sharedNames)
      ),
      {
        onLeft: RoutingError.toSqlError,
        onRight: ([main, ...others]) => [sourceOf(main), ...others.map(sourceOf)] as const
      }
    )
    const sources = [main, ...others] as const
    yield* Endpoints.validateDatabases(sources.map(({ endpoints }) => endpoints))
    for (const server of servers) yield* validate(server.name, server.config)
    const home = main.endpoints[0]!.database
    return {
      servers,
      endpoint: (name, database = home) => endpointOf(servers, database, name),
      asked: Effect.sync(() => around.asked.slice()),
      forget: Effect.sync(() => void around.asked.splice(0)),
      connect: (options = {}) =>
        Client.make(sources, options).pipe(
          Effect.map(({ client }) => client),
          Effect.provide(Reactivity.layer)
        )
    }
  })

/** Finds what is wrong with what an endpoint is to be like. */
const validate = (endpoint: string, config: EndpointConfig): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    for (const key of ["latency", "distance", "connectTime", "replayDelay"] as const) {
      const value = config[key]
      if (value !== undefined && typeof value !== "function") yield* Endpoints.duration(`${endpoint}.${key}`, value)
    }
    for (const key of ["servers", "maxConnections"] as const) {
      const value = config[key] ?? 1
      if (value >= 1) continue
      yield* Effect.fail(RoutingError.toSqlError(
        new RoutingError.ConfigurationError({ path: `${endpoint}.${key}`, problem: `${value} is not at least 1` })
      ))
    }
  })

const withServer = (endpoint: Endpoint, server: Server): Endpoint<Server> => ({ ...endpoint, config: server })

const surroundings = (dialect: Surroundings["dialect"], seed: number): Effect.Effect<Surroundings, never, Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime<never>()
    const generator = new Utils.PCGRandom(seed)
    const timers = new Set<Fiber.RuntimeFiber<void>>()
    yield* Effect.addFinalizer(() => Fiber.interruptAll(timers))
    return {
      dialect,
      now: () => Number(clock.unsafeCurrentTimeNanos()) / 1e6,
      after: clock instanceof VirtualTime ? (millis, act) => clock.after(millis, act) : (millis, act) => {
        const timer = Runtime.runFork(
          runtime,
          Effect.map(Effect.interruptible(clock.sleep(Duration.millis(millis))), act)
        )
        timers.add(timer)
        timer.addObserver(() => void timers.delete(timer))
        return () => timer.unsafeInterruptAsFork(timer.id())
      },
      random: () => generator.number(),
      asked: []
    }
  })

const endpointOf = (servers: ReadonlyArray<Server>, database: string, name: string): InMemoryEndpoint => {
  const found = Effect.suspend(() => {
    const server = servers.find((server) => server.database === database && server.name === name)
    if (server !== undefined) return Effect.succeed(server)
    const known = servers.map((server) => `"${server.name}" of "${server.database}"`).join(", ")
    return Effect.fail(RoutingError.toSqlError(
      new RoutingError.ConfigurationError({
        path: `endpoint("${name}", "${database}")`,
        problem: `the cluster has no such endpoint: known are ${known}`
      })
    ))
  })
  const on = <A>(act: (server: Server) => A) => Effect.map(found, act)
  return {
    fail: (fault, options = {}) => on((server) => server.fail(fault, options)),
    recover: on((server) => server.recover()),
    configure: (config) => Effect.zipRight(validate(name, config), on((server) => server.configure(config))),
    dropConnections: on((server) => server.dropConnections(Dispositions.lost)),
    promote: on((server) => server.replication.promote(server)),
    demote: on((server) => server.replication.demote(server)),
    asked: on(({ asked }) => asked),
    state: on((server) => ({
      role: server.role,
      connections: server.connections.size,
      opened: server.opened,
      working: server.busy,
      waiting: server.waiting,
      writes: server.history.writes.slice(0, server.replayed).map(({ params, sql }) => ({ sql, params })),
      position: server.position
    }))
  }
}
