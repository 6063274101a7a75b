/** What pg has beside its types, as far as queries of our own need it. */
import pg, * as Pg from "pg"

/** A row's values as the server sent them. */
export interface DataRow {
  readonly fields: ReadonlyArray<string | null>
}

export interface RowDescription {
  readonly fields: ReadonlyArray<Pg.FieldDef>
}

export interface CommandComplete {
  readonly text: string
}

/** pg's Result: what `client.query` answers with, which makes rows of messages. */
export interface Result extends Pg.QueryResult {
  readonly addFields: (fields: ReadonlyArray<Pg.FieldDef>) => void
  readonly parseRow: (fields: ReadonlyArray<unknown>) => unknown
  readonly addRow: (row: unknown) => void
  readonly addCommandComplete: (message: CommandComplete) => void
  readonly _types: Pg.CustomTypesConfig | undefined
}

export type RowMode = "array" | undefined

/** A result whose parsers are those of `types`, or of the client that it is given to as `_result`. */
export const makeResult = (rowMode: RowMode, types?: Pg.CustomTypesConfig): Result =>
  new Pg.Result(rowMode ?? "", types as never) as unknown as Result

/** The text, or bytes, that a parameter is sent as. Throws where it cannot be one. */
export const { prepareValue } =
  (pg as unknown as { readonly utils: { readonly prepareValue: (value: unknown) => string | Buffer | null } }).utils
