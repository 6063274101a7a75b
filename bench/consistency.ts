import * as Reactivity from "@effect/experimental/Reactivity"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Utils from "effect/Utils"
import * as ReadConsistency from "../src/ReadConsistency.js"
import * as RouteDecision from "../src/RouteDecision.js"
import * as RoutedPgClient from "../src/RoutedPgClient.js"
import { caughtUp, freshDatabase } from "../test/servers/index.js"
import { start } from "../test/servers/start.js"
import { report } from "./harness.js"

const rounds: ReadonlyArray<{ readonly name: string; readonly consistency: ReadConsistency.ReadConsistencyOptions }> = [
  { name: "eventual", consistency: { level: ReadConsistency.eventual } },
  { name: "session", consistency: {} },
  { name: "primary-only", consistency: { level: ReadConsistency.strict } },
  { name: "2 s window", consistency: { mode: "ttl", ttl: "2 seconds" } }
]

const sessions = 8
const requests = 25
const statements = 20
const shareOfWrites = 0.1

/** Sessions of statements, a tenth of them writes, on a primary with two replicas whose replication runs. */
export const run = async (): Promise<void> => {
  const servers = await start()
  await Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const { primary, replicas: [first, second] } = yield* freshDatabase("postgres")
      const url = (server: { readonly url: string }) => ({ url: Redacted.make(server.url) })
      for (const { consistency, name } of rounds) {
        yield* Effect.scoped(Effect.gen(function*() {
          const sql = yield* RoutedPgClient.make({
            primary: url(primary),
            replicas: { replica1: url(first), replica2: url(second) },
            consistency
          })
          yield* sql`DROP TABLE IF EXISTS bench`
          yield* sql`CREATE TABLE bench (id int PRIMARY KEY, name text)`
          yield* sql`INSERT INTO bench SELECT i, 'name' FROM generate_series(0, 999) i`
          yield* caughtUp("postgres")
          yield* ReadConsistency.forget
          const generator = new Utils.PCGRandom(7)
          const id = () => generator.integer(1000)
          const [ofReads, ofWrites]: [Array<number>, Array<number>] = [[], []]
          let onReplicas = 0
          const timed = <A, E>(effect: Effect.Effect<A, E>, times: Array<number>) =>
            Effect.suspend(() => {
              const begun = performance.now()
              return Effect.tap(effect, () => Effect.sync(() => times.push((performance.now() - begun) * 1000)))
            })
          const read = Effect.suspend(() => RouteDecision.capture(sql`SELECT id, name FROM bench WHERE id = ${id()}`))
          const write = Effect.suspend(() => sql`UPDATE bench SET name = 'new' WHERE id = ${id()}`)
          const request = Effect.forEach(Array.from({ length: statements }), () =>
            generator.number() < shareOfWrites
              ? timed(write, ofWrites)
              : Effect.map(timed(read, ofReads), ([, [decision]]) => {
                if (decision!.role === "replica") onReplicas++
              }), { discard: true })
          const all = (requests: number) =>
            Effect.forEach(
              Array.from({ length: sessions }),
              () => Effect.forEach(Array.from({ length: requests }), () => ReadConsistency.scoped(request)),
              { concurrency: "unbounded", discard: true }
            )
          // Connections are opened, and the code is warm.
          yield* all(5)
          ofReads.length = ofWrites.length = onReplicas = 0
          yield* all(requests)
          const share = 100 * onReplicas / ofReads.length
          report(
            "consistency",
            `reads on replicas, ${name}`,
            "%",
            share,
            name === "session" ? { least: 90 } : undefined
          )
          report("consistency", `read p50, ${name}`, "us", quantile(ofReads, 0.5))
          report("consistency", `read p99, ${name}`, "us", quantile(ofReads, 0.99))
          report("consistency", `write p50, ${name}`, "us", quantile(ofWrites, 0.5))
        }))
      }
    })).pipe(Effect.provide(Reactivity.layer))
  )
  await servers.stop()
}

const quantile = (values: ReadonlyArray<number>, q: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))]!
