/** What a run was like, for people to read. */
import type { ConnectionPoolStats } from "effect-sql-router/ConnectionPool"
import * as ConnectionPool from "effect-sql-router/ConnectionPool"
import type { RoutingCount } from "effect-sql-router/RoutingMetrics"
import type { Deed, Harm } from "./chaos.js"
import type { Finding } from "./invariants.js"
import { rules } from "./invariants.js"
import type { Tally } from "./tallies.js"
import { longestStallMillis } from "./time.js"

export interface Figures {
  readonly fibers: number
  readonly seconds: number
  readonly seed: number
  readonly tallies: ReadonlyArray<Tally>
  readonly deeds: ReadonlyArray<Deed>
  readonly journal: ReadonlyArray<string>
  readonly harm: Harm
  readonly pools: ReadonlyArray<ConnectionPoolStats>
  readonly counts: ReadonlyArray<RoutingCount>
  readonly writes: number
  readonly mostSessions: number
  readonly activeFibers: { readonly [when in "atFirst" | "before" | "atThird" | "calm" | "closed"]: number }
  readonly heap: { readonly atThird: number; readonly atEnd: number }
  readonly findings: ReadonlyArray<Finding>
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** Lines whose columns stand under each other; all but the first one are figures. */
const table = (rows: ReadonlyArray<ReadonlyArray<string | number>>): ReadonlyArray<string> => {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => String(row[i]).length)))
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? String(cell).padEnd(widths[i]!) : String(cell).padStart(widths[i]!)).join("  ")
  )
}

const inWords = (counts: Iterable<readonly [string, number]>): string =>
  Array.from(counts, ([what, count]) => `${count} ${what}`).join(", ")

const work = ({ tallies }: Figures) =>
  table([
    ["work", "done", "interrupted", "failed", "slowest ms", "interrupted, slowest end ms"],
    ...tallies.map(({ done, failed, interrupted, slowestEndMillis, slowestMillis, what }) => [
      what,
      done,
      interrupted,
      failed,
      Math.round(slowestMillis),
      Math.round(slowestEndMillis)
    ])
  ])

const errors = ({ tallies }: Figures) =>
  tallies.filter((tally) => tally.errors.size > 0).map(({ errors, what }) =>
    `${what}: ${
      Array.from(errors, ([name, { count, firstSeconds, lastSeconds }]) =>
        `${count} ${name} (${firstSeconds.toFixed(1)} to ${lastSeconds.toFixed(1)} s)`).join(", ")
    }`
  )

const outages = ({ deeds }: Figures) =>
  table([
    ["outage", "from s", "for s"],
    ...deeds.toSorted((a, b) => a.atSeconds - b.atSeconds).map(({ atSeconds, outage, server, site, tookSeconds }) => [
      `${site} ${outage} (${server})`,
      atSeconds.toFixed(1),
      tookSeconds.toFixed(1)
    ])
  ])

/** By Database and name, over all endpoints. */
const counted = ({ counts }: Figures) => {
  const sums = new Map<string, Map<string, number>>()
  for (const { count, name, tags } of counts) {
    const detail = tags["transition"] ?? tags["reason"]
    const short = name.replace("sql.router.", "")
    const key = detail === undefined || short === "statements" ? short : `${short} (${detail})`
    const database = tags["database"]!
    const sum = sums.get(database) ?? new Map<string, number>()
    sums.set(database, sum.set(key, (sum.get(key) ?? 0) + count))
  }
  return Array.from(sums, ([database, sum]) => `${database}: ${inWords(sum)}`)
}

const closed = ({ pools }: Figures) =>
  pools.map(({ closed, database, endpoint }) =>
    `${database} ${endpoint} closed: ${inWords(Object.entries(closed).filter(([, count]) => count > 0))}`
  )

const invariants = ({ findings }: Figures) =>
  table([
    ["invariant", "looked at", "broken"],
    ...findings.map(({ broken, checked, leftOut, rule }) => [
      rules[rule],
      checked,
      leftOut === undefined ? broken : `(${broken}: ${leftOut})`
    ])
  ])

export const render = (figures: Figures): string => {
  const { activeFibers, fibers, harm, heap, mostSessions, pools, seconds, seed, writes } = figures
  return [
    [`soak: ${fibers} fibers, ${seconds} s, seed ${seed}`],
    work(figures),
    errors(figures),
    outages(figures),
    figures.journal,
    [
      `small harm: ${harm.killed} sessions killed, ${harm.reset} connections reset, ${harm.lost} messages or answers lost, `
      + `${harm.cut} times all cut off`
    ],
    counted(figures),
    [ConnectionPool.table(pools)],
    closed(figures),
    [
      `writes: ${writes}`,
      `most sessions on a server: ${mostSessions}`,
      `fibers: ${activeFibers.atFirst} at first, ${activeFibers.before} before the work, ${activeFibers.atThird} at a third, `
      + `${activeFibers.calm} after it, ${activeFibers.closed} when all is closed`,
      `longest stall of this process: ${longestStallMillis()} ms`,
      `heap after collection: ${megabytes(heap.atThird)} at a third, ${megabytes(heap.atEnd)} at the end`
    ],
    invariants(figures)
  ].map((lines) => lines.join("\n")).join("\n\n")
}
