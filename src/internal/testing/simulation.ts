import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import type { Scope } from "effect/Scope"
import * as Utils from "effect/Utils"
import type { ReplicaStrategy } from "../../ReplicaStrategy.js"
import type {
  Scenario,
  SimulatedReplica,
  SimulationOptions,
  SimulationResult,
  Trouble
} from "../../testing/ClusterSimulation.js"
import type { EndpointConfig } from "../../testing/InMemoryDriver.js"
import * as Cluster from "./cluster.js"
import { VirtualTime } from "./virtualTime.js"

const usualServers = 4

const defaultWindow = [Duration.seconds(2), Duration.infinity] as const

/** Reads that have no answer so long after the last one came are failed: some faults last for ever. */
const longestAnswer = Duration.minutes(1)

/** Runs a simulation in virtual time. */
export const run = (options: SimulationOptions): Effect.Effect<SimulationResult, SqlError> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    Effect.suspend(() => {
      const time = new VirtualTime()
      return time.run(Effect.scoped(simulate(options, time)), runtime)
    }))

const simulate = (
  options: SimulationOptions,
  time: VirtualTime
): Effect.Effect<SimulationResult, SqlError, Scope> =>
  Effect.gen(function*() {
    const { load = 0.7, processes = 8, scenario, seed = 1, strategy } = options
    const serviceMillis = Duration.toMillis(options.serviceTime ?? 2)
    const endMillis = Duration.toMillis(options.duration ?? "10 seconds")
    const replicas = scenario.replicas(options.replicas ?? 5)
    const { servers, ...cluster } = yield* Cluster.make({
      seed,
      replicas: Object.fromEntries(
        replicas.map((replica, i) => [`replica${i + 1}`, endpointOf(replica, serviceMillis)])
      )
    })
    const choice = strategy === "oracle" ? oracle(servers, replicas, serviceMillis) : strategy
    const clients = yield* Effect.replicateEffect(cluster.connect({ ...options.router, strategy: choice }), processes)
      .pipe(Effect.withRandom(Random.make(seed)))
    for (const [i, { trouble }] of replicas.entries()) {
      if (trouble !== undefined) yield* Effect.forkScoped(befall(cluster.endpoint(`replica${i + 1}`), trouble))
    }

    // A span for each read would tell nobody anything.
    const runtime = yield* Effect.withTracerEnabled(Effect.runtime<never>(), false)
    const answers = new Answers(scenario.window ?? defaultWindow)
    const [arrivals, works] = [generator(seed * 3 + 1), generator(seed * 3 + 2)]
    const capacity = replicas.reduce((sum, replica) => sum + serversOf(replica), 0)
    const betweenMillis = serviceMillis / (load * capacity)
    const allAnswered = yield* Deferred.make<void>()
    let isOver = false
    const arrive = () => {
      const sql = clients[Math.floor(arrivals() * processes)]!
      const at = time.unsafeCurrentTimeMillis()
      const answered = answers.expect(at)
      const read = Runtime.runFork(runtime, sql`SELECT ${exponential(works, serviceMillis)}`)
      read.addObserver((exit) => {
        answered(exit._tag === "Success" ? time.unsafeCurrentTimeMillis() - at : undefined)
        if (isOver && answers.open === 0) Deferred.unsafeDone(allAnswered, Effect.void)
      })
      next()
    }
    const next = () => {
      const inMillis = exponential(arrivals, betweenMillis)
      if (time.unsafeCurrentTimeMillis() + inMillis < endMillis) return void time.after(inMillis, arrive)
      isOver = true
      if (answers.open === 0) Deferred.unsafeDone(allAnswered, Effect.void)
    }
    next()
    yield* Effect.timeoutOption(Deferred.await(allAnswered), Duration.sum(Duration.millis(endMillis), longestAnswer))

    const asked = servers.slice(1).map((server) => server.asked.map(({ atMillis }) => atMillis))
    return {
      ...answers.summary(serviceMillis),
      sharesFrom: (from) => {
        const fromMillis = Duration.toMillis(from)
        const counts = asked.map((times) => times.filter((at) => at >= fromMillis).length)
        const all = counts.reduce((a, b) => a + b, 0)
        return counts.map((count) => count / all)
      }
    }
  })

/** Each read carries its work, so that strategies have the same to do. */
const endpointOf = (
  { distance = 0, servers = usualServers, slowness = 1, weight }: SimulatedReplica,
  serviceMillis: number
): EndpointConfig & { readonly weight?: number | undefined } => ({
  servers,
  weight,
  distance: distance * serviceMillis,
  latency: ({ params }) => Number(params[0]) * slowness
})

/** How many servers of usual speed it is worth; none, if its trouble has no end. */
const serversOf = ({ servers = usualServers, slowness = 1, trouble }: SimulatedReplica): number =>
  trouble !== undefined && trouble.to === undefined ? 0 : servers / slowness

const befall = (endpoint: ReturnType<Cluster.ClusterInside["endpoint"]>, { from, to, ...trouble }: Trouble) =>
  Effect.gen(function*() {
    yield* Effect.sleep(from)
    yield* endpoint.fail(trouble.fault, trouble)
    if (to === undefined) return
    yield* Effect.sleep(Duration.subtract(to, from))
    yield* endpoint.recover
  })

/** What is known of the answers to reads. */
class Answers {
  open = 0
  private failed = 0
  private readonly millis: Array<number> = []
  private readonly from: number
  private readonly to: number

  constructor([from, to]: NonNullable<Scenario["window"]>) {
    this.from = Duration.toMillis(from)
    this.to = Duration.toMillis(to)
  }

  /** To be called with how long the answer took, or with nothing if there was none. */
  expect(at: number): (millis: number | undefined) => void {
    this.open++
    return (millis) => {
      this.open--
      if (millis === undefined) this.failed++
      else if (at >= this.from && at < this.to) this.millis.push(millis)
    }
  }

  summary(serviceMillis: number): Omit<SimulationResult, "sharesFrom"> {
    const sorted = Float64Array.from(this.millis).toSorted()
    const quantile = (share: number) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN) / serviceMillis
    return {
      reads: sorted.length,
      p50: quantile(0.5),
      p99: quantile(0.99),
      most: quantile(1),
      mean: sorted.reduce((a, b) => a + b, 0) / sorted.length / serviceMillis,
      failed: this.failed + this.open
    }
  }
}

/** Chooses where a read is through first, by what only servers know. */
const oracle = (
  servers: Cluster.ClusterInside["servers"],
  replicas: ReadonlyArray<SimulatedReplica>,
  serviceMillis: number
): ReplicaStrategy => {
  const troubleMillis = ({ from, to }: Trouble, now: number): number =>
    now < Duration.toMillis(from)
      ? 0
      : to === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, Duration.toMillis(to) - now)
  const millis = (name: string, now: number): number => {
    const place = servers.findIndex((server) => server.name === name)
    const { busy, waiting } = servers[place]!
    const { distance = 0, servers: slots = usualServers, slowness = 1, trouble } = replicas[place - 1]!
    const ahead = busy + waiting
    const turns = ahead >= slots ? (ahead - slots + 1) / slots : 0

    return ((turns + 1) * slowness + distance) * serviceMillis +
      (trouble === undefined ? 0 : troubleMillis(trouble, now))
  }
  return {
    name: "oracle",
    make: ({ random }) =>
      Effect.succeed({
        choose: (candidates, { now }) => {
          let best = 0
          let least = Number.POSITIVE_INFINITY
          let tied = 0
          for (const [i, { name }] of candidates.entries()) {
            const expected = millis(name, now)
            if (expected < least) {
              least = expected
              best = i
              tied = 1
            } else if (expected === least && random() * ++tied < 1) best = i
          }
          return best
        }
      })
  }
}

const generator = (seed: number): () => number => {
  const generator = new Utils.PCGRandom(seed)
  return () => generator.number()
}

const exponential = (random: () => number, mean: number): number => -mean * Math.log(1 - random())
