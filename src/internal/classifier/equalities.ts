import type { Equality, EqualityValue, Table } from "../../StatementFacts.js"
import { Syntax } from "./dictionary.js"
import { K } from "./keywords.js"
import { foldedName } from "./names.js"
import * as Reader from "./reading.js"
import type { Reading } from "./reading.js"
import { isSame, tableAt } from "./tables.js"
import * as Token from "./tokens.js"

/** Parentheses within parentheses beyond which conditions are not looked at. */
const deepest = 32

/**
 * The equalities that the outermost WHERE demands.
 *
 * What is not understood is left out, which is sound: a condition counts only if it stands between ANDs, and nothing but
 * ANDs joins it to the rest. BETWEEN keeps the AND that belongs to it.
 */
export const equalitiesOf = (reading: Reading): ReadonlyArray<Equality> => {
  const { kind, markCount, marks } = reading
  if (kind !== "select" && kind !== "update" && kind !== "delete" && kind !== "explain") return []
  let where = 0
  for (let at = 0; at < markCount * 3; at += 3) {
    if (marks[at] === (Reader.SetOperation | Reader.Outermost)) return []
    if (marks[at] === (Reader.Where | Reader.Outermost)) {
      if (where !== 0) return []
      where = marks[at + 1]!
    }
  }
  if (where === 0) return []
  const found: Array<Equality> = []
  const columns = columnsOf(reading)
  conjuncts(reading, where + 1, whereEnd(reading, where + 1), reading.last, columns, found, 0)
  return found
}

/** The words that end a WHERE, in one dialect or another. */
const ends: ReadonlySet<number> = new Set([
  K.group,
  K.having,
  K.order,
  K.limit,
  K.window,
  K.returning,
  K.for,
  K.into,
  K.lock,
  K.procedure,
  K.fetch,
  K.offset
])

const whereEnd = (reading: Reading, from: number): number => {
  let depth = 0
  for (let i = from; i <= reading.last; i++) {
    const kind = reading.kindAt(i)
    if (kind === Token.Open) depth++
    else if (kind === Token.Close) depth--
    else if (depth === 0 && kind === Token.Word && ends.has(reading.wordAt(i)) && reading.kindAt(i - 1) !== Token.Dot) {
      return i - 1
    }
  }
  return reading.last
}

/**
 * Looks at what the ANDs between `from` and `to` join, unless there is an OR at their depth up to `last`.
 */
const conjuncts = (
  reading: Reading,
  from: number,
  to: number,
  last: number,
  columns: Columns,
  found: Array<Equality>,
  level: number
): void => {
  const cuts: Array<number> = []
  let depth = 0
  let cases = 0
  let betweens = 0
  for (let i = from; i <= last; i++) {
    const kind = reading.kindAt(i)
    if (kind === Token.Open) depth++
    else if (kind === Token.Close) depth--
    else if (depth === 0 && reading.kindAt(i - 1) !== Token.Dot) {
      const word = reading.wordAt(i)
      if (isOr(reading, i, word)) return
      if (i > to) continue
      if (word === K.case) cases++
      else if (word === K.end) cases--
      else if (word === K.between) betweens++
      else if (isAnd(reading, i, word) && cases === 0) {
        if (betweens > 0) betweens--
        else cuts.push(i)
      }
    }
  }
  cuts.push(to + 1)
  let start = from
  for (const cut of cuts) {
    condition(reading, start, cut - 1, columns, found, level)
    start = cut + 1
  }
}

const isOr = (reading: Reading, i: number, word: number): boolean =>
  word === K.or || word === K.xor || (reading.language.dialect === "mysql" && isOperator(reading, i, "||"))

const isAnd = (reading: Reading, i: number, word: number): boolean =>
  word === K.and || (reading.language.dialect === "mysql" && isOperator(reading, i, "&&"))

const isOperator = (reading: Reading, i: number, text: string): boolean => {
  const { ends, kinds, sql, starts } = reading.tokens
  return kinds[i] === Token.Operator && starts[i]! + text.length === ends[i] && sql.startsWith(text, starts[i])
}

const condition = (
  reading: Reading,
  from: number,
  to: number,
  columns: Columns,
  found: Array<Equality>,
  level: number
): void => {
  if (reading.kindAt(from) === Token.Open && level < deepest) {
    const close = reading.closing(from)
    if (close === to) return conjuncts(reading, from + 1, to - 1, to - 1, columns, found, level + 1)
    if (isEquals(reading, close + 1) && reading.kindAt(close + 2) === Token.Open) {
      return rows(reading, from, close, to, columns, found)
    }
  }
  const end = columnEnd(reading, from)
  if (end !== 0) {
    if (isEquals(reading, end + 1)) {
      const value = valueAt(reading, end + 2)
      if (value?.last === to) found.push({ ...columns(from, end), values: [value.value] })
    } else if (reading.wordAt(end + 1) === K.in && reading.kindAt(end + 2) === Token.Open) {
      const values = listAt(reading, end + 2)
      if (values?.last === to) found.push({ ...columns(from, end), values: values.values })
    }
    return
  }
  const value = valueAt(reading, from)
  if (value === undefined || !isEquals(reading, value.last + 1)) return
  const last = columnEnd(reading, value.last + 2)
  if (last === to) found.push({ ...columns(value.last + 2, last), values: [value.value] })
}

/** `(a, b) = (1, 2)` */
const rows = (
  reading: Reading,
  from: number,
  close: number,
  to: number,
  columns: Columns,
  found: Array<Equality>
): void => {
  const values = listAt(reading, close + 2)
  if (values?.last !== to) return
  const equalities: Array<Equality> = []
  for (let i = from + 1; i < close; i += 2) {
    const end = columnEnd(reading, i)
    const value = values.values[equalities.length]
    if (end === 0 || value === undefined) return
    equalities.push({ ...columns(i, end), values: [value] })
    i = end
    if (i + 1 < close && reading.kindAt(i + 1) !== Token.Comma) return
  }
  if (equalities.length === values.values.length) found.push(...equalities)
}

const isEquals = (reading: Reading, i: number): boolean =>
  isOperator(reading, i, "=") ||
  (reading.language.dialect === "mysql" && isOperator(reading, i, "<=>")) ||
  (reading.language.dialect === "sqlite" && isOperator(reading, i, "=="))

/** The last token of the column that begins at `from`; 0 if it is none. */
const columnEnd = (reading: Reading, from: number): number => {
  if (!reading.isName(from)) return 0
  const end = reading.nameEnd(from)
  const isGrammar = end === from && (reading.language.dictionary.flags[reading.wordAt(from)]! & Syntax) !== 0
  return isGrammar || reading.kindAt(end + 1) === Token.Open ? 0 : end
}

interface Found {
  readonly value: EqualityValue
  readonly last: number
}

const valueAt = (reading: Reading, i: number): Found | undefined => {
  const { kinds, words } = reading.tokens
  switch (reading.kindAt(i)) {
    case Token.Parameter:
      if (words[i] === 0) return undefined
      return { value: { _tag: "Parameter", index: words[i]! - 1 }, last: castEnd(reading, i) }
    case Token.Text: {
      const value = textOf(reading, i)
      return value === undefined ? undefined : literal(value, castEnd(reading, i))
    }
    case Token.Numeric: {
      const value = numberOf(reading.tokens.text(i))
      return value === undefined ? undefined : literal(value, i)
    }
    case Token.Operator: {
      if (!isOperator(reading, i, "-") || kinds[i + 1] !== Token.Numeric) return undefined
      const value = numberOf(reading.tokens.text(i + 1))
      return value === undefined ? undefined : literal(-value, i + 1)
    }
    case Token.Word:
      if (words[i] === K.true || words[i] === K.false) return literal(words[i] === K.true, i)
  }
}

const literal = (value: string | number | bigint | boolean, last: number): Found => ({
  value: { _tag: "Literal", value },
  last
})

/** The values between the parenthesis at `open` and the one that closes it. */
const listAt = (
  reading: Reading,
  open: number
): { readonly values: ReadonlyArray<EqualityValue>; readonly last: number } | undefined => {
  const values: Array<EqualityValue> = []
  for (let i = open + 1;;) {
    const found = valueAt(reading, i)
    if (found === undefined) return undefined
    values.push(found.value)
    const after = reading.kindAt(found.last + 1)
    if (after === Token.Close) return { values, last: found.last + 1 }
    if (after !== Token.Comma) return undefined
    i = found.last + 2
  }
}

/** `$1::int` is still the parameter. */
const castEnd = (reading: Reading, i: number): number =>
  reading.kindAt(i + 1) === Token.Cast && reading.isName(i + 2) ? reading.nameEnd(i + 2) : i

/** A string's value, if it has no escapes and can be nothing but a string. */
const textOf = (reading: Reading, i: number): string | undefined => {
  const text = reading.tokens.text(i)
  const quote = text[0]!
  const { ansiQuotes, noBackslashEscapes, standardConformingStrings } = reading.settings
  const isString = quote === "'" || (quote === "\"" && ansiQuotes === false)
  const hasEscapes = reading.language.dialect === "mysql"
    ? noBackslashEscapes !== true
    : reading.language.dialect === "postgres" && standardConformingStrings !== true
  if (!isString || (hasEscapes && text.includes("\\"))) return undefined
  const content = text.slice(1, -1)
  return content.includes(quote) ? content.replaceAll(quote + quote, quote) : content
}

const numberOf = (text: string): number | bigint | undefined => {
  let isInteger = true
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c >= 48 && c <= 57) continue
    if (c !== 46) return undefined
    isInteger = false
  }
  const value = Number(text)
  return isInteger && !Number.isSafeInteger(value) ? BigInt(text) : value
}

/** What a column's name, with its qualifier, stands for. */
type Columns = (first: number, last: number) => { readonly table: Table | undefined; readonly column: string }

/** Resolves qualifiers by the outermost FROM. A table that is used twice is not told: the condition is on one use only. */
const columnsOf = (reading: Reading): Columns => {
  const { markCount, marks } = reading
  const used: Array<{ readonly table: Table; readonly alias: string; readonly isOutermost: boolean }> = []
  let derived = false
  for (let at = 0; at < markCount * 3; at += 3) {
    const isOutermost = (marks[at]! & Reader.Outermost) !== 0
    const what = marks[at]! & ~Reader.Outermost
    if (what === Reader.Derives) derived ||= isOutermost
    if (what !== Reader.Reads && what !== Reader.Writes) continue
    const last = marks[at + 2]!
    const table = tableAt(reading, marks[at + 1]!, last)
    used.push({ table, alias: aliasAfter(reading, last) ?? table.name, isOutermost })
  }
  const outermost = used.filter((use) => use.isOutermost)
  const uses = countBy(used.map((use) => use.table.name))
  const aliases = countBy(outermost.map((use) => use.alias))
  const byAlias = new Map(outermost.map((use) => [use.alias, use.table]))
  const only = outermost.length === 1 && !derived ? outermost[0]!.table : undefined
  const told = (table: Table | undefined): Table | undefined =>
    table !== undefined && uses.get(table.name) === 1 ? table : undefined
  return (first, last) => {
    const column = foldedName(reading, last)
    if (first === last) return { table: told(only), column }
    const qualifier = foldedName(reading, last - 2)
    const table = byAlias.get(qualifier)
    if (aliases.get(qualifier) !== 1 || table === undefined) return { table: undefined, column }
    // `schema.table.column` names the table itself.
    const isNamed = last === first + 2 || isSame(tableAt(reading, first, last - 2), table)
    return { table: isNamed ? told(table) : undefined, column }
  }
}

const countBy = (names: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** The alias after a table's last token, if there is one. */
const aliasAfter = (reading: Reading, last: number): string | undefined => {
  const i = reading.wordAt(last + 1) === K.as ? last + 2 : last + 1
  return i > last + 1 || reading.isPlain(i) ? foldedName(reading, i) : undefined
}
