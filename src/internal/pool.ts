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
import type * as Tracer from "effect/Tracer"
import type { CloseReason, ConnectionPoolSettings, ConnectionPoolStats } from "../ConnectionPool.js"
import type { PhysicalConnection } from "../Driver.js"
import * as RoutingError from "../RoutingError.js"
import type { Restore } from "./compat.js"
import type { ConnectionBudget, Member } from "./connectionBudget.js"
import { Histogram } from "./histogram.js"
import type { PoolHooks } from "./hooks.js"

/** Share of `maxLifetime` and of `idleTimeout` by which a connection's own may be shorter. */
const jitter = 0.1

/** How long a pool that could not connect waits before it tries again for those who still wait: doubled up to the cap. */
const reconnectDelay = { first: Duration.millis(100), cap: Duration.seconds(2) }

/** A connection that is lost younger than this, before it served anybody, counts like one that could not be opened. */
const infancy = Duration.toNanos(Duration.seconds(1)).pipe(Option.getOrThrow)

/** After so many of them in a row borrowers wait for the delay too: a statement may be replaced as often at once. */
const deathsBeforeDelay = 3

/** How many idle connections a round of health checks asks. */
const healthCheckBatch = 3

/** How long a connection has to give a sign of life. */
const pingTimeout = Duration.seconds(1)

/** How long rolling back may take that a borrower left undone. */
const rollbackTimeout = Duration.seconds(1)

/** A good-bye that takes longer goes on without the pool, which gives away its place. */
const goodbyeTimeout = Duration.seconds(10)

/** Connections that are closed for these reasons are destroyed without a good-bye. */
const isDestroyed: { readonly [reason in CloseReason]: boolean } = {
  idle: false,
  lifetime: false,
  lost: true,
  unhealthy: true,
  unusable: true,
  reset: true,
  evicted: false,
  shutdown: false
}

/** A connection with its place in the pool. */
export class Slot {
  /** `busy`: the pool itself uses it. */
  state: "idle" | "lent" | "busy" | "closed" = "busy"
  idleSince: bigint
  /** When it last gave a sign of life. */
  provenAt: bigint
  lentAt = 0n
  lentBefore = false
  /** Whether a borrower has given it back in order. */
  hasServed = false
  /** The span of its borrower. */
  holder: Tracer.AnySpan | undefined = undefined
  isWarnedOf = false
  isEvicted = false

  constructor(
    readonly connection: PhysicalConnection,
    readonly scope: Scope.CloseableScope,
    readonly openedAt: bigint,
    /** `undefined`: never. */
    readonly expiresAt: bigint | undefined,
    /** How long it may be idle; `undefined`: for ever. */
    readonly idleNanos: bigint | undefined
  ) {
    this.idleSince = openedAt
    this.provenAt = openedAt
  }
}

/** A borrower in line. */
interface Waiter {
  readonly since: bigint
  readonly holder: Tracer.AnySpan | undefined
  settle: (result: Effect.Effect<Slot, SqlError>) => void
  slot: Slot | undefined
}

export interface PoolOptions {
  readonly database: string
  readonly endpoint: string
  readonly lane: "main" | "readers"
  readonly settings: ConnectionPoolSettings
  readonly open: Effect.Effect<PhysicalConnection, SqlError, Scope.Scope>
  /** The text that ends a transaction which a borrower left open; `undefined` where the next may go on with it. */
  readonly rollback: string | undefined
  readonly hooks: PoolHooks
  /** The cap over all pools of the router, if there is one. */
  readonly budget: ConnectionBudget | undefined
  /** Told when the server, or the network, has ended a connection. */
  readonly onLost?: (() => void) | undefined
}

/**
 * A bounded pool of physical connections.
 *
 * Connections are opened, checked, rolled back and closed by fibers of the pool, never by a borrower's: an interrupted
 * borrower leaves at once, and what was being opened for it serves the next. Idle connections are lent last in, first
 * out, so that a quiet pool shrinks; borrowers that must wait are served first come, first served.
 */
export class Pool implements Member {
  /** In the order of their last use. */
  private readonly idle: Array<Slot> = []
  private readonly slots = new Set<Slot>()
  private readonly waiters = new Set<Waiter>()
  private readonly idleNanos: bigint | undefined
  private readonly lifetimeNanos: bigint | undefined
  private readonly acquireNanos: bigint | undefined
  private readonly validateNanos: bigint | undefined
  private readonly healthCheckNanos: bigint | undefined
  private readonly leakNanos: bigint | undefined
  /** When health was checked last. */
  private lastRound: bigint
  private connecting = 0
  private evictions = 0
  private closing = 0
  /** Checks and rollbacks under way whose connection a borrower waits for, or may have. */
  private preparing = 0
  private isWatched = false
  private drained: Deferred.Deferred<void> | undefined
  private lastConnectError: unknown
  /** Attempts to connect that failed since one succeeded. */
  private failuresInARow = 0
  /** Connections that died in their infancy since one served a borrower. */
  private deathsInARow = 0
  /** Whether a connection was lost since one was opened. */
  private hasLostOne = false
  /** The pause under way. */
  private pause: object | undefined
  private created = 0
  private acquired = 0
  private firstLoans = 0
  private timeouts = 0
  private connectFailures = 0
  private healthChecks = 0
  private healthCheckFailures = 0
  private rolledBack = 0
  private leakWarnings = 0
  private readonly closedBy: { [reason in CloseReason]: number } = {
    idle: 0,
    lifetime: 0,
    lost: 0,
    unhealthy: 0,
    unusable: 0,
    reset: 0,
    evicted: 0,
    shutdown: 0
  }
  private readonly acquireTime = new Histogram()
  private readonly usageTime = new Histogram()

  constructor(
    readonly options: PoolOptions,
    private readonly clock: Clock.Clock,
    /** Uniform in [0, 1). */
    private readonly random: () => number,
    /** Starts the pool's own work, which ends with its Scope. */
    private readonly fork: (effect: Effect.Effect<void>) => void
  ) {
    const { acquireTimeout, healthCheckInterval, idleTimeout, leakWarning, maxLifetime, validateAfterIdle } =
      options.settings
    this.idleNanos = toNanos(idleTimeout)
    this.lifetimeNanos = toNanos(maxLifetime)
    this.acquireNanos = toNanos(acquireTimeout)
    this.validateNanos = toNanos(validateAfterIdle)
    this.healthCheckNanos = toNanos(healthCheckInterval)
    this.leakNanos = toNanos(leakWarning)
    this.lastRound = clock.unsafeCurrentTimeNanos()
  }

  get active(): number {
    return this.slots.size - this.idle.length
  }

  get min(): number {
    return this.options.settings.min
  }

  get places(): number {
    return this.slots.size + this.connecting + this.closing
  }

  get farewells(): number {
    return this.closing
  }

  /** How many more connections it would open now. */
  get wanted(): number {
    return Math.min(this.missing, this.room)
  }

  get isAboveMin(): boolean {
    return this.slots.size > this.min
  }

  get oldestIdle(): bigint | undefined {
    return this.idle[0]?.idleSince
  }

  get waitingSince(): bigint | undefined {
    const [waiter] = this.waiters
    return waiter?.since
  }

  get stats(): ConnectionPoolStats {
    const { max } = this.options.settings
    return {
      database: this.options.database,
      endpoint: this.options.endpoint,
      lane: this.options.lane,
      max,
      total: this.slots.size,
      active: this.active,
      idle: this.idle.length,
      connecting: this.connecting,
      closing: this.closing,
      waiting: this.waiters.size,
      utilization: this.active / max,
      created: this.created,
      acquired: this.acquired,
      reused: this.acquired - this.firstLoans,
      timeouts: this.timeouts,
      connectFailures: this.connectFailures,
      healthChecks: this.healthChecks,
      healthCheckFailures: this.healthCheckFailures,
      rolledBack: this.rolledBack,
      leakWarnings: this.leakWarnings,
      closed: { ...this.closedBy },
      acquireTime: this.acquireTime.timings,
      usageTime: this.usageTime.timings
    }
  }

  /** An idle connection, at once, or `undefined`: the way of a statement when there is no queue. */
  takeIdle(holder?: Tracer.AnySpan): Slot | undefined {
    const slot = this.idle[this.idle.length - 1]
    if (slot === undefined) return undefined
    const now = this.clock.unsafeCurrentTimeNanos()
    if (this.isSilent(slot, now)) return undefined
    this.idle.pop()
    // It did not wait: another look at the clock would cost more than it tells.
    this.acquireTime.recordZero()
    this.loan(slot, now, holder)
    return slot
  }

  /**
   * Waits for a connection. To be called and run in an uninterruptible region, whose `restore` makes just the waiting
   * interruptible: so a connection that was handed over in the same moment as an interruption is never lost.
   */
  acquire(restore: Restore, holder?: Tracer.AnySpan): Effect.Effect<Slot, SqlError> {
    const slot = this.takeIdle(holder)
    if (slot !== undefined) return Effect.succeed(slot)
    const waiter: Waiter = { since: this.clock.unsafeCurrentTimeNanos(), holder, settle: ignore, slot: undefined }
    const waiting = Effect.async<Slot, SqlError>((resume) => {
      waiter.settle = resume
      this.enqueue(waiter)
    })
    return Effect.catchAllCause(restore(waiting), (cause) => {
      this.abandon(waiter)
      return Effect.failCause(cause)
    })
  }

  /**
   * Gives a connection back; `now` is the pool clock's time, which the caller has read anyway. One whose session is no
   * longer what it was is closed.
   */
  release(slot: Slot, now: bigint, isChanged = false): void {
    if (slot.state !== "lent") return
    const { connection } = slot
    this.endLoan(slot, now)
    if (!connection.isUsable()) return this.close(slot, "unusable")
    if (slot.isEvicted) return this.close(slot, "evicted")
    // An open transaction would become the next borrower's.
    const { rollback } = this.options
    if (!isChanged && rollback !== undefined && connection.inTransaction() === true) {
      return this.rollBack(slot, rollback)
    }
    if (!slot.hasServed) {
      slot.hasServed = true
      this.deathsInARow = 0
    }
    if (isChanged) return this.close(slot, "reset")
    this.settle(slot, now)
  }

  /** Closes what is idle now, what is in use as soon as it comes back, and what is being opened once it is open. */
  evict(): void {
    this.evictions++
    for (const slot of this.slots) slot.isEvicted = true
    for (const slot of this.idle.slice()) this.close(slot, "evicted")
  }

  /** Destroys a connection instead of giving it back. */
  discard(slot: Slot): void {
    if (slot.state !== "lent") return
    const now = this.clock.unsafeCurrentTimeNanos()
    this.endLoan(slot, now)
    this.lose(slot, "unusable", now)
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
          this.options.budget?.leave(this)
          return Effect.forEach(late, ({ scope }) => closeScope(scope, destroyed), {
            concurrency: "unbounded",
            discard: true
          })
        })
      )
    })
  }

  /** Keeps `min` connections open, and closes, checks and tells of those whose time has come, until the Scope ends. */
  readonly maintain: Effect.Effect<void> = Effect.suspend(() => {
    this.grow()
    const now = this.clock.unsafeCurrentTimeNanos()
    for (const slot of this.idle.slice()) {
      if (isExpired(slot, now)) this.close(slot, "lifetime")
      else if (isOverdue(slot, now) && this.isAboveMin) this.close(slot, "idle")
    }
    this.checkHealth(now)
    for (const slot of this.slots) if (this.isLeak(slot, now)) this.warnOf(slot, now)
    return Effect.zipRight(sleep(this.untilNextExpiry(now)), this.maintain)
  })

  /** Prepares or opens connections for those that wait, and for `min`. */
  grow(): void {
    for (let count = this.waiters.size - this.coming; count > 0 && this.idle.length > 0; count--) {
      // What is idle while somebody waits has been silent for too long.
      this.check(this.idle[this.idle.length - 1]!, true)
    }
    const { budget } = this.options
    for (let count = this.wanted; count > 0; count--) {
      if (budget !== undefined && !budget.admits(this)) return
      this.connecting++
      this.fork(this.connect)
    }
  }

  evictOldest(): void {
    this.close(this.idle[0]!, "evicted")
  }

  private isSilent(slot: Slot, now: bigint): boolean {
    return this.validateNanos !== undefined && now - slot.provenAt >= this.validateNanos
  }

  private isLeak(slot: Slot, now: bigint): boolean {
    return this.leakNanos !== undefined && slot.state === "lent" && !slot.isWarnedOf
      && now - slot.lentAt >= this.leakNanos
  }

  /**
   * How long nothing can expire. A connection that is given back meanwhile is idle for too long no sooner than the
   * shortest idle time from now, and likewise for one that is opened or lent; so nobody need wake the sleeper.
   */
  private untilNextExpiry(now: bigint): bigint | undefined {
    const candidates: Array<bigint> = []
    if (this.idleNanos !== undefined) {
      candidates.push(shortest(this.idleNanos))
      if (this.isAboveMin) {
        for (const slot of this.idle) candidates.push(slot.idleSince + slot.idleNanos! - now)
      }
    }
    if (this.lifetimeNanos !== undefined) {
      candidates.push(shortest(this.lifetimeNanos))
      // Those in use too, for they may be idle by then; what expires in use is closed when it is given back.
      for (const slot of this.slots) if (!isExpired(slot, now)) candidates.push(slot.expiresAt! - now)
    }
    if (this.healthCheckNanos !== undefined) candidates.push(this.lastRound + this.healthCheckNanos - now)
    if (this.leakNanos !== undefined) {
      candidates.push(this.leakNanos)
      for (const slot of this.slots) {
        if (slot.state === "lent" && !slot.isWarnedOf) candidates.push(slot.lentAt + this.leakNanos - now)
      }
    }
    return candidates.reduce<bigint | undefined>((a, b) => a === undefined || b < a ? b : a, undefined)
  }

  /** Asks a few of those that have given no sign of life since the round before. */
  private checkHealth(now: bigint): void {
    if (this.healthCheckNanos === undefined || now - this.lastRound < this.healthCheckNanos) return
    const silent = this.idle.filter((slot) => slot.provenAt <= this.lastRound)
    silent.sort((a, b) => a.provenAt < b.provenAt ? -1 : a.provenAt > b.provenAt ? 1 : 0)
    for (const slot of silent.slice(0, healthCheckBatch)) this.check(slot, false)
    this.lastRound = now
  }

  private warnOf(slot: Slot, now: bigint): void {
    const { database, endpoint, lane } = this.options
    const { holder } = slot
    slot.isWarnedOf = true
    this.leakWarnings++
    const by = holder === undefined
      ? "a borrower without a span"
      : `${holder._tag === "Span" ? `the span "${holder.name}"` : "a span"} `
        + `(trace ${holder.traceId}, span ${holder.spanId})`
    const held = Duration.format(Duration.nanos(now - slot.lentAt))
    this.fork(Effect.annotateLogs(
      Effect.logWarning(
        `A connection to endpoint ${endpoint} of database "${database}" has been held for ${held} by ${by}. `
          + "If that is not meant, look there for a transaction, stream or reserved connection that does not end."
      ),
      { database, endpoint, lane }
    ))
  }

  /** Serves a borrower now, if it can be; the fiber may have yielded, and the pool changed, since it looked. */
  private enqueue(waiter: Waiter): void {
    const { max, maxWaiters } = this.options.settings
    const slot = this.takeProven(waiter.since)
    if (slot !== undefined) return this.handOver(slot, waiter, waiter.since)
    if (this.drained !== undefined) return waiter.settle(Effect.fail(this.closedError()))
    // Those for whom a connection can be opened or checked do not wait for others to give theirs back.
    if (this.waiters.size >= maxWaiters + max - this.slots.size + this.idle.length + this.preparing) {
      return waiter.settle(Effect.fail(this.acquireError("tooManyWaiters", Duration.zero)))
    }
    this.waiters.add(waiter)
    this.grow()
    this.watch(waiter.since)
  }

  /** The idle connection that was used last, of those that have given a sign of life lately. */
  private takeProven(now: bigint): Slot | undefined {
    const slot = this.idle.findLast((slot) => !this.isSilent(slot, now))
    if (slot !== undefined) this.unshelve(slot)
    return slot
  }

  private loan(slot: Slot, now: bigint, holder: Tracer.AnySpan | undefined): void {
    slot.state = "lent"
    slot.lentAt = now
    slot.holder = holder
    this.acquired++
    if (!slot.lentBefore) {
      slot.lentBefore = true
      this.firstLoans++
    }
  }

  private endLoan(slot: Slot, now: bigint): void {
    this.usageTime.record(now - slot.lentAt)
    slot.state = "busy"
    slot.holder = undefined
    slot.isWarnedOf = false
    slot.idleSince = now
  }

  /** A connection in order goes to whoever may have it: another pool too, unless it was just opened for who waits here. */
  private settle(slot: Slot, now: bigint, isOpenedForWaiter = false): void {
    if (this.drained !== undefined) return this.close(slot, "shutdown")
    if (slot.isEvicted) return this.close(slot, "evicted")
    if (isExpired(slot, now)) return this.close(slot, "lifetime")
    if (!isOpenedForWaiter && this.options.budget?.claims(this) === true) return this.close(slot, "evicted")
    slot.provenAt = now
    const [waiter] = this.waiters
    if (waiter === undefined) return this.shelve(slot)
    this.waiters.delete(waiter)
    this.handOver(slot, waiter, now)
  }

  private handOver(slot: Slot, waiter: Waiter, now: bigint): void {
    this.acquireTime.record(now - waiter.since)
    this.loan(slot, now, waiter.holder)
    waiter.slot = slot
    waiter.settle(Effect.succeed(slot))
  }

  private shelve(slot: Slot): void {
    slot.state = "idle"
    let place = this.idle.length
    // One that was only checked was not used.
    while (place > 0 && this.idle[place - 1]!.idleSince > slot.idleSince) place--
    if (place === this.idle.length) this.idle.push(slot)
    else this.idle.splice(place, 0, slot)
  }

  private unshelve(slot: Slot): void {
    slot.state = "busy"
    this.idle.splice(this.idle.indexOf(slot), 1)
  }

  /** A borrower that was interrupted, or failed, while it waited; what it was handed in that moment goes on. */
  private abandon(waiter: Waiter): void {
    this.waiters.delete(waiter)
    if (waiter.slot !== undefined) this.release(waiter.slot, this.clock.unsafeCurrentTimeNanos())
  }

  /** Connections that borrowers in line may count on. */
  private get coming(): number {
    return this.connecting + this.preparing
  }

  /** How many more connections borrowers wait for, or `min` asks for. */
  private get missing(): number {
    const belowMin = this.min - this.slots.size - this.connecting
    // Nobody waits for `min`: a server that is down is asked again when the delay is over. Borrowers wait for the delay
    // while others may yet give a connection back, or where one after the other died at once; else their answer is due.
    const mayWait = this.slots.size > 0 || this.deathsInARow >= deathsBeforeDelay
    return Math.max(
      this.pause !== undefined && mayWait ? 0 : this.waiters.size - this.coming,
      this.pause !== undefined ? 0 : belowMin
    )
  }

  private get room(): number {
    const { max, maxConnecting } = this.options.settings
    return this.drained === undefined ? Math.min(maxConnecting - this.connecting, max - this.places) : 0
  }

  /** Asks an idle connection for a sign of life; `isAwaited`, if a borrower is to have it. */
  private check(slot: Slot, isAwaited: boolean): void {
    this.unshelve(slot)
    this.healthChecks++
    const prepare = isAwaited ? 1 : 0
    this.preparing += prepare
    this.attempt(slot, slot.connection.ping, pingTimeout, (isAlive) => {
      this.preparing -= prepare
      if (slot.state === "closed") return
      const now = this.clock.unsafeCurrentTimeNanos()
      if (isAlive) return this.settle(slot, now)
      this.healthCheckFailures++
      this.lose(slot, "unhealthy", now)
      // What became of it may have become of all that have been silent for as long: borrowers must not find that out one
      // by one.
      for (const other of this.idle.slice()) if (other.provenAt <= slot.provenAt) this.check(other, false)
    })
  }

  /** Ends the transaction that a borrower left open, without letting the borrower wait. */
  private rollBack(slot: Slot, text: string): void {
    this.preparing++
    const { connection } = slot
    const rollback = connection.executeUnprepared(text, [], undefined)
    this.attempt(slot, rollback, rollbackTimeout, (isDone) => {
      this.preparing--
      if (slot.state === "closed") return
      if (!isDone || connection.inTransaction() === true) return this.close(slot, "reset")
      this.rolledBack++
      this.settle(slot, this.clock.unsafeCurrentTimeNanos())
    })
  }

  /** Uses a connection for the pool itself, and tells whether that went well in time. */
  private attempt(
    { connection }: Slot,
    use: Effect.Effect<unknown, SqlError>,
    timeout: Duration.Duration,
    done: (isFine: boolean) => void
  ): void {
    // Who is late may take as long again to be interrupted.
    const inTime = Effect.timeoutFail(Effect.disconnect(use), { duration: timeout, onTimeout: () => "too late" })
    this.fork(Effect.matchCause(inTime, {
      onFailure: () => done(false),
      onSuccess: () => done(connection.isUsable())
    }))
  }

  private readonly connect: Effect.Effect<void> = Effect.suspend(() => {
    const { hooks } = this.options
    const { evictions } = this
    const number = this.failuresInARow + 1
    const isReconnect = number > 1 || this.hasLostOne
    const before = isReconnect
      ? Effect.zipRight(hooks.beforeConnect, hooks.beforeReconnect(number))
      : hooks.beforeConnect
    const after = (connection: PhysicalConnection) =>
      isReconnect
        ? Effect.zipRight(hooks.afterConnect(connection), hooks.afterReconnect(connection))
        : hooks.afterConnect(connection)
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        Effect.matchCauseEffect(
          restore(Effect.zipRight(before, Effect.tap(this.open(scope), after))),
          {
            onFailure: (cause) =>
              Effect.zipRight(
                closeScope(scope, Exit.failCause(cause)),
                Effect.suspend(() => {
                  this.onConnectFailure(cause)
                  return restore(hooks.onConnectionFailure(asSqlError(cause), number))
                })
              ),
            onSuccess: (connection) =>
              Effect.suspend(() => {
                this.connecting--
                // No fiber of an ended pool would be left to close it.
                if (this.drained !== undefined) return closeScope(scope, destroyed)
                if (this.evictions > evictions) {
                  this.grow()
                  return closeScope(scope, destroyed)
                }
                this.onConnected(connection, scope)
                return Effect.void
              })
          }
        ))
    )
  })

  private open(scope: Scope.Scope): Effect.Effect<PhysicalConnection, SqlError> {
    const { connectTimeout } = this.options.settings
    return Effect.timeoutFail(Scope.extend(this.options.open, scope), {
      duration: connectTimeout,
      onTimeout: () =>
        new SqlError({
          cause: new Error(`not connected within ${Duration.format(connectTimeout)}`),
          message: "Failed to connect"
        })
    })
  }

  private onConnected(connection: PhysicalConnection, scope: Scope.CloseableScope): void {
    this.created++
    this.failuresInARow = 0
    this.hasLostOne = false
    this.lastConnectError = undefined
    if (this.deathsInARow === 0) this.pause = undefined
    const now = this.clock.unsafeCurrentTimeNanos()
    const expiresAt = this.lifetimeNanos === undefined ? undefined : now + this.jittered(this.lifetimeNanos)
    const idleNanos = this.idleNanos === undefined ? undefined : this.jittered(this.idleNanos)
    const slot = new Slot(connection, scope, now, expiresAt, idleNanos)
    this.slots.add(slot)
    this.listen(slot)
    if (connection.isUsable()) this.settle(slot, now, this.waiters.size > 0)
    else this.lose(slot, "lost", now)
    this.grow()
  }

  /** Makes the pool the one that is told when a connection is lost. */
  listen(slot: Slot): void {
    slot.connection.onLost(() => {
      // In use, its borrower sees the loss itself, and gives it back as unusable.
      if (slot.state === "idle") this.lose(slot, "lost", this.clock.unsafeCurrentTimeNanos())
    })
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
    this.pauseConnecting()
    this.options.budget?.serve()
  }

  /** Lets some time pass before the server is asked again. */
  private pauseConnecting(): void {
    if (this.pause !== undefined || this.drained !== undefined) return
    const pause = this.pause = {}
    const setbacks = this.failuresInARow + this.deathsInARow
    const delay = Duration.min(
      Duration.times(reconnectDelay.first, 2 ** Math.min(setbacks - 1, 10)),
      reconnectDelay.cap
    )
    this.fork(Effect.zipRight(
      Effect.sleep(delay),
      Effect.sync(() => {
        if (this.pause !== pause) return
        this.pause = undefined
        this.grow()
      })
    ))
  }

  private jittered(nanos: bigint): bigint {
    return nanos - BigInt(Math.floor(Number(nanos) * jitter * this.random()))
  }

  /** A connection that the server, or the network, has ended. */
  private lose(slot: Slot, reason: "lost" | "unhealthy" | "unusable", now: bigint): void {
    this.hasLostOne = true
    if (reason === "lost") this.options.onLost?.()
    if (!slot.hasServed && now - slot.openedAt < infancy) {
      this.deathsInARow++
      this.pauseConnecting()
    }
    this.close(slot, reason)
  }

  private close(slot: Slot, reason: CloseReason): void {
    this.detach(slot, reason)
    this.closing++
    let isOver = false
    const over = Effect.sync(() => {
      if (isOver) return
      isOver = true
      this.closing--
      this.settleDrained()
      this.grow()
      this.options.budget?.serve()
    })
    this.fork(
      Effect.zipRight(isDestroyed[reason] ? closeScope(slot.scope, destroyed) : this.sayGoodbye(slot, over), over)
    )
    this.grow()
  }

  private sayGoodbye({ connection, scope }: Slot, over: Effect.Effect<void>): Effect.Effect<void> {
    const { beforeClose } = this.options.hooks
    const goodbye = closeScope(scope, Exit.void)
    return Effect.zipRight(
      // It ends with the fiber that says good-bye.
      Effect.fork(Effect.zipRight(Effect.sleep(goodbyeTimeout), over)),
      beforeClose === undefined ? goodbye : Effect.ensuring(beforeClose(connection), goodbye)
    )
  }

  private detach(slot: Slot, reason: CloseReason): void {
    if (slot.state === "idle") this.unshelve(slot)
    slot.state = "closed"
    this.closedBy[reason]++
    this.slots.delete(slot)
  }

  private settleDrained(): void {
    if (this.drained !== undefined && this.slots.size + this.closing === 0) {
      Deferred.unsafeDone(this.drained, Effect.void)
    }
  }

  /** One fiber watches until the time of the first in line is over; those behind it came later. */
  private watch(now: bigint): void {
    const { acquireNanos, waitingSince } = this
    if (acquireNanos === undefined || waitingSince === undefined || this.isWatched) return
    this.isWatched = true
    this.fork(Effect.zipRight(
      sleep(waitingSince + acquireNanos - now),
      Effect.sync(() => {
        this.isWatched = false
        const now = this.clock.unsafeCurrentTimeNanos()
        for (const waiter of this.waiters) {
          const waited = now - waiter.since
          if (waited < acquireNanos) break
          this.waiters.delete(waiter)
          this.timeouts++
          waiter.settle(Effect.fail(this.acquireError("timeout", Duration.nanos(waited))))
        }
        this.watch(now)
      })
    ))
  }

  private acquireError(reason: "timeout" | "tooManyWaiters", waited: Duration.Duration): SqlError {
    const { budget, database, endpoint, settings } = this.options
    return RoutingError.toSqlError(
      new RoutingError.AcquireTimeout({
        reason,
        database,
        endpoint,
        waited,
        active: this.active,
        max: settings.max,
        waiting: this.waiters.size,
        maxTotal: budget !== undefined && budget.open >= budget.limit && this.places < settings.max
          ? budget.limit
          : undefined,
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

const isOverdue = (slot: Slot, now: bigint): boolean =>
  slot.idleNanos !== undefined && now - slot.idleSince >= slot.idleNanos

/** The shortest time that jitter can make of one. */
const shortest = (nanos: bigint): bigint => nanos - BigInt(Math.floor(Number(nanos) * jitter))

const asSqlError = (cause: Cause.Cause<SqlError>): SqlError =>
  Option.getOrElse(
    Cause.failureOption(cause),
    () => new SqlError({ cause: Cause.squash(cause), message: "Failed to connect" })
  )

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
    options.budget?.join(pool)
    yield* Effect.addFinalizer(() => pool.shutdown(options.shutdownTimeout))
    yield* Effect.forkScoped(Effect.interruptible(pool.maintain))
    return pool
  })
