// What a project meets that installs the package: which files, what importing them does, what a bundler takes of them,
// and whether their types hold. Only the declared peers are there for it to import.
import * as esbuild from "esbuild"
import { spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Failure, root, run } from "./shell.mjs"

const packageJson = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))
const scratch = mkdtempSync(path.join(tmpdir(), "effect-sql-router-package-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))
const packed = path.join(scratch, "node_modules", packageJson.name)

/** The package may grow, but not unseen. */
const limits = { packed: 1_200_000, unpacked: 5_000_000 }

const pack = () => {
  const [{ filename }] = JSON.parse(run(["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", scratch]))
  const tarball = path.join(scratch, filename)
  mkdirSync(packed, { recursive: true })
  run(["tar", "-xzf", tarball, "--strip-components=1", "-C", packed])
  return tarball
}

/** @param {string} folder */
const filesIn = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .toSorted()

/**
 * A module of src, what is compiled from it, and what stands beside the code: nothing else is shipped, and each map leads
 * to a file that is.
 *
 * @param {string} tarball
 */
const checkContent = (tarball) => {
  const modules = filesIn(path.join(root, "src")).map((file) => file.replace(/\.ts$/, ""))
  const compiled = [".js", ".js.map", ".d.ts", ".d.ts.map"]
  const expected = ["CHANGELOG.md", "LICENSE", "README.md", "package.json"].concat(
    modules.map((name) => `src/${name}.ts`),
    modules.flatMap((name) => compiled.map((extension) => `dist/${name}${extension}`))
  )
  const files = filesIn(packed)
  const wrong = [
    ...files.filter((file) => !expected.includes(file)).map((file) => `${file} does not belong there`),
    ...expected.filter((file) => !files.includes(file)).map((file) => `${file} is missing`)
  ]
  if (wrong.length > 0) throw new Failure(`of the packed files\n${wrong.join("\n")}`)
  for (const file of files.filter((file) => file.endsWith(".map"))) {
    const { sourceRoot, sources } = JSON.parse(readFileSync(path.join(packed, file), "utf8"))
    for (const source of sources) {
      const target = path.resolve(packed, path.dirname(file), sourceRoot, source)
      if (!target.startsWith(packed) || !existsSync(target)) {
        throw new Failure(`${file} leads to ${source}: not shipped`)
      }
    }
  }
  const sizes = {
    packed: statSync(tarball).size,
    unpacked: files.reduce((sum, file) => sum + statSync(path.join(packed, file)).size, 0)
  }
  for (const [name, most] of Object.entries(limits)) {
    const size = sizes[/** @type {keyof typeof limits} */ (name)]
    if (size > most) throw new Failure(`the package is ${size} bytes ${name}, more than ${most}`)
  }
  return `${files.length} files, ${(sizes.packed / 1000).toFixed(0)} kB packed`
}

/** The names under which the package's public modules are imported. */
const subpaths = () =>
  filesIn(path.join(packed, "dist"))
    .filter((file) => file.endsWith(".js") && !/^(internal|cli)\//.test(file) && file !== "index.js")
    .map((file) => `${packageJson.name}/${file.slice(0, -".js".length)}`)

const peers = Object.keys(packageJson.peerDependencies)
const isOptional = (/** @type {string} */ name) => packageJson.peerDependenciesMeta[name]?.optional === true

/** @param {ReadonlyArray<string>} names */
const link = (names) => {
  for (const name of names) {
    const target = path.join(scratch, "node_modules", name)
    mkdirSync(path.dirname(target), { recursive: true })
    symlinkSync(path.join(root, "node_modules", name), target)
  }
}

/** @param {string} code */
const evaluate = (code) => run([process.execPath, "--input-type=module", "--eval", code], { cwd: scratch })

/** @param {ReadonlyArray<string>} names */
const importing = (names) => names.map((name) => `await import(${JSON.stringify(name)})\n`).join("")

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

/** @param {ReadonlyArray<string>} modules */
const checkImports = (modules) => {
  link(peers.filter((name) => !isOptional(name)))
  // No driver is needed to test without servers.
  evaluate(importing([packageJson.name, ...modules.filter((name) => name.includes("/testing/"))]))
  const command = [process.execPath, path.join(packed, packageJson.bin[packageJson.name]), "explain"]
  expect([...command, "--help"], 2, "npm install @effect/cli @effect/platform-node")
  link(peers.filter(isOptional))
  evaluate(importing([packageJson.name, ...modules]))
  expect([...command, "--dialect", "postgres", "SELECT 1"], 0, "a confirmed read")
  evaluate(`await import("${packageJson.name}/internal/client").then(() => process.exit(1), (error) => {
    if (error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error
  })`)
}

/**
 * Bundles modules as an application's bundler does, its dependencies left out: which of our modules and of the others
 * are in it, and how large our part is, minified.
 *
 * @param {string} code
 */
const bundle = (code) => {
  const { metafile } = esbuild.buildSync({
    stdin: { contents: code, resolveDir: scratch },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    external: peers.flatMap((name) => [name, `${name}/*`]),
    logLevel: "error",
    logOverride: { "ignored-bare-import": "silent" },
    metafile: true,
    write: false,
    outfile: "bundle.js",
    absWorkingDir: scratch
  })
  const { bytes, imports, inputs } = /** @type {esbuild.Metafile["outputs"][string]} */ (metafile.outputs["bundle.js"])
  const modules = Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([file]) => file)
  return { bytes, modules, others: [...new Set(imports.map(({ path }) => path))] }
}

/** What must not come along where it is not used. */
const parts = {
  classifier: /\/dist\/internal\/classifier\//,
  client: /\/dist\/internal\/(client|pool|run)\.js$/,
  pg: /\/dist\/internal\/pg\/driver\.js$|^pg$|^@effect\/sql-pg/,
  mysql: /\/dist\/internal\/mysql\/driver\.js$|^mysql2|^@effect\/sql-mysql2/,
  sqlite: /\/dist\/internal\/sqlite\/driver\.js$|^better-sqlite3$|^@effect\/sql-sqlite-node/
}
const drivers = /** @type {const} */ (["pg", "mysql", "sqlite"])
const all = /** @type {const} */ (["classifier", "client", ...drivers])

/**
 * Modules that are used on their own, with the most bytes they may bring, minified: about a tenth above what was measured.
 *
 * @type {ReadonlyArray<readonly [code: string, most: number, without: ReadonlyArray<keyof typeof parts>]>}
 */
const bundles = [
  [`export * as Target from "effect-sql-router/Target"`, 1_500, all],
  [`export * as RoutingRules from "effect-sql-router/RoutingRules"`, 5_000, all],
  [`export { RoutingRules } from "effect-sql-router"`, 5_000, all],
  [`export { RoutingError } from "effect-sql-router"`, 8_500, all],
  [`export { ReplicaStrategy } from "effect-sql-router"`, 16_000, all],
  [`export { ReadConsistency } from "effect-sql-router"`, 24_000, all],
  [
    `import { RoutedSqlClient } from "effect-sql-router"; export const withPrimary = RoutedSqlClient.withPrimary`,
    14_000,
    all
  ],
  [`export { StatementClassifier } from "effect-sql-router"`, 135_000, ["client", ...drivers]],
  [`export * as All from "effect-sql-router"`, 410_000, drivers],
  [`export { layer } from "effect-sql-router/RoutedPgClient"`, 400_000, ["mysql", "sqlite"]],
  [`export { layer } from "effect-sql-router/RoutedMysqlClient"`, 400_000, ["pg", "sqlite"]],
  [`export { layer } from "effect-sql-router/RoutedSqliteClient"`, 400_000, ["pg", "mysql"]]
]

/** @param {ReadonlyArray<string>} modules */
const checkBundles = (modules) => {
  const unused = bundle([packageJson.name, ...modules].map((name) => `import ${JSON.stringify(name)}`).join("\n"))
  if (unused.bytes > 0) throw new Failure(`modules that nobody uses are ${unused.bytes} bytes of a bundle`)
  return bundles.map(([code, most, without]) => {
    const { bytes, modules, others } = bundle(code)
    if (bytes > most) throw new Failure(`${code} is ${bytes} bytes in a bundle, more than ${most}`)
    for (const part of without) {
      const there = [...modules, ...others].filter((file) => parts[part].test(file))
      if (there.length > 0) throw new Failure(`${code} needs nothing of ${part}, but brings ${there}`)
    }
    return `${bytes}`.padStart(9) + ` bytes  ${code}`
  })
}

/**
 * `sideEffects: []` says of every module that importing it does nothing but define what it exports: afterwards the process
 * must be as it was, but for what its dependencies have done.
 *
 * @param {ReadonlyArray<string>} modules
 */
const checkSideEffects = (modules) => {
  const code = [packageJson.name, ...modules].map((name, i) => `export * as M${i} from ${JSON.stringify(name)}`)
  const { others } = bundle(code.join("\n"))
  evaluate(`
    import * as assert from "node:assert"
    const state = () => ({
      globals: Reflect.ownKeys(globalThis),
      builtIns: [Object, Function, Array, String, Number, Promise, Map, Set, Error, Symbol].map((_) =>
        [Reflect.ownKeys(_), Reflect.ownKeys(_.prototype)]),
      environment: { ...process.env },
      listeners: process.eventNames().map((name) => [name, process.listenerCount(name)]),
      open: process.getActiveResourcesInfo()
    })
    ${importing(others)}
    const before = state()
    ${importing([packageJson.name, ...modules])}
    assert.deepStrictEqual(state(), before)
  `)
}

/** The compilers that users may have, by the file that runs them. */
const compilers = () => {
  const require = createRequire(path.join(root, "scripts/reference/package.json"))
  return [
    path.join(root, "node_modules/typescript/bin/tsc"),
    require.resolve("typescript/bin/tsc")
  ]
}

/** @param {ReadonlyArray<string>} modules */
const checkTypes = (modules) => {
  // Drivers whose types are packages of their own: who writes TypeScript has those as well.
  link(peers.map((name) => `@types/${name}`).filter((name) => existsSync(path.join(root, "node_modules", name))))
  const names = [packageJson.name, ...modules]
  const imports = names.map((name, index) => `import * as M${index} from ${JSON.stringify(name)}`)
  const used = `export const modules: ReadonlyArray<object> = [${names.map((_, index) => `M${index}`).join(", ")}]`
  writeFileSync(path.join(scratch, "index.ts"), [...imports, used, ""].join("\n"))
  cpSync(path.join(root, "test/types"), path.join(scratch, "types"), { recursive: true })
  for (const exactOptionalPropertyTypes of [true, false]) {
    const project = path.join(scratch, `tsconfig.${exactOptionalPropertyTypes ? "exact" : "loose"}.json`)
    writeFileSync(
      project,
      JSON.stringify({
        compilerOptions: {
          target: "ES2022",
          // The types of @effect/platform name a browser's.
          lib: ["ES2023", "DOM"],
          module: "NodeNext",
          strict: true,
          exactOptionalPropertyTypes,
          skipLibCheck: false,
          noEmit: true,
          types: []
        },
        include: ["index.ts", "types"]
      })
    )
    for (const compiler of compilers()) run([process.execPath, compiler, "-p", project, "--pretty", "false"])
  }
}

/** Gives what was measured. */
export const packageChecks = () => {
  const tarball = pack()
  const modules = subpaths()
  const content = checkContent(tarball)
  writeFileSync(path.join(scratch, "package.json"), JSON.stringify({ type: "module", private: true }))
  checkImports(modules)
  checkSideEffects(modules)
  const sizes = checkBundles(modules)
  run(["publint", "run", tarball, "--strict"])
  const entrypoints = [".", ...modules.map((name) => name.slice(packageJson.name.length + 1))]
  run(["attw", tarball, "--profile", "esm-only", "--no-emoji", "--no-color", "--entrypoints", ...entrypoints])
  checkTypes(modules)
  return [content, ...sizes].join("\n")
}
