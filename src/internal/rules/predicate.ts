import type { Dialect } from "../../Dialect.js"
import type { Field, Predicate, RuleContext, TableUse, Value } from "../../RoutingRules.js"
import type { StatementFacts, Table } from "../../StatementFacts.js"
import type { Answer } from "./answer.js"
import { both, contrary, either, Later, No, Unknown, Yes } from "./answer.js"
import type { Demand, KnownField, Parameters } from "./field.js"
import { demandOf, describeDemand, hasTable, isWithin, knownField, tablesAreKnown, valueOf, valuesOf } from "./field.js"
import { fractionOf } from "./hash.js"
import { renderTable, tableNamed } from "./names.js"

/** One statement of a text; most texts have but one. */
export interface Part {
  readonly facts: StatementFacts
  /** Whether it stands beside others: it is then no confirmed read, and its parameters are not counted from its own. */
  readonly isOneOfSeveral: boolean
  /** What it demands of each field that rules ask for, once that was asked. */
  readonly demands: Array<Demand | undefined>
}

/** What is known when a statement runs, beyond its facts. */
export interface Run {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly context: RuleContext
}

/** What an answer may depend on, the stronger the later in this list. */
export type Dependency = "facts" | "params" | "context"

/** A predicate made ready for one dialect. */
export interface Test {
  readonly dependsOn: Dependency
  /** Without a run, {@link Later} is the answer to what the facts alone do not tell. */
  readonly of: (part: Part, run: Run | undefined) => Answer
  /** Why a statement gets its answer, in words. */
  readonly why: (part: Part, run: Run) => string
}

/** Fields that rules ask for, each once, so that a statement is looked at once for each. */
export class Fields {
  readonly #known = new Map<string, Ask>()

  constructor(readonly dialect: Dialect) {}

  /** How to ask a statement for a field; names are valid, or lint would have found them. */
  ask(field: Field): Ask {
    const key = JSON.stringify([field.name, field.tables])
    const before = this.#known.get(key)
    if (before !== undefined) return before
    const known = knownField(this.dialect, field)
    if (typeof known === "string") throw new Error(known)
    const index = this.#known.size
    const ask: Ask = {
      field: known,
      of: (part) => part.demands[index] ??= demandOf(this.dialect, known, part.facts)
    }
    this.#known.set(key, ask)
    return ask
  }
}

export interface Ask {
  readonly field: KnownField
  readonly of: (part: Part) => Demand
}

export const parametersOf = (part: Part, run: Run | undefined): Parameters =>
  run === undefined ? undefined : part.isOneOfSeveral ? "unknown" : run.params

const strongest = (dependencies: ReadonlyArray<Dependency>): Dependency =>
  dependencies.includes("context") ? "context" : dependencies.includes("params") ? "params" : "facts"

const answerOf = (holds: boolean): Answer => holds ? Yes : No

/** A predicate whose names lint found valid, made ready. */
export const testOf = (predicate: Predicate, fields: Fields): Test => {
  const { dialect } = fields
  switch (predicate._tag) {
    case "And":
      return joined(predicate.predicates.map((inner) => testOf(inner, fields)), both, Yes)
    case "Or":
      return joined(predicate.predicates.map((inner) => testOf(inner, fields)), either, No)
    case "Not": {
      const test = testOf(predicate.predicate, fields)
      return { ...test, of: (part, run) => contrary(test.of(part, run)) }
    }
    case "Read":
      return {
        dependsOn: "facts",
        of: (part) => answerOf(part.facts.replicaSafe && !part.isOneOfSeveral),
        why: (part) =>
          part.isOneOfSeveral
            ? "a text with several statements is no confirmed read"
            : part.facts.replicaSafe
            ? "it is a confirmed read"
            : `it is no confirmed read: ${part.facts.why.reason}`
      }
    case "Kind": {
      const kinds = new Set(predicate.kinds)
      return {
        dependsOn: "facts",
        of: ({ facts: { kind } }) => kinds.has(kind) ? Yes : kind === "unknown" || kind === "multiple" ? Unknown : No,
        why: ({ facts: { kind } }) => `its kind is ${kind}`
      }
    }
    case "Access": {
      const all = new Set(predicate.access)
      return {
        dependsOn: "facts",
        of: ({ facts: { access } }) => all.has(access) ? Yes : access === "unknown" ? Unknown : No,
        why: ({ facts: { access } }) => `its access is ${access}`
      }
    }
    case "Tables": {
      const named = predicate.tables.map((name) => tableNamed(dialect, name)!) // lint read these names
      const answer = predicate.quantifier === "some" ? someTable : everyTable
      return {
        dependsOn: "facts",
        of: ({ facts }) => answer(dialect, named, predicate.use, facts),
        why: ({ facts }) => describeTables(facts)
      }
    }
    case "WhereEquals": {
      const ask = fields.ask(predicate.field)
      const values = predicate.values.map((value) => valueOf(value)!) // lint refused what equals nothing
      return {
        dependsOn: "params",
        of: (part, run) => isWithin(ask.of(part), values, parametersOf(part, run)),
        why: (part) => describeDemand(ask.field, ask.of(part))
      }
    }
    case "Matching": {
      const { regex, text } = predicate
      const of = (part: Part, run: Run | undefined): Answer => {
        if (text === "raw") return run === undefined ? Later : answerOf(regex.test(run.sql))
        const { fingerprint, kind } = part.facts
        return fingerprint === "" && kind !== "empty" ? Unknown : answerOf(regex.test(fingerprint))
      }
      return {
        dependsOn: text === "raw" ? "params" : "facts",
        of,
        why: (part, run) => `its ${text} text ${of(part, run) === Yes ? "matches" : "does not match"}`
      }
    }
    case "Fingerprint": {
      const all = new Set(predicate.fingerprints)
      const of = ({ facts: { fingerprint, kind } }: Part): Answer =>
        all.has(fingerprint) ? Yes : fingerprint === "" && kind !== "empty" ? Unknown : No
      return {
        dependsOn: "facts",
        of,
        why: (part) => of(part) === Yes ? "its fingerprint is the same" : "its fingerprint is another"
      }
    }
    case "Context":
      return ofRun(predicate.description, (run) => predicate.test(run.context.get))
    case "Time":
      return ofRun(predicate.description, (run) => predicate.test(run.context.now))
    case "Percent":
      return share(predicate.percent, predicate.by, fields)
    case "Custom":
      return ofRun(
        predicate.description,
        ({ context: { get, now, random }, params, sql }, { facts }) =>
          predicate.test({ facts, sql, params, now, random, get })
      )
  }
}

const joined = (
  tests: ReadonlyArray<Test>,
  join: (a: Answer, b: Answer) => Answer,
  start: typeof Yes | typeof No
): Test => {
  const end = start === Yes ? No : Yes
  const of = (part: Part, run: Run | undefined): Answer => {
    let answer: Answer = start
    for (let i = 0; i < tests.length && answer !== end; i++) answer = join(answer, tests[i]!.of(part, run))
    return answer
  }
  return {
    dependsOn: strongest(tests.map((test) => test.dependsOn)),
    of,
    why: (part, run) => {
      if (tests.length === 0) return start === Yes ? "it matches every statement" : "it matches no statement"
      // What decided: the one that ends it; else those that differ from the start; else all. None is asked in vain.
      const asked: Array<readonly [test: Test, answer: Answer]> = []
      for (const test of tests) {
        const answer = test.of(part, run)
        if (answer === end) return test.why(part, run)
        asked.push([test, answer])
      }
      const differing = asked.filter(([, answer]) => answer !== start)
      const chosen = (differing.length > 0 ? differing : asked).map(([test]) => test)
      return [...new Set(chosen.map((test) => test.why(part, run)))].join(", ")
    }
  }
}

const ofRun = (name: string, holds: (run: Run, part: Part) => boolean): Test => ({
  dependsOn: "context",
  of: (part, run) => run === undefined ? Later : answerOf(holds(run, part)),
  why: (part, run) => `${name} ${holds(run, part) ? "holds" : "does not hold"}`
})

/** A share of the statements. By field it is known only if all rows that may be concerned fall on the same side. */
const share = (
  percent: number,
  by: Extract<Predicate, { readonly _tag: "Percent" }>["by"],
  fields: Fields
): Test => {
  if (by === undefined) {
    return {
      dependsOn: "context",
      of: (_, run) => run === undefined ? Later : answerOf(run.context.random() * 100 < percent),
      why: () => `drawn at random for ${percent} % of statements`
    }
  }
  const isIn = (value: Value) => fractionOf(value) * 100 < percent
  if (by._tag === "Parameter") {
    return {
      dependsOn: "params",
      of: (part, run) => {
        const parameters = parametersOf(part, run)
        if (parameters === undefined) return Later
        const value = parameters === "unknown" ? undefined : valueOf(parameters[by.index])
        return value === undefined ? Unknown : answerOf(isIn(value))
      },
      why: () => `drawn by parameter ${by.index} for ${percent} % of values`
    }
  }
  const ask = fields.ask(by.field)
  return {
    dependsOn: "params",
    of: (part, run) => {
      const values = valuesOf(ask.of(part), parametersOf(part, run))
      if (values === Later) return Later
      if (values === undefined) return Unknown
      const sides = new Set([...values].map(isIn))
      return sides.size === 1 ? answerOf(sides.has(true)) : Unknown
    },
    why: (part) => `drawn by ${ask.field.name} for ${percent} % of values; ${describeDemand(ask.field, ask.of(part))}`
  }
}

const asksRead = (use: TableUse, facts: StatementFacts): boolean =>
  use === "read" || use === "any" || (use === "main" && facts.writes.length === 0)

const asksWritten = (use: TableUse): boolean => use !== "read"

const someTable = (
  dialect: Dialect,
  named: ReadonlyArray<Table>,
  use: TableUse,
  facts: StatementFacts
): Answer => {
  let answer: Answer = tablesAreKnown(facts) ? No : Unknown
  if (asksRead(use, facts)) answer = either(answer, someOf(dialect, named, facts.reads))
  if (answer !== Yes && asksWritten(use)) answer = either(answer, someOf(dialect, named, facts.writes))
  return answer
}

const someOf = (dialect: Dialect, named: ReadonlyArray<Table>, tables: ReadonlyArray<Table>): Answer => {
  let answer: Answer = No
  for (let i = 0; i < tables.length && answer !== Yes; i++) {
    answer = either(answer, hasTable(dialect, named, tables[i]!))
  }
  return answer
}

const everyTable = (
  dialect: Dialect,
  named: ReadonlyArray<Table>,
  use: TableUse,
  facts: StatementFacts
): Answer => {
  const reads = asksRead(use, facts) ? facts.reads : []
  const writes = asksWritten(use) ? facts.writes : []
  let answer: Answer = !tablesAreKnown(facts) ? Unknown : reads.length + writes.length === 0 ? No : Yes
  for (let i = 0; i < reads.length && answer !== No; i++) answer = both(answer, hasTable(dialect, named, reads[i]!))
  for (let i = 0; i < writes.length && answer !== No; i++) answer = both(answer, hasTable(dialect, named, writes[i]!))
  return answer
}

const describeTables = (facts: StatementFacts): string => {
  const parts = [
    ...(facts.reads.length > 0 ? [`it reads ${facts.reads.map(renderTable).join(", ")}`] : []),
    ...(facts.writes.length > 0 ? [`it writes ${facts.writes.map(renderTable).join(", ")}`] : []),
    ...(tablesAreKnown(facts) ? [] : ["its text does not tell all its tables"])
  ]
  return parts.length === 0 ? "it uses no table" : parts.join(", ")
}
