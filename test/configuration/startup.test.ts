import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"

/** What is logged while a layer is built. */
const logged = <A, E>(layer: Layer.Layer<A, E>, level: LogLevel.LogLevel) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    yield* Layer.build(layer).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(level)
    )
    return lines
  })

const router = RoutedSqliteClient.layer({
  primary: { filename: ":memory:" },
  retry: { maxAttempts: 2 },
  databases: { archive: { primary: { filename: ":memory:" }, strategy: ReplicaStrategy.random } }
})

describe("the start of a router", () => {
  it.scoped("logs, for who debugs, each Database's policies with their source", () =>
    Effect.gen(function*() {
      const provided = router.pipe(Layer.provide(ReplicaStrategy.layer(ReplicaStrategy.weighted)))
      const lines = yield* logged(provided, LogLevel.Debug)
      assert.strictEqual(lines.length, 2)
      assert.match(lines[0]!, /^Database "main" is routed with strategy: weighted \(context\); /)
      assert.match(lines[0]!, /retry: maxAttempts 2 \(option\)/)
      assert.match(lines[0]!, /pool: .* \((default|option)\)/)
      assert.match(lines[1]!, /^Database "archive" is routed with strategy: random \(option\); /)
    }))

  it.scoped("shows that a policy that was merged beside it has not arrived", () =>
    Effect.gen(function*() {
      const merged = Layer.merge(router, ReplicaStrategy.layer(ReplicaStrategy.weighted))
      assert.match((yield* logged(merged, LogLevel.Debug))[0]!, /strategy: ewma \(default\)/)
    }))

  it.scoped("says nothing otherwise", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* logged(router, LogLevel.Info), [])
    }))

  it.scoped("is asked the same by explain", () =>
    Effect.gen(function*() {
      const sql = yield* RoutedSqlClient.RoutedSqlClient
      const { policies } = yield* sql.explain(sql`SELECT 1`)
      assert.deepStrictEqual(policies[0], { policy: "strategy", value: "ewma", source: "default" })
    }).pipe(Effect.provide(router)))
})
