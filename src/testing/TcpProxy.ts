/**
 * A proxy in front of a real server that fails as networks do, when and where a test says. For Node; knows nothing of what
 * is said through it, so it stands before any server.
 *
 * A write whose answer is lost: the server has it, and the client hears no more of it.
 *
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 * import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
 * import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
 *
 * it.scopedLive("an order whose answer is lost is not placed twice", () =>
 *   Effect.gen(function*() {
 *     const proxy = yield* TcpProxy.make({ port: 5432 })
 *     const database = RoutedPgClient.layer({
 *       primary: { host: proxy.host, port: proxy.port, username: "shop" }
 *     })
 *     yield* Effect.gen(function*() {
 *       const sql = yield* RoutedSqlClient.RoutedSqlClient
 *       yield* proxy.configure({ request: ({ text }) => text.includes("INSERT") ? "cutAfter" : "pass" })
 *       yield* Effect.flip(sql`INSERT INTO orders (id) VALUES (1)`)
 *       yield* proxy.recover
 *       assert.lengthOf(yield* sql`SELECT id FROM orders`, 1)
 *     }).pipe(Effect.provide(database))
 *   }))
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Internal from "../internal/testing/tcpProxy.js"

export {
  /**
   * The proxy could not be set up: `target` is no address of a server, or the system does not let it `listen`.
   *
   * @since 0.1.0
   * @category errors
   */
  TcpProxyError
} from "../internal/testing/tcpProxy.js"

/**
 * The server that a proxy stands before.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
  readonly port: number
}

/**
 * What becomes of a connection that a client has opened:
 *
 * - `join`: it is joined to the server
 * - `reset`: it is reset at once
 * - `ignore`: it is never answered
 *
 * @since 0.1.0
 * @category models
 */
export type Welcome = "join" | "reset" | "ignore"

/**
 * What came through one connection at once, in one direction. For a client that waits for answers that is one request,
 * unless it is long.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message {
  /** Which connection of the proxy, counted from 1. */
  readonly connection: number
  /** How many bytes have come before it on this connection, in this direction. */
  readonly offset: number
  readonly bytes: Uint8Array
  /** The bytes as text, one character for each. */
  readonly text: string
}

/**
 * What becomes of a message:
 *
 * - `pass`: it is passed on
 * - `swallow`: it is lost, and nobody is told
 * - `cutBefore`: it is lost, and the client is reset
 * - `cutAfter`: it is passed on, and then the client is reset, without having heard more
 * - a number: so many bytes of it are passed on, and then the client is reset, without having heard more
 *
 * A client that is reset takes its connection to the server with it.
 *
 * @since 0.1.0
 * @category models
 */
export type Fate = "pass" | "swallow" | "cutBefore" | "cutAfter" | number

/**
 * What goes wrong in a proxy; nothing, where nothing is said.
 *
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /**
   * What becomes of who connects; `refuse`: nobody listens, connections that are open already go on. Default `join`. While
   * the server behind it is away, who connects to the proxy is reset.
   */
  readonly connect?: "refuse" | Welcome | ((connection: number) => Welcome) | undefined
  /** What becomes of what a client sends. Default `pass`. */
  readonly request?: ((message: Message) => Fate) | undefined
  /** What becomes of what the server sends. Default `pass`. */
  readonly answer?: ((message: Message) => Fate) | undefined
  /** How much later a client hears what the server has sent, by the Clock. Default 0. */
  readonly delay?: Duration.DurationInput | undefined
  /** To where connections lead that are opened from now on. Default: the server that the proxy was made for. */
  readonly target?: Target | undefined
}

/**
 * What a proxy has seen.
 *
 * @since 0.1.0
 * @category models
 */
export interface TcpProxyState {
  /** How many connections clients have opened so far; those that were refused are seen by nobody. */
  readonly opened: number
  /** The connections that are open now. */
  readonly open: ReadonlyArray<number>
  /** How many messages have come from clients so far, whatever became of them. */
  readonly requests: number
  /** How many messages have come from the server so far, whatever became of them. */
  readonly answers: number
}

/**
 * A proxy that listens, until the Scope ends that it was made in.
 *
 * @since 0.1.0
 * @category models
 */
export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** From now on these faults; those that are not named stay as they are. */
  readonly configure: (faults: Faults) => Effect.Effect<void, Internal.TcpProxyError>
  /** From now on no faults. What was swallowed or ignored before stays lost. */
  readonly recover: Effect.Effect<void, Internal.TcpProxyError>
  /** Resets a connection, or all of them. */
  readonly reset: (connection?: number) => Effect.Effect<void>
  readonly state: Effect.Effect<TcpProxyState>
}

/**
 * Puts a proxy before a server, at a free port of 127.0.0.1. The server need not be up.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (target: Target): Effect.Effect<TcpProxy, Internal.TcpProxyError, Scope> => Internal.make(target)

/**
 * Lets so many bytes of each connection pass, in the direction that it is used for, and then resets the client.
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
 *
 * const brokenOff = Effect.tap(
 *   TcpProxy.make({ port: 5432 }),
 *   (proxy) => proxy.configure({ answer: TcpProxy.cutAfterBytes(100_000) })
 * )
 * ```
 *
 * @since 0.1.0
 * @category faults
 */
export const cutAfterBytes = (count: number) => ({ bytes, offset }: Message): Fate =>
  offset + bytes.length < count ? "pass" : Math.max(0, count - offset)

/**
 * Gives a fate to the first message that a test holds for, and lets all others pass.
 *
 * @since 0.1.0
 * @category faults
 */
export const once = (fate: Fate, when: (message: Message) => boolean = () => true): (message: Message) => Fate => {
  let isOver = false
  return (message) => {
    if (isOver || !when(message)) return "pass"
    isOver = true
    return fate
  }
}
