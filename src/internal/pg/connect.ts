import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { isIP, type Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import * as Pg from "pg"
import { ConfigurationError, toSqlError } from "../../RoutingError.js"
import { failedToConnect } from "./dispositions.js"

/** The message of every error that a connection failed to open with: nothing had been asked of the server by then. */

/** How long a server may take to answer a good-bye. */
const goodbyeTimeout = "1 second"

/**
 * Opens a pg client in a Scope. The client is in the Scope before it connects, so that whatever ends the connect ends
 * the socket too.
 */
export const connect = (config: Pg.ClientConfig): Effect.Effect<Pg.Client, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* makeClient(config)
    yield* Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? sayGoodbye(client) : destroy(client))
    yield* Effect.async<void, SqlError>((resume) => {
      client.connect((cause: Error | null | undefined) =>
        resume(cause ? Effect.fail(connectError(cause)) : Effect.void)
      )
      return destroy(client)
    })
    return client
  })

export const connectError = (cause: unknown): SqlError => new SqlError({ cause, message: failedToConnect })

/** Ends a connection without a word to the server; what it was asked fails at once. */
export const destroy = (client: Pg.Client): Effect.Effect<void> =>
  Effect.sync(() => {
    client.connection.stream.destroy()
  })

const makeClient = (config: Pg.ClientConfig): Effect.Effect<Pg.Client, SqlError> =>
  Effect.suspend(() => {
    let client: Pg.Client
    try {
      client = new Pg.Client(config)
    } catch (cause) {
      return Effect.fail(connectError(cause))
    }
    if (client.connection === undefined) {
      const problem = "the client of pg-native cannot stream or cancel; unset it"
      return Effect.fail(toSqlError(new ConfigurationError({ path: "NODE_PG_FORCE_NATIVE", problem })))
    }
    // An error event nobody listens to would end the process; pg tells of it where it matters as well.
    client.on("error", () => {})
    return Effect.succeed(client)
  })

const sayGoodbye = (client: Pg.Client): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    client.end(() => resume(Effect.void))
  }).pipe(
    Effect.interruptible,
    Effect.timeoutOption(goodbyeTimeout),
    Effect.flatMap(Option.match({ onNone: () => destroy(client), onSome: () => Effect.void }))
  )

/** What pg's Connection has beside its types. */
interface Wire extends Pg.Connection {
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation: "postgres" | "direct"
  readonly connect: {
    (port: number, host: string): void
    (path: string): void
  }
  readonly requestSsl: () => void
  readonly cancel: (processId: number, secretKey: number) => void
}

interface CancelKey {
  readonly processID: number
  readonly secretKey: number
}

/**
 * Asks the server to cancel what runs on a client's connection, on a socket of its own; done when the server has hung
 * up, which it does after having passed the signal on. A server that cannot be reached is no failure: whoever cancels
 * waits for the statement's end anyway.
 */
export const cancelRequest = (client: Pg.Client, config: Pg.ClientConfig): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const { processID, secretKey } = client as unknown as CancelKey
    // The name may stand for several servers: it must be the one that runs the statement.
    const { remoteAddress, remotePort } = client.connection.stream as Partial<Socket>
    const wire = new Pg.Client({ ...config, ssl: sslFor(client) }).connection as unknown as Wire
    const done = () => resume(Effect.void)
    const cancel = () => wire.cancel(processID, secretKey)
    wire.on("error", done)
    wire.on("end", done)
    wire.on("sslconnect", cancel)
    wire.on("connect", () => {
      if (!wire.ssl) cancel()
      else if (wire.sslNegotiation !== "direct") wire.requestSsl()
    })
    if (client.host.startsWith("/")) wire.connect(`${client.host}/.s.PGSQL.${client.port}`)
    else wire.connect(remotePort ?? client.port, remoteAddress ?? client.host)
    return Effect.sync(() => {
      wire.stream.destroy()
    })
  })

/** The certificate was made out to the name, not to the address that the name stood for. */
const sslFor = (client: Pg.Client): boolean | ConnectionOptions => {
  const ssl = client.ssl as boolean | ConnectionOptions
  if (ssl === false || isIP(client.host) !== 0) return ssl
  // pg hides the key from enumeration.
  return ssl === true ? { servername: client.host } : { servername: client.host, ...ssl, key: ssl.key }
}
