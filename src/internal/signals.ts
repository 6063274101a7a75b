import type { Timings } from "../ConnectionPool.js"
import type { Latency, Outcome, Probe } from "../ReplicaStrategy.js"
import { Histogram } from "./histogram.js"

/** Half-life of the mean: short enough to see a replica turn slow within a second. */
const meanHalfLife = 500

/** What the newest answer counts at least, however fast answers come. */
const leastWeight = 0.05

/** Time constant of the peak and of the success rate: Finagle's `decayTime`. */
export const peakDecay = 10_000

/**
 * What a failure counts as, in milliseconds, unless the replica was even slower: without it a replica that fails fast
 * looks fast, and draws the traffic. After linkerd's load biaser.
 */
const failurePenalty = 5000

/** What a server takes of which nothing is known but that it did not do its work: linkerd's default. */
const unknownMillis = 30

/** Milliseconds of a clock that counts nanoseconds; exact to a quarter of a microsecond in this century. */
export const toMillis = (nanos: bigint): number => Number(nanos) / 1e6

/** A statement on its way to or at a server. */
export interface InFlight {
  begunAt: number
  previous: InFlight | undefined
  next: InFlight | undefined
  over: boolean
}

class MeasuredLatency implements Latency {
  mean: number | undefined = undefined
  peak: number | undefined = undefined
  at = 0
  samples = 0

  record(millis: number, now: number): void {
    const { mean, peak } = this
    if (mean === undefined || peak === undefined) {
      this.mean = millis
      this.peak = millis
    } else {
      const elapsed = Math.max(0, now - this.at)
      const fade = Math.exp(-elapsed / peakDecay)
      this.mean = mean + Math.max(1 - 2 ** (-elapsed / meanHalfLife), leastWeight) * (millis - mean)
      this.peak = Math.max(millis, peak * fade + millis * (1 - fade))
    }
    this.at = now
    this.samples++
  }

  forget(): void {
    this.mean = undefined
    this.peak = undefined
    this.samples = 0
  }
}

/**
 * What the router knows of a server from the statements it sent there: how many are in flight, since when, how long
 * they took and how they ended. All times are milliseconds of one clock.
 */
export class Signals {
  inFlight = 0
  readonly latency: Latency
  lastFailureAt: number | undefined = undefined
  probe: Probe | undefined = undefined
  private readonly measured = new MeasuredLatency()
  private readonly answers = new Histogram()
  private oldest: InFlight | undefined = undefined
  private newest: InFlight | undefined = undefined
  private successes = 0
  private failures = 0
  private settledAt = 0

  /** `since`: when the server began to take statements; long ago unless it was added to a running router. */
  constructor(public since: number = Number.NEGATIVE_INFINITY) {
    this.latency = this.measured
  }

  get oldestInFlightAt(): number | undefined {
    return this.oldest?.begunAt
  }

  /** Share of the statements that the server answered, of the last half minute or so; 1 without any. */
  get successRate(): number {
    const all = this.successes + this.failures
    return all === 0 ? 1 : this.successes / all
  }

  /** How long answers took: p50, p95, p99, the latest 65,536 weighing most. */
  get timings(): Timings {
    return this.answers.timings
  }

  begin(now: number): InFlight {
    const statement: InFlight = { begunAt: now, previous: undefined, next: undefined, over: false }
    this.append(statement)
    this.inFlight++
    return statement
  }

  /**
   * The statement had to wait for a connection until now. What is measured begins here: opening a connection, most of
   * all the first one, says little about how fast statements are answered, and a queue is seen in what is in flight.
   */
  sent(statement: InFlight, now: number): void {
    if (statement.over) return
    this.remove(statement)
    statement.begunAt = now
    this.append(statement)
  }

  /** How long the statement took. Ending it twice changes nothing. */
  end(statement: InFlight, now: number, outcome: Outcome): number {
    const millis = Math.max(0, now - statement.begunAt)
    if (statement.over) return millis
    statement.over = true
    this.inFlight--
    this.remove(statement)
    switch (outcome) {
      case "success":
        this.measured.record(millis, now)
        this.answers.recordMicros(millis * 1000)
        this.settle(1, 0, now)
        break
      case "failure":
        this.measured.record(Math.max(failurePenalty, this.atLeast(millis)), now)
        this.settle(0, 1, now)
        this.lastFailureAt = now
        break
      case "refused":
        this.measured.record(this.atLeast(millis), now)
        this.settle(1, 0, now)
        break
      case "interrupted":
        this.measured.record(this.atLeast(millis), now)
        break
    }
    return millis
  }

  /** The server serves again after it was taken out: what was measured before says nothing about it now. */
  recovered(now: number): void {
    this.since = now
    this.measured.forget()
    this.successes = 0
    this.failures = 0
  }

  probed(millis: number, now: number): void {
    this.probe = { millis, at: now }
  }

  /**
   * What is known where work was not done: that it would have taken longer. So it may raise the estimate, not lower it;
   * and it is an estimate: a replica that refuses everything must not pass for one that was never tried.
   */
  private atLeast(millis: number): number {
    return Math.max(millis, this.measured.mean ?? unknownMillis)
  }

  private settle(success: number, failure: number, now: number): void {
    const fade = Math.exp(-Math.max(0, now - this.settledAt) / peakDecay)
    this.successes = this.successes * fade + success
    this.failures = this.failures * fade + failure
    this.settledAt = now
  }

  private append(statement: InFlight): void {
    statement.previous = this.newest
    if (this.newest === undefined) this.oldest = statement
    else this.newest.next = statement
    this.newest = statement
  }

  private remove(statement: InFlight): void {
    const { next, previous } = statement
    if (previous === undefined) this.oldest = next
    else previous.next = next
    if (next === undefined) this.newest = previous
    else next.previous = previous
    statement.previous = undefined
    statement.next = undefined
  }
}
