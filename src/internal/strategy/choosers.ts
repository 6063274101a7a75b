import type { Candidate, ReplicaChooser } from "../../ReplicaStrategy.js"
import type { Cost, Random } from "./draw.js"
import { byWeight, cheaperOfTwo, cheapest, shareOf, uniform, weightUnit } from "./draw.js"
import { expectedMillis, meanLoad, outstanding, peakLoad } from "./load.js"
import { forgetGone } from "./memory.js"
import { narrow } from "./narrow.js"

export const random = (random: Random): ReplicaChooser => ({ choose: (candidates) => uniform(candidates, random) })

export const weighted = (random: Random): ReplicaChooser => ({ choose: (candidates) => byWeight(candidates, random) })

/** How far an endpoint is owed its turn. */
interface Turn {
  credit: number
}

export const roundRobin = (random: Random): ReplicaChooser => {
  const turns = new Map<string, Turn>()
  const turnOf = (name: string, weight: number): Turn => {
    const known = turns.get(name)
    if (known !== undefined) return known
    const turn = { credit: random() * weight }
    turns.set(name, turn)
    return turn
  }
  return {
    choose: (candidates) => {
      forgetGone(turns, candidates)
      let total = 0
      let best = 0
      let next: Turn | undefined
      for (let i = 0; i < candidates.length; i++) {
        // Where nobody has a weight, all are alike.
        const weight = candidates[i]!.weight || 1
        const turn = turnOf(candidates[i]!.name, weight)
        turn.credit += weight
        total += weight
        if (next === undefined || turn.credit > next.credit) {
          next = turn
          best = i
        }
      }
      if (next !== undefined) next.credit -= total
      return best
    }
  }
}

export const failover: ReplicaChooser = { choose: () => 0 }

export const leastOutstanding = (random: Random): ReplicaChooser => ({
  choose: (candidates, { now }) => cheapest(candidates, outstanding, now, random)
})

export const powerOfTwo = (random: Random): ReplicaChooser => ({
  choose: (candidates, { now }) => cheaperOfTwo(candidates, outstanding, now, random)
})

export const peakEwma = (random: Random): ReplicaChooser => ({
  choose: (candidates, { now }) => cheaperOfTwo(candidates, peakLoad, now, random)
})

export const ewma = (random: Random): ReplicaChooser => {
  const lottery = new Lottery(random)
  return {
    choose: (candidates, { now }) => {
      if (!isBusy(candidates)) return lottery.draw(candidates, quietLoad, now)
      return haveEqualWeights(candidates)
        ? cheapest(candidates, meanLoad, now, random)
        : lottery.draw(candidates, meanLoad, now)
    }
  }
}

/** Without load, differences of less than a millisecond are noise. */
const quietLoad: Cost = (candidate, now, share) => {
  const load = meanLoad(candidate, now, share)
  return load === 0 ? 0 : Math.max(load, 1)
}

/** Without load nothing is gained by the fastest: whichever is a hair faster would get every read. */
const isBusy = (candidates: ReadonlyArray<Candidate>): boolean => {
  for (let i = 0; i < candidates.length; i++) if (candidates[i]!.inFlight > 0) return true
  return false
}

const haveEqualWeights = (candidates: ReadonlyArray<Candidate>): boolean => {
  for (let i = 1; i < candidates.length; i++) {
    if (candidates[i]!.weight !== candidates[0]!.weight) return false
  }
  return true
}

/**
 * Draws in proportion to weight / cost^4.
 *
 * Two measured costs are never quite equal, so that the cheapest of unequal weights would be the heaviest replica, or
 * whichever is a hair faster, every time. So the shares follow the weights while costs are alike, and a replica that
 * costs ten times as much gets one in ten thousand.
 */
class Lottery {
  private readonly tickets: Array<number> = []

  constructor(private readonly random: Random) {}

  draw(candidates: ReadonlyArray<Candidate>, cost: Cost, now: number): number {
    const { tickets } = this
    const unit = weightUnit(candidates)
    let total = 0
    for (let i = 0; i < candidates.length; i++) {
      const share = shareOf(candidates[i]!, unit)
      // A cost of 0 (never tried) is next to nothing, not nothing: several of them draw lots too.
      const costs = Math.max(cost(candidates[i]!, now, share), 1e-9)
      tickets[i] = share / (costs * costs * costs * costs)
      total += tickets[i]!
    }
    let left = this.random() * total
    let drawn = 0
    for (let i = 0; i < candidates.length && left >= 0; i++) {
      drawn = i
      left -= tickets[i]!
    }
    return drawn
  }
}

export interface LatencyOptions {
  /** Milliseconds. */
  readonly ttl: number
  readonly sampleSize: number
  readonly source: "passive" | "probe"
}

/** What a candidate answers in, from measurements that are not older than `ttl`. */
const measuredMillis = (candidate: Candidate, now: number, options: LatencyOptions): number | undefined => {
  if (options.source === "probe") {
    const { probe } = candidate
    return probe === undefined || now - probe.at > options.ttl ? undefined : probe.millis
  }
  return now - candidate.latency.at > options.ttl ? undefined : expectedMillis(candidate, now)
}

/** `size` of the candidates at random; 0 is all of them. */
const sampled = (chooser: ReplicaChooser, size: number, random: Random): ReplicaChooser =>
  size <= 0 ? chooser : narrow(chooser, (candidates, _context, left) => {
    for (let i = 0; i < candidates.length; i++) {
      if (random() * (candidates.length - i) < size - left.length) left.push(candidates[i]!)
    }
  })

export const latencyBand = (random: Random, options: LatencyOptions): ReplicaChooser => {
  const near = narrow(powerOfTwo(random), (candidates, { now }, left) => {
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < candidates.length; i++) {
      least = Math.min(least, measuredMillis(candidates[i]!, now, options) ?? least)
    }
    const most = least * 1.25 + 1
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!
      const millis = measuredMillis(candidate, now, options)
      if (millis === undefined ? candidate.inFlight === 0 : millis <= most) left.push(candidate)
    }
  })
  return sampled(near, options.sampleSize, random)
}

export const latencyWinner = (random: Random, options: LatencyOptions): ReplicaChooser => {
  const contest = sampled(
    {
      choose: (candidates, { now }) =>
        cheapest(
          candidates,
          (candidate) => measuredMillis(candidate, now, options) ?? (candidate.inFlight === 0 ? 0 : untried),
          now,
          random
        )
    },
    options.sampleSize,
    random
  )
  let winner: string | undefined
  let until = 0
  return {
    choose: (candidates, context) => {
      const { now } = context
      if (winner !== undefined && now < until) {
        for (let i = 0; i < candidates.length; i++) if (candidates[i]!.name === winner) return i
      }
      const index = contest.choose(candidates, context)
      winner = candidates[index]!.name
      until = now + options.ttl * (0.8 + 0.4 * random())
      return index
    }
  }
}

/** What a candidate takes that is being tried, and did not answer yet. */
const untried = Number.MAX_VALUE

/** Prequal's quantile between hot and cold. */
const hotAbove = 0.84

export const hotCold = (random: Random): ReplicaChooser => {
  const loads: Array<number> = []
  /** More than is in flight at 84 % of all. */
  const isHot = (index: number, count: number): boolean => {
    const own = loads[index]!
    let lower = 0
    for (let i = 0; i < count; i++) if (loads[i]! < own) lower++
    return lower > Math.floor(hotAbove * (count - 1))
  }
  /** The one of two that is cold, or the faster of two cold ones, or the less loaded of two hot ones; else the first. */
  const colder = (candidates: ReadonlyArray<Candidate>, a: number, b: number, now: number): number => {
    const hot = isHot(a, candidates.length)
    if (hot !== isHot(b, candidates.length)) return hot ? b : a
    return (hot
        ? loads[b]! < loads[a]!
        : expectedOrUntried(candidates[b]!, now) < expectedOrUntried(candidates[a]!, now))
      ? b
      : a
  }
  return {
    choose: (candidates, { now }) => {
      const unit = weightUnit(candidates)
      for (let i = 0; i < candidates.length; i++) {
        loads[i] = candidates[i]!.inFlight / shareOf(candidates[i]!, unit)
      }
      const first = byWeight(candidates, random)
      if (candidates.length === 1) return first
      const second = byWeight(candidates, random, first)
      const better = colder(candidates, first, second, now)
      return candidates.length === 2
        ? better
        : colder(candidates, better, byWeight(candidates, random, first, second), now)
    }
  }
}

const expectedOrUntried = (candidate: Candidate, now: number): number =>
  expectedMillis(candidate, now) ?? (candidate.inFlight === 0 ? 0 : untried)
