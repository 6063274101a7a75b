import * as Statement from "@effect/sql/Statement"
import type { Dialect } from "../../Dialect.js"

/** What a fragment of a driver's own (`sql.json`) carries is a parameter like any other. */
const onCustom = (
  fragment: Statement.Custom<string, unknown, unknown, unknown>,
  placeholder: (u: unknown) => string
): readonly [sql: string, params: ReadonlyArray<unknown>] => [placeholder(undefined), [fragment.i0]]

/**
 * Compilers that write what the drivers' own ones do, without transforms; theirs are in optional packages.
 */
export const compilers: { readonly [dialect in Dialect]: Statement.Compiler } = {
  postgres: Statement.makeCompiler({
    dialect: "pg",
    placeholder: (index) => `$${index}`,
    onIdentifier: Statement.defaultEscape("\""),
    onCustom,
    onRecordUpdate: (placeholders, alias, columns, values, returning) => [
      `(values ${placeholders}) AS ${alias}${columns}${returning === undefined ? "" : ` RETURNING ${returning[0]}`}`,
      [...values.flat(), ...returning?.[1] ?? []]
    ]
  }),
  mysql: Statement.makeCompiler({
    dialect: "mysql",
    placeholder: () => "?",
    onIdentifier: Statement.defaultEscape("`"),
    onCustom,
    onRecordUpdate: () => ["", []]
  }),
  sqlite: Statement.makeCompilerSqlite()
}
