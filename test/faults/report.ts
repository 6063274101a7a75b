/**
 * `npm run faults` runs the tests of the catalogue, and writes `docs/faults.md`. With `--of`, it only reads the JSON report of
 * a run of vitest, and fails where a case was not proved by it.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Ran } from "./document.js"
import { document, numbered, outcomeOf, tests } from "./document.js"

const root = path.resolve(import.meta.dirname, "../..")

const runAll = (report: string): void => {
  const files = [...new Set(tests.map(({ file }) => path.join("test", file)))]
  const pattern = [...new Set(tests.map((test) => test.pattern))].join("|")
  fs.rmSync(report, { force: true })
  spawnSync(
    path.join(root, "node_modules/.bin/vitest"),
    ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, "-t", pattern, ...files],
    { cwd: root, stdio: "inherit" }
  )
}

interface JsonReport {
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly assertionResults: ReadonlyArray<{ readonly fullName: string; readonly status: string }>
  }>
}

const read = (report: string): ReadonlyArray<Ran> => {
  const { testResults }: JsonReport = JSON.parse(fs.readFileSync(report, "utf8"))
  return testResults.flatMap(({ assertionResults, name }) =>
    assertionResults.map(({ fullName, status }) => ({
      file: path.relative(path.join(root, "test"), name),
      name: fullName.trim(),
      status
    }))
  )
}

const [option, given] = process.argv.slice(2)
const report = option === "--of" && given !== undefined ? path.resolve(given) : path.join(root, ".tmp/faults.json")
if (option !== "--of") runAll(report)
const ran = read(report)
const outcomes = new Map(numbered.map(([number, fault]) => [number, outcomeOf(fault, ran)]))
if (option !== "--of") {
  fs.writeFileSync(path.join(root, "docs/faults.md"), document((number) => outcomes.get(number)!))
}
for (const [number, { title }] of numbered) {
  const outcome = outcomes.get(number)!
  if (outcome._tag === "held") continue
  console.error(`${number}. ${title}: ${outcome._tag === "failed" ? "failed" : "not run"}: ${outcome.tests}`)
  process.exitCode = 1
}
console.log(
  `${Array.from(outcomes.values()).filter(({ _tag }) => _tag === "held").length} of ${outcomes.size} cases held`
)
