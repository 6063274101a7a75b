import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { capture } from "effect-sql-router/RouteDecision"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const tagOf = (error: SqlError) => Option.getOrThrow(RoutingError.from(error))._tag

describe("transaction options", () => {
  it.scoped("send what begins the transaction in order, on its connection, with the first statement", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const transaction = sql.transaction({ isolation: "serializable", deferrable: true })
      yield* transaction(Effect.void)
      yield* transaction(sql`INSERT 1`)
      assert.deepStrictEqual(log, [
        "primary#1 ISOLATION serializable",
        "primary#1 BEGIN",
        "primary#1 INSERT 1",
        "primary#1 COMMIT",
        "primary#1 AFTER"
      ])
    }))

  it.scoped("that the database does not have fail the transaction before its body runs", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const error = yield* Effect.flip(sql.transaction({ isolation: "readUncommitted" })(Effect.die("it ran")))
      assert.strictEqual(tagOf(error), "ConfigurationError")
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("leave no half-begun connection to others", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        primary: { execute: (text) => text === "BEGIN" ? Effect.fail(failure({})) : Effect.succeed([]) }
      })
      yield* Effect.flip(sql.transaction({ isolation: "serializable" })(sql`INSERT 1`))
      yield* sql`INSERT 2`
      assert.deepStrictEqual(log, ["primary#1 ISOLATION serializable", "primary#1 BEGIN", "primary#2 INSERT 2"])
    }))

  it.scoped.each(
    [
      [{ isolation: "serializable" }, { isolation: "repeatableRead" }],
      [{}, { isolation: "serializable" }],
      [{}, { deferrable: true }],
      [{ access: "readOnly" }, { access: "readWrite" }],
      [{ access: "readOnly" }, {}],
      [{ mode: "immediate" }, { mode: "exclusive" }]
    ] as const
  )("of %o contradict nested ones of %o", ([outer, inner]) =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const error = yield* Effect.flip(sql.transaction(outer)(sql.transaction(inner)(sql`INSERT 1`)))
      assert.strictEqual(tagOf(error), "TransactionModeConflict")
      assert.deepStrictEqual(log, [])
    }))

  it.scoped.each(
    [
      [{ isolation: "serializable" }, { isolation: "serializable" }],
      [{ isolation: "serializable" }, {}],
      [{}, { access: "readOnly" }],
      [{}, { deferrable: false }]
    ] as const
  )("of %o agree with nested ones of %o", ([outer, inner]) =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql.transaction(outer)(sql.transaction(inner)(sql`SELECT 1`))
      assert.include(log, "primary#1 SAVEPOINT effect_sql_1")
    }))
})

describe("readOnlyTransaction", () => {
  const dead = failure({ blame: "endpoint", connection: "destroy", outcome: "unknown", readRetry: "elsewhere" })
  const down = { connect: Effect.fail(dead) }
  const cannotBegin = {
    execute: (text: string) => text.startsWith("BEGIN") ? Effect.fail(dead) : Effect.succeed([])
  }

  it.scoped("runs all its statements on one replica", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: {} } })
      yield* sql.readOnlyTransaction(Effect.zipRight(sql`SELECT 1`, sql`INSERT 1`))
      assert.deepStrictEqual(log, [
        "replica1#1 ISOLATION repeatableRead",
        "replica1#1 BEGIN READ ONLY",
        "replica1#1 SELECT 1",
        "replica1#1 INSERT 1",
        "replica1#1 COMMIT"
      ])
    }))

  it.scoped("runs on another replica if the first cannot begin it, then on the primary", () =>
    Effect.gen(function*() {
      const endpoint = (replicas: { readonly [name: string]: object }) =>
        Effect.gen(function*() {
          const { sql } = yield* fakeRouter({ replicas })
          const [, decisions] = yield* capture(sql.readOnlyTransaction(sql`SELECT 1`))
          return decisions.map((decision) => decision.endpoint)
        })
      assert.deepStrictEqual(yield* endpoint({ replica1: down, replica2: {} }), ["replica2"])
      assert.deepStrictEqual(yield* endpoint({ replica1: cannotBegin, replica2: {} }), ["replica2"])
      assert.deepStrictEqual(yield* endpoint({ replica1: down, replica2: cannotBegin }), ["primary"])
    }))

  it.scoped("is not moved once it has begun", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        replicas: {
          replica1: { execute: (text) => text === "SELECT 1" ? Effect.fail(dead) : Effect.succeed([]) }
        }
      })
      const error = yield* Effect.flip(sql.readOnlyTransaction(sql`SELECT 1`))
      assert.strictEqual(error.cause, dead.cause)
      assert.isFalse(log.some((line) => line.startsWith("primary")))
    }))

  it.scoped("refuses a transaction that may write inside it", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: {} } })
      const error = yield* Effect.flip(sql.readOnlyTransaction({})(sql.withTransaction(sql`INSERT 1`)))
      assert.instanceOf(error.cause, RoutingError.TransactionModeConflict)
      assert.deepStrictEqual(log, [])
    }))
})

describe("a transaction among several databases", () => {
  const twoDatabases = { databases: { archive: {} } }

  it.scoped("belongs to the one that its first statement goes to", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(twoDatabases)
      const [, decisions] = yield* capture(sql.withTransaction(
        RoutedSqlClient.withDatabase("archive")(Effect.zipRight(sql`INSERT 1`, sql`INSERT 2`))
      ))
      assert.deepStrictEqual(decisions.map((_) => _.plan.database), ["archive", "archive"])
      assert.lengthOf(log, 4)
    }))

  it.scoped("fails with a statement of another", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(twoDatabases)
      const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(
        sql`INSERT 1`,
        RoutedSqlClient.withDatabase("archive")(sql`INSERT 2`)
      )))
      const { database, target } = error.cause as RoutingError.CrossDatabaseStatement
      assert.deepStrictEqual([tagOf(error), database, target], ["CrossDatabaseStatement", "main", "archive"])
      assert.deepStrictEqual(log, ["primary#1 BEGIN", "primary#1 INSERT 1", "primary#1 ROLLBACK"])
    }))

  it.scoped("runs it all the same if it is told to pin", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ ...twoDatabases, transactions: { crossDatabase: "pin" } })
      yield* sql.withTransaction(Effect.zipRight(
        sql`INSERT 1`,
        RoutedSqlClient.withDatabase("archive")(sql`INSERT 2`)
      ))
      assert.deepStrictEqual(log, ["primary#1 BEGIN", "primary#1 INSERT 1", "primary#1 INSERT 2", "primary#1 COMMIT"])
    }))
})
