import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either } from "effect"
import type { Access, Endpoint } from "../../src/Endpoint.js"
import * as Driver from "../../src/internal/sqlite/driver.js"
import type { SqliteEndpointConfig } from "../../src/internal/sqlite/settings.js"
import * as ReplicationPosition from "../../src/ReplicationPosition.js"
import { makeFile } from "./support.js"

const status = (access: Access, own: Partial<SqliteEndpointConfig> = {}) =>
  Effect.gen(function*() {
    const config = { filename: yield* makeFile(), ...own }
    const driver = yield* Driver.make(config)
    const endpoint: Endpoint<SqliteEndpointConfig> = {
      database: "main",
      name: "primary",
      role: "primary",
      weight: 1,
      zone: undefined,
      config
    }
    const connection = yield* driver.open(endpoint, access)
    return { driver, connection, status: yield* driver.status(connection) }
  })

describe("what a SQLite file says of itself", () => {
  it.scoped("it takes writes from whoever opened it for them", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* status("readWrite")).status.role, "primary")
      assert.strictEqual((yield* status("readOnly")).status.role, "replica")
      assert.strictEqual((yield* status("readWrite", { readonly: true })).status.role, "replica")
    }))

  it.scoped("it replicates from nobody and has no position", () =>
    Effect.gen(function*() {
      const { connection, driver, status: own } = yield* status("readWrite")
      assert.strictEqual(own.replication, "none")
      assert.isUndefined(own.position)
      assert.isUndefined(connection.positions)
      assert.isUndefined(yield* driver.currentPosition(connection))
      const wanted = Either.getOrThrow(ReplicationPosition.mariaGtid("0-1-42"))
      assert.isFalse(yield* driver.awaitPosition(connection, wanted, Duration.seconds(10)))
    }))
})
