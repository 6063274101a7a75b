/** What became of the work: how much of it failed, and how long it took at the longest. */
import { Duration } from "effect"
import type { Deed } from "./chaos.js"
import type { Invariants } from "./invariants.js"
import { acquireTimeout } from "./routers.js"
import { lateMillis, longestStallMillis } from "./time.js"
import type { Kind } from "./workload.js"

export interface Occurrences {
  count: number
  readonly firstSeconds: number
  lastSeconds: number
}

/** What became of one kind of work. */
export class Tally {
  done = 0
  interrupted = 0
  failed = 0
  slowestMillis = 0
  /** The longest time from an interruption to the end. */
  slowestEndMillis = 0
  /** The longest that one waited in vain for a connection. */
  longestWaitMillis = 0
  readonly errors = new Map<string, Occurrences>()
  /** In each second of the run: by it, outages are told from the time between them. */
  readonly doneIn: Uint32Array
  /** Without those that found no free connection in time, which depends on what else the machine does. */
  readonly failedIn: Uint32Array

  constructor(readonly kind: Kind, seconds: number) {
    this.doneIn = new Uint32Array(seconds)
    this.failedIn = new Uint32Array(seconds)
  }

  get what(): string {
    return `${this.kind.place} ${this.kind.name}`
  }

  noteDone(seconds: number): void {
    this.done++
    this.doneIn[Math.floor(seconds)]!++
  }

  noteFailed(name: string, seconds: number): void {
    this.failed++
    if (name !== "AcquireTimeout") this.failedIn[Math.floor(seconds)]!++
    const known = this.errors.get(name)
    if (known === undefined) this.errors.set(name, { count: 1, firstSeconds: seconds, lastSeconds: seconds })
    else {
      known.count++
      known.lastSeconds = seconds
    }
  }
}

/** After an outage: until connections are open again, and those who waited have been served. */
const recoverySeconds = 5

/** Between outages, of all work of a nature, while connections are cut every second. */
const mostFailed = { statement: 0.02, connection: 0.05, transaction: 0.1 } as const

/** Too few to tell a share from. */
const few = 10

/** In all, of each kind that is not about deadlines: also on a machine that is too slow for what is asked of it. */
const leastDone = 0.25

/** Who is kept from running for longer cannot connect in time either: that much fails tells of the machine alone. */
const mostStallMillis = 2000

/** From an interruption to the end: a statement is left at once, a COMMIT under way is waited for. */
const promptMillis = 1000

/** A piece of work may wait for a connection, or for a primary, with each of its statements. */
const longestMillis = 60_000

export const checkTallies = (
  tallies: ReadonlyArray<Tally>,
  deeds: ReadonlyArray<Deed>,
  invariants: Invariants
): void => {
  for (const [nature, most] of Object.entries(mostFailed)) {
    let done = 0
    let failed = 0
    for (const { doneIn, failedIn, kind } of tallies.filter(({ kind }) => kind.nature === nature)) {
      const outages = deeds.filter(({ site }) => kind.place === site || kind.place === "both")
      for (let second = 0; second < doneIn.length; second++) {
        const isCalm = outages.every(({ atSeconds, tookSeconds }) =>
          second < Math.floor(atSeconds) || second > atSeconds + tookSeconds + recoverySeconds
        )
        if (!isCalm) continue
        done += doneIn[second]!
        failed += failedIn[second]!
      }
    }
    const detail = () => `${failed} of ${failed + done} (${nature}) failed between outages`
    invariants.check("few", failed <= few + most * (failed + done), detail)
  }
  const stall = longestStallMillis()
  if (stall > mostStallMillis) {
    for (const rule of ["few", "goesOn"] as const) {
      invariants.leaveOut(rule, `this process was kept from running for ${stall} ms`)
    }
  }
  const late = lateMillis()
  const longestWait = Duration.toMillis(acquireTimeout) + late
  for (const { done, failed, kind, longestWaitMillis, slowestEndMillis, slowestMillis, what } of tallies) {
    invariants.check("waits", longestWaitMillis <= longestWait, () => `${what} waited for ${longestWaitMillis} ms`)
    const after = Math.round(slowestEndMillis)
    invariants.check("prompt", after <= promptMillis + late, () => `${what} ended after ${after} ms`)
    invariants.check(
      "ended",
      slowestMillis <= longestMillis + late,
      () => `${what} took ${Math.round(slowestMillis)} ms`
    )
    if (kind.nature === "deadline") continue
    invariants.check(
      "goesOn",
      done >= leastDone * (done + failed),
      () => `${what}: ${failed} of ${done + failed} failed`
    )
  }
}
