import type { Dialect } from "../../Dialect.js"
import type { LintFinding, Predicate, RoutingRules, Rule } from "../../RoutingRules.js"
import { and, isRead, not } from "../../RoutingRules.js"
import type { Place, Target } from "../../Target.js"
import { render } from "../../Target.js"
import { databaseOf, effective, isReplicaOnly } from "./effective.js"
import { knownField, notATable, valueOf } from "./field.js"
import { implies, isNever, simplify } from "./imply.js"
import type { Known } from "./known.js"
import { tableNamed } from "./names.js"
import type { RegexFault } from "./regex.js"
import { faultsOf } from "./regex.js"

/** How a rule is called in plans, spans and findings. */
export const nameOf = (rule: Rule, number: number): string => rule.name ?? `rule ${number}: ${rule.description}`

type Severity = LintFinding["severity"]

/** A finding before it is known which rule it is about. */
interface Fault {
  readonly severity: Severity
  readonly reason: string
}

const error = (reason: string): Fault => ({ severity: "error", reason })
const warning = (reason: string): Fault => ({ severity: "warning", reason })

/** What is wrong, or seems to be, with rules. */
export const lint = (rules: RoutingRules, known: Known): ReadonlyArray<LintFinding> => {
  const standard = known.databases.get(known.default)
  if (standard === undefined) {
    return [{
      severity: "error",
      number: undefined,
      rule: "rules",
      reason: `there is no Database "${known.default}" to be the default; ${
        listed("Databases", known.databases.keys())
      }`
    }]
  }
  const linter = new Linter(known, standard.dialect)
  rules.rules.forEach((rule, i) => linter.rule(rule, i + 1))
  linter.otherwise(rules)
  return linter.findings
}

/** A rule that can be compared with others: what it really matches, simplified. */
interface Reached {
  readonly number: number
  readonly name: string
  readonly predicate: Predicate
  readonly isGuard: boolean
}

class Linter {
  readonly findings: Array<LintFinding> = []
  readonly #numbers = new Map<string, number>()
  readonly #before: Array<Reached> = []
  #mayWrite = false

  constructor(private readonly known: Known, private readonly dialect: Dialect) {}

  rule(rule: Rule, number: number): void {
    const name = nameOf(rule, number)
    const faults = [
      ...this.#ofName(rule, number),
      ...this.#ofPredicate(rule.predicate),
      ...this.#ofRoute(rule)
    ]
    if (faults.every(({ severity }) => severity === "warning")) faults.push(...this.#ofReach(rule, number, name))
    for (const fault of faults) this.findings.push({ ...fault, number, rule: name })
  }

  otherwise({ otherwise, rules }: RoutingRules): void {
    const add = (fault: Fault) => this.findings.push({ ...fault, number: undefined, rule: "otherwise" })
    if (otherwise === "fail") {
      if (rules.length === 0) add(warning("there are no rules, so every statement fails"))
      else if (!this.#mayWrite) add(warning("no rule matches writes, so every write fails"))
      return
    }
    this.#ofTarget(otherwise).forEach(add)
    const left = simplify(not(isRead))
    if (isReplicaOnly(otherwise, this.known) && this.#coverOf(left) === undefined) {
      add(error(`sends writes to ${render(otherwise)}, which takes reads only`))
    }
  }

  #ofName(rule: Rule, number: number): ReadonlyArray<Fault> {
    if (rule.name === undefined) return []
    const other = this.#numbers.get(rule.name)
    this.#numbers.set(rule.name, other ?? number)
    return other === undefined ? [] : [error(`rule ${other} has the same name`)]
  }

  #ofPredicate(predicate: Predicate): ReadonlyArray<Fault> {
    switch (predicate._tag) {
      case "And":
      case "Or":
        return predicate.predicates.flatMap((one) => this.#ofPredicate(one))
      case "Not":
        return this.#ofPredicate(predicate.predicate)
      case "Kind":
        return predicate.kinds.length === 0 ? [error("its list of kinds is empty")] : []
      case "Access":
        return predicate.access.length === 0 ? [error("its list of accesses is empty")] : []
      case "Tables":
        return predicate.tables.length === 0
          ? [error("its list of tables is empty")]
          : predicate.tables.filter((name) => tableNamed(this.dialect, name) === undefined)
            .map((name) => error(notATable(name)))
      case "WhereEquals": {
        const wrong = predicate.values.filter((value) => valueOf(value) === undefined)
        return [
          ...this.#ofField(predicate.field),
          ...(predicate.values.length === 0 ? [error(`its list of values of ${predicate.field.name} is empty`)] : []),
          ...wrong.map((value) => error(`${String(value)} equals no value of ${predicate.field.name}`))
        ]
      }
      case "Matching":
        return predicate.regex.sticky
          ? [error(`${String(predicate.regex)} is sticky: begin it with ^ in place of the flag y`)]
          : faultsOf(predicate.regex, predicate.text, this.dialect).map((fault) => regexFaults[fault](predicate.regex))
      case "Fingerprint":
        return [
          ...(predicate.fingerprints.length === 0 ? [error("its list of fingerprints is empty")] : []),
          ...predicate.fingerprints.filter((text) => text.trim() === "" || /[\n\t]|--|\/\*/.test(text)).map((text) =>
            error(`"${text}" is no fingerprint: take the one of StatementClassifier.classify(dialect, sql)`)
          )
        ]
      case "Percent":
        return [
          ...this.#ofPercent(predicate.percent),
          ...(predicate.by?._tag === "Field" ? this.#ofField(predicate.by.field) : []),
          ...(predicate.by?._tag === "Parameter" && !(Number.isInteger(predicate.by.index) && predicate.by.index >= 0)
            ? [error(`${predicate.by.index} is not the index of a parameter: they count from 0`)]
            : [])
        ]
      case "Read":
      case "Context":
      case "Time":
      case "Custom":
        return []
    }
  }

  #ofField(field: Parameters<typeof knownField>[1]): ReadonlyArray<Fault> {
    const known = knownField(this.dialect, field)
    return typeof known === "string" ? [error(known)] : []
  }

  #ofPercent(percent: number): ReadonlyArray<Fault> {
    return percent >= 0 && percent <= 100 ? [] : [error(`${percent} % is not between 0 and 100`)]
  }

  #ofRoute({ route }: Rule): ReadonlyArray<Fault> {
    if (route._tag === "To") return this.#ofTarget(route.target)
    const targets = route.otherwise === undefined ? route.targets : [...route.targets, route.otherwise]
    const faults = targets.flatMap((target) => this.#ofTarget(target))
    return [
      ...(route._tag === "ByField" ? this.#ofField(route.field) : []),
      ...(route.targets.length === 0 ? [error("its list of targets is empty")] : []),
      ...new Map(faults.map((fault) => [fault.reason, fault])).values()
    ]
  }

  #ofTarget(target: Target): ReadonlyArray<Fault> {
    switch (target._tag) {
      case "Deny":
        return []
      case "Mirrored":
        return [...this.#ofPlace(target.main), ...this.#ofPlace(target.to), ...this.#ofPercent(target.percent)]
      default:
        return this.#ofPlace(target)
    }
  }

  #ofPlace(place: Place): ReadonlyArray<Fault> {
    const { databases } = this.known
    const name = place.database ?? this.known.default
    const database = databaseOf(place, this.known)
    if (database === undefined) {
      return [error(`there is no Database "${name}"; ${listed("Databases", databases.keys())}`)]
    }
    if (database.dialect !== this.dialect) {
      return [error(
        `Database "${name}" speaks ${database.dialect}, and statements of this client are written for ${this.dialect}: `
          + `use client.database("${name}")`
      )]
    }
    const endpoints = [database.primary, ...database.replicas]
    if (place._tag === "Endpoint") {
      return endpoints.includes(place.endpoint)
        ? []
        : [error(`Database "${name}" has no endpoint "${place.endpoint}"; ${listed("endpoints", endpoints)}`)]
    }
    return place.role === "replica" && database.replicas.length === 0
      ? [warning(`Database "${name}" has no replica`)]
      : []
  }

  #ofReach(rule: Rule, number: number, name: string): ReadonlyArray<Fault> {
    if (rule.route._tag !== "To") {
      this.#mayWrite = true
      return this.#ofCover(simplify(rule.predicate), { isGuard: false, isExact: false })
    }
    const { target } = rule.route
    const predicate = simplify(effective(rule.predicate, target, this.known))
    const isGuard = target._tag === "Deny"
    if (isNever(predicate)) {
      return [error(
        isNever(simplify(rule.predicate))
          ? "no statement can match it: its conditions contradict each other"
          : `sends writes to ${render(target)}, which takes reads only`
      )]
    }
    const faults = this.#ofCover(predicate, { isGuard, isExact: true })
    this.#before.push({ number, name, predicate, isGuard })
    this.#mayWrite ||= !isNever(simplify(and(predicate, not(isRead))))
    return faults
  }

  /** Whether rules before leave a rule nothing to match; it is exact if it matches all that its predicate does. */
  #ofCover(
    predicate: Predicate,
    { isExact, isGuard }: { readonly isExact: boolean; readonly isGuard: boolean }
  ): ReadonlyArray<Fault> {
    const covers = this.#coverOf(predicate)
    if (covers === undefined) return []
    const [first, ...more] = covers
    const isSame = isExact && more.length === 0 && implies(this.dialect, first!.predicate, predicate)
    const names = covers.map(({ name, number }) =>
      name.startsWith(`rule ${number}:`) ? name : `rule ${number} (${name})`
    )
    const what = isSame
      ? `it matches the same statements as ${names[0]}, which comes first`
      : `it is never reached: ${names.join(" and ")} ${
        more.length > 0 ? "match" : "matches"
      } every statement that it would`
    // A rule that denies is asked about each statement of a text; the rules before only about all of them.
    return isGuard && covers.some((cover) => !cover.isGuard)
      ? [warning(`${what}, save in texts with several statements`)]
      : [error(what)]
  }

  /** The rules before that match whatever matches: one of them, or one for its reads and one for the rest. */
  #coverOf(predicate: Predicate): ReadonlyArray<Reached> | undefined {
    const one = this.#before.find((before) => implies(this.dialect, predicate, before.predicate))
    if (one !== undefined) return [one]
    const covers: Array<Reached> = []
    for (const half of [isRead, not(isRead)]) {
      const part = simplify(and(predicate, half))
      if (isNever(part)) continue
      const cover = this.#before.find((before) => implies(this.dialect, part, before.predicate))
      if (cover === undefined) return undefined
      covers.push(cover)
    }
    return covers.length === 0 ? undefined : covers.toSorted((a, b) => a.number - b.number)
  }
}

const listed = (what: string, names: Iterable<string>): string => `known ${what}: ${[...names].join(", ")}`

const regexFaults: { readonly [fault in RegexFault]: (regex: RegExp) => Fault } = {
  never: (regex) => error(`${String(regex)} matches no text: what it demands cannot stand together`),
  exponential: (regex) =>
    error(`${String(regex)} may take exponential time: a loop in it can match the same text in several ways`),
  quotedOnly: (regex) =>
    warning(
      `${String(regex)} matches nothing outside quoted names: the normalised text has keywords in lower case, single `
        + `blanks, and ? for values; write it so, add the flag i, or match the raw text`
    ),
  unreadable: (regex) => warning(`${String(regex)} could not be checked for exponential time`)
}
