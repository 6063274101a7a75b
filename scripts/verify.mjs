// Everything that must hold before a change is taken, cheapest first; stops at the first step that fails.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import * as path from "node:path"
import { checkDependencies } from "./dependencies.mjs"
import { packageChecks } from "./package.mjs"
import { Failure, root, run } from "./shell.mjs"

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

/**
 * A step throws a `Failure`, or gives what it measured.
 *
 * @type {ReadonlyArray<readonly [name: string, step: () => string | void]>}
 */
const steps = [
  ["dependencies", checkDependencies],
  ["build", npmRun("build")],
  ["check", npmRun("check")],
  ["lint", npmRun("lint")],
  ["docs", npmRun("docs")],
  ["package", packageChecks],
  ["examples", examples],
  ["score", () => void run(["npm", "run", "--silent", "score"], { show: true })],
  ["tests", tests],
  // Of the same run: each case of docs/faults.md was injected and held.
  ["faults", () => run(["tsx", "test/faults/report.ts", "--of", report]).trim()]
]

mkdirSync(path.join(root, ".tmp"), { recursive: true })
const only = process.argv.slice(2)
for (const [name, step] of steps.filter(([name]) => only.length === 0 || only.includes(name))) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  try {
    const measured = step()
    console.log(`${name}: ok, ${seconds()}${measured ? `\n${measured}` : ""}`)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    console.error(`${name}: failed, ${seconds()}\n${error.message}`)
    process.exitCode = 1
    break
  }
}
if (counts !== "") console.log(counts)
