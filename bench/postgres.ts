import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as pg from "pg"
import * as RoutedPgClient from "../src/RoutedPgClient.js"
import { postgres } from "../test/servers/index.js"
import { start } from "../test/servers/start.js"
import { median, report } from "./harness.js"

const connections = 10
const rounds = 9
const statementsPerRound = 3000
const rows = 1000

interface Round {
  readonly throughput: number
  readonly p50: number
}

/** `fibers` loops that share the statements of a round; latencies are those the loops see. */
const round = <R>(one: Effect.Effect<unknown, unknown, R>, fibers: number): Effect.Effect<Round, unknown, R> =>
  Effect.suspend(() => {
    const latencies: Array<number> = []
    const each = Math.floor(statementsPerRound / fibers)
    const timed = Effect.suspend(() => {
      const begun = process.hrtime.bigint()
      return Effect.map(one, () => void latencies.push(Number(process.hrtime.bigint() - begun)))
    })
    const begun = process.hrtime.bigint()
    return Effect.map(
      Effect.forEach(Array.from({ length: fibers }), () => Effect.repeatN(timed, each - 1), {
        concurrency: "unbounded",
        discard: true
      }),
      () => ({
        throughput: latencies.length / (Number(process.hrtime.bigint() - begun) / 1e9),
        p50: median(latencies) / 1000
      })
    )
  })

/** One primary-key select on a real server: routed, through the stock client, and through `pg` alone. */
export const run = async (): Promise<void> => {
  const servers = await start()
  const { primary } = postgres()
  const url = Redacted.make(primary.url)
  const stock = ManagedRuntime.make(PgClient.layer({ url, maxConnections: connections }))
  const routed = ManagedRuntime.make(RoutedPgClient.layer({ maxConnections: connections, primary: { url } }))
  const pool = new pg.default.Pool({ connectionString: primary.url, max: connections })
  await pool.query("CREATE TABLE IF NOT EXISTS bench (id INTEGER PRIMARY KEY, name TEXT)")
  await pool.query("INSERT INTO bench SELECT i, 'name ' || i FROM generate_series(1, $1) i ON CONFLICT DO NOTHING", [
    rows
  ])

  let next = 0
  const id = () => next = next % rows + 1
  const viaClient = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT id, name FROM bench WHERE id = ${id()}`)
  const viaPg = Effect.promise(() => pool.query("SELECT id, name FROM bench WHERE id = $1", [id()]))

  for (const fibers of [1, 16, 64]) {
    const results: Array<{ readonly stock: Round; readonly routed: Round; readonly plain: Round }> = []
    for (let i = 0; i < rounds; i++) {
      const one = {
        stock: await stock.runPromise(round(viaClient, fibers)),
        routed: await routed.runPromise(round(viaClient, fibers)),
        plain: await Effect.runPromise(round(viaPg, fibers))
      }
      if (i > 1) results.push(one)
    }
    const ratio = (f: (_: (typeof results)[number]) => number) => median(results.map(f))
    report("postgres", `stock_throughput_${fibers}`, "per_s", ratio((_) => _.stock.throughput))
    report("postgres", `routed_throughput_${fibers}`, "per_s", ratio((_) => _.routed.throughput))
    report("postgres", `routed_to_plain_pg_${fibers}`, "x", ratio((_) => _.routed.throughput / _.plain.throughput))
    report("postgres", `routed_to_stock_${fibers}`, "x", ratio((_) => _.routed.throughput / _.stock.throughput), {
      least: 1.25
    })
    report("postgres", `p50_routed_to_stock_${fibers}`, "x", ratio((_) => _.routed.p50 / _.stock.p50), { most: 0.85 })
  }
  await Promise.all([stock.dispose(), routed.dispose(), pool.end()])
  await servers.stop()
}
