import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { median, report } from "./harness.js"

const rounds = 31
const warmUpRounds = 6
const rows = 1000

export interface Round {
  readonly throughput: number
  readonly p50: number
  /** This process's own time for a statement, in microseconds. */
  readonly cpu: number
}

/** `fibers` loops that share the statements of a round; latencies are those the loops see. */
export const round = <R>(
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
    const used = process.cpuUsage()
    return Effect.map(
      Effect.forEach(
        Array.from({ length: fibers }),
        () => Effect.repeatN(timed, Math.floor(statements / fibers) - 1),
        { concurrency: "unbounded", discard: true }
      ),
      () => {
        const elapsed = Number(process.hrtime.bigint() - begun)
        const { system, user } = process.cpuUsage(used)
        return {
          throughput: latencies.length / (elapsed / 1e9),
          p50: median(latencies) / 1000,
          cpu: (system + user) / latencies.length
        }
      }
    )
  })

/** The ways to run one primary-key select that are compared in one run. */
export interface Contest {
  readonly name: string
  readonly stock: Layer.Layer<SqlClient.SqlClient, unknown>
  readonly routed: Layer.Layer<SqlClient.SqlClient, unknown>
  /** The routed client, with statements that the server keeps. */
  readonly prepared?: Layer.Layer<SqlClient.SqlClient, unknown>
  /** The driver under both, alone. */
  readonly plain: (id: number) => Effect.Effect<unknown>
  /** The least that an Effect program could do: the driver on connections that are held, and one span. */
  readonly held?: (id: number) => Effect.Effect<unknown, unknown>
  readonly fibers: ReadonlyArray<number>
  readonly statements: number
  readonly goals?: {
    readonly throughput: number
    readonly p50: number
    /** Of the routed client beside `held`. */
    readonly held?: number
    /** Of `prepared` beside `plain`. */
    readonly prepared?: number
  }
}

const peers = {
  stock: "stock client",
  routed: "routed client",
  plain: "plain driver",
  held: "plain driver on held connections, with one span"
}

/** Prints how the routed client does beside the stock client and the plain driver, in turns. */
export const compare = async (contest: Contest): Promise<void> => {
  const { goals, name, statements } = contest
  const stock = ManagedRuntime.make(contest.stock)
  const routed = ManagedRuntime.make(contest.routed)
  const prepared = contest.prepared && ManagedRuntime.make(contest.prepared)
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
  const { held } = contest
  const viaHeld = held && Effect.suspend(() => held(id()))

  for (const fibers of contest.fibers) {
    // All of them in runtimes of one kind: their fibers are scheduled alike.
    const contestants: { readonly [name: string]: () => Promise<Round> } = {
      stock: () => stock.runPromise(round(viaClient, fibers, statements)),
      routed: () => routed.runPromise(round(viaClient, fibers, statements)),
      plain: () => stock.runPromise(round(viaDriver, fibers, statements)),
      ...(prepared && { prepared: () => prepared.runPromise(round(viaClient, fibers, statements)) }),
      ...(viaHeld && { held: () => stock.runPromise(round(viaHeld, fibers, statements)) })
    }
    const names = Object.keys(contestants)
    const results: Array<{ [name: string]: Round }> = []
    for (let i = 0; i < warmUpRounds + rounds; i++) {
      const one: { [name: string]: Round } = {}
      // Each pays for the garbage of whoever came before it: they take turns at that too.
      for (const contestant of i % 2 === 0 ? names : names.toReversed()) {
        one[contestant] = await contestants[contestant]!()
      }
      if (i >= warmUpRounds) results.push(one)
    }
    const of = (figure: (_: { [name: string]: Round }) => number) => median(results.map(figure))
    const ratio = (one: string, other: keyof typeof peers, goal: number | undefined) =>
      report(
        name,
        `${one}_to_${other}_${fibers}`,
        "x",
        of((_) => _[one]!.throughput / _[other]!.throughput),
        { beside: peers[other], ...(goal === undefined ? {} : { least: goal }) }
      )
    for (const contestant of names) {
      report(name, `${contestant}_throughput_${fibers}`, "per_s", of((_) => _[contestant]!.throughput))
    }
    for (const contestant of names) report(name, `${contestant}_cpu_${fibers}`, "us", of((_) => _[contestant]!.cpu))
    ratio("routed", "plain", undefined)
    ratio("routed", "stock", goals?.throughput)
    report(
      name,
      `p50_routed_to_stock_${fibers}`,
      "x",
      of((_) => _["routed"]!.p50 / _["stock"]!.p50),
      { beside: peers.stock, ...(goals && { most: goals.p50 }) }
    )
    if (held !== undefined) ratio("routed", "held", goals?.held)
    if (prepared !== undefined) {
      ratio("prepared", "routed", undefined)
      ratio("prepared", "plain", goals?.prepared)
    }
  }
  await Promise.all([stock.dispose(), routed.dispose(), prepared?.dispose()])
}
