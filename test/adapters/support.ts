/** What the tests of adapters share: routed clients with replicas, which an adapter takes for any `SqlClient`. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import { RouteDecision, RoutedSqlClient } from "effect-sql-router"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Engine } from "../consistency/servers.js"

export { mariadb, postgres } from "../consistency/servers.js"
export { codeOf, tagOf } from "../transaction/engines.js"

type Router = RoutedSqlClient.RoutedSqlClient

/** Runs a test's program on a router over a fresh database with a table `t (id, name)`, which the replicas have. */
export const onReplicas = (engine: Engine) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { withReplicas } = yield* engine.place
    return yield* Effect.provideService(program, SqlClient.SqlClient, yield* withReplicas())
  })

/** The roles of the endpoints that an effect's statements ran on, in order. */
export const rolesOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<string>, E, R> =>
  Effect.map(RouteDecision.capture(effect), ([, decisions]) => decisions.map(({ role }) => role))

/** Runs an effect, and gives every statement of the router meanwhile, in whichever fiber, as "role: statement". */
export const heardDuring = <A, E, R>(
  sql: Router,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, ReadonlyArray<string>], E, R> =>
  Effect.gen(function*() {
    const heard: Array<string> = []
    const last = "SELECT 'the last one'"
    const listening = yield* sql.events.pipe(
      Stream.filterMap((event) => event._tag === "StatementRouted" ? Option.some(event.decision) : Option.none()),
      Stream.takeUntil((decision) => decision.sql === last),
      Stream.runForEach(({ role, sql }) => Effect.sync(() => void heard.push(`${role}: ${sql.trim()}`))),
      Effect.fork
    )
    yield* Effect.yieldNow()
    const result = yield* effect
    yield* Effect.orDie(sql.unsafe(last))
    yield* Fiber.join(listening)
    return [result, heard.slice(0, -1)] as const
  })

/** Fails unless there were statements, and all ran on the primary. */
export const assertOnPrimary = (heard: ReadonlyArray<string>): void => {
  assert.isAbove(heard.length, 5)
  assert.deepStrictEqual(heard.filter((statement) => !statement.startsWith("primary: ")), [])
}

/** The router for what an adapter's Layer builds: as it is, or on the primary alone. */
export const clientOf = (sql: Router) => Layer.succeed(SqlClient.SqlClient, sql)
export const onlyPrimaryOf = (sql: Router) =>
  Layer.provide(RoutedSqlClient.layerOnlyPrimary, Layer.succeed(RoutedSqlClient.RoutedSqlClient, sql))
