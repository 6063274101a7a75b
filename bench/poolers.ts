import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { once } from "node:events"
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as pg from "pg"
import * as binaries from "../scripts/binaries.mjs"
import * as RoutedPgClient from "../src/RoutedPgClient.js"
import { caughtUp, freshDatabase, type Server } from "../test/servers/index.js"
import * as programs from "../test/servers/programs.mjs"
import { start } from "../test/servers/start.js"
import { median, report } from "./harness.js"
import { round } from "./select.js"

const { host } = programs
const user = "postgres"
const maxConnections = 10
const rows = 1000
const statements = 600
const rounds = 15
/** The first rounds open connections and are for the compiler. */
const warmUp = 4
const fibersOf = [1, 16, 64]

const freePort = async (): Promise<number> => (await programs.freePorts(1))[0]!

interface Pooler {
  readonly name: string
  readonly program: string | undefined
  /** The files in a folder of its own, and the arguments it is started with. */
  readonly configure: (folder: string, port: number) => Promise<ReadonlyArray<string>>
}

/** Runs a pooler until the Scope ends; the port it answers on. */
const running = (pooler: Pooler & { readonly program: string }): Effect.Effect<number, never, Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const folder = programs.makeFolder()
        const port = await freePort()
        const args = await pooler.configure(folder, port)
        // Poolers refuse to run as root.
        const account = programs.accountFor("postgres")
        for (const file of [folder, ...fs.readdirSync(folder).map((name) => path.join(folder, name))]) {
          programs.give(file, account)
        }
        const log = path.join(folder, "output.log")
        const child = programs.launch(pooler.program, args, account, log)
        for (let i = 0; !await answers(port); i++) {
          if (child.exitCode !== null || i > 200) {
            child.kill("SIGKILL")
            throw new Error(`${pooler.name} does not run\n${fs.readFileSync(log, "utf8")}`)
          }
          await sleep(50)
        }
        return { child, folder, port }
      }),
      ({ child, folder }) =>
        Effect.promise(async () => {
          const ended = once(child, "exit")
          child.kill("SIGINT")
          const patience = setTimeout(() => child.kill("SIGKILL"), 5000)
          if (child.exitCode === null && child.signalCode === null) await ended
          clearTimeout(patience)
          fs.rmSync(folder, { recursive: true, force: true })
        })
    ),
    ({ port }) => port
  )

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

/** Transactions share connections to one server, as it is mostly set up. */
const pgbouncer = (server: Server): Pooler => ({
  name: "pgbouncer",
  program: binaries.which("pgbouncer"),
  configure: async (folder, port) => {
    const file = path.join(folder, "pgbouncer.ini")
    fs.writeFileSync(
      file,
      `[databases]
* = host=${host} port=${server.port} user=${user}
[pgbouncer]
listen_addr = ${host}
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${maxConnections}
max_client_conn = 200
`
    )
    return ["-q", file]
  }
})

/** Chooses a replica for each statement, as the router does. */
const pgpool = (servers: ReadonlyArray<Server>): Pooler => ({
  name: "pgpool",
  program: binaries.which("pgpool"),
  configure: async (folder, port) => {
    const file = path.join(folder, "pgpool.conf")
    const backends = servers.map((server, i) =>
      `backend_hostname${i} = '${host}'
backend_port${i} = ${server.port}
backend_weight${i} = ${i === 0 ? 0 : 1}
backend_flag${i} = 'DISALLOW_TO_FAILOVER'
backend_application_name${i} = '${server.name}'`
    )
    fs.writeFileSync(
      file,
      `backend_clustering_mode = 'streaming_replication'
listen_addresses = '${host}'
port = ${port}
unix_socket_directories = '${folder}'
pcp_listen_addresses = '${host}'
pcp_port = ${await freePort()}
pcp_socket_dir = '${folder}'
pid_file_name = '${path.join(folder, "pgpool.pid")}'
logdir = '${folder}'
num_init_children = ${maxConnections * 2}
max_pool = 1
load_balance_mode = on
statement_level_load_balance = on
sr_check_user = '${user}'
sr_check_database = 'postgres'
health_check_period = 0
enable_pool_hba = off
${backends.join("\n")}
`
    )
    for (const name of ["pcp.conf", "pool_hba.conf"]) fs.writeFileSync(path.join(folder, name), "")
    return ["-n", "-f", file, "-F", path.join(folder, "pcp.conf"), "-a", path.join(folder, "pool_hba.conf")]
  }
})

interface Contestant {
  readonly name: string
  readonly select: (id: number) => Effect.Effect<unknown, unknown>
}

const plain = (name: string, port: number, database: string): Effect.Effect<Contestant, never, Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new pg.default.Pool({ host, port, user, database, max: maxConnections })),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool) => ({
      name,
      select: (id) => Effect.promise(() => pool.query("SELECT id, name FROM bench WHERE id = $1", [id]))
    })
  )

const client = (
  name: string,
  layer: Layer.Layer<SqlClient.SqlClient, SqlError>
): Effect.Effect<Contestant, SqlError, Scope> =>
  Effect.map(Layer.build(layer), (context) => {
    const sql = Context.get(context, SqlClient.SqlClient)
    return { name, select: (id) => sql`SELECT id, name FROM bench WHERE id = ${id}` }
  })

const createTable = async (primary: Server, database: string): Promise<void> => {
  const connection = new pg.default.Client({ host, port: primary.port, user, database })
  await connection.connect()
  await connection.query("CREATE TABLE bench (id int PRIMARY KEY, name varchar(40))")
  await connection.query(`INSERT INTO bench SELECT i, 'name ' || i FROM generate_series(1, ${rows}) i`)
  await connection.end()
}

/** The median latency that so many fibers see, in microseconds, of each contestant in each round. */
const race = async (
  contestants: ReadonlyArray<Contestant>,
  fibers: number
): Promise<ReadonlyMap<Contestant, ReadonlyArray<number>>> => {
  const results = new Map(contestants.map((contestant) => [contestant, new Array<number>()] as const))
  let next = 0
  for (let i = 0; i < rounds; i++) {
    for (const contestant of contestants) {
      const one = Effect.suspend(() => contestant.select(next = next % rows + 1))
      const { p50 } = await Effect.runPromise(Effect.orDie(round(one, fibers, statements)))
      if (i >= warmUp) results.get(contestant)!.push(p50)
    }
  }
  return results
}

/**
 * A primary-key select by way of PgBouncer and of pgpool-II, where they are installed, and by our router: each beside the
 * same client with nothing between. Behind PgBouncer is one server, behind the others a primary with two replicas.
 */
export const run = async (): Promise<void> => {
  const servers = await start()
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const { database, primary, replicas } = yield* freshDatabase("postgres")
    yield* Effect.promise(() => createTable(primary, database))
    yield* caughtUp("postgres")
    const [replica1, replica2] = replicas
    const of = (server: Server) => ({ url: Redacted.make(server.url) })
    const direct = yield* plain("plain pg", replica1.port, database)
    const stock = yield* client("stock client", PgClient.layer({ ...of(replica1), maxConnections }))
    const routed = yield* client(
      "routed client",
      RoutedPgClient.layer({
        maxConnections,
        primary: of(primary),
        replicas: { replica1: of(replica1), replica2: of(replica2) }
      })
    )
    const between: Array<Contestant> = []
    for (const pooler of [pgbouncer(replica1), pgpool([primary, ...replicas])]) {
      const { name, program } = pooler
      if (program === undefined) console.log(`bench poolers ${name} is not installed here`)
      else between.push(yield* plain(name, yield* running({ ...pooler, program }), database))
    }
    for (const fibers of fibersOf) {
      const results = yield* Effect.promise(() => race([direct, stock, routed, ...between], fibers))
      const latencies = (contestant: Contestant) => results.get(contestant)!
      const tell = (contestant: Contestant, other: Contestant, most?: number) => {
        const ratios = latencies(contestant).map((p50, i) => p50 / latencies(other)[i]!)
        report("poolers", `${contestant.name}_p50_${fibers}`, "x", median(ratios), {
          ...most !== undefined && { most },
          beside: other.name
        })
      }
      report("poolers", `${direct.name}_p50_${fibers}`, "us", median(latencies(direct)))
      for (const contestant of between) tell(contestant, direct)
      tell(routed, stock, 1)
      tell(routed, direct)
    }
  })))
  await servers.stop()
}
