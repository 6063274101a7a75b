import type { Access, StatementKind } from "../../StatementFacts.js"
import { K, keywordsOf } from "./keywords.js"
import type { QueryReading } from "./query.js"
import { type Reading, Writes } from "./reading.js"
import * as Token from "./tokens.js"

/** What a statement's first word says of it, and how the rest is read. */
export interface Head {
  readonly kind: StatementKind
  readonly access: Access
  readonly reason: string
  readonly read: (reading: QueryReading, i: number) => void
}

/** A row of a table of heads: first words, kind, access, reason, and how the rest is read, if it matters. */
export type HeadRow = readonly [string, StatementKind, Access, string, Head["read"]?]

export const headsOf = (rows: ReadonlyArray<HeadRow>): ReadonlyMap<number, Head> =>
  new Map(
    rows.flatMap(([words, kind, access, reason, read = ignore]) =>
      keywordsOf(words).map((word) => [word, { kind, access, reason, read }] as const)
    )
  )

const ignore = (): void => {}

/** Reads the whole statement as a query. */
export const follow = (reading: QueryReading): void => reading.follow(reading.first)

/** The rows that all dialects have. */
export const commonHeads: ReadonlyArray<HeadRow> = [
  ["select with", "select", "read", "", follow],
  ["values", "values", "read", "", follow],
  ["insert", "insert", "write", "INSERT", follow],
  ["update", "update", "write", "UPDATE", follow],
  ["delete", "delete", "write", "DELETE", follow]
]

/** The verbs of changes to rows that all dialects have. */
export const commonVerbs: { readonly [word: number]: StatementKind } = {
  [K.insert]: "insert",
  [K.update]: "update",
  [K.delete]: "delete"
}

/** Takes a verb that changes rows for what it is: the statement's own, or one within it. */
export const change = (reading: QueryReading, kind: StatementKind, i: number): void => {
  if (reading.isOutermost) reading.kind = kind
  if (!reading.planOnly) reading.decide("write", kind.toUpperCase(), i)
}

/** The entry for a statement's first word; parentheses may come before a query only. */
export const headAt = (heads: ReadonlyMap<number, Head>, reading: QueryReading, from: number): Head | undefined => {
  let i = from
  while (reading.kindAt(i) === Token.Open) i++
  const head = heads.get(reading.wordAt(i))
  return i === from || head?.kind === "select" || head?.kind === "values" ? head : undefined
}

export const readStatement = (heads: ReadonlyMap<number, Head>, reading: QueryReading, first: number): void => {
  const head = headAt(heads, reading, first)
  if (head === undefined) {
    reading.decide("unknown", "verb that is not known", first)
    return
  }
  reading.kind = head.kind
  reading.decide(head.access, head.reason, first)
  head.read(reading, first)
}

const routines: ReadonlySet<number> = new Set(keywordsOf("function procedure trigger event package rule"))

/** Whether the statement defines a routine, whose body has semicolons of its own and does not run. */
export const isRoutine = (reading: Reading): boolean => {
  if (reading.wordAt(reading.first) !== K.create) return false
  for (let i = reading.first + 1; i < reading.first + 12; i++) if (routines.has(reading.wordAt(i))) return true
  return false
}

const objects: ReadonlySet<number> = new Set([K.table, K.tables, K.view, K.sequence])
const beforeName: ReadonlySet<number> = new Set(keywordsOf("if not exists only ignore concurrently table"))

/**
 * Marks the tables that a statement defines, changes or empties: the names after TABLE, or after the ON of an index, or
 * after the verb itself.
 */
export const markTargets = (reading: QueryReading, verb: number): void => {
  let i = verb + 1
  if (reading.wordAt(verb) !== K.truncate) {
    const isObject = (j: number): boolean => objects.has(reading.wordAt(j)) || reading.wordAt(j) === K.on
    while (i < verb + 8 && !isObject(i)) i++
    if (!isObject(i)) return
    i++
  }
  while (beforeName.has(reading.wordAt(i))) i++
  while (reading.isName(i)) {
    const end = reading.nameEnd(i)
    reading.mark(Writes, i, end)
    if (reading.kindAt(end + 1) !== Token.Comma) return
    i = end + 2
  }
}
