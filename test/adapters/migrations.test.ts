import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { assertOnPrimary, clientOf, heardDuring, mariadb, onlyPrimaryOf, postgres } from "./support.js"

const statement = (text: string) => Effect.asVoid(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)))

const migrations = {
  "1_create": statement("CREATE TABLE people (name VARCHAR(40))"),
  "2_copy": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.zipRight(sql`SELECT name FROM people`, sql`INSERT INTO people SELECT name FROM t`)
  )
}
const migrate = (migrations: Record<string, Effect.Effect<void, unknown, SqlClient.SqlClient>>) =>
  Migrator.make({})({ loader: Migrator.fromRecord(migrations) })

for (const engine of [postgres, mariadb]) {
  describe(`migrations on ${engine.name}`, () => {
    it.scopedLive("run once, whichever process comes first, while replication is stopped", () =>
      Effect.gen(function*() {
        const { withReplicas } = yield* engine.place
        const [one, other] = [clientOf(yield* withReplicas()), clientOf(yield* withReplicas())]
        yield* engine.paused
        const more = { ...migrations, "3_more": statement("ALTER TABLE people ADD COLUMN age INTEGER") }
        assert.deepStrictEqual(yield* Effect.provide(migrate(migrations), one), [[1, "create"], [2, "copy"]])
        assert.deepStrictEqual(yield* Effect.provide(migrate(migrations), other), [])
        assert.deepStrictEqual(yield* Effect.provide(migrate(more), other), [[3, "more"]])
        assert.deepStrictEqual(yield* Effect.provide(migrate(more), one), [])
      }))

    it.scopedLive("send nothing to a replica, given a client for the primary alone", () =>
      Effect.gen(function*() {
        const sql = yield* Effect.flatMap(engine.place, ({ withReplicas }) => withReplicas())
        const twice = Effect.zip(migrate(migrations), migrate(migrations))
        const [, heard] = yield* heardDuring(sql, Effect.provide(twice, onlyPrimaryOf(sql)))
        assertOnPrimary(heard)
      }))
  })
}
