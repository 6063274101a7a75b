import type { Equality, EqualityValue, Table } from "../../StatementFacts.js"
import * as C from "./characters.js"
import { Syntax } from "./dictionary.js"
import { K, keywordsOf } from "./keywords.js"
import { foldedName } from "./names.js"
import * as Reader from "./reading.js"
import type { Reading } from "./reading.js"
import { tableAt } from "./tables.js"
import * as Token from "./tokens.js"

/** Parentheses within parentheses beyond which conditions are not looked at. */
const deepest = 32

/** Tables in a statement beyond which it is not told whose column a condition is about. */
const mostTables = 64

/**
 * The equalities that the outermost WHERE demands, or that the rows of an INSERT meet.
 *
 * What is not understood is left out, which is sound: a condition counts only if it stands between ANDs, and nothing but
 * ANDs joins it to the rest. BETWEEN keeps the AND that belongs to it.
 */
export const equalitiesOf = (reading: Reading): ReadonlyArray<Equality> => {
  const { kind, markCount, marks } = reading
  // One server runs what another skips.
  if (reading.tokens.version !== "none") return []
  if (kind === "insert") {
    const conditions = new Conditions(reading)
    conditions.inserted()
    return conditions.found
  }
  if (kind !== "select" && kind !== "update" && kind !== "delete" && kind !== "explain") return []
  let where = 0
  for (let at = 0; at < markCount * 3; at += 3) {
    switch (marks[at]) {
      case Reader.SetOperation | Reader.Outermost:
        return []
      case Reader.Where | Reader.Outermost:
        if (where !== 0) return []
        where = marks[at + 1]!
        break
      case Reader.Writes | Reader.Outermost:
        // An INSERT that is explained has no condition of its own.
        if (kind === "explain") return []
    }
  }
  if (where === 0) return []
  const conditions = new Conditions(reading)
  conditions.joined(where + 1, reading.last, 0)
  return conditions.found
}

/** The words that end a WHERE, in one dialect or another. */
const ending: ReadonlySet<number> = new Set(
  keywordsOf("group having order limit window returning for into lock procedure fetch offset")
)

/** The words that may follow the rows of an INSERT. */
const afterRows: ReadonlySet<number> = new Set([K.on, K.returning])

/** A table in the statement, and how its columns may be qualified. */
interface Use {
  readonly table: Table
  readonly alias: string
  readonly isOutermost: boolean
}

/** A value, and its last token. */
interface Found {
  readonly value: EqualityValue
  readonly last: number
}

class Conditions {
  readonly found: Array<Equality> = []
  private knownUses: ReadonlyArray<Use> | undefined
  private derived = false

  constructor(private readonly reading: Reading) {}

  /** Looks at what ANDs join from `from` on, unless there is an OR beside them up to `last`. */
  joined(from: number, last: number, level: number): void {
    const { kinds, words } = this.reading.tokens
    const cuts: Array<number> = []
    let end = last
    let depth = 0
    let cases = 0
    let betweens = 0
    for (let i = from; i <= last; i++) {
      const kind = kinds[i]
      if (kind === Token.Open) depth++
      else if (kind === Token.Close) depth--
      if (depth > 0 || (kind !== Token.Word && kind !== Token.Operator) || kinds[i - 1] === Token.Dot) continue
      const word = words[i]!
      if (this.isOr(i, word)) return
      if (word === 0 || end < last) continue
      if (word === K.case) cases++
      else if (word === K.end) cases--
      else if (word === K.between) betweens++
      else if (cases === 0 && this.isAnd(i, word)) {
        if (betweens > 0) betweens--
        else cuts.push(i)
      } else if (level === 0 && ending.has(word)) end = i - 1
    }
    cuts.push(end + 1)
    let start = from
    for (const cut of cuts) {
      this.condition(start, cut - 1, level)
      start = cut + 1
    }
  }

  private condition(from: number, to: number, level: number): void {
    const { reading } = this
    if (reading.kindAt(from) === Token.Open && level < deepest) {
      const close = reading.closing(from)
      if (close === to) return this.joined(from + 1, to - 1, level + 1)
      if (this.isEquals(close + 1) && reading.kindAt(close + 2) === Token.Open) return this.rows(from, close, to)
    }
    const end = this.columnEnd(from)
    if (end !== 0) {
      if (this.isEquals(end + 1)) {
        const value = this.valueAt(end + 2)
        if (value?.last === to) this.add(from, end, [value.value])
      } else if (reading.wordAt(end + 1) === K.in && reading.kindAt(end + 2) === Token.Open) {
        const list = this.listAt(end + 2)
        if (list?.last === to) this.add(from, end, list.values)
      }
      return
    }
    const value = this.valueAt(from)
    if (value === undefined || !this.isEquals(value.last + 1)) return
    if (this.columnEnd(value.last + 2) === to) this.add(value.last + 2, to, [value.value])
  }

  /** `(a, b) = (1, 2)` */
  private rows(from: number, close: number, to: number): void {
    const list = this.listAt(close + 2)
    if (list?.last !== to) return
    const columns: Array<readonly [number, number]> = []
    for (let i = from + 1; i < close; i += 2) {
      const end = this.columnEnd(i)
      if (end === 0 || (end + 1 < close && this.reading.kindAt(end + 1) !== Token.Comma)) return
      columns.push([i, end])
      i = end
    }
    if (columns.length !== list.values.length) return
    columns.forEach(([first, last], i) => this.add(first, last, [list.values[i]!]))
  }

  /** What all rows of an INSERT have in a column. */
  inserted(): void {
    const { reading } = this
    const { first } = reading
    if (reading.wordAt(first) !== K.insert) return
    for (let i = first + 1; reading.isName(i) && reading.wordAt(i) !== K.into; i++) {
      const word = reading.wordAt(i)
      // These change what is given, or the rows that are there.
      if (word === K.replace || (word === K.ignore && reading.dialect === "mysql")) return
    }
    const target = this.targetEnd()
    if (target === 0) return
    const columns = new Map<string, Array<EqualityValue> | undefined>()
    const end = reading.wordAt(target + 1) === K.set
      ? this.assignments(target + 2, columns)
      : this.insertedRows(target + 1, columns)
    if (end === 0 || !this.endsInsert(end)) return
    const table = this.tableOf(first, first)
    if (table === undefined) return
    for (const [column, values] of columns) if (values !== undefined) this.found.push({ table, column, values })
  }

  /** The last token of the table that rows are inserted into, with its alias; 0 if it is not found. */
  private targetEnd(): number {
    const { reading } = this
    for (let at = 0; at < reading.markCount * 3; at += 3) {
      if (reading.marks[at] !== (Reader.Writes | Reader.Outermost)) continue
      const last = reading.marks[at + 2]!
      return reading.wordAt(last + 1) === K.as && reading.isName(last + 2) ? last + 2 : last
    }
    return 0
  }

  /** `(a, b) VALUES (1, $1), (2, $2)`: the token after it, 0 if it is something else. */
  private insertedRows(open: number, columns: Map<string, Array<EqualityValue> | undefined>): number {
    const { reading } = this
    if (reading.kindAt(open) !== Token.Open) return 0
    let i = open + 1
    for (;; i += 2) {
      if (!reading.isName(i) || this.isTaken(columns, i)) return 0
      columns.set(foldedName(reading, i), [])
      const after = reading.kindAt(i + 1)
      if (after === Token.Close) break
      if (after !== Token.Comma) return 0
    }
    const verb = reading.wordAt(i + 2)
    if (verb !== K.values && !(verb === K.value && reading.dialect === "mysql")) return 0
    const names = [...columns.keys()]
    for (i += 3; reading.kindAt(i) === Token.Open; i += 2) {
      i = this.insertedRow(i + 1, names, columns)
      if (i === 0) return 0
      if (reading.kindAt(i + 1) !== Token.Comma) return i + 1
    }
    return 0
  }

  /** One row, from after its parenthesis: the one that closes it, 0 if it has other columns. */
  private insertedRow(
    from: number,
    names: ReadonlyArray<string>,
    columns: Map<string, Array<EqualityValue> | undefined>
  ): number {
    let i = from
    for (let column = 0; column < names.length; column++) {
      const end = this.itemEnd(i)
      const value = this.valueAt(i)
      const name = names[column]!
      if (value?.last === end) columns.get(name)?.push(value.value)
      else columns.set(name, undefined)
      const isLast = column === names.length - 1
      if (this.reading.kindAt(end + 1) !== (isLast ? Token.Close : Token.Comma)) return 0
      if (isLast) return end + 1
      i = end + 2
    }
    return 0
  }

  /** MySQL's `SET a = 1, b = $1`: the token after it, 0 if it is something else. */
  private assignments(from: number, columns: Map<string, Array<EqualityValue> | undefined>): number {
    const { reading } = this
    if (reading.dialect !== "mysql") return 0
    for (let i = from;;) {
      const last = this.columnEnd(i)
      if (last === 0 || this.isTaken(columns, last) || reading.tokens.text(last + 1) !== "=") return 0
      const end = this.itemEnd(last + 2)
      const value = this.valueAt(last + 2)
      columns.set(foldedName(reading, last), value?.last === end ? [value.value] : undefined)
      if (reading.kindAt(end + 1) !== Token.Comma) return end + 1
      i = end + 2
    }
  }

  /** A column that is named twice has one of both values, in SQLite. */
  private isTaken(columns: ReadonlyMap<string, unknown>, i: number): boolean {
    const name = foldedName(this.reading, i).toLowerCase()
    for (const column of columns.keys()) if (column.toLowerCase() === name) return true
    return false
  }

  /** The last token of an expression in a list. */
  private itemEnd(from: number): number {
    const { reading } = this
    let depth = 0
    for (let i = from; i <= reading.last; i++) {
      const kind = reading.kindAt(i)
      if (kind === Token.Open || kind === Token.Index) depth++
      else if (kind === Token.Close || kind === Token.Unindex) {
        if (depth-- === 0) return i - 1
      } else if (depth === 0 && (kind === Token.Comma || afterRows.has(reading.wordAt(i)))) return i - 1
    }
    return reading.last
  }

  /** Whether nothing follows the rows that may touch other ones. */
  private endsInsert(i: number): boolean {
    const { reading } = this
    if (i <= reading.last && !afterRows.has(reading.wordAt(i))) return false
    for (let j = i; j <= reading.last; j++) if (reading.wordAt(j) === K.update) return false
    return true
  }

  private add(first: number, last: number, values: ReadonlyArray<EqualityValue>): void {
    this.found.push({ table: this.tableOf(first, last), column: foldedName(this.reading, last), values })
  }

  private isOr(i: number, word: number): boolean {
    return word === K.or || word === K.xor || (this.reading.dialect === "mysql" && this.isDouble(i, C.Bar))
  }

  private isAnd(i: number, word: number): boolean {
    return word === K.and || (this.reading.dialect === "mysql" && this.isDouble(i, C.Ampersand))
  }

  /** Whether an operator is a character twice. */
  private isDouble(i: number, character: number): boolean {
    const { codes, ends, kinds, starts } = this.reading.tokens
    const start = starts[i]!
    return kinds[i] === Token.Operator && ends[i] === start + 2 && codes[start] === character &&
      codes[start + 1] === character
  }

  /** `=`, SQLite's `==`, MySQL's `<=>`. */
  private isEquals(i: number): boolean {
    const { codes, ends, kinds, starts } = this.reading.tokens
    if (kinds[i] !== Token.Operator) return false
    const start = starts[i]!
    switch (ends[i]! - start) {
      case 1:
        return codes[start] === C.Equals
      case 2:
        return codes[start] === C.Equals && codes[start + 1] === C.Equals && this.reading.dialect === "sqlite"
      case 3:
        return codes[start] === C.LessThan && codes[start + 1] === C.Equals && this.reading.dialect === "mysql"
      default:
        return false
    }
  }

  /** The last token of the column that begins at `from`; 0 if it is none. */
  private columnEnd(from: number): number {
    const { reading } = this
    if (!reading.isName(from)) return 0
    const end = reading.nameEnd(from)
    const isGrammar = end === from && (reading.dictionary.flags[reading.wordAt(from)]! & Syntax) !== 0
    return isGrammar || reading.kindAt(end + 1) === Token.Open ? 0 : end
  }

  private valueAt(i: number): Found | undefined {
    const { kinds, words } = this.reading.tokens
    switch (this.reading.kindAt(i)) {
      case Token.Parameter:
        return words[i] === 0
          ? undefined
          : { value: { _tag: "Parameter", index: words[i]! - 1 }, last: this.castEnd(i) }
      case Token.Text:
        return literal(this.textAt(i), this.castEnd(i))
      case Token.Numeric:
        return literal(this.numberAt(i), i)
      case Token.Operator: {
        const { codes, ends, starts } = this.reading.tokens
        const isMinus = codes[starts[i]!] === C.Minus && ends[i] === starts[i]! + 1
        if (!isMinus || kinds[i + 1] !== Token.Numeric) return undefined
        const value = this.numberAt(i + 1)
        return literal(value === undefined ? undefined : -value, i + 1)
      }
      case Token.Word:
        return words[i] === K.true || words[i] === K.false ? literal(words[i] === K.true, i) : undefined
    }
  }

  /** The values between the parenthesis at `open` and the one that closes it. */
  private listAt(open: number): { readonly values: ReadonlyArray<EqualityValue>; readonly last: number } | undefined {
    const values: Array<EqualityValue> = []
    for (let i = open + 1;;) {
      const found = this.valueAt(i)
      if (found === undefined) return undefined
      values.push(found.value)
      const after = this.reading.kindAt(found.last + 1)
      if (after === Token.Close) return { values, last: found.last + 1 }
      if (after !== Token.Comma) return undefined
      i = found.last + 2
    }
  }

  /** `$1::int` is still the parameter; `'ab'::char` is `a`. */
  private castEnd(i: number): number {
    const { reading } = this
    const isKept = reading.kindAt(i + 1) === Token.Cast && reading.isName(i + 2)
      && keepingTypes.has(reading.tokens.text(i + 2).toLowerCase())
    return isKept ? reading.nameEnd(i + 2) : i
  }

  /** A string's value, if it has no escapes and can be nothing but a string. */
  private textAt(i: number): string | undefined {
    const { dialect, settings, tokens } = this.reading
    const text = tokens.text(i)
    const quote = text[0]!
    const isString = quote === "'" || (quote === "\"" && settings.ansiQuotes === false)
    const hasEscapes = dialect === "mysql"
      ? settings.noBackslashEscapes !== true
      : dialect === "postgres" && settings.standardConformingStrings !== true
    if (!isString || (hasEscapes && text.includes("\\"))) return undefined
    const content = text.slice(1, -1)
    return content.includes(quote) ? content.replaceAll(quote + quote, quote) : content
  }

  /** A number in decimal digits; a `bigint` where a `number` would not be exact. */
  private numberAt(i: number): number | bigint | undefined {
    const text = this.reading.tokens.text(i)
    let isInteger = true
    for (let j = 0; j < text.length; j++) {
      const c = text.charCodeAt(j)
      if (C.isDigit(c)) continue
      if (c !== C.Point) return undefined
      isInteger = false
    }
    const value = Number(text)
    return isInteger && !Number.isSafeInteger(value) ? BigInt(text) : value
  }

  /** The table of a column. One that is used twice is not told: the condition is on one of the uses only. */
  private tableOf(first: number, last: number): Table | undefined {
    const uses = this.knownUses ??= this.findUses()
    if (uses.length > mostTables) return undefined
    const qualifier = first === last ? undefined : foldedName(this.reading, last - 2)
    const candidates = uses.filter((use) => use.isOutermost && (qualifier === undefined || use.alias === qualifier))
    const table = candidates[0]?.table
    if (table === undefined || candidates.length > 1 || (qualifier === undefined && this.derived)) return undefined
    // `schema.table.column` must name the table itself.
    if (last > first + 2 && foldedName(this.reading, last - 4) !== table.schema) return undefined
    return uses.every((use) => use.table === table || use.table.name !== table.name) ? table : undefined
  }

  private findUses(): ReadonlyArray<Use> {
    const { markCount, marks } = this.reading
    const uses: Array<Use> = []
    for (let at = 0; at < markCount * 3 && uses.length <= mostTables; at += 3) {
      const isOutermost = (marks[at]! & Reader.Outermost) !== 0
      const what = marks[at]! & ~Reader.Outermost
      if (what === Reader.Derives) this.derived ||= isOutermost
      if (what !== Reader.Reads && what !== Reader.Writes) continue
      const table = tableAt(this.reading, marks[at + 1]!, marks[at + 2]!)
      uses.push({ table, alias: this.aliasAfter(marks[at + 2]!) ?? table.name, isOutermost })
    }
    return uses
  }

  /** The alias after a table's last token, if there is one. */
  private aliasAfter(last: number): string | undefined {
    const { reading } = this
    const i = reading.wordAt(last + 1) === K.as ? last + 2 : last + 1
    return i > last + 1 || reading.isPlain(i) ? foldedName(reading, i) : undefined
  }
}

const literal = (value: string | number | bigint | boolean | undefined, last: number): Found | undefined =>
  value === undefined ? undefined : { value: { _tag: "Literal", value }, last }

/** Types whose values are what was written, or an error; others truncate, round or pad. */
const keepingTypes: ReadonlySet<string> = new Set([
  "text",
  "varchar",
  "uuid",
  "smallint",
  "int",
  "integer",
  "bigint",
  "int2",
  "int4",
  "int8",
  "bool",
  "boolean"
])
