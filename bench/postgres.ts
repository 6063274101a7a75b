import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as pg from "pg"
import * as RoutedPgClient from "../src/RoutedPgClient.js"
import { freshDatabase } from "../test/servers/index.js"
import { start } from "../test/servers/start.js"
import { compare } from "./select.js"

const maxConnections = 10

const text = "SELECT id, name FROM bench WHERE id = $1"

/** pg's clients as a program of one's own would hold them: a list of those that are free, and a line of who waits. */
const held = (clients: ReadonlyArray<pg.Client>) => {
  const free = Array.from(clients)
  const waiting: Array<(client: pg.Client) => void> = []
  return (id: number): Effect.Effect<unknown, Error> =>
    Effect.useSpan("sql.execute", { kind: "client", captureStackTrace: false }, () =>
      Effect.async((resume) => {
        const send = (client: pg.Client) =>
          client.query({ text, values: [id] }, (error: Error | null, result: pg.QueryResult) => {
            const next = waiting.shift()
            // pg takes the next query when it is done with this one.
            if (next === undefined) free.push(client)
            else setImmediate(next, client)
            resume(error ? Effect.fail(error) : Effect.succeed(result.rows))
          })
        const client = free.pop()
        if (client === undefined) waiting.push(send)
        else send(client)
      }))
}

/** One primary-key select on a real PostgreSQL. */
export const run = async (): Promise<void> => {
  const servers = await start()
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const { primary } = yield* freshDatabase("postgres")
    const url = Redacted.make(primary.url)
    const pool = new pg.default.Pool({ connectionString: primary.url, max: maxConnections })
    const clients = Array.from({ length: maxConnections }, () => new pg.default.Client(primary.url))
    yield* Effect.promise(() => Promise.all(clients.map((client) => client.connect())))
    yield* Effect.promise(() =>
      compare({
        name: "postgres",
        stock: PgClient.layer({ url, maxConnections }),
        routed: RoutedPgClient.layer({ maxConnections, primary: { url } }),
        prepared: RoutedPgClient.layer({ maxConnections, preparedStatements: true, primary: { url } }),
        plain: (id) => Effect.promise(() => pool.query(text, [id])),
        held: held(clients),
        fibers: [1, 16, 64],
        statements: 1000,
        goals: { throughput: 1.25, p50: 0.85, held: 0.95, prepared: 1 }
      })
    )
    yield* Effect.promise(() => Promise.all([pool.end(), ...clients.map((client) => client.end())]))
  })))
  await servers.stop()
}
