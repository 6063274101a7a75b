/**
 * How one of several replicas is chosen for a read.
 *
 * The router measures: what is in flight, how long answers take, what failed, how far a replica lags behind. A strategy
 * only chooses among the candidates that are left after rules, consistency and health. Its state belongs to one
 * Database, its randomness is seeded, its time is the Clock's: the same seed and the same statements give the same
 * choices.
 *
 * Which one?
 *
 * - {@link ewma}, the default, wherever replicas may slow down, stall or fail, which is everywhere.
 * - {@link leastOutstanding} or {@link powerOfTwo} where latency says nothing, for statements that differ a thousandfold.
 * - {@link roundRobin} or {@link weighted} where shares must be exact and predictable, whatever the load.
 * - {@link rendezvous} where caches or monotonic reads matter: the same key goes to the same replica.
 * - {@link failover} where one replica is meant and the others stand by.
 *
 * What a strategy should not see is taken away by combinators, that wrap any strategy, also your own:
 *
 * ```ts
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 * import { pipe } from "effect/Function"
 *
 * export const strategy = pipe(
 *   ReplicaStrategy.ewma,
 *   ReplicaStrategy.withSlowStart({ window: "30 seconds" }),
 *   ReplicaStrategy.withLocality(["eu-central-1a"])
 * )
 * ```
 *
 * A weight is a replica's share of the reads while everything else is equal, for all strategies that do not say
 * otherwise. Weight 0 drains: such a replica is chosen only if no other is left.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Role } from "./Endpoint.js"
import * as Choosers from "./internal/strategy/choosers.js"
import * as Combinators from "./internal/strategy/combinators.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * How a statement ended at an endpoint: `success`; `refused` for an error that is the statement's own fault, which is an
 * answer too; `failure` for an error that is the endpoint's or the connection's; `interrupted` if nobody waited for it.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = "success" | "refused" | "failure" | "interrupted"

/**
 * How long an endpoint took, of the statements of this process. All values are milliseconds.
 *
 * A failure counts as 5 s, unless the endpoint was even slower: else a replica that fails fast would look fast. (After
 * linkerd's load biaser.) An interrupted or refused statement tells only how long it took at least: it may raise these values, not
 * lower them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Latency {
  /** Moving average with a half-life of 0.5 s; `undefined` before the first answer. */
  readonly mean: number | undefined
  /** Rises at once to a slower answer and falls with a time constant of 10 s, as in Finagle. */
  readonly peak: number | undefined
  /** When it was last measured, on the clock of {@link ChoiceContext.now}. */
  readonly at: number
  readonly samples: number
}

/**
 * How long an endpoint took to answer the router's own question, in milliseconds, and when that was.
 *
 * @since 0.1.0
 * @category models
 */
export interface Probe {
  readonly millis: number
  readonly at: number
}

/**
 * What an endpoint's pool holds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connections {
  readonly idle: number
  readonly total: number
  readonly max: number
  /** Borrowers that wait for one. */
  readonly waiting: number
}

/**
 * What a strategy sees of an endpoint: one object for as long as the endpoint lives, whose values are those of now.
 * Times are milliseconds on the clock of {@link ChoiceContext.now}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Candidate {
  readonly name: string
  readonly role: Role
  /** Its share of the reads, relative to the others; 0 only if no other is left. */
  readonly weight: number
  readonly zone: string | undefined
  /** Statements of this process that run on it now. */
  readonly inFlight: number
  /** When the oldest of them began; `undefined` without any. */
  readonly oldestInFlightAt: number | undefined
  readonly latency: Latency
  /** Share of the statements that it answered, over the last half minute or so; 1 without any. */
  readonly successRate: number
  readonly lastFailureAt: number | undefined
  /** `undefined` unless the router probes endpoints. */
  readonly probe: Probe | undefined
  /** How far it is behind the primary; `undefined` where nobody knows. */
  readonly lagMillis: number | undefined
  /** When it began to serve: long ago, unless it was added or came back from a failure since. */
  readonly since: number
  readonly connections: Connections
}

/**
 * What a choice is made for.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChoiceContext {
  /** Milliseconds on a clock that never goes back. */
  readonly now: number
  /** 1 at first; more where the statement was tried elsewhere. */
  readonly attempt: number
  /** What the statement belongs to: statements of one key can be kept together. */
  readonly key: string | undefined
  /** The session that the statement is part of: the same object for all of its statements. */
  readonly session: object | undefined
  readonly facts: StatementFacts | undefined
}

/**
 * A choice with the state it needs, made anew for each Database. Both functions are called for every read: they must be
 * quick and must not throw.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaChooser {
  /**
   * The index of the chosen candidate. There is at least one; the array may change after the call. The router takes the
   * first candidate if there is none at the index.
   */
  readonly choose: (candidates: ReadonlyArray<Candidate>, context: ChoiceContext) => number
  /** How a statement ended, at an endpoint that may be gone meanwhile. */
  readonly observe?: ((name: string, outcome: Outcome, millis: number, now: number) => void) | undefined
}

/**
 * What a chooser is made with.
 *
 * @since 0.1.0
 * @category models
 */
export interface StrategyContext {
  /** Uniform in [0, 1), seeded from Effect's `Random`. */
  readonly random: () => number
}

/**
 * How one of several replicas is chosen for a read. Take one of this module, or make one with {@link make} or
 * {@link effect}, and check it with `testing/ReplicaStrategyLaws`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaStrategy {
  readonly name: string
  /** Called once for each Database; the Scope ends with it. */
  readonly make: (context: StrategyContext) => Effect.Effect<ReplicaChooser, never, Scope.Scope>
}

/**
 * A strategy from a pure function of a state, the candidates and a source of random numbers. It is not shown candidates
 * of weight 0 while there are others.
 *
 * ```ts
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 *
 * export const inTurn = ReplicaStrategy.make({
 *   name: "inTurn",
 *   initial: 0,
 *   choose: (turn, candidates) => [turn % candidates.length, turn + 1]
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <S>(options: {
  readonly name: string
  readonly initial: S
  readonly choose: (
    state: S,
    candidates: ReadonlyArray<Candidate>,
    context: ChoiceContext,
    random: () => number
  ) => readonly [index: number, state: S]
  readonly observe?: ((state: S, name: string, outcome: Outcome, millis: number, now: number) => S) | undefined
}): ReplicaStrategy =>
  Combinators.simple(options.name, (random) => {
    const { choose, observe } = options
    let state = options.initial
    return {
      choose: (candidates, context) => {
        const [index, next] = choose(state, candidates, context, random)
        state = next
        return index
      },
      observe: observe && ((name, outcome, millis, now) => {
        state = observe(state, name, outcome, millis, now)
      })
    }
  })

/**
 * A strategy with fibers or resources of its own, which end with the Database: one that asks a monitoring system now
 * and then, for example. It is not shown candidates of weight 0 while there are others.
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 *
 * declare const readCpuUsage: Effect.Effect<ReadonlyMap<string, number>>
 *
 * export const coolest = ReplicaStrategy.effect("coolest", () =>
 *   Effect.gen(function*() {
 *     let usage = yield* readCpuUsage
 *     yield* readCpuUsage.pipe(
 *       Effect.map((latest) => { usage = latest }),
 *       Effect.schedule(Schedule.spaced("5 seconds")),
 *       Effect.forkScoped
 *     )
 *     const of = (name: string) => usage.get(name) ?? 0
 *     return {
 *       choose: (candidates) =>
 *         candidates.reduce((best, { name }, i) => of(name) < of(candidates[best]!.name) ? i : best, 0)
 *     }
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const effect: (
  name: string,
  make: (context: StrategyContext) => Effect.Effect<ReplicaChooser, never, Scope.Scope>
) => ReplicaStrategy = Combinators.define

/**
 * The replica that is expected to be through first with what it has in flight and one statement more: mean latency ×
 * (in flight + 1), all compared, at random among equals. Where weights differ, or nothing is in flight anywhere, replicas
 * are drawn with chances that follow weight / cost⁴: the one that is a hair faster does not get every read.
 *
 * When: the default. Source: in simulation the one rule whose p99 stays near an oracle's with replicas that are slow,
 * far, stalling or of unequal size (P2C with peak EWMA is at twice the oracle's there); the mean has a half-life of
 * 0.5 s, and a statement in flight counts with a quarter of its age, so that a stall shows before any answer. A mean
 * that is older than 1 s fades with a half-life of 2 s, so that a slow replica is tried again. Failure mode: dear
 * statements make a replica look slow for a second.
 *
 * @since 0.1.0
 * @category strategies
 */
export const ewma: ReplicaStrategy = Combinators.simple("ewma", Choosers.ewma)

/**
 * Two replicas drawn by weight, of which the one with the lower peak latency × (in flight + 1) is taken.
 *
 * When: to move over from Finagle or linkerd. Source: Finagle's `p2cPeakEwma`, decay 10 s, with linkerd's failure
 * penalty. Failure mode: sees a stall only when the first answer comes, and one slow answer counts for long.
 *
 * @since 0.1.0
 * @category strategies
 */
export const peakEwma: ReplicaStrategy = Combinators.simple("peakEwma", Choosers.peakEwma)

/**
 * The replica with the fewest statements of this process in flight, for its weight; at random by weight among equals.
 *
 * When: statements differ so much that latency says nothing about a replica. Source: HAProxy's `leastconn`, Envoy's
 * least request with all hosts. Failure mode: blind while little is in flight, and a replica that fails fast draws
 * statements.
 *
 * @since 0.1.0
 * @category strategies
 */
export const leastOutstanding: ReplicaStrategy = Combinators.simple("leastOutstanding", Choosers.leastOutstanding)

/**
 * Two replicas drawn by weight, of which the one with fewer statements in flight, for its weight, is taken.
 *
 * When: so many processes that all of them would see the same least loaded replica at once. Source: Mitzenmacher, The
 * Power of Two Choices in Randomized Load Balancing (2001). Failure mode: as {@link leastOutstanding}, and a slow
 * replica still gets its draws.
 *
 * @since 0.1.0
 * @category strategies
 */
export const powerOfTwo: ReplicaStrategy = Combinators.simple("powerOfTwo", Choosers.powerOfTwo)

/**
 * Each replica in turn, in proportion to its weight and spread evenly: weights 3 and 1 give `a a b a`, not `a a a b`.
 * The turn starts at random, so that many processes that start together do not all begin with the same replica.
 *
 * When: exact, predictable shares. Source: smooth weighted round robin, as in nginx. Failure mode: a slow replica gets
 * its full share.
 *
 * @since 0.1.0
 * @category strategies
 */
export const roundRobin: ReplicaStrategy = Combinators.simple("roundRobin", Choosers.roundRobin)

/**
 * Any replica, with equal chances whatever the weights are (but never one of weight 0).
 *
 * When: as a yardstick for others. Source: what most libraries do. Failure mode: a slow replica gets its full share, and
 * chance piles statements up on good ones.
 *
 * @since 0.1.0
 * @category strategies
 */
export const random: ReplicaStrategy = Combinators.simple("random", Choosers.random)

/**
 * Any replica, with chances in proportion to the weights.
 *
 * When: replicas of known, unequal size and even load. Source: PgPool-II's `backend_weight`, ProxySQL. Failure mode: as
 * {@link random}.
 *
 * @since 0.1.0
 * @category strategies
 */
export const weighted: ReplicaStrategy = Combinators.simple("weighted", Choosers.weighted)

/**
 * The first replica, in the order of configuration; the next ones only while it is not offered. Weights other than 0
 * have no meaning here.
 *
 * When: one replica is meant to serve and the others to stand by. Source: libpq's host list. Failure mode: the stand-by
 * is cold when it is needed.
 *
 * @since 0.1.0
 * @category strategies
 */
export const failover: ReplicaStrategy = Combinators.simple("failover", () => Choosers.failover)

/**
 * Of three replicas drawn by weight the fastest that is not hot; where all are hot, the one with the least in flight.
 * Hot is a replica with more in flight than 84 % of all.
 *
 * When: many replicas, where one with a queue should be left alone even if it is fast. Source: Prequal (Wydmuch et al.,
 * Load is not what you should balance, NSDI 2024), here with what this process knows instead of probes. Failure mode: with
 * two or three replicas nearly everything is decided by latency alone.
 *
 * @since 0.1.0
 * @category strategies
 */
export const hotCold: ReplicaStrategy = Combinators.simple("hotCold", Choosers.hotCold)

/**
 * The replicas that answer fastest.
 *
 * - `mode: "band"` (default): all that are within 25 % and 1 ms of the fastest are equally good; of two of them, drawn
 *   by weight, the one with less in flight is taken.
 * - `mode: "winner"`: the fastest one takes everything until `ttl` is over, ±20 %. This is what the PHP library DBLayer
 *   and the AWS wrapper driver do. All processes herd to the same replica: in simulation its p50 is a hundred times that
 *   of {@link random} though all replicas are healthy. It is here to reproduce what you come from.
 *
 * `ttl`: how long a measurement counts, default 15 seconds; a replica without one is tried again. `sampleSize`: only so
 * many, drawn at random, are compared; default 0, all. `source`: `"passive"` (default) measures the statements
 * themselves, `"probe"` the router's own probes, where it makes any.
 *
 * When: replicas at different distances. Source: DBLayer's `least_latency`, with a band instead of a winner. Failure
 * mode: load only decides inside the band.
 *
 * @since 0.1.0
 * @category strategies
 */
export const leastLatency = (options: {
  readonly ttl?: Duration.DurationInput | undefined
  readonly sampleSize?: number | undefined
  readonly source?: "passive" | "probe" | undefined
  readonly mode?: "band" | "winner" | undefined
} = {}): ReplicaStrategy => {
  const { mode = "band", sampleSize = 0, source = "passive", ttl = "15 seconds" } = options
  const settings = { ttl: Duration.toMillis(ttl), sampleSize, source }
  return Combinators.simple(
    "leastLatency",
    (random) => mode === "band" ? Choosers.latencyBand(random, settings) : Choosers.latencyWinner(random, settings)
  )
}

/**
 * The same replica for the same key, as long as it is offered; by weight at random for statements without a key. Keys
 * are spread in proportion to the weights, and when a replica goes only its own keys move.
 *
 * `key` tells a statement's key; default is that of the {@link ChoiceContext}.
 *
 * When: caches that should stay warm, reads that should not go back in time. Source: rendezvous hashing (Thaler and
 * Ravishankar, 1998) with logarithmic weights. Failure mode: one busy key is one busy replica.
 *
 * ```ts
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 *
 * export const byTable = ReplicaStrategy.rendezvous(({ facts }) => facts?.reads[0]?.name)
 * ```
 *
 * @since 0.1.0
 * @category strategies
 */
export const rendezvous = (
  key: (context: ChoiceContext) => string | undefined = (context) => context.key
): ReplicaStrategy => Combinators.simple("rendezvous", (random) => Combinators.rendezvous(random, key))

/**
 * Keeps the replica that was chosen first in a session, as long as it is offered.
 *
 * When: a request should not see an older state than it has seen. Source: Laravel and DBLayer do this per request.
 * Failure mode: long sessions keep the load as it once was.
 *
 * @since 0.1.0
 * @category combinators
 */
export const perSession = (strategy: ReplicaStrategy): ReplicaStrategy =>
  Combinators.wrap("perSession", strategy, Combinators.perSession)

/**
 * Lets a strategy choose among the replicas of the first zone that has any, best zone first; where none has, among all.
 * A replica with borrowers that wait for a connection does not count: its zone spills over to the next.
 *
 * When: to save latency and traffic between zones. Source: topology keys of YugabyteDB's drivers, Envoy's priority
 * levels. Failure mode: a small zone is fully loaded before the next one helps.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withLocality: {
  (zones: ReadonlyArray<string>): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, zones: ReadonlyArray<string>): ReplicaStrategy
} = dual(
  2,
  (self: ReplicaStrategy, zones: ReadonlyArray<string>): ReplicaStrategy =>
    Combinators.wrap("withLocality", self, (chooser) => Combinators.locality(chooser, zones))
)

/**
 * Lets a strategy choose among `size` of the replicas, at least 1: others in each process, and as few as possible others
 * when replicas come and go. One that is not offered is replaced.
 *
 * When: so many processes that each of them should not hold connections to every replica. Source: gRPC proposal A68,
 * rendezvous hashing with a seed per process. Failure mode: with few processes some replicas get more than others.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSubset: {
  (size: number): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, size: number): ReplicaStrategy
} = dual(2, (self: ReplicaStrategy, size: number): ReplicaStrategy =>
  Combinators.wrap(
    "withSubset",
    self,
    (chooser, random) => Combinators.subset(chooser, Math.max(1, size), random)
  ))

/**
 * Raises the weight of a replica that was added, or came back, from `minimum` (a share of its weight, default 0.1) to
 * the whole within `window` (default 10 seconds).
 *
 * When: replicas start with cold caches. Source: Envoy's slow start, aggression 1. Failure mode: no effect on strategies
 * that do not heed weights, nor where all replicas are equally new.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSlowStart: {
  (options: SlowStartOptions): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, options: SlowStartOptions): ReplicaStrategy
} = dual(2, (self: ReplicaStrategy, options: SlowStartOptions): ReplicaStrategy => {
  const window = Duration.toMillis(options.window ?? "10 seconds")
  const minimum = Math.min(Math.max(options.minimum ?? 0.1, 0.001), 1)
  return Combinators.wrap("withSlowStart", self, (chooser) => Combinators.slowStart(chooser, window, minimum))
})

/**
 * How a replica's weight rises while it is new.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlowStartOptions {
  /** Default 10 seconds. */
  readonly window?: Duration.DurationInput | undefined
  /** The share of its weight that it begins with, from 0.001 to 1. Default 0.1. */
  readonly minimum?: number | undefined
}

/**
 * Lets a strategy choose among the replicas that are at most `within` further behind the primary than the best one;
 * replicas of unknown lag only where nobody's is known.
 *
 * When: reads should be fresh without a bound that excludes replicas. Source: MaxScale's `LEAST_BEHIND_MASTER`, with a
 * tolerance. Failure mode: with `within` 0 all reads herd to one replica.
 *
 * @since 0.1.0
 * @category combinators
 */
export const preferLowLag: {
  (options: { readonly within: Duration.DurationInput }): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, options: { readonly within: Duration.DurationInput }): ReplicaStrategy
} = dual(2, (self: ReplicaStrategy, options: { readonly within: Duration.DurationInput }): ReplicaStrategy => {
  const within = Duration.toMillis(options.within)
  return Combinators.wrap("preferLowLag", self, (chooser) => Combinators.lowLag(chooser, within))
})

/**
 * Asks another strategy where the first one throws or answers with an index that is not there, `-1` for example: so a
 * strategy of your own may choose only what it knows about.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withFallback: {
  (other: ReplicaStrategy): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, other: ReplicaStrategy): ReplicaStrategy
} = dual(2, Combinators.fallback)

/**
 * Tells what another strategy would have chosen, to try it in production: `report` is called with both names at each
 * choice. It must be quick; what it throws, or the other strategy throws, is ignored. The choices of the first are what
 * they are without a shadow.
 *
 * ```ts
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 *
 * let differed = 0
 * export const strategy = ReplicaStrategy.shadow(
 *   ReplicaStrategy.roundRobin,
 *   ReplicaStrategy.ewma,
 *   (chosen, other) => { if (chosen !== other) differed++ }
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const shadow: {
  (
    other: ReplicaStrategy,
    report: (chosen: string, other: string) => void
  ): (self: ReplicaStrategy) => ReplicaStrategy
  (self: ReplicaStrategy, other: ReplicaStrategy, report: (chosen: string, other: string) => void): ReplicaStrategy
} = dual(3, Combinators.shadow)

/**
 * The strategy of every router built below the Layer that provides it. Default {@link ewma}.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentReplicaStrategy extends Context.Reference<CurrentReplicaStrategy>()(
  "effect-sql-router/ReplicaStrategy/CurrentReplicaStrategy",
  { defaultValue: (): ReplicaStrategy => ewma }
) {}

/**
 * Gives routers a strategy: `Layer.provide` it to theirs.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (strategy: ReplicaStrategy): Layer.Layer<never> => Layer.succeed(CurrentReplicaStrategy, strategy)
