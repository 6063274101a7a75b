/**
 * What the router needs of a driver, as values and effects. Everything that differs between PostgreSQL, MySQL and
 * SQLite enters here; nothing else asks which database it talks to.
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import type * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { ConnectionPoolOptions } from "./ConnectionPool.js"
import type { Dialect } from "./Dialect.js"
import type { Access, Endpoint } from "./Endpoint.js"

/**
 * One physical connection: @effect/sql's `Connection` and what a pool has to know of it.
 *
 * Interrupting a running statement cancels it on the server, without borrowing another pooled connection, and leaves
 * the connection unusable: it is destroyed, so a late cancel can never hit somebody else's statement. No method throws:
 * what goes wrong is a failure of the Effect or Stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface PhysicalConnection extends Connection {
  /** `false` once it was lost, or a statement on it was interrupted: it must not be lent again. */
  readonly isUsable: () => boolean
  /** Whether a transaction is open on it; `undefined` where the driver cannot tell without asking the server. */
  readonly inTransaction: () => boolean | undefined
  /** Asks the server for a sign of life. */
  readonly ping: Effect.Effect<void, SqlError>
  /** Registers the one listener that is told when the connection is lost while nobody uses it. */
  readonly onLost: (listener: (cause: unknown) => void) => void
}

/**
 * How a transaction begins.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionMode {
  readonly access: Access
}

/**
 * The texts a transaction is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionTexts {
  readonly begin: (mode: TransactionMode) => string
  readonly commit: string
  readonly rollback: string
  readonly savepoint: (name: string) => string
  readonly releaseSavepoint: (name: string) => string
  readonly rollbackToSavepoint: (name: string) => string
}

/**
 * What an error of a server or driver means.
 *
 * @since 0.1.0
 * @category models
 */
export interface Disposition {
  /** Whose fault it is. */
  readonly blame:
    | "endpoint"
    | "statement"
    | "transaction"
    | "connection"
    | "role"
    | "capacity"
    | "configuration"
  /** Whether the connection may be used again. */
  readonly connection: "keep" | "destroy"
  /** How strongly it speaks against the endpoint's health. */
  readonly evidence: "none" | "soft" | "hard"
  /**
   * What became of the statement: it was never sent, the server refused it before any effect, its effects were rolled
   * back for certain, or nobody knows.
   */
  readonly outcome: "notSent" | "refused" | "rolledBack" | "unknown"
  /** Where a read, outside a transaction, may be tried again. */
  readonly readRetry: "elsewhere" | "sameEndpoint" | "primary" | "none"
}

/**
 * What the router needs of a driver, for endpoints that are configured by a `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Driver<in Config> {
  readonly dialect: Dialect
  /** Compiles the statements of `sql`, with the driver's own quoting, placeholders and name transforms. */
  readonly compiler: Statement.Compiler
  /** Transforms result rows, where the configuration asks for it. */
  readonly transformRows: (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
  /** Attributes of every statement's span: the user's own, `db.system.name`, `db.namespace`. */
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  /** Attributes that tell the server: `server.address`, `server.port`. */
  readonly serverAttributes: (config: Config) => ReadonlyArray<readonly [string, unknown]>
  readonly texts: TransactionTexts
  /** Whether the raw answer to COMMIT says that the server rolled back instead. */
  readonly commitWasRollback: (raw: unknown) => boolean
  /**
   * Opens one physical connection. Closing its Scope with a success says good-bye to the server; with a failure or an
   * interruption it destroys the connection at once.
   */
  readonly open: (
    endpoint: Endpoint<Config>,
    access: Access
  ) => Effect.Effect<PhysicalConnection, SqlError, Scope>
  /** Pool settings that the driver's configuration asks for, or that its nature dictates. */
  readonly pool: (endpoint: Endpoint<Config>, access: Access) => ConnectionPoolOptions
  /** Whether the primary lends reads outside transactions connections of their own, opened `readOnly` (SQLite files). */
  readonly readersBesideWriter: (config: Config) => boolean
  /** What an error that a statement or `open` failed with means. */
  readonly disposition: (error: SqlError) => Disposition
}
