import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RuntimeFiber } from "effect/Fiber"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Pg from "pg"
import { defaults } from "../../ConnectionPool.js"
import type { Endpoint } from "../../Endpoint.js"
import { ConfigurationError, RouterClosed, toSqlError } from "../../RoutingError.js"
import { connectError } from "./connect.js"
import type { PgConnection } from "./connection.js"
import * as Driver from "./driver.js"
import type { Settings } from "./settings.js"

/** A connection nobody uses, whose loss no answer would tell of, is asked for a sign of life this often. */
const heartbeat = { interval: Duration.seconds(30), timeout: Duration.seconds(5) }

/** Also before the first try, for a server that accepts connections only to drop them. */
const reconnectDelay = "100 millis"

const reconnect = Schedule.exponential(reconnectDelay).pipe(
  Schedule.union(Schedule.spaced("10 seconds")),
  Schedule.jittered
)

/** Where PostgreSQL cuts the name of a channel in LISTEN, without a word. */
const longestName = 63

/**
 * What a listening connection tells: a notification, or that the connection was lost and is back.
 *
 * The `duration` of a `Gap` goes back to the last sign of life of the lost connection. What was notified within it may
 * never arrive: a program that mirrors state has to read it again.
 *
 * @since 0.1.0
 * @category models
 */
export type ListenEvent =
  | { readonly _tag: "Notification"; readonly channel: string; readonly payload: string }
  | { readonly _tag: "Gap"; readonly cause: unknown; readonly duration: Duration.Duration }

interface Subscriber {
  readonly single: (event: ListenEvent) => boolean
  readonly fail: (error: SqlError) => void
}

/** The life of the shared connection, from the first subscriber to the last, through all losses. */
interface Session {
  readonly connected: Deferred.Deferred<void, SqlError>
  connection: PgConnection | undefined
  fiber: RuntimeFiber<void> | undefined
}

/** One connection of the primary that all channels share, open as long as somebody listens. */
class Listener {
  private readonly subscribers = new Map<string, Set<Subscriber>>()
  private session: Session | undefined
  private heardAt = 0n
  private closed: SqlError | undefined

  constructor(
    private readonly primary: () => Endpoint<Settings>,
    private readonly clock: Clock.Clock,
    /** Starts the listener's own work, which ends with its Scope. */
    private readonly fork: <A, E>(effect: Effect.Effect<A, E>) => RuntimeFiber<A, E>
  ) {}

  /** Another one after a failover: what is opened anew is opened there. */
  private get endpoint(): Endpoint<Settings> {
    return this.primary()
  }

  readonly listen = (channel: string): Stream.Stream<ListenEvent, SqlError> => {
    if (Buffer.byteLength(channel) > longestName) return Stream.fail(nameTooLong(channel))
    return Stream.asyncPush<ListenEvent, SqlError>((subscriber) =>
      Effect.zipRight(
        Effect.acquireRelease(
          Effect.sync(() => this.add(channel, subscriber)),
          () => Effect.sync(() => this.remove(channel, subscriber))
        ),
        this.join(channel)
      )
    )
  }

  close(): void {
    const { database, name: endpoint } = this.endpoint
    const closed = this.closed = toSqlError(new RouterClosed({ database, endpoint }))
    if (this.session !== undefined) Deferred.unsafeDone(this.session.connected, Effect.fail(closed))
    for (const subscriber of this.everybody()) subscriber.fail(closed)
  }

  private add(channel: string, subscriber: Subscriber): void {
    const others = this.subscribers.get(channel)
    if (others === undefined) this.subscribers.set(channel, new Set([subscriber]))
    else others.add(subscriber)
  }

  private remove(channel: string, subscriber: Subscriber): void {
    const others = this.subscribers.get(channel)!
    others.delete(subscriber)
    if (others.size > 0) return
    this.subscribers.delete(channel)
    const { session } = this
    if (session === undefined) return
    if (this.subscribers.size === 0) {
      this.session = undefined
      this.fork(Fiber.interrupt(session.fiber!))
    } else if (session.connection !== undefined) {
      this.fork(Effect.ignore(say(session.connection, "UNLISTEN", channel)))
    }
  }

  /** Done when the server listens to the channel, or will as soon as a lost connection is back. */
  private join(channel: string): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      if (this.closed !== undefined) return Effect.fail(this.closed)
      const session = this.session ?? this.start()
      return Effect.zipRight(
        Deferred.await(session.connected),
        Effect.suspend(() => {
          const { connection } = session
          if (connection === undefined) return Effect.void
          // Not the subscriber's own fiber: interrupting it would cancel a statement of the connection all share.
          return Effect.catchAll(
            Fiber.join(this.fork(say(connection, "LISTEN", channel))),
            (error) => connection.isUsable() ? Effect.fail(error) : Effect.void
          )
        })
      )
    })
  }

  private start(): Session {
    const session: Session = { connected: Deferred.unsafeMake(FiberId.none), connection: undefined, fiber: undefined }
    this.session = session
    session.fiber = this.fork(this.keep(session))
    return session
  }

  /** Keeps the connection: only its first opening may fail. */
  private keep(session: Session): Effect.Effect<void> {
    const first = Effect.tapError(this.attend(session, undefined), (error) => {
      if (this.session === session) this.session = undefined
      return Deferred.fail(session.connected, error)
    })
    const again = (cause: unknown): Effect.Effect<never, SqlError> =>
      Effect.zipRight(
        Effect.logWarning(
          `The connection that listens on endpoint ${this.endpoint.name} is lost: ${
            cause instanceof Error ? cause.message : String(cause)
          }`
        ),
        Effect.flatMap(Effect.retry(Effect.delay(this.attend(session, cause), reconnectDelay), reconnect), again)
      )
    return Effect.ignore(Effect.flatMap(first, again))
  }

  /** Opens the connection and listens until it is lost, to succeed with the cause. */
  private attend(session: Session, lostBecause: unknown): Effect.Effect<unknown, SqlError> {
    return Effect.scoped(Effect.gen(this, function*() {
      const { client, connection } = yield* this.open
      client.on("notification", ({ channel, payload = "" }) => {
        this.heardAt = this.clock.unsafeCurrentTimeNanos()
        for (const subscriber of this.subscribers.get(channel) ?? []) {
          subscriber.single({ _tag: "Notification", channel, payload })
        }
      })
      const isBack = yield* Deferred.isDone(session.connected)
      // Whoever joins meanwhile is in the map already, and so in this loop.
      if (isBack) { for (const channel of this.subscribers.keys()) yield* say(connection, "LISTEN", channel) }
      session.connection = connection
      if (isBack) yield* this.tellGap(lostBecause)
      this.heardAt = this.clock.unsafeCurrentTimeNanos()
      yield* Deferred.succeed(session.connected, void 0)
      const cause = yield* Effect.flip(Effect.raceFirst(lossOf(connection), this.heartbeat(connection)))
      session.connection = undefined
      return cause
    }))
  }

  private get open() {
    return Effect.timeoutFail(Driver.open(this.endpoint, "readWrite"), {
      duration: this.endpoint.config.connectTimeout ?? defaults.connectTimeout,
      onTimeout: () => connectError(new Error("not connected in time"))
    })
  }

  private heartbeat(connection: PgConnection): Effect.Effect<never, unknown> {
    const beat = Effect.timeoutFail(connection.ping, {
      duration: heartbeat.timeout,
      onTimeout: () => new Error(`no sign of life within ${Duration.format(heartbeat.timeout)}`)
    })
    return Effect.forever(Effect.delay(
      Effect.map(beat, () => {
        this.heardAt = this.clock.unsafeCurrentTimeNanos()
      }),
      heartbeat.interval
    ))
  }

  private tellGap(cause: unknown): Effect.Effect<void> {
    const duration = Duration.millis(Number((this.clock.unsafeCurrentTimeNanos() - this.heardAt) / 1_000_000n) + 1)
    for (const subscriber of this.everybody()) subscriber.single({ _tag: "Gap", cause, duration })
    return Effect.logWarning(
      `Listening again on endpoint ${this.endpoint.name}: `
        + `notifications of the last ${Duration.format(duration)} may be lost`
    )
  }

  private everybody(): ReadonlyArray<Subscriber> {
    return Array.from(this.subscribers.values(), (subscribers) => Array.from(subscribers)).flat()
  }
}

/** What listens to the channels of the primary, whichever it is, until the Scope ends. */
export const make = (
  primary: () => Endpoint<Settings>
): Effect.Effect<(channel: string) => Stream.Stream<ListenEvent, SqlError>, never, Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const listener = new Listener(primary, clock, yield* FiberSet.makeRuntime<never>())
    yield* Effect.addFinalizer(() => Effect.sync(() => listener.close()))
    return listener.listen
  })

const say = (
  connection: PgConnection,
  command: "LISTEN" | "UNLISTEN",
  channel: string
): Effect.Effect<void, SqlError> =>
  Effect.asVoid(connection.executeRaw(`${command} ${Pg.escapeIdentifier(channel)}`, []))

const lossOf = (connection: PgConnection): Effect.Effect<never, unknown> =>
  Effect.async((resume) => connection.onLost((cause) => resume(Effect.fail(cause))))

const nameTooLong = (channel: string): SqlError =>
  toSqlError(
    new ConfigurationError({
      path: `listen("${channel}")`,
      problem: `a channel's name has at most ${longestName} bytes; the server would listen to a shorter one`
    })
  )
