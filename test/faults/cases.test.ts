import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { catalogue } from "./cases.js"
import type { Ran } from "./document.js"
import { document, numbered, outcomeOf, tests, testsOf } from "./document.js"

const root = path.resolve(import.meta.dirname, "../..")

describe("the catalogue of faults", () => {
  it("has the 25 cases that it was designed by, each with a proof, and no two of one title", () => {
    assert.strictEqual(catalogue.length, 25)
    for (const [, { proofs, title }] of numbered) assert.isNotEmpty(proofs.flatMap(testsOf), title)
    assert.strictEqual(new Set(numbered.map(([, { title }]) => title)).size, numbered.length)
  })

  it("names test files that exist", () => {
    const missing = tests.filter(({ file }) => !fs.existsSync(path.join(root, "test", file)))
    assert.deepStrictEqual(missing, [])
  })

  it("is what docs/faults.md says, of a run in which all held; if not, `npm run faults` writes it anew", () => {
    assert.strictEqual(fs.readFileSync(path.join(root, "docs/faults.md"), "utf8"), document())
  })
})

describe("a case", () => {
  const fault = {
    title: "",
    injected: "",
    held: "",
    proofs: [
      { file: "{on}.test.ts", name: "on {on} * is (safe)", on: ["PostgreSQL", "MariaDB"] as const }
    ]
  }
  const ran = (...statuses: ReadonlyArray<string>): ReadonlyArray<Ran> =>
    statuses.map((status, i) => {
      const name = ["postgres", "mariadb"][i % 2]!
      return { file: `${name}.test.ts`, name: `on ${name} everything is (safe)`, status }
    })

  it("holds where all its tests have passed, wherever they are to run", () =>
    assert.strictEqual(outcomeOf(fault, ran("passed", "passed"))._tag, "held"))

  it("failed where one of them has", () =>
    assert.deepStrictEqual(outcomeOf(fault, ran("passed", "passed", "passed", "failed")), {
      _tag: "failed",
      tests: "on mariadb everything is (safe)"
    }))

  it("was not run where one of them is missing, skipped, or has another name", () => {
    assert.strictEqual(outcomeOf(fault, ran("passed"))._tag, "notRun")
    assert.strictEqual(outcomeOf(fault, ran("passed", "skipped"))._tag, "notRun")
    const [first, second] = ran("passed", "passed")
    const renamed = { ...second!, name: `${second!.name} now` }
    assert.strictEqual(outcomeOf(fault, [first!, renamed])._tag, "notRun")
  })
})
