import * as Duration from "effect/Duration"
import type { ConnectionPoolStats, ConnectionPoolTotals, Timings } from "../ConnectionPool.js"

/** The columns of numbers, with what they show. */
const columns: ReadonlyArray<readonly [head: string, of: (stats: ConnectionPoolTotals) => string]> = [
  ["active", (_) => String(_.active)],
  ["idle", (_) => String(_.idle)],
  ["connecting", (_) => String(_.connecting)],
  ["waiting", (_) => String(_.waiting)],
  ["max", (_) => String(_.max)],
  ["used", (_) => `${Math.round(_.utilization * 100)} %`],
  ["created", (_) => String(_.created)],
  ["reused", (_) => String(_.reused)],
  ["closed", (_) => String(Object.values(_.closed).reduce((a, b) => a + b, 0))],
  ["unhealthy", (_) => String(_.closed.unhealthy + _.closed.lost)],
  ["timeouts", (_) => String(_.timeouts)],
  ["acquire p50/p95/p99", (_) => inWords(_.acquireTime)],
  ["usage p50/p95/p99", (_) => inWords(_.usageTime)]
]

export const print = (stats: ReadonlyArray<ConnectionPoolStats>, total: ConnectionPoolTotals): string => {
  const lines = [
    ["pool", ...columns.map(([head]) => head)],
    ...stats.map((pool) => [nameOf(pool), ...columns.map(([, of]) => of(pool))]),
    ["total", ...columns.map(([, of]) => of(total))]
  ]
  return aligned(lines, (column) => column === 0)
}

/** Cells in columns as wide as the widest of each; numbers stand on the right. */
export const aligned = (
  lines: ReadonlyArray<ReadonlyArray<string>>,
  isText: (column: number) => boolean
): string => {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)))
  return lines.map((line) =>
    line.map((cell, i) => isText(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ").trimEnd()
  ).join("\n")
}

const nameOf = ({ database, endpoint, lane }: ConnectionPoolStats): string =>
  lane === "main" ? `${database}/${endpoint}` : `${database}/${endpoint} (${lane})`

const inWords = ({ p50, p95, p99 }: Timings): string => [p50, p95, p99].map(short).join(" / ")

export const short = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 1) return `${Math.round(millis * 1000)} µs`
  return millis < 1000 ? `${millis.toPrecision(3)} ms` : `${(millis / 1000).toPrecision(3)} s`
}
