import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PrimaryHistory } from "../ConsistencyToken.js"
import type { PhysicalConnection } from "../Driver.js"
import type { Plan } from "../Plan.js"
import { reached, type ReplicationPosition } from "../ReplicationPosition.js"
import { tell } from "./announce.js"
import { attemptOn, type Call, type Execute, nobody } from "./call.js"
import type { Restore } from "./compat.js"
import type { Database, Server } from "./database.js"
import type { Freshness, FreshRead, Look } from "./freshness.js"
import type { Runner } from "./run.js"

/** The answer of a replica that has not got far enough. */
const notYet: unique symbol = Symbol.for("effect-sql-router/notYet")
type NotYet = typeof notYet

const historyOf = (
  { driver }: Database,
  connection: PhysicalConnection
): Effect.Effect<PrimaryHistory | undefined, SqlError> =>
  driver.history === undefined
    ? Effect.map(driver.currentPosition(connection), (position) => position && { position })
    : driver.history(connection)

/**
 * Carries out reads that must see what their session has seen: on a replica that is known to have it, or that says so
 * together with its answer, or within a moment; else on the primary.
 */
export class FreshReads {
  private readonly database: Database
  private readonly freshness: Freshness

  constructor(private readonly runner: Runner) {
    this.database = runner.database
    this.freshness = runner.freshness
  }

  /** Runs a read where it sees what it has to. */
  run<A>(call: Call, read: FreshRead, execute: Execute<A>, restore: Restore): Effect.Effect<A, SqlError> {
    const seen = (value: A): A => {
      if (call.server !== undefined) this.freshness.noteSource(read, call.server)
      return value
    }
    const settled = Effect.suspend(() => Effect.map(this.runner.serve(call, execute, restore), seen))
    return Effect.flatMap(this.look(call, read, restore), (look) => {
      if (look._tag === "Run") return settled
      const server = this.database.choose(call.plan, nobody, call)!
      call.plan = this.freshness.on(read, call.plan, [server.name], "guard")
      this.freshness.noteSource(read, server)
      const guarded = this.runner.attempt<A | NotYet>(
        call,
        (connection) => this.guarded(call, read, look.position, execute, connection),
        restore,
        attemptOn(server, call.plan)
      )
      return Effect.flatMap(guarded, (answer) => {
        if (answer !== notYet) return Effect.succeed(seen(answer))
        this.leaveToPrimary(call, read)
        return settled
      })
    })
  }

  private leaveToPrimary(call: { plan: Plan }, read: FreshRead): void {
    call.plan = this.freshness.onPrimary(read, call.plan, "behind")
    this.freshness.tell(call.plan)
  }

  /** What is to be done about a read, with its plan, after the primary was asked where it is if need be. */
  private look(
    call: { plan: Plan },
    read: FreshRead,
    restore: Restore
  ): Effect.Effect<Exclude<Look, { readonly _tag: "Ask" }>> {
    const { freshness } = this
    const take = <L extends Exclude<Look, { readonly _tag: "Ask" }>>(look: L): L => {
      call.plan = look.plan
      freshness.tell(look.plan)
      const [first, ...rest] = look.plan.candidates
      if (look._tag === "Run" && read.open !== undefined && !read.isFixed && first!.role === "replica") {
        const server = this.database.choose(look.plan, nobody)!
        call.plan = { ...look.plan, candidates: [{ ...first!, endpoints: [server.name] }, ...rest] }
        // So those of its session that run beside it go there too.
        freshness.noteSource(read, server)
      }
      return look
    }
    return Effect.suspend(() => {
      const { plan } = call
      const look = freshness.look(read, plan, true)
      if (look._tag !== "Ask") return Effect.succeed(take(look))
      return Effect.map(this.askPrimary(read, restore), () => {
        const look = freshness.look(read, plan, false)
        return take(
          look._tag === "Ask" ? { _tag: "Run", plan: freshness.onPrimary(read, plan, "positionUnknown") } : look
        )
      })
    })
  }

  /** Learns where the primary is; where that cannot be, the session knows no more than before. */
  private askPrimary(read: FreshRead, restore: Restore): Effect.Effect<void> {
    const { database, freshness } = this
    return Effect.suspend(() => {
      const asked = freshness.asking(read)
      return Effect.matchCauseEffect(
        this.runner.loans.using(database.primary, (connection) => historyOf(database, connection), restore),
        {
          onFailure: (cause) => Cause.isInterrupted(cause) ? Effect.failCause(Cause.stripFailures(cause)) : Effect.void,
          onSuccess: (history) => {
            if (history !== undefined) freshness.learn(read, history, asked)
            return Effect.void
          }
        }
      )
    })
  }

  /** Runs a read on a replica that has got far enough, or does so within the budget. */
  private guarded<A>(
    call: Call,
    read: FreshRead,
    position: ReplicationPosition,
    execute: Execute<A>,
    connection: PhysicalConnection
  ): Effect.Effect<A | NotYet, SqlError> {
    const server = call.server!
    if (server.role === "primary") return execute(connection)
    const wait = Effect.flatMap(
      this.await(read, server, position, connection),
      (isThere): Effect.Effect<A | NotYet, SqlError> => {
        if (!isThere) return Effect.succeed(notYet)
        call.plan = this.freshness.on(read, call.plan, [server.name], "wait")
        tell(call, server)
        return execute(connection)
      }
    )
    const { positions } = connection
    if (positions?.guards !== true) return wait
    return Effect.suspend(() => {
      positions.expect("before")
      return Effect.flatMap(execute(connection), (answer) => {
        const at = positions.take()
        if (at === undefined) return wait
        this.database.lag?.observe(server.name, at)
        return reached(at, position) === "reached" ? Effect.succeed(answer) : wait
      })
    })
  }

  /** Waits for a replica, unless too many do. */
  private await(
    read: FreshRead,
    server: Server,
    position: ReplicationPosition,
    connection: PhysicalConnection
  ): Effect.Effect<boolean, SqlError> {
    const { database, freshness } = this
    return Effect.suspend(() => {
      const budget = server.awaited < freshness.settings.maxWaiting ? freshness.budgetOf(read) : 0
      // Without a wait, who cannot be guarded may still be asked.
      if (budget === 0 && connection.positions?.guards === true) return Effect.succeed(false)
      server.awaited++
      return Effect.ensuring(
        Effect.map(database.driver.awaitPosition(connection, position, Duration.millis(budget)), (isThere) => {
          if (isThere) database.lag?.observe(server.name, position)
          else if (budget > 0) server.stalledAt = read.now()
          return isThere
        }),
        Effect.sync(() => void server.awaited--)
      )
    })
  }

  /** The plan of what holds a connection for more than one statement: what it has to see is there before the first. */
  plan(call: { plan: Plan }, read: FreshRead, restore: Restore): Effect.Effect<Plan> {
    return Effect.flatMap(this.look(call, read, restore), (look) => {
      if (look._tag === "Run") return Effect.succeed(call.plan)
      const server = this.database.choose(call.plan, nobody)!
      const wait = this.runner.loans.using(
        server,
        (connection) => this.await(read, server, look.position, connection),
        restore
      )
      return Effect.matchCauseEffect(wait, {
        onFailure: (cause) => {
          if (Cause.isInterrupted(cause)) return Effect.failCause(Cause.stripFailures(cause))
          this.leaveToPrimary(call, read)
          return Effect.succeed(call.plan)
        },
        onSuccess: (isThere) => {
          if (isThere) call.plan = this.freshness.on(read, call.plan, [server.name], "wait")
          else this.leaveToPrimary(call, read)
          return Effect.succeed(call.plan)
        }
      })
    })
  }
}
