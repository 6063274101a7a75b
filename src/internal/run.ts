import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { Disposition, PhysicalConnection } from "../Driver.js"
import type { Plan } from "../Plan.js"
import type { RouteDecision } from "../RouteDecision.js"
import type { StatementFacts } from "../StatementFacts.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import type { Pool, Slot } from "./pool.js"

/** A statement is tried on at most this many connections. */
const maxAttempts = 3

const nobody: ReadonlyArray<Server> = []

/** One statement on its way. */
export interface Call {
  readonly sql: string
  readonly facts: StatementFacts
  readonly plan: Plan
  readonly span: Tracer.Span | undefined
  readonly capture: Array<RouteDecision> | undefined
  decision: RouteDecision | undefined
}

/** Where a statement is tried, and where it was before. */
interface Attempt {
  readonly server: Server
  readonly pool: Pool
  readonly tried: ReadonlyArray<Server>
  readonly number: number
}

/** A connection on loan, with the server and pool it belongs to. */
export interface Lease {
  readonly server: Server
  readonly pool: Pool
  readonly slot: Slot
}

/**
 * Carries out plans: borrow, execute, judge the outcome, give back; and once more elsewhere where that is provably
 * harmless. All of it is to be run in an uninterruptible region; `restore` opens it for waiting and for executing.
 */
export class Runner {
  constructor(readonly database: Database, private readonly clock: Clock.Clock) {}

  /** Runs a statement on a connection of its own. */
  run<A>(
    call: Call,
    execute: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>,
    restore: Restore
  ): Effect.Effect<A, SqlError> {
    const server = this.database.choose(call.plan, nobody)!
    return this.attempt(call, execute, restore, { server, pool: poolFor(server, call.plan), tried: nobody, number: 1 })
  }

  private attempt<A>(
    call: Call,
    execute: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>,
    restore: Restore,
    attempt: Attempt
  ): Effect.Effect<A, SqlError> {
    const use = (lease: Lease, tried: ReadonlyArray<Server>): Effect.Effect<A, SqlError> => {
      announce(call, lease.server)
      return Effect.matchCauseEffect(restore(execute(lease.slot.connection)), {
        onSuccess: (value) => {
          this.giveBack(lease)
          return Exit.succeed(value)
        },
        onFailure: (cause) => {
          const disposition = this.judge(cause)
          this.giveBack(lease, disposition?.connection === "destroy")
          const next = disposition === undefined
            ? undefined
            : this.next(call.plan, disposition, lease, tried, attempt.number)
          return next === undefined ? Exit.failCause(cause) : this.attempt(call, execute, restore, next)
        }
      })
    }
    const { pool, server, tried } = attempt
    const slot = pool.takeIdle()
    if (slot !== undefined) {
      server.inFlight++
      return use({ server, pool, slot }, tried)
    }
    return this.borrowFor(call, server, pool, tried, restore, use)
  }

  /** Lends a connection for the plan until the Scope ends; for streams. */
  lease(call: Call, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return Effect.suspend(() => {
      const server = this.database.choose(call.plan, nobody)!
      return this.borrowFor(call, server, poolFor(server, call.plan), nobody, restore, (lease) => {
        announce(call, lease.server)
        return Effect.as(
          Effect.addFinalizer((exit) =>
            Effect.sync(() =>
              this.giveBack(lease, Exit.isFailure(exit) && this.judge(exit.cause)?.connection === "destroy")
            )
          ),
          lease
        )
      })
    })
  }

  /** Lends a connection of the primary until the Scope ends. */
  reserve(restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
    return Effect.tap(
      this.borrowPrimary(restore),
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
      this.borrow(server, restore),
      (lease) =>
        Effect.onExit(
          restore(Effect.suspend(() => use(lease.slot.connection))),
          (exit) =>
            Effect.sync(() =>
              this.giveBack(lease, Exit.isFailure(exit) && this.judge(exit.cause)?.connection === "destroy")
            )
        )
    )
  }

  /** Fails unless a connection of the server answers. */
  check(server: Server): Effect.Effect<void, SqlError> {
    return Effect.uninterruptibleMask((restore) => this.using(server, (connection) => connection.ping, restore))
  }

  /** Lends a connection of the primary that the caller gives back. */
  borrowPrimary(restore: Restore): Effect.Effect<Lease, SqlError> {
    return this.borrow(this.database.primary, restore)
  }

  giveBack(lease: Lease, destroy = false): void {
    lease.server.inFlight--
    if (destroy) lease.pool.discard(lease.slot)
    else lease.pool.release(lease.slot, this.clock.unsafeCurrentTimeNanos())
  }

  /** What an error means; `undefined` where the cause is an interruption or a defect. */
  judge(cause: Cause.Cause<unknown>): Disposition | undefined {
    const error = Cause.failureOption(cause)
    if (error._tag === "None" || Cause.isInterrupted(cause)) return undefined
    return error.value instanceof SqlError ? this.database.driver.disposition(error.value) : undefined
  }

  /** Waits for a connection and uses it; a server that cannot lend one leaves a read to the next. */
  private borrowFor<A, R>(
    call: Call,
    server: Server,
    pool: Pool,
    tried: ReadonlyArray<Server>,
    restore: Restore,
    use: (lease: Lease, tried: ReadonlyArray<Server>) => Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> {
    return Effect.matchCauseEffect(pool.acquire(restore), {
      onSuccess: (slot) => {
        server.inFlight++
        return use({ server, pool, slot }, tried)
      },
      onFailure: (cause) => {
        announce(call, server)
        const avoid = [...tried, server]
        const next = call.plan.retry === "read" && !Cause.isInterrupted(cause)
          ? this.database.choose(call.plan, avoid)
          : undefined
        return next === undefined
          ? Effect.failCause(cause)
          : this.borrowFor(call, next, poolFor(next, call.plan), avoid, restore, use)
      }
    })
  }

  private borrow(server: Server, restore: Restore): Effect.Effect<Lease, SqlError> {
    const { pool } = server
    return Effect.map(pool.acquire(restore), (slot) => {
      server.inFlight++
      return { server, pool, slot }
    })
  }

  /**
   * Where the statement may be tried once more, if anywhere.
   *
   * A read may be repeated wherever its error says so. Anything else only when it was never sent: then even a write can
   * have had no effect.
   */
  private next(
    plan: Plan,
    disposition: Disposition,
    lease: Lease,
    tried: ReadonlyArray<Server>,
    attempts: number
  ): Attempt | undefined {
    if (attempts >= maxAttempts || plan.retry === "never") return undefined
    const number = attempts + 1
    const again = (tried: ReadonlyArray<Server>): Attempt | undefined => {
      const server = this.database.choose(plan, tried)
      return server && { server, pool: poolFor(server, plan), tried, number }
    }
    if (disposition.outcome === "notSent" && disposition.blame === "connection") return again(tried)
    if (plan.retry !== "read") return undefined
    switch (disposition.readRetry) {
      case "sameEndpoint":
        return again(tried)
      case "elsewhere":
        return again([...tried, lease.server])
      case "primary": {
        // Not a read after all: it needs a connection that may write.
        const { primary } = this.database
        return lease.pool === primary.pool
          ? undefined
          : { server: primary, pool: primary.pool, tried: this.database.replicas, number }
      }
      case "none":
        return undefined
    }
  }
}

/** Tells span and listeners which server runs the statement, and why; again when another one does. */
export const announce = (call: Call, server: Server): void => {
  const { capture, plan, span } = call
  const { name, role } = server.endpoint
  const reason = reasonOn(server, plan)
  if (span !== undefined) {
    for (const [key, value] of server.attributes) span.attribute(key, value)
    span.attribute("sql.router.endpoint", name)
    span.attribute("sql.router.role", role)
    span.attribute("sql.router.reason", reason)
  }
  if (capture !== undefined) {
    const last = capture.at(-1)
    if (last !== undefined && last === call.decision) capture.pop()
    call.decision = { sql: call.sql, facts: call.facts, plan, endpoint: name, role, reason }
    capture.push(call.decision)
  }
}

const poolFor = (server: Server, plan: Plan): Pool => plan.access === "readOnly" ? server.readers : server.pool

const reasonOn = (server: Server, plan: Plan): string =>
  server.endpoint.role === "primary" && plan.candidates[0]!.role === "replica"
    ? "read, but no replica could serve it"
    : plan.reason
