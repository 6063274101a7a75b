/** What a pool does while its server restarts, and after. */
import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Scope } from "effect/Scope"
import { makeMariadb, makePostgres, type TestServer } from "../faults/cluster.js"
import type { Engine } from "./support.js"
import { eventually, mariadb, onlyPool, postgres } from "./support.js"

interface Restarted {
  readonly engine: Engine
  readonly primary: Effect.Effect<TestServer, never, Scope>
  readonly router: (port: number, options: RouterOptions) => Effect.Effect<RoutedSqlClient, unknown, Scope>
  /** Ways to end the server, by the signal. */
  readonly ways: { readonly [name: string]: NodeJS.Signals }
}

const host = "127.0.0.1"

const kinds: ReadonlyArray<Restarted> = [
  {
    engine: postgres,
    primary: Effect.map(makePostgres, ({ primary }) => primary),
    router: (port, options) =>
      Effect.provide(
        RoutedPgClient.make({ ...options, primary: { host, port, username: "app", database: "postgres" } }),
        Reactivity.layer
      ),
    ways: { fast: "SIGINT", immediate: "SIGQUIT" }
  },
  {
    engine: mariadb,
    primary: Effect.map(makeMariadb, ({ primary }) => primary),
    router: (port, options) =>
      Effect.provide(
        RoutedMysqlClient.make({ ...options, primary: { host, port, username: "app", database: "test" } }),
        Reactivity.layer
      ),
    ways: { orderly: "SIGTERM", killed: "SIGKILL" }
  }
]

/** Counts the clients of a proxy that wait to be let in. */
const watchConnects = (proxy: TcpProxy.TcpProxy, endsConnect: Engine["endsConnect"]) => {
  const seen = { most: 0, count: 0 }
  const answered = new Set<number>()
  return Effect.as(
    proxy.configure({
      connect: () => {
        seen.count++
        const { open } = Effect.runSync(proxy.state)
        seen.most = Math.max(seen.most, open.filter((connection) => !answered.has(connection)).length)
        return "join"
      },
      answer: ({ bytes, connection }) => {
        if (endsConnect(Buffer.from(bytes))) answered.add(connection)
        return "pass"
      }
    }),
    seen
  )
}

for (const { engine, primary, router, ways } of kinds) {
  describe(`a restart of ${engine.name}`, () => {
    it.scopedLive(
      "is followed by at most two connects at once, and a pool as full as before",
      () =>
        Effect.gen(function*() {
          const server = yield* primary
          const proxy = yield* TcpProxy.make(server)
          const seen = yield* watchConnects(proxy, engine.endsConnect)
          const sql = yield* router(proxy.port, { pool: { min: 6, max: 8, maxConnecting: 2 } })
          const isFull = Effect.map(onlyPool(sql), ({ connecting, idle }) => idle === 6 && connecting === 0)
          yield* eventually(isFull)
          assert.deepStrictEqual(seen, { most: 2, count: 6 })
          for (const [way, signal] of Object.entries(ways)) {
            const before = seen.count
            yield* server.end(signal)
            yield* eventually(Effect.map(onlyPool(sql), ({ total }) => total === 0))
            yield* Effect.sleep("300 millis")
            yield* server.start
            yield* eventually(isFull, "10 seconds")
            assert.isAtMost(seen.most, 2, way)
            // With 2 at a time and a delay that doubles, a server that is down for a second is not asked often.
            assert.isAtMost(seen.count - before, 40, way)
          }
        }),
      { timeout: 60_000 }
    )

    it.scopedLive(
      "with 32 fibers at work fails some of their statements, and none once it is back",
      () =>
        Effect.gen(function*() {
          const server = yield* primary
          const proxy = yield* TcpProxy.make(server)
          const seen = yield* watchConnects(proxy, engine.endsConnect)
          const sql = yield* router(proxy.port, { pool: { min: 4, max: 8 } })
          for (const [way, signal] of Object.entries(ways)) {
            let isOver = false
            let failed = 0
            const one = Effect.zipRight(
              Effect.flatMap(Effect.exit(sql.unsafe(engine.sleep(0.002))), (exit) =>
                Effect.sync(() => {
                  if (Exit.isFailure(exit)) failed++
                })),
              Effect.sleep("1 millis")
            )
            const workers = yield* Effect.forEach(
              Array.from({ length: 32 }),
              () => Effect.fork(Effect.repeat(one, { until: () => isOver }))
            )
            yield* Effect.sleep("200 millis")
            yield* server.end(signal)
            yield* Effect.sleep("300 millis")
            yield* server.start
            yield* eventually(Effect.map(Effect.exit(sql.unsafe(engine.ownId)), Exit.isSuccess), "10 seconds")
            assert.isAbove(failed, 0, way)
            yield* Effect.sleep("500 millis")
            failed = 0
            yield* Effect.sleep("500 millis")
            isOver = true
            yield* Fiber.joinAll(workers)
            assert.strictEqual(failed, 0, way)
            // The third asks, beside the pool, what became of the server.
            assert.isAtMost(seen.most, 3, way)
            const pool = yield* onlyPool(sql)
            assert.deepInclude(pool, { active: 0, waiting: 0 }, way)
            yield* eventually(Effect.map(onlyPool(sql), ({ idle }) => idle >= 4))
          }
        }),
      { timeout: 60_000 }
    )
  })
}
