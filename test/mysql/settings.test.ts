import { assert, describe, it } from "@effect/vitest"
import { Either, Redacted } from "effect"
import * as fc from "fast-check"
import { decode, type MysqlEndpointConfig } from "../../src/internal/mysql/settings.js"

const decoded = (config: MysqlEndpointConfig) => Either.getOrThrow(decode(config))
const url = (text: string) => Redacted.make(text)
const password = (config: MysqlEndpointConfig) => Redacted.value(decoded(config).password as Redacted.Redacted)

describe("decode", () => {
  it("lets a URL come before the other settings, and those before poolConfig", () => {
    const { connection, database, host, port } = decoded({
      url: url("mysql://app@db.example/shop"),
      host: "other.example",
      port: 3307,
      poolConfig: { database: "ignored", port: 3308, charset: "utf8mb4" }
    })
    assert.deepStrictEqual({ database, host, port }, { database: "shop", host: "db.example", port: 3307 })
    assert.deepInclude(connection, { user: "app", charset: "utf8mb4" })
  })

  it("takes what a URL says, percent-encoded or not, as it is meant", () => {
    const part = fc.fullUnicodeString({ minLength: 1 }).filter((_) => _ !== "." && _ !== "..")
    fc.assert(fc.property(part, part, part, (user, secret, name) => {
      const config = {
        url: url(`mysql://${encodeURIComponent(user)}:${encodeURIComponent(secret)}@h/${encodeURIComponent(name)}`)
      }
      assert.strictEqual(decoded(config).connection.user, user)
      assert.strictEqual(password(config), secret)
      assert.strictEqual(decoded(config).database, name)
    }))
  })

  it("takes the password from the URL, else from the configuration, else from poolConfig", () => {
    const config = { password: Redacted.make("second"), poolConfig: { password: "third" } }
    assert.strictEqual(password({ ...config, url: url("mysql://u:first@h") }), "first")
    assert.strictEqual(password({ ...config, url: url("mysql://u@h") }), "second")
    assert.strictEqual(password({ poolConfig: config.poolConfig }), "third")
    assert.isUndefined(decoded({}).password)
  })

  it("gives mysql2's pool settings to the pool, and none of them to a connection", () => {
    const { connection, pool } = decoded({
      url: url("mysql://h/d?idleTimeout=2000&ssl={\"rejectUnauthorized\":false}&timezone=Z"),
      poolConfig: {
        connectionLimit: 3,
        maxIdle: 1,
        queueLimit: 8,
        waitForConnections: true,
        connectTimeout: 900,
        resetOnRelease: true
      }
    })
    assert.deepStrictEqual(pool, { max: 3, idleTimeout: 2000, connectTimeout: 900, maxWaiters: 8 })
    assert.deepStrictEqual(connection, {
      host: "h",
      port: 3306,
      database: "d",
      ssl: { rejectUnauthorized: false },
      timezone: "Z",
      multipleStatements: true,
      supportBigNumbers: true,
      rowsAsArray: false,
      connectTimeout: 0
    })
    assert.strictEqual(decoded({ poolConfig: { waitForConnections: false } }).pool.maxWaiters, 0)
  })

  it("refuses what is no MySQL URL, and never throws", () => {
    for (const text of ["", "db.example", "postgres://h/d", "mysql://h:port/d", "mysql://u:%@h/d"]) {
      assert.isTrue(Either.isLeft(decode({ url: url(text) })), text)
    }
    fc.assert(fc.property(fc.string(), (text) => {
      decode({ url: url(text) })
      decode({ url: url(`mysql://${text}`) })
    }))
  })
})
