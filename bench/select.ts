import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { median, report } from "./harness.js"

const rounds = 31
const warmUpRounds = 6
const rows = 1000

interface Round {
  readonly throughput: number
  readonly p50: number
}

/** `fibers` loops that share the statements of a round; latencies are those the loops see. */
const round = <R>(
  one: Effect.Effect<unknown, unknown, R>,
  fibers: number,
  statements: number
): Effect.Effect<Round, unknown, R> =>
  Effect.suspend(() => {
    const latencies: Array<number> = []
    const timed = Effect.suspend(() => {
      const begun = process.hrtime.bigint()
      return Effect.map(one, () => void latencies.push(Number(process.hrtime.bigint() - begun)))
    })
    const begun = process.hrtime.bigint()
    return Effect.map(
      Effect.forEach(
        Array.from({ length: fibers }),
        () => Effect.repeatN(timed, Math.floor(statements / fibers) - 1),
        { concurrency: "unbounded", discard: true }
      ),
      () => ({
        throughput: latencies.length / (Number(process.hrtime.bigint() - begun) / 1e9),
        p50: median(latencies) / 1000
      })
    )
  })

/** The three ways to run one primary-key select that are compared in one run. */
export interface Contest {
  readonly name: string
  readonly stock: Layer.Layer<SqlClient.SqlClient, unknown>
  readonly routed: Layer.Layer<SqlClient.SqlClient, unknown>
  /** The driver under both, alone. */
  readonly plain: (id: number) => Effect.Effect<unknown>
  readonly fibers: ReadonlyArray<number>
  readonly statements: number
  readonly goals?: { readonly throughput: number; readonly p50: number }
}

/** Prints how the routed client does beside the stock client and the plain driver, in turns. */
export const compare = async (contest: Contest): Promise<void> => {
  const { goals, name, statements } = contest
  const stock = ManagedRuntime.make(contest.stock)
  const routed = ManagedRuntime.make(contest.routed)
  await stock.runPromise(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE bench (id INTEGER PRIMARY KEY, name VARCHAR(40))`
    yield* sql`INSERT INTO bench ${
      sql.insert(Array.from({ length: rows }, (_, i) => ({ id: i + 1, name: `name ${i}` })))
    }`
  }))
  let next = 0
  const id = () => next = next % rows + 1
  const viaClient = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT id, name FROM bench WHERE id = ${id()}`)
  const viaDriver = Effect.suspend(() => contest.plain(id()))

  for (const fibers of contest.fibers) {
    const results: Array<{ readonly stock: Round; readonly routed: Round; readonly plain: Round }> = []
    for (let i = 0; i < warmUpRounds + rounds; i++) {
      const viaStock = () => stock.runPromise(round(viaClient, fibers, statements))
      const viaRouter = () => routed.runPromise(round(viaClient, fibers, statements))
      // Each pays for the garbage of whoever came before it: they take turns at that too.
      const [first, second] = i % 2 === 0
        ? [await viaStock(), await viaRouter()]
        : [await viaRouter(), await viaStock()]
      const one = {
        stock: i % 2 === 0 ? first : second,
        routed: i % 2 === 0 ? second : first,
        plain: await Effect.runPromise(round(viaDriver, fibers, statements))
      }
      if (i >= warmUpRounds) results.push(one)
    }
    const of = (figure: (_: (typeof results)[number]) => number) => median(results.map(figure))
    report(name, `stock_throughput_${fibers}`, "per_s", of((_) => _.stock.throughput))
    report(name, `routed_throughput_${fibers}`, "per_s", of((_) => _.routed.throughput))
    report(name, `routed_to_plain_${fibers}`, "x", of((_) => _.routed.throughput / _.plain.throughput))
    report(
      name,
      `routed_to_stock_${fibers}`,
      "x",
      of((_) => _.routed.throughput / _.stock.throughput),
      goals && { least: goals.throughput }
    )
    report(
      name,
      `p50_routed_to_stock_${fibers}`,
      "x",
      of((_) => _.routed.p50 / _.stock.p50),
      goals && { most: goals.p50 }
    )
  }
  await Promise.all([stock.dispose(), routed.dispose()])
}
