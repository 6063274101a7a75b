import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as mysql from "mysql2/promise"
import * as pg from "pg"
import { caughtUp, freshDatabase, mariadb, postgres, type Server } from "./index.js"

const onPostgres = (server: Server, sql: string) =>
  Effect.promise(async () => {
    const client = new pg.default.Client(server.url)
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  })

const onMariadb = (server: Server, sql: string) =>
  Effect.promise(async () => {
    const connection = await mysql.createConnection(server.url)
    try {
      return (await connection.query(sql))[0]
    } finally {
      connection.destroy()
    }
  })

describe("PostgreSQL", () => {
  it.effect("the replicas are in recovery and the primary is not", () =>
    Effect.gen(function*() {
      const { primary, replicas } = postgres()
      const recovery = yield* Effect.forEach([primary, ...replicas], (server) =>
        onPostgres(server, "select pg_is_in_recovery() as r"))
      assert.deepStrictEqual(
        recovery.map(([row]) =>
          row.r
        ),
        [false, true, true]
      )
    }))

  it.effect("both replicas stream and may be waited for", () =>
    Effect.gen(function*() {
      const rows = yield* onPostgres(
        postgres().primary,
        "select application_name as name, state, sync_state from pg_stat_replication order by 1"
      )
      assert.deepStrictEqual(rows, [
        { name: "replica1", state: "streaming", sync_state: "sync" },
        { name: "replica2", state: "streaming", sync_state: "sync" }
      ])
    }))

  it.scoped("what was written on the primary is on each replica when they have caught up", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* freshDatabase("postgres")
      yield* onPostgres(primary, "create table t (id int); insert into t values (1)")
      yield* caughtUp("postgres")
      for (const replica of replicas) {
        assert.deepStrictEqual(yield* onPostgres(replica, "select id from t"), [{ id: 1 }])
      }
    }))

  it.scoped("with remoteApply a read on a replica is never behind", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* freshDatabase("postgres", { remoteApply: true })
      yield* onPostgres(primary, "create table t (id int)")
      for (let id = 0; id < 10; id++) {
        yield* onPostgres(primary, `insert into t values (${id})`)
        for (const replica of replicas) {
          assert.deepStrictEqual(yield* onPostgres(replica, "select max(id) as id from t"), [{ id }])
        }
      }
    }))

  it.effect("a fresh database is gone after its scope, though a client is still connected to a replica", () =>
    Effect.gen(function*() {
      const { client, database } = yield* Effect.scoped(Effect.gen(function*() {
        const { database, replicas: [replica] } = yield* freshDatabase("postgres")
        const client = new pg.default.Client(replica.url)
        client.on("error", () => {})
        yield* Effect.promise(() => client.connect())
        return { client, database }
      }))
      yield* caughtUp("postgres")
      for (const server of [postgres().primary, ...postgres().replicas]) {
        assert.deepStrictEqual(yield* onPostgres(server, `select 1 from pg_database where datname = '${database}'`), [])
      }
      yield* Effect.promise(() => client.end())
    }))
})

describe("MariaDB", () => {
  it.effect("each server has its own id", () =>
    Effect.gen(function*() {
      const { primary, replicas } = mariadb()
      assert.deepStrictEqual(
        yield* Effect.forEach([primary, ...replicas], (server) => onMariadb(server, "select @@server_id as id")),
        [[{ id: 1 }], [{ id: 2 }]] as never
      )
    }))

  it.scoped("what was written on the primary is on the replica when it has caught up", () =>
    Effect.gen(function*() {
      const { primary, replicas: [replica] } = yield* freshDatabase("mariadb")
      yield* onMariadb(primary, "create table t (id int)")
      yield* onMariadb(primary, "insert into t values (1)")
      yield* caughtUp("mariadb")
      assert.deepStrictEqual(yield* onMariadb(replica, "select id from t"), [{ id: 1 }] as never)
    }))

  it.effect("a fresh database is gone after its scope, though a transaction is open on the replica", () =>
    Effect.gen(function*() {
      const { connection, database } = yield* Effect.scoped(Effect.gen(function*() {
        const { database, primary, replicas: [replica] } = yield* freshDatabase("mariadb")
        yield* onMariadb(primary, "create table t (id int)")
        yield* caughtUp("mariadb")
        const connection = yield* Effect.promise(() => mysql.createConnection(replica.url))
        connection.on("error", () => {})
        yield* Effect.promise(() => connection.query("start transaction"))
        yield* Effect.promise(() => connection.query("select * from t"))
        return { connection, database }
      }))
      yield* caughtUp("mariadb")
      for (const server of [mariadb().primary, ...mariadb().replicas]) {
        assert.deepStrictEqual(yield* onMariadb(server, `show databases like '${database}'`), [] as never)
      }
      connection.destroy()
    }))
})
