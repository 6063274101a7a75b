import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Restore } from "./compat.js"

interface Waiter {
  enter: () => void
  isIn: boolean
}

/** Lets so many through at once; the others wait their turn, though not for ever. */
export class Gate {
  private inside = 0
  private readonly waiters = new Set<Waiter>()

  constructor(private readonly limit: number, private readonly patience: Duration.Duration) {}

  /** Runs an effect when it is its turn. In an uninterruptible region, whose `restore` opens the waiting. */
  through<A, E>(
    effect: Effect.Effect<A, E>,
    restore: Restore,
    late: () => SqlError
  ): Effect.Effect<A, E | SqlError> {
    return Effect.flatMap(
      this.enter(restore, late),
      () => Effect.ensuring(effect, Effect.sync(() => this.leave()))
    )
  }

  /** The same for what ends with a call of `leave`. */
  enter(restore: Restore, late: () => SqlError): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      if (this.inside < this.limit) {
        this.inside++
        return Effect.void
      }
      const waiter: Waiter = { enter: () => {}, isIn: false }
      const wait = Effect.async<void>((resume) => {
        waiter.enter = () => resume(Effect.void)
        if (waiter.isIn) resume(Effect.void)
        else this.waiters.add(waiter)
      })
      return Effect.matchCauseEffect(
        restore(Effect.timeoutFail(Effect.interruptible(wait), { duration: this.patience, onTimeout: late })),
        {
          onSuccess: () => Effect.void,
          onFailure: (cause) => {
            this.waiters.delete(waiter)
            // It was let in at the moment it went away.
            if (waiter.isIn) this.leave()
            return Effect.failCause(cause)
          }
        }
      )
    })
  }

  leave(): void {
    this.inside--
    const [next] = this.waiters
    if (next === undefined || this.inside >= this.limit) return
    this.waiters.delete(next)
    this.inside++
    next.isIn = true
    next.enter()
  }
}
