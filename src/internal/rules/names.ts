import type { Dialect } from "../../Dialect.js"
import type { Table } from "../../StatementFacts.js"
import type { Answer } from "./answer.js"
import { No, Unknown, Yes } from "./answer.js"

const part = /\s*(?:"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[([^\]]+)\]|([^\s."`[\]]+))\s*(\.|$)/y

/** The parts of a qualified name as the server would look them up; `undefined` if it is no name. */
export const partsOf = (dialect: Dialect, name: string): ReadonlyArray<string> | undefined => {
  const parts: Array<string> = []
  part.lastIndex = 0
  for (;;) {
    const found = part.exec(name)
    if (found === null) return undefined
    const [, double, back, bracketed, bare, dot] = found
    const quoted = double?.replaceAll("\"\"", "\"") ?? back?.replaceAll("``", "`") ?? bracketed
    parts.push(folded(dialect, quoted ?? bare!, quoted !== undefined))
    if (dot === "") return parts
  }
}

/** As the classifier folds names: PostgreSQL bare ones, SQLite all, MySQL none. */
const folded = (dialect: Dialect, text: string, isQuoted: boolean): string =>
  dialect === "sqlite" || (dialect === "postgres" && !isQuoted) ? text.toLowerCase() : text

/** A table's name in a rule; `undefined` if it is no name. */
export const tableNamed = (dialect: Dialect, name: string): Table | undefined => {
  const parts = partsOf(dialect, name)
  return parts === undefined || parts.length > 2
    ? undefined
    : { schema: parts.length === 2 ? parts[0] : undefined, name: parts.at(-1)! }
}

/** Whether MySQL may take two names for the same, though they are not written alike. */
const mayBeSame = (dialect: Dialect, a: string, b: string): boolean =>
  dialect === "mysql" && a.length === b.length && a.toLowerCase() === b.toLowerCase()

/** Whether a table of a statement is the one that a rule names. */
export const isNamed = (dialect: Dialect, named: Table, table: Table): Answer => {
  const isSame = named.name === table.name
  if (!isSame && !mayBeSame(dialect, named.name, table.name)) return No
  if (named.schema === undefined || named.schema === table.schema) return isSame ? Yes : Unknown
  // Without a schema the search path decides, or the current database.
  return table.schema === undefined || mayBeSame(dialect, named.schema, table.schema) ? Unknown : No
}

/** MySQL compares the names of columns without case, whatever the server. */
export const isColumn = (dialect: Dialect, named: string, column: string): boolean =>
  named === column || mayBeSame(dialect, named, column)

export const renderTable = (table: Table): string =>
  table.schema === undefined ? table.name : `${table.schema}.${table.name}`
