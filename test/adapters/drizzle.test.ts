import * as MysqlDrizzle from "@effect/sql-drizzle/Mysql"
import * as PgDrizzle from "@effect/sql-drizzle/Pg"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { eq, sql as text } from "drizzle-orm"
import * as mysql from "drizzle-orm/mysql-core"
import * as pg from "drizzle-orm/pg-core"
import { ReadConsistency, RoutedSqlClient } from "effect-sql-router"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { codeOf, mariadb, onReplicas, postgres, rolesOf, tagOf } from "./support.js"

/** The queries of the tests; Drizzle's own types are others in each dialect. */
interface Queries {
  readonly read: Effect.Effect<ReadonlyArray<{ readonly id: number }>, SqlError>
  readonly lock: Effect.Effect<unknown, SqlError>
  readonly insert: (id: number) => Effect.Effect<unknown, SqlError>
  readonly update: (id: number) => Effect.Effect<unknown, SqlError>
  readonly remove: Effect.Effect<unknown, SqlError>
  readonly sleep: Effect.Effect<unknown, SqlError>
}

const onPostgres = Effect.map(PgDrizzle.make(), (db): Queries => {
  const t = pg.pgTable("t", { id: pg.integer().primaryKey(), name: pg.varchar({ length: 40 }) })
  return {
    read: db.select({ id: t.id }).from(t).orderBy(t.id),
    lock: db.select().from(t).for("update"),
    insert: (id: number) => db.insert(t).values({ id, name: "Ada" }),
    update: (id: number) => db.update(t).set({ name: "Cy" }).where(eq(t.id, id)),
    remove: db.delete(t).where(eq(t.id, 1)),
    sleep: db.select({ slept: text`pg_sleep(5)` }).from(t)
  }
})

const onMariadb = Effect.map(MysqlDrizzle.make(), (db): Queries => {
  const t = mysql.mysqlTable("t", { id: mysql.int().primaryKey(), name: mysql.varchar({ length: 40 }) })
  return {
    read: db.select({ id: t.id }).from(t).orderBy(t.id),
    lock: db.select().from(t).for("update"),
    insert: (id: number) => db.insert(t).values({ id, name: "Ada" }),
    update: (id: number) => db.update(t).set({ name: "Cy" }).where(eq(t.id, id)),
    remove: db.delete(t).where(eq(t.id, 1)),
    sleep: db.select({ slept: text`SLEEP(5)` }).from(t)
  }
})

const kinds = [
  { engine: postgres, make: onPostgres, duplicate: "23505" },
  { engine: mariadb, make: onMariadb, duplicate: "ER_DUP_ENTRY" }
]

for (const { duplicate, engine, make } of kinds) {
  describe(`Drizzle on ${engine.name}`, () => {
    it.scopedLive("queries read on replicas, and write on the primary", () =>
      Effect.gen(function*() {
        const { insert, lock, read, remove, update } = yield* make
        assert.deepStrictEqual(yield* rolesOf(read), ["replica"])
        assert.deepStrictEqual(
          yield* rolesOf(Effect.all([insert(1), update(1), lock, remove])),
          ["primary", "primary", "primary", "primary"]
        )
      }).pipe(onReplicas(engine)))

    it.scopedLive("a query sees the writes of its session, while replication is stopped", () =>
      Effect.gen(function*() {
        const { insert, read } = yield* make
        yield* engine.paused
        yield* ReadConsistency.scoped(Effect.gen(function*() {
          yield* insert(1)
          assert.deepStrictEqual(yield* read, [{ id: 1 }])
          yield* Effect.all([insert(2), insert(3)], { concurrency: "unbounded" })
          assert.deepStrictEqual(yield* read, [{ id: 1 }, { id: 2 }, { id: 3 }])
        }))
        // Another request's.
        assert.deepStrictEqual(yield* rolesOf(ReadConsistency.isolated(read)), ["replica"])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a query sees what its fiber wrote without Drizzle, while replication is stopped", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { read } = yield* make
        yield* engine.paused
        yield* sql`INSERT INTO t (id, name) VALUES (1, 'Ada')`
        assert.deepStrictEqual(yield* read, [{ id: 1 }])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a transaction runs on the primary, and is undone as a whole", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { insert, read } = yield* make
        const body = Effect.all([read, insert(1), Effect.flatMap(read, (rows) => Effect.fail(rows))])
        const roles = yield* rolesOf(Effect.flip(sql.withTransaction(body)))
        assert.deepStrictEqual(roles, ["primary", "primary", "primary"])
        assert.deepStrictEqual(yield* read, [])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a nested transaction that fails is undone alone", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { insert, read } = yield* make
        yield* sql.withTransaction(Effect.zipRight(
          insert(1),
          Effect.flip(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("undo"))))
        ))
        assert.deepStrictEqual(yield* RoutedSqlClient.withPrimary(read), [{ id: 1 }])
      }).pipe(onReplicas(engine)))

    it.scopedLive("what the program sets for its statements holds", () =>
      Effect.gen(function*() {
        const { insert, read } = yield* make
        assert.deepStrictEqual(yield* rolesOf(RoutedSqlClient.withPrimary(read)), ["primary"])
        assert.strictEqual(tagOf(yield* Effect.flip(RoutedSqlClient.withReplica(insert(1)))), "StatementRefused")
      }).pipe(onReplicas(engine)))

    it.scopedLive("a transaction that was in another one's way is run again", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { insert, update } = yield* make
        yield* Effect.all([insert(1), insert(2)])
        const both = yield* Deferred.make<void>()
        let here = 0
        let runs = 0
        const meet = Effect.suspend(() => ++here >= 2 ? Deferred.succeed(both, undefined) : Deferred.await(both))
        const inOrder = (first: number, second: number) =>
          Effect.suspend(() => {
            runs++
            return Effect.all([update(first), meet, update(second)])
          }).pipe(sql.withTransaction, RoutedSqlClient.retryTransaction(Schedule.recurs(3)))
        yield* Effect.all([inOrder(1, 2), inOrder(2, 1)], { concurrency: "unbounded" })
        assert.strictEqual(runs, 3)
      }).pipe(onReplicas(engine)))

    it.scopedLive("a query is cancelled at its deadline, and its transaction undone", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { insert, read, sleep } = yield* make
        const [took, error] = yield* Effect.zipRight(insert(1), sql.withTransaction(sleep)).pipe(
          sql.withTransaction,
          RoutedSqlClient.withDeadline("300 millis"),
          Effect.flip,
          Effect.timed
        )
        assert.isBelow(Duration.toMillis(took), 2000)
        assert.strictEqual(tagOf(error), "DeadlineExceeded")
        assert.deepStrictEqual(yield* read, [])
      }).pipe(onReplicas(engine)))

    it.scopedLive("an error carries the driver's", () =>
      Effect.gen(function*() {
        const { insert } = yield* make
        yield* insert(1)
        const error = yield* Effect.flip(insert(1))
        assert.strictEqual(error._tag, "SqlError")
        assert.strictEqual(codeOf(error.cause), duplicate)
      }).pipe(onReplicas(engine)))
  })
}
