import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as pg from "pg"
import * as RoutedPgClient from "../src/RoutedPgClient.js"
import { freshDatabase } from "../test/servers/index.js"
import { start } from "../test/servers/start.js"
import { compare } from "./select.js"

const maxConnections = 10

/** One primary-key select on a real PostgreSQL. */
export const run = async (): Promise<void> => {
  const servers = await start()
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const { primary } = yield* freshDatabase("postgres")
    const url = Redacted.make(primary.url)
    const pool = new pg.default.Pool({ connectionString: primary.url, max: maxConnections })
    yield* Effect.promise(() =>
      compare({
        name: "postgres",
        stock: PgClient.layer({ url, maxConnections }),
        routed: RoutedPgClient.layer({ maxConnections, primary: { url } }),
        plain: (id) => Effect.promise(() => pool.query("SELECT id, name FROM bench WHERE id = $1", [id])),
        fibers: [1, 16, 64],
        statements: 1000,
        goals: { throughput: 1.25, p50: 0.85 }
      })
    )
    yield* Effect.promise(() => pool.end())
  })))
  await servers.stop()
}
