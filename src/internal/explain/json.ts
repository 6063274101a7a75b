import type { Explanation, Json } from "../../Explanation.js"
import type { StatementFacts } from "../../StatementFacts.js"

type JsonObject = { readonly [name: string]: Json }

export const json = ({ facts, plan, policies, rules, sql }: Explanation): JsonObject =>
  object({ sql, facts: factsOf(facts), plan, chosen: plan.candidates[0], rules, policies })

/** Named one by one, since those of a classifier may be getters of its class. */
const factsOf = (facts: StatementFacts): JsonObject =>
  object({
    kind: facts.kind,
    access: facts.access,
    replicaSafe: facts.replicaSafe,
    why: facts.why,
    reads: facts.reads,
    writes: facts.writes,
    equalities: facts.equalities,
    locks: facts.locks,
    functions: facts.functions,
    sessionEffects: facts.sessionEffects,
    statements: facts.statements.map(factsOf),
    transaction: facts.transaction,
    fingerprint: facts.fingerprint
  })

export const object = (value: object): JsonObject =>
  Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== undefined).map(([name, inner]) => [name, plain(inner)])
  )

const plain = (value: unknown): Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
    case "object":
      return value === null ? null : Array.isArray(value) ? value.map(plain) : object(value)
    default:
      return null
  }
}
