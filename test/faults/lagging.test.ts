/** What users notice of a replica that has not replayed a change of the schema yet. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { ReadConsistency } from "effect-sql-router"
import type { Engine } from "../consistency/servers.js"
import { mariadb, postgres } from "../consistency/servers.js"
import { eventually, heard } from "./support.js"

const engines: ReadonlyArray<Engine> = [postgres, mariadb]

for (const engine of engines) {
  it.scopedLive(`${engine.name}: a table that a replica does not have yet is read where it is, without blame`, () =>
    Effect.gen(function*() {
      const place = yield* engine.place
      const { count, events, sql } = yield* Effect.flatMap(place.withReplicas(), heard)
      yield* engine.paused
      yield* sql`CREATE TABLE too_new (id INTEGER)`
      yield* sql`INSERT INTO too_new VALUES (1)`
      // Who asks for its own writes would not have read there in the first place.
      const read = ReadConsistency.withLevel(sql<{ id: number }>`SELECT id FROM too_new`, ReadConsistency.eventual)
      for (let i = 0; i < 6; i++) assert.deepStrictEqual((yield* read).map(({ id }) => id), [1])
      yield* eventually("all are told of", () => count("StatementRetried") === 6)
      const retried = events.flatMap((event) => event._tag === "StatementRetried" ? [event.to] : [])
      assert.deepStrictEqual([...new Set(retried)], ["primary"])
      assert.strictEqual(count("BreakerOpened"), 0)
    }))
}
