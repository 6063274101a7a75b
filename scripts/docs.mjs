// Type-checks every ```ts block of README.md, docs/ and the docstrings of src/, each as a program of its own that
// imports the package as its users do.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const output = path.join(root, ".tmp/docs")

/**
 * @param {string} folder
 * @param {string} extension
 */
const filesIn = (folder, extension) =>
  existsSync(path.join(root, folder))
    ? readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(extension))
      .map((name) => path.join(folder, name))
    : []

const sources = [
  ...["README.md"].filter((name) => existsSync(path.join(root, name))),
  ...filesIn("docs", ".md"),
  ...filesIn("src", ".ts")
].toSorted()

/**
 * The blocks of a file, each with as many empty lines before it as stand there in the file, so that the compiler's
 * line numbers are those of the file.
 *
 * @param {string} file
 */
const blocksOf = (file) => {
  const margin = file.endsWith(".ts") ? /^\s*\* ?/ : /^/
  /** @type {Array<string>} */
  const blocks = []
  /** @type {Array<string> | undefined} */
  let open
  for (const [index, raw] of readFileSync(path.join(root, file), "utf8").split("\n").entries()) {
    const line = raw.replace(margin, "")
    if (open === undefined) {
      if (/^\s*```ts\s*$/.test(line)) open = Array.from({ length: index + 1 }, () => "")
    } else if (/^\s*```\s*$/.test(line)) {
      blocks.push(open.join("\n"))
      open = undefined
    } else {
      open.push(line)
    }
  }
  if (open !== undefined) throw new Error(`${file}: a block is not closed`)
  return blocks
}

rmSync(output, { recursive: true, force: true })
mkdirSync(output, { recursive: true })
let count = 0
for (const file of sources) {
  for (const [index, block] of blocksOf(file).entries()) {
    count++
    writeFileSync(path.join(output, `${file.replaceAll("/", "__")}.${index + 1}.ts`), `${block}\nexport {}\n`)
  }
}
writeFileSync(
  path.join(output, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.base.json",
    compilerOptions: {
      noEmit: true,
      noUnusedLocals: false,
      paths: { "effect-sql-router": ["../../src/index.ts"], "effect-sql-router/*": ["../../src/*.ts"] }
    },
    include: ["*.ts"]
  })
)
if (count > 0) {
  const { status, stdout } = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["-p", output, "--pretty", "false"], {
    cwd: output,
    encoding: "utf8"
  })
  if (status !== 0) {
    console.error(
      stdout.replace(
        /^(\S+)\.\d+\.ts\((\d+),\d+\)/gm,
        (_all, name, line) => `${name.replaceAll("__", "/")}:${line}`
      )
    )
    process.exit(1)
  }
}
console.log(`${count} code blocks of ${sources.length} files type-check`)
