import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as binaries from "../scripts/binaries.mjs"
import { type Figure, meetsGoal } from "./harness.js"

const page = "bench/README.md"
const marks = ["<!-- made by npm run bench:table -->\n", "<!-- end -->"] as const

/** The version that a program tells of itself, if it is installed. */
const versionOf = (program: string | undefined): string | undefined =>
  program === undefined
    ? undefined
    : /\d+\.[\d.]+/.exec(spawnSync(program, ["--version"], { encoding: "utf8" }).stdout)?.[0]

const programs = (): ReadonlyArray<readonly [name: string, program: string | undefined]> => {
  const postgres = binaries.postgres()
  return [
    ["PostgreSQL", postgres && path.join(postgres, "postgres")],
    ["MariaDB", binaries.mariadb()?.server],
    ["PgBouncer", binaries.which("pgbouncer")],
    ["pgpool-II", binaries.which("pgpool")]
  ]
}

/** What the figures depend on. */
const machine = (): string => {
  const processors = os.cpus()
  const versions = programs().flatMap(([name, program]) => {
    const version = versionOf(program)
    return version === undefined ? [] : [`${name} ${version}`]
  })
  const parts = [`${processors.length} cores`, processors[0]?.model ?? process.arch, `Node ${process.versions.node}`]
  return `Measured on: ${[...parts, ...versions].join(", ")}.`
}

const inDigits = (value: number): string =>
  value === 0 || Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)

const row = (figure: Figure): ReadonlyArray<string> => {
  const met = meetsGoal(figure)
  const { beside, bench, figure: name, least, most, unit, value } = figure
  return [
    bench,
    name.replaceAll("_", " "),
    beside ?? "",
    unit === "x" ? `${inDigits(value)} ×` : `${inDigits(value)} ${unit}`,
    met === undefined ? "" : `${most === undefined ? `≥ ${least}` : `≤ ${most}`}, ${met ? "met" : "**missed**"}`
  ]
}

/**
 * Writes the table. The rows of benches that were not run now stay, if they were measured on this machine: one whose
 * figures were disturbed can be run again alone.
 */
export const writeTable = (figures: ReadonlyArray<Figure>, order: ReadonlyArray<string>): void => {
  const text = readFileSync(page, "utf8")
  const [begin, end] = [text.indexOf(marks[0]) + marks[0].length, text.indexOf(marks[1])]
  if (begin < marks[0].length || end < begin) throw new Error(`${page} has no place for the table`)
  const here = machine()
  const before = text.slice(begin, end)
  const kept = before.includes(here) ? before.split("\n") : []
  const rows = order.flatMap((bench) => {
    const measured = figures.filter((figure) => figure.bench === bench)
    return measured.length === 0
      ? kept.filter((line) => line.startsWith(`| ${bench} |`))
      : measured.map((figure) => `| ${row(figure).join(" | ")} |`)
  })
  const table = ["| bench | figure | beside | measured | goal |", "|---|---|---|---:|---|", ...rows].join("\n")
  writeFileSync(page, `${text.slice(0, begin)}${here}\n\n${table}\n${text.slice(end)}`)
  console.log(`wrote ${rows.length} rows to ${page}`)
}
