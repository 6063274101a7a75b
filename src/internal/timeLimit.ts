import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"

interface Entry {
  readonly until: bigint
  readonly onLate: () => void
}

/**
 * A limit on the time of effects that cannot be interrupted, and are many: one fiber watches over all of them.
 *
 * `Effect.timeout` would start two fibers for each, which is 10 µs; this is two map operations. What is late is not
 * stopped: `onLate` makes it end.
 */
export class TimeLimit {
  private readonly nanos: bigint | undefined
  /** In the order of their ends, for all have the same time. */
  private readonly entries = new Set<Entry>()
  private watching = false

  constructor(
    readonly duration: Duration.Duration,
    private readonly clock: Clock.Clock,
    private readonly fork: (effect: Effect.Effect<void>) => void
  ) {
    this.nanos = Option.getOrUndefined(Duration.toNanos(duration))
  }

  /** Runs an effect; calls `onLate` if it has not ended in time. */
  run<A, E>(effect: Effect.Effect<A, E>, onLate: () => void): Effect.Effect<A, E> {
    const { nanos } = this
    if (nanos === undefined) return effect
    return Effect.suspend(() => {
      const entry: Entry = { until: this.clock.unsafeCurrentTimeNanos() + nanos, onLate }
      this.entries.add(entry)
      if (!this.watching) {
        this.watching = true
        this.fork(this.watch)
      }
      return Effect.ensuring(effect, Effect.sync(() => void this.entries.delete(entry)))
    })
  }

  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.clock.unsafeCurrentTimeNanos()
    for (const entry of this.entries) {
      const left = entry.until - now
      // In whole milliseconds: at today's date a `TestClock` cannot tell smaller ones apart, and would wake us for ever.
      if (left > 0n) return Effect.delay(this.watch, Duration.millis(Math.ceil(Number(left) / 1e6)))
      this.entries.delete(entry)
      entry.onLate()
    }
    this.watching = false
    return Effect.void
  })
}

/** A limit whose fiber ends with the Scope. */
export const make = (duration: Duration.Duration): Effect.Effect<TimeLimit, never, Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime<never>()
    return new TimeLimit(duration, yield* Effect.clock, (effect) => void run(Effect.interruptible(effect)))
  })
