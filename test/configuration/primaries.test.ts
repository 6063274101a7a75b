import { assert, describe, it } from "@effect/vitest"
import type { ServerStatus } from "effect-sql-router/Driver"
import type { Role } from "effect-sql-router/Endpoint"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { databases, fromOptions } from "../../src/internal/endpoints.js"
import { databaseUrls } from "../../src/internal/entry.js"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const says = (role: () => Role) => (): ServerStatus => ({
  role: role(),
  position: undefined,
  replication: "none",
  generation: ""
})

const problem = <A, E extends { readonly cause?: unknown }>(layer: Layer.Layer<A, E>) =>
  Effect.map(Effect.flip(Layer.build(layer)), ({ cause }) => {
    assert.instanceOf(cause, RoutingError.ConfigurationError)
    return (cause as RoutingError.ConfigurationError).path
  })

describe("several primaries", () => {
  it("are endpoints of that role, named in order", () => {
    const endpoints = fromOptions<{ readonly host: string }>({
      primary: [{ host: "a" }, { host: "b", weight: 2 }, { host: "c" }],
      replicas: { replica1: { host: "r" } }
    }, {})
    assert.deepStrictEqual(
      endpoints.map(({ config, name, role, weight }) => [name, role, weight, config.host]),
      [["primary", "primary", 1, "a"], ["primary2", "primary", 2, "b"], ["primary3", "primary", 1, "c"], [
        "replica1",
        "replica",
        1,
        "r"
      ]]
    )
  })

  it("are at least one", () => {
    const none = databases<{ readonly host: string }>({ primary: [] as never }, () => ({}))
    assert.strictEqual(Either.isLeft(none) && none.left.path, "primary")
    const elsewhere = databases<{ readonly host: string }>(
      { primary: { host: "a" }, databases: { archive: { primary: [] as never } } },
      () => ({})
    )
    assert.strictEqual(Either.isLeft(elsewhere) && elsewhere.left.path, "databases.archive.primary")
  })

  it.scoped("share the work: the one that takes writes gets them, the other one reads once it is a replica", () =>
    Effect.gen(function*() {
      let promoted = false
      const { log, sql } = yield* fakeRouter({
        primary: { status: says(() => promoted ? "replica" : "primary") },
        primaries: { primary2: { status: says(() => promoted ? "primary" : "replica") } },
        health: { probeInterval: "1 second", probeJitter: 0 }
      })
      const servedBy = (statement: Effect.Effect<unknown, unknown>) =>
        Effect.flatMap(
          Effect.sync(() => void (log.length = 0)),
          () => Effect.map(statement, () => log[0]?.split("#")[0])
        )
      yield* sql`INSERT INTO t VALUES (1)`
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* servedBy(sql`INSERT INTO t VALUES (1)`), "primary")
      assert.strictEqual(yield* servedBy(sql`SELECT 1`), "primary2")
      promoted = true
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* servedBy(sql`INSERT INTO t VALUES (1)`), "primary2")
      assert.strictEqual(yield* servedBy(sql`SELECT 1`), "primary")
      const [main] = yield* sql.replicas
      assert.deepStrictEqual(
        main!.endpoints.map(({ endpoint, role, weight }) => [endpoint, role, weight]),
        [["primary", "replica", 1], ["primary2", "primary", 0]]
      )
    }))

  it.scoped("get a write again that one refused, though another was found to be the primary meanwhile", () =>
    Effect.gen(function*() {
      const refused = Effect.fail(failure({ blame: "role", outcome: "refused", readRetry: "primary" }))
      const { log, sql } = yield* fakeRouter({
        primary: { status: says(() => "replica"), execute: () => Effect.delay(refused, "500 millis") },
        primaries: { primary2: { status: says(() => "primary") } },
        health: { probeInterval: "1 second" }
      })
      const writing = yield* Effect.fork(sql`INSERT INTO t VALUES (1)`)
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("400 millis")
      assert.strictEqual((yield* sql.replicas)[0]!.endpoints[1]!.role, "primary")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(writing)
      assert.deepStrictEqual(log.map((line) => line.split("#")[0]), ["primary", "primary2"])
    }))

  it.scoped("are named by what is wrong with them", () =>
    Effect.gen(function*() {
      const url = Redacted.make("localhost/app")
      assert.strictEqual(yield* problem(RoutedPgClient.layer({ primary: [{}, { url }] })), "primary2.url")
      assert.strictEqual(yield* problem(RoutedMysqlClient.layer({ primary: [{ host: "a" }, { url }] })), "primary2.url")
      assert.strictEqual(yield* problem(RoutedPgClient.layer({ primary: [{}, { weight: -1 }] })), "primary2.weight")
      assert.strictEqual(
        yield* problem(RoutedPgClient.layer({ primary: [{}, {}], replicas: { primary2: {} } })),
        "replicas.primary2"
      )
    }))

  it.scoped("are not possible with files", () =>
    Effect.gen(function*() {
      const files = [{ filename: "a" }, { filename: "b" }]
      assert.strictEqual(yield* problem(RoutedSqliteClient.layer({ primary: files as never })), "primary")
    }))

  it.scoped("can be read from Config", () =>
    Effect.gen(function*() {
      const layer = RoutedPgClient.layerConfig({
        primary: [{ host: Config.string("A") }, { host: Config.string("B"), weight: Config.number("WEIGHT") }]
      })
      const provider = ConfigProvider.fromMap(new Map([["A", "a"], ["B", "b"], ["WEIGHT", "7"]]))
      const context = yield* Effect.withConfigProvider(Layer.build(layer), provider)
      const reports = yield* Effect.flatMap(RoutedPgClient.RoutedPgClient, (sql) => sql.replicas).pipe(
        Effect.provide(context)
      )
      assert.deepStrictEqual(reports[0]!.endpoints.map(({ endpoint, weight }) => [endpoint, weight]), [
        ["primary", 0],
        ["primary2", 7]
      ])
    }))
})

describe("DATABASE_URL", () => {
  const read = (variables: Readonly<Record<string, string>>) =>
    Effect.map(
      Effect.withConfigProvider(databaseUrls, ConfigProvider.fromMap(new Map(Object.entries(variables)))),
      ({ primaries, replicas }) => [primaries.map(Redacted.value), replicas.map(Redacted.value)]
    )

  it.effect("may hold several, and so may the replicas'", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* read({
          DATABASE_URL: "postgres://a/app, postgres://b/app",
          DATABASE_REPLICA_URLS: "postgres://r1/app,postgres://r2/app,"
        }),
        [["postgres://a/app", "postgres://b/app"], ["postgres://r1/app", "postgres://r2/app"]]
      )
      assert.deepStrictEqual(yield* read({ DATABASE_URL: "postgres://a/app" }), [["postgres://a/app"], []])
    }))

  it.effect("may have commas in a password", () =>
    Effect.gen(function*() {
      const url = "postgres://app:a,b@primary/app"
      assert.deepStrictEqual(yield* read({ DATABASE_URL: `${url},${url}` }), [[url, url], []])
    }))

  it.effect("is not empty", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(read({ DATABASE_URL: " " })))._op, "MissingData")
    }))
})
