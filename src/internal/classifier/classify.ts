import type { Access, StatementFacts } from "../../StatementFacts.js"
import { type CacheLimits, makeCache } from "./cache.js"
import { Facts, type Source } from "./facts.js"
import { isRoutine } from "./heads.js"
import { type Language, OtherStrings, SkippedComments } from "./language.js"
import { QueryReading } from "./query.js"
import { strength } from "./reading.js"
import * as Token from "./tokens.js"

export interface Classifier {
  readonly classify: (sql: string) => StatementFacts
  readonly learn: Language["learner"]["learn"]
}

/** The classifier of one language: total, whatever the text. */
export const classifierOf = (language: Language, limits: CacheLimits): Classifier => {
  const reading = new QueryReading(language)
  const { tokens } = reading

  const read = (sql: string, variant = 0): void => {
    reading.owner = undefined
    language.lex(tokens, sql, variant)
    readTokens(reading)
  }

  const factsOf = (): Facts => {
    const { access, kind, reason, reasonFrom, reasonTo } = reading
    const isSafe = access === "read" && kind !== "multiple" && kind !== "empty"
    const from = tokens.starts[reasonFrom]!
    return new Facts(kind, access, isSafe, source, tokens.sql, reason, from, Math.max(from, tokens.ends[reasonTo]!))
  }

  const classify = (sql: string): StatementFacts => {
    read(sql)
    const { version } = tokens
    const variants = (tokens.ambiguous && language.mayReadOtherwise ? OtherStrings : 0) |
      (version === "none" ? 0 : SkippedComments)
    const facts = factsOf()
    if (variants === 0 || !facts.replicaSafe) {
      reading.owner = facts
      return facts
    }
    for (let variant = 1; variant <= variants; variant++) {
      if ((variant & variants) !== variant) continue
      read(sql, variant)
      if (tokens.version !== version) reading.decide("unknown", "executable comments of several versions", 1)
      const other = factsOf()
      if (!other.replicaSafe) return other
    }
    return facts
  }

  const split = (sql: string): ReadonlyArray<StatementFacts> => {
    language.lex(tokens, sql, 0)
    reading.owner = undefined
    const texts = statementsOf(reading.tokens).map(([first, last]) =>
      sql.slice(tokens.starts[first], tokens.ends[last])
    )
    return texts.map(classify)
  }

  const source: Source = { reading, read, split }
  const cache = makeCache(limits, classify)
  return {
    classify: cache.get,
    learn: (learnt) => {
      language.learner.learn(learnt)
      cache.clear()
    }
  }
}

/** The first and the last token of each statement that is not empty. */
const statementsOf = (tokens: Token.Tokens): ReadonlyArray<readonly [number, number]> => {
  const { kinds, last } = tokens
  const statements: Array<readonly [number, number]> = []
  let first = 1
  for (let i = 1; i <= last + 1; i++) {
    if (i <= last && kinds[i] !== Token.Semicolon) continue
    if (i > first) statements.push([first, i - 1])
    first = i + 1
  }
  return statements
}

/** Reads the tokens as a statement or, if there are several, notes the strongest access among them. */
const readTokens = (reading: QueryReading): void => {
  const { kinds } = reading.tokens
  let first = 1
  let { last } = reading.tokens
  while (kinds[first] === Token.Semicolon) first++
  while (last > first && kinds[last] === Token.Semicolon) last--
  if (first > last) return reading.nothing()
  reading.first = first
  reading.last = last
  const semicolon = reading.tokens.sql.includes(";") ? kinds.indexOf(Token.Semicolon, first) : -1
  if (semicolon < 0 || semicolon > last || isRoutine(reading)) return reading.read(first, last)
  let access: Access = "read"
  for (const [from, to] of statementsOf(reading.tokens)) {
    reading.read(from, to)
    if (strength[reading.access] > strength[access]) access = reading.access
  }
  reading.several(access, first, last, semicolon)
}
