import * as Duration from "effect/Duration"
import type { Timings } from "../ConnectionPool.js"

/** Each power of two is cut into so many buckets of the same width. */
const cuts = 8
const cutBits = 3

/** About 36 minutes; what takes longer is counted there. */
const mostMicros = 2 ** 31 - 1

/** After so many values all counts are halved, so that what happened lately weighs more than what happened long ago. */
const halveAfter = 2 ** 16

/**
 * Counts durations in buckets of a width that grows with them, as HdrHistogram does: single microseconds below 16, above
 * that a bucket's middle is at most 6.25 % from what is in it. Recording allocates nothing.
 */
export class Histogram {
  private readonly counts = new Uint32Array(bucketOf(mostMicros) + 1)
  private recorded = 0

  record(nanos: bigint): void {
    this.recordMicros(Number(nanos) / 1000)
  }

  recordMicros(micros: number): void {
    this.add(bucketOf(Math.min(Math.max(0, Math.floor(micros)), mostMicros)))
  }

  recordZero(): void {
    this.add(0)
  }

  get timings(): Timings {
    const buckets: Array<readonly [micros: number, count: number]> = []
    this.counts.forEach((count, bucket) => {
      if (count > 0) buckets.push([middleOf(bucket), count])
    })
    return summarize(buckets)
  }

  private add(bucket: number): void {
    this.counts[bucket]!++
    if (++this.recorded % halveAfter === 0) this.halve()
  }

  private halve(): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! >>>= 1
  }
}

const bucketOf = (micros: number): number => {
  if (micros < cuts) return micros
  const power = 31 - Math.clz32(micros)
  return (power - cutBits + 1) * cuts + ((micros >>> (power - cutBits)) & (cuts - 1))
}

const middleOf = (bucket: number): number => {
  if (bucket < cuts) return bucket
  const width = 2 ** (Math.floor(bucket / cuts) - 1)
  return (cuts + bucket % cuts) * width + (width - 1) / 2
}

/** The percentiles of buckets that are in ascending order. */
const summarize = (buckets: Timings["buckets"]): Timings => {
  const total = buckets.reduce((sum, [, count]) => sum + count, 0)
  const percentile = (share: number): Duration.Duration => {
    let left = Math.ceil(total * share)
    for (const [micros, count] of buckets) {
      left -= count
      if (left <= 0) return Duration.millis(micros / 1000)
    }
    return Duration.zero
  }
  return { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99), buckets }
}

/** What several histograms would have counted as one. */
export const merge = (all: ReadonlyArray<Timings>): Timings => {
  const counts = new Map<number, number>()
  for (const { buckets } of all) {
    for (const [micros, count] of buckets) counts.set(micros, (counts.get(micros) ?? 0) + count)
  }
  return summarize(Array.from(counts).toSorted(([a], [b]) => a - b))
}
