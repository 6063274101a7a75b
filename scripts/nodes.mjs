// Runs what needs no server under each supported Node, in a copy of the repository outside of it: the quickstart (which
// compiles better-sqlite3 for that Node), the build, the package's checks, and every test that asks for no server. The
// Nodes come from the package registry. Arguments choose versions: `npm run nodes -- 22 24`.
import { spawnSync } from "node:child_process"
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const supported = ["20", "22", "24"]
const wanted = process.argv.slice(2)
const unknown = wanted.filter((version) => !supported.includes(version))
if (unknown.length > 0) {
  console.error(`Node ${unknown.join(", ")} is not supported. Supported: ${supported.join(", ")}.`)
  process.exit(1)
}

const scratch = mkdtempSync(path.join(tmpdir(), "effect-sql-router-nodes-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

/**
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
const run = ([program = "", ...args], { cwd = root, env = process.env } = {}) => {
  const { error, status, stderr, stdout } = spawnSync(program, args, { cwd, encoding: "utf8", env, maxBuffer: 2 ** 28 })
  if (status !== 0) {
    throw new Error(
      `${[program, ...args.slice(0, 5)].join(" ")} ended with ${status ?? error?.message}\n${stdout}${stderr}`
    )
  }
  return stdout
}

/**
 * The folder that holds a Node's `bin` and `include`.
 *
 * @param {string} version
 */
const node = (version) => {
  const folder = path.join(scratch, `node-${version}`)
  const name = `node-${process.platform}-${process.arch}`
  mkdirSync(folder)
  run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, `${name}@${version}`])
  return path.join(folder, "node_modules", name)
}

/** @param {string} version */
const copy = (version) => {
  const folder = path.join(scratch, `repository-${version}`)
  const files = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
  // What was deleted since the last commit is listed as well. A link (to somebody's node_modules) would lead out of here.
  const isFile = (/** @type {string} */ file) => lstatSync(path.join(root, file), { throwIfNoEntry: false })?.isFile()
  for (const file of files.split("\0").filter((file) => file !== "" && isFile(file))) {
    cpSync(path.join(root, file), path.join(folder, file))
  }
  return folder
}

/**
 * The test files that reach no module of test/servers by their imports.
 *
 * @param {string} folder
 */
const serverless = (folder) => {
  /** @type {Map<string, boolean>} */
  const known = new Map()
  /** @type {(file: string) => boolean} */
  const asksForServers = (file) => {
    const before = known.get(file)
    if (before !== undefined) return before
    known.set(file, false)
    const imported = [...readFileSync(path.join(folder, file), "utf8").matchAll(/from "(\.[^"]+)\.js"/g)]
      .map(([, name = ""]) => `${path.join(path.dirname(file), name)}.ts`)
      .filter((name) => name.startsWith("test/"))
    const asks = imported.some((name) => name.startsWith("test/servers/") || asksForServers(name))
    known.set(file, asks)
    return asks
  }
  return readdirSync(path.join(folder, "test"), { recursive: true, encoding: "utf8" })
    .map((file) => path.join("test", file))
    .filter((file) => file.endsWith(".test.ts") && !asksForServers(file))
}

/**
 * Of better-sqlite3 12, garbage collection ends the process there; 13 is not for Node 20 (docs/dependencies.md).
 *
 * @param {string} folder
 */
const useSqlite13 = (folder) => {
  run(["npm", "pkg", "set", "devDependencies.better-sqlite3=^13.0.0", "overrides.better-sqlite3=$better-sqlite3"], {
    cwd: folder
  })
  run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder })
}

for (const version of wanted.length > 0 ? wanted : supported) {
  const home = node(version)
  const cwd = copy(version)
  const env = { ...process.env, PATH: `${path.join(home, "bin")}${path.delimiter}${process.env.PATH}` }
  const name = `Node ${run(["node", "--version"], { env }).trim()}`
  const tests = serverless(cwd)
  if (version === "24") useSqlite13(cwd)
  /** @type {ReadonlyArray<readonly [name: string, command: ReadonlyArray<string>]>} */
  const steps = [
    ["quickstart", ["npm", "run", "quickstart"]],
    ["build, package", ["node", "scripts/verify.mjs", "build", "package"]],
    [`tests of ${tests.length} files`, ["node", "node_modules/vitest/vitest.mjs", "run", ...tests]]
  ]
  for (const [step, command] of steps) {
    const started = performance.now()
    try {
      const last = run(command, { cwd, env }).split("\n").filter((line) => /^\s+Tests /.test(line)).join("").trim()
      console.log(`${name}: ${step}: ok, ${((performance.now() - started) / 1000).toFixed(0)} s ${last}`)
    } catch (error) {
      console.error(`${name}: ${step}: failed\n${error instanceof Error ? error.message : error}`)
      process.exitCode = 1
    }
  }
  rmSync(cwd, { recursive: true, force: true })
}
