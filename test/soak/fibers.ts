/** The fibers: each does one piece of work after the other, and some of it is interrupted. */
import type { SqlError } from "@effect/sql/SqlError"
import { Cause, Chunk, Duration, Effect, Exit, Fiber, Option } from "effect"
import { AcquireTimeout } from "effect-sql-router/RoutingError"
import type { Chance } from "./chance.js"
import { expected, nameOf, strayCancels } from "./errors.js"
import type { Invariants } from "./invariants.js"
import type { Tally } from "./tallies.js"
import type { Stopwatch } from "./time.js"

/** The share of the work that is interrupted, within so many milliseconds. */
const interruptions = { share: 0.3, withinMillis: 15 }

/** Between two pieces of work. */
const mostPauseMillis = 10

export interface FiberOptions {
  readonly tallies: ReadonlyArray<Tally>
  readonly invariants: Invariants
  readonly stopwatch: Stopwatch
}

/** All fibers, which can be made to rest. */
export class Crew {
  private readonly latch = Effect.unsafeMakeLatch(true)
  private busy = 0

  constructor(private readonly options: FiberOptions) {}

  /** One fiber, until it is interrupted or `isOver`. */
  work(chance: Chance, isOver: () => boolean): Effect.Effect<void> {
    const next = Effect.suspend(() => {
      this.busy++
      return Effect.ensuring(once(this.options, chance), Effect.sync(() => void this.busy--))
    })
    return Effect.repeat(this.latch.whenOpen(next), { until: isOver })
  }

  /** Runs an effect while nobody works: what is there then is not just under way. */
  atRest<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.latch.close.pipe(
      Effect.zipRight(Effect.repeat(Effect.sleep("50 millis"), { until: () => this.busy === 0 })),
      Effect.zipRight(effect),
      Effect.ensuring(this.latch.open)
    )
  }
}

/** Does what is left to chance, once. */
const once = (options: FiberOptions, chance: Chance): Effect.Effect<void> =>
  Effect.gen(function*() {
    // All draws of it come first: what follows does not depend on how it goes.
    const tally = chance.pick(options.tallies)
    const work = tally.kind.work(chance.fork())
    const isInterrupted = chance.next() < interruptions.share
    const afterMillis = chance.below(interruptions.withinMillis)
    const pauseMillis = chance.below(mostPauseMillis)

    const begun = performance.now()
    let interruptedAt: number | undefined
    const fiber = yield* Effect.fork(work)
    if (isInterrupted) {
      yield* Effect.sleep(afterMillis)
      interruptedAt = performance.now()
      yield* Fiber.interruptFork(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    const ended = performance.now()
    tally.slowestMillis = Math.max(tally.slowestMillis, ended - begun)
    if (interruptedAt !== undefined) {
      tally.slowestEndMillis = Math.max(tally.slowestEndMillis, ended - interruptedAt)
    }
    if (Exit.isSuccess(exit)) tally.noteDone(options.stopwatch.seconds)
    else noteCause(tally, exit.cause, isInterrupted, options)
    yield* Effect.sleep(pauseMillis)
  })

const noteCause = (
  tally: Tally,
  cause: Cause.Cause<SqlError>,
  wasInterrupted: boolean,
  { invariants, stopwatch }: FiberOptions
): void => {
  const { kind, what } = tally
  invariants.check("defects", Chunk.isEmpty(Cause.defects(cause)), () => `${what}: ${Cause.pretty(cause)}`)
  if (Cause.isInterrupted(cause)) {
    tally.interrupted++
    invariants.check("interruptions", wasInterrupted, () => what)
    return
  }
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (error === undefined) return
  const name = nameOf(error)
  tally.noteFailed(name, stopwatch.seconds)
  if (error.cause instanceof AcquireTimeout) {
    tally.longestWaitMillis = Math.max(tally.longestWaitMillis, Duration.toMillis(error.cause.waited))
  }
  invariants.check("cancels", !strayCancels.has(name), () => `${what} was cancelled`)
  invariants.check("errors", expected[kind.nature].has(name), () => `${what}: ${name}: ${error.message}`)
}
