import { randomFrom } from "../pool/support.js"

/** What a run leaves to chance; the same for the same seed. */
export interface Chance {
  /** In [0, 1). */
  readonly next: () => number
  /** An integer below the limit. */
  readonly below: (limit: number) => number
  readonly pick: <A>(from: ReadonlyArray<A>) => A
  /** Draws of its own for a part of the run, however many it takes. */
  readonly fork: () => Chance
}

const bits = 2 ** 32

export const make = (seed: number): Chance => {
  // Knuth's multiplier takes neighbouring seeds apart; 0 would stay 0.
  const next = randomFrom(Math.imul(seed, 2_654_435_761) || 1)
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    next,
    below,
    pick: (from) => from[below(from.length)]!,
    fork: () => make(below(bits))
  }
}
