import * as MysqlKysely from "@effect/sql-kysely/Mysql"
import * as PgKysely from "@effect/sql-kysely/Pg"
import { assert, describe, it } from "@effect/vitest"
import { RoutedSqlClient } from "effect-sql-router"
import * as Effect from "effect/Effect"
import { codeOf, mariadb, onReplicas, postgres, rolesOf, tagOf } from "./support.js"

interface Tables {
  readonly t: { readonly id: number; readonly name: string }
}

const kinds = [
  { engine: postgres, make: PgKysely.make<Tables>(), duplicate: "23505" },
  { engine: mariadb, make: MysqlKysely.make<Tables>(), duplicate: "ER_DUP_ENTRY" }
]

for (const { duplicate, engine, make } of kinds) {
  describe(`Kysely on ${engine.name}`, () => {
    it.scopedLive("queries read on replicas, and write on the primary", () =>
      Effect.gen(function*() {
        const db = yield* make
        assert.deepStrictEqual(yield* rolesOf(db.selectFrom("t").selectAll()), ["replica"])
        assert.deepStrictEqual(
          yield* rolesOf(Effect.all([
            db.insertInto("t").values([{ id: 1, name: "Ada" }, { id: 2, name: "Bob" }]),
            db.updateTable("t").set({ name: "Cy" }).where("id", "=", 1),
            db.deleteFrom("t").where("id", "=", 2),
            db.selectFrom("t").selectAll().forUpdate(),
            db.schema.createTable("other").addColumn("id", "integer")
          ])),
          ["primary", "primary", "primary", "primary", "primary"]
        )
        assert.deepStrictEqual(yield* db.selectFrom("t").selectAll(), [{ id: 1, name: "Cy" }])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a query sees the fiber's own write, while replication is stopped", () =>
      Effect.gen(function*() {
        const db = yield* make
        yield* Effect.zipRight(engine.paused, db.insertInto("t").values({ id: 1, name: "Ada" }))
        assert.deepStrictEqual(yield* db.selectFrom("t").select("id"), [{ id: 1 }])
      }).pipe(onReplicas(engine)))

    it.scopedLive("a transaction runs on the primary, and is undone as a whole", () =>
      Effect.gen(function*() {
        const db = yield* make
        const write = db.insertInto("t").values({ id: 1, name: "Ada" })
        const read = db.selectFrom("t").select("id")
        const roles = yield* rolesOf(Effect.flip(db.withTransaction(Effect.all([
          read,
          write,
          Effect.flatMap(read, (rows) => Effect.fail(rows))
        ]))))
        assert.deepStrictEqual(roles, ["primary", "primary", "primary"])
        assert.deepStrictEqual(yield* read, [])
      }).pipe(onReplicas(engine)))

    it.scopedLive("errors are those of the driver, and the router's", () =>
      Effect.gen(function*() {
        const db = yield* make
        const write = db.insertInto("t").values({ id: 1, name: "Ada" })
        yield* write
        assert.strictEqual(codeOf(yield* Effect.flip(write)), duplicate)
        assert.strictEqual(tagOf(yield* Effect.flip(RoutedSqlClient.withReplica(write))), "StatementRefused")
      }).pipe(onReplicas(engine)))
  })
}

describe("Kysely on postgres", () => {
  it.scopedLive("a select that writes in its WITH runs on the primary", () =>
    Effect.gen(function*() {
      const db = yield* PgKysely.make<Tables>()
      const query = db
        .with("made", (db) => db.insertInto("t").values({ id: 1, name: "Ada" }).returning("id"))
        .selectFrom("made")
        .select("id")
      assert.deepStrictEqual(yield* rolesOf(query), ["primary"])
    }).pipe(onReplicas(postgres)))
})
