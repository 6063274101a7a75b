import type { Dialect } from "../Dialect.js"
import { mysql } from "../internal/classifier/mysql.js"
import { postgres } from "../internal/classifier/postgres.js"
import type { Settings } from "../internal/classifier/settings.js"
import { sqlite } from "../internal/classifier/sqlite.js"
import * as Token from "../internal/classifier/tokens.js"

/** One statement of a file: from its first token to its last, so that comments around it are not part of it. */
export interface SplitStatement {
  readonly sql: string
  /** Where it begins; counts from 1. */
  readonly line: number
  readonly column: number
}

const languages = { postgres, mysql, sqlite }

/** Settings that servers have unless they were told otherwise. */
const settings: Settings = {
  unknownFunctions: "primary",
  catalogQueries: "replica",
  functions: new Map(),
  standardConformingStrings: true,
  noBackslashEscapes: undefined,
  ansiQuotes: undefined
}

/**
 * The statements of a text, as the dialect's lexer finds them: a semicolon in a string, a comment, a dollar quote,
 * parentheses or the body of a routine does not end one. Where the text cannot be read any further (a quote without end),
 * all the rest belongs to the last one, which is then not known to be a read.
 */
export const split = (dialect: Dialect, text: string): ReadonlyArray<SplitStatement> => {
  const tokens = new Token.Tokens()
  languages[dialect](settings).lex(tokens, text, 0)
  const { ends, kinds, last, starts } = tokens
  const statements: Array<SplitStatement> = []
  let line = 1
  let lineStart = 0
  const add = (from: number, to: number) => {
    if (from > to) return
    const start = starts[from]!
    const end = kinds[to] === Token.Bad ? text.length : ends[to]!
    for (let next = text.indexOf("\n", lineStart); next >= 0 && next < start; next = text.indexOf("\n", lineStart)) {
      line++
      lineStart = next + 1
    }
    statements.push({ sql: text.slice(start, end).trimEnd(), line, column: start - lineStart + 1 })
  }
  let first = 1
  let parentheses = 0
  for (let i = 1; i <= last; i++) {
    if (i === first && isRoutine(tokens, first)) i = routineEnd(tokens, first)
    const kind = kinds[i]
    if (kind === Token.Open) parentheses++
    else if (kind === Token.Close) parentheses--
    else if (kind === Token.Semicolon && parentheses <= 0) {
      add(first, i - 1)
      first = i + 1
      parentheses = 0
    }
  }
  add(first, last)
  return statements
}

const wordAt = (tokens: Token.Tokens, i: number): string =>
  i <= tokens.last && tokens.kinds[i] === Token.Word ? tokens.text(i).toLowerCase() : ""

const routines: ReadonlySet<string> = new Set(["function", "procedure", "trigger", "event", "package"])

/** How far the name of what is created may be from CREATE: `CREATE DEFINER = a@b AGGREGATE FUNCTION`. */
const reach = 12

const isRoutine = (tokens: Token.Tokens, first: number): boolean => {
  if (wordAt(tokens, first) !== "create") return false
  for (let i = first + 1; i < first + reach && tokens.kinds[i] !== Token.Semicolon; i++) {
    if (routines.has(wordAt(tokens, i))) return true
  }
  return false
}

const blocks: ReadonlySet<string> = new Set(["if", "loop", "while", "repeat", "for"])

/** The semicolon after a routine, whose body may be a block with semicolons of its own: BEGIN … END. */
const routineEnd = (tokens: Token.Tokens, first: number): number => {
  let depth = 0
  for (let i = first; i <= tokens.last; i++) {
    if (tokens.kinds[i] === Token.Semicolon && depth === 0) return i
    const word = wordAt(tokens, i)
    if (word === "begin" || word === "case") depth++
    else if (word === "end") {
      const next = wordAt(tokens, i + 1)
      // `END IF;` ends what was not counted, `END CASE;` what was.
      if (!blocks.has(next) && depth > 0) depth--
      if (next === "case") i++
    }
  }
  return tokens.last + 1
}
