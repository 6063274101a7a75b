import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Duration, Effect, TestClock } from "effect"
import * as Connection from "../../src/internal/sqlite/connection.js"
import { PreparedStatements } from "../../src/internal/sqlite/statements.js"
import { connectionOptions } from "./support.js"

/** A database that only remembers what was prepared. */
const recorder = () => {
  const prepared: Array<string> = []
  const db = { prepare: (sql: string) => ({ source: prepared[prepared.push(sql) - 1] }) } as unknown as Sqlite.Database
  return { db, prepared }
}

describe("PreparedStatements", () => {
  it("prepares a text once", () => {
    const { db, prepared } = recorder()
    const statements = new PreparedStatements(db, 2, Duration.seconds(1))
    assert.strictEqual(statements.get("a", 0n), statements.get("a", 999_999_999n))
    assert.deepStrictEqual(prepared, ["a"])
  })

  it("keeps those used last", () => {
    const { db, prepared } = recorder()
    const statements = new PreparedStatements(db, 2, Duration.seconds(1))
    for (const sql of ["a", "b", "a", "c", "a", "b"]) statements.get(sql, 0n)
    assert.deepStrictEqual(prepared, ["a", "b", "c", "b"])
  })

  it("prepares anew what is older than its time to live, however much it is used", () => {
    const { db, prepared } = recorder()
    const statements = new PreparedStatements(db, 2, Duration.seconds(1))
    for (const millis of [0, 600, 999, 1000, 1999, 2000]) statements.get("a", BigInt(millis) * 1_000_000n)
    assert.deepStrictEqual(prepared, ["a", "a", "a"])
  })

  it("keeps none with a size of 0", () => {
    const { db, prepared } = recorder()
    const statements = new PreparedStatements(db, 0, Duration.seconds(1))
    for (const sql of ["a", "a"]) statements.get(sql, 0n)
    assert.deepStrictEqual(prepared, ["a", "a"])
  })

  it("keeps for ever with an infinite time to live", () => {
    const { db, prepared } = recorder()
    const statements = new PreparedStatements(db, 2, Duration.infinity)
    for (const now of [0n, 2n ** 63n]) statements.get("a", now)
    assert.deepStrictEqual(prepared, ["a"])
  })

  it("does not remember what cannot be prepared", () => {
    let fails = true
    const db = {
      prepare: () => {
        if (fails) throw new Error("no such table")
        return {}
      }
    } as unknown as Sqlite.Database
    const statements = new PreparedStatements(db, 2, Duration.seconds(1))
    assert.throws(() => statements.get("a", 0n), "Failed to prepare statement")
    fails = false
    assert.isDefined(statements.get("a", 0n))
  })

  it.scoped("goes by Effect's Clock", () =>
    Effect.gen(function*() {
      const db = new Sqlite(":memory:")
      const prepared: Array<string> = []
      const observed = Object.assign(Object.create(db), {
        prepare: (sql: string) => {
          prepared.push(sql)
          return db.prepare(sql)
        }
      })
      const connection = Connection.make(observed, { ...connectionOptions, prepareCacheTTL: Duration.minutes(1) })
      for (let i = 0; i < 4; i++) {
        yield* connection.execute("SELECT 1", [], undefined)
        yield* TestClock.adjust("30 seconds")
      }
      assert.lengthOf(prepared, 2)
    }))
})
