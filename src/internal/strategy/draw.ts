import type { Candidate } from "../../ReplicaStrategy.js"

/** Uniform in [0, 1). */
export type Random = () => number

/** What one more statement costs at a candidate, at a time, if its weight is `share` of the average. */
export type Cost = (candidate: Candidate, now: number, share: number) => number

/** What turns a weight into its share of the average weight; 0 where nobody has a weight. */
export const weightUnit = (candidates: ReadonlyArray<Candidate>): number => {
  let total = 0
  for (let i = 0; i < candidates.length; i++) total += candidates[i]!.weight
  return total === 0 ? 0 : candidates.length / total
}

/** A candidate's weight where the average is 1; where nobody has any, all are alike. */
export const shareOf = (candidate: Candidate, unit: number): number => unit === 0 ? 1 : candidate.weight * unit

export const uniform = (candidates: ReadonlyArray<Candidate>, random: Random): number =>
  Math.floor(random() * candidates.length)

/** One at random in proportion to its weight, without those that were drawn before. */
export const byWeight = (candidates: ReadonlyArray<Candidate>, random: Random, without = -1, nor = -1): number => {
  let total = 0
  let count = 0
  for (let i = 0; i < candidates.length; i++) {
    if (i === without || i === nor) continue
    total += candidates[i]!.weight
    count++
  }
  let left = random() * (total || count)
  let last = 0
  for (let i = 0; i < candidates.length; i++) {
    if (i === without || i === nor) continue
    left -= total === 0 ? 1 : candidates[i]!.weight
    last = i
    if (left < 0) break
  }
  return last
}

/** The cheapest of all; at random by weight among equals. */
export const cheapest = (
  candidates: ReadonlyArray<Candidate>,
  cost: Cost,
  now: number,
  random: Random
): number => {
  const unit = weightUnit(candidates)
  let best = 0
  let least = Number.POSITIVE_INFINITY
  let tied = 0
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!
    const share = shareOf(candidate, unit)
    const costs = cost(candidate, now, share)
    if (costs < least) {
      least = costs
      best = i
      tied = share
    } else if (costs === least) {
      tied += share
      if (random() * tied < share) best = i
    }
  }
  return best
}

/** The cheaper of two that are drawn at random by weight; the first among equals, so that shares follow the weights. */
export const cheaperOfTwo = (
  candidates: ReadonlyArray<Candidate>,
  cost: Cost,
  now: number,
  random: Random
): number => {
  if (candidates.length === 1) return 0
  const unit = weightUnit(candidates)
  const a = byWeight(candidates, random)
  const b = byWeight(candidates, random, a)
  return cost(candidates[b]!, now, shareOf(candidates[b]!, unit)) <
      cost(candidates[a]!, now, shareOf(candidates[a]!, unit))
    ? b
    : a
}
