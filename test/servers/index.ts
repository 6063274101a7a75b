/**
 * Real servers: a PostgreSQL primary with two streaming replicas, and a MariaDB primary with one GTID replica. One set
 * serves a whole run; each kind boots when a test first asks for it. Tests keep apart by a database of their own.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as mysql from "mysql2/promise"
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as pg from "pg"

/** The environment variable that tells child processes where the servers' supervisor is asked. */
export const folderVariable = "EFFECT_SQL_ROUTER_SERVERS"

export interface Server {
  readonly name: string
  readonly folder: string
  readonly host: string
  readonly port: number
  readonly pid: number
  /** Names the user and the database as well. */
  readonly url: string
}

export interface Cluster<Replicas extends ReadonlyArray<Server> = ReadonlyArray<Server>> {
  /** Connects without a password. */
  readonly user: string
  readonly database: string
  readonly primary: Server
  readonly replicas: Replicas
  readonly bootMillis: number
}

export interface Clusters {
  /** Two streaming replicas. */
  readonly postgres: Cluster<readonly [Server, Server]>
  /** One GTID replica; `@@server_id` is 1 on the primary and 2 on the replica. */
  readonly mariadb: Cluster<readonly [Server]>
}

export type Kind = keyof Clusters

/** By the file that an answer came in: a benchmark after another has servers of its own. */
const known = new Map<string, Clusters[Kind]>()
const patienceMillis = 60_000
const sleeper = new Int32Array(new SharedArrayBuffer(4))

// Tests want plain values, so this waits in place: the test that asks first has nothing else to do.
const ask = <K extends Kind>(kind: K): Clusters[K] => {
  const folder = process.env[folderVariable]
  if (folder === undefined) throw new Error("The test servers were not started: call start() of test/servers/start.ts")
  const answer = path.join(folder, `${kind}.json`)
  const before = known.get(answer)
  if (before !== undefined) return before as Clusters[K]
  if (!existsSync(answer)) writeFileSync(path.join(folder, `${kind}.wanted`), "")
  const deadline = Date.now() + patienceMillis
  while (!existsSync(answer)) {
    if (Date.now() > deadline) throw new Error(`${kind} did not boot within ${patienceMillis} ms, see ${folder}`)
    Atomics.wait(sleeper, 0, 0, 10)
  }
  const { cluster, error } = JSON.parse(readFileSync(answer, "utf8"))
  if (error !== undefined) throw new Error(`${kind} did not boot: ${error}`)
  known.set(answer, cluster)
  return cluster
}

/** The PostgreSQL servers; the first call of a run boots them. */
export const postgres = (): Clusters["postgres"] => ask("postgres")

/** The MariaDB servers; the first call of a run boots them. */
export const mariadb = (): Clusters["mariadb"] => ask("mariadb")

export const cluster = <K extends Kind>(kind: K): Clusters[K] => ask(kind)

type Row = Readonly<Record<string, any>>
type Query = (sql: string) => Promise<ReadonlyArray<Row>>

const withPostgres = async <A>(server: Server, use: (query: Query) => Promise<A>): Promise<A> => {
  const client = new pg.default.Client({ host: server.host, port: server.port, user: "postgres", database: "postgres" })
  client.on("error", () => {})
  await client.connect()
  try {
    return await use((sql) => client.query(sql).then((result) => result.rows))
  } finally {
    await client.end()
  }
}

const withMariadb = async <A>(server: Server, use: (query: Query) => Promise<A>): Promise<A> => {
  const connection = await mysql.createConnection({ host: server.host, port: server.port, user: "root" })
  try {
    return await use((sql) => connection.query(sql).then(([rows]) => rows as ReadonlyArray<Row>))
  } finally {
    connection.destroy()
  }
}

const replayMillis = 20_000

/** What differs between the kinds, for this module's own connections. */
interface Administration {
  readonly with: <A>(server: Server, use: (query: Query) => Promise<A>) => Promise<A>
  readonly position: string
  /** A statement for a replica whose `reached` is 1 as soon as the replica has replayed the position. */
  readonly reached: (position: string) => string
  readonly create: (name: string, remoteApply: boolean) => ReadonlyArray<string>
  readonly drop: (cluster: Cluster, name: string) => Promise<void>
}

const administration: Record<Kind, Administration> = {
  postgres: {
    with: withPostgres,
    // What is flushed is what a commit has waited for and what is sent to the replicas.
    position: "select pg_current_wal_flush_lsn()::text as position",
    reached: (position) => `select (pg_last_wal_replay_lsn() >= '${position}'::pg_lsn)::int as reached`,
    create: (name, remoteApply) => [
      `create database ${name}`,
      ...(remoteApply ? [`alter database ${name} set synchronous_commit = remote_apply`] : [])
    ],
    drop: ({ primary }, name) =>
      withPostgres(primary, async (query) => {
        await query(`drop database if exists ${name} with (force)`)
      })
  },
  mariadb: {
    with: withMariadb,
    position: "select @@gtid_binlog_pos as position",
    reached: (position) => `select master_gtid_wait('${position}', 1) = 0 as reached`,
    create: (name) => [`create database ${name}`],
    // A transaction left open on a table would hold up the drop, and on a replica all of its replication.
    drop: async ({ primary, replicas }, name) => {
      for (const server of [...replicas, primary]) {
        await withMariadb(server, async (query) => {
          const sessions = await query(`select id from information_schema.processlist where db = '${name}'`)
          // A session may have ended meanwhile.
          for (const { id } of sessions) await query(`kill ${id}`).catch(() => {})
        })
      }
      await withMariadb(primary, async (query) => {
        await query(`drop database if exists ${name}`)
      })
    }
  }
}

/**
 * Waits until every replica has replayed what was committed on the primary when this was called.
 */
export const caughtUp = (kind: Kind): Effect.Effect<void> =>
  Effect.promise(async (signal) => {
    const { primary, replicas } = cluster(kind)
    const admin = administration[kind]
    const [row] = await admin.with(primary, (query) => query(admin.position))
    const deadline = Date.now() + replayMillis
    await Promise.all(replicas.map((replica) =>
      admin.with(replica, async (query) => {
        while (!signal.aborted && (await query(admin.reached(row?.position)))[0]?.reached !== 1) {
          if (Date.now() > deadline) throw new Error(`${kind} ${replica.name} is behind ${row?.position}`)
        }
      })
    ))
  })

/**
 * A new, empty database with a name of its own, on the primary and (when this returns) on every replica; dropped when
 * the Scope closes, whoever is still connected.
 *
 * `remoteApply` is for PostgreSQL: each commit in this database waits until both replicas have applied it, so a read on
 * either of them is never behind. MariaDB has no such mode (its semi-synchronous replication waits for receipt, not for
 * replay): await `caughtUp("mariadb")` after a write there.
 */
export const freshDatabase = <K extends Kind>(
  kind: K,
  options?: { readonly remoteApply?: boolean | undefined }
): Effect.Effect<Clusters[K], never, Scope.Scope> =>
  Effect.gen(function*() {
    const servers = cluster(kind)
    const admin = administration[kind]
    const database = `test_${randomBytes(6).toString("hex")}`
    const remoteApply = options?.remoteApply ?? false
    if (remoteApply && kind === "mariadb") throw new Error("MariaDB has no commit that waits for a replica's replay")
    yield* Effect.acquireRelease(
      Effect.promise(() =>
        admin.with(servers.primary, async (query) => {
          for (const sql of admin.create(database, remoteApply)) await query(sql)
        })
      ),
      () => Effect.promise(() => admin.drop(servers, database))
    )
    yield* caughtUp(kind)
    const inDatabase = (server: Server): Server => ({ ...server, url: server.url.replace(/[^/]*$/, database) })
    const fresh: Cluster = {
      ...servers,
      database,
      primary: inDatabase(servers.primary),
      replicas: servers.replicas.map(inDatabase)
    }
    return fresh as Clusters[K] // `map` forgets how many replicas there are
  })
