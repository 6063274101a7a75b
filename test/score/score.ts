/*
 * Scores the classifier: reads that reach replicas, reads that are kept from them, and what must never happen, statements
 * with an effect that are called reads. Over the project's own hazards, and over corpora of statements with verdicts
 * measured on real servers where they are at hand: `CLASSIFIER_CORPORA` names their folder.
 *
 * Exits with 1 if an effect is called a read, or if more than 0.5 % of a corpus' reads are kept.
 */
import type { Dialect } from "effect-sql-router/Dialect"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import { hazards } from "../classifier/hazards/families.js"

/** One statement: `safe` says whether a replica must get it (`true`) or must not (`false`). */
interface Sample {
  readonly sql: string
  readonly safe: boolean
  readonly isOfSession: boolean
}

interface Score {
  readonly reads: number
  readonly kept: ReadonlyArray<Sample>
  readonly effects: number
  readonly misread: ReadonlyArray<Sample>
  /** Misread, but plain selects without a call: a view or a cast has the effect, which no text shows. */
  readonly hidden: number
}

const mostKept = 0.005

const score = (dialect: Dialect, samples: ReadonlyArray<Sample>): Score => {
  const kept: Array<Sample> = []
  const misread: Array<Sample> = []
  let reads = 0
  let hidden = 0
  for (const sample of samples) {
    const facts = StatementClassifier.classify(dialect, sample.sql)
    if (sample.safe) {
      reads++
      if (!facts.replicaSafe) kept.push(sample)
    } else if (facts.replicaSafe) {
      if (facts.kind === "select" && facts.functions.length === 0 && !sample.isOfSession) hidden++
      else misread.push(sample)
    }
  }
  return { reads, kept, effects: samples.length - reads, misread, hidden }
}

const percent = (part: number, whole: number): string => `${(100 * part / Math.max(whole, 1)).toFixed(2)} %`

const report = (name: string, { effects, hidden, kept, misread, reads }: Score): boolean => {
  const sessions = misread.filter(({ isOfSession }) => isOfSession).length
  console.log(
    `${name}: ${reads} reads, ${reads - kept.length} to replicas, ${kept.length} kept (${
      percent(kept.length, reads)
    }); `
      + `${effects} with an effect, called reads: ${
        misread.length - sessions
      }, of the session called reads: ${sessions}`
      + (hidden > 0 ? ` (and ${hidden} hidden in a view)` : "")
  )
  for (const { sql } of misread) console.log(`  called a read: ${sql}`)
  if (process.argv.includes("--kept")) { for (const { sql } of kept) console.log(`  kept: ${sql}`) }
  return misread.length === 0 && kept.length <= reads * mostKept
}

const ownSamples = (dialect: Dialect): ReadonlyArray<Sample> =>
  hazards.filter((hazard) => hazard.dialect === dialect && hazard.expected !== "empty").map(({ expected, sql }) => ({
    sql,
    safe: expected === "read",
    isOfSession: expected === "session"
  }))

interface Line {
  readonly sql: string
  readonly safe: boolean | null
  readonly verdict: string
}

const linesOf = (file: string): ReadonlyArray<Line> =>
  gunzipSync(readFileSync(file)).toString().trim().split("\n").map((line) => JSON.parse(line))

/** Statements that either answer is right for are left out. */
const samplesOf = (lines: ReadonlyArray<Line>): ReadonlyArray<Sample> =>
  lines.flatMap(({ safe, sql, verdict }) => safe === null ? [] : [{ sql, safe, isOfSession: verdict === "session" }])

const folder = process.env["CLASSIFIER_CORPORA"] ?? path.resolve(import.meta.dirname, "../../../shared/corpora")
const files: ReadonlyArray<readonly [Dialect, string]> = [
  ["postgres", "pg.jsonl.gz"],
  ["mysql", "mariadb.jsonl.gz"],
  ["sqlite", "sqlite.jsonl.gz"]
]

let isGood = true
for (const [dialect, name] of files) {
  isGood = report(`${dialect}, hazards`, score(dialect, ownSamples(dialect))) && isGood
  const file = path.join(folder, name)
  if (existsSync(file)) isGood = report(`${dialect}, ${name}`, score(dialect, samplesOf(linesOf(file)))) && isGood
}
process.exitCode = isGood ? 0 : 1
