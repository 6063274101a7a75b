import type { Dialect } from "../../Dialect.js"
import type { Field, Value } from "../../RoutingRules.js"
import type { Equality, EqualityValue, StatementFacts, StatementKind, Table } from "../../StatementFacts.js"
import type { Answer } from "./answer.js"
import { either, Later, No, Unknown, Yes } from "./answer.js"
import { isColumn, isNamed, partsOf, renderTable, tableNamed } from "./names.js"

/** A field of a rule, with its names as the server would look them up. */
export interface KnownField {
  readonly name: string
  readonly column: string
  /** `undefined` for every table. */
  readonly tables: ReadonlyArray<Table> | undefined
}

/** A field's names; or what is wrong with them. */
export const knownField = (dialect: Dialect, field: Field): KnownField | string => {
  const parts = partsOf(dialect, field.name)
  if (parts === undefined || parts.length > 3) return `"${field.name}" is not the name of a column`
  const column = parts.at(-1)!
  if (parts.length > 1) {
    if (field.tables !== undefined) return `"${field.name}" names its table, so tables cannot be given beside it`
    return { name: field.name, column, tables: [{ schema: parts.at(-3), name: parts.at(-2)! }] }
  }
  if (field.tables === undefined) return { name: field.name, column, tables: undefined }
  if (field.tables.length === 0) return `the list of tables that have "${field.name}" is empty`
  const tables: Array<Table> = []
  for (const name of field.tables) {
    const table = tableNamed(dialect, name)
    if (table === undefined) return notATable(name)
    tables.push(table)
  }
  return { name: field.name, column, tables }
}

export const notATable = (name: string): string =>
  `"${name}" is not the name of a table: write orders, shop.orders or "Shop"."Orders"`

/** Kinds of which the facts tell every table that the text names. */
const kindsWithKnownTables: ReadonlySet<StatementKind> = new Set<StatementKind>([
  "select",
  "values",
  "insert",
  "update",
  "delete",
  "replace",
  "merge",
  "truncate",
  "explain",
  "copy",
  "transaction",
  "set",
  "show",
  "notify",
  "lock",
  "empty"
])

export const tablesAreKnown = (facts: StatementFacts): boolean => kindsWithKnownTables.has(facts.kind)

/**
 * What a statement demands of a field.
 *
 * - `None`: it uses no table that has the field.
 * - `Open`: it may concern rows with any value; `table` is one of which nothing is demanded.
 * - `Pinned`: for each table that has the field, the equalities that all rows meet; it is late if parameters are in them.
 */
export type Demand =
  | { readonly _tag: "None" }
  | { readonly _tag: "Open"; readonly table: Table | undefined }
  | { readonly _tag: "Pinned"; readonly tables: ReadonlyArray<Pinned>; readonly isLate: boolean }

interface Pinned {
  readonly table: Table
  readonly equalities: ReadonlyArray<Equality>
}

const none: Demand = { _tag: "None" }
const open: Demand = { _tag: "Open", table: undefined }

export const demandOf = (dialect: Dialect, field: KnownField, facts: StatementFacts): Demand => {
  const pinned: Array<Pinned> = []
  let isCertain = false
  for (const tables of [facts.reads, facts.writes]) {
    for (const table of tables) {
      const has = field.tables === undefined ? Yes : hasTable(dialect, field.tables, table)
      if (has === No) continue
      if (has === Yes) isCertain = true
      const equalities = facts.equalities.filter((equality) =>
        equality.table !== undefined && equality.table.name === table.name && equality.table.schema === table.schema &&
        isColumn(dialect, field.column, equality.column)
      )
      if (equalities.length === 0) return { _tag: "Open", table }
      pinned.push({ table, equalities })
    }
  }
  if (pinned.length === 0) return tablesAreKnown(facts) ? none : open
  if (!isCertain) return open
  const isLate = pinned.some(({ equalities }) =>
    equalities.some(({ values }) => values.some((value) => value._tag === "Parameter"))
  )
  return { _tag: "Pinned", tables: pinned, isLate }
}

/** Whether a table is one of those named: the surest answer counts. */
export const hasTable = (dialect: Dialect, named: ReadonlyArray<Table>, table: Table): Answer => {
  let answer: Answer = No
  for (let i = 0; i < named.length && answer !== Yes; i++) answer = either(answer, isNamed(dialect, named[i]!, table))
  return answer
}

/** What parameters stand for; `undefined` while that is not asked, `"unknown"` where it cannot be told. */
export type Parameters = ReadonlyArray<unknown> | "unknown" | undefined

/** A value in the one form it has here; `undefined` for what equals nothing, or is compared in ways only a server knows. */
export const valueOf = (u: unknown): Value | undefined => {
  switch (typeof u) {
    case "string":
    case "boolean":
      return u
    case "number":
      return Number.isNaN(u) ? undefined : u
    case "bigint":
      return u >= Number.MIN_SAFE_INTEGER && u <= Number.MAX_SAFE_INTEGER ? Number(u) : u
    default:
      return undefined
  }
}

const resolve = (value: EqualityValue, parameters: Parameters): Value | undefined =>
  value._tag === "Literal"
    ? valueOf(value.value)
    : parameters === undefined || parameters === "unknown"
    ? undefined
    : valueOf(parameters[value.index])

/** Whether every row that is concerned has one of some values. */
export const isWithin = (demand: Demand, allowed: ReadonlyArray<Value>, parameters: Parameters): Answer => {
  if (demand._tag === "None") return No
  if (demand._tag === "Open") return Unknown
  if (demand.isLate && parameters === undefined) return Later
  let inside = true
  let outside = true
  for (const { equalities } of demand.tables) {
    const answer = tightest(equalities, allowed, parameters)
    inside &&= answer === Yes
    outside &&= answer === No
  }
  return inside ? Yes : outside ? No : Unknown
}

/** What one of several equalities tells is told, whatever the others leave open. */
const tightest = (
  equalities: ReadonlyArray<Equality>,
  allowed: ReadonlyArray<Value>,
  parameters: Parameters
): Answer => {
  for (let i = 0; i < equalities.length; i++) {
    const answer = compare(equalities[i]!, allowed, parameters)
    if (answer !== Unknown) return answer
  }
  return Unknown
}

/** Yes if all values of an equality are among some, No if certainly none is. */
const compare = (equality: Equality, allowed: ReadonlyArray<Value>, parameters: Parameters): Answer => {
  let all = true
  let isOutside = true
  for (let i = 0; i < equality.values.length; i++) {
    const value = resolve(equality.values[i]!, parameters)
    if (value === undefined) return Unknown
    if (allowed.includes(value)) isOutside = false
    else {
      all = false
      isOutside &&= everyDiffers(value, allowed)
    }
  }
  return all ? Yes : isOutside ? No : Unknown
}

const everyDiffers = (value: Value, others: ReadonlyArray<Value>): boolean => {
  for (let i = 0; i < others.length; i++) if (!differs(value, others[i]!)) return false
  return true
}

const word = /^[A-Za-z][ -~]*$/

/**
 * Whether no server could take two values for equal. Strings are equal in one collation and not in another, so they count
 * as different only if both are plain words whose letters and digits differ, or numbers that do.
 */
const differs = (a: Value, b: Value): boolean => {
  if (isNumeric(a) && isNumeric(b)) return a !== b
  if (typeof a === "boolean" && typeof b === "boolean") return a !== b
  if (typeof a !== "string" || typeof b !== "string") return false
  if (word.test(a) && word.test(b)) return lettersOf(a) !== lettersOf(b)
  return a.trim() !== "" && b.trim() !== "" && Math.abs(Number(a) - Number(b)) > 0
}

const isNumeric = (value: Value): boolean => typeof value === "number" || typeof value === "bigint"

const lettersOf = (text: string): string => text.replaceAll(/[^A-Za-z0-9]/g, "").toLowerCase()

/** Every value the field may have in the rows that are concerned; `undefined` where that cannot be told. */
export const valuesOf = (demand: Demand, parameters: Parameters): ReadonlySet<Value> | typeof Later | undefined => {
  if (demand._tag !== "Pinned") return undefined
  if (demand.isLate && parameters === undefined) return Later
  const values = new Set<Value>()
  for (const { equalities } of demand.tables) {
    const found = equalities
      .map((equality) => equality.values.map((value) => resolve(value, parameters)))
      .filter((values) => !values.includes(undefined))
      .toSorted((a, b) => a.length - b.length)[0]
    if (found === undefined) return undefined
    for (const value of found) values.add(value!)
  }
  return values
}

/** What a statement demands of a field, in words. A parameter's value is not told. */
export const describeDemand = (field: KnownField, demand: Demand): string => {
  switch (demand._tag) {
    case "None":
      return `it uses no table with ${field.name}`
    case "Open":
      return demand.table === undefined
        ? "its tables are not known"
        : `it may concern any ${field.column} of ${renderTable(demand.table)}`
    case "Pinned":
      return demand.tables.map(({ equalities, table }) =>
        `its rows of ${renderTable(table)} have ${
          equalities.map(({ column, values }) => `${column} ${values.map(describeValue).join(" or ")}`).join(" and ")
        }`
      ).join(", ")
  }
}

const describeValue = (value: EqualityValue): string =>
  value._tag === "Parameter"
    ? `= parameter ${value.index + 1}`
    : `= ${typeof value.value === "string" ? `'${value.value}'` : String(value.value)}`
