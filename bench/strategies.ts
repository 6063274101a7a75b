import type { DurationInput } from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Utils from "effect/Utils"
import { readFileSync, writeFileSync } from "node:fs"
import { Signals } from "../src/internal/signals.js"
import * as ReplicaStrategy from "../src/ReplicaStrategy.js"
import * as ClusterSimulation from "../src/testing/ClusterSimulation.js"
import { median, report } from "./harness.js"
import { lollipops } from "./plot.js"

const strategies: ReadonlyArray<ReplicaStrategy.ReplicaStrategy> = [
  ReplicaStrategy.ewma,
  ReplicaStrategy.peakEwma,
  ReplicaStrategy.leastOutstanding,
  ReplicaStrategy.powerOfTwo,
  ReplicaStrategy.roundRobin,
  ReplicaStrategy.random,
  ReplicaStrategy.weighted,
  ReplicaStrategy.failover,
  ReplicaStrategy.hotCold,
  ReplicaStrategy.leastLatency(),
  ReplicaStrategy.rendezvous(),
  ReplicaStrategy.perSession(ReplicaStrategy.ewma),
  ReplicaStrategy.withLocality(ReplicaStrategy.ewma, ["a"]),
  ReplicaStrategy.withSubset(ReplicaStrategy.ewma, 4),
  ReplicaStrategy.withSlowStart(ReplicaStrategy.ewma, {}),
  ReplicaStrategy.preferLowLag(ReplicaStrategy.ewma, { within: "1 second" })
]

class Server extends Signals implements ReplicaStrategy.Candidate {
  readonly role = "replica"
  readonly lagMillis = 0
  readonly connections = { idle: 1, total: 1, max: 10, waiting: 0 }
  constructor(readonly name: string, readonly weight: number, readonly zone: string) {
    super()
  }
}

const servers = (weights: ReadonlyArray<number>): ReadonlyArray<Server> =>
  weights.map((weight, i) => {
    const server = new Server(`replica${i + 1}`, weight, i % 2 === 0 ? "a" : "b")
    for (let k = 0; k < 20; k++) server.end(server.begin(k), k + 2 + i / 10, "success")
    for (let k = 0; k < 1 + i % 3; k++) server.begin(20 + k)
    return server
  })

const generator = (): () => number => {
  const generator = new Utils.PCGRandom(1)
  return () => generator.number()
}

/** What one call takes in the best of many rounds, in ns: whatever else the machine does only adds to it. */
const nanosOf = (call: (i: number) => number): number => {
  const calls = 20_000
  let sink = 0
  const rounds = Array.from({ length: 41 }, () => {
    const begun = process.hrtime.bigint()
    for (let i = 0; i < calls; i++) sink += call(i)
    return Number(process.hrtime.bigint() - begun) / calls
  })
  if (Number.isNaN(sink)) throw new Error("a call gave no number")
  return Math.min(...rounds)
}

const measureCosts = (): void => {
  const choices = (strategy: ReplicaStrategy.ReplicaStrategy, weights: ReadonlyArray<number>) => {
    const chooser = Effect.runSync(Effect.scoped(strategy.make({ random: generator() })))
    const candidates = servers(weights)
    const context = { now: 30, attempt: 1, key: "tenant-42", session: undefined, facts: undefined }
    return nanosOf(() => chooser.choose(candidates, context))
  }
  const equal = [1, 1, 1, 1, 1, 1, 1, 1]
  for (const strategy of strategies) {
    const name = strategy.name.replace(/\W+(\w+)\W*$/, "_$1")
    report("strategies", `select_of_8_${name}`, "ns", choices(strategy, equal), { most: 1000 })
  }
  const unequal = choices(ReplicaStrategy.ewma, [1, 2, 1, 2, 1, 2, 1, 2])
  report("strategies", "select_of_8_ewma_unequal_weights", "ns", unequal, { most: 1000 })
  const server = new Server("replica1", 1, "a")
  const statement = nanosOf((i) => server.end(server.begin(i), i + 2, "success"))
  report("strategies", "begin_and_end", "ns", statement, { most: 300 })
}

const { scenarios } = ClusterSimulation
const { failFast, ...compared } = scenarios

/** Simulates with several seeds: the median of a figure. */
const simulated =
  (seeds: ReadonlyArray<number>, duration: DurationInput) =>
  (figure: (result: ClusterSimulation.SimulationResult) => number) =>
  async (options: ClusterSimulation.SimulationOptions) => {
    const results: Array<number> = []
    for (const seed of seeds) {
      results.push(figure(await Effect.runPromise(ClusterSimulation.run({ ...options, duration, seed }))))
    }
    return median(results)
  }

/** What a replica that fails everything at once still gets, one second after it began to. */
const shareOfFailing = ({ sharesFrom }: ClusterSimulation.SimulationResult): number => sharesFrom("4 seconds")[0]!

/** In each scenario through the real router; `--full` takes all strategies, more seeds, longer, and half an hour. */
const simulate = async (isFull: boolean): Promise<void> => {
  const figure = isFull ? simulated([1, 2, 3], "15 seconds") : simulated([1], "7 seconds")
  const p99 = figure((result) => result.p99)
  const p50 = figure((result) => result.p50)

  for (const replicas of isFull ? [3, 5, 10] : [5, 10]) {
    for (const [name, scenario] of Object.entries(compared)) {
      const best = await p99({ scenario, replicas, strategy: "oracle" })
      const ratio = async (strategy: ReplicaStrategy.ReplicaStrategy) =>
        await p99({ scenario, replicas, strategy }) / best
      // Of three replicas none can be spared: there the oracle is no lower bound.
      const goal = replicas === 3 ? undefined : { most: 1.15 }
      report("strategies", `p99_to_oracle_${name}_${replicas}`, "x", await ratio(ReplicaStrategy.ewma), goal)
      if (!isFull) continue
      for (const [other, strategy] of Object.entries(shown).filter(([name]) => name !== "ewma")) {
        report(
          "strategies",
          `p99_to_oracle_${name}_${replicas}_${other.replace(", ", "_")}`,
          "x",
          await ratio(strategy)
        )
      }
    }
    const failing = { scenario: failFast, replicas, strategy: ReplicaStrategy.ewma }
    const share = await figure(shareOfFailing)(failing)
    report("strategies", `fail_fast_share_after_1s_${replicas}`, "share", share, { most: 0.05 })
    const failed = await figure((result) => result.failed)(failing)
    report("strategies", `fail_fast_errors_${replicas}`, "reads", failed, { most: 0 })
  }
  const healthy = { scenario: scenarios.healthy, replicas: 5 }
  const band = await p50({ ...healthy, strategy: ReplicaStrategy.leastLatency() })
  const random = await p50({ ...healthy, strategy: ReplicaStrategy.random })
  report("strategies", "p50_latency_band_to_random_5", "x", band / random, { most: 1.2 })
}

/** What docs/strategies.md compares, under the names it has there. */
const shown: { readonly [name: string]: ReplicaStrategy.ReplicaStrategy } = {
  ewma: ReplicaStrategy.ewma,
  leastOutstanding: ReplicaStrategy.leastOutstanding,
  powerOfTwo: ReplicaStrategy.powerOfTwo,
  hotCold: ReplicaStrategy.hotCold,
  peakEwma: ReplicaStrategy.peakEwma,
  "leastLatency, band": ReplicaStrategy.leastLatency(),
  roundRobin: ReplicaStrategy.roundRobin,
  random: ReplicaStrategy.random,
  "leastLatency, winner": ReplicaStrategy.leastLatency({ mode: "winner" })
}

const inWords: { readonly [scenario in keyof typeof compared]: string } = {
  healthy: "all alike",
  slow10x: "one 10 × slower",
  far10x: "one 10 × farther",
  stall2s: "one stalls for 2 s",
  sizes: "one twice as large"
}

const page = "docs/strategies.md"
const picture = "docs/strategies.svg"

interface Row {
  readonly name: string
  /** Its p99 in each scenario, as a multiple of the oracle's. */
  readonly p99: ReadonlyArray<number>
  /** What one of five that fails everything at once still gets of the statements. */
  readonly failing: number
}

/** What docs/strategies.md shows: the same on every machine. */
const compare = async (): Promise<ReadonlyArray<Row>> => {
  const figure = simulated([1, 2, 3], "7 seconds")
  const p99 = figure((result) => result.p99)
  const best: Array<number> = []
  for (const scenario of Object.values(compared)) best.push(await p99({ scenario, strategy: "oracle" }))
  const rows: Array<Row> = []
  for (const [name, strategy] of Object.entries(shown)) {
    const ratios: Array<number> = []
    for (const [i, scenario] of Object.values(compared).entries()) {
      ratios.push(await p99({ scenario, strategy }) / best[i]!)
    }
    rows.push({ name, p99: ratios, failing: await figure(shareOfFailing)({ scenario: failFast, strategy }) })
    console.log(`${name}: ${ratios.map(inDigits).join(", ")}`)
  }
  return rows
}

/** Writes the table and the plot of docs/strategies.md, the best of the worst cases first. */
export const write = (rows: ReadonlyArray<Row>): void => {
  const sorted = rows.toSorted((a, b) => Math.max(...a.p99) - Math.max(...b.p99))
  const titles = Object.keys(compared).map((name) => inWords[name as keyof typeof compared])
  const table = [
    ["strategy", ...titles, "one fails at once"],
    ["---", ...titles.map(() => "---:"), "---:"],
    ...sorted.map(({ failing, name, p99 }) => [
      name.replace(/^\w+/, "`$&`"),
      ...p99.map(inDigits),
      `${(100 * failing).toFixed(1)} %`
    ])
  ]
  const [before, after] = readFileSync(page, "utf8").split(/(?<=<!-- made by .* -->\n)[^]*(?=<!-- end -->)/)
  if (before === undefined || after === undefined) throw new Error(`${page} has no place for the table`)
  writeFileSync(page, `${before}${table.map((row) => `| ${row.join(" | ")} |\n`).join("")}${after}`)
  writeFileSync(
    picture,
    lollipops({
      title: "p99 of reads, as a multiple of the oracle's",
      rows: sorted.map(({ name }) => name),
      panels: titles.map((title, i) => ({ title, values: sorted.map(({ p99 }) => p99[i]!) })),
      most: 1000,
      inDigits
    })
  )
  console.log(`wrote ${page} and ${picture}`)
}

const inDigits = (value: number): string => value.toFixed(value < 10 ? 2 : 0)

/** The costs of a choice, and simulations; `--write` makes the figures of docs/strategies.md instead. */
export const run = async (): Promise<void> => {
  if (process.argv.includes("--write")) return write(await compare())
  measureCosts()
  const begun = process.hrtime.bigint()
  await simulate(process.argv.includes("--full"))
  report("strategies", "simulated_in", "s", Number(process.hrtime.bigint() - begun) / 1e9)
}
