import type { Candidate } from "../../ReplicaStrategy.js"
import { peakDecay } from "../signals.js"
import type { Cost } from "./draw.js"

/**
 * What a candidate that never answered costs while it is being tried: more than any that did, so that one statement
 * and not a herd finds out. With several such candidates the one with the fewest in flight is taken.
 */
const untried = 1e12

/** How long a measured mean is believed as it stands. */
const fresh = 1000

/**
 * How fast a mean fades after that: a replica that was slow, or failed, is tried again by and by. Ten times slower than
 * the others, that is after 8 s; failed once among replicas that answer in 2 ms, after 15 s.
 */
const fadeHalfLife = 2000

/** What is in flight, as if the candidate had an average weight, with the statement that is to be sent. */
export const outstanding: Cost = (candidate, _now, share) => candidate.inFlight / share + 1

/**
 * How long the next answer may take: the mean, or a quarter of the age of the oldest statement in flight where that is
 * more, so that a stall shows before any answer comes. `undefined` where nothing is known.
 */
export const expectedMillis = (candidate: Candidate, now: number): number | undefined => {
  const { latency, oldestInFlightAt } = candidate
  const { mean } = latency
  if (mean === undefined) return undefined
  const old = now - latency.at - fresh
  const millis = old > 0 ? mean * 2 ** (-old / fadeHalfLife) : mean
  return oldestInFlightAt === undefined ? millis : Math.max(millis, (now - oldestInFlightAt) / 4)
}

/** The time the statements in flight and the next one take together. */
export const meanLoad: Cost = (candidate, now, share) => {
  const millis = expectedMillis(candidate, now)
  const statements = outstanding(candidate, now, share)
  return millis !== undefined ? millis * statements : candidate.inFlight === 0 ? 0 : untried * statements
}

/** The same from the peak of the latency, as in Finagle. */
export const peakLoad: Cost = (candidate, now, share) => {
  const { at, peak } = candidate.latency
  const statements = outstanding(candidate, now, share)
  return peak !== undefined
    ? peak * Math.exp((at - now) / peakDecay) * statements
    : candidate.inFlight === 0
    ? 0
    : untried * statements
}
