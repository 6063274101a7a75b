import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as path from "node:path"

const read = (file: string) => readFileSync(path.resolve(import.meta.dirname, "..", file), "utf8")

describe("the README", () => {
  it("shows what the quickstart prints", () => {
    assert.include(read("README.md"), `\`\`\`\n${read("examples/quickstart.expected.txt")}\`\`\``)
  })
})
