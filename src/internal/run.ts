import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Disposition } from "../Driver.js"
import type { Plan } from "../Plan.js"
import type { Outcome } from "../ReplicaStrategy.js"
import type { RetryPolicySettings } from "../RetryPolicy.js"
import * as RoutingError from "../RoutingError.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import { announce, isFallback } from "./announce.js"
import { type Attempt, attemptOn, type Call, type Execute, nobody, poolFor } from "./call.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import { leavingBehind } from "./deadline.js"
import type { FreshnessSettings } from "./freshness.js"
import { Freshness } from "./freshness.js"
import { FreshReads } from "./freshReads.js"
import type { Gate } from "./gate.js"
import { Budget } from "./health/budget.js"
import { decide, type RetryDecision } from "./health/retryDecision.js"
import { Hedging } from "./hedging.js"
import { Leases } from "./leases.js"
import { failureOf, type Lease, Loans } from "./loans.js"
import type { Slot } from "./pool.js"
import { SessionKeeper } from "./sessionSettings.js"
import { type InFlight, toMillis } from "./signals.js"

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

/**
 * Carries out plans: borrow, execute, judge the outcome, give back; and once more elsewhere where that is provably
 * harmless. All of it is to be run in an uninterruptible region; `restore` opens it for waiting and for executing.
 */
export class Runner {
  readonly sessions: SessionKeeper
  readonly clock: Clock.Clock
  readonly freshness: Freshness
  readonly loans: Loans
  readonly leases: Leases
  private readonly freshReads: FreshReads
  private readonly hedging: Hedging
  private readonly budget: Budget

  constructor(
    readonly database: Database,
    readonly options: RunnerOptions,
    /** Whose connection it keeps to, if it has but one. */
    lender?: Runner
  ) {
    const { clock, retry } = options
    this.clock = clock
    this.sessions = lender?.sessions ?? new SessionKeeper(database.name, database.driver, clock)
    this.budget = new Budget(retry.budget, clock.unsafeCurrentTimeNanos())
    this.hedging = new Hedging(this, retry)
    this.freshness = new Freshness(database, options.consistency, clock, options.publish)
    this.loans = new Loans(database, this.sessions, clock, options.fallback, lender === undefined)
    this.freshReads = new FreshReads(this)
    this.leases = new Leases(this, this.freshReads)
  }

  /** Runs a statement on a connection of its own. */
  run<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    return call.settings.deadline === undefined
      ? this.carryOut(call, execute, restore)
      // Left behind, it may have its effects yet, and note that too late for the next read.
      : leavingBehind((restore) => this.carryOut(call, execute, restore), restore, () => call.note?.done(undefined))
  }

  private carryOut<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    return call.fresh === undefined
      ? this.serve(call, execute, restore)
      : this.freshReads.run(call, call.fresh, execute, restore)
  }

  /** Runs a statement by its plan. */
  serve<A>(call: Call, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    const server = this.database.choose(call.plan, nobody, call)
    if (server === undefined) return Effect.fail(this.unavailable(call))
    if (this.isInDoubt(server)) {
      return Effect.flatMap(
        this.placeAnew(call, restore),
        (server) => this.attempt(call, execute, restore, attemptOn(server, call.plan))
      )
    }
    const first = attemptOn(server, call.plan)
    return this.options.retry.hedge !== undefined && call.plan.retry === "read"
      ? this.hedging.run(call, execute, restore, first)
      : this.attempt(call, execute, restore, first)
  }

  /** The server for a plan, once it is clear who the primary is; one that was not `tried` if there is one. */
  place(call: Call, tried: ReadonlyArray<Server>, restore: Restore): Effect.Effect<Server, SqlError> {
    return Effect.suspend(() => {
      const server = this.database.choose(call.plan, tried, call) ?? this.database.choose(call.plan, nobody, call)
      if (server === undefined) return Effect.fail(this.unavailable(call))
      return this.isInDoubt(server) ? this.placeAnew(call, restore) : Effect.succeed(server)
    })
  }

  private placeAnew(call: Call, restore: Restore): Effect.Effect<Server, SqlError> {
    return Effect.zipRight(
      restore(this.untilClear(call.plan)),
      Effect.suspend(() => {
        const server = this.database.choose(this.replan(call), nobody, call)
        return server === undefined ? Effect.fail(this.unavailable(call)) : Effect.succeed(server)
      })
    )
  }

  /** What only the primary can run waits for one, if the settings say so; reads fail with the reason why there is none. */
  untilClear({ retry }: Plan): Effect.Effect<void, SqlError> {
    const { health } = this.database
    return retry !== "read" ? health.awaitPrimary : Effect.suspend(() => {
      const refusal = health.refuseWrite(this.clock.unsafeCurrentTimeNanos())
      return refusal === undefined ? Effect.void : Effect.fail(refusal)
    })
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
    return Effect.matchCauseEffect(pool.acquire(restore, call.span), {
      onSuccess: (slot) => {
        server.sent(statement, toMillis(slot.lentAt))
        return this.attemptWith(slot, statement, call, execute, restore, attempt)
      },
      onFailure: (cause) => {
        const disposition = this.loans.judge(cause)
        this.database.observe(server, statement, this.clock.unsafeCurrentTimeNanos(), outcomeOf(disposition))
        // Interrupted, it ran nowhere.
        if (!Cause.isInterrupted(cause)) announce(call, server)
        return this.afterFailure(call, execute, restore, { ...attempt, number: attempt.number - 1 }, cause, disposition)
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
        this.loans.giveBack(lease)
        return Exit.succeed(value)
      },
      onFailure: (cause) => {
        const disposition = this.loans.judge(cause)
        if (note !== undefined && mayHaveHappened(disposition)) note.done(undefined)
        this.loans.giveBack(lease, disposition?.connection === "destroy", outcomeOf(disposition))
        return this.afterFailure(call, execute, restore, attempt, cause, disposition)
      }
    })
  }

  /** Tries once more, elsewhere or where it was, what is provably harmless to repeat; else fails. */
  private afterFailure<A>(
    call: Call,
    execute: Execute<A>,
    restore: Restore,
    attempt: Attempt,
    cause: Cause.Cause<SqlError>,
    disposition: Disposition | undefined
  ): Effect.Effect<A, SqlError> {
    const { server } = attempt
    const error = failureOf(cause)
    if (disposition === undefined || error === undefined) return Effect.failCause(cause)
    this.loans.tell(server, error, disposition)
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
            const next = this.database.choose(plan, nobody, call)
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
  elsewhere(plan: Plan, attempt: Attempt, { connection, outcome }: Disposition): Attempt | undefined {
    const { server } = attempt
    const tried = [...attempt.tried, server]
    const isLost = connection === "destroy" && outcome === "unknown" && !attempt.tried.includes(server)
    const next = this.database.choose(plan, tried) ?? (isLost ? server : undefined)
    return next && !this.isInDoubt(next) ? { ...attempt, server: next, pool: poolFor(next, plan), tried } : undefined
  }

  /**
   * The servers that a stream which failed before its first row leaves out when it begins again; `undefined` if it may not.
   * `number` counts from 1 how often it began.
   */
  restart(
    call: Call,
    { pool, server }: Lease,
    tried: ReadonlyArray<Server>,
    error: SqlError,
    number: number
  ): ReadonlyArray<Server> | undefined {
    const disposition = this.loans.judge(Cause.fail(error))
    if (disposition?.connection !== "destroy") return undefined
    const decision = this.decide(call, { ...attemptOn(server, call.plan), pool, number }, disposition)
    if (decision._tag === "none" && decision.reason === "budget") this.tellExhausted(server, error)
    if (decision._tag !== "elsewhere" && decision._tag !== "sameEndpoint") return undefined
    if (decision.costs) this.budget.withdraw(this.clock.unsafeCurrentTimeNanos())
    return decision._tag === "elsewhere" ? [...tried, server] : tried
  }

  /** A first attempt allows for a part of another one. */
  deposit(): void {
    this.budget.deposit(this.clock.unsafeCurrentTimeNanos())
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
  isInDoubt(server: Server): boolean {
    return !this.database.health.hasPrimary && server === this.database.primary
  }

  private unavailable(call: Call): SqlError {
    const { database, excluded } = call.plan
    call.tally?.refused(database, "noneLeft")
    return RoutingError.toSqlError(new RoutingError.ReplicasUnavailable({ reason: "noneLeft", database, excluded }))
  }

  shareUsed(call: Pick<Call, "plan" | "tally">): SqlError {
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

/** Whether a statement that failed, or was interrupted, may have had its effects. */
const mayHaveHappened = (disposition: Disposition | undefined): boolean =>
  disposition === undefined || disposition.outcome === "unknown"

/** What a failure tells of the server. */
const outcomeOf = (disposition: Disposition | undefined): Outcome => {
  if (disposition === undefined) return "interrupted"
  return disposition.blame === "endpoint" || disposition.blame === "connection" || disposition.blame === "capacity"
    ? "failure"
    : "refused"
}
