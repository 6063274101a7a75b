/**
 * Servers of a test's own, to be killed, promoted and started again: a PostgreSQL primary with two standbys, and a MariaDB
 * primary with a replica. They end with the Scope, or with this process, however it ends.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as mysql from "mysql2/promise"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as pg from "pg"
import * as programs from "../servers/programs.mjs"

const { host } = programs
const patienceMillis = 30_000
const connectMillis = 10_000

const childrenOf = (pid: number): ReadonlyArray<number> => {
  try {
    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** One server program with its data folder. */
export class TestServer {
  private child: ChildProcess | undefined
  readonly host = host

  constructor(
    readonly name: string,
    readonly port: number,
    readonly folder: string,
    private readonly program: string,
    private readonly args: ReadonlyArray<string>,
    private readonly account: programs.Account,
    readonly query: (sql: string) => Promise<ReadonlyArray<any>>
  ) {}

  get isRunning(): boolean {
    return this.child !== undefined
  }

  /** Starts it, and waits until it answers. */
  readonly start: Effect.Effect<void> = Effect.promise(async () => {
    const child = programs.launch(this.program, this.args, this.account, `${this.folder}.log`)
    this.child = child
    child.once("exit", () => {
      if (this.child === child) this.child = undefined
    })
    const deadline = Date.now() + patienceMillis
    for (;;) {
      try {
        await this.query("SELECT 1")
        return
      } catch (error) {
        if (Date.now() > deadline || this.child === undefined) {
          throw new Error(
            `${this.name} does not answer\n${fs.readFileSync(`${this.folder}.log`, "utf8").slice(-2000)}`,
            {
              cause: error
            }
          )
        }
        await sleep(10)
      }
    }
  })

  /** Ends it at once, as a power cut would, with all processes that serve its connections. */
  readonly kill: Effect.Effect<void> = Effect.suspend(() => this.end("SIGKILL"))

  end(signal: NodeJS.Signals): Effect.Effect<void> {
    return Effect.promise(async () => {
      const { child } = this
      if (child?.pid === undefined) return
      const exited = once(child, "exit")
      const own = signal === "SIGKILL" ? childrenOf(child.pid) : []
      for (const pid of [child.pid, ...own]) {
        try {
          process.kill(pid, signal)
        } catch {
          // It ended with its parent.
        }
      }
      await exited
    })
  }
}

/** A folder for the servers of an account. */
const folderFor = (account: programs.Account): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = programs.makeFolder()
      programs.give(folder, account)
      return folder
    }),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )

export const waitFor = (what: string, holds: () => Promise<boolean>): Effect.Effect<void> =>
  Effect.promise(async () => {
    const deadline = Date.now() + patienceMillis
    while (!(await holds().catch(() => false))) {
      if (Date.now() > deadline) throw new Error(`${what}: not within ${patienceMillis} ms`)
      await sleep(10)
    }
  })

const endAll = (servers: ReadonlyArray<TestServer>): Effect.Effect<void> =>
  Effect.forEach(servers, (server) => server.end("SIGKILL"), { concurrency: "unbounded", discard: true })

const postgresSettings = (port: number) => `
listen_addresses = '${host}'
port = ${port}
unix_socket_directories = ''
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 200
superuser_reserved_connections = 3
wal_level = replica
max_wal_senders = 10
wal_keep_size = 128MB
hot_standby = on
hot_standby_feedback = off
max_standby_streaming_delay = 100ms
wal_retrieve_retry_interval = 100ms
wal_receiver_timeout = 5s
recovery_target_timeline = 'latest'
autovacuum = off
checkpoint_timeout = 1h
log_min_messages = warning
jit = off
dynamic_shared_memory_type = mmap
synchronous_commit = local
`

const queryPostgres = (port: number) => async (sql: string): Promise<ReadonlyArray<any>> => {
  const client = new pg.default.Client({
    host,
    port,
    user: "postgres",
    database: "postgres",
    connectionTimeoutMillis: connectMillis
  })
  client.on("error", () => {})
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

export interface PostgresCluster {
  readonly primary: TestServer
  readonly replica1: TestServer
  readonly replica2: TestServer
}

/** Makes a standby of `primary` out of a server that does not run; it is to be started. */
export const follow: (server: TestServer, primary: TestServer) => void = programs.follow

/** Makes a server that does not run a standby of `primary`, from a copy of another standby that does not run either. */
export const rejoin = (server: TestServer, copyOf: TestServer, primary: TestServer): void => {
  fs.rmSync(server.folder, { recursive: true, force: true })
  programs.complete("cp", ["-a", copyOf.folder, server.folder], programs.accountFor("postgres"))
  fs.rmSync(path.join(server.folder, "postmaster.pid"), { force: true })
  fs.appendFileSync(path.join(server.folder, "postgresql.conf"), `port = ${server.port}\n`)
  follow(server, primary)
}

/** A PostgreSQL primary with two streaming standbys; the user `app` is no superuser. */
export const makePostgres: Effect.Effect<PostgresCluster, never, Scope.Scope> = Effect.gen(function*() {
  const account = programs.accountFor("postgres")
  const base = yield* folderFor(account)
  const bin = programs.postgres(base)
  const program = path.join(bin, "postgres")
  const ports = yield* Effect.promise(() => programs.freePorts(3))
  const servers = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ["primary", "replica1", "replica2"].map((name, i) => {
        const folder = path.join(base, name)
        const port = ports[i]!
        return new TestServer(name, port, folder, program, ["-D", folder], account, queryPostgres(port))
      })
    ),
    endAll
  )
  const [primary, replica1, replica2] = servers as [TestServer, TestServer, TestServer]
  programs.complete(path.join(bin, "initdb"), programs.initdb(primary.folder), account)
  const hba = path.join(primary.folder, "pg_hba.conf")
  // `locked` needs a password, which is how a wrong one is told.
  fs.writeFileSync(
    hba,
    `host all locked ${host}/32 scram-sha-256\nhost all all ${host}/32 trust\nhost replication all ${host}/32 trust\n`
  )
  for (const replica of [replica1, replica2]) {
    programs.complete("cp", ["-a", primary.folder, replica.folder], account)
    follow(replica, primary)
  }
  for (const { folder, port } of servers) {
    fs.appendFileSync(path.join(folder, "postgresql.conf"), postgresSettings(port))
  }
  yield* Effect.forEach(servers, (server) => server.start, { concurrency: "unbounded" })
  yield* Effect.promise(() =>
    primary.query("CREATE USER app; CREATE USER locked PASSWORD 'right'; GRANT ALL ON SCHEMA public TO PUBLIC")
  )
  yield* caughtUp(primary, [replica1, replica2])
  return { primary, replica1, replica2 }
})

/** Waits until standbys have replayed what the primary has written. */
export const caughtUp = (primary: TestServer, replicas: ReadonlyArray<TestServer>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const [row] = yield* Effect.promise(() => primary.query("SELECT pg_current_wal_flush_lsn()::text AS lsn"))
    for (const replica of replicas) {
      yield* waitFor(`${replica.name} has replayed`, async () => {
        const [answer] = await replica.query(`SELECT pg_last_wal_replay_lsn() >= '${row.lsn}'::pg_lsn AS done`)
        return answer.done === true
      })
    }
  })

const queryMariadb = (port: number) => async (sql: string): Promise<ReadonlyArray<any>> => {
  const connection = await mysql.createConnection({ host, port, user: "root", connectTimeout: connectMillis })
  connection.on("error", () => {})
  try {
    const [rows] = await connection.query(sql)
    return rows as ReadonlyArray<any>
  } finally {
    connection.destroy()
  }
}

export interface MariadbCluster {
  readonly primary: TestServer
  readonly replica1: TestServer
}

/** Makes a replica of `primary` out of a server that runs. */
export const replicate = (server: TestServer, primary: TestServer): Effect.Effect<void> =>
  Effect.promise(async () => {
    await server.query("STOP SLAVE")
    await server.query(programs.changeMaster(primary))
    await server.query("START SLAVE")
  })

/** Waits until a MariaDB replica has replayed what its primary has written. */
export const gtidReached = (primary: TestServer, replica: TestServer): Effect.Effect<void> =>
  Effect.promise(async () => {
    const [{ position }] = await primary.query("SELECT @@gtid_binlog_pos AS position") as [{ position: string }]
    const [{ waited }] = await replica.query(`SELECT MASTER_GTID_WAIT('${position}', 20) AS waited`) as [
      { waited: number }
    ]
    if (waited !== 0) throw new Error(`${replica.name} is behind ${position}`)
  })

/** Makes a MariaDB server that does not run a replica of a primary that does, from a copy of it, for which that is restarted. */
export const rejoinMariadb = (server: TestServer, primary: TestServer): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* primary.end("SIGTERM")
    fs.rmSync(server.folder, { recursive: true, force: true })
    programs.complete("cp", ["-a", primary.folder, server.folder], programs.accountFor("mariadb"))
    // What it knows as a replica is written in files that are named after the server.
    for (const file of fs.readdirSync(server.folder)) {
      if (/relay|master\.info/.test(file)) fs.rmSync(path.join(server.folder, file))
    }
    yield* Effect.forEach([primary, server], ({ start }) => start, { concurrency: "unbounded" })
    yield* Effect.promise(() => server.query("SET GLOBAL read_only = 1, gtid_slave_pos = @@gtid_binlog_pos"))
    yield* replicate(server, primary)
    yield* gtidReached(primary, server)
  })

/** A MariaDB primary with a replica that is `read_only`; the user `app` may not write where that is set. */
export const makeMariadb: Effect.Effect<MariadbCluster, never, Scope.Scope> = Effect.gen(function*() {
  const { installDb, server } = programs.mariadb()
  const account = programs.accountFor("mariadb")
  const base = yield* folderFor(account)
  const ports = yield* Effect.promise(() => programs.freePorts(2))
  const servers = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ["primary", "replica1"].map((name, i) => {
        const folder = path.join(base, name)
        const port = ports[i]!
        const args = programs.mariadbd({ folder, port, id: i + 1, connections: 200 })
        return new TestServer(name, port, folder, server, args, account, queryMariadb(port))
      })
    ),
    endAll
  )
  const [primary, replica1] = servers as [TestServer, TestServer]
  programs.complete(installDb, programs.installDb(primary.folder), account)
  programs.complete("cp", ["-a", primary.folder, replica1.folder], account)
  yield* Effect.forEach(servers, (server) => server.start, { concurrency: "unbounded" })
  yield* replicate(replica1, primary)
  for (
    const sql of [
      "CREATE DATABASE test",
      `CREATE USER app@'${host}'`,
      `GRANT ALL ON test.* TO app@'${host}'`
    ]
  ) yield* Effect.promise(() => primary.query(sql))
  yield* gtidReached(primary, replica1)
  yield* Effect.promise(() => replica1.query("SET GLOBAL read_only = 1"))
  return { primary, replica1 }
})
