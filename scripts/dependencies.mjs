// The packages that are needed and why: docs/dependencies.md and package.json tell the same, and the lock file is good
// anywhere.
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { Failure, root } from "./shell.mjs"

const page = "docs/dependencies.md"

/** @param {string} file */
const read = (file) => readFileSync(path.join(root, file), "utf8")

/**
 * The names in a section's table, each in the first cell of a row that has a reason in its last.
 *
 * @param {string} title
 */
const rowsOf = (title) => {
  const section = read(page).split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? ""
  return [...section.matchAll(/^\| `([^`]+)` \|(?:.*\|)? *\S.* \|$/gm)].map(([, name]) => name)
}

/**
 * @param {string} what
 * @param {ReadonlyArray<string>} declared
 * @param {string} title
 */
const compare = (what, declared, title) => {
  const rows = rowsOf(title)
  const unexplained = declared.filter((name) => !rows.includes(name))
  const gone = rows.filter((name) => name === undefined || !declared.includes(name))
  if (unexplained.length > 0) throw new Failure(`${page} gives no reason for ${what} ${unexplained.join(", ")}`)
  if (gone.length > 0) throw new Failure(`${page} explains ${gone.join(", ")}: not among ${what} of package.json`)
}

export const checkDependencies = () => {
  const packageJson = JSON.parse(read("package.json"))
  const names = (/** @type {string} */ kind) => Object.keys(packageJson[kind] ?? {})
  const isOptional = (/** @type {string} */ name) => packageJson.peerDependenciesMeta[name]?.optional === true
  if (names("dependencies").length > 0) throw new Failure("the package has no dependencies but peers")
  compare("required peers", names("peerDependencies").filter((name) => !isOptional(name)), "Required")
  compare("optional peers", names("peerDependencies").filter(isOptional), "By what you use")
  compare("development dependencies", names("devDependencies"), "To work on it")

  // An address says which registry somebody used; what is installed is told by its hash.
  const addresses = read("package-lock.json").match(/"resolved": "[a-z+]+:.*"/g) ?? []
  if (addresses.length > 0) throw new Failure(`package-lock.json holds ${addresses.length} addresses: ${addresses[0]}`)
}
