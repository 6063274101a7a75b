import { Effect } from "effect"
import type { Scope } from "effect"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { postgres } from "../servers/index.js"

export interface RelayOptions {
  /** A Unix socket to listen on, instead of a port. */
  readonly path?: string
  /** Speaks TLS to its clients, and plainly to the server. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

/** A relay to the primary, that can fail as networks do. */
export class Relay {
  /** The last bytes that any client has sent. */
  lastSent: Buffer = Buffer.alloc(0)
  readonly server = Net.createServer((socket) => this.options.tls ? this.encrypt(socket) : this.join(socket))
  private readonly sockets = new Set<Net.Socket>()
  private readonly muted = new WeakSet<Net.Socket>()
  private silent = false

  constructor(private readonly options: RelayOptions) {}

  get port(): number {
    return (this.server.address() as Net.AddressInfo).port
  }

  get connections(): number {
    return this.sockets.size
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  /** Passes nothing on, in either direction, until it is told to `speak`. */
  silence(): void {
    this.silent = true
  }

  speak(): void {
    this.silent = false
  }

  /** Silences the connections there are, but none that come. */
  mute(): void {
    for (const socket of this.sockets) this.muted.add(socket)
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  /** Answers an SSLRequest with "yes", and goes on encrypted. */
  private encrypt(socket: Net.Socket): void {
    socket.on("error", () => {})
    socket.once("data", () => {
      socket.write("S")
      this.join(new Tls.TLSSocket(socket, { isServer: true, ...this.options.tls }))
    })
  }

  private join(near: Net.Socket): void {
    const { host, port } = postgres().primary
    const far = Net.connect(port, host)
    const passes = () => !this.silent && !this.muted.has(near)
    this.sockets.add(near)
    near.on("error", () => far.destroy())
    near.on("close", () => {
      this.sockets.delete(near)
      far.destroy()
    })
    near.on("data", (data: Buffer) => {
      this.lastSent = data
      if (passes()) far.write(data)
    })
    far.on("error", () => near.destroy())
    far.on("close", () => near.destroy())
    far.on("data", (data) => {
      if (passes()) near.write(data)
    })
  }
}

export const makeRelay = (options: RelayOptions = {}): Effect.Effect<Relay, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Relay>((resume) => {
      const relay = new Relay(options)
      const listening = () => resume(Effect.succeed(relay))
      if (options.path === undefined) relay.server.listen(0, "127.0.0.1", listening)
      else relay.server.listen(options.path, listening)
    }),
    (relay) => Effect.sync(() => relay.close())
  )
