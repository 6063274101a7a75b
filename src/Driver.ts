/**
 * What the router needs of a driver, as values and effects. Everything that differs between PostgreSQL, MySQL and
 * SQLite enters here; nothing else asks which database it talks to.
 *
 * @since 0.1.0
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Either } from "effect/Either"
import type { Scope } from "effect/Scope"
import type { ConnectionPoolOptions } from "./ConnectionPool.js"
import type { PrimaryHistory } from "./ConsistencyToken.js"
import type { Dialect } from "./Dialect.js"
import type { Access, Endpoint, Role } from "./Endpoint.js"
import type { ReplicationPosition } from "./ReplicationPosition.js"

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
  /** How answers bring the server's position without a round trip of its own; `undefined` where they cannot. */
  readonly positions: AnsweredPositions | undefined
}

/**
 * Positions that come with the answers to statements.
 *
 * After a commit, or a write outside a transaction: `expect("after")`, run it, `take()`. For a read that is worth
 * something only if the server has got far enough: `expect("before")`, run it, `take()`, and drop the rows if the
 * position is too low.
 *
 * @since 0.1.0
 * @category models
 */
export interface AnsweredPositions {
  /** Whether `expect("before")` is possible; if not, `take` gives nothing after it. */
  readonly guards: boolean
  /**
   * Asks for the position with the answer to the next statement on this connection, a stream excepted. `after`: where
   * the server stood when the statement had committed, or later, so who has reached it sees the statement's effects.
   * `before`: where it stood when the statement had not begun, or earlier, so the statement sees all up to there.
   */
  readonly expect: (when: "before" | "after") => void
  /** The position that came with the answer; `undefined` if none did, or it was taken before. */
  readonly take: () => ReplicationPosition | undefined
}

/**
 * What a server says of itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerStatus {
  /** `primary` if it takes writes now, whatever it is configured as. */
  readonly role: Role
  /**
   * What it has committed, or replayed if it replicates from another server; `undefined` where it cannot be known.
   */
  readonly position: ReplicationPosition | undefined
  /** Whether it receives what its own primary writes; `none` if it has none. */
  readonly replication: "none" | "streaming" | "disconnected" | "unknown"
  /** Another one after a restart of the server, which voids what was known of its position. */
  readonly generation: string
}

/**
 * How far a transaction is kept apart from those beside it: the four levels of SQL.
 *
 * @since 0.1.0
 * @category models
 */
export type IsolationLevel = "readUncommitted" | "readCommitted" | "repeatableRead" | "serializable"

/**
 * How a transaction begins.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionMode {
  readonly access: Access
  /** Default: what the server is set to. */
  readonly isolation?: IsolationLevel | undefined
  /** PostgreSQL: a serializable, read-only transaction first waits until it can no longer fail. */
  readonly deferrable?: boolean | undefined
  /** SQLite: when the transaction takes the lock that writing needs. */
  readonly mode?: "deferred" | "immediate" | "exclusive" | undefined
}

/**
 * The beginning of a transaction.
 *
 * @since 0.1.0
 * @category models
 */
export interface Beginning {
  /** What will be in force, as far as it is known. */
  readonly mode: TransactionMode
  /** Sent in this order. */
  readonly texts: ReadonlyArray<string>
  /** Sent after COMMIT or ROLLBACK, to leave the connection as it was. */
  readonly after: ReadonlyArray<string>
}

/**
 * The texts a transaction is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionTexts {
  /** How a transaction of this mode begins, or what this database cannot do of it. */
  readonly begin: (mode: TransactionMode) => Either<Beginning, string>
  /** The weakest level at which all statements of a transaction see one snapshot. */
  readonly snapshot: IsolationLevel
  readonly commit: string
  readonly rollback: string
  readonly savepoint: (name: string) => string
  readonly releaseSavepoint: (name: string) => string
  readonly rollbackToSavepoint: (name: string) => string
}

/**
 * Finds out what became of a transaction whose COMMIT was never answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommitTracking {
  /** Asks, inside a transaction, for what its outcome can be asked by later; `undefined` where it has written nothing. */
  readonly identify: (connection: PhysicalConnection) => Effect.Effect<string | undefined, SqlError>
  /** Asks, on another connection of the primary, what became of it. */
  readonly outcome: (
    connection: PhysicalConnection,
    id: string
  ) => Effect.Effect<"committed" | "rolledBack" | "inProgress" | "unknown", SqlError>
}

/**
 * The texts that change settings of a session.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionTexts {
  /** Whether settings made for the length of a transaction end with it. */
  readonly endWithTransaction: boolean
  /** Sets all of them in one statement; `undefined` if there are none. */
  readonly set: (
    settings: { readonly [name: string]: string },
    scope: "session" | "transaction"
  ) => readonly [sql: string, params: ReadonlyArray<unknown>] | undefined
  /** Gives them back the values that they have in a new session, in one statement. */
  readonly reset: (
    names: ReadonlyArray<string>,
    scope: "session" | "transaction"
  ) => readonly [sql: string, params: ReadonlyArray<unknown>] | undefined
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
  /** How settings of a session are changed; `undefined` where sessions have none. */
  readonly session: SessionTexts | undefined
  /** The setting that limits a statement's time on the server, with its value. */
  readonly statementTimeout: (
    connection: PhysicalConnection,
    duration: Duration.Duration
  ) => readonly [name: string, value: string] | undefined
  /** Whether servers keep the comments of statements where somebody can read them. */
  readonly comments: boolean
  /**
   * Whether the raw answer to COMMIT says that the server rolled back instead; `undefined` where none ever does, and COMMIT
   * is sent like all transaction control, unprepared.
   */
  readonly commitWasRollback: ((raw: unknown) => boolean) | undefined
  /** `undefined` where the server keeps no record of how transactions ended. */
  readonly commitTracking: CommitTracking | undefined
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
  /** Whether its servers can tell positions; without, replicas are not asked how far they are. */
  readonly tellsPositions: boolean
  /** What the server says of itself: one round trip, and no privileges but those to connect. */
  readonly status: (connection: PhysicalConnection) => Effect.Effect<ServerStatus, SqlError>
  /**
   * Where the server stands: what it has replayed, or, of a primary, a position that includes every commit so far.
   * `undefined` where it cannot be known. One round trip.
   */
  readonly currentPosition: (connection: PhysicalConnection) => Effect.Effect<ReplicationPosition | undefined, SqlError>
  /**
   * The same of a primary, with what it knows of the histories that it came from: whether a write of before a failover is in
   * its own. `undefined` from who takes no writes now, so that what it lacks is not taken for lost. One round trip. A driver
   * without it leaves all to `currentPosition`.
   */
  readonly history:
    | ((connection: PhysicalConnection) => Effect.Effect<PrimaryHistory | undefined, SqlError>)
    | undefined
  /**
   * Waits until a replica has replayed up to a position; `false` if it has not in time, or never will because its
   * history is another. The connection is in use meanwhile.
   */
  readonly awaitPosition: (
    connection: PhysicalConnection,
    position: ReplicationPosition,
    timeout: Duration.Duration
  ) => Effect.Effect<boolean, SqlError>
}
