import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Disposition } from "../Driver.js"
import type { Plan } from "../Plan.js"
import * as RoutingError from "../RoutingError.js"
import { announce, isFallback } from "./announce.js"
import { type Attempt, attemptOn, type Call, nobody, poolFor } from "./call.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import type { FreshRead } from "./freshness.js"
import type { FreshReads } from "./freshReads.js"
import type { Gate } from "./gate.js"
import type { Lease, Loans } from "./loans.js"
import type { Runner } from "./run.js"

/** Lends connections for longer than a statement: to streams, and to transactions with their BEGIN. */
export class Leases {
  private readonly database: Database
  private readonly loans: Loans
  private readonly fallback: Gate

  constructor(private readonly runner: Runner, private readonly freshReads: FreshReads) {
    this.database = runner.database
    this.loans = runner.loans
    this.fallback = runner.options.fallback
  }

  /** Lends a connection for a stream until the Scope ends, of a server that was not `tried` if there is one. */
  stream(call: Call, tried: ReadonlyArray<Server>, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    const { fresh, runner: { freshness, sessions } } = call
    // One that begins again has been somewhere before.
    if (call.server === undefined) this.runner.deposit()
    const acquired = fresh === undefined
      ? this.acquire(call, tried, restore)
      : Effect.flatMap(this.freshReads.plan(call, fresh, restore), () => this.acquire(call, tried, restore))
    return Effect.flatMap(acquired, (lease) => {
      announce(call, lease.server)
      if (call.plan.leavesSession) sessions.markChanged(lease.slot.connection)
      return Effect.zipRight(
        Effect.addFinalizer((exit) =>
          Effect.sync(() => {
            if (fresh !== undefined) freshness.noteSource(fresh, lease.server)
            call.note?.done(undefined)
            this.loans.settle(lease, exit)
          })
        ),
        restore(sessions.before(lease.slot.connection, call.settings, () => Effect.succeed(lease)))
      )
    })
  }

  private acquire(call: Call, tried: ReadonlyArray<Server>, restore: Restore): Effect.Effect<Lease, SqlError> {
    return Effect.flatMap(
      this.runner.place(call, tried, restore),
      (server) => this.acquireOn(server, call, tried, restore)
    )
  }

  /** A connection of the server; what cannot be connected to leaves it to the next. */
  private acquireOn(
    server: Server,
    call: Call,
    tried: ReadonlyArray<Server>,
    restore: Restore
  ): Effect.Effect<Lease, SqlError> {
    const lease = Effect.suspend(() => this.loans.take(server, poolFor(server, call.plan), restore, call.span))
    return Effect.catchAllCause(this.admit(call, server, lease, restore), (cause) => {
      if (!Cause.isInterrupted(cause)) announce(call, server)
      const disposition = this.loans.learn(server, cause)
      const avoid = [...tried, server]
      const next = disposition?.readRetry === "elsewhere" && call.plan.retry === "read"
        ? this.database.choose(call.plan, avoid, call)
        : undefined
      return next === undefined ? Effect.failCause(cause) : this.acquireOn(next, call, avoid, restore)
    })
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
      if (!this.runner.isInDoubt(server)) return this.beginOn(plan, texts, restore, attemptOn(server, plan))
      return Effect.zipRight(
        restore(this.runner.untilClear(plan)),
        Effect.suspend(() => this.beginOn(plan, texts, restore, attemptOn(this.database.primary, plan)))
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
      const next = this.runner.elsewhere(plan, attempt, disposition)
      return next && { ...next, number }
    }
    const lease = Effect.suspend(() => this.loans.borrow(server, pool, restore))
    return Effect.matchCauseEffect(this.admit({ plan, tally: undefined }, server, lease, restore), {
      onFailure: (cause) => {
        const disposition = this.loans.learn(server, cause)
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
              const disposition = this.loans.learn(server, cause)
              // Interrupted, it may have begun all the same; begun by half, it is no longer what it was.
              this.loans.giveBack(lease, disposition === undefined || disposition.connection === "destroy" || sent > 0)
              if (disposition === undefined || number >= this.runner.options.retry.maxAttempts) {
                return Effect.failCause(cause)
              }
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

  /** A connection for more than one statement; the primary lends those in the place of replicas from their share alone. */
  private admit(
    call: Pick<Call, "plan" | "tally">,
    server: Server,
    lease: Effect.Effect<Lease, SqlError>,
    restore: Restore
  ): Effect.Effect<Lease, SqlError> {
    if (call.plan.access !== "readOnly" || !isFallback(call.plan, server)) return lease
    const { fallback, runner } = this
    return Effect.flatMap(fallback.enter(restore, () => runner.shareUsed(call)), () =>
      Effect.matchCauseEffect(lease, {
        onFailure: (cause) => {
          fallback.leave()
          return Effect.failCause(cause)
        },
        onSuccess: (lease) => Effect.succeed({ ...lease, admitted: true })
      }))
  }
}

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
