/** Pools of real servers, and what the servers themselves know of them. */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import type { ConnectionPoolStats } from "effect-sql-router/ConnectionPool"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import type { DurationInput } from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import * as Mysql from "mysql2/promise"
import * as Pg from "pg"
import { caughtUp, freshDatabase } from "../servers/index.js"

/** A session, as its server sees it. */
export interface Backend {
  readonly id: number
  readonly state: "idle" | "active" | "inTransaction"
  /** What it runs, or ran last. */
  readonly statement: string
}

/** Sees and ends the sessions of one database on one server, through a session of its own that it leaves out. */
export interface Admin {
  readonly backends: Effect.Effect<ReadonlyArray<Backend>>
  /** Returns when the session has ended. */
  readonly kill: (id: number) => Effect.Effect<void>
}

export interface Place {
  /** Its URL is the primary's, or another way to it. */
  readonly router: (options?: RouterOptions, port?: number) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
  readonly withReplicas: (options?: RouterOptions) => Effect.Effect<RoutedSqlClient, SqlError, Scope>
  readonly primary: { readonly host: string; readonly port: number }
  /** Of the primary, then of each replica. */
  readonly admins: ReadonlyArray<Admin>
}

export interface Engine {
  readonly name: "postgres" | "mariadb"
  /** A fresh database with a table `t (id)`. */
  readonly place: Effect.Effect<Place, SqlError, Scope>
  readonly sleep: (seconds: number) => string
  readonly ownId: string
  /** Whether the packet tells a client that it is let in, or refused. */
  readonly endsConnect: (data: Buffer) => boolean
}

export const pgAdmin = ({ host, port }: { readonly host: string; readonly port: number }, database: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new Pg.default.Client({ host, port, user: "postgres", database: "postgres" })
        client.on("error", () => {})
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    ),
    (client): Admin => {
      const backends = Effect.promise(async () => {
        const { rows } = await client.query(
          `select pid, state, query from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
          [database]
        )
        return rows.map(({ pid, query, state }): Backend => ({
          id: pid,
          state: state === "active" ? "active" : String(state).startsWith("idle in") ? "inTransaction" : "idle",
          statement: query
        }))
      })
      return {
        backends,
        kill: (id) =>
          Effect.zipRight(
            Effect.promise(() => client.query("select pg_terminate_backend($1)", [id])),
            gone(backends, id)
          )
      }
    }
  )

const mysqlAdmin = ({ host, port }: { readonly host: string; readonly port: number }, database: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => Mysql.createConnection({ host, port, user: "root" })),
      (connection) => Effect.sync(() => connection.destroy())
    ),
    (connection): Admin => {
      const backends = Effect.promise(async () => {
        const [rows] = await connection.query(
          `select p.id, p.command, p.info, t.trx_id from information_schema.processlist p `
            + `left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id where p.db = ?`,
          [database]
        )
        return (rows as ReadonlyArray<Record<string, unknown>>).map((row): Backend => ({
          id: Number(row["id"]),
          state: row["command"] !== "Sleep" ? "active" : row["trx_id"] === null ? "idle" : "inTransaction",
          statement: String(row["info"] ?? "")
        }))
      })
      return {
        backends,
        kill: (id) =>
          Effect.zipRight(
            // It may have ended by itself.
            Effect.promise(() => connection.query(`kill ${id}`).catch(() => {})),
            gone(backends, id)
          )
      }
    }
  )

const gone = (backends: Admin["backends"], id: number): Effect.Effect<void> =>
  eventually(Effect.map(backends, (all) => all.every((backend) => backend.id !== id)))

const create = (place: Place): Effect.Effect<Place, SqlError> =>
  Effect.as(
    Effect.scoped(Effect.flatMap(place.router(), (sql) => sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`)),
    place
  )

/** To where a URL leads, through another port. */
export const through = (url: string, port: number | undefined): Redacted.Redacted =>
  Redacted.make(port === undefined ? url : url.replace(/:\d+\//, `:${port}/`))

export const postgres: Engine = {
  name: "postgres",
  place: Effect.gen(function*() {
    const { primary, replicas: [first, second] } = yield* freshDatabase("postgres")
    const database = new URL(primary.url).pathname.slice(1)
    const replicas = {
      replica1: { url: through(first.url, undefined) },
      replica2: { url: through(second.url, undefined) }
    }
    return yield* create({
      primary,
      admins: yield* Effect.all([primary, first, second].map((server) => pgAdmin(server, database))),
      router: (options, port) =>
        Effect.provide(
          RoutedPgClient.make({ ...options, primary: { url: through(primary.url, port) } }),
          Reactivity.layer
        ),
      withReplicas: (options) =>
        Effect.zipRight(
          caughtUp("postgres"),
          Effect.provide(
            RoutedPgClient.make({ ...options, primary: { url: through(primary.url, undefined) }, replicas }),
            Reactivity.layer
          )
        )
    })
  }),
  sleep: (seconds) => `SELECT pg_sleep(${seconds})`,
  ownId: "SELECT pg_backend_pid() AS id",
  // ReadyForQuery, of a session without a transaction, or ErrorResponse.
  endsConnect: (data) => data.includes(Buffer.from([0x5a, 0, 0, 0, 5, 0x49])) || data[0] === 0x45
}

export const mariadb: Engine = {
  name: "mariadb",
  place: Effect.gen(function*() {
    const { primary, replicas: [first] } = yield* freshDatabase("mariadb")
    const database = new URL(primary.url).pathname.slice(1)
    const replicas = { replica1: { url: through(first.url, undefined) } }
    return yield* create({
      primary,
      admins: yield* Effect.all([primary, first].map((server) => mysqlAdmin(server, database))),
      router: (options, port) =>
        Effect.provide(
          RoutedMysqlClient.make({ ...options, primary: { url: through(primary.url, port) } }),
          Reactivity.layer
        ),
      withReplicas: (options) =>
        Effect.zipRight(
          caughtUp("mariadb"),
          Effect.provide(
            RoutedMysqlClient.make({ ...options, primary: { url: through(primary.url, undefined) }, replicas }),
            Reactivity.layer
          )
        )
    })
  }),
  sleep: (seconds) => `SELECT SLEEP(${seconds})`,
  ownId: "SELECT CONNECTION_ID() AS id",
  // The OK packet that ends the handshake, which is the third of the connection, or an error.
  endsConnect: (data) => (data[3]! >= 2 && data[4] === 0) || data[4] === 0xff
}

export const engines: ReadonlyArray<Engine> = [postgres, mariadb]

export const eventually = <E>(condition: Effect.Effect<boolean, E>, within: DurationInput = "5 seconds") =>
  condition.pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout(within),
    Effect.asVoid,
    Effect.orDie
  )

/** The session that a statement runs in now. */
export const backendId = (sql: RoutedSqlClient, engine: Engine): Effect.Effect<number, SqlError> =>
  Effect.map(sql.unsafe<{ id: number }>(engine.ownId), ([row]) => Number(row!.id))

export const ids = (sql: RoutedSqlClient): Effect.Effect<ReadonlyArray<number>, SqlError> =>
  Effect.map(sql<{ id: number }>`SELECT id FROM t ORDER BY id`, (rows) => rows.map(({ id }) => id))

export const onlyPool = (sql: RoutedSqlClient): Effect.Effect<ConnectionPoolStats> =>
  Effect.map(sql.pools, ([pool]) => pool!)

export const closedInAll = ({ closed }: ConnectionPoolStats): number =>
  Object.values(closed).reduce((sum, count) => sum + count, 0)

/** Numbers in [0, 1), the same for the same seed. */
export const randomFrom = (seed: number) => () => {
  // Marsaglia's xorshift: any numbers do that can be had again.
  seed ^= seed << 13
  seed ^= seed >>> 17
  seed ^= seed << 5
  return (seed >>> 0) / 2 ** 32
}
