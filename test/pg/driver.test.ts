import { assert, describe, it } from "@effect/vitest"
import { Either, Redacted } from "effect"
import * as Driver from "../../src/internal/pg/driver.js"
import { endpoint, settings } from "./support.js"

const make = (config: Parameters<typeof settings>[0] = {}) => Driver.make(settings(config))

describe("the PostgreSQL driver", () => {
  it("names the database in every span, and the server that it asks", () => {
    const url = Redacted.make("postgres://app@db.example.com:6432/orders")
    const driver = make({ url, spanAttributes: { team: "billing" } })
    assert.deepStrictEqual(driver.spanAttributes, [
      ["team", "billing"],
      ["db.system.name", "postgresql"],
      ["db.namespace", "orders"]
    ])
    assert.deepStrictEqual(driver.serverAttributes(settings({ url })), [
      ["server.address", "db.example.com"],
      ["server.port", 6432]
    ])
    assert.deepStrictEqual(driver.serverAttributes(settings({})), [
      ["server.address", "localhost"],
      ["server.port", 5432]
    ])
  })

  it("names the user where no database is named, which is what the server does", () => {
    const namespace = (config: Parameters<typeof settings>[0]) =>
      Object.fromEntries(make(config).spanAttributes)["db.namespace"]
    assert.strictEqual(namespace({ username: "app" }), "app")
    assert.strictEqual(namespace({}), "postgres")
  })

  it("takes the pool's settings from those of @effect/sql-pg", () => {
    const config = {
      maxConnections: 3,
      minConnections: 1,
      idleTimeout: "1 minute",
      connectTimeout: "2 seconds",
      connectionTTL: "1 hour"
    } as const
    assert.deepStrictEqual(make().pool(endpoint(config), "readWrite"), {
      max: 3,
      min: 1,
      idleTimeout: "1 minute",
      connectTimeout: "2 seconds",
      maxLifetime: "1 hour"
    })
  })

  it("begins as the mode says", () => {
    const { texts } = make()
    assert.deepStrictEqual(Either.getOrThrow(texts.begin({ access: "readWrite" })).texts, ["BEGIN"])
    assert.deepStrictEqual(Either.getOrThrow(texts.begin({ access: "readOnly" })).texts, ["BEGIN READ ONLY"])
  })

  it("tells a COMMIT from a COMMIT that was a ROLLBACK, alone or before other statements", () => {
    const { commitWasRollback } = make()
    assert.isTrue(commitWasRollback!({ command: "ROLLBACK" }))
    assert.isTrue(commitWasRollback!([{ command: "ROLLBACK" }, { command: "SELECT" }]))
    assert.isFalse(commitWasRollback!({ command: "COMMIT" }))
    assert.isFalse(commitWasRollback!([{ command: "COMMIT" }, { command: "SELECT" }]))
    assert.isFalse(commitWasRollback!(undefined))
  })
})
