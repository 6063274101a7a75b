/**
 * What every replica strategy must hold to, to be checked on your own in one line. Needs no test framework, but Node's
 * `v8` module.
 *
 * ```ts
 * import { it } from "@effect/vitest"
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 * import * as ReplicaStrategyLaws from "effect-sql-router/testing/ReplicaStrategyLaws"
 *
 * const inTurn = ReplicaStrategy.make({
 *   name: "inTurn",
 *   initial: 0,
 *   choose: (turn, candidates) => [turn % candidates.length, turn + 1]
 * })
 *
 * it.effect("inTurn is a lawful strategy", () => ReplicaStrategyLaws.check(inTurn, { except: ["share"] }))
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Utils from "effect/Utils"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import type { Candidate, ChoiceContext, ReplicaChooser, ReplicaStrategy } from "../ReplicaStrategy.js"

/**
 * - `offered`: every choice is the index of a candidate, whatever the signals say.
 * - `single`: of one candidate, that one is chosen, also if its weight is 0.
 * - `drained`: weight 0 is not chosen while another candidate has a weight.
 * - `replay`: the same seed and the same trace give the same choices.
 * - `starvation`: of equal candidates, each is chosen at least once in 10,000 choices.
 * - `share`: of candidates that differ in weight only, each is chosen in proportion to its weight, within 3 sigma.
 * - `order`: the order in which candidates stand changes nothing in how often each is chosen, within 3 sigma.
 * - `departed`: how a statement ended at an endpoint that is gone changes no later choice.
 * - `bounded`: what is remembered does not grow while endpoints come and go, 10,000 times.
 *
 * @since 0.1.0
 * @category models
 */
export type Law =
  | "offered"
  | "single"
  | "drained"
  | "replay"
  | "starvation"
  | "share"
  | "order"
  | "departed"
  | "bounded"

/**
 * A law that a strategy does not hold to, and how that showed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Violation {
  readonly law: Law
  readonly problem: string
}

/**
 * A strategy is not lawful.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnlawfulStrategy extends Data.TaggedError("UnlawfulStrategy")<{
  readonly strategy: string
  readonly violations: ReadonlyArray<Violation>
}> {
  override get message(): string {
    return `Strategy ${this.strategy} violates ${
      this.violations.map(({ law, problem }) => `"${law}": ${problem}`).join("; ")
    }`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions {
  /** Laws that the strategy breaks on purpose: `failover` starves, for example. Default none. */
  readonly except?: ReadonlyArray<Law> | undefined
  /** Default 1. */
  readonly seed?: number | undefined
}

/**
 * A candidate for tests: a replica of weight 1 with nothing in flight and nothing known, but for what is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const candidate = (given: Partial<Candidate> & { readonly name: string }): Candidate => ({
  role: "replica",
  weight: 1,
  zone: undefined,
  inFlight: 0,
  oldestInFlightAt: undefined,
  latency: { mean: undefined, peak: undefined, at: 0, samples: 0 },
  successRate: 1,
  lastFailureAt: undefined,
  probe: undefined,
  lagMillis: undefined,
  since: Number.NEGATIVE_INFINITY,
  connections: { idle: 1, total: 1, max: 10, waiting: 0 },
  ...given
})

/**
 * Fails with {@link UnlawfulStrategy} unless the strategy holds to all laws but the excepted ones.
 *
 * @since 0.1.0
 * @category laws
 */
export const check = (strategy: ReplicaStrategy, options: CheckOptions = {}): Effect.Effect<void, UnlawfulStrategy> =>
  Effect.flatMap(violations(strategy, options), (violations) =>
    violations.length === 0
      ? Effect.void
      : Effect.fail(new UnlawfulStrategy({ strategy: strategy.name, violations })))

/**
 * The laws that a strategy does not hold to, without the excepted ones.
 *
 * @since 0.1.0
 * @category laws
 */
export const violations = (
  strategy: ReplicaStrategy,
  options: CheckOptions = {}
): Effect.Effect<ReadonlyArray<Violation>> => {
  const { except = [], seed = 1 } = options
  const checked = (Object.keys(laws) as ReadonlyArray<Law>).filter((law) => !except.includes(law))
  return Effect.scoped(
    Effect.map(
      Effect.forEach(checked, (law) =>
        Effect.map(
          Effect.catchAllCause(
            laws[law]((seed) => strategy.make({ random: generator(seed) }), seed),
            (cause) => Effect.succeed(`it threw: ${Cause.pretty(cause)}`)
          ),
          (problem) => ({ law, problem })
        )),
      (found) => found.filter((_): _ is Violation => _.problem !== undefined)
    )
  )
}

/** Makes a chooser from a seed. */
type Make = (seed: number) => Effect.Effect<ReplicaChooser, never, Scope.Scope>

/** What is wrong, or `undefined`. */
type Check = (make: Make, seed: number) => Effect.Effect<string | undefined, never, Scope.Scope>

const choices = 10_000

const laws: { readonly [L in Law]: Check } = {
  offered: (make, seed) =>
    Effect.map(make(seed), (chooser) => {
      for (const { candidates, context } of trace(seed, 2000)) {
        const problem = outOfRange(chooser.choose(candidates, context), candidates)
        if (problem !== undefined) return problem
      }
      return undefined
    }),

  single: (make, seed) =>
    Effect.map(make(seed), (chooser) => {
      for (const { candidates, context } of trace(seed, 500)) {
        const index = chooser.choose(candidates.slice(0, 1), context)
        if (index !== 0) return `chose ${index} of one candidate of weight ${candidates[0]!.weight}`
      }
      return undefined
    }),

  drained: (make, seed) =>
    Effect.map(make(seed), (chooser) => {
      for (const { candidates, context } of trace(seed, 4000)) {
        const chosen = candidates[chooser.choose(candidates, context)]
        if (chosen?.weight === 0 && candidates.some((_) => _.weight > 0)) {
          return `chose ${chosen.name} of weight 0 where the weights are ${candidates.map((_) => _.weight).join(", ")}`
        }
      }
      return undefined
    }),

  replay: (make, seed) =>
    Effect.map(Effect.all([make(seed), make(seed)]), ([first, second]) => {
      let count = 0
      for (const { candidates, context } of trace(seed, 2000)) {
        count++
        const a = first.choose(candidates, context)
        const b = second.choose(candidates, context)
        if (a !== b) return `choice ${count} was ${a} at first, ${b} when it was replayed`
      }
      return undefined
    }),

  starvation: (make, seed) =>
    Effect.map(make(seed), (chooser) => {
      const counts = countChoices(chooser, alike([1, 1, 1, 1]), seed)
      const starved = Array.from(counts).find(([, count]) => count === 0)
      return starved && `${starved[0]} was not chosen once in ${choices}, as one of ${counts.size} equal candidates`
    }),

  share: (make, seed) =>
    twice(make, seed, (make, seed) =>
      Effect.map(make(seed), (chooser) => {
        const weights = [4, 1, 3, 2]
        const total = weights.reduce((a, b) => a + b, 0)
        const candidates = alike(weights)
        const counts = countChoices(chooser, candidates, seed)
        for (const { name, weight } of candidates) {
          const share = weight / total
          const far = Math.abs(counts.get(name)! - share * choices)
          if (far > 3 * Math.sqrt(choices * share * (1 - share))) {
            return `weight ${weight} of ${total} was chosen ${counts.get(name)} times in ${choices}`
          }
        }
        return undefined
      })),

  order: (make, seed) =>
    twice(make, seed, (make, seed) =>
      Effect.map(Effect.all([make(seed), make(seed + 7919)]), ([chooser, other]) => {
        const candidates = alike([1, 1, 1, 1])
        const counts = countChoices(chooser, candidates, seed)
        const turned = countChoices(other, candidates.toReversed(), seed)
        for (const { name } of candidates) {
          const a = counts.get(name)!
          const b = turned.get(name)!
          const share = (a + b) / 2 / choices
          if (Math.abs(a - b) > 3 * Math.sqrt(2 * choices * share * (1 - share))) {
            return `${name} was chosen ${a} times in ${choices} in one order of the candidates, ${b} in the reverse`
          }
        }
        return undefined
      })),

  departed: (make, seed) =>
    Effect.map(Effect.all([make(seed), make(seed)]), ([told, untold]) => {
      const candidates = alike([1, 1, 1])
      const gone = candidate({ name: "departed" })
      for (const chooser of [told, untold]) chooser.choose([gone, ...candidates], contextAt(0))
      for (let i = 1; i <= 500; i++) {
        told.observe?.(gone.name, i % 2 === 0 ? "success" : "failure", 5, i)
        const a = told.choose(candidates, contextAt(i))
        const b = untold.choose(candidates, contextAt(i))
        if (a !== b) return `chose ${a} instead of ${b} after it was told of an endpoint that is gone`
      }
      return undefined
    }),

  bounded: (make, seed) =>
    Effect.map(make(seed), (chooser) => {
      const stays = candidate({ name: "stays" })
      const before = heapUsed()
      for (let i = 0; i < choices; i++) {
        const comes = candidate({ name: longName(i) })
        const context = contextAt(i)
        chooser.choose([stays, comes], context)
        chooser.observe?.(comes.name, "success", 1, i)
        chooser.choose([stays], context)
        chooser.observe?.(comes.name, "failure", 1, i)
      }
      const grown = heapUsed() - before
      // Alive until here: what it remembers counts.
      chooser.choose([stays], contextAt(choices))
      return grown > choices * nameLength / 4
        ? `it remembers ${Math.round(grown / nameLength)} of ${choices} endpoints that are gone`
        : undefined
    })
}

/** Names so long that those who are remembered can be found in the heap; in one piece, or they would share theirs. */
const nameLength = 4096
const longName = (i: number): string => Buffer.alloc(nameLength, `endpoint${i} `).toString("latin1")

/** Looks again with other numbers: chance alone breaks a limit of 3 sigma now and then, but not twice. */
const twice = (make: Make, seed: number, check: Check): ReturnType<Check> =>
  Effect.flatMap(
    check(make, seed),
    (problem) =>
      problem === undefined
        ? Effect.succeed(undefined)
        : check(make, seed + 104_729)
  )

const generator = (seed: number): () => number => {
  const generator = new Utils.PCGRandom(seed)
  return () => generator.number()
}

const outOfRange = (index: number, candidates: ReadonlyArray<Candidate>): string | undefined =>
  candidates[index] === undefined ? `chose ${index} of ${candidates.length} candidates` : undefined

const contextAt = (now: number): ChoiceContext => ({
  now,
  attempt: 1,
  key: `key${now}`,
  session: undefined,
  facts: undefined
})

/** Candidates that only their weights tell apart, after one answer each. */
const alike = (weights: ReadonlyArray<number>): ReadonlyArray<Candidate> =>
  weights.map((weight, i) =>
    candidate({ name: `replica${i + 1}`, weight, latency: { mean: 2, peak: 2, at: 0, samples: 1 }, lagMillis: 0 })
  )

/** How often each is chosen, one choice a millisecond, each with a key and in a session of its own. */
const countChoices = (
  chooser: ReplicaChooser,
  candidates: ReadonlyArray<Candidate>,
  seed: number
): ReadonlyMap<string, number> => {
  const counts = new Map(candidates.map((_) => [_.name, 0]))
  for (let i = 0; i < choices; i++) {
    const context: ChoiceContext = { ...contextAt(i), key: `${seed}/${i}`, session: {} }
    const chosen = candidates[chooser.choose(candidates, context)]
    if (chosen === undefined) continue
    counts.set(chosen.name, counts.get(chosen.name)! + 1)
    chooser.observe?.(chosen.name, "success", 2, i)
  }
  return counts
}

interface Step {
  readonly candidates: ReadonlyArray<Candidate>
  readonly context: ChoiceContext
}

/** Choices among one to eight candidates, of which anything may be known. */
function* trace(seed: number, count: number): Generator<Step> {
  const random = generator(seed + 15_485_863)
  const below = (most: number) => Math.floor(random() * most)
  const maybe = <A>(value: A): A | undefined => random() < 0.5 ? value : undefined
  const sessions = [{}, {}, {}]
  let now = 0
  for (let i = 0; i < count; i++) {
    now += random() < 0.01 ? random() * 60_000 : random() * 5
    const offset = below(4)
    const candidates = Array.from({ length: 1 + below(8) }, (_, i) => {
      const inFlight = below(4)
      const mean = maybe(random() * 50)
      return candidate({
        name: `replica${offset + i}`,
        weight: random() < 0.3 ? 0 : 1 + below(5),
        zone: maybe(`zone${below(3)}`),
        inFlight,
        oldestInFlightAt: inFlight === 0 ? undefined : now - random() * 100,
        latency: { mean, peak: mean && mean * 2, at: now - random() * 2000, samples: mean === undefined ? 0 : 1 },
        lastFailureAt: maybe(now - random() * 10_000),
        probe: maybe({ millis: random() * 20, at: now - random() * 30_000 }),
        lagMillis: maybe(random() * 5000),
        since: random() < 0.3 ? now - random() * 20_000 : Number.NEGATIVE_INFINITY,
        connections: { idle: below(3), total: 5, max: 10, waiting: below(2) }
      })
    })
    yield {
      candidates,
      context: {
        now,
        attempt: 1 + below(2),
        key: maybe(`key${below(50)}`),
        session: maybe(sessions[below(3)]!),
        facts: undefined
      }
    }
  }
}

/** Bytes that are still used after a collection of garbage. */
const heapUsed = (): number => {
  v8.setFlagsFromString("--expose-gc")
  const collect: () => void = vm.runInNewContext("gc")
  collect()
  return v8.getHeapStatistics().used_heap_size
}
