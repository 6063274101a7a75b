import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as RoutedSqliteClient from "../src/RoutedSqliteClient.js"
import { compare } from "./select.js"

/** One primary-key select on a real SQLite file. */
export const run = async (): Promise<void> => {
  const folder = mkdtempSync(path.join(tmpdir(), "effect-sql-router-bench-"))
  const filename = path.join(folder, "bench.db")
  const db = new Sqlite(filename)
  await compare({
    name: "sqlite",
    stock: SqliteClient.layer({ filename }),
    routed: RoutedSqliteClient.layer({ primary: { filename } }),
    plain: (id) => Effect.sync(() => db.prepare("SELECT id, name FROM bench WHERE id = ?").get(id)),
    fibers: [1, 16],
    statements: 5000
  })
  db.close()
  rmSync(folder, { recursive: true })
}
