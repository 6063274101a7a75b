/**
 * How one of several replicas is chosen for a read.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * What a strategy sees of an endpoint. The router owns these signals; a strategy only chooses.
 *
 * @since 0.1.0
 * @category models
 */
export interface Candidate {
  readonly name: string
  readonly weight: number
  readonly zone: string | undefined
  /** Statements of this process that run on it now. */
  readonly inFlight: number
}

/**
 * A choice with the state it needs, made anew for each Database.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaChooser {
  /** The index of the chosen candidate; `candidates` has at least two, all of positive weight. */
  readonly choose: (candidates: ReadonlyArray<Candidate>) => number
}

/**
 * How one of several replicas is chosen for a read.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplicaStrategy {
  readonly name: string
  /** `random` is uniform in [0, 1) and seeded from Effect's `Random`. */
  readonly make: (random: () => number) => ReplicaChooser
}

/**
 * Each replica in turn, in proportion to its weight and spread evenly: weights 3 and 1 give `a a b a`, not `a a a b`.
 * The turn starts at random, so that many processes that start together do not all begin with the same replica.
 *
 * Algorithm: smooth weighted round robin, as in nginx.
 *
 * @since 0.1.0
 * @category strategies
 */
export const roundRobin: ReplicaStrategy = {
  name: "roundRobin",
  make: (random) => {
    const credit = new Map<string, number>()
    return {
      choose: (candidates) => {
        let total = 0
        let best = 0
        let most = Number.NEGATIVE_INFINITY
        for (let i = 0; i < candidates.length; i++) {
          const { name, weight } = candidates[i]!
          const next = (credit.get(name) ?? random() * weight) + weight
          credit.set(name, next)
          total += weight
          if (next > most) {
            most = next
            best = i
          }
        }
        credit.set(candidates[best]!.name, most - total)
        return best
      }
    }
  }
}

/**
 * The strategy of every router built below the Layer that provides it. Default {@link roundRobin}.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentReplicaStrategy extends Context.Reference<CurrentReplicaStrategy>()(
  "effect-sql-router/ReplicaStrategy/CurrentReplicaStrategy",
  { defaultValue: (): ReplicaStrategy => roundRobin }
) {}
