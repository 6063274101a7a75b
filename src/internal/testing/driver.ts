import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Dialect } from "../../Dialect.js"
import type { Disposition, Driver, PhysicalConnection, SessionTexts, TransactionTexts } from "../../Driver.js"
import { poll } from "../awaitPosition.js"
import * as Dispositions from "../dispositions.js"
import { isolationText } from "../isolation.js"
import { compilers } from "./compiler.js"
import { Connection, setSession, setTransaction } from "./connection.js"
import { InMemoryFault, type Server } from "./server.js"

/** The same for every dialect. */
export const texts: TransactionTexts = {
  begin: (mode) =>
    Either.right({
      mode,
      texts: [[
        "BEGIN",
        ...(mode.isolation === undefined ? [] : [`ISOLATION LEVEL ${isolationText[mode.isolation]}`]),
        ...(mode.access === "readOnly" ? ["READ ONLY"] : [])
      ].join(" ")],
      after: []
    }),
  snapshot: "repeatableRead",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  savepoint: (name) => `SAVEPOINT ${name}`,
  releaseSavepoint: (name) => `RELEASE ${name}`,
  rollbackToSavepoint: (name) => `ROLLBACK TO ${name}`
}

const verbs = { session: setSession, transaction: setTransaction }

const session: SessionTexts = {
  endWithTransaction: true,
  set: (settings, scope) => {
    const entries = Object.entries(settings)
    return entries.length === 0 ? undefined : [verbs[scope], entries.flat()]
  },
  reset: (names, scope) => names.length === 0 ? undefined : [verbs[scope], names.flatMap((name) => [name, undefined])]
}

/** A driver whose endpoints are configured by the servers themselves. */
export const make = (dialect: Dialect): Driver<Server> => ({
  dialect,
  compiler: compilers[dialect],
  transformRows: undefined,
  spanAttributes: [["db.system.name", "memory"]],
  serverAttributes: () => [],
  texts,
  session: dialect === "sqlite" ? undefined : session,
  statementTimeout: () => undefined,
  comments: true,
  commitWasRollback: () => false,
  commitTracking: undefined,
  open: ({ config: server }, access) =>
    Effect.zipRight(
      server.connecting,
      Effect.acquireRelease(
        Effect.sync(() => {
          const connection = new Connection(server, ++server.opened, access)
          server.connections.add(connection)
          return connection
        }),
        (connection) => Effect.sync(() => connection.close())
      )
    ),
  pool: () => ({}),
  readersBesideWriter: () => false,
  disposition: (error) => dispositionOf(error) ?? Dispositions.failed,
  tellsPositions: true,
  status: (connection) => asked(connection, (server) => server.status),
  currentPosition: (connection) => asked(connection, (server) => server.position),
  history: (connection) => asked(connection, (server) => server.past),
  awaitPosition: (connection, wanted, timeout) => poll(asked(connection, (server) => server.position), wanted, timeout)
})

/** What is told of a server over a connection, which this driver has opened. */
const asked = <A>(connection: PhysicalConnection, tell: (server: Server) => A): Effect.Effect<A, SqlError> =>
  (connection as Connection).ask(tell)

/** A fault may lie behind what the pool makes of it. */
const dispositionOf = (error: unknown): Disposition | undefined => {
  if (error instanceof InMemoryFault) return error.disposition
  return error instanceof Error && error.cause !== undefined ? dispositionOf(error.cause) : undefined
}
