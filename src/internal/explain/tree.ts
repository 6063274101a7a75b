import type { Explanation, PolicyInForce } from "../../Explanation.js"
import type { Plan, PlanConsistency, Refusal } from "../../Plan.js"
import type { RuleTrace } from "../../RoutingRules.js"
import type { Access, StatementFacts, Table } from "../../StatementFacts.js"
import { excerpt, type Shown } from "./excerpt.js"

type Paint = "plain" | "good" | "bad" | "faint"

/** A line before it is wrapped; what it wraps to is indented by `hang`. */
interface Line {
  readonly text: string
  readonly paint: Paint
  readonly hang: number
}

interface Section {
  readonly label: string
  readonly lines: ReadonlyArray<Line>
}

const none: Section = { label: "", lines: [] }

const line = (text: string, paint: Paint = "plain", hang = 0): Line => ({ text, paint, hang })

/** An explanation as a tree: the statement with what decided marked, and a branch for each part of the answer. */
export const tree = (explanation: Explanation, color: boolean, width: number): string => {
  const { facts, plan, policies, rules, sql } = explanation
  const paint = color ? painted : (text: string) => text
  const sections = [
    statementOf(facts),
    rulesOf(rules),
    rules.some(({ matched }) => matched) ? none : deciderOf(plan),
    plan.refusal === undefined ? destinationOf(plan) : refusalOf(plan, plan.refusal),
    excludedOf(plan),
    plan.refusal === undefined ? retryOf(plan) : none,
    policiesOf(policies)
  ].filter(({ lines }) => lines.length > 0)

  const labels = Math.max(...sections.map(({ label }) => label.length))
  const room = width - labels - 5
  const body = sections.flatMap(({ label, lines }, i) => {
    const isLast = i === sections.length - 1
    const wrapped = lines.flatMap((line) => wrap(line, room))
    return wrapped.map(({ text, paint: how }, j) => {
      const branch = j > 0 ? isLast ? "  " : "│ " : isLast ? "└─" : "├─"
      return `${paint(branch, "faint")} ${(j === 0 ? label : "").padEnd(labels)}  ${paint(text, how)}`
    })
  })
  const head = excerpt(sql, facts.why, width).map(({ kind, text }) => paint(text, paintOf(kind, facts)))
  return [...head, paint("│", "faint"), ...body].join("\n")
}

const paintOf = (kind: Shown["kind"], facts: StatementFacts): Paint =>
  kind === "text" ? "plain" : kind === "gap" ? "faint" : facts.replicaSafe ? "good" : "bad"

const codes: { readonly [paint in Exclude<Paint, "plain">]: number } = { good: 32, bad: 31, faint: 2 }

const painted = (text: string, paint: Paint): string =>
  paint === "plain" || text.trim() === "" ? text : `\u001b[${codes[paint]}m${text}\u001b[0m`

const wrap = ({ hang, paint, text }: Line, width: number): ReadonlyArray<Line> => {
  const lines: Array<string> = []
  let rest = text.replace(/\s*\n\s*/g, " ")
  for (let indent = "";; indent = " ".repeat(hang)) {
    if (indent.length + rest.length <= width) {
      lines.push(indent + rest)
      return lines.map((text) => ({ text, paint, hang }))
    }
    const room = width - indent.length
    // The blanks that a line begins with, and those within a name, are no place to break it.
    const start = rest.length - rest.trimStart().length
    const inRoom = rest.lastIndexOf(" ", room)
    const at = inRoom > start ? inRoom : rest.indexOf(" ", room)
    if (at < 0) {
      lines.push(indent + rest)
      return lines.map((text) => ({ text, paint, hang }))
    }
    lines.push(indent + rest.slice(0, at).trimEnd())
    rest = rest.slice(at + 1).trimStart()
  }
}

const accesses: { readonly [access in Access]: string } = {
  read: "a read that only the primary may answer",
  write: "a write",
  lock: "takes locks",
  session: "depends on its session",
  transaction: "transaction control",
  admin: "administration",
  unknown: "not recognised as a read"
}

const isWhat = ({ access, kind, replicaSafe }: StatementFacts): string =>
  kind === "empty"
    ? "empty"
    : `${kind === "multiple" ? "several statements" : kind}, ${replicaSafe ? "a confirmed read" : accesses[access]}`

const statementOf = (facts: StatementFacts): Section => {
  const details: ReadonlyArray<readonly [label: string, values: ReadonlyArray<string>]> = [
    ["reads", facts.reads.map(tableName)],
    ["writes", facts.writes.map(tableName)],
    ["locks", facts.locks.map((lock) => `for ${lock}`)],
    ["calls", facts.functions],
    [
      "session",
      facts.sessionEffects.map(({ change, name, state }) => `${change} ${state}${name === undefined ? "" : ` ${name}`}`)
    ]
  ]
  return {
    label: "statement",
    lines: [
      line(isWhat(facts), facts.replicaSafe ? "good" : "plain"),
      ...facts.statements.map((one, i) => line(`${i + 1}. ${isWhat(one)}: ${one.why.reason}`, "plain", 3)),
      ...details.filter(([, values]) => values.length > 0).map(([label, values]) =>
        line(`${label.padEnd(9)}${values.join(", ")}`, "plain", 9)
      )
    ]
  }
}

const tableName = ({ name, schema }: Table): string => schema === undefined ? name : `${schema}.${name}`

/** What a rule is called, with its number. */
const ruleName = ({ number, rule }: RuleTrace): string =>
  rule.startsWith(`rule ${number}:`) ? rule : `rule ${number}: ${rule}`

/** The rules that were asked; of those after the one that matched, how many there are is enough. */
const rulesOf = (rules: ReadonlyArray<RuleTrace>): Section => {
  const winner = rules.findIndex(({ matched }) => matched)
  const asked = winner < 0 ? rules : rules.slice(0, winner + 1)
  const left = rules.length - asked.length
  return {
    label: "rules",
    lines: [
      ...asked.flatMap((trace) => [
        line(`${trace.matched ? "✓" : "✗"} ${ruleName(trace)}`, trace.matched ? "good" : "plain", 4),
        line(`  ${trace.why}`, "faint", 4)
      ]),
      ...(rules.length > 0 && winner < 0 ? [line("no rule matched")] : []),
      ...(left > 0 ? [line(`· ${left} more ${left === 1 ? "rule was" : "rules were"} not asked`, "faint", 2)] : [])
    ]
  }
}

/** Who decided, where no rule did: an override, or what holds without rules. */
const deciderOf = ({ rule }: Plan): Section => ({ label: "by", lines: [line(rule)] })

/** How a replica comes to be fresh enough. */
const means: { readonly [by in PlanConsistency["by"]]: string } = {
  cachedPosition: "a replica that is known to be there",
  guard: "a replica that tells with its answer that it is there",
  wait: "a replica that was waited for",
  lag: "a replica that lags by so little",
  sameReplica: "the replica that has served the session before",
  primary: "the primary"
}

const freshnessOf = ({ by, fallback, level, position }: PlanConsistency): string =>
  `level ${level}${position === undefined ? "" : `, position ${position}`}: ${means[by]}${
    fallback === undefined ? "" : ` (${fallback})`
  }`

const destinationOf = ({ access, candidates, consistency, database, leavesSession, reason }: Plan): Section => ({
  label: "goes to",
  lines: [
    line(`database ${database}: ${reason}`),
    ...candidates.map(({ endpoints, isFallback, role }, i) => {
      const where = endpoints.length === 1 && endpoints[0] === role
        ? role
        : `${role}: ${endpoints.join(endpoints.length > 2 ? ", " : " or ")}`
      return line(`${i + 1}. ${where}${isFallback ? ", as a fallback" : ""}`, i === 0 ? "good" : "plain", 3)
    }),
    ...(consistency === undefined ? [] : [line(freshnessOf(consistency))]),
    ...(access === "readOnly" ? [line("on a connection for reads")] : []),
    ...(leavesSession ? [line("on a connection that is not lent to others afterwards")] : [])
  ]
})

const refusalOf = ({ database }: Plan, { message, reason }: Refusal): Section => ({
  label: "refused",
  lines: [line(message, "bad"), line(`${reason}, database ${database}`, "faint")]
})

const excludedOf = ({ excluded }: Plan): Section => ({
  label: "not to",
  lines: excluded.map(({ endpoint, reason }) => line(`${endpoint}: ${reason}`, "plain", 2))
})

const retries: { readonly [retry in Plan["retry"]]: string } = {
  read: "elsewhere, for a read changes nothing",
  write: "if the server never got it, refused it, or rolled it back for certain",
  unsentOnly: "if the server never got it, or refused it",
  never: "never"
}

const retryOf = ({ retry }: Plan): Section => ({ label: "again", lines: [line(retries[retry])] })

const policiesOf = (policies: ReadonlyArray<PolicyInForce>): Section => {
  const names = Math.max(...policies.map(({ policy }) => policy.length))
  return {
    label: "policies",
    lines: policies.map(({ policy, source, value }) =>
      line(`${policy.padEnd(names)}  ${value} (${source})`, source === "default" ? "faint" : "plain", names + 2)
    )
  }
}
