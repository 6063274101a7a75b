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
const rounds = 90
/** The first rounds are for the compiler. */
const warmUp = 30

/** Texts that were never read before, put together from parts as a statement's compiler does it. */
const freshTexts = (sql: string): ReadonlyArray<string> => {
  const half = sql.length >> 1
  const [start, end] = [sql.slice(0, half), sql.slice(half)]
  return Array.from({ length: count }, (_, i) => start + end + (i + 10))
}

/** Kept, so that nothing is optimized away. */
let sink = 0

type Contestant = (text: string) => number

/** What each contestant takes for a text, in nanoseconds and in times of the first: medians of rounds, all in turn. */
const race = <Name extends string>(
  sql: string,
  contestants: Readonly<Record<Name, Contestant>>,
  texts: (sql: string) => ReadonlyArray<string> = freshTexts
): Readonly<Record<Name, { readonly nanos: number; readonly times: number }>> => {
  const entries = Object.entries<Contestant>(contestants)
  const nanos = entries.map((): Array<number> => [])
  for (let round = 0; round < rounds; round++) {
    entries.forEach(([, run], i) => {
      const all = texts(sql)
      const start = process.hrtime.bigint()
      for (const text of all) sink += run(text)
      const taken = Number(process.hrtime.bigint() - start) / all.length
      if (round >= warmUp) nanos[i]!.push(taken)
    })
  }
  const result = entries.map(([name], i) =>
    [name, {
      nanos: median(nanos[i]!),
      times: median(nanos[i]!.map((taken, round) => taken / nanos[0]![round]!))
    }] as const
  )
  return Object.fromEntries(result) as ReturnType<typeof race<Name>>
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

const loop = { beside: "bare loop over the text" }

const misses = (dialect: Dialect): number => {
  const { classify } = StatementClassifier.make({ cache: { entries: 0 } })
  const { bare, every, tables, verdict } = race(statements[dialect], {
    bare: overCharacters,
    verdict: (text) => classify(dialect, text).replicaSafe ? 1 : 0,
    tables: (text) => {
      const facts = classify(dialect, text)
      return facts.reads.length + facts.writes.length
    },
    every: (text) => allFacts(classify(dialect, text))
  })
  const { length } = freshTexts(statements[dialect])[0]!
  report("classifier", `${dialect} bare loop over ${length} characters`, "µs", bare.nanos / 1000)
  report("classifier", `${dialect} miss, verdict`, "x", verdict.times, loop)
  report("classifier", `${dialect} miss, verdict and tables`, "x", tables.times, { ...loop, most: 4 })
  report("classifier", `${dialect} miss, all facts`, "x", every.times, { ...loop, most: 10 })
  return verdict.nanos
}

const map = { beside: "lookup in a Map" }

const hits = (): void => {
  const { classify } = StatementClassifier.make()
  const all = freshTexts(statements.postgres)
  const known = new Map(all.map((text) => [text, classify("postgres", text)]))
  const { fresh, freshLookup, hit, lookup } = {
    ...race(statements.postgres, {
      lookup: (text) => known.get(text)!.replicaSafe ? 1 : 0,
      hit: (text) => classify("postgres", text).replicaSafe ? 1 : 0
    }, () => all),
    ...race(statements.postgres, {
      freshLookup: (text) => known.get(text)!.replicaSafe ? 1 : 0,
      fresh: (text) => classify("postgres", text).replicaSafe ? 1 : 0
    })
  }
  report("classifier", "hit of the same string", "ns", hit.nanos)
  report("classifier", "hit of the same string, excess", "ns", hit.nanos - lookup.nanos, { ...map, most: 100 })
  report("classifier", "hit of a fresh string", "ns", fresh.nanos)
  report("classifier", "hit of a fresh string, excess", "ns", fresh.nanos - freshLookup.nanos, { ...map, most: 100 })
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 1_000_000; i++) sink += classify("postgres", all[i % count]!).replicaSafe ? 1 : 0
  const growth = Math.max(0, process.memoryUsage().heapUsed - before)
  report("classifier", "hit, heap growth", "bytes each", growth / 1_000_000, { most: 1 })
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
  const contestants: Record<string, Contestant> = {}
  for (const [name, parse] of await peers()) contestants[name] = (text) => parse(text) === undefined ? 0 : 1
  const found = Object.entries(race(statements.postgres, contestants, (sql) => freshTexts(sql).slice(0, 5)))
  for (const [name, { nanos }] of found) report("classifier", `${name}, same statement`, "µs", nanos / 1000)
  if (found.length > 0) {
    const fastest = Math.min(...found.map(([, { nanos }]) => nanos))
    report("classifier", "postgres miss, verdict, speed", "x", fastest / miss, {
      least: 20,
      beside: "fastest parser installed"
    })
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
