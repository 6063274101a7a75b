import * as Either from "effect/Either"
import { compile, type CompiledRules } from "../src/internal/rules/compile.js"
import * as RoutingRules from "../src/RoutingRules.js"
import * as StatementClassifier from "../src/StatementClassifier.js"
import type { StatementFacts } from "../src/StatementFacts.js"
import * as Target from "../src/Target.js"
import { median, report } from "./harness.js"

const count = 2000
const rounds = 60
/** The first rounds are for the compiler. */
const warmUp = 20

const context: RoutingRules.RuleContext = {
  now: 0,
  random: () => 0.5,
  get: () => {
    throw new Error("no rule here asks the fiber")
  }
}

const compiled = (rules: ReadonlyArray<RoutingRules.Rule>): CompiledRules =>
  Either.getOrThrow(compile(RoutingRules.make(rules), {
    default: "main",
    databases: new Map(
      ["main", "archive"].map((name) =>
        [name, { dialect: "postgres", primary: `${name}0`, replicas: [`${name}1`] }] as const
      )
    )
  }))

const archive = Target.database("archive")

/** A hundred rules of all sorts, of which only the last matches the statement. */
const ofFacts = [
  ...Array.from({ length: 99 }, (_, i): RoutingRules.Rule => {
    const table = `t${i}`
    switch (i % 4) {
      case 0:
        return RoutingRules.read(table, archive)
      case 1:
        return RoutingRules.insert([table, `shop.${table}`], archive)
      case 2:
        return RoutingRules.rule(
          RoutingRules.and(RoutingRules.kind("select"), RoutingRules.tables.every([table, "users"])),
          archive
        )
      default:
        return RoutingRules.write(table, archive)
    }
  }),
  RoutingRules.read("orders", archive)
]

/** As many that ask for the value of a parameter. */
const ofParameters = [
  ...Array.from({ length: 99 }, (_, i) => RoutingRules.rule(RoutingRules.whereEquals("tenant_id", i), archive)),
  RoutingRules.read("orders", archive)
]

/** A statement's facts, classified anew each time: what is known of one is not known of the next. */
const statements = (): ReadonlyArray<readonly [sql: string, facts: StatementFacts]> => {
  const { classify } = StatementClassifier.make({ cache: { entries: 0 } })
  return Array.from({ length: count }, (_, i) => {
    const sql = `SELECT o.id, o.total FROM orders o WHERE o.tenant_id = $1 AND o.created > $2 LIMIT ${i + 10}`
    const facts = classify("postgres", sql)
    // What is cold is the decision: reading the text is the classifier's, and has its own bench.
    if (facts.reads.length + facts.writes.length + facts.equalities.length === 0) throw new Error("not read")
    return [sql, facts] as const
  })
}

/** Kept, so that nothing is optimized away. */
let sink = 0

const params = [1000, "2026-01-01"]

const measure = (rules: CompiledRules, all: () => ReadonlyArray<readonly [string, StatementFacts]>): number => {
  const nanos: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const texts = all()
    const start = process.hrtime.bigint()
    for (const [sql, facts] of texts) sink += rules.decide(facts, sql, params, context).number ?? 0
    if (round >= warmUp) nanos.push(Number(process.hrtime.bigint() - start) / texts.length)
  }
  return median(nanos)
}

/** What it costs to decide by a hundred rules, of which the last matches. */
export const run = async (): Promise<void> => {
  const known = statements().slice(0, 100)
  const many = Array.from({ length: count }, (_, i) => known[i % known.length]!)
  const facts = compiled(ofFacts)
  report("rules", "100 rules, cold", "µs", measure(facts, statements) / 1000, { most: 10 })
  report("rules", "100 rules, statement known", "ns", measure(facts, () => many), { most: 500 })
  const parameters = compiled(ofParameters)
  report("rules", "99 rules on a parameter, cold", "µs", measure(parameters, statements) / 1000, { most: 10 })
  report("rules", "99 rules on a parameter, statement known", "µs", measure(parameters, () => many) / 1000, {
    most: 10
  })
  if (sink < 0) console.log(sink)
}
