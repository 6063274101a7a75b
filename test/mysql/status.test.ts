import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Schedule } from "effect"
import type { PhysicalConnection } from "../../src/Driver.js"
import type { Access, Endpoint } from "../../src/Endpoint.js"
import * as Driver from "../../src/internal/mysql/driver.js"
import type { MysqlEndpointConfig } from "../../src/internal/mysql/settings.js"
import * as ReplicationPosition from "../../src/ReplicationPosition.js"
import { freshDatabase, mariadb, type Server } from "../servers/index.js"

const cluster = mariadb()

const driver = Driver.make({ host: cluster.primary.host, port: cluster.primary.port })

const open = ({ host, port }: Server, access: Access, own: Partial<MysqlEndpointConfig> = {}) => {
  const endpoint: Endpoint<MysqlEndpointConfig> = {
    database: "main",
    name: "server",
    role: "replica",
    weight: 1,
    zone: undefined,
    config: { host, port, username: cluster.user, ...own }
  }
  return driver.open(endpoint, access)
}

const [replica] = cluster.replicas
const text = (connection: PhysicalConnection, sql: string) => connection.executeUnprepared(sql, [], undefined)

const table = Effect.gen(function*() {
  const { database } = yield* freshDatabase("mariadb")
  const writer = yield* open(cluster.primary, "readWrite", { database })
  yield* text(writer, "CREATE TABLE t (id int primary key)")
  const reader = yield* open(replica, "readOnly", { database })
  yield* eventually(Effect.map(text(reader, "SHOW TABLES LIKE 't'"), (rows) => rows.length === 1))
  return { writer, reader }
})

/** Stops a part of the replica's replication for the rest of the Scope; gives what starts it again. */
const stopped = (thread: "SQL_THREAD" | "IO_THREAD") =>
  Effect.gen(function*() {
    const admin = yield* open(replica, "readWrite")
    const start = Effect.orDie(Effect.asVoid(text(admin, `START SLAVE ${thread}`)))
    yield* Effect.acquireRelease(text(admin, `STOP SLAVE ${thread}`), () => start)
    return start
  })

const eventually = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("10 seconds")
  )

const hasReached = (connection: PhysicalConnection, wanted: ReplicationPosition.ReplicationPosition) =>
  Effect.map(driver.currentPosition(connection), (position) => ReplicationPosition.reached(position!, wanted))

describe("what a MariaDB server says of itself", () => {
  it.scopedLive("a primary takes writes, replicates from nobody, and knows where it is", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const status = yield* driver.status(writer)
      assert.strictEqual(status.role, "primary")
      assert.strictEqual(status.replication, "none")
      assert.match(ReplicationPosition.format(status.position!), /^0-1-\d+$/)
    }))

  it.scopedLive("its history names who wrote what, and is a primary's alone", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const { position, written } = (yield* driver.history!(writer))!
      const { sequence, server } = (position as ReplicationPosition.MariaGtid).domains.get(0)!
      assert.isAtLeast(Number(written!.get(0)!.get(server)), Number(sequence))
      const admin = yield* open(replica, "readWrite")
      yield* Effect.acquireRelease(
        text(admin, "SET GLOBAL read_only = 1"),
        () => Effect.orDie(text(admin, "SET GLOBAL read_only = 0"))
      )
      assert.isUndefined(yield* driver.history!(admin))
    }))

  it.scopedLive("a replica that refuses writes is one, and streams", () =>
    Effect.gen(function*() {
      const admin = yield* open(replica, "readWrite")
      yield* Effect.acquireRelease(
        text(admin, "SET GLOBAL read_only = 1"),
        () => Effect.orDie(text(admin, "SET GLOBAL read_only = 0"))
      )
      const status = yield* driver.status(yield* open(replica, "readOnly"))
      assert.strictEqual(status.role, "replica")
      assert.strictEqual(status.replication, "streaming")
    }))

  it.scopedLive("a replica that takes writes says so, and that it streams, whatever our session may do", () =>
    Effect.gen(function*() {
      for (const access of ["readOnly", "readWrite"] as const) {
        const status = yield* driver.status(yield* open(replica, access))
        assert.strictEqual(status.role, "primary")
        assert.strictEqual(status.replication, "streaming")
      }
    }))

  it.scopedLive("a replica cut off from its primary does not stream", () =>
    Effect.gen(function*() {
      const start = yield* stopped("IO_THREAD")
      const reader = yield* open(replica, "readOnly")
      assert.notStrictEqual((yield* driver.status(reader)).replication, "streaming")
      yield* start
      yield* eventually(Effect.map(driver.status(reader), ({ replication }) => replication === "streaming"))
    }))

  it.scopedLive("needs no privileges", () =>
    Effect.gen(function*() {
      const admin = yield* open(cluster.primary, "readWrite")
      yield* Effect.acquireRelease(
        text(admin, "CREATE OR REPLACE USER status_plain@'127.0.0.1'"),
        () => Effect.orDie(text(admin, "DROP USER status_plain@'127.0.0.1'"))
      )
      const primary = yield* driver.status(yield* open(cluster.primary, "readWrite", { username: "status_plain" }))
      const status = yield* Effect.retry(open(replica, "readOnly", { username: "status_plain" }), {
        schedule: Schedule.spaced("50 millis"),
        times: 60
      }).pipe(Effect.flatMap(driver.status))
      assert.strictEqual(status.replication, "streaming")
      assert.isDefined(primary.position)
      assert.isDefined(status.position)
    }))

  it.scopedLive("stays of one generation while it is up", () =>
    Effect.gen(function*() {
      const connection = yield* open(cluster.primary, "readWrite")
      const before = yield* driver.status(connection)
      yield* Effect.sleep("1100 millis")
      assert.strictEqual((yield* driver.status(connection)).generation, before.generation)
      assert.match(before.generation, /^\d{10}$/)
    }))
})

describe("the position that comes with an answer", () => {
  it.scopedLive("of a write or a commit is the transaction's, at no statement more", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const questions = Effect.map(text(writer, "SHOW SESSION STATUS LIKE 'Questions'"), ([row]) => Number(row.Value))
      const before = yield* questions
      const sequences: Array<string> = []
      for (
        const write of [
          writer.execute("INSERT INTO t VALUES (?)", [1], undefined),
          writer.executeRaw("INSERT INTO t VALUES (2)", []),
          text(writer, "INSERT INTO t VALUES (3)")
        ]
      ) {
        writer.positions!.expect("after")
        yield* write
        sequences.push(ReplicationPosition.format(writer.positions!.take()!))
        assert.isUndefined(writer.positions!.take())
      }
      yield* text(writer, "START TRANSACTION")
      yield* text(writer, "INSERT INTO t VALUES (4)")
      writer.positions!.expect("after")
      yield* writer.executeRaw("COMMIT", [])
      sequences.push(ReplicationPosition.format(writer.positions!.take()!))
      // A prepared statement counts once, when it is executed; the last question is this one.
      assert.strictEqual((yield* questions) - before, 7)
      assert.strictEqual(new Set(sequences).size, 4)
      assert.strictEqual(
        ReplicationPosition.reached(
          (yield* driver.currentPosition(writer))!,
          Either.getOrThrow(ReplicationPosition.mariaGtid(sequences[3]!))
        ),
        "reached"
      )
    }))

  it.scopedLive("is missing, and not an older one, where an answer cannot bring it", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const position = (sql: string) =>
        Effect.suspend(() => {
          writer.positions!.expect("after")
          return Effect.map(text(writer, sql), () => writer.positions!.take())
        })
      assert.isDefined(yield* position("INSERT INTO t VALUES (1)"))
      assert.isUndefined(yield* position("INSERT INTO t VALUES (2) RETURNING id"))
      assert.isUndefined(yield* position("INSERT INTO t VALUES (3); INSERT INTO t VALUES (4) RETURNING id"))
      assert.isUndefined(yield* position("SELECT 1"))
      assert.isUndefined(yield* position("UPDATE t SET id = 9 WHERE id = 99"))
      assert.isDefined(yield* position("INSERT INTO t VALUES (5); INSERT INTO t VALUES (6)"))
    }))

  it.scopedLive("leaves no trace in a raw answer, but for what else the session tells", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const header = (sql: string) => writer.executeRaw(sql, []) as Effect.Effect<any, SqlError>
      const written = yield* header("INSERT INTO t VALUES (1)")
      assert.notProperty(written, "stateChanges")
      assert.strictEqual(written.serverStatus, 2)
      const set = yield* header("SET time_zone = '+01:00'")
      assert.strictEqual(set.stateChanges.systemVariables.time_zone, "+01:00")
      const both = (yield* text(writer, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")) as ReadonlyArray<object>
      for (const one of both) assert.notProperty(one, "stateChanges")
    }))

  it.scopedLive("keeps what mysql2 follows of a session", () =>
    Effect.gen(function*() {
      const writer = yield* open(cluster.primary, "readWrite")
      const [row] = yield* text(writer, "SELECT @@session_track_system_variables AS tracked")
      for (const name of ["character_set_client", "last_gtid"]) assert.include(row.tracked, name)
    }))

  it.scopedLive("is refused by a replica that lacks it, and then reached", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const start = yield* stopped("SQL_THREAD")
      writer.positions!.expect("after")
      yield* text(writer, "INSERT INTO t VALUES (1)")
      const wanted = writer.positions!.take()!
      assert.strictEqual(yield* hasReached(reader, wanted), "behind")
      assert.isFalse(yield* driver.awaitPosition(reader, wanted, Duration.millis(50)))
      const waiting = yield* Effect.fork(driver.awaitPosition(reader, wanted, Duration.seconds(10)))
      yield* start
      assert.isTrue(yield* Fiber.join(waiting))
      assert.lengthOf(yield* text(reader, "SELECT id FROM t"), 1)
    }))

  it.scopedLive("never claims a write that its replica does not show", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      let reached = 0
      for (let id = 0; id < 300; id++) {
        writer.positions!.expect("after")
        yield* text(writer, `INSERT INTO t VALUES (${id})`)
        const wanted = writer.positions!.take()!
        while ((yield* hasReached(reader, wanted)) !== "reached") yield* Effect.yieldNow()
        if ((yield* text(reader, `SELECT id FROM t WHERE id = ${id}`)).length === 1) reached++
      }
      assert.strictEqual(reached, 300)
    }))

  it.scopedLive("of PostgreSQL means nothing here", () =>
    Effect.gen(function*() {
      const reader = yield* open(replica, "readOnly")
      const other = Either.getOrThrow(ReplicationPosition.pgLsn("42/1", "0/1"))
      assert.isFalse(yield* driver.awaitPosition(reader, other, Duration.seconds(10)))
      assert.strictEqual(yield* hasReached(reader, other), "otherHistory")
    }))
})
