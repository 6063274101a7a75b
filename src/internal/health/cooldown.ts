import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"

/** Beyond this many trips in a row the delay grows no more. */
const maxTrips = 32

/** No schedule can make a dead server be probed without a pause. */
const minDelayMillis = 100

/**
 * The delays of a schedule, by how often in a row an endpoint tripped.
 *
 * A schedule only goes forward. Its states are kept, so that an endpoint that was well for a while can go back a few
 * steps instead of to the beginning; each delay is drawn anew from its state.
 */
export class Cooldown {
  /** `states[n]`: what the delay after the nth is drawn from. */
  private readonly states: Array<unknown>
  private length = maxTrips

  constructor(
    private readonly schedule: Schedule.Schedule<unknown, SqlError>,
    /** Clock and randomness of the Layer. */
    private readonly runtime: Runtime.Runtime<never>
  ) {
    this.states = [schedule.initial]
  }

  /** The delay, in nanoseconds, of the nth trip in a row, counted from 1; of the last one if the schedule has ended. */
  delay(trips: number, error: SqlError, nowMillis: number): bigint {
    const wanted = Math.max(1, Math.min(trips, this.length))
    // One step, as a rule: those before it were taken at the trips before.
    for (let nth = Math.min(wanted, this.states.length);; nth++) {
      const millis = this.step(nth, error, nowMillis)
      if (millis === undefined) {
        this.length = nth - 1
        return nth === 1 ? toNanos(minDelayMillis) : this.delay(nth - 1, error, nowMillis)
      }
      if (nth === wanted) return toNanos(Math.max(minDelayMillis, millis))
    }
  }

  /** The nth delay; `undefined` if the schedule has none, or does not tell it at once. */
  step(nth: number, error: SqlError, nowMillis: number): number | undefined {
    const exit = Runtime.runSyncExit(this.runtime)(
      Effect.suspend(() => this.schedule.step(nowMillis, error, this.states[nth - 1]))
    )
    if (Exit.isFailure(exit)) return undefined
    const [state, , decision] = exit.value
    if (ScheduleDecision.isDone(decision)) return undefined
    this.states[nth] = state
    const millis = Intervals.start(decision.intervals) - nowMillis
    return Number.isFinite(millis) ? millis : undefined
  }
}

const toNanos = (millis: number): bigint => BigInt(Math.ceil(millis * 1e6))
