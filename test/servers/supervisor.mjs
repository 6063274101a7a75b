// Owns the test servers of one run: boots a kind when it is first asked for, and ends everything when its standard
// input closes, which happens however its parent ends.
//
// The folder is the protocol: whoever needs a kind creates `<kind>.wanted` and waits for `<kind>.json`.
import { createConnection } from "mysql2/promise"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Client } from "pg"
import * as programs from "./programs.mjs"

/** @typedef {import("./programs.mjs").Kind} Kind */
/** @typedef {import("./programs.mjs").Account} Account */
/** @typedef {{ name: string, folder: string, host: string, port: number, pid: number, url: string }} Server */

const { host, prefix } = programs
const bootDeadline = 45_000

/** @param {number} pid */
const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM"
  }
}

// A supervisor that was killed outright takes its servers with it (see `run`) and leaves only its folder.
/** @param {string} parent */
const removeAbandoned = (parent) => {
  for (const name of fs.readdirSync(parent).filter((name) => name.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length).split("-")[0])
    if (!isAlive(pid)) fs.rmSync(path.join(parent, name), { recursive: true, force: true })
  }
}

removeAbandoned(programs.temporary())
const root = programs.makeFolder()
fs.chmodSync(root, 0o711)

/** @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set()
let ending = false

/**
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {Account} account
 * @param {string} log
 */
const run = (program, args, account, log) => {
  const child = programs.launch(program, args, account, log)
  children.add(child)
  child.once("exit", () => children.delete(child))
  child.once("error", () => children.delete(child))
  if (ending) child.kill("SIGKILL")
  return child
}

/** @param {string} log */
const tail = (log) => fs.existsSync(log) ? fs.readFileSync(log, "utf8").split("\n").slice(-20).join("\n") : ""

/**
 * Runs a program to its end.
 *
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {Account} account
 * @param {string} log
 * @returns {Promise<void>}
 */
const complete = (program, args, account, log) =>
  new Promise((resolve, reject) => {
    const child = run(program, args, account, log)
    child.once("error", reject)
    child.once("exit", (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${program} ended with ${code}\n${tail(log)}`))
    })
  })

/**
 * Repeats until `attempt` gives something, as long as the server lives and the deadline has not passed.
 *
 * @template A
 * @param {string} what
 * @param {() => Promise<A | undefined>} attempt
 * @param {ReadonlyArray<{ child: import("node:child_process").ChildProcess, log: string }>} running
 * @returns {Promise<A>}
 */
const until = async (what, attempt, running) => {
  const deadline = performance.now() + bootDeadline
  /** @type {unknown} */
  let last
  for (;;) {
    try {
      const result = await attempt()
      if (result !== undefined) return result
    } catch (error) {
      last = error
    }
    const dead = running.find(({ child }) => child.exitCode !== null || child.signalCode !== null)
    if (dead !== undefined) throw new Error(`${what}: the server ended\n${tail(dead.log)}`, { cause: last })
    if (performance.now() > deadline) {
      const logs = running.map(({ log }) => `${log}\n${tail(log)}`).join("\n")
      throw new Error(`${what}: not within ${bootDeadline} ms\n${logs}`, { cause: last })
    }
    await sleep(10)
  }
}

/**
 * The parts that every kind has: an account, a folder, ports, and one data folder copied for each replica.
 *
 * @param {Kind} kind
 * @param {ReadonlyArray<string>} names
 */
const prepare = async (kind, names) => {
  const account = programs.accountFor(kind)
  const base = path.join(root, kind)
  fs.rmSync(base, { recursive: true, force: true })
  fs.mkdirSync(base, { mode: 0o700 })
  programs.give(base, account)
  const ports = await programs.freePorts(names.length)
  const plan = names.map((name, index) => {
    const folder = path.join(base, name)
    return { name, folder, log: `${folder}.log`, port: /** @type {number} */ (ports[index]), id: index + 1 }
  })
  const [primary, ...replicas] = plan
  if (primary === undefined) throw new Error("a cluster has a primary")
  return {
    account,
    plan,
    primary,
    replicas,
    /**
     * @param {string} program
     * @param {(server: (typeof plan)[number]) => ReadonlyArray<string>} args
     */
    start: (program, args) =>
      plan.map((server) => Object.assign(server, { child: run(program, args(server), account, server.log) })),
    copyToReplicas: () =>
      Promise.all(
        replicas.map((replica) => complete("cp", ["-a", primary.folder, replica.folder], account, replica.log))
      )
  }
}

/** @param {number} port */
const postgresSettings = (port) => `
listen_addresses = '${host}'
port = ${port}
unix_socket_directories = ''
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 300
wal_level = replica
max_wal_senders = 10
max_replication_slots = 10
wal_keep_size = 128MB
max_wal_size = 256MB
hot_standby = on
hot_standby_feedback = on
max_standby_streaming_delay = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
autovacuum_naptime = 1d
checkpoint_timeout = 1h
log_min_messages = warning
log_checkpoints = off
jit = off
# Shared memory as files of the data folder, which go with it.
dynamic_shared_memory_type = mmap
# Commits wait for both replicas only where a database or a session asks for it by its own synchronous_commit.
synchronous_standby_names = 'FIRST 2 (replica1, replica2)'
synchronous_commit = local
`

// A standby needs no client tool: a copy of the folder before its first start, a signal file and the primary's address.
const bootPostgres = async () => {
  const bin = programs.postgres(root)
  const { account, copyToReplicas, plan, primary, replicas, start } = await prepare("postgres", [
    "primary",
    "replica1",
    "replica2"
  ])
  await complete(path.join(bin, "initdb"), programs.initdb(primary.folder), account, primary.log)
  fs.appendFileSync(path.join(primary.folder, "pg_hba.conf"), `\nhost replication all ${host}/32 trust\n`)
  await copyToReplicas()
  for (const { folder, port } of plan) {
    fs.appendFileSync(path.join(folder, "postgresql.conf"), postgresSettings(port))
  }
  for (const replica of replicas) programs.follow(replica, primary)
  const running = start(path.join(bin, "postgres"), ({ folder }) => ["-D", folder])
  /**
   * @template A
   * @param {number} port
   * @param {(client: Client) => Promise<A>} use
   */
  const connected = async (port, use) => {
    const client = new Client({ host, port, user: "postgres", database: "postgres", connectionTimeoutMillis: 2000 })
    client.on("error", () => {})
    try {
      await client.connect()
      return await use(client)
    } finally {
      await client.end().catch(() => {})
    }
  }
  await Promise.all(running.map((server) =>
    until(server.name, () =>
      connected(server.port, async (client) => {
        // Somebody else's server on this port would answer as well.
        const { rows } = await client.query("show data_directory")
        return rows[0].data_directory === server.folder ? true : undefined
      }), running)
  ))
  await until("replication", () =>
    connected(primary.port, async (client) => {
      const { rows } = await client.query("select 1 from pg_stat_replication where sync_state = 'sync'")
      return rows.length === replicas.length ? true : undefined
    }), running)
  return { user: "postgres", database: "postgres", scheme: "postgres", running }
}

const bootMariadb = async () => {
  const { installDb, server } = programs.mariadb()
  const { account, copyToReplicas, primary, replicas, start } = await prepare("mariadb", ["primary", "replica1"])
  await complete(installDb, programs.installDb(primary.folder), account, primary.log)
  await copyToReplicas()
  const running = start(server, (one) => programs.mariadbd({ ...one, connections: 300 }))
  /**
   * @template A
   * @param {number} port
   * @param {(connection: import("mysql2/promise").Connection) => Promise<A>} use
   */
  const connected = async (port, use) => {
    const connection = await createConnection({ host, port, user: "root", connectTimeout: 2000 })
    connection.on("error", () => {})
    try {
      return await use(connection)
    } finally {
      connection.destroy()
    }
  }
  /**
   * @param {import("mysql2/promise").Connection} connection
   * @param {string} sql
   */
  const first = async (connection, sql) => {
    const [rows] = /** @type {[Array<Record<string, unknown>>, unknown]} */ (await connection.query(sql))
    return rows[0] ?? {}
  }
  await Promise.all(running.map((server) =>
    until(server.name, () =>
      connected(server.port, async (connection) => {
        const { folder } = await first(connection, "select @@datadir as folder")
        return path.resolve(String(folder)) === server.folder ? true : undefined
      }), running)
  ))
  await Promise.all(replicas.map((replica) =>
    connected(replica.port, async (connection) => {
      await connection.query(programs.changeMaster(primary))
      await connection.query("START SLAVE")
      await until(`replication to ${replica.name}`, async () => {
        const { Slave_IO_Running } = await first(connection, "SHOW SLAVE STATUS")
        return Slave_IO_Running === "Yes" ? true : undefined
      }, running)
    })
  ))
  await connected(primary.port, (connection) => connection.query("CREATE DATABASE test"))
  return { user: "root", database: "test", scheme: "mysql", running }
}

/** @type {Record<Kind, typeof bootPostgres>} */
const boots = { postgres: bootPostgres, mariadb: bootMariadb }

/** @param {Kind} kind */
const boot = async (kind) => {
  const started = performance.now()
  const { database, running, scheme, user } = await boots[kind]()
  const [primary, ...replicas] = running.map(({ child, folder, name, port }) => ({
    name,
    folder,
    host,
    port,
    pid: child.pid,
    url: `${scheme}://${user}@${host}:${port}/${database}`
  }))
  return { user, database, primary, replicas, bootMillis: Math.round(performance.now() - started) }
}

/** @type {Set<Kind>} */
const asked = new Set()

/** @param {Kind} kind */
const answer = async (kind) => {
  if (asked.has(kind)) return
  asked.add(kind)
  const result = await boot(kind).then(
    (cluster) => ({ cluster }),
    (error) => ({ error: error instanceof Error ? `${error.message}\n${error.cause ?? ""}` : String(error) })
  )
  if (ending) return
  const file = path.join(root, `${kind}.json`)
  fs.writeFileSync(`${file}.new`, JSON.stringify(result))
  fs.renameSync(`${file}.new`, file)
}

const end = async () => {
  if (ending) return
  ending = true
  // Nothing here is worth a checkpoint. SIGQUIT lets PostgreSQL end its own children, which SIGKILL would orphan.
  const gone = [...children].map((child) => new Promise((resolve) => child.once("exit", resolve)))
  for (const child of children) child.kill("SIGQUIT")
  const patience = setTimeout(() => children.forEach((child) => child.kill("SIGKILL")), 3000)
  await Promise.all(gone)
  clearTimeout(patience)
  fs.rmSync(root, { recursive: true, force: true })
  process.exit(0)
}

process.stdin.on("end", end).on("error", end).resume()
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "uncaughtException", "unhandledRejection"]) {
  process.on(signal, end)
}
process.stdout.on("error", end)

fs.watch(root, (_event, name) => {
  if (name === "postgres.wanted" || name === "mariadb.wanted") {
    void answer(name === "postgres.wanted" ? "postgres" : "mariadb")
  }
})
process.stdout.write(`${root}\n`)
