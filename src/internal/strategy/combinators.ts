import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Utils from "effect/Utils"
import type {
  Candidate,
  ChoiceContext,
  ReplicaChooser,
  ReplicaStrategy,
  StrategyContext
} from "../../ReplicaStrategy.js"
import type { Random } from "./draw.js"
import { byWeight } from "./draw.js"
import { hashOf, mix, NameHashes } from "./hash.js"
import { choosing, draining, narrow } from "./narrow.js"

/** A strategy whose choosers never take a candidate of weight 0 while there are others. */
export const define = (
  name: string,
  make: (context: StrategyContext) => Effect.Effect<ReplicaChooser, never, Scope.Scope>
): ReplicaStrategy => ({ name, make: (context) => Effect.map(make(context), draining) })

export const simple = (name: string, make: (random: Random) => ReplicaChooser): ReplicaStrategy =>
  define(name, ({ random }) => Effect.sync(() => make(random)))

export const wrap = (
  name: string,
  strategy: ReplicaStrategy,
  around: (chooser: ReplicaChooser, random: Random) => ReplicaChooser
): ReplicaStrategy =>
  define(
    `${name}(${strategy.name})`,
    (context) => Effect.map(strategy.make(context), (chooser) => around(chooser, context.random))
  )

const indexOfName = (candidates: ReadonlyArray<Candidate>, name: string): number => {
  for (let i = 0; i < candidates.length; i++) if (candidates[i]!.name === name) return i
  return -1
}

export const rendezvous = (random: Random, keyOf: (context: ChoiceContext) => string | undefined): ReplicaChooser => {
  const hashes = new NameHashes((hash) => hash)
  return {
    choose: (candidates, context) => {
      const key = keyOf(context)
      if (key === undefined) return byWeight(candidates, random)
      const hash = hashOf(key)
      let best = 0
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i < candidates.length; i++) {
        const candidate = candidates[i]!
        const score = -Math.log(mix(hash, hashes.of(candidate, candidates))) / (candidate.weight || 1)
        if (score < least) {
          least = score
          best = i
        }
      }
      return best
    }
  }
}

export const perSession = (chooser: ReplicaChooser): ReplicaChooser => {
  const kept = new WeakMap<object, string>()
  return choosing(chooser, (candidates, context) => {
    const { session } = context
    if (session === undefined) return chooser.choose(candidates, context)
    const name = kept.get(session)
    const index = name === undefined ? -1 : indexOfName(candidates, name)
    if (index >= 0) return index
    const chosen = chooser.choose(candidates, context)
    const candidate = candidates[chosen]
    if (candidate !== undefined) kept.set(session, candidate.name)
    return chosen
  })
}

export const locality = (chooser: ReplicaChooser, zones: ReadonlyArray<string>): ReplicaChooser =>
  narrow(chooser, (candidates, _context, left) => {
    for (const zone of zones) {
      for (let i = 0; i < candidates.length; i++) {
        const candidate = candidates[i]!
        if (candidate.zone === zone && candidate.connections.waiting === 0) left.push(candidate)
      }
      if (left.length > 0) return
    }
  })

export const subset = (chooser: ReplicaChooser, size: number, random: Random): ReplicaChooser => {
  const seed = Math.floor(random() * 2 ** 32)
  const hashes = new NameHashes((hash) => mix(seed, hash))
  const ranks: Array<number> = []
  return narrow(chooser, (candidates, _context, left) => {
    if (candidates.length <= size) return
    for (let i = 0; i < candidates.length; i++) ranks[i] = hashes.of(candidates[i]!, candidates)
    for (let i = 0; i < candidates.length; i++) {
      let higher = 0
      for (let j = 0; j < candidates.length; j++) {
        if (ranks[j]! > ranks[i]! || (ranks[j] === ranks[i] && j < i)) higher++
      }
      if (higher < size) left.push(candidates[i]!)
    }
  })
}

/** A candidate that began to serve a short while ago: the same, with a part of its weight. */
class Starting implements Candidate {
  weight = 0
  constructor(private readonly candidate: Candidate) {}

  get name() {
    return this.candidate.name
  }
  get role() {
    return this.candidate.role
  }
  get zone() {
    return this.candidate.zone
  }
  get inFlight() {
    return this.candidate.inFlight
  }
  get oldestInFlightAt() {
    return this.candidate.oldestInFlightAt
  }
  get latency() {
    return this.candidate.latency
  }
  get successRate() {
    return this.candidate.successRate
  }
  get lastFailureAt() {
    return this.candidate.lastFailureAt
  }
  get probe() {
    return this.candidate.probe
  }
  get lagMillis() {
    return this.candidate.lagMillis
  }
  get since() {
    return this.candidate.since
  }
  get connections() {
    return this.candidate.connections
  }
}

export const slowStart = (chooser: ReplicaChooser, window: number, minimum: number): ReplicaChooser => {
  const starting = new WeakMap<Candidate, Starting>()
  const seen: Array<Candidate> = []
  return choosing(chooser, (candidates, context) => {
    let begun = Number.NEGATIVE_INFINITY
    for (let i = 0; i < candidates.length; i++) begun = Math.max(begun, candidates[i]!.since)
    if (context.now - begun >= window) return chooser.choose(candidates, context)
    seen.length = 0
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!
      const age = context.now - candidate.since
      if (age >= window) {
        seen.push(candidate)
        continue
      }
      let reduced = starting.get(candidate)
      if (reduced === undefined) {
        reduced = new Starting(candidate)
        starting.set(candidate, reduced)
      }
      reduced.weight = candidate.weight * Math.max(minimum, age / window)
      seen.push(reduced)
    }
    return chooser.choose(seen, context)
  })
}

export const lowLag = (chooser: ReplicaChooser, within: number): ReplicaChooser =>
  narrow(chooser, (candidates, _context, left) => {
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < candidates.length; i++) least = Math.min(least, candidates[i]!.lagMillis ?? least)
    for (let i = 0; i < candidates.length; i++) {
      const { lagMillis } = candidates[i]!
      if (lagMillis !== undefined && lagMillis <= least + within) left.push(candidates[i]!)
    }
  })

/** Both choosers of two strategies learn how statements ended; what is chosen is made of both. */
const both = (
  name: string,
  first: ReplicaStrategy,
  second: ReplicaStrategy,
  choose: (first: ReplicaChooser, second: ReplicaChooser) => ReplicaChooser["choose"]
): ReplicaStrategy =>
  define(name, ({ random }) =>
    Effect.gen(function*() {
      // A generator of its own for the second, whose seed the first one draws again: it chooses what it would alone.
      const seed = random()
      const generator = new Utils.PCGRandom(Math.floor(seed * 2 ** 32))
      let drawn = false
      const sameAsAlone = () => {
        if (drawn) return random()
        drawn = true
        return seed
      }
      const a = yield* first.make({ random: sameAsAlone })
      const b = yield* second.make({ random: () => generator.number() })
      return {
        choose: choose(a, b),
        observe: (name, outcome, millis, now) => {
          a.observe?.(name, outcome, millis, now)
          b.observe?.(name, outcome, millis, now)
        }
      }
    }))

const isIndexIn = (candidates: ReadonlyArray<Candidate>, index: number): boolean => candidates[index] !== undefined

export const fallback = (strategy: ReplicaStrategy, other: ReplicaStrategy): ReplicaStrategy =>
  both(`withFallback(${strategy.name}, ${other.name})`, strategy, other, (first, second) => (candidates, context) => {
    try {
      const index = first.choose(candidates, context)
      if (isIndexIn(candidates, index)) return index
    } catch {
      // The other one is there for this too.
    }
    return second.choose(candidates, context)
  })

export const shadow = (
  strategy: ReplicaStrategy,
  other: ReplicaStrategy,
  report: (chosen: string, other: string) => void
): ReplicaStrategy =>
  both(`shadow(${strategy.name}, ${other.name})`, strategy, other, (first, second) => (candidates, context) => {
    const index = first.choose(candidates, context)
    try {
      const chosen = candidates[index]
      const instead = candidates[second.choose(candidates, context)]
      if (chosen !== undefined && instead !== undefined) report(chosen.name, instead.name)
    } catch {
      // What is only watched must not do harm.
    }
    return index
  })
