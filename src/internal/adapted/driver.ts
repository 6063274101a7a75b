/** A driver over clients that others have made: what an engine's own driver knows by SQL alone, it knows too. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import type { Dialect } from "../../Dialect.js"
import type { Driver } from "../../Driver.js"
import * as MysqlDispositions from "../mysql/dispositions.js"
import * as MysqlStatus from "../mysql/status.js"
import * as MysqlTransaction from "../mysql/transaction.js"
import * as PgDispositions from "../pg/dispositions.js"
import * as PgStatus from "../pg/status.js"
import * as PgTransaction from "../pg/transaction.js"
import * as SqliteDispositions from "../sqlite/dispositions.js"
import * as SqliteTransaction from "../sqlite/transaction.js"
import { AdaptedConnection, borrow, borrowLate } from "./connection.js"

/** What an endpoint connects by. */
export interface AdaptedConfig {
  readonly client: SqlClient
}

export interface AdaptedSettings {
  readonly transformResultNames?: ((name: string) => string) | undefined
  readonly spanAttributes?: Readonly<Record<string, unknown>> | undefined
}

/** How long a client's only connection is kept from others without being used. */
const lentAtMost = "1 second"

/** What is the same in all drivers of an engine, whoever connects. */
type Engine =
  & Pick<
    Driver<AdaptedConfig>,
    | "texts"
    | "comments"
    | "commitWasRollback"
    | "commitTracking"
    | "disposition"
    | "tellsPositions"
    | "status"
    | "currentPosition"
    | "history"
    | "awaitPosition"
  >
  & { readonly system: string; readonly hasOneConnection: boolean }

const engines: { readonly [dialect in Dialect]: Engine } = {
  postgres: {
    system: "postgresql",
    hasOneConnection: false,
    texts: PgTransaction.texts,
    comments: true,
    commitWasRollback: PgTransaction.commitWasRollback,
    commitTracking: PgTransaction.commitTracking,
    disposition: PgDispositions.of,
    tellsPositions: true,
    status: PgStatus.status,
    currentPosition: PgStatus.currentPosition,
    history: PgStatus.history,
    awaitPosition: PgStatus.awaitPosition
  },
  mysql: {
    system: "mysql",
    hasOneConnection: false,
    texts: MysqlTransaction.texts,
    comments: true,
    commitWasRollback: undefined,
    commitTracking: undefined,
    disposition: MysqlDispositions.disposition,
    tellsPositions: true,
    status: MysqlStatus.status,
    currentPosition: MysqlStatus.currentPosition,
    history: MysqlStatus.history,
    awaitPosition: MysqlStatus.awaitPosition
  },
  sqlite: {
    system: "sqlite",
    hasOneConnection: true,
    texts: SqliteTransaction.texts,
    comments: false,
    commitWasRollback: () => false,
    commitTracking: undefined,
    disposition: SqliteDispositions.disposition,
    // What a client may do with its file is not known here: it is what it was given as.
    status: (connection) =>
      Effect.succeed({
        role: connection instanceof AdaptedConnection ? connection.role : "primary",
        position: undefined,
        replication: "none",
        generation: ""
      }),
    tellsPositions: false,
    currentPosition: () => Effect.succeed(undefined),
    history: undefined,
    awaitPosition: () => Effect.succeed(false)
  }
}

/** The dialect of a client; `undefined` where there is no router for it. */
export const dialectOf = (client: SqlClient): Dialect | undefined =>
  client.onDialectOrElse({
    pg: () => "postgres" as const,
    mysql: () => "mysql" as const,
    sqlite: () => "sqlite" as const,
    orElse: () => undefined
  })

/** Compiles by a client's own constructor, which is the only way to its compiler. */
const compilerOf = (client: SqlClient): Statement.Compiler => {
  const dialect = client.onDialectOrElse({
    pg: () => "pg" as const,
    mysql: () => "mysql" as const,
    orElse: () => "sqlite" as const
  })
  const compile: Statement.Compiler["compile"] = (fragment, withoutTransform) =>
    client`${fragment}`.compile(withoutTransform)
  const plain: Statement.Compiler = {
    dialect,
    compile: (fragment) => compile(fragment, true),
    get withoutTransform() {
      return plain
    }
  }
  return { dialect, compile, withoutTransform: plain }
}

/** The driver of a router whose primary is `client`. */
export const make = (client: SqlClient, dialect: Dialect, settings: AdaptedSettings): Driver<AdaptedConfig> => {
  const { hasOneConnection, system, ...engine } = engines[dialect]
  const { spanAttributes = {}, transformResultNames } = settings
  return {
    ...engine,
    dialect,
    compiler: compilerOf(client),
    transformRows: transformResultNames && Statement.defaultTransforms(transformResultNames).array,
    spanAttributes: [...Object.entries(spanAttributes), ["db.system.name", system]],
    serverAttributes: () => [],
    session: undefined,
    statementTimeout: () => undefined,
    open: ({ config, role }) => (hasOneConnection ? borrowLate : borrow)(config.client, role, engine.texts.rollback),
    pool: () => hasOneConnection ? { max: 1, idleTimeout: lentAtMost } : {},
    readersBesideWriter: () => false
  }
}
