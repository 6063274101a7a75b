import * as Reactivity from "@effect/experimental/Reactivity"
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ReadConsistency, RouteDecision } from "effect-sql-router"
import * as ConsistencyHttp from "effect-sql-router/ConsistencyHttp"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import { spawn } from "node:child_process"
import * as path from "node:path"
import { caughtUp, freshDatabase } from "../servers/index.js"
import { postgres } from "./servers.js"

const tsx = path.resolve(import.meta.dirname, "../../node_modules/.bin/tsx")

/** Starts the service; gives its port. */
const service = (primaryUrl: string) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly stop: () => void }, Error>((resume) => {
      const child = spawn(tsx, [path.resolve(import.meta.dirname, "writer.ts")], {
        env: { ...process.env, PRIMARY_URL: primaryUrl },
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.once("data", (port) => resume(Effect.succeed({ port: Number(port), stop: () => child.kill() })))
      child.once("exit", (code) => resume(Effect.fail(new Error(`the service ended with ${code}`))))
    }),
    ({ stop }) => Effect.sync(stop)
  )

describe("a write in another process", () => {
  it.scopedLive(
    "is seen by who got its token over HTTP, on a replica as soon as that has it",
    () =>
      Effect.gen(function*() {
        const { primary, replicas: [first, second] } = yield* freshDatabase("postgres")
        const sql = yield* RoutedPgClient.make({
          primary: { url: Redacted.make(primary.url) },
          replicas: {
            replica1: { url: Redacted.make(first.url) },
            replica2: { url: Redacted.make(second.url) }
          }
        })
        yield* sql`CREATE TABLE items (id int PRIMARY KEY)`
        yield* caughtUp("postgres")
        const { port } = yield* service(primary.url)
        const client = ConsistencyHttp.client(yield* HttpClient.HttpClient)
        const post = (id: number) => Effect.scoped(client.post(`http://127.0.0.1:${port}/items/${id}`))
        const count = Effect.map(
          RouteDecision.capture(sql<{ n: number }>`SELECT count(*)::int AS n FROM items`),
          ([[row], [decision]]) => ({ n: row!.n, role: decision!.role, consistency: decision!.plan.consistency })
        )

        yield* ReadConsistency.isolated(Effect.gen(function*() {
          yield* post(1)
          yield* caughtUp("postgres")
          const there = yield* count
          assert.deepInclude(there, { n: 1, role: "replica" })
          assert.isDefined(there.consistency!.position)
        }))

        yield* ReadConsistency.isolated(Effect.scoped(Effect.gen(function*() {
          yield* postgres.paused
          yield* post(2)
          const early = yield* count
          assert.deepInclude(early, { n: 2, role: "primary" })
          assert.strictEqual(early.consistency!.fallback, "behind")
        })))
      }).pipe(Effect.provide([NodeHttpClient.layer, Reactivity.layer])),
    60_000
  )
})
