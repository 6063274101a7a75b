/**
 * What a strategy does to latencies, tried out on a cluster in memory: the routers, their pools, health and retries are the
 * real ones, only servers and time are not, so minutes pass in seconds and the same seed always gives the same figures.
 *
 * Reads arrive at random (Poisson), each at one of several processes, which have a router of their own and know nothing of
 * each other. A replica works on four statements at once, in front of which one queue stands; how long it works on one is
 * exponentially distributed. Strategies that run with the same seed see the same arrivals and the same statements.
 *
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
 * import * as ClusterSimulation from "effect-sql-router/testing/ClusterSimulation"
 *
 * it.effect("a replica that turns slow does not slow us down", () =>
 *   Effect.gen(function*() {
 *     const run = (strategy: ClusterSimulation.SimulationOptions["strategy"]) =>
 *       ClusterSimulation.run({ scenario: ClusterSimulation.scenarios.slow10x, strategy, duration: "4 seconds" })
 *     const ours = yield* run(ReplicaStrategy.ewma)
 *     const best = yield* run("oracle")
 *     assert.isAtMost(ours.p99 / best.p99, 1.15)
 *   }))
 * ```
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Internal from "../internal/testing/simulation.js"
import type { ReplicaStrategy } from "../ReplicaStrategy.js"
import type { RouterOptions } from "../RoutedSqlClient.js"
import type { Fault, FaultOptions } from "./InMemoryDriver.js"

/**
 * A replica of a simulation.
 *
 * @since 0.1.0
 * @category models
 */
export interface SimulatedReplica {
  /** How many statements it works on at once. Default 4. */
  readonly servers?: number | undefined
  /** How many times longer than usual it works on each. Default 1. */
  readonly slowness?: number | undefined
  /** How long statement and answer are on their way, in mean service times. Default 0. */
  readonly distance?: number | undefined
  /** Its share of the reads, for strategies that go by it. Default 1. */
  readonly weight?: number | undefined
  /** What befalls it, and when. */
  readonly trouble?: Trouble | undefined
}

/**
 * What befalls a replica: a fault, from a time on until another; for ever if there is none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Trouble extends FaultOptions {
  readonly fault: Fault
  readonly from: Duration.DurationInput
  readonly to?: Duration.DurationInput | undefined
}

/**
 * A cluster, and what happens in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scenario {
  readonly replicas: (count: number) => ReadonlyArray<SimulatedReplica>
  /** When the reads arrive that are counted. Default: from 2 seconds on. */
  readonly window?: readonly [from: Duration.DurationInput, to: Duration.DurationInput] | undefined
}

const withFirst = (first: SimulatedReplica): Scenario["replicas"] => (count) =>
  Array.from({ length: count }, (_, i) => i === 0 ? first : {})

/**
 * What strategies are usually told apart by: each time it is the first replica that is not like the others.
 *
 * @since 0.1.0
 * @category scenarios
 */
export const scenarios = {
  healthy: { replicas: withFirst({}) },
  /** It works ten times as long on each statement. */
  slow10x: { replicas: withFirst({ slowness: 10 }) },
  /** It is 9 mean service times farther away. */
  far10x: { replicas: withFirst({ distance: 9 }) },
  /** It does nothing for two seconds. */
  stall2s: {
    replicas: withFirst({ trouble: { fault: "hang", from: "3 seconds", to: "5 seconds" } }),
    window: ["3 seconds", "7 seconds"]
  },
  /** It is twice as large. */
  sizes: { replicas: withFirst({ servers: 8 }) },
  /** It fails every statement at once, from 3 seconds on. */
  failFast: {
    replicas: withFirst({ trouble: { fault: "broken", from: "3 seconds", after: "100 micros" } }),
    window: ["3 seconds", "7 seconds"]
  }
} satisfies { readonly [name: string]: Scenario }

/**
 * @since 0.1.0
 * @category models
 */
export interface SimulationOptions {
  readonly scenario: Scenario
  /**
   * What all processes choose by. The `oracle` knows all queues and speeds and what is about to happen, and sends each
   * read where it is through first: no strategy can do much better, but it is greedy, so where replicas are overloaded
   * it is no lower bound.
   */
  readonly strategy: ReplicaStrategy | "oracle"
  /** Default 5. */
  readonly replicas?: number | undefined
  /** Default 8. */
  readonly processes?: number | undefined
  /** The share of what the replicas can do that is asked of them. Default 0.7. */
  readonly load?: number | undefined
  /** How long a replica that is not slow works on a statement, on average. Default 2 milliseconds. */
  readonly serviceTime?: Duration.DurationInput | undefined
  /** How long reads arrive. Default 10 seconds. */
  readonly duration?: Duration.DurationInput | undefined
  /** Default 1. */
  readonly seed?: number | undefined
  /** What the routers have beside a strategy: pools, health, retries. Default: their own defaults. */
  readonly router?: RouterOptions | undefined
}

/**
 * What the reads of the scenario's window met. Times are multiples of the mean service time, and contain everything
 * between a program's read and its rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface SimulationResult {
  readonly reads: number
  readonly p50: number
  readonly p99: number
  readonly most: number
  readonly mean: number
  /** Reads that failed, at any time. */
  readonly failed: number
  /** Of the statements that came to replicas from then on: the share each got, in their order. */
  readonly sharesFrom: (from: Duration.DurationInput) => ReadonlyArray<number>
}

/**
 * Runs a simulation, in the program's own thread and in virtual time: the Clock around it does not matter. Fails where a
 * router with such options does.
 *
 * @since 0.1.0
 * @category running
 */
export const run: (options: SimulationOptions) => Effect.Effect<SimulationResult, SqlError> = Internal.run
