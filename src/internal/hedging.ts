import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RetryPolicySettings } from "../RetryPolicy.js"
import { tell } from "./announce.js"
import { type Attempt, attemptOn, type Call, type Execute } from "./call.js"
import type { Restore } from "./compat.js"
import type { Server } from "./database.js"
import { Budget } from "./health/budget.js"
import type { Runner } from "./run.js"

/** Sends reads that take long to a second endpoint too, as often as the budget allows. */
export class Hedging {
  private readonly budget: Budget

  constructor(private readonly runner: Runner, private readonly settings: RetryPolicySettings) {
    const { budget, hedge } = settings
    this.budget = new Budget(
      { ...budget, ratio: hedge?.maxExtra ?? 0, perSecond: 0 },
      runner.clock.unsafeCurrentTimeNanos()
    )
  }

  /** The answer that comes first. */
  run<A>(call: Call, execute: Execute<A>, restore: Restore, first: Attempt): Effect.Effect<A, SqlError> {
    const { clock, database } = this.runner
    this.budget.deposit(clock.unsafeCurrentTimeNanos())
    let sentTo: Server | undefined
    const second = Effect.suspend(() => {
      const server = database.choose(call.plan, [first.server], call)
      const now = clock.unsafeCurrentTimeNanos()
      if (server === undefined || server.role === "primary" || !this.budget.canAfford(now)) return Effect.never
      this.budget.withdraw(now)
      sentTo = server
      const twin: Call = { ...call, span: undefined, capture: undefined, isHeard: false }
      const attempt = { ...attemptOn(server, call.plan), tried: [first.server] }
      return Effect.matchCauseEffect(
        Effect.uninterruptibleMask((restore) => this.runner.attempt(twin, execute, restore, attempt)),
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
      Effect.delay(second, this.delayFor(first.server)),
      Effect.tap(Effect.uninterruptibleMask((restore) => this.runner.attempt(call, execute, restore, first)), () => {
        if (sentTo !== undefined) this.tellHedged(first.server, sentTo, first.server)
        return Effect.void
      })
    ]
    // The loser is cancelled on its own time, in uninterruptible regions too: there it would be waited for.
    const racing = <B>(read: Effect.Effect<B, SqlError>) => Effect.interruptible(Effect.disconnect(read))
    return restore(Effect.raceFirst(racing(one), racing(hedge)))
  }

  private delayFor({ timings: { p95 } }: Server): Duration.Duration {
    const { hedge } = this.settings
    if (hedge === undefined) return longest
    if (hedge.after !== "p95") return hedge.after
    return p95 === undefined ? longest : Duration.max(Duration.millis(leastDelayMillis), p95)
  }

  private tellHedged(first: Server, second: Server, winner: Server): void {
    this.runner.options.publish({
      _tag: "ReadHedged",
      database: this.runner.database.name,
      endpoint: first.name,
      second: second.name,
      winner: winner.name
    })
  }
}

/** Nothing known yet about how long reads take: they are not sent twice. */
const longest = Duration.hours(1)

/** The shortest time that is worth a second read. */
const leastDelayMillis = 5
