// How PostgreSQL's and MariaDB's programs are run for tests: as whom, where, and with which arguments. For the servers that
// all tests share (supervisor.mjs), which has only Node, and for those of a test's own (test/faults/cluster.ts).
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as binaries from "../../scripts/binaries.mjs"

/** @typedef {"postgres" | "mariadb"} Kind */
/** @typedef {{ readonly uid?: number, readonly gid?: number }} Account */

export const host = "127.0.0.1"

/** What the folders of servers are called before the number of the process that they end with. */
export const prefix = "effect-sql-router-"

// A RAM disk boots in half the time; what a container gives as /dev/shm may be too small to hold the data.
const roomy = 2 ** 30

/** Where folders of servers are. */
export const temporary = () => {
  try {
    fs.accessSync("/dev/shm", fs.constants.W_OK)
    const { bavail, bsize } = fs.statfsSync("/dev/shm")
    return bavail * bsize >= roomy ? "/dev/shm" : os.tmpdir()
  } catch {
    return os.tmpdir()
  }
}

/** A new folder, named so that the next run removes it if it is abandoned. */
export const makeFolder = () => fs.mkdtempSync(path.join(temporary(), `${prefix}${process.pid}-`))

/**
 * Whom a server runs as: neither runs as root.
 *
 * @param {Kind} kind
 * @returns {Account}
 */
export const accountFor = (kind) => {
  if (process.getuid?.() !== 0) return {}
  const accounts = fs.readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"))
  const preferred = [kind === "postgres" ? "postgres" : "mysql", "nobody"]
  const found = preferred.map((name) => accounts.find((fields) => fields[0] === name)).find(Boolean)
  return found === undefined ? {} : { uid: Number(found[2]), gid: Number(found[3]) }
}

/**
 * Gives a folder to an account.
 *
 * @param {string} folder
 * @param {Account} account
 */
export const give = (folder, { gid, uid }) => {
  if (uid !== undefined && gid !== undefined) fs.chownSync(folder, uid, gid)
}

/** @param {number} port @returns {Promise<boolean>} */
const isFree = (port) =>
  new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })

/**
 * Ports that are free now, all different, below those that outgoing connections take: one of them would keep a server from
 * starting again on its port.
 *
 * @param {number} count
 * @returns {Promise<ReadonlyArray<number>>}
 */
export const freePorts = async (count) => {
  /** @type {Set<number>} */
  const ports = new Set()
  while (ports.size < count) {
    const port = 16_384 + Math.floor(Math.random() * 16_384)
    if (await isFree(port)) ports.add(port)
  }
  return Array.from(ports)
}

const env = { ...process.env, LC_ALL: "C" }

// `setpriv` asks the kernel to end the program with this process, even when this process is killed outright.
const setpriv = binaries.which("setpriv")

/**
 * Starts a program, whose output is added to a log.
 *
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {Account} account
 * @param {string} log
 */
export const launch = (program, args, account, log) => {
  const output = fs.openSync(log, "a")
  const [command, all] = setpriv === undefined
    ? [program, args]
    : [setpriv, ["--pdeathsig", "QUIT", program, ...args]]
  const child = spawn(command, all, { ...account, cwd: "/", env, stdio: ["ignore", output, output] })
  fs.closeSync(output)
  return child
}

/**
 * Runs a program to its end, in place.
 *
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {Account} account
 */
export const complete = (program, args, account) => {
  const { error, status, stderr } = spawnSync(program, args, { ...account, cwd: "/", encoding: "utf8", env })
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`, { cause: error })
}

/**
 * Where `initdb` and `postgres` are. The account that they run under may not be let into the project's folder: then they
 * are copied into one that it may enter.
 *
 * @param {string} folder
 */
export const postgres = (folder) => {
  const bin = binaries.postgres()
  if (bin === undefined) throw new Error("PostgreSQL is not installed: run `node scripts/setup.mjs --servers`")
  const programs = path.dirname(bin)
  if (process.getuid?.() !== 0 || !programs.startsWith(binaries.embedded.package)) return bin
  const copy = path.join(folder, "programs")
  complete("cp", ["-a", programs, copy], {})
  return path.join(copy, path.basename(bin))
}

/** @param {string} folder */
export const initdb = (folder) => [
  "-D",
  folder,
  "-U",
  "postgres",
  "-A",
  "trust",
  "-E",
  "UTF8",
  "--no-locale",
  "--no-sync"
]

/**
 * Makes a PostgreSQL server that does not run a standby of another.
 *
 * @param {{ readonly folder: string, readonly name: string }} server
 * @param {{ readonly port: number }} primary
 */
export const follow = ({ folder, name }, { port }) => {
  // Without connect_timeout a lost first packet costs the boot many seconds.
  const conninfo = `host=${host} port=${port} user=postgres application_name=${name} connect_timeout=2`
  fs.appendFileSync(path.join(folder, "postgresql.conf"), `primary_conninfo = '${conninfo}'\n`)
  fs.writeFileSync(path.join(folder, "standby.signal"), "")
}

export const mariadb = () => {
  const programs = binaries.mariadb()
  if (programs === undefined) throw new Error("MariaDB is not installed: run `node scripts/setup.mjs --servers`")
  return programs
}

const innodb = [
  "--innodb-log-file-size=32M",
  "--innodb-flush-log-at-trx-commit=0",
  "--loose-innodb-flush-method=nosync"
]

/** @param {string} folder */
export const installDb = (folder) => [
  "--no-defaults",
  `--datadir=${folder}`,
  "--auth-root-authentication-method=normal",
  "--skip-test-db",
  "--skip-name-resolve",
  ...innodb
]

/** @param {{ readonly folder: string, readonly port: number, readonly id: number, readonly connections: number }} server */
export const mariadbd = ({ connections, folder, id, port }) => [
  "--no-defaults",
  `--datadir=${folder}`,
  `--port=${port}`,
  `--bind-address=${host}`,
  `--socket=${folder}.sock`,
  `--pid-file=${folder}.pid`,
  `--server-id=${id}`,
  "--log-bin=binlog",
  "--binlog-format=ROW",
  "--log-slave-updates",
  "--gtid-strict-mode=ON",
  "--skip-name-resolve",
  "--skip-networking=0",
  "--skip-slave-start",
  "--slave-net-timeout=5",
  "--character-set-server=utf8mb4",
  "--innodb-buffer-pool-size=64M",
  ...innodb,
  "--sync-binlog=0",
  "--performance-schema=OFF",
  `--max-connections=${connections}`
]

/**
 * What makes a MariaDB server a replica of another.
 *
 * @param {{ readonly port: number }} primary
 */
export const changeMaster = ({ port }) =>
  `CHANGE MASTER TO MASTER_HOST='${host}', MASTER_PORT=${port}, MASTER_USER='root', MASTER_CONNECT_RETRY=1, `
  + "MASTER_HEARTBEAT_PERIOD=1, MASTER_USE_GTID=slave_pos"
