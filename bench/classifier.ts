import { createRequire } from "node:module"
import * as path from "node:path"
import type { Dialect } from "../src/Dialect.js"
import * as StatementClassifier from "../src/StatementClassifier.js"
import type { StatementFacts } from "../src/StatementFacts.js"
import { median, report } from "./harness.js"

/** A statement of 200 characters, as programs have them, for each dialect's placeholders. */
const statement = (first: string, second: string): string =>
  `SELECT u.id, u.name, o.total, lower(o.status) AS status FROM users u JOIN orders o ON o.user_id = u.id `
  + `WHERE u.tenant_id = ${first} AND o.created > ${second} AND o.status IN ('paid', 'open') ORDER BY o.total DESC LIMIT `

const statements: { readonly [dialect in Dialect]: string } = {
  postgres: statement("$1", "$2"),
  mysql: statement("?", "?"),
  sqlite: statement("?", "?")
}

const count = 1000

/** Different texts, each a flat string of its own, as a driver would get them. */
const texts = (sql: string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${sql}${i + 10}`).toString("latin1"))

/** Kept, so that nothing is optimized away. */
let sink = 0

/** The nanoseconds per text: the median of rounds, each of which takes all contestants in turn. */
const race = (contestants: Record<string, () => void>, rounds = 61, perRound = count): Record<string, number> => {
  const times: Record<string, Array<number>> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const start = process.hrtime.bigint()
      run()
      const taken = Number(process.hrtime.bigint() - start) / perRound
      // The first rounds are for the compiler.
      if (round >= rounds / 3) (times[name] ??= []).push(taken)
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, median(values)]))
}

const overCharacters = (text: string): number => {
  let sum = 0
  for (let i = 0; i < text.length; i++) sum += text.charCodeAt(i)
  return sum
}

const allFacts = (facts: StatementFacts): number =>
  facts.why.position + facts.reads.length + facts.writes.length + facts.equalities.length + facts.locks.length
  + facts.functions.length + facts.sessionEffects.length + facts.statements.length + facts.fingerprint.length
  + (facts.transaction === undefined ? 0 : 1)

const misses = (dialect: Dialect): number => {
  const { classify } = StatementClassifier.make({ cache: { entries: 0 } })
  const all = texts(statements[dialect])
  const each = (f: (text: string) => number) => () => {
    for (const text of all) sink += f(text)
  }
  const times = race({
    bare: each(overCharacters),
    verdict: each((text) => classify(dialect, text).replicaSafe ? 1 : 0),
    tables: each((text) => {
      const facts = classify(dialect, text)
      return facts.reads.length + facts.writes.length
    }),
    all: each((text) => allFacts(classify(dialect, text)))
  })
  const bare = times["bare"]!
  report("classifier", `${dialect} bare loop over ${all[0]!.length} characters`, "ns", bare)
  report("classifier", `${dialect} miss, verdict`, "times the loop", times["verdict"]! / bare)
  report("classifier", `${dialect} miss, verdict and tables`, "times the loop", times["tables"]! / bare, { most: 4 })
  report("classifier", `${dialect} miss, all facts`, "times the loop", times["all"]! / bare, { most: 10 })
  return times["verdict"]!
}

const hits = (): void => {
  const { classify } = StatementClassifier.make()
  const all = texts(statements.postgres)
  const map = new Map(all.map((text) => [text, classify("postgres", text)]))
  const times = race({
    lookup: () => {
      for (const text of all) sink += map.get(text)!.replicaSafe ? 1 : 0
    },
    hit: () => {
      for (const text of all) sink += classify("postgres", text).replicaSafe ? 1 : 0
    }
  })
  report("classifier", "hit beyond the lookup", "ns", times["hit"]! - times["lookup"]!, { most: 100 })
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 1_000_000; i++) sink += classify("postgres", all[i % count]!).replicaSafe ? 1 : 0
  report(
    "classifier",
    "hit, heap growth",
    "bytes each",
    Math.max(0, process.memoryUsage().heapUsed - before) / 1_000_000,
    {
      most: 1
    }
  )
}

/** Hot statements among as many that come once: how many of the hot ones are still known. */
const flood = (): void => {
  let computed = 0
  const classifier = StatementClassifier.make()
  const hot = Array.from({ length: 1000 }, (_, i) => `SELECT ${i} FROM hot`)
  const known = new Map<string, StatementFacts>()
  let asked = 0
  for (let i = 0; i < 400_000; i++) {
    sink += classifier.classify("postgres", `SELECT ${i} FROM cold`).replicaSafe ? 1 : 0
    const text = hot[i % hot.length]!
    const facts = classifier.classify("postgres", text)
    if (i < 3 * hot.length) known.set(text, facts)
    else {
      asked++
      if (known.get(text) !== facts) computed++
      known.set(text, facts)
    }
  }
  report("classifier", "hits of 1000 hot statements in a flood", "%", 100 * (1 - computed / asked), { least: 99 })
}

type Parse = (sql: string) => unknown

/** Parsers that are compared with where they are installed; `CLASSIFIER_PEERS` names the folder to look from. */
const peers = async (): Promise<ReadonlyArray<readonly [string, Parse]>> => {
  const require = createRequire(path.join(process.env["CLASSIFIER_PEERS"] ?? import.meta.dirname, "peers.js"))
  const found: Array<readonly [string, Parse]> = []
  const add = async (name: string, parse: (module: any) => Parse | Promise<Parse>): Promise<void> => {
    try {
      found.push([name, await parse(require(name))])
    } catch {
      console.log(`bench classifier ${name} is not installed here`)
    }
  }
  await add("libpg-query", async (module) => {
    await module.loadModule?.()
    return module.parseSync ?? module.parseQuerySync
  })
  await add("node-sql-parser", (module) => {
    const parser = new module.Parser()
    return (sql) => parser.astify(sql, { database: "postgresql" })
  })
  await add("pgsql-ast-parser", (module) => module.parse)
  await add("sql-parser-cst", (module) => (sql) => module.parse(sql, { dialect: "postgresql", paramTypes: ["$nr"] }))
  return found
}

const besidePeers = async (miss: number): Promise<void> => {
  const all = texts(statements.postgres).slice(0, 100)
  const found = await peers()
  const contestants: Record<string, () => void> = {}
  for (const [name, parse] of found) {
    try {
      parse(all[0]!)
    } catch (error) {
      console.log(`bench classifier ${name} cannot parse the statement: ${error}`)
      continue
    }
    contestants[name] = () => {
      for (const text of all) sink += parse(text) === undefined ? 0 : 1
    }
  }
  const times = Object.entries(race(contestants, 21, all.length))
  for (const [name, time] of times) report("classifier", `${name}, same statement`, "µs", time / 1000)
  if (times.length > 0) {
    const fastest = Math.min(...times.map(([, time]) => time))
    report("classifier", "times as fast as the fastest parser", "times", fastest / miss, { least: 20 })
  }
}

/** What it costs to classify a statement, known or not. */
export const run = async (): Promise<void> => {
  hits()
  flood()
  const miss = misses("postgres")
  misses("mysql")
  misses("sqlite")
  await besidePeers(miss)
  if (sink < 0) console.log(sink)
}
