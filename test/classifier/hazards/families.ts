import type { Dialect } from "effect-sql-router/Dialect"
import type { Access } from "effect-sql-router/StatementFacts"
import { mysql } from "./mysql.js"
import { postgres } from "./postgres.js"
import { sqlite } from "./sqlite.js"

/** What a statement does, or that a text holds several of them or none. */
export type Expected = Access | "multiple" | "empty"

/** Statements by family, then by what they do. */
export interface Families {
  readonly [family: string]: { readonly [expected in Expected]?: ReadonlyArray<string> }
}

export interface Hazard {
  readonly dialect: Dialect
  readonly family: string
  readonly expected: Expected
  readonly sql: string
}

export const hazards: ReadonlyArray<Hazard> = Object.entries({ postgres, mysql, sqlite }).flatMap((
  [dialect, families]
) =>
  Object.entries(families).flatMap(([family, statements]) =>
    Object.entries(statements).flatMap(([expected, texts]) =>
      texts.map((sql) => ({ dialect: dialect as Dialect, family, expected: expected as Expected, sql }))
    )
  )
)

/** Reads that call something which no text shows. A replica refuses it, and the router asks the primary. */
export const hidden: ReadonlyArray<readonly [string, string]> = [
  ["a view with a function that writes", "SELECT * FROM a_view"],
  ["a view with a locking clause", "SELECT * FROM another_view"],
  ["a cast with a function of the user", "SELECT 'x'::text::a_type"],
  ["attribute notation: f(t) written as a column", "SELECT t.f FROM t"],
  ["a function of an earlier schema in the search path", "SELECT lower('A')"],
  ["a table that is temporary", "SELECT * FROM a_temporary_table"]
]
