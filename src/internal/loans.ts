import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { Disposition, PhysicalConnection } from "../Driver.js"
import type { Outcome } from "../ReplicaStrategy.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import type { Gate } from "./gate.js"
import { dispositionOf } from "./health/disposition.js"
import type { Pool, Slot } from "./pool.js"
import type { SessionKeeper } from "./sessionSettings.js"
import type { InFlight } from "./signals.js"

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
 * Lends the connections of a Database, takes them back, and passes on what failures tell of their servers. All of it is to
 * be run in an uninterruptible region; `restore` opens it for waiting.
 */
export class Loans {
  constructor(
    private readonly database: Database,
    private readonly sessions: SessionKeeper,
    private readonly clock: Clock.Clock,
    private readonly fallback: Gate,
    /** Whether a session that was changed ends; what keeps to one connection keeps its session. */
    private readonly endsChanged: boolean
  ) {}

  /** Lends a connection of the server until the Scope ends. */
  scoped(server: Server, restore: Restore): Effect.Effect<Lease, SqlError, Scope> {
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

  /** Lends a connection as its last borrower left it; the caller gives it back. */
  take(server: Server, pool: Pool, restore: Restore, holder?: Tracer.AnySpan): Effect.Effect<Lease, SqlError> {
    return Effect.map(pool.acquire(restore, holder), (slot) => {
      server.inFlight++
      return { server, pool, slot, statement: undefined, admitted: false }
    })
  }

  /** The same, without the session settings of whoever had it before. */
  borrow(server: Server, pool: Pool, restore: Restore): Effect.Effect<Lease, SqlError> {
    return Effect.flatMap(this.take(server, pool, restore), (lease) => {
      const cleaning = this.sessions.clean(lease.slot.connection)
      return cleaning === undefined
        ? Effect.succeed(lease)
        : Effect.as(Effect.tapErrorCause(restore(cleaning), () => Effect.sync(() => this.giveBack(lease, true))), lease)
    })
  }

  /** One of the primary. */
  borrowPrimary(restore: Restore): Effect.Effect<Lease, SqlError> {
    const { primary } = this.database
    return this.borrow(primary, primary.pool, restore)
  }

  /** Gives a connection back, or ends it, as what was done with it has ended. */
  settle(lease: Lease, exit: Exit.Exit<unknown, unknown>): void {
    this.giveBack(lease, Exit.isFailure(exit) && this.learn(lease.server, exit.cause)?.connection === "destroy")
  }

  giveBack({ admitted, pool, server, slot, statement }: Lease, destroy = false, outcome: Outcome = "success"): void {
    const now = this.clock.unsafeCurrentTimeNanos()
    if (admitted) this.fallback.leave()
    if (statement === undefined) server.inFlight--
    else this.database.observe(server, statement, now, outcome)
    if (destroy) pool.discard(slot)
    else pool.release(slot, now, this.endsChanged && this.sessions.isChanged(slot.connection))
  }

  /** What an error means; `undefined` where the cause is an interruption or a defect. */
  judge(cause: Cause.Cause<unknown>): Disposition | undefined {
    const error = failureOf(cause)
    return error && dispositionOf(this.database.driver, error)
  }

  /** The same, and health is told of the failure. */
  learn(server: Server, cause: Cause.Cause<unknown>): Disposition | undefined {
    const error = failureOf(cause)
    const disposition = error && dispositionOf(this.database.driver, error)
    if (error !== undefined && disposition !== undefined) this.tell(server, error, disposition)
    return disposition
  }

  /** Tells health of a failure that was judged already. */
  tell(server: Server, error: SqlError, disposition: Disposition): void {
    this.database.health.failure(server.name, disposition, error, this.clock.unsafeCurrentTimeNanos())
    if (disposition.connection === "destroy") this.database.forget(server)
  }
}

/** The error of a cause; `undefined` for an interruption, a defect, and what is not the drivers'. */
export const failureOf = (cause: Cause.Cause<unknown>): SqlError | undefined => {
  const error = Cause.failureOption(cause)
  return error._tag === "Some" && error.value instanceof SqlError && !Cause.isInterrupted(cause)
    ? error.value
    : undefined
}
