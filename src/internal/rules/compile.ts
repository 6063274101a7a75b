import * as Either from "effect/Either"
import type { Dialect } from "../../Dialect.js"
import { ConfigurationError } from "../../RoutingError.js"
import type {
  Decision,
  LintFinding,
  Predicate,
  Route,
  RoutingRules,
  Rule,
  RuleContext,
  RuleTrace,
  Value
} from "../../RoutingRules.js"
import { always as everything, and, isRead, kind as ofKind, not } from "../../RoutingRules.js"
import type { StatementFacts, StatementKind } from "../../StatementFacts.js"
import * as Target from "../../Target.js"
import type { Answer } from "./answer.js"
import { both, either, Later, No, Unknown, Yes } from "./answer.js"
import { effective, isReplicaOnly } from "./effective.js"
import { describeDemand, valuesOf } from "./field.js"
import { isNever, simplify } from "./imply.js"
import type { Known } from "./known.js"
import { lint, nameOf } from "./lint.js"
import { tableNamed } from "./names.js"
import type { Dependency, Part, Run } from "./predicate.js"
import { Fields, parametersOf, testOf } from "./predicate.js"

export interface CompiledRules {
  /**
   * Where a statement goes. What the facts alone decide is kept for each facts object, so that it is found again in a
   * lookup; only rules that are still open are asked again.
   */
  readonly decide: (
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    context: RuleContext
  ) => Decision
  /** What each rule says of a statement, in order. A share at random is drawn anew. */
  readonly trace: (
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    context: RuleContext
  ) => ReadonlyArray<RuleTrace>
  /** What decisions depend on at most; `params` also stands for the raw text. */
  readonly dependsOn: Dependency
  readonly warnings: ReadonlyArray<LintFinding>
}

/** Rules made ready for the Databases of a router; or all that is wrong with them. */
export const compile = (rules: RoutingRules, known: Known): Either.Either<CompiledRules, ConfigurationError> => {
  const findings = lint(rules, known)
  const errors = findings.filter((finding) => finding.severity === "error")
  return errors.length > 0
    ? Either.left(new ConfigurationError({ path: "rules", problem: errors.map(describeFinding).join("; ") }))
    : Either.right(makeCompiled(rules, known, findings))
}

const describeFinding = ({ number, reason, rule }: LintFinding): string =>
  number === undefined || rule.startsWith(`rule ${number}:`)
    ? `${rule}: ${reason}`
    : `rule ${number} (${rule}): ${reason}`

/** A decision, none, or that it takes a run to tell. */
type Outcome = Decision | typeof No | typeof Later

interface CompiledRule {
  readonly number: number
  readonly name: string
  readonly dependsOn: Dependency
  /** Tables, in lower case, of which a statement must use one to match; `undefined` if it need not. */
  readonly tables: ReadonlySet<string> | undefined
  /** What it matches, at most; simplified. */
  readonly predicate: Predicate
  readonly of: (parts: ReadonlyArray<Part>, run: Run | undefined) => Outcome
  readonly why: (parts: ReadonlyArray<Part>, run: Run) => string
}

/** What the facts of a statement leave to decide. */
interface Settled {
  readonly parts: ReadonlyArray<Part>
  readonly open: ReadonlyArray<CompiledRule>
  readonly last: Decision
}

/** A statement that was seen once: only for one that comes again it is worth it to keep what its facts decide. */
const seen = Symbol("seen")

const makeCompiled = (rules: RoutingRules, known: Known, warnings: ReadonlyArray<LintFinding>): CompiledRules => {
  const fields = new Fields(known.databases.get(known.default)!.dialect) // lint made sure of the default Database
  const compiled = rules.rules.map((rule, i) => compileRule(rule, i + 1, fields, known))
  const index = new Index(compiled)
  const last = otherwise(rules)
  const settled = new WeakMap<StatementFacts, Settled | typeof seen>()

  /** The rules that may match, by what is quickly seen. */
  const candidatesFor = (facts: StatementFacts, parts: ReadonlyArray<Part>): ReadonlyArray<CompiledRule> => {
    let names: ReadonlyArray<string> | undefined
    return index.candidates(facts).filter(({ tables }) =>
      tables === undefined || usesOne(names ??= namesOf(parts), tables)
    )
  }

  const settle = (facts: StatementFacts): Settled => {
    const parts = partsOf(facts)
    const open: Array<CompiledRule> = []
    for (const rule of candidatesFor(facts, parts)) {
      const outcome = attempt(rule, parts, undefined)
      if (outcome === Later) open.push(rule)
      else if (outcome !== No) return { parts, open, last: outcome }
    }
    return { parts, open, last }
  }

  const decideFirst = (facts: StatementFacts, run: Run): Decision => {
    const parts = partsOf(facts)
    let isOfFacts = true
    let decision = last
    for (const rule of candidatesFor(facts, parts)) {
      isOfFacts &&= rule.dependsOn === "facts"
      const outcome = attempt(rule, parts, run)
      // A run leaves nothing open.
      if (typeof outcome !== "object") continue
      decision = outcome
      break
    }
    settled.set(facts, isOfFacts ? { parts, open: [], last: decision } : seen)
    return decision
  }

  return {
    decide: (facts, sql, params, context) => {
      let known = settled.get(facts)
      if (known === undefined) return decideFirst(facts, { sql, params, context })
      if (known === seen) settled.set(facts, known = settle(facts))
      if (known.open.length === 0) return known.last
      const run: Run = { sql, params, context }
      for (const rule of known.open) {
        const outcome = attempt(rule, known.parts, run)
        if (typeof outcome === "object") return outcome
      }
      return known.last
    },
    trace: (facts, sql, params, context) => {
      const parts = partsOf(facts)
      const run: Run = { sql, params, context }
      let winner: CompiledRule | undefined
      return compiled.map((rule): RuleTrace => {
        const { name, number } = rule
        if (winner !== undefined) {
          return { rule: name, number, matched: false, why: `not asked: rule ${winner.number} came first` }
        }
        const outcome = attempt(rule, parts, run)
        const matched = typeof outcome === "object"
        if (matched) winner = rule
        const why = matched && outcome.by === "failure" && outcome.target._tag === "Deny"
          ? outcome.target.message
          : rule.why(parts, run)
        return { rule: name, number, matched, why }
      })
    },
    dependsOn: compiled.some((rule) => rule.dependsOn === "context")
      ? "context"
      : compiled.some((rule) => rule.dependsOn === "params")
      ? "params"
      : "facts",
    warnings
  }
}

/** For each kind of statement, the rules that may match it. */
class Index {
  readonly #reads = new Map<StatementKind, ReadonlyArray<CompiledRule>>()
  readonly #others = new Map<StatementKind, ReadonlyArray<CompiledRule>>()

  constructor(private readonly rules: ReadonlyArray<CompiledRule>) {}

  candidates({ kind, replicaSafe }: StatementFacts): ReadonlyArray<CompiledRule> {
    const known = replicaSafe ? this.#reads : this.#others
    let rules = known.get(kind)
    if (rules === undefined) known.set(kind, rules = this.#select(kind, replicaSafe))
    return rules
  }

  #select(kind: StatementKind, isSafe: boolean): ReadonlyArray<CompiledRule> {
    const facts = [ofKind(kind), isSafe ? isRead : not(isRead)]
    // Of several statements each has its own kind, and a classifier may see a read where none can be.
    if (kind === "multiple" || isNever(and(...facts))) return this.rules
    return this.rules.filter(({ predicate }) => !isNever(simplify(and(predicate, ...facts))))
  }
}

const namesOf = (parts: ReadonlyArray<Part>): ReadonlyArray<string> =>
  parts.flatMap(({ facts }) => [...facts.reads, ...facts.writes].map(({ name }) => name.toLowerCase()))

const usesOne = (names: ReadonlyArray<string>, tables: ReadonlySet<string>): boolean => {
  for (let i = 0; i < names.length; i++) if (tables.has(names[i]!)) return true
  return false
}

/** Tables of which a statement must use one to match a simplified predicate. */
const requiredTables = (predicate: Predicate, dialect: Dialect): ReadonlySet<string> | undefined => {
  if (predicate._tag === "And") {
    for (const one of predicate.predicates) {
      const tables = requiredTables(one, dialect)
      if (tables !== undefined) return tables
    }
  }
  return predicate._tag === "Tables"
    ? new Set(predicate.tables.map((name) => tableNamed(dialect, name)!.name.toLowerCase())) // lint read these names
    : undefined
}

const partsOf = (facts: StatementFacts): ReadonlyArray<Part> => {
  const statements = facts.kind === "multiple" ? facts.statements : []
  return statements.length === 0
    ? [{ facts, isOneOfSeveral: false, demands: [] }]
    : statements.map((facts) => ({ facts, isOneOfSeveral: true, demands: [] }))
}

const noPolicies = { strategy: undefined, consistency: undefined } as const

const ofNoRule = { rule: "otherwise", number: undefined, ...noPolicies } as const

const otherwise = ({ otherwise }: RoutingRules): Decision =>
  otherwise === "fail"
    ? { ...ofNoRule, by: "nothing", target: Target.deny("No rule matches the statement") }
    : { ...ofNoRule, by: "otherwise", target: otherwise }

/** A rule's outcome; what its own functions throw fails the statement, for it is not known where it should go. */
const attempt = (rule: CompiledRule, parts: ReadonlyArray<Part>, run: Run | undefined): Outcome => {
  try {
    return rule.of(parts, run)
  } catch (error) {
    return failure(rule, `A function of the rule threw: ${String(error)}`)
  }
}

const failure = ({ name, number }: { readonly name: string; readonly number: number }, message: string): Decision => ({
  rule: name,
  number,
  by: "failure",
  target: Target.deny(message),
  ...noPolicies
})

const compileRule = (rule: Rule, number: number, fields: Fields, known: Known): CompiledRule => {
  const name = nameOf(rule, number)
  const { consistency, strategy } = rule
  const decisionOf = (target: Target.Target): Decision => ({
    rule: name,
    number,
    by: "rule",
    target,
    strategy,
    consistency
  })
  return rule.route._tag === "To"
    ? always(number, name, rule.predicate, rule.route.target, decisionOf(rule.route.target), fields, known)
    : chosen(number, name, rule.route, decisionOf, fields, known)
}

/** A rule with one target. */
const always = (
  number: number,
  name: string,
  predicate: Predicate,
  target: Target.Target,
  decision: Decision,
  fields: Fields,
  known: Known
): CompiledRule => {
  const isGuard = target._tag === "Deny"
  const matched = simplify(effective(predicate, target, known))
  const test = testOf(matched, fields)
  const answerOf = (parts: ReadonlyArray<Part>, run: Run | undefined): Answer => {
    if (parts.length === 1) return test.of(parts[0]!, run)
    let answer: Answer = isGuard ? No : Yes
    for (const part of parts) answer = (isGuard ? either : both)(answer, test.of(part, run))
    return answer
  }
  return {
    number,
    name,
    dependsOn: test.dependsOn,
    tables: requiredTables(matched, fields.dialect),
    predicate: matched,
    of: (parts, run) => {
      const answer = answerOf(parts, run)
      return answer === Yes ? decision : answer === Later ? Later : No
    },
    why: (parts, run) => {
      const answer = answerOf(parts, run)
      const decisive = parts.findIndex((part) => test.of(part, run) === answer)
      const why = test.why(parts[Math.max(decisive, 0)]!, run)
      const where = parts.length > 1 ? `statement ${decisive + 1}: ` : ""
      return `${where}${answer === Unknown ? "not known: " : ""}${why}`
    }
  }
}

type Choice = Exclude<Route, { readonly _tag: "To" }>

/** What a choice is made by: no statement of the text has to do with it, it cannot be told, or a target. */
type Chosen = typeof No | typeof Unknown | typeof Later | Target.Target

/** A rule with several targets. */
const chosen = (
  number: number,
  name: string,
  route: Choice,
  decisionOf: (target: Target.Target) => Decision,
  fields: Fields,
  known: Known
): CompiledRule => {
  const { choose, dependsOn, why } = route._tag === "ByField" ? byField(route, fields) : byContext(route)
  const decisions = route.targets.map(decisionOf)
  const fallback = route.otherwise === undefined ? No : decisionOf(route.otherwise)
  const declared = (target: Target.Target): Outcome =>
    decisions.find((decision) => Target.equals(decision.target, target)) ??
      failure({ name, number }, `The rule chose ${Target.render(target)}, which is not among its targets`)
  return {
    number,
    name,
    dependsOn,
    tables: undefined,
    predicate: everything,
    of: (parts, run) => {
      const target = choose(parts, run)
      if (target === No || target === Later) return target
      const outcome = target === Unknown ? fallback : declared(target)
      const isForReads = typeof outcome === "object" && isReplicaOnly(outcome.target, known)
      return isForReads && !(parts.length === 1 && parts[0]!.facts.replicaSafe) ? No : outcome
    },
    why
  }
}

interface Choosing {
  readonly dependsOn: Dependency
  readonly choose: (parts: ReadonlyArray<Part>, run: Run | undefined) => Chosen
  readonly why: (parts: ReadonlyArray<Part>, run: Run) => string
}

/** Statements of a text that have nothing to do with the field go along with those that have. */
const byField = (route: Extract<Route, { readonly _tag: "ByField" }>, fields: Fields): Choosing => {
  const ask = fields.ask(route.field)
  const choose = (parts: ReadonlyArray<Part>, run: Run | undefined): Chosen => {
    const all = new Set<Value>()
    let isConcerned = false
    for (const part of parts) {
      const demand = ask.of(part)
      if (demand._tag === "None") continue
      isConcerned = true
      const values = valuesOf(demand, parametersOf(part, run))
      if (values === Later) return Later
      if (values === undefined) return Unknown
      for (const value of values) all.add(value)
    }
    if (!isConcerned) return No
    let target: Target.Target | undefined
    for (const value of all) {
      const next = route.choose(value)
      if (next === undefined || (target !== undefined && !Target.equals(target, next))) return Unknown
      target = next
    }
    return target ?? Unknown
  }
  return {
    dependsOn: "params",
    choose,
    why: (parts, run) => {
      const why = [...new Set(parts.map((part) => describeDemand(ask.field, ask.of(part))))].join(", ")
      return choose(parts, run) === Unknown ? `${why}: no single target` : why
    }
  }
}

const byContext = (route: Extract<Route, { readonly _tag: "ByContext" }>): Choosing => {
  const choose = (_: ReadonlyArray<Part>, run: Run | undefined): Chosen =>
    run === undefined ? Later : route.choose(run.context.get) ?? Unknown
  return {
    dependsOn: "context",
    choose,
    why: (parts, run) => choose(parts, run) === Unknown ? "no target is chosen for the fiber" : "chosen for the fiber"
  }
}
