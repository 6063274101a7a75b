// Everything that must hold before a change is taken, cheapest first; stops at the first step that fails.
import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const bin = path.join(root, "node_modules/.bin")
const packageJson = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))
const scratch = mkdtempSync(path.join(tmpdir(), "effect-sql-router-package-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

class Failure extends Error {}

/**
 * Runs a program and gives its standard output; a failure carries all it printed.
 *
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, show?: boolean }} [options]
 */
const run = ([program = "", ...args], { cwd = root, show = false } = {}) => {
  const { error, status, stderr, stdout } = spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` },
    maxBuffer: 2 ** 28,
    stdio: ["ignore", show ? "inherit" : "pipe", show ? "inherit" : "pipe"]
  })
  if (status !== 0) {
    const printed = show ? "" : `\n${stdout}${stderr}`
    throw new Failure(`${[program, ...args].join(" ")} ended with ${status ?? error?.message}${printed}`)
  }
  return stdout
}

/** @param {string} script */
const npmRun = (script) => () => {
  run(["npm", "run", "--silent", script])
}

const examples = () => {
  const folder = path.join(root, "examples")
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".ts")).toSorted() : []
  for (const file of files) {
    const printed = run(["tsx", path.join("examples", file)])
    const expectedFile = path.join(folder, file.replace(/\.ts$/, ".expected.txt"))
    if (!existsSync(expectedFile)) continue
    const expected = readFileSync(expectedFile, "utf8")
    if (printed !== expected) {
      throw new Failure(`examples/${file} printed\n${printed}\nbut was expected to print\n${expected}`)
    }
  }
}

const packed = path.join(scratch, "node_modules", packageJson.name)

const pack = () => {
  const [{ filename }] = JSON.parse(run(["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", scratch]))
  const tarball = path.join(scratch, filename)
  mkdirSync(packed, { recursive: true })
  run(["tar", "-xzf", tarball, "--strip-components=1", "-C", packed])
  return tarball
}

/** The names under which the package's public modules are imported. */
const subpaths = () =>
  readdirSync(path.join(packed, "dist"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".js") && !/^(internal|cli)\//.test(file) && file !== "index.js")
    .map((file) => `${packageJson.name}/${file.slice(0, -".js".length)}`)
    .toSorted()

/** @param {ReadonlyArray<string>} names */
const link = (names) => {
  for (const name of names) {
    const target = path.join(scratch, "node_modules", name)
    mkdirSync(path.dirname(target), { recursive: true })
    symlinkSync(path.join(root, "node_modules", name), target)
  }
}

/** @param {ReadonlyArray<string>} names */
const importAll = (names) => {
  const script = names.map((name) => `await import(${JSON.stringify(name)})`).join("\n")
  run([process.execPath, "--input-type=module", "--eval", script], { cwd: scratch })
}

/**
 * Runs a program that must end with a status and print a text.
 *
 * @param {ReadonlyArray<string>} command
 * @param {number} status
 * @param {string} text
 */
const expect = ([program = "", ...args], status, text) => {
  const ended = spawnSync(program, args, { cwd: scratch, encoding: "utf8" })
  if (ended.status !== status || !`${ended.stdout}${ended.stderr}`.includes(text)) {
    throw new Failure(`${[program, ...args].join(" ")} ended with ${ended.status}\n${ended.stdout}${ended.stderr}`)
  }
}

// What a project that installs the package meets: only the declared peers are there for it to import.
const packageChecks = () => {
  const tarball = pack()
  const modules = subpaths()
  run(["publint", "run", tarball, "--strict"])
  const entrypoints = [".", ...modules.map((name) => name.slice(packageJson.name.length + 1))]
  run(["attw", tarball, "--profile", "esm-only", "--no-emoji", "--no-color", "--entrypoints", ...entrypoints])

  writeFileSync(path.join(scratch, "package.json"), JSON.stringify({ type: "module", private: true }))
  const peers = Object.keys(packageJson.peerDependencies)
  const isOptional = (/** @type {string} */ name) => packageJson.peerDependenciesMeta[name]?.optional === true
  link(peers.filter((name) => !isOptional(name)))
  // No driver is needed to test without servers.
  importAll([packageJson.name, ...modules.filter((name) => name.includes("/testing/"))])
  const command = [process.execPath, path.join(packed, packageJson.bin["effect-sql-router"]), "explain"]
  expect([...command, "--help"], 2, "npm install @effect/cli @effect/platform-node")
  link(peers.filter(isOptional))
  importAll([packageJson.name, ...modules])
  expect([...command, "--dialect", "postgres", "SELECT 1"], 0, "a confirmed read")

  const internal = `${packageJson.name}/internal/client`
  const hidden = `await import("${internal}").then(() => process.exit(1), (error) => {
    if (error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error
  })`
  run([process.execPath, "--input-type=module", "--eval", hidden], { cwd: scratch })

  // Drivers whose types are packages of their own: who writes TypeScript has those as well.
  link(peers.map((name) => `@types/${name}`).filter((name) => existsSync(path.join(root, "node_modules", name))))
  const names = [packageJson.name, ...modules]
  const imports = names.map((name, index) => `import * as M${index} from ${JSON.stringify(name)}`)
  const used = `export const modules: ReadonlyArray<object> = [${names.map((_, index) => `M${index}`).join(", ")}]`
  writeFileSync(path.join(scratch, "index.ts"), [...imports, used, ""].join("\n"))
  writeFileSync(
    path.join(scratch, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2022",
        // The types of @effect/platform name a browser's.
        lib: ["ES2023", "DOM"],
        module: "NodeNext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: []
      },
      files: ["index.ts"]
    })
  )
  run(["tsc", "-p", scratch])
}

const report = path.join(root, ".tmp/vitest.json")
let counts = ""

const tests = () => {
  rmSync(report, { force: true })
  try {
    run(["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`], { show: true })
  } finally {
    if (existsSync(report)) {
      const { numFailedTests, numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8"))
      // A file that could not even be loaded has failed, and has no tests to count.
      const unloaded = testResults.filter(
        (/** @type {{ status: string, assertionResults: ReadonlyArray<unknown> }} */ file) =>
          file.status === "failed" && file.assertionResults.length === 0
      )
      counts = `${numPassedTests} passed, ${numFailedTests + unloaded.length} failed`
    }
  }
}

/** @type {ReadonlyArray<readonly [name: string, step: () => unknown]>} */
const steps = [
  ["build", npmRun("build")],
  ["check", npmRun("check")],
  ["lint", npmRun("lint")],
  ["docs", npmRun("docs")],
  ["package", packageChecks],
  ["examples", examples],
  ["score", () => run(["npm", "run", "--silent", "score"], { show: true })],
  ["tests", tests]
]

mkdirSync(path.join(root, ".tmp"), { recursive: true })
const only = process.argv.slice(2)
for (const [name, step] of steps.filter(([name]) => only.length === 0 || only.includes(name))) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  try {
    step()
    console.log(`${name}: ok, ${seconds()}`)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    console.error(`${name}: failed, ${seconds()}\n${error.message}`)
    process.exitCode = 1
    break
  }
}
if (counts !== "") console.log(counts)
