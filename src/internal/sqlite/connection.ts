import type { BackupMetadata } from "@effect/sql-sqlite-node/SqliteClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import type Sqlite from "better-sqlite3"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PhysicalConnection } from "../../Driver.js"
import { type Fiber, now, safeIntegers, withFiber } from "../compat.js"
import * as Backup from "./backup.js"
import * as Busy from "./busy.js"
import { Cursor, eventLoopTurn } from "./cursor.js"
import { prepare, PreparedStatements } from "./statements.js"

/** A `PhysicalConnection` with what the `SqliteClient` of @effect/sql-sqlite-node offers beside statements. */
export interface SqliteConnection extends PhysicalConnection {
  readonly export: Effect.Effect<Uint8Array, SqlError>
  readonly backup: (destination: string) => Effect.Effect<BackupMetadata, SqlError>
  readonly loadExtension: (path: string) => Effect.Effect<void, SqlError>
  readonly isReadonly: boolean
}

export interface ConnectionOptions {
  readonly prepareCacheSize: number
  readonly prepareCacheTTL: Duration.Duration
  readonly busyTimeout: Duration.Duration
  /** The extensions of a client's handles, those to come included; what a handle lacks it loads before it is used. */
  readonly extensions: Array<string>
}

/**
 * A connection over one better-sqlite3 handle, with the results of @effect/sql-sqlite-node.
 *
 * A statement is one synchronous call: nothing can interrupt it midway, and nothing else runs meanwhile. Only waiting
 * for a lock, the pauses between the chunks of a stream, and a backup take time that others can use.
 */
export const make = (db: Sqlite.Database, options: ConnectionOptions): SqliteConnection & { close(): void } => {
  const statements = new PreparedStatements(db, options.prepareCacheSize, options.prepareCacheTTL)
  const cursors = new Set<Cursor>()
  let extensionsLoaded = 0

  const mayWait = (error: SqlError) => Busy.mayWait(error, db.inTransaction)

  /** Runs a synchronous call in one Effect: a `catchAll` around it would add 40 % to what we cost beside SQLite. */
  const call = <A>(
    work: (fiber: Fiber) => A,
    onError: (error: SqlError) => Effect.Effect<A, SqlError>,
    problem = "Failed to execute statement"
  ): Effect.Effect<A, SqlError> =>
    withFiber((fiber) => {
      try {
        while (extensionsLoaded < options.extensions.length) {
          loadExtension(db, options.extensions[extensionsLoaded]!)
          extensionsLoaded++
        }
        return Effect.succeed(work(fiber))
      } catch (cause) {
        return onError(cause instanceof SqlError ? cause : new SqlError({ cause, message: problem }))
      }
    })

  const once = <A>(work: (fiber: Fiber) => A, problem?: string) => call<A>(work, Effect.fail, problem)

  /** Runs it again while somebody else holds the lock it needs. */
  const attempt = <A>(work: (fiber: Fiber) => A) =>
    call<A>(work, (error) =>
      mayWait(error)
        ? Busy.retry(once(work), { while: mayWait, timeout: options.busyTimeout })
        : Effect.fail(error))

  const prepared = (sql: string, fiber: Fiber) => statements.get(sql, now(fiber))

  const execute: Connection["execute"] = (sql, params, transformRows) => {
    const rows = attempt((fiber) => rowsOf(prepared(sql, fiber), params, fiber))
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }

  /** The statement is the cursor's own: the cached one of the same text stays free for others. */
  const openCursor = (sql: string, params: ReadonlyArray<unknown>, fiber: Fiber): Iterator<unknown> => {
    const statement = prepare(db, sql).safeIntegers(safeIntegers(fiber))
    return statement.reader ? statement.iterate(...params) : rowsOf(statement, params, fiber).values()
  }

  const acquireCursor = (sql: string, params: ReadonlyArray<unknown>): Effect.Effect<Cursor, never, Scope> =>
    Effect.acquireRelease(
      withFiber((fiber) => {
        const cursor = new Cursor(() => openCursor(sql, params, fiber))
        cursors.add(cursor)
        return Effect.succeed(cursor)
      }),
      (cursor) =>
        Effect.sync(() => {
          cursors.delete(cursor)
          cursor.close()
        })
    )

  const executeStream: Connection["executeStream"] = (sql, params, transformRows) =>
    Stream.unwrapScoped(
      Effect.map(acquireCursor(sql, params), (cursor) => {
        const first = attempt(() => cursor.read())
        const next = once(() => cursor.read())
        const afterTurn = Effect.zipRight(eventLoopTurn, next)
        const read = Effect.suspend(() => cursor.at === "Initial" ? first : cursor.at === "Open" ? afterTurn : next)
        return Stream.repeatEffectChunkOption(
          Effect.matchEffect(read, {
            onFailure: (error) => Effect.fail(Option.some(error)),
            onSuccess: (rows) =>
              rows.length === 0
                ? Effect.fail(Option.none())
                : Effect.succeed(Chunk.unsafeFromArray(transformRows ? transformRows(rows as Array<object>) : rows))
          })
        )
      })
    )

  return {
    execute,
    executeRaw: (sql, params) => attempt((fiber) => rawOf(prepared(sql, fiber), params, fiber)),
    executeValues: (sql, params) => attempt((fiber) => valuesOf(prepared(sql, fiber), params, fiber)),
    executeUnprepared: (sql, params, transformRows) => {
      const rows = attempt((fiber) => rowsOf(prepare(db, sql), params, fiber))
      return transformRows === undefined ? rows : Effect.map(rows, transformRows)
    },
    executeStream,
    isUsable: () => db.open,
    inTransaction: () => db.inTransaction,
    // Unlike `SELECT 1`, it reads the file.
    ping: Effect.asVoid(execute("PRAGMA schema_version", [], undefined)),
    // A file has nobody who could hang up: what happened to it shows when it is read.
    onLost: () => {},
    positions: undefined,
    isReadonly: db.readonly,
    export: once(() => db.serialize(), "Failed to export database"),
    backup: (destination) =>
      Effect.suspend(() =>
        db.inTransaction && !db.readonly
          ? Effect.fail(new SqlError({ cause: new Error("the transaction must end first"), message: Backup.problem }))
          : Backup.run(db, destination, options.busyTimeout)
      ),
    loadExtension: (path) =>
      once(() => {
        loadExtension(db, path)
        options.extensions.push(path)
        extensionsLoaded++
      }),
    close: () => {
      for (const cursor of cursors) cursor.close()
      db.close()
    }
  }
}

const rowsOf = (statement: Sqlite.Statement, params: ReadonlyArray<unknown>, fiber: Fiber): ReadonlyArray<any> => {
  statement.safeIntegers(safeIntegers(fiber))
  if (statement.reader) return statement.raw(false).all(...params)
  statement.run(...params)
  return []
}

const rawOf = (statement: Sqlite.Statement, params: ReadonlyArray<unknown>, fiber: Fiber): unknown => {
  statement.safeIntegers(safeIntegers(fiber))
  return statement.reader ? statement.raw(false).all(...params) : statement.run(...params)
}

const valuesOf = (
  statement: Sqlite.Statement,
  params: ReadonlyArray<unknown>,
  fiber: Fiber
): ReadonlyArray<ReadonlyArray<unknown>> => {
  statement.safeIntegers(safeIntegers(fiber))
  if (statement.reader) return statement.raw(true).all(...params) as ReadonlyArray<ReadonlyArray<unknown>>
  statement.run(...params)
  return []
}

const loadExtension = (db: Sqlite.Database, path: string): void => {
  try {
    db.loadExtension(path)
  } catch (cause) {
    throw new SqlError({ cause, message: "Failed to load extension" })
  }
}
