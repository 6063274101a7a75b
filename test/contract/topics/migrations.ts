import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Topic } from "../support.js"
import { freshName } from "../support.js"

const migrate = Migrator.make({})

export const migrations: Topic = (it) => {
  it.effect("migrations run in order, each once", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [table, users] = [freshName("migrations"), freshName("users")]
      const ran: Array<string> = []
      const migration = (name: string, statement: Effect.Effect<unknown, unknown>) =>
        Effect.zipRight(Effect.sync(() => void ran.push(name)), Effect.asVoid(statement))
      const first = {
        "2_add_name": migration("2", sql`ALTER TABLE ${sql(users)} ADD COLUMN name VARCHAR(100)`),
        "1_create": migration("1", sql`CREATE TABLE ${sql(users)} (id INTEGER)`)
      }
      const second = { ...first, "10_fill": migration("10", sql`INSERT INTO ${sql(users)} VALUES (1, 'Ada')`) }

      assert.deepStrictEqual(yield* migrate({ table, loader: Migrator.fromRecord(first) }), [
        [1, "create"],
        [2, "add_name"]
      ])
      assert.deepStrictEqual(yield* migrate({ table, loader: Migrator.fromRecord(first) }), [])
      assert.deepStrictEqual(yield* migrate({ table, loader: Migrator.fromRecord(second) }), [[10, "fill"]])
      assert.deepStrictEqual(ran, ["1", "2", "10"])
      assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(users)}`, [{ id: 1, name: "Ada" }])
      assert.deepStrictEqual(
        yield* sql`SELECT migration_id, name FROM ${sql(table)} ORDER BY migration_id`,
        [
          { migration_id: 1, name: "create" },
          { migration_id: 2, name: "add_name" },
          { migration_id: 10, name: "fill" }
        ]
      )
    }))

  it.effect("a migration that fails is not recorded, and runs again", () =>
    Effect.gen(function*() {
      const table = freshName("migrations")
      const run = (migration: Effect.Effect<void, string>) =>
        migrate({ table, loader: Migrator.fromRecord({ "1_only": migration }) })
      const defect = yield* Effect.catchAllDefect(run(Effect.fail("broken")), Effect.succeed)
      assert.propertyVal(defect, "reason", "failed")
      assert.deepStrictEqual(yield* run(Effect.void), [[1, "only"]])
    }))

  it.effect("two migrations with one id are refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(migrate({
        table: freshName("migrations"),
        loader: Migrator.fromRecord({ "1_a": Effect.void, "1_b": Effect.void })
      }))
      assert.propertyVal(error, "reason", "duplicates")
    }))
}

const withSql = <A, E>(statement: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
  Effect.asVoid(Effect.flatMap(SqlClient.SqlClient, statement))

/** For a dialect's own Migrator, whose layer asks for more than an `SqlClient`. */
export const ownMigrations: Migrator.MigratorOptions = {
  loader: Migrator.fromRecord({
    "1_create": withSql((sql) => sql`CREATE TABLE migrated (id INTEGER)`),
    "2_fill": withSql((sql) => sql`INSERT INTO migrated VALUES (42)`)
  })
}

/** Registers a test that a Migrator's layer has run `ownMigrations` when it is built. */
export const migrates = <E>(name: string, migrated: Layer.Layer<SqlClient.SqlClient, E>): void =>
  it.live(name, () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT id FROM migrated`, [{ id: 42 }])
    }).pipe(Effect.provide(migrated)))
