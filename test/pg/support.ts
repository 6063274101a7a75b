import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Either, Redacted, Schedule } from "effect"
import type { Scope } from "effect"
import type { PhysicalConnection } from "../../src/Driver.js"
import type { Access, Endpoint, Role } from "../../src/Endpoint.js"
import * as Driver from "../../src/internal/pg/driver.js"
import { type PgEndpointConfig, read, type Settings } from "../../src/internal/pg/settings.js"
import type { TcpProxy } from "../../src/testing/TcpProxy.js"
import { postgres } from "../servers/index.js"

const cluster = postgres()

export const primaryUrl = Redacted.make(cluster.primary.url)
export const replicaUrl = Redacted.make(cluster.replicas[0].url)

export const settings = (config: PgEndpointConfig): Settings => Either.getOrThrow(read(config, "url"))

/** From now on nothing comes through, in either direction, and nobody is let in. */
export const silence = (proxy: TcpProxy) =>
  proxy.configure({ connect: "ignore", request: () => "swallow", answer: () => "swallow" })

export const isIdle = (proxy: TcpProxy): Effect.Effect<boolean> =>
  Effect.map(proxy.state, ({ open }) => open.length === 0)

export const endpoint = (config: PgEndpointConfig = {}, role: Role = "primary"): Endpoint<Settings> => ({
  database: "main",
  name: role === "primary" ? "primary" : "replica1",
  role,
  weight: 1,
  zone: undefined,
  config: settings({ ...(config.host === undefined ? { url: primaryUrl } : {}), ...config })
})

export const driver = Driver.make(settings({ url: primaryUrl }))

/** A connection of the driver's own. */
export const connect = (
  config?: PgEndpointConfig,
  access: Access = "readWrite"
): Effect.Effect<PhysicalConnection, SqlError, Scope.Scope> => driver.open(endpoint(config), access)

export const rows = (connection: PhysicalConnection, sql: string, params: ReadonlyArray<unknown> = []) =>
  connection.execute(sql, params, undefined)

export const backendPid = (connection: PhysicalConnection): Effect.Effect<number, SqlError> =>
  Effect.map(rows(connection, "SELECT pg_backend_pid() AS pid"), (rows) => rows[0].pid)

export const kill = (admin: PhysicalConnection, pid: number): Effect.Effect<void, SqlError> =>
  Effect.asVoid(rows(admin, "SELECT pg_terminate_backend($1)", [pid]))

/** What a backend does now: `active`, `idle`, …; `undefined` once it is gone. */
export const stateOf = (admin: PhysicalConnection, pid: number): Effect.Effect<string | undefined, SqlError> =>
  Effect.map(rows(admin, "SELECT state FROM pg_stat_activity WHERE pid = $1", [pid]), (rows) => rows[0]?.state)

export const eventually = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("5 seconds")
  )

/** A connection through a proxy. */
export const connectThrough = (
  { port }: { readonly port: number },
  config: PgEndpointConfig = {}
): Effect.Effect<PhysicalConnection, SqlError, Scope.Scope> => connect({ ...throughPort(port), ...config })

export const throughPort = (port: number): PgEndpointConfig => ({
  host: "127.0.0.1",
  port,
  username: cluster.user,
  database: cluster.database
})
