import type * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import type { Scope } from "effect/Scope"
import * as Net from "node:net"
import type { Faults, Message, Target, TcpProxy, TcpProxyState } from "../../testing/TcpProxy.js"

/** What `testing/TcpProxy` exports. */
export class TcpProxyError extends Data.TaggedError("TcpProxyError")<{
  /** `target`: there can be no such server. `listen`: the system does not let the proxy listen. */
  readonly reason: "target" | "listen"
  /** What cannot be reached, or listened at. */
  readonly address: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.reason === "target"
      ? `There can be no server at ${this.address}: its port must be a whole number from 1 to 65535.`
      : `The proxy cannot listen at ${this.address}: ${String(this.cause)}`
  }
}

const localhost = "127.0.0.1"

export const make = (target: Target): Effect.Effect<TcpProxy, TcpProxyError, Scope> =>
  Effect.gen(function*() {
    const fork = yield* FiberSet.makeRuntime<never>()
    const proxy = new Proxy(target, yield* Effect.clock, (effect) => void fork(effect))
    yield* Effect.addFinalizer(() => proxy.close)
    yield* Effect.retry(
      Effect.flatMap(anyPort, (port) => {
        proxy.port = port
        return proxy.recover
      }),
      { times: 20, while: ({ cause }) => (cause as NodeJS.ErrnoException | undefined)?.code === "EADDRINUSE" }
    )
    return proxy
  })

/** Below those of outgoing connections, which might take it while the proxy refuses; Linux gives them 32768 and above. */
const anyPort = Random.nextIntBetween(16_384, 32_768)

type Settings = { readonly [K in keyof Faults]-?: NonNullable<Faults[K]> }

class Proxy implements TcpProxy {
  readonly host = localhost
  port = 0
  private readonly faultless: Settings
  private settings: Settings
  private server: Net.Server | undefined
  private isClosed = false
  private opened = 0
  private requests = 0
  private answers = 0
  private readonly clients = new Map<number, Net.Socket>()
  /** Those of clients, and those to the server. */
  private readonly sockets = new Set<Net.Socket>()

  constructor(
    target: Target,
    private readonly clock: Clock.Clock,
    private readonly fork: (effect: Effect.Effect<void>) => void
  ) {
    const pass = () => "pass" as const
    this.faultless = { connect: "join", request: pass, answer: pass, delay: Duration.zero, target }
    this.settings = this.faultless
  }

  readonly configure = (faults: Faults): Effect.Effect<void, TcpProxyError> =>
    Effect.suspend(() => {
      const { settings } = this
      const { host = localhost, port } = faults.target ?? settings.target
      if (!Number.isInteger(port) || port < 1 || port > 65_535) {
        return Effect.fail(new TcpProxyError({ reason: "target", address: `${host}:${port}` }))
      }
      this.settings = {
        connect: faults.connect ?? settings.connect,
        request: faults.request ?? settings.request,
        answer: faults.answer ?? settings.answer,
        delay: faults.delay ?? settings.delay,
        target: { host, port }
      }
      if (this.settings.connect !== "refuse") return this.listen
      this.stopListening()
      return Effect.void
    })

  get recover(): Effect.Effect<void, TcpProxyError> {
    return this.configure(this.faultless)
  }

  readonly reset = (connection?: number): Effect.Effect<void> =>
    Effect.sync(() => {
      for (const [number, client] of this.clients) {
        if (connection === undefined || connection === number) client.resetAndDestroy()
      }
    })

  get state(): Effect.Effect<TcpProxyState> {
    return Effect.sync(() => ({
      opened: this.opened,
      open: Array.from(this.clients.keys()),
      requests: this.requests,
      answers: this.answers
    }))
  }

  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isClosed = true
      this.stopListening()
      for (const socket of this.sockets) socket.destroy()
    })
  }

  private get listen(): Effect.Effect<void, TcpProxyError> {
    return Effect.async((resume) => {
      if (this.isClosed || this.server !== undefined) return resume(Effect.void)
      const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.welcome(client))
      this.server = server
      server.on("error", (cause) => {
        if (this.server === server) this.stopListening()
        const address = `${localhost}:${this.port}`
        resume(Effect.fail(new TcpProxyError({ reason: "listen", address, cause })))
      })
      server.listen(this.port, localhost, () => resume(Effect.void))
    })
  }

  private stopListening(): void {
    this.server?.close()
    this.server = undefined
  }

  private welcome(client: Net.Socket): void {
    const connection = ++this.opened
    this.clients.set(connection, client)
    this.look(client).on("close", () => this.clients.delete(connection))
    const { connect } = this.settings
    const welcome = typeof connect === "function" ? connect(connection) : connect
    if (welcome === "join") this.join(connection, client)
    else if (welcome === "reset") client.resetAndDestroy()
    // The end of what nobody reads would not be seen.
    else client.on("end", () => client.end()).resume()
  }

  private join(connection: number, client: Net.Socket): void {
    const server = this.look(Net.connect({ ...this.settings.target, allowHalfOpen: true, noDelay: true }))
    const later = this.inOrder()
    let isCut = false
    const cut = () => void client.resetAndDestroy()

    client.on(
      "data",
      messages(connection, (message) => {
        this.requests++
        if (isCut) return
        const fate = this.settings.request(message)
        if (fate === "pass") return pass(message.bytes, client, server)
        if (fate === "swallow") return
        isCut = true
        if (fate === "cutBefore") cut()
        else server.write(part(message.bytes, fate), cut)
      })
    )
    client.on("end", () => server.end())
    // Without a reset, which would take along what the server has not read yet.
    client.on("close", () => server.resume().end())

    server.on(
      "data",
      messages(connection, (message) => {
        this.answers++
        if (isCut) return
        const fate = this.settings.answer(message)
        if (fate === "pass") return later(() => pass(message.bytes, server, client))
        if (fate === "swallow") return
        isCut = true
        if (fate === "cutBefore") later(cut)
        else later(() => client.write(part(message.bytes, fate), cut))
      })
    )
    server.on("end", () => later(() => client.end()))
    server.on("error", cut)
  }

  private look(socket: Net.Socket): Net.Socket {
    this.sockets.add(socket)
    return socket.on("error", () => {}).on("close", () => this.sockets.delete(socket))
  }

  /** Acts with the delay that there is when it is asked to, but in the order of the asking. */
  private inOrder(): (act: () => void) => void {
    const waiting: Array<() => void> = []
    let dueAt = 0
    return (act) => {
      const now = Number(this.clock.unsafeCurrentTimeNanos() / 1_000_000n)
      dueAt = Math.max(dueAt, now + Duration.toMillis(this.settings.delay))
      if (dueAt <= now && waiting.length === 0) return act()
      waiting.push(act)
      const next = Effect.sync(() => waiting.shift()?.())
      this.fork(Effect.zipRight(this.clock.sleep(Duration.millis(dueAt - now)), next))
    }
  }
}

const messages = (connection: number, receive: (message: Message) => void) => {
  let offset = 0
  return (bytes: Buffer) => {
    const message = {
      connection,
      offset,
      bytes,
      get text() {
        return bytes.toString("latin1")
      }
    }
    offset += bytes.length
    receive(message)
  }
}

const part = (bytes: Uint8Array, fate: "cutAfter" | number): Uint8Array =>
  fate === "cutAfter" ? bytes : bytes.subarray(0, fate)

/** Who sends more than the other side takes has to wait, as without a proxy. */
const pass = (bytes: Uint8Array, from: Net.Socket, to: Net.Socket): void => {
  if (to.write(bytes)) return
  from.pause()
  to.once("drain", () => from.resume())
}
