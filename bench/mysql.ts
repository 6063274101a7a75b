import * as MysqlClient from "@effect/sql-mysql2/MysqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as mysql from "mysql2/promise"
import * as RoutedMysqlClient from "../src/RoutedMysqlClient.js"
import { freshDatabase } from "../test/servers/index.js"
import { start } from "../test/servers/start.js"
import { compare } from "./select.js"

const maxConnections = 10

/** One primary-key select on a real MariaDB. */
export const run = async (): Promise<void> => {
  const servers = await start()
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const { primary } = yield* freshDatabase("mariadb")
    const url = Redacted.make(primary.url)
    const pool = mysql.createPool({ uri: primary.url, connectionLimit: maxConnections })
    yield* Effect.promise(() =>
      compare({
        name: "mysql",
        stock: MysqlClient.layer({ url, maxConnections }),
        routed: RoutedMysqlClient.layer({ maxConnections, primary: { url } }),
        plain: (id) => Effect.promise(() => pool.execute("SELECT id, name FROM bench WHERE id = ?", [id])),
        fibers: [1, 16, 64],
        statements: 1000
      })
    )
    yield* Effect.promise(() => pool.end())
  })))
  await servers.stop()
}
