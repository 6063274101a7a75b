import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Page from "../../src/internal/dashboard/page.js"
import { script } from "../../src/internal/dashboard/script.js"

const root = path.resolve(import.meta.dirname, "../..")
const run = (program: string, ...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(path.join(root, "node_modules/.bin", program), args, {
    encoding: "utf8"
  })
  assert.strictEqual(status, 0, `${stdout}${stderr}`)
}

/** The text of each element of a name. */
const elements = (name: string) =>
  Array.from(Page.html.matchAll(new RegExp(`<${name}[^>]*>(.*?)</${name}>`, "gs")), ([, text]) => text!)

describe("the page", () => {
  it("has a script that type-checks and lints", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "effect-sql-router-page-"))
    const file = path.join(folder, "script.js")
    const source = script.replaceAll(`import("../../`, `import("${path.join(root, "src")}/`)
    writeFileSync(file, source)
    run("oxlint", "--deny-warnings", "-c", path.join(root, ".oxlintrc.json"), file)
    writeFileSync(
      path.join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: path.join(root, "tsconfig.base.json"),
        compilerOptions: {
          checkJs: true,
          noEmit: true,
          lib: ["ES2023", "DOM", "DOM.Iterable"],
          typeRoots: [path.join(root, "node_modules/@types")]
        },
        files: [file]
      })
    )
    run("tsc", "-p", folder)
    rmSync(folder, { recursive: true })
  }, 60_000)

  it("is let run its own script and style, and nothing else", () => {
    const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`
    const [scripts, styles] = [elements("script"), elements("style")]
    assert.lengthOf(scripts, 1)
    assert.lengthOf(styles, 1)
    assert.include(Page.contentSecurityPolicy, `script-src ${hash(scripts[0]!)};`)
    assert.include(Page.contentSecurityPolicy, `style-src ${hash(styles[0]!)};`)
    assert.notMatch(Page.contentSecurityPolicy, /unsafe|\*|https?:/)
  })

  it("names nothing outside of it", () => {
    const addresses = Page.html.match(/[a-z]+(:|%3A)(\/|%2F){2}[^"\s]+?(?=%22)/g)
    assert.deepStrictEqual(addresses, [encodeURIComponent("http://www.w3.org/2000/svg")])
  })

  it("is small", () => {
    assert.isBelow(Buffer.byteLength(Page.html), 40_000)
  })
})
