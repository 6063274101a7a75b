import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { Disposition, PhysicalConnection } from "../Driver.js"
import type { Plan } from "../Plan.js"
import type { Outcome } from "../ReplicaStrategy.js"
import type { RetryPolicySettings } from "../RetryPolicy.js"
import type { RouteDecision } from "../RouteDecision.js"
import * as RoutingError from "../RoutingError.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import type { StatementFacts } from "../StatementFacts.js"
import { announce, isFallback, tell } from "./announce.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import { leavingBehind } from "./deadline.js"
import type { FiberSettings } from "./fiberSettings.js"
import type { FreshnessSettings, FreshRead, Note } from "./freshness.js"
import { Freshness } from "./freshness.js"
import { FreshReads } from "./freshReads.js"
import type { Gate } from "./gate.js"
import { Budget } from "./health/budget.js"
import { dispositionOf } from "./health/disposition.js"
import { decide, type RetryDecision } from "./health/retryDecision.js"
import type { Route } from "./plan.js"
import type { Pool, Slot } from "./pool.js"
import type { Destination } from "./router.js"
import { SessionKeeper } from "./sessionSettings.js"
import type { Shadow } from "./shadow.js"
import { type InFlight, toMillis } from "./signals.js"
import type { Tally } from "./tally.js"

const nobody: ReadonlyArray<Server> = []

/** One statement on its way. */
export interface Call {
  readonly sql: string
  readonly facts: StatementFacts
  /** Of the Database that the statement goes to. */
  readonly runner: Runner
  /** Another one after the roles of servers have changed under it. */
  plan: Plan
  /** What freshness it asks for; `undefined` where its plan will do. */
  readonly fresh: FreshRead | undefined
  /** What is to be noted of it when it is done. */
  readonly note: Note | undefined
  /** What the plan was made by; `undefined` inside a transaction. */
  readonly route: Route | undefined
  /** What puts a plan for the primary in the place of others; `undefined` inside a transaction. */
  readonly shadow: Shadow | undefined
  readonly settings: FiberSettings
  /** What perSession keeps to one replica; for reads alone. */
  readonly session: object | undefined
  readonly span: Tracer.Span | undefined
  /** Where it runs a second time, perhaps, as far as rules say so. */
  readonly mirror: Destination["mirror"]
  readonly capture: Array<RouteDecision> | undefined
  /** Whether anybody listens to events. */
  readonly isHeard: boolean
  /** Where it runs, or ran last. */
  server: Server | undefined
  decision: RouteDecision | undefined
  /** Where it is counted; a mirrored read is counted as such alone. */
  readonly tally: Tally | undefined
}

/** Where a statement is tried, and where it was before. */
export interface Attempt {
  readonly server: Server
  readonly pool: Pool
  readonly tried: ReadonlyArray<Server>
  /** Which one it is, counted from 1, of those on a connection. */
  readonly number: number
  /** Whether servers were asked for their roles on its behalf. */
  readonly refreshed: boolean
  /** Whether it counts among the reads that the primary takes in the place of replicas. */
  readonly admitted: boolean
}

export type Execute<A> = (connection: PhysicalConnection) => Effect.Effect<A, SqlError>

/** What the runner of a Database goes by. */
export interface RunnerOptions {
  readonly clock: Clock.Clock
  readonly retry: RetryPolicySettings
  /** How long a write that was not sent waits for a primary. */
  readonly awaitsPrimary: boolean
  /** How many reads that replicas cannot serve the primary takes at once. */
  readonly fallback: Gate
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly publish: (event: RoutingEvent) => void
  readonly consistency: FreshnessSettings
}

/** A connection on loan, with the server and pool it belongs to. */
export interface Lease {
  readonly server: Server
  readonly pool: Pool
  readonly slot: Slot
  /** What is measured of a single statement; others hold connections for reasons of their own. */
  readonly statement: InFlight | undefined
  /** Whether it counts among the reads that the primary takes in the place of replicas, until it is given back. */
  readonly admitted: boolean
}

/**
 * Carries out plans: borrow, execute, judge the outcome, give back; and once more elsewhere where that is provably
 * harmless. All of it is to be run in an uninterruptible region; `restore` opens it for waiting and for executing.
 */
export class Runner {
  readonly sessions: SessionKeeper
  readonly clock: Clock.Clock
  readonly freshness: Freshness
  private readonly freshReads: FreshReads
  private readonly budget: Budget
  /** Of the reads that may be sent twice. */
  private readonly hedges: Budget

  constructor(
    readonly database: Database,
    readonly options: RunnerOptions,
    /** Whose connection it keeps to, if it has but one. */
    private readonly lender?: Runner
  ) {
    const { clock, retry } = options
    const now = clock.unsafeCurrentTimeNanos()
    this.clock = clock
    this.freshness = new Freshness(database, options.consistency, clock, options.publish)
    this.freshReads = new FreshReads(this)
    this.sessions = lender?.sessions ?? new SessionKeeper(database.name, database.driver, clock)
    this.budget = new Budget(retry.budget, now)
    this.hedges = new Budget({ ...retry.budget, ratio: retry.hedge?.maxExtra ?? 0, perSecond: 0 }, now)
  }

  /** Runs a statement on a connection of its own. */
  run<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    return call.fresh === undefined
      ? this.carryOut(call, execute, restore)
      : this.freshReads.run(call, call.fresh, execute, restore)
  }

  /** Runs a statement by its plan. */
  carryOut<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    return call.settings.deadline === undefined
      ? this.serve(call, execute, restore)
      // Left behind, it may have its effects yet, and note that too late for the next read.
      : leavingBehind((restore) => this.serve(call, execute, restore), restore, () => call.note?.done(undefined))
  }

  private serve<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    const server = this.database.choose(call.plan, nobody, call)
    if (server === undefined) return Effect.fail(this.unavailable(call))
    if (this.isInDoubt(server)) return this.whenPrimary(call, execute, restore)
    const first = this.attemptOn(server, call.plan)
    return this.options.retry.hedge !== undefined && call.plan.retry === "read"
      ? this.hedged(call, execute, restore, first)
      : this.attempt(call, execute, restore, first)
  }

  attemptOn(server: Server, plan: Plan): Attempt {
    return { server, pool: poolFor(server, plan), tried: nobody, number: 1, refreshed: false, admitted: false }
  }

  attempt<A>(
    call: Call,
    execute: Execute<A>,
    restore: Restore,
    attempt: Attempt
  ): Effect.Effect<A, SqlError> {
    const { pool, server } = attempt
    if (!attempt.admitted && call.plan.access === "readOnly" && isFallback(call.plan, server)) {
      return this.options.fallback.through(
        Effect.suspend(() => this.attempt(call, execute, restore, { ...attempt, admitted: true })),
        restore,
        () => this.shareUsed(call)
      )
    }
    const slot = pool.takeIdle(call.span)
    return slot === undefined
      ? this.attemptThere(call, execute, restore, attempt)
      : this.attemptWith(slot, server.begin(toMillis(slot.lentAt)), call, execute, restore, attempt)
  }

  private attemptThere<A>(
    call: Call,
    execute: Execute<A>,
    restore: Restore,
    attempt: Attempt
  ): Effect.Effect<A, SqlError> {
    const { pool, server } = attempt
    // Who waits is in flight too: a server that cannot be connected to would look idle, and draw all reads.
    const statement = server.begin(toMillis(this.clock.unsafeCurrentTimeNanos()))
    return Effect.matchCauseEffect(pool.acquire(restore, undefined, call.span), {
      onSuccess: (slot) => {
        server.sent(statement, toMillis(slot.lentAt))
        return this.attemptWith(slot, statement, call, execute, restore, attempt)
      },
      onFailure: (cause) => {
        this.database.observe(server, statement, this.clock.unsafeCurrentTimeNanos(), outcomeOf(this.judge(cause)))
        // Interrupted, it ran nowhere.
        if (!Cause.isInterrupted(cause)) announce(call, server)
        return this.afterFailure(call, execute, restore, { ...attempt, number: attempt.number - 1 }, cause)
      }
    })
  }

  private attemptWith<A>(
    slot: Slot,
    statement: InFlight,
    call: Call,
    execute: Execute<A>,
    restore: Restore,
    attempt: Attempt
  ): Effect.Effect<A, SqlError> {
    const { pool, server } = attempt
    const lease: Lease = { server, pool, slot, statement, admitted: false }
    if (attempt.number === 1) this.budget.deposit(slot.lentAt)
    announce(call, server)
    if (call.plan.leavesSession) this.sessions.markChanged(slot.connection)
    const { note } = call
    // Suspended, for a driver that dies before it gives an Effect must not keep the connection.
    const executed = Effect.suspend(() => this.sessions.before(slot.connection, call.settings, execute))
    return Effect.matchCauseEffect(restore(executed), {
      onSuccess: (value) => {
        note?.done(slot.connection.positions?.take())
        this.giveBack(lease)
        return Exit.succeed(value)
      },
      onFailure: (cause) => {
        const disposition = this.judge(cause)
        if (note !== undefined && mayHaveHappened(disposition)) note.done(undefined)
        this.giveBack(lease, disposition?.connection === "destroy", outcomeOf(disposition))
        return this.afterFailure(call, execute, restore, attempt, cause)
      }
    })
  }

  /** Tries once more, elsewhere or where it was, what is provably harmless to repeat; else fails. */
  private afterFailure<A>(
    call: Call,
    execute: Execute<A>,
    restore: Restore,
    attempt: Attempt,
    cause: Cause.Cause<SqlError>
  ): Effect.Effect<A, SqlError> {
    const { server } = attempt
    const error = failureOf(cause)
    const disposition = this.learn(server, error)
    if (disposition === undefined || error === undefined) return Effect.failCause(cause)
    const decision = this.decide(call, attempt, disposition)
    const again = (next: Attempt | undefined): Effect.Effect<A, SqlError> => {
      if (next === undefined) return Effect.failCause(cause)
      if (decision._tag !== "none" && decision.costs) this.budget.withdraw(this.clock.unsafeCurrentTimeNanos())
      this.tellRetried(server, next.server, next.number, error)
      return this.attempt(call, execute, restore, next)
    }
    const number = attempt.number + 1
    switch (decision._tag) {
      case "none":
        if (decision.reason === "unknownOutcome") return Effect.fail(this.outcomeUnknown(call, server, error))
        if (decision.reason === "budget") this.tellExhausted(server, error)
        return Effect.failCause(cause)
      case "elsewhere": {
        const next = this.elsewhere(call.plan, attempt, disposition)
        return again(next && { ...next, number })
      }
      case "sameEndpoint": {
        const next = { ...attempt, number }
        return Duration.equals(decision.delay, Duration.zero)
          ? again(next)
          : Effect.zipRight(restore(Effect.sleep(decision.delay)), Effect.suspend(() => again(next)))
      }
      case "primary": {
        // Not a read after all: it needs a connection that may write.
        const { primary } = this.database
        return again({ ...attempt, server: primary, pool: primary.pool, tried: this.database.replicas, number })
      }
      case "refreshRole":
        return Effect.zipRight(
          restore(Effect.zipRight(this.database.health.refreshRoles, this.database.health.awaitPrimary)),
          Effect.suspend(() => {
            const plan = this.replan(call)
            const next = this.database.choose(plan, nobody)
            return again(
              next && { ...attempt, server: next, pool: poolFor(next, plan), tried: nobody, number, refreshed: true }
            )
          })
        )
    }
  }

  private decide(call: Call, attempt: Attempt, disposition: Disposition): RetryDecision {
    const { awaitsPrimary, clock, random, retry } = this.options
    const { primary, servers } = this.database
    const now = clock.unsafeCurrentTimeNanos()
    const { deadline, idempotent } = call.settings
    return decide(
      {
        retry: idempotent && (call.plan.retry === "write" || call.plan.retry === "unsentOnly")
          ? "idempotent"
          : call.plan.retry,
        disposition,
        attempts: attempt.number,
        emitted: false,
        // It may have become a replica meanwhile; what is not a read was sent to it as the primary all the same.
        onPrimary: attempt.pool === primary.pool || call.plan.access === "readWrite",
        refreshed: attempt.refreshed || servers.length === 1,
        awaitsPrimary,
        affordable: this.budget.canAfford(now),
        remaining: deadline === undefined ? undefined : Duration.nanos(deadline > now ? deadline - now : 0n)
      },
      retry,
      random
    )
  }

  /** An endpoint that was not tried yet, or the same once more if none is left and only a connection to it was lost. */
  private elsewhere(plan: Plan, attempt: Attempt, { connection, outcome }: Disposition): Attempt | undefined {
    const { server } = attempt
    const tried = [...attempt.tried, server]
    const isLost = connection === "destroy" && outcome === "unknown" && !attempt.tried.includes(server)
    const next = this.database.choose(plan, tried) ?? (isLost ? server : undefined)
    return next && !this.isInDoubt(next) ? { ...attempt, server: next, pool: poolFor(next, plan), tried } : undefined
  }

  /** Whether a stream that failed before its first row may begin again; `number` counts from 1 how often it began. */
  mayRestart(call: Call, { pool, server }: Lease, error: SqlError, number: number): boolean {
    const disposition = this.judge(Cause.fail(error))
    if (disposition?.connection !== "destroy") return false
    const decision = this.decide(call, { ...this.attemptOn(server, call.plan), pool, number }, disposition)
    if (decision._tag === "none" && decision.reason === "budget") this.tellExhausted(server, error)
    if (decision._tag !== "elsewhere" && decision._tag !== "sameEndpoint") return false
    if (decision.costs) this.budget.withdraw(this.clock.unsafeCurrentTimeNanos())
    return true
  }

  /** A statement is tried once more; `attempt` counts from 1. */
  tellRetried(from: Server, to: Server, attempt: number, error: SqlError): void {
    this.options.publish({
      _tag: "StatementRetried",
      database: this.database.name,
      endpoint: from.name,
      to: to.name,
      attempt,
      error
    })
  }

  private tellExhausted({ name }: Server, error: SqlError): void {
    this.options.publish({ _tag: "RetryBudgetExhausted", database: this.database.name, endpoint: name, error })
  }

  /** Tells health of a failure; gives what the error means, unless it is none. */
  private learn(server: Server, error: SqlError | undefined): Disposition | undefined {
    if (error === undefined) return undefined
    const disposition = dispositionOf(this.database.driver, error)
    this.database.health.failure(server.name, disposition, error, this.clock.unsafeCurrentTimeNanos())
    if (disposition.connection === "destroy") this.database.forget(server)
    return disposition
  }

  /** The plan for the servers as they are now. */
  private replan(call: Call): Plan {
    if (call.route === undefined) return call.plan
    const plan = this.database.planner.plan(call.facts, call.route)
    call.plan = call.shadow === undefined ? plan : call.shadow.planOf(plan, this.database.primary.name)
    // What was known of the servers' positions is of before.
    if (call.fresh?.isFixed === false && call.plan.refusal === undefined) {
      call.plan = this.freshness.onPrimary(call.fresh, call.plan, "positionUnknown")
      this.freshness.tell(call.plan)
    }
    return call.plan
  }

  /** Whether nothing need be sent there, for it takes no writes, or cannot be connected to. */
  private isInDoubt(server: Server): boolean {
    return !this.database.health.hasPrimary && server === this.database.primary
  }

  /** Runs what only the primary can run, if there is one, or there is one soon. */
  private whenPrimary<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    const { health } = this.database
    const wait = call.plan.retry === "read"
      ? Effect.suspend(() => {
        const refusal = health.refuseWrite(this.clock.unsafeCurrentTimeNanos())
        return refusal === undefined ? Effect.void : Effect.fail(refusal)
      })
      : health.awaitPrimary
    return Effect.zipRight(
      restore(wait),
      Effect.suspend(() => {
        const plan = this.replan(call)
        const server = this.database.choose(plan, nobody)
        return server === undefined
          ? Effect.fail(this.unavailable(call))
          : this.attempt(call, execute, restore, this.attemptOn(server, plan))
      })
    )
  }

  /** Sends a read that takes long to a second endpoint too, and takes the answer that comes first. */
  private hedged<A>(call: Call, execute: Execute<A>, restore: Restore, first: Attempt): Effect.Effect<A, SqlError> {
    const now = this.clock.unsafeCurrentTimeNanos()
    this.hedges.deposit(now)
    let sentTo: Server | undefined
    const second = Effect.suspend(() => {
      const server = this.database.choose(call.plan, [first.server], call)
      const now = this.clock.unsafeCurrentTimeNanos()
      if (server === undefined || server.role === "primary" || !this.hedges.canAfford(now)) return Effect.never
      this.hedges.withdraw(now)
      sentTo = server
      const twin: Call = { ...call, span: undefined, capture: undefined, isHeard: false }
      const attempt = { ...this.attemptOn(server, call.plan), tried: [first.server] }
      return Effect.matchCauseEffect(
        Effect.uninterruptibleMask((restore) => this.attempt(twin, execute, restore, attempt)),
        {
          // The first one may still answer.
          onFailure: (cause) => Cause.isInterrupted(cause) ? Effect.failCause(cause) : Effect.never,
          onSuccess: (value) => {
            // The twin was counted where it was sent.
            tell(call, twin.server ?? server)
            this.tellHedged(first.server, server, server)
            return Effect.succeed(value)
          }
        }
      )
    })
    const [hedge, one] = [
      Effect.delay(second, hedgeDelay(this.options.retry, first.server)),
      Effect.tap(Effect.uninterruptibleMask((restore) => this.attempt(call, execute, restore, first)), () => {
        if (sentTo !== undefined) this.tellHedged(first.server, sentTo, first.server)
        return Effect.void
      })
    ]
    // The loser is cancelled on its own time, in uninterruptible regions too: there it would be waited for.
    const racing = <B>(read: Effect.Effect<B, SqlError>) => Effect.interruptible(Effect.disconnect(read))
    return restore(Effect.raceFirst(racing(one), racing(hedge)))
  }

  private tellHedged(first: Server, second: Server, winner: Server): void {
    this.options.publish({
      _tag: "ReadHedged",
      database: this.database.name,
      endpoint: first.name,
      second: second.name,
      winner: winner.name
    })
  }

  /** Lends a connection for the plan until the Scope ends; for streams. */
  lease(call: Call, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    const { fresh } = call
    // One that begins again has been somewhere before.
    if (call.server === undefined) this.budget.deposit(this.clock.unsafeCurrentTimeNanos())
    const acquired = fresh === undefined
      ? this.acquire(call, restore)
      : Effect.flatMap(this.freshReads.plan(call, fresh, restore), () => this.acquire(call, restore))
    return Effect.flatMap(acquired, (lease) => {
      announce(call, lease.server)
      if (call.plan.leavesSession) this.sessions.markChanged(lease.slot.connection)
      return Effect.zipRight(
        Effect.addFinalizer((exit) =>
          Effect.sync(() => {
            if (fresh !== undefined) this.freshness.noteSource(fresh, lease.server)
            call.note?.done(undefined)
            this.settle(lease, exit)
          })
        ),
        restore(this.sessions.before(lease.slot.connection, call.settings, () => Effect.succeed(lease)))
      )
    })
  }

  /** A connection for the plan; what cannot be connected to leaves it to the next. */
  private acquire(call: Call, restore: Restore): Effect.Effect<Lease, SqlError> {
    const on = (server: Server | undefined, tried: ReadonlyArray<Server>): Effect.Effect<Lease, SqlError> => {
      if (server === undefined) return Effect.fail(this.unavailable(call))
      const pool = poolFor(server, call.plan)
      const lease = Effect.suspend(() =>
        Effect.map(pool.acquire(restore, undefined, call.span), (slot) => holding(server, pool, slot))
      )
      return Effect.matchCauseEffect(this.admit(call, server, lease, restore), {
        onSuccess: Effect.succeed,
        onFailure: (cause) => {
          if (!Cause.isInterrupted(cause)) announce(call, server)
          const disposition = this.learn(server, failureOf(cause))
          const avoid = [...tried, server]
          const next = disposition?.readRetry === "elsewhere" && call.plan.retry === "read"
            ? this.database.choose(call.plan, avoid, call)
            : undefined
          return next === undefined ? Effect.failCause(cause) : on(next, avoid)
        }
      })
    }
    return Effect.suspend(() => {
      const server = this.database.choose(call.plan, nobody, call)
      if (server === undefined || !this.isInDoubt(server)) return on(server, nobody)
      return Effect.zipRight(
        restore(this.database.health.awaitPrimary),
        Effect.suspend(() => on(this.database.choose(this.replan(call), nobody, call), nobody))
      )
    })
  }

  /** Lends a connection of the server until the Scope ends. */
  lend(server: Server, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return Effect.tap(
      this.borrow(server, server.pool, restore),
      (lease) => Effect.addFinalizer(() => Effect.sync(() => this.giveBack(lease)))
    )
  }

  /** Runs `use` on a connection of the server. */
  using<A, E, R>(
    server: Server,
    use: (connection: PhysicalConnection) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E | SqlError, R> {
    return Effect.flatMap(
      this.borrow(server, server.pool, restore),
      (lease) =>
        Effect.onExit(
          restore(Effect.suspend(() => use(lease.slot.connection))),
          (exit) => Effect.sync(() => this.settle(lease, exit))
        )
    )
  }

  /** Fails unless a connection of the server answers. */
  check(server: Server): Effect.Effect<void, SqlError> {
    return Effect.uninterruptibleMask((restore) => this.using(server, (connection) => connection.ping, restore))
  }

  /**
   * Lends a connection on which a transaction was begun, which the caller gives back. A server that cannot lend one, or
   * begin on it, leaves it to the plan's next.
   */
  begin(
    planned: Plan,
    fresh: FreshRead | undefined,
    texts: ReadonlyArray<string>,
    restore: Restore
  ): Effect.Effect<Lease, SqlError> {
    const fit = fresh === undefined ? Effect.succeed(planned) : this.freshReads.plan({ plan: planned }, fresh, restore)
    return Effect.flatMap(fit, (plan) => {
      const server = this.database.choose(plan, nobody)
      if (server === undefined) return Effect.fail(refusedToBegin(plan))
      if (!this.isInDoubt(server)) return this.beginOn(plan, texts, restore, this.attemptOn(server, plan))
      return Effect.zipRight(
        restore(this.database.health.awaitPrimary),
        Effect.suspend(() => this.beginOn(plan, texts, restore, this.attemptOn(this.database.primary, plan)))
      )
    })
  }

  private beginOn(
    plan: Plan,
    texts: ReadonlyArray<string>,
    restore: Restore,
    attempt: Attempt
  ): Effect.Effect<Lease, SqlError> {
    const { number, pool, server } = attempt
    const again = (next: Attempt | undefined, cause: Cause.Cause<SqlError>) =>
      next === undefined ? Effect.failCause(cause) : this.beginOn(plan, texts, restore, next)
    const elsewhere = (number: number, disposition: Disposition): Attempt | undefined => {
      const next = this.elsewhere(plan, attempt, disposition)
      return next && { ...next, number }
    }
    const lease = Effect.suspend(() => this.borrow(server, pool, restore))
    return Effect.matchCauseEffect(this.admit({ plan, tally: undefined }, server, lease, restore), {
      onFailure: (cause) => {
        const disposition = this.learn(server, failureOf(cause))
        return again(
          plan.retry === "read" && disposition !== undefined ? elsewhere(number, disposition) : undefined,
          cause
        )
      },
      onSuccess: (lease) => {
        let sent = 0
        const send = (text: string) =>
          Effect.map(lease.slot.connection.executeUnprepared(text, [], undefined), () => void sent++)
        return Effect.matchCauseEffect(
          restore(texts.length === 1 ? send(texts[0]!) : Effect.forEach(texts, send, { discard: true })),
          {
            onSuccess: () => Effect.succeed(lease),
            onFailure: (cause) => {
              const disposition = this.learn(server, failureOf(cause))
              // Interrupted, it may have begun all the same; begun by half, it is no longer what it was.
              this.giveBack(lease, disposition === undefined || disposition.connection === "destroy" || sent > 0)
              if (disposition === undefined || number >= this.options.retry.maxAttempts) return Effect.failCause(cause)
              // BEGIN has no effects: when its connection is lost, another one takes its place, whatever was sent.
              const isUnsent = disposition.outcome === "notSent" && disposition.blame === "connection"
              if (isUnsent || (plan.retry !== "read" && disposition.connection === "destroy")) {
                return again({ ...attempt, number: number + 1 }, cause)
              }
              return again(
                plan.retry === "read" && disposition.readRetry !== "none"
                  ? elsewhere(number + 1, disposition)
                  : undefined,
                cause
              )
            }
          }
        )
      }
    })
  }

  /** Lends a connection of the primary that the caller gives back. */
  borrowPrimary(restore: Restore): Effect.Effect<Lease, SqlError> {
    return this.borrow(this.database.primary, this.database.primary.pool, restore)
  }

  /** Gives a connection back, or ends it, as what was done with it has ended. */
  private settle(lease: Lease, exit: Exit.Exit<unknown, unknown>): void {
    this.giveBack(lease, Exit.isFailure(exit) && this.fail(lease.server, exit.cause)?.connection === "destroy")
  }

  /** Takes in a failure at a server; gives what it means, unless it is an interruption or a defect. */
  fail(server: Server, cause: Cause.Cause<unknown>): Disposition | undefined {
    return this.learn(server, failureOf(cause))
  }

  giveBack({ admitted, pool, server, slot, statement }: Lease, destroy = false, outcome: Outcome = "success"): void {
    const now = this.clock.unsafeCurrentTimeNanos()
    if (admitted) this.options.fallback.leave()
    if (statement === undefined) server.inFlight--
    else this.database.observe(server, statement, now, outcome)
    if (destroy) pool.discard(slot)
    else pool.release(slot, now, this.lender === undefined && this.sessions.isChanged(slot.connection))
  }

  /** What an error means; `undefined` where the cause is an interruption or a defect. */
  judge(cause: Cause.Cause<unknown>): Disposition | undefined {
    const error = failureOf(cause)
    return error && dispositionOf(this.database.driver, error)
  }

  /** A connection for more than one statement; the primary lends those in the place of replicas from their share alone. */
  private admit(
    call: Pick<Call, "plan" | "tally">,
    server: Server,
    lease: Effect.Effect<Lease, SqlError>,
    restore: Restore
  ): Effect.Effect<Lease, SqlError> {
    if (call.plan.access !== "readOnly" || !isFallback(call.plan, server)) return lease
    const { fallback } = this.options
    return Effect.flatMap(fallback.enter(restore, () => this.shareUsed(call)), () =>
      Effect.matchCauseEffect(lease, {
        onFailure: (cause) => {
          fallback.leave()
          return Effect.failCause(cause)
        },
        onSuccess: (lease) => Effect.succeed({ ...lease, admitted: true })
      }))
  }

  /** A connection without the session settings of whoever had it before. */
  private borrow(server: Server, pool: Pool, restore: Restore): Effect.Effect<Lease, SqlError> {
    return Effect.flatMap(pool.acquire(restore), (slot) => {
      const lease = holding(server, pool, slot)
      const cleaning = this.sessions.clean(slot.connection)
      return cleaning === undefined
        ? Effect.succeed(lease)
        : Effect.as(Effect.tapErrorCause(restore(cleaning), () => Effect.sync(() => this.giveBack(lease, true))), lease)
    })
  }

  private unavailable(call: Call): SqlError {
    const { database, excluded } = call.plan
    call.tally?.refused(database, "noneLeft")
    return RoutingError.toSqlError(new RoutingError.ReplicasUnavailable({ reason: "noneLeft", database, excluded }))
  }

  private shareUsed(call: Pick<Call, "plan" | "tally">): SqlError {
    const { database, excluded } = call.plan
    call.tally?.refused(database, "primaryShareUsed")
    return RoutingError.toSqlError(
      new RoutingError.ReplicasUnavailable({ reason: "primaryShareUsed", database, excluded })
    )
  }

  private outcomeUnknown({ sql }: Call, server: Server, cause: SqlError): SqlError {
    return RoutingError.toSqlError(
      new RoutingError.OutcomeUnknown({
        database: this.database.name,
        endpoint: server.name,
        statement: sql,
        cause: cause.cause
      })
    )
  }
}

/** The error of a cause; `undefined` for an interruption, a defect, and what is not the drivers'. */
const failureOf = (cause: Cause.Cause<unknown>): SqlError | undefined => {
  const error = Cause.failureOption(cause)
  return error._tag === "Some" && error.value instanceof SqlError && !Cause.isInterrupted(cause)
    ? error.value
    : undefined
}

/** Whether a statement that failed, or was interrupted, may have had its effects. */
const mayHaveHappened = (disposition: Disposition | undefined): boolean =>
  disposition === undefined || disposition.outcome === "unknown"

/** Nothing known yet about how long reads take: they are not sent twice. */
const longest = Duration.hours(1)

/** The shortest time that is worth a second read. */
const leastHedgeMillis = 5

const hedgeDelay = ({ hedge }: RetryPolicySettings, server: Server): Duration.Duration => {
  if (hedge === undefined) return longest
  if (hedge.after !== "p95") return hedge.after
  const { p95 } = server.timings
  return p95 === undefined ? longest : Duration.max(Duration.millis(leastHedgeMillis), p95)
}

const holding = (server: Server, pool: Pool, slot: Slot): Lease => {
  server.inFlight++
  return { server, pool, slot, statement: undefined, admitted: false }
}

/** What a failure tells of the server. */
const outcomeOf = (disposition: Disposition | undefined): Outcome => {
  if (disposition === undefined) return "interrupted"
  return disposition.blame === "endpoint" || disposition.blame === "connection" || disposition.blame === "capacity"
    ? "failure"
    : "refused"
}

const poolFor = (server: Server, plan: Plan): Pool => plan.access === "readOnly" ? server.readers : server.pool

const refusedToBegin = ({ database, excluded, refusal, rule }: Plan): SqlError =>
  RoutingError.toSqlError(
    refusal === undefined || refusal.reason === "unavailable"
      ? new RoutingError.ReplicasUnavailable({ reason: "noneLeft", database, excluded })
      : new RoutingError.StatementRefused({
        reason: refusal.reason,
        database,
        rule,
        statement: "BEGIN",
        explanation: refusal.message
      })
  )
