import type { SqlError } from "@effect/sql/SqlError"
import Sqlite from "better-sqlite3"
import type { Scope } from "effect"
import { Duration, Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Endpoint } from "../../src/Endpoint.js"
import type { ConnectionOptions, SqliteConnection } from "../../src/internal/sqlite/connection.js"
import * as File from "../../src/internal/sqlite/file.js"
import type { SqliteEndpointConfig } from "../../src/internal/sqlite/settings.js"

/** A folder that ends with the Scope. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-sql-router-sqlite-"))
    Fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) =>
    Effect.sync(() => {
      Fs.chmodSync(folder, 0o755)
      Fs.rmSync(folder, { recursive: true, force: true })
    })
)

/** A database in a folder of its own, made by better-sqlite3 alone. */
export const makeFile = (
  options: { readonly wal?: boolean; readonly sql?: string } = {}
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (folder) => {
    const filename = Path.join(folder, "app.db")
    const db = new Sqlite(filename)
    if (options.wal ?? true) db.pragma("journal_mode = WAL")
    db.exec(options.sql ?? "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t (name) VALUES ('one')")
    db.close()
    return filename
  })

export const connectionOptions: ConnectionOptions = {
  prepareCacheSize: 200,
  prepareCacheTTL: Duration.minutes(10),
  busyTimeout: Duration.seconds(5),
  extensions: []
}

/** A connection of the driver's own. */
export const connect = (
  filename: string,
  mode: Partial<File.FileMode> = {},
  options: Partial<ConnectionOptions> = {}
): Effect.Effect<SqliteConnection, SqlError, Scope.Scope> =>
  File.open(
    { filename, readonly: false, mustExist: mode.readonly ?? false, wal: false, ...mode },
    { ...connectionOptions, ...options }
  )

export const endpoint = (
  config: SqliteEndpointConfig,
  role: Endpoint["role"] = "primary"
): Endpoint<SqliteEndpointConfig> => ({
  database: "main",
  name: role === "primary" ? "primary" : "replica1",
  role,
  weight: 1,
  zone: undefined,
  config
})

/** Runs an effect as a user who may not write to root's files; whoever is not root may not anyhow. */
export const unprivileged = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  process.geteuid?.() === 0
    ? Effect.acquireUseRelease(
      Effect.sync(() => process.seteuid!(65534)),
      () => effect,
      () => Effect.sync(() => process.seteuid!(0))
    )
    : effect

/** Another process that holds a lock on the file until it is told to let go, or its Scope ends. */
export const lockedByAnotherProcess = (
  filename: string,
  begin: "BEGIN IMMEDIATE" | "BEGIN EXCLUSIVE"
): Effect.Effect<{ readonly letGo: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<ChildProcess.ChildProcess>((resume) => {
        const child = ChildProcess.fork(Path.join(import.meta.dirname, "lockHolder.mjs"), [filename, begin])
        child.once("message", () => resume(Effect.succeed(child)))
      }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    (child) => ({
      letGo: Effect.async<void>((resume) => {
        child.once("message", () => resume(Effect.void))
        child.send("let go")
      })
    })
  )

/** An extension that better-sqlite3 builds for its own tests, where it is compiled and not downloaded. */
export const extension = Path.join(
  import.meta.dirname,
  "../../node_modules/better-sqlite3/build/Release/test_extension.node"
)

export const hasExtension = Fs.existsSync(extension)
