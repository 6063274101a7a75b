import type { Table } from "../../StatementFacts.js"
import { foldedName } from "./names.js"
import { Outermost, type Reading } from "./reading.js"

/** The tables with a mark, in the order of the text, each once. */
export const tablesOf = (reading: Reading, what: number): ReadonlyArray<Table> => {
  const { markCount, marks } = reading
  const tables: Array<Table> = []
  for (let at = 0; at < markCount * 3; at += 3) {
    if ((marks[at]! & ~Outermost) !== what) continue
    const table = tableAt(reading, marks[at + 1]!, marks[at + 2]!)
    // A text names few tables; it is hostile ones for which this must not become quadratic.
    if (tables.length > 64 || !tables.some((other) => isSame(table, other))) tables.push(table)
  }
  return tables.length > 64 ? distinct(tables) : tables
}

/** The table named by the tokens from `first` to `last`. */
export const tableAt = (reading: Reading, first: number, last: number): Table => ({
  schema: last > first ? foldedName(reading, last - 2) : undefined,
  name: foldedName(reading, last)
})

export const isSame = (a: Table, b: Table): boolean => a.name === b.name && a.schema === b.schema

const distinct = (tables: ReadonlyArray<Table>): ReadonlyArray<Table> => [
  ...new Map(tables.map((table) => [JSON.stringify([table.schema, table.name]), table])).values()
]
