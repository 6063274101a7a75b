import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { CloseReason, ConnectionPoolSettings, ConnectionPoolStats } from "../ConnectionPool.js"
import type { PhysicalConnection } from "../Driver.js"
import * as RoutingError from "../RoutingError.js"
import type { Restore } from "./compat.js"

/** Share of `maxLifetime` by which a connection's own life may be shorter. */
const lifetimeJitter = 0.1

/** How long a pool that could not connect waits before it tries again for those who still wait: doubled up to the cap. */
const reconnectDelay = { first: Duration.millis(100), cap: Duration.seconds(2) }

/** A connection with its place in the pool: lent to one borrower, or idle. */
export interface Slot {
  readonly connection: PhysicalConnection
  readonly scope: Scope.CloseableScope
  /** `undefined`: never. */
  readonly expiresAt: bigint | undefined
  idleSince: bigint
  closed: boolean
}

interface Waiter {
  readonly since: bigint
  settle: (result: Effect.Effect<Slot, SqlError>) => void
  slot: Slot | undefined
}

export interface PoolOptions {
  readonly database: string
  readonly endpoint: string
  readonly lane: "main" | "readers"
  readonly settings: ConnectionPoolSettings
  readonly open: Effect.Effect<PhysicalConnection, SqlError, Scope.Scope>
}

/**
 * A bounded pool of physical connections.
 *
 * Connections are opened by fibers of the pool, never by a borrower's: an interrupted borrower leaves at once, and what
 * was being opened for it serves the next. Idle connections are lent last in, first out, so that a quiet pool shrinks;
 * borrowers that must wait are served first come, first served.
 */
export class Pool {
  private readonly idle: Array<Slot> = []
  private readonly slots = new Set<Slot>()
  private readonly waiters = new Set<Waiter>()
  private readonly idleNanos: bigint | undefined
  private readonly lifetimeNanos: bigint | undefined
  private readonly acquireNanos: bigint | undefined
  private connecting = 0
  private closing = 0
  private timing = false
  private drained: Deferred.Deferred<void> | undefined
  private lastConnectError: unknown
  private failuresInARow = 0
  private reconnecting = false
  private created = 0
  private acquired = 0
  private timeouts = 0
  private connectFailures = 0
  private readonly closedBy: { [reason in CloseReason]: number } = {
    idle: 0,
    lifetime: 0,
    lost: 0,
    unusable: 0,
    shutdown: 0
  }

  constructor(
    readonly options: PoolOptions,
    private readonly clock: Clock.Clock,
    /** Uniform in [0, 1). */
    private readonly random: () => number,
    /** Starts the pool's own work, which ends with its Scope. */
    private readonly fork: (effect: Effect.Effect<void>) => void
  ) {
    const { acquireTimeout, idleTimeout, maxLifetime } = options.settings
    this.idleNanos = toNanos(idleTimeout)
    this.lifetimeNanos = toNanos(maxLifetime)
    this.acquireNanos = toNanos(acquireTimeout)
  }

  get active(): number {
    return this.slots.size - this.idle.length
  }

  get stats(): ConnectionPoolStats {
    return {
      endpoint: this.options.endpoint,
      lane: this.options.lane,
      max: this.options.settings.max,
      active: this.active,
      idle: this.idle.length,
      connecting: this.connecting,
      waiting: this.waiters.size,
      created: this.created,
      acquired: this.acquired,
      timeouts: this.timeouts,
      connectFailures: this.connectFailures,
      closed: { ...this.closedBy }
    }
  }

  /** An idle connection, at once, or `undefined`: the way of a statement when there is no queue. */
  takeIdle(): Slot | undefined {
    const slot = this.idle.pop()
    if (slot !== undefined) this.acquired++
    return slot
  }

  /**
   * Waits for a connection. To be called and run in an uninterruptible region, whose `restore` makes just the waiting
   * interruptible: so a connection that was handed over in the same moment as an interruption is never lost.
   */
  acquire(restore: Restore): Effect.Effect<Slot, SqlError> {
    const slot = this.takeIdle()
    if (slot !== undefined) return Effect.succeed(slot)
    const waiter: Waiter = { since: this.clock.unsafeCurrentTimeNanos(), settle: ignore, slot: undefined }
    const waiting = Effect.async<Slot, SqlError>((resume) => {
      waiter.settle = resume
      this.enqueue(waiter)
    })
    return Effect.matchCauseEffect(restore(waiting), {
      onSuccess: Effect.succeed,
      onFailure: (cause) => {
        this.abandon(waiter)
        return Effect.failCause(cause)
      }
    })
  }

  /** Gives a connection back; `now` is the pool clock's time, which the caller has read anyway. */
  release(slot: Slot, now: bigint): void {
    if (slot.closed) return
    // An open transaction would become the next borrower's.
    if (!slot.connection.isUsable() || slot.connection.inTransaction() === true) return this.close(slot, "unusable")
    if (this.drained !== undefined) return this.close(slot, "shutdown")
    if (isExpired(slot, now)) return this.close(slot, "lifetime")
    slot.idleSince = now
    this.lend(slot)
  }

  /** Destroys a connection instead of giving it back. */
  discard(slot: Slot): void {
    if (!slot.closed) this.close(slot, "unusable")
  }

  /** Ends the pool: borrowers in line fail, connections in use have until the deadline to come back. */
  shutdown(deadline: Duration.Duration): Effect.Effect<void> {
    return Effect.suspend(() => {
      const drained = this.drained = Deferred.unsafeMake<void>(FiberId.none)
      for (const waiter of this.waiters) waiter.settle(Effect.fail(this.closedError()))
      this.waiters.clear()
      for (const slot of this.idle.slice()) this.close(slot, "shutdown")
      this.settleDrained()
      return Effect.zipRight(
        // Finalizers are uninterruptible, and what cannot be interrupted cannot time out.
        Effect.timeoutOption(Effect.interruptible(Deferred.await(drained)), deadline),
        Effect.suspend(() => {
          const late = Array.from(this.slots)
          for (const slot of late) this.detach(slot, "shutdown")
          return Effect.forEach(late, ({ scope }) => closeScope(scope, destroyed), {
            concurrency: "unbounded",
            discard: true
          })
        })
      )
    })
  }

  /** Keeps `min` connections open and closes those that are idle or old, until the pool's Scope ends. */
  readonly maintain: Effect.Effect<void> = Effect.suspend(() => {
    this.grow()
    const now = this.clock.unsafeCurrentTimeNanos()
    for (const slot of this.idle.slice()) {
      if (isExpired(slot, now)) this.close(slot, "lifetime")
      else if (this.isOverdue(slot, now) && this.slots.size > this.options.settings.min) this.close(slot, "idle")
    }
    return Effect.zipRight(sleep(this.untilNextExpiry(now)), this.maintain)
  })

  private isOverdue(slot: Slot, now: bigint): boolean {
    return this.idleNanos !== undefined && now - slot.idleSince >= this.idleNanos
  }

  /**
   * How long nothing can expire. A connection that is given back meanwhile is idle for too long no sooner than a full
   * idle time from now, and one that is opened lives for the shortest lifetime; so nobody need wake the sleeper.
   */
  private untilNextExpiry(now: bigint): bigint | undefined {
    const { min } = this.options.settings
    const candidates: Array<bigint> = []
    if (this.idleNanos !== undefined) {
      candidates.push(this.idleNanos)
      if (this.slots.size > min) {
        for (const slot of this.idle) candidates.push(slot.idleSince + this.idleNanos - now)
      }
    }
    if (this.lifetimeNanos !== undefined) {
      candidates.push(this.lifetimeNanos - this.lifetimeNanos / 10n)
      // Those in use too, for they may be idle by then; what expires in use is closed when it is given back.
      for (const slot of this.slots) if (!isExpired(slot, now)) candidates.push(slot.expiresAt! - now)
    }
    return candidates.reduce<bigint | undefined>((a, b) => a === undefined || b < a ? b : a, undefined)
  }

  /** Serves a borrower now, if it can be; the fiber may have yielded, and the pool changed, since it looked. */
  private enqueue(waiter: Waiter): void {
    const { max, maxWaiters } = this.options.settings
    const slot = this.idle.pop()
    if (slot !== undefined) return this.handOver(slot, waiter)
    if (this.drained !== undefined) return waiter.settle(Effect.fail(this.closedError()))
    // Those for whom a connection can be opened do not wait for others to give theirs back.
    if (this.waiters.size >= maxWaiters + max - this.slots.size) {
      return waiter.settle(Effect.fail(this.acquireError("tooManyWaiters", Duration.zero)))
    }
    this.waiters.add(waiter)
    this.grow()
    this.watchWaiters()
  }

  private lend(slot: Slot): void {
    const [waiter] = this.waiters
    if (waiter === undefined) {
      this.idle.push(slot)
      return
    }
    this.waiters.delete(waiter)
    this.handOver(slot, waiter)
  }

  private handOver(slot: Slot, waiter: Waiter): void {
    this.acquired++
    waiter.slot = slot
    waiter.settle(Effect.succeed(slot))
  }

  /** A borrower that was interrupted, or failed, while it waited; what it was handed in that moment goes on. */
  private abandon(waiter: Waiter): void {
    this.waiters.delete(waiter)
    if (waiter.slot !== undefined) this.release(waiter.slot, this.clock.unsafeCurrentTimeNanos())
  }

  /** How many more connections borrowers wait for, or `min` asks for. */
  private get missing(): number {
    const belowMin = this.options.settings.min - this.slots.size - this.connecting
    // Nobody waits for `min`: a server that is down is asked again when the delay is over.
    return Math.max(this.waiters.size - this.connecting, this.reconnecting ? 0 : belowMin)
  }

  private get room(): number {
    const { max, maxConnecting } = this.options.settings
    return this.drained === undefined
      ? Math.min(maxConnecting - this.connecting, max - this.slots.size - this.connecting)
      : 0
  }

  private grow(): void {
    for (let count = Math.min(this.missing, this.room); count > 0; count--) {
      this.connecting++
      this.fork(this.connect)
    }
  }

  private readonly connect: Effect.Effect<void> = Effect.suspend(() => {
    const { connectTimeout } = this.options.settings
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        Effect.matchCauseEffect(
          restore(Effect.timeoutFail(Scope.extend(this.options.open, scope), {
            duration: connectTimeout,
            onTimeout: () =>
              new SqlError({
                cause: new Error(`not connected within ${Duration.format(connectTimeout)}`),
                message: "Failed to connect"
              })
          })),
          {
            onFailure: (cause) =>
              Effect.zipRight(
                closeScope(scope, Exit.failCause(cause)),
                Effect.sync(() => this.onConnectFailure(cause))
              ),
            onSuccess: (connection) =>
              Effect.suspend(() => {
                this.connecting--
                // No fiber of an ended pool would be left to close it.
                if (this.drained !== undefined) return closeScope(scope, destroyed)
                this.onConnected(connection, scope)
                return Effect.void
              })
          }
        ))
    )
  })

  private onConnected(connection: PhysicalConnection, scope: Scope.CloseableScope): void {
    this.created++
    this.failuresInARow = 0
    this.lastConnectError = undefined
    const now = this.clock.unsafeCurrentTimeNanos()
    const slot: Slot = { connection, scope, expiresAt: this.expiry(now), idleSince: now, closed: false }
    this.slots.add(slot)
    connection.onLost(() => {
      // In use, its borrower sees the loss itself, and gives it back as unusable.
      if (this.idle.includes(slot)) this.close(slot, "lost")
    })
    this.release(slot, now)
    this.grow()
  }

  private onConnectFailure(cause: Cause.Cause<SqlError>): void {
    this.connecting--
    this.connectFailures++
    this.failuresInARow++
    this.lastConnectError = Cause.squash(cause)
    // While others hold connections, those may yet come back; with none, waiting longer would help nobody.
    if (this.slots.size === 0 && this.connecting === 0) {
      const error = this.unavailable(this.lastConnectError)
      for (const waiter of this.waiters) waiter.settle(Effect.fail(error))
      this.waiters.clear()
    }
    this.reconnect()
  }

  /** Tries again later for those who still wait, and for `min`. */
  private reconnect(): void {
    if (this.reconnecting || this.drained !== undefined || this.missing <= 0) return
    this.reconnecting = true
    const delay = Duration.min(
      Duration.times(reconnectDelay.first, 2 ** Math.min(this.failuresInARow - 1, 10)),
      reconnectDelay.cap
    )
    this.fork(Effect.zipRight(
      Effect.sleep(delay),
      Effect.sync(() => {
        this.reconnecting = false
        this.grow()
      })
    ))
  }

  private expiry(now: bigint): bigint | undefined {
    if (this.lifetimeNanos === undefined) return undefined
    return now + this.lifetimeNanos - BigInt(Math.floor(Number(this.lifetimeNanos) * lifetimeJitter * this.random()))
  }

  private close(slot: Slot, reason: CloseReason): void {
    this.detach(slot, reason)
    this.closing++
    this.fork(Effect.zipRight(
      closeScope(slot.scope, reason === "unusable" || reason === "lost" ? destroyed : Exit.void),
      Effect.sync(() => {
        this.closing--
        this.settleDrained()
      })
    ))
    this.grow()
  }

  private detach(slot: Slot, reason: CloseReason): void {
    slot.closed = true
    this.closedBy[reason]++
    this.slots.delete(slot)
    const index = this.idle.indexOf(slot)
    if (index >= 0) this.idle.splice(index, 1)
  }

  private settleDrained(): void {
    if (this.drained !== undefined && this.slots.size + this.closing === 0) {
      Deferred.unsafeDone(this.drained, Effect.void)
    }
  }

  /** One fiber watches the deadlines of all that wait: they are in order, so the first is the next to expire. */
  private watchWaiters(): void {
    const timeout = this.acquireNanos
    if (this.timing || timeout === undefined || this.waiters.size === 0) return
    this.timing = true
    const watch: Effect.Effect<void> = Effect.suspend(() => {
      const now = this.clock.unsafeCurrentTimeNanos()
      for (const waiter of this.waiters) {
        const left = waiter.since + timeout - now
        if (left > 0n) return Effect.zipRight(sleep(left), watch)
        this.waiters.delete(waiter)
        this.timeouts++
        waiter.settle(Effect.fail(this.acquireError("timeout", Duration.nanos(now - waiter.since))))
      }
      this.timing = false
      return Effect.void
    })
    this.fork(watch)
  }

  private acquireError(reason: "timeout" | "tooManyWaiters", waited: Duration.Duration): SqlError {
    const { database, endpoint, settings } = this.options
    return RoutingError.toSqlError(
      new RoutingError.AcquireTimeout({
        reason,
        database,
        endpoint,
        waited,
        active: this.active,
        max: settings.max,
        waiting: this.waiters.size,
        lastConnectError: this.lastConnectError
      })
    )
  }

  private unavailable(cause: unknown): SqlError {
    const { database, endpoint } = this.options
    return RoutingError.toSqlError(new RoutingError.EndpointUnavailable({ database, endpoint, cause }))
  }

  private closedError(): SqlError {
    const { database, endpoint } = this.options
    return RoutingError.toSqlError(new RoutingError.RouterClosed({ database, endpoint }))
  }
}

const ignore = () => {}

/** Why a Scope is closed whose connection must not say good-bye first. */
const destroyed: Exit.Exit<never> = Exit.interrupt(FiberId.none)

/** Whatever happens at a connection's end, it must not cost the pool its place. */
const closeScope = (scope: Scope.CloseableScope, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.catchAllCause(
    Scope.close(scope, exit),
    (cause) => Effect.logDebug("A connection could not be closed properly", cause)
  ))

/** In whole milliseconds: at today's date a `TestClock` cannot tell smaller ones apart, and would wake us for ever. */
const sleep = (nanos: bigint | undefined): Effect.Effect<void> =>
  Effect.sleep(nanos === undefined ? Duration.infinity : Duration.millis(Math.ceil(Number(nanos) / 1e6)))

const isExpired = (slot: Slot, now: bigint): boolean => slot.expiresAt !== undefined && now >= slot.expiresAt

const toNanos = (duration: Duration.Duration): bigint | undefined => Option.getOrUndefined(Duration.toNanos(duration))

/** A pool that opens its first connections now and ends, gracefully, with the Scope. */
export const make = (
  options: PoolOptions & { readonly shutdownTimeout: Duration.Duration; readonly random: () => number }
): Effect.Effect<Pool, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const run = yield* FiberSet.makeRuntime<never>()
    // Fibers inherit from the region that the pool is built in whether they can be interrupted.
    const pool = new Pool(options, clock, options.random, (effect) => void run(Effect.interruptible(effect)))
    yield* Effect.addFinalizer(() => pool.shutdown(options.shutdownTimeout))
    yield* Effect.forkScoped(Effect.interruptible(pool.maintain))
    return pool
  })
