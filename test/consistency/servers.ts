/** Engines with replicas whose replication can be stopped. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as mysql from "mysql2/promise"
import * as pg from "pg"
import { mariadb as mariadbServers, postgres as postgresServers, type Server } from "../servers/index.js"
import * as engines from "../transaction/engines.js"

export interface Engine extends Pick<engines.Engine, "place"> {
  readonly name: "postgres" | "mariadb"
  readonly replicas: number
  /** Stops replication on all replicas until the Scope closes. */
  readonly paused: Effect.Effect<void, never, Scope>
  readonly setPaused: (replica: number, paused: boolean) => Effect.Effect<void>
}

const onPostgres = (server: Server, sql: string): Promise<ReadonlyArray<any>> => {
  const client = new pg.default.Client({ host: server.host, port: server.port, user: "postgres", database: "postgres" })
  return client.connect().then(() => client.query(sql)).then(({ rows }) => rows).finally(() => client.end())
}

const onMariadb = async (server: Server, sql: string): Promise<void> => {
  const connection = await mysql.createConnection({ host: server.host, port: server.port, user: "root" })
  try {
    await connection.query(sql)
  } finally {
    connection.destroy()
  }
}

const engine = (
  of: engines.Engine,
  replicas: () => ReadonlyArray<Server>,
  set: (server: Server, paused: boolean) => Promise<void>
): Engine => {
  const setPaused = (replica: number, paused: boolean) => Effect.promise(() => set(replicas()[replica]!, paused))
  const all = (paused: boolean) => Effect.forEach(replicas(), (_, i) => setPaused(i, paused), { discard: true })
  return {
    name: of.name as "postgres" | "mariadb",
    place: of.place,
    get replicas() {
      return replicas().length
    },
    paused: Effect.acquireRelease(all(true), () => all(false)),
    setPaused
  }
}

export const postgres = engine(engines.postgres, () => postgresServers().replicas, async (server, paused) => {
  await onPostgres(server, `SELECT pg_wal_replay_${paused ? "pause" : "resume"}()`)
  if (!paused) return
  for (;;) {
    const [row] = await onPostgres(server, "SELECT pg_get_wal_replay_pause_state() AS state")
    if (row.state === "paused") return
  }
})

export const mariadb = engine(
  engines.mariadb,
  () => mariadbServers().replicas,
  (server, paused) => onMariadb(server, `${paused ? "STOP" : "START"} SLAVE SQL_THREAD`)
)
