// Checks README.md, docs/ and the docstrings of src/: every ```ts block is a program of its own that type-checks, imported
// as users do; those marked ```ts run are run; links lead somewhere; what must be complete is; docs/api is up to date.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { pages, slugger, withoutDefault } from "./api.mjs"

const root = path.resolve(import.meta.dirname, "..")
const output = path.join(root, ".tmp/docs")
const bin = path.join(root, "node_modules/.bin")

/** @type {Array<string>} */
const problems = []

const read = (/** @type {string} */ file) => readFileSync(path.join(root, file), "utf8")

/**
 * @param {string} folder
 * @param {string} extension
 */
const filesIn = (folder, extension) =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(extension))
    .map((name) => path.posix.join(folder, name.replaceAll(path.sep, "/")))
    .toSorted()

const markdown = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md", "examples/README.md"]
  .filter((file) => existsSync(path.join(root, file)))
  .concat(filesIn("docs", ".md"))

/**
 * @typedef {object} Block
 * @property {string} file
 * @property {string} name Of the program that is made of it.
 * @property {string} code With as many empty lines before it as stand there in the file, for the compiler's line numbers.
 * @property {boolean} isRun
 * @property {string | undefined} printed What it is to print: the unmarked block that follows it at once.
 */

/**
 * @param {string} file
 * @returns {Array<Block>}
 */
const blocksOf = (file) => {
  const margin = file.endsWith(".ts") ? /^\s*\* ?/ : /^/
  const lines = read(file).split("\n").map((line) => line.replace(margin, ""))
  const closing = (/** @type {number} */ from) => lines.findIndex((line, i) => i > from && /^\s*```\s*$/.test(line))
  /** @type {Array<Block>} */
  const blocks = []
  for (let i = 0; i < lines.length; i++) {
    const [opening, mark] = /^\s*```(\S*(?: run)?)\s*$/.exec(lines[i] ?? "") ?? []
    if (opening === undefined) continue
    const end = closing(i)
    if (end === -1) throw new Error(`${file}:${i + 1}: the block is not closed`)
    if (mark === "ts" || mark === "ts run") {
      const code = Array.from({ length: i + 1 }, () => "").concat(lines.slice(i + 1, end)).join("\n")
      const isRun = mark === "ts run"
      const next = end + 2
      const printed = isRun && lines[next] === "```" ? lines.slice(next + 1, closing(next)).join("\n") : undefined
      const suffix = code.includes("@effect/vitest") ? "test.ts" : "ts"
      const name = `${file.replaceAll("/", "__")}.${blocks.length + 1}.${suffix}`
      blocks.push({ file, name, code, isRun, printed })
    }
    i = end
  }
  return blocks
}

/**
 * Names in an output by the files that they are of.
 *
 * @param {string} text
 */
const withFileNames = (text) =>
  text.replace(
    /(\w\S*?\.(?:md|ts))\.\d+(?:\.test)?\.ts(?:[:(](\d+)[:,]\d+\)?)?/g,
    (_all, name, line) => name.replaceAll("__", "/") + (line === undefined ? "" : `:${line}`)
  )

/**
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {string} cwd
 */
const run = (program, args, cwd) => {
  const { status, stderr, stdout } = spawnSync(path.join(bin, program), args, {
    cwd,
    encoding: "utf8",
    timeout: 300_000
  })
  if (status !== 0) problems.push(withFileNames(`${stdout}${stderr}`), `${program} ended with ${status ?? "no answer"}`)
  return stdout
}

const checkCode = () => {
  const blocks = markdown.concat(filesIn("src", ".ts")).flatMap(blocksOf)
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  for (const { code, name } of blocks) writeFileSync(path.join(output, name), `${code}\nexport {}\n`)
  const paths = {
    "effect-sql-router": ["../../src/index.ts"],
    "effect-sql-router/*": ["../../src/*.ts"],
    // As in tsconfig.json.
    "drizzle-orm": ["../../node_modules/drizzle-orm/index"],
    "drizzle-orm/*": ["../../node_modules/drizzle-orm/*/index", "../../node_modules/drizzle-orm/*"]
  }
  const compilerOptions = { noEmit: true, noUnusedLocals: false, paths }
  const tsconfig = path.join(output, "tsconfig.json")
  writeFileSync(tsconfig, JSON.stringify({ extends: "../../tsconfig.base.json", compilerOptions, include: ["*.ts"] }))
  writeFileSync(path.join(output, "package.json"), JSON.stringify({ type: "module" }))
  run("tsc", ["-p", output, "--pretty", "false"], output)

  const runnable = blocks.filter(({ isRun }) => isRun)
  const tests = runnable.filter(({ name }) => name.endsWith(".test.ts"))
  if (tests.length > 0) {
    const config = path.join(output, "vitest.config.ts")
    writeFileSync(
      config,
      `import config from "../../vitest.config.ts"
const include = ${JSON.stringify(tests.map(({ name }) => name))}
export default { resolve: config.resolve, test: { include, testTimeout: 60_000 } }
`
    )
    run("vitest", ["run", "--root", output, "--config", config], output)
  }
  for (const { code, file, name, printed } of runnable.filter((block) => !tests.includes(block))) {
    // Files that it makes are its own.
    const folder = mkdtempSync(path.join(tmpdir(), "effect-sql-router-docs-"))
    const answer = run("tsx", ["--tsconfig", tsconfig, path.join(output, name)], folder)
    rmSync(folder, { recursive: true, force: true })
    if (printed !== undefined && answer.trimEnd() !== printed) {
      problems.push(`${file}:${code.split("\n").findIndex((line) => line !== "") + 1}: the program prints\n${answer}`)
    }
  }
  return `${blocks.length} code blocks type-check, ${runnable.length} run`
}

const withoutCode = (/** @type {string} */ text) => text.replace(/^( *)```[^]*?^\1```$/gm, "").replace(/`[^`\n]*`/g, "")

const headings = (/** @type {string} */ file) => {
  const slug = slugger()
  const lines = read(file).replace(/^```[^]*?^```$/gm, "").split("\n")
  return new Set(lines.flatMap((line) => /^#{1,6} (.*)$/.exec(line)?.[1] ?? []).map((heading) => slug(plain(heading))))
}

const plain = (/** @type {string} */ heading) => heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")

const checkLinks = () => {
  let count = 0
  for (const file of markdown) {
    for (const [, target = ""] of withoutCode(read(file)).matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)) {
      if (/^[a-z]+:/.test(target)) continue
      count++
      const [name = "", heading] = target.split("#")
      const linked = name === "" ? file : path.posix.join(path.posix.dirname(file), name)
      if (!existsSync(path.join(root, linked))) problems.push(`${file}: there is no ${target}`)
      else if (heading !== undefined && statSync(path.join(root, linked)).isFile() && !headings(linked).has(heading)) {
        problems.push(`${file}: there is no heading ${target}`)
      }
    }
  }
  return `${count} links lead somewhere`
}

const checkErrors = () => {
  const tags = Array.from(read("src/RoutingError.ts").matchAll(/TaggedError\("(\w+)"\)/g), ([, tag]) => tag)
  const reasons = /interface Refusal \{[^]*?reason: (.*)/.exec(read("src/Plan.ts"))?.[1]?.match(/\w+/g) ?? []
  const listed = Array.from(read("docs/errors.md").matchAll(/^\| `(\w+)` \|/gm), ([, name]) => name)
  const wanted = [...tags, ...reasons]
  for (const name of wanted) if (!listed.includes(name)) problems.push(`docs/errors.md does not tell of ${name}`)
  for (const name of listed) {
    if (!wanted.includes(name)) problems.push(`docs/errors.md tells of ${name}, which is no error`)
  }
  return `${wanted.length} errors and reasons are told of`
}

const checkReference = () => {
  const written = existsSync(path.join(root, "docs/api")) ? filesIn("docs/api", ".md") : []
  const wanted = new Map(Array.from(pages, ([file, text]) => [`docs/api/${file}`, text]))
  const isStale = written.some((file) => !wanted.has(file))
    || Array.from(wanted).some(([file, text]) => !written.includes(file) || read(file) !== text)
  if (isStale) problems.push("docs/api is not what the source says: npm run docs:api")
  problems.push(...withoutDefault.map((option) => `${option} does not say what its default is`))
  return `${wanted.size} pages of reference`
}

const done = [checkCode(), checkLinks(), checkErrors(), checkReference()]
if (problems.length > 0) {
  console.error(problems.join("\n"))
  process.exit(1)
}
console.log(done.join("; "))
