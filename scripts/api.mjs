// The API reference: the words and signatures of every public module, as they stand in src/. It only parses, so it takes a
// second, and gives the same bytes wherever it runs. Called as a program it writes docs/api.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"

/**
 * @typedef {typeof import("./reference/node_modules/typescript/lib/typescript.js")} TypeScript
 * @typedef {import("./reference/node_modules/typescript/lib/typescript.js").Node} Node
 * @typedef {import("./reference/node_modules/typescript/lib/typescript.js").SourceFile} SourceFile
 *
 * @typedef {{ readonly words: string, readonly example: string, readonly category: string, readonly isInternal: boolean }} Comment
 * @typedef {{ readonly name: string, readonly comment: Comment, readonly signature: string, anchor: string }} Entry
 * @typedef {{ readonly name: string, readonly words: string, readonly entries: ReadonlyArray<Entry>, readonly silent: ReadonlyArray<string> }} Module
 */

const root = path.resolve(import.meta.dirname, "..")
const output = path.join(root, "docs/api")

// The TypeScript that compiles this package is a native program, without an interface for scripts.
/** @type {TypeScript} */
const ts = createRequire(path.join(root, "scripts/reference/package.json"))("typescript")

const parse = (/** @type {string} */ file) =>
  ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true)

/**
 * A comment without its stars and tags. What follows `@example` are examples, up to the next tag.
 *
 * @param {string} comment
 * @returns {Comment}
 */
const readComment = (comment) => {
  const parts = { words: "", example: "" }
  let category = "models"
  let isInternal = false
  let isCode = false
  let part = /** @type {"words" | "example"} */ ("words")
  for (const line of comment.replace(/^\/\*\*|\*\/$/g, "").split("\n").map((line) => line.replace(/^\s*\* ?/, ""))) {
    if (line.startsWith("```")) isCode = !isCode
    const [, tag, text = ""] = (isCode ? null : /^@(\w+) ?(.*)$/.exec(line.trim())) ?? []
    if (tag === undefined) parts[part] += `${line.replace("*\\/", "*/")}\n`
    else part = tag === "example" ? "example" : "words"
    if (tag === "category") category = text
    if (tag === "internal") isInternal = true
  }
  return { words: parts.words.trim(), example: parts.example.trim(), category, isInternal }
}

/** @param {Node} node */
const commentOf = (node) => {
  const text = node.getSourceFile().text
  const comments = (ts.getLeadingCommentRanges(text, node.pos) ?? []).map(({ end, pos }) => text.slice(pos, end))
  return readComment(comments.findLast((comment) => comment.startsWith("/**")) ?? "")
}

/**
 * @param {SourceFile} source
 * @param {string} specifier
 */
const parseImported = (source, specifier) =>
  parse(path.resolve(path.dirname(source.fileName), specifier.replace(/\.js$/, ".ts")))

/**
 * What a file declares under a name.
 *
 * @param {SourceFile} source
 * @param {string} name
 * @returns {Node}
 */
const declarationOf = (source, name) => {
  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement)) {
      const found = statement.declarationList.declarations.find((_) => _.name.getText() === name)
      if (found !== undefined) return found
    } else if ("name" in statement && /** @type {Node} */ (statement.name).getText() === name) return statement
  }
  throw new Error(`${source.fileName} does not declare ${name}`)
}

/**
 * A declaration as its users need it: without the bodies of functions, and with the data of constants.
 *
 * @param {Node} node
 * @param {string} name
 * @returns {string}
 */
const signatureOf = (node, name) => {
  const source = node.getSourceFile()
  if (ts.isVariableDeclaration(node)) {
    const { initializer, type } = node
    const data = initializer !== undefined && ts.isObjectLiteralExpression(initializer)
        && initializer.properties.every((_) => ts.isPropertyAssignment(_))
      ? ` = ${initializer.getText()}`
      : ""
    if (type !== undefined) return `const ${name}: ${type.getText()}${data}`
    if (initializer === undefined || !ts.isArrowFunction(initializer)) {
      return `const ${name} = ${initializer?.getText()}`
    }
    let last = initializer
    while (ts.isArrowFunction(last.body)) last = last.body
    if (last.type === undefined) throw new Error(`${source.fileName}: ${name} does not say what it returns`)
    return `const ${name} = ${source.text.slice(initializer.getStart(), last.type.end)}`
  }
  if (ts.isTypeAliasDeclaration(node) && ts.isTypeReferenceNode(node.type) && ts.isQualifiedName(node.type.typeName)) {
    // A public name of an internal type: what that is.
    const { left, right } = node.type.typeName
    const from = source.statements.find((_) =>
      ts.isImportDeclaration(_) && _.importClause?.namedBindings?.getText() === `* as ${left.getText()}`
    )
    if (from !== undefined && ts.isImportDeclaration(from) && ts.isStringLiteral(from.moduleSpecifier)) {
      const specifier = from.moduleSpecifier.text
      if (specifier.includes("/internal/")) {
        return signatureOf(declarationOf(parseImported(source, specifier), right.text), name)
      }
    }
  }
  const text = ts.isClassDeclaration(node)
    ? source.text.slice(node.getStart(), source.text.lastIndexOf("{", node.members.pos))
    : node.getText()
  const indent = " ".repeat(source.getLineAndCharacterOfPosition(node.getStart()).character)
  return text.replace(/^export (declare )?/, "").replaceAll(`\n${indent}`, "\n").trimEnd()
}

/**
 * @param {SourceFile} source
 * @returns {Generator<{ readonly node: Node, readonly name: string, readonly comment: Comment }>}
 */
function* exportsOf(source) {
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement) && statement.exportClause && ts.isNamedExports(statement.exportClause)) {
      const from = statement.moduleSpecifier
      const origin = from !== undefined && ts.isStringLiteral(from) ? parseImported(source, from.text) : source
      for (const specifier of statement.exportClause.elements) {
        const node = declarationOf(origin, (specifier.propertyName ?? specifier.name).text)
        yield { node, name: specifier.name.text, comment: commentOf(specifier) }
      }
    } else if (ts.isModuleDeclaration(statement) && statement.body !== undefined && ts.isModuleBlock(statement.body)) {
      for (const node of statement.body.statements) {
        const { name } = /** @type {{ name: Node }} */ (/** @type {unknown} */ (node))
        yield { node, name: `${statement.name.text}.${name.getText()}`, comment: commentOf(node) }
      }
    } else if (
      ts.canHaveModifiers(statement)
      && ts.getModifiers(statement)?.some((_) => _.kind === ts.SyntaxKind.ExportKeyword) === true
    ) {
      const comment = commentOf(statement)
      const declarations = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement]
      for (const node of declarations) {
        const { name } = /** @type {{ name: Node }} */ (/** @type {unknown} */ (node))
        yield { node, name: name.getText(), comment }
      }
    }
  }
}

/**
 * The options that do not say what happens without them.
 *
 * @param {Node} node
 * @param {string} name
 */
const silentOptions = (node, name) =>
  ts.isInterfaceDeclaration(node) && /(Options|Policy|Policies|Endpoints|Databases)$/.test(name)
    ? node.members.filter((member) =>
      member.questionToken !== undefined &&
      !/default/i.test(node.getSourceFile().text.slice(member.pos, member.getStart()))
    ).map((member) => `${name}.${member.name?.getText()}`)
    : []

/**
 * @param {string} name
 * @returns {Module}
 */
const readModule = (name) => {
  const source = parse(path.join(root, "src", `${name}.ts`))
  const [first] = ts.getLeadingCommentRanges(source.text, 0) ?? []
  if (first === undefined) throw new Error(`${source.fileName} does not say what it is`)
  const found = Array.from(exportsOf(source)).filter(({ comment }) => !comment.isInternal)
  const silent = found.flatMap(({ name, node }) => silentOptions(node, name))
  const entries = found.map(({ comment, name, node }) => ({
    name,
    comment,
    signature: signatureOf(node, name),
    anchor: ""
  }))
  return { name, words: readComment(source.text.slice(first.pos, first.end)).words, entries, silent }
}

const modules = ["", "testing/"].flatMap((folder) =>
  readdirSync(path.join(root, "src", folder))
    .filter((file) => file.endsWith(".ts") && file !== "index.ts")
    .toSorted()
    .map((file) => readModule(folder + file.slice(0, -".ts".length)))
)

/**
 * What GitHub names the headings of a page by: the second of the same name gets a number.
 *
 * @returns {(heading: string) => string}
 */
export const slugger = () => {
  /** @type {Map<string, number>} */
  const seen = new Map()
  return (heading) => {
    const slug = heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  }
}

const categoriesOf = (/** @type {Module} */ { entries }) => Array.from(new Set(entries.map((_) => _.comment.category)))

/**
 * @param {Module} module
 * @param {string} category
 */
const entriesOf = ({ entries }, category) => entries.filter((_) => _.comment.category === category)

const titleOf = (/** @type {string} */ category) => category.charAt(0).toUpperCase() + category.slice(1)

for (const module of modules) {
  const slug = slugger()
  slug(module.name)
  for (const category of categoriesOf(module)) {
    slug(titleOf(category))
    for (const entry of entriesOf(module, category)) entry.anchor = slug(entry.name)
  }
}

/**
 * @param {Module} from
 * @param {Module} to
 */
const pathTo = (from, to) => `${path.posix.relative(path.posix.dirname(from.name), to.name)}.md`

/**
 * Text with links where it has `{@link …}`: to the module's own, or to the only module that has the name, or is called so.
 *
 * @param {string} text
 * @param {Module} module
 */
const linked = (text, module) =>
  text.replace(/\{@link ([\w.]+)\}/g, (_all, /** @type {string} */ target) => {
    const [name = ""] = target.split(".")
    const having = modules.filter((other) => other.entries.some((entry) => entry.name === name))
    const home = having.includes(module) || having.length > 1 ? module : having[0]
    const entry = home?.entries.find((entry) => entry.name === name)
    if (home !== undefined && entry !== undefined) {
      return `[\`${target}\`](${home === module ? "" : pathTo(module, home)}#${entry.anchor})`
    }
    const called = modules.find((other) => other.name === name)
    if (called === undefined) throw new Error(`${module.name}: nothing is called ${target}`)
    return `[\`${target}\`](${pathTo(module, called)})`
  })

// Examples are checked where they stand in the source, not a second time here: so the blocks are not marked `ts`.
const language = "typescript"

/**
 * @param {string} text
 * @param {Module} module
 */
const markdown = (text, module) => linked(text, module).replace(/^```ts$/gm, `\`\`\`${language}`)

/**
 * @param {Entry} entry
 * @param {Module} module
 */
const sectionOf = ({ comment, name, signature }, module) =>
  [
    `### ${name}`,
    markdown(comment.words, module),
    `\`\`\`${language}\n${signature.replace(/\{@link ([\w.]+)\}/g, "$1")}\n\`\`\``,
    markdown(comment.example, module)
  ].filter((part) => part !== "").join("\n\n")

/** @param {Module} module */
const pageOf = (module) => {
  const parts = [`# ${module.name}`, markdown(module.words, module), "| | |\n|---|---|"]
  for (const category of categoriesOf(module)) {
    const links = entriesOf(module, category).map(({ anchor, name }) => `[${name}](#${anchor})`)
    parts[2] += `\n| ${category} | ${links.join(", ")} |`
    parts.push(`## ${titleOf(category)}`)
    for (const entry of entriesOf(module, category)) parts.push(sectionOf(entry, module))
  }
  parts.push(`[All modules](${module.name.includes("/") ? "../" : ""}README.md)\n`)
  return parts.join("\n\n")
}

const isTesting = (/** @type {Module} */ { name }) => name.startsWith("testing/")
const isEntry = (/** @type {Module} */ { name }) => /^Routed(Pg|Mysql|Sqlite)Client$/.test(name)

/** @param {(module: Module) => boolean} isWanted */
const tableOf = (isWanted) =>
  [
    "| module | |",
    "|---|---|",
    ...modules.filter(isWanted).map((module) => {
      const sentence = linked(module.words, { ...module, name: "README" }).split(/(?<=\.)\s/, 1)[0] ?? ""
      return `| [${module.name}](${module.name}.md) | ${sentence.replaceAll("\n", " ")} |`
    })
  ].join("\n")

const barrel = readFileSync(path.join(root, "src/index.ts"), "utf8")
const alone = modules.filter((module) =>
  !barrel.includes(`"./${module.name}.js"`) && !isEntry(module) && !isTesting(module)
)
  .map(({ name }) => `\`${name}\``)

const index = [
  "# API reference",
  `Made from the source, by \`npm run docs:api\`. A module \`X\` is imported from \`effect-sql-router/X\`. Except for the entries, `
  + `what is for tests${alone.length === 0 ? "" : `, and ${alone.join(", ")}`}, also by `
  + "`import { X } from \"effect-sql-router\"`, which loads no driver.",
  "## Entries",
  tableOf(isEntry),
  "## Modules",
  tableOf((module) => !isEntry(module) && !isTesting(module)),
  "## For tests",
  `${tableOf(isTesting)}\n`
].join("\n\n")

/** The options of public modules whose comments do not say what their defaults are. */
export const withoutDefault = modules.flatMap(({ name, silent }) => silent.map((option) => `${name}: ${option}`))

/**
 * The pages, by their paths below docs/api.
 *
 * @type {ReadonlyMap<string, string>}
 */
export const pages = new Map([
  ["README.md", index],
  ...modules.map((module) => /** @type {const} */ ([`${module.name}.md`, pageOf(module)]))
])

if (process.argv[1] === import.meta.filename) {
  rmSync(output, { recursive: true, force: true })
  for (const [file, text] of pages) {
    mkdirSync(path.dirname(path.join(output, file)), { recursive: true })
    writeFileSync(path.join(output, file), text)
  }
  console.log(`${pages.size} pages in docs/api`)
}
