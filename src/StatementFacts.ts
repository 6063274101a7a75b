/**
 * What is known of a statement from its text alone.
 *
 * @since 0.1.0
 */

/**
 * What a statement is, by its verb; for a WITH by the verb after its list.
 *
 * @since 0.1.0
 * @category models
 */
export type StatementKind =
  | "select"
  | "values"
  | "insert"
  | "update"
  | "delete"
  | "replace"
  | "merge"
  | "truncate"
  | "ddl"
  | "transaction"
  | "set"
  | "show"
  | "explain"
  | "copy"
  | "call"
  | "lock"
  | "prepare"
  | "execute"
  | "cursor"
  | "notify"
  | "maintenance"
  | "pragma"
  | "attach"
  | "admin"
  | "multiple"
  | "empty"
  | "unknown"

/**
 * What a statement does to the data and the session it runs in; the strongest, if it does several things. `unknown` is what
 * could not be confirmed to be anything else.
 *
 * @since 0.1.0
 * @category models
 */
export type Access = "read" | "write" | "lock" | "session" | "transaction" | "admin" | "unknown"

/**
 * What decided on a statement's access: a reason in words, and the token that gave it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Why {
  readonly reason: string
  readonly token: string
  /** The token's offset in the text, in UTF-16 code units from 0. */
  readonly position: number
}

/**
 * A table, view or other relation, as the server would look it up: without quotes, and in lower case where the dialect
 * folds names (PostgreSQL: unless quoted; SQLite: always; MySQL: as written, since it depends on the server).
 *
 * @since 0.1.0
 * @category models
 */
export interface Table {
  /** `undefined` where the text leaves it to the search path or the current database. */
  readonly schema: string | undefined
  readonly name: string
}

/**
 * A value in an equality: written in the text, or bound to a parameter, whose index counts from 0.
 *
 * @since 0.1.0
 * @category models
 */
export type EqualityValue =
  | { readonly _tag: "Literal"; readonly value: string | number | bigint | boolean }
  | { readonly _tag: "Parameter"; readonly index: number }

/**
 * A condition that every row the statement reads or changes in a table meets: the column equals one of the values.
 *
 * @since 0.1.0
 * @category models
 */
export interface Equality {
  /** The table whose column it is; `undefined` where the text does not tell. */
  readonly table: Table | undefined
  readonly column: string
  /** One for `=`, several for `IN`. */
  readonly values: ReadonlyArray<EqualityValue>
}

/**
 * The strength of a row-locking clause; MySQL's `LOCK IN SHARE MODE` is a share lock.
 *
 * @since 0.1.0
 * @category models
 */
export type RowLock = "update" | "no key update" | "share" | "key share"

/**
 * State of the session that a statement sets, reads or ends, and that it would not find on another connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionEffect {
  readonly state:
    | "setting"
    | "temporary object"
    | "lock"
    | "cursor"
    | "prepared statement"
    | "channel"
    | "user variable"
    | "generated value"
    | "row count"
    | "database"
    | "identity"
    | "large object"
    | "diagnostics"
  readonly change: "sets" | "reads" | "ends"
  /**
   * How long what it sets lasts; always `session` for what it reads or ends. `transaction` only where the text leaves no
   * doubt: `SET LOCAL` of PostgreSQL, `set_config(…, true)`, `CREATE TEMP TABLE … ON COMMIT DROP`, …
   */
  readonly until: "session" | "transaction"
  /** Which one, as written; `undefined` for all of them, or where there is but one. */
  readonly name: string | undefined
}

/**
 * What a statement says of the transaction it begins, ends or sets up.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionControl {
  readonly action: "begin" | "commit" | "rollback" | "savepoint" | "release" | "rollback to" | "prepare" | "set"
  /** The savepoint or the prepared transaction, as written. */
  readonly name: string | undefined
  /** `true` for READ ONLY, `false` for READ WRITE, `undefined` where it is not said. */
  readonly readOnly: boolean | undefined
  readonly isolation: "read uncommitted" | "read committed" | "repeatable read" | "serializable" | undefined
  readonly deferrable: boolean | undefined
  /** SQLite's way to begin. */
  readonly mode: "deferred" | "immediate" | "exclusive" | undefined
}

/**
 * What a router needs to know at least, and what a classifier of your own must tell.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verdict {
  readonly kind: StatementKind
  readonly access: Access
  /** `true` only where it is confirmed that a replica may run it. */
  readonly replicaSafe: boolean
  readonly why: Why
}

/**
 * The facts a plan rests on. The verdict is there at once; each of the others is read from the text when it is first asked
 * for.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementFacts extends Verdict {
  /** Tables that are read, in the order of the text, each once; neither the names in WITH nor aliases are tables. */
  readonly reads: ReadonlyArray<Table>
  /** Tables that are written. */
  readonly writes: ReadonlyArray<Table>
  /**
   * What the outermost WHERE demands of all rows; empty where OR, NOT or a set operation leave room. With a table, it is
   * sound to say: no other value of the column is concerned in this use of the table. Subqueries are not concerned.
   *
   * Of an INSERT with a list of columns and VALUES (or MySQL's SET), the values that its rows have in a column, if each of
   * them is a literal or a parameter. None where another row may be touched or a value changed: ON CONFLICT DO UPDATE, ON
   * DUPLICATE KEY UPDATE, INSERT OR REPLACE, OVERRIDING, MySQL's INSERT IGNORE. What a trigger does is not seen.
   */
  readonly equalities: ReadonlyArray<Equality>
  readonly locks: ReadonlyArray<RowLock>
  /** The functions that are called, as the dialect compares them: `lower`, `pg_catalog.nextval`. */
  readonly functions: ReadonlyArray<string>
  readonly sessionEffects: ReadonlyArray<SessionEffect>
  /** The facts of each statement of a text with several; empty otherwise. */
  readonly statements: ReadonlyArray<StatementFacts>
  /** For transaction control. */
  readonly transaction: TransactionControl | undefined
  /** The text without comments and literals: the same for statements that differ in their values only. */
  readonly fingerprint: string
}

/**
 * Facts from a verdict alone, for a classifier of your own or a test: of all the rest nothing is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (verdict: Verdict): StatementFacts => ({
  reads: [],
  writes: [],
  equalities: [],
  locks: [],
  functions: [],
  sessionEffects: [],
  statements: [],
  transaction: undefined,
  fingerprint: "",
  ...verdict
})
