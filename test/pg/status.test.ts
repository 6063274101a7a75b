import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Redacted, Schedule, TestClock, TestServices } from "effect"
import type { PhysicalConnection } from "../../src/Driver.js"
import * as ReplicationPosition from "../../src/ReplicationPosition.js"
import * as TcpProxy from "../../src/testing/TcpProxy.js"
import { freshDatabase, postgres } from "../servers/index.js"
import { connect, connectThrough, driver, eventually, replicaUrl, rows } from "./support.js"

const cluster = postgres()

const onReplica = (access: "readOnly" | "readWrite" = "readOnly", user?: string) =>
  connect({
    url: user === undefined
      ? replicaUrl
      : Redacted.make(cluster.replicas[0].url.replace(/\/\/[^@]*@/, `//${user}@`))
  }, access)

const position = (connection: PhysicalConnection) =>
  Effect.map(driver.currentPosition(connection), (position) => {
    assert.isDefined(position)
    return position!
  })

const hasReached = (replica: PhysicalConnection, wanted: ReplicationPosition.ReplicationPosition) =>
  Effect.map(position(replica), (position) => ReplicationPosition.reached(position, wanted))

/** Stops replay on the first replica for the rest of the Scope. */
const replayPaused = Effect.gen(function*() {
  const admin = yield* connect({ url: replicaUrl })
  yield* Effect.acquireRelease(
    rows(admin, "SELECT pg_wal_replay_pause()"),
    () => Effect.orDie(rows(admin, "SELECT pg_wal_replay_resume()"))
  )
  yield* eventually(
    Effect.map(
      rows(admin, "SELECT pg_get_wal_replay_pause_state() AS state"),
      ([row]) => row.state === "paused"
    )
  )
  return Effect.asVoid(rows(admin, "SELECT pg_wal_replay_resume()"))
})

const table = Effect.gen(function*() {
  const { primary, replicas } = yield* freshDatabase("postgres")
  const writer = yield* connect({ url: Redacted.make(primary.url) })
  yield* rows(writer, "CREATE TABLE t (id int primary key)")
  const reader = yield* connect({ url: Redacted.make(replicas[0].url) }, "readOnly")
  return { writer, reader, primary }
})

const plainRole = (name: string) =>
  Effect.gen(function*() {
    const admin = yield* connect()
    yield* Effect.acquireRelease(
      rows(admin, `CREATE ROLE ${name} LOGIN`),
      () => Effect.orDie(rows(admin, `DROP ROLE ${name}`))
    )
    return admin
  })

describe("what a PostgreSQL server says of itself", () => {
  it.scopedLive("a primary takes writes, replicates from nobody, and knows where it is", () =>
    Effect.gen(function*() {
      const status = yield* driver.status(yield* connect())
      assert.strictEqual(status.role, "primary")
      assert.strictEqual(status.replication, "none")
      assert.match((status.position as ReplicationPosition.PgLsn).epoch, /^\d{10,}\/1$/)
      assert.notStrictEqual(status.generation, "")
    }))

  it.scopedLive("a standby streams and has its primary's epoch, whatever our connections may do on it", () =>
    Effect.gen(function*() {
      const primary = yield* driver.status(yield* connect())
      for (const access of ["readOnly", "readWrite"] as const) {
        const status = yield* driver.status(yield* onReplica(access))
        assert.strictEqual(status.role, "replica")
        assert.strictEqual(status.replication, "streaming")
        assert.strictEqual(
          (status.position as ReplicationPosition.PgLsn).epoch,
          (primary.position as ReplicationPosition.PgLsn).epoch
        )
        assert.notStrictEqual(status.generation, primary.generation)
      }
    }))

  it.scopedLive("a primary stays one for connections that we opened read-only", () =>
    Effect.gen(function*() {
      const status = yield* driver.status(yield* connect({}, "readOnly"))
      assert.strictEqual(status.role, "primary")
    }))

  it.scopedLive("a server that was set to refuse writes is no primary", () =>
    Effect.gen(function*() {
      const { primary, writer } = yield* table
      const database = primary.url.split("/").at(-1)
      yield* rows(writer, `ALTER DATABASE ${database} SET default_transaction_read_only = on`)
      const status = yield* driver.status(yield* connect({ url: Redacted.make(primary.url) }))
      assert.strictEqual(status.role, "replica")
    }))

  it.scopedLive("a session that set itself read-only says nothing of its server", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* rows(connection, "SET default_transaction_read_only = on")
      assert.strictEqual((yield* driver.status(connection)).role, "primary")
    }))

  it.scopedLive("needs no privileges, neither on the primary nor on a standby", () =>
    Effect.gen(function*() {
      yield* plainRole("status_plain")
      const primary = yield* driver.status(
        yield* connect({ url: Redacted.make(cluster.primary.url.replace(/\/\/[^@]*@/, "//status_plain@")) })
      )
      assert.isDefined(primary.position)
      const standby = yield* Effect.retry(onReplica("readOnly", "status_plain"), {
        schedule: Schedule.spaced("50 millis"),
        times: 60
      }).pipe(Effect.flatMap(driver.status))
      assert.strictEqual(standby.replication, "streaming")
      assert.strictEqual(ReplicationPosition.reached(standby.position!, standby.position!), "reached")
      assert.strictEqual(
        (standby.position as ReplicationPosition.PgLsn).epoch,
        (primary.position as ReplicationPosition.PgLsn).epoch
      )
    }))

  it.scopedLive("costs only the position where its functions are forbidden", () =>
    Effect.gen(function*() {
      const { primary, writer } = yield* table
      yield* plainRole("status_forbidden")
      yield* rows(writer, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
      const connection = yield* connect({
        url: Redacted.make(primary.url.replace(/\/\/[^@]*@/, "//status_forbidden@"))
      })
      const status = yield* driver.status(connection)
      assert.strictEqual(status.role, "primary")
      assert.isUndefined(status.position)
      assert.isUndefined(yield* driver.currentPosition(connection))
      yield* rows(writer, "CREATE TABLE open_to_all (id int); GRANT ALL ON open_to_all TO PUBLIC")
      for (const id of [1, 2]) {
        connection.positions!.expect("after")
        yield* rows(connection, "INSERT INTO open_to_all VALUES ($1)", [id])
        assert.isUndefined(connection.positions!.take())
      }
    }))
})

describe("the history that a PostgreSQL server tells", () => {
  it.scopedLive("is of a primary alone, and of no timeline before where it was never promoted", () =>
    Effect.gen(function*() {
      const history = yield* driver.history!(yield* connect())
      assert.strictEqual(history!.position._tag, "PgLsn")
      assert.isUndefined(history!.left)
      assert.isUndefined(yield* driver.history!(yield* onReplica()))
    }))
})

describe("the position that comes with an answer", () => {
  it.scopedLive("after a commit is one that a replica without it has not reached", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const resume = yield* replayPaused
      yield* writer.executeRaw("BEGIN", [])
      yield* rows(writer, "INSERT INTO t VALUES (1)")
      writer.positions!.expect("after")
      const raw = yield* writer.executeRaw("COMMIT", [])
      const wanted = writer.positions!.take()!
      assert.isFalse(driver.commitWasRollback!(raw))
      assert.strictEqual(yield* hasReached(reader, wanted), "behind")
      yield* resume
      yield* eventually(Effect.map(hasReached(reader, wanted), (verdict) => verdict === "reached"))
      assert.strictEqual((yield* rows(reader, "SELECT id FROM t")).length, 1)
    }))

  it.scopedLive("after a write of its own is past its commit record, however it is executed", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const writes: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [
        writer.execute("INSERT INTO t VALUES ($1) RETURNING id", [1], undefined),
        writer.executeRaw("INSERT INTO t VALUES (2)", []),
        writer.executeValues("INSERT INTO t VALUES ($1)", [3]),
        writer.executeUnprepared("INSERT INTO t VALUES ($1)", [4], undefined)
      ]
      const resume = yield* replayPaused
      for (const write of writes) {
        writer.positions!.expect("after")
        yield* write
        const wanted = writer.positions!.take()!
        assert.strictEqual(yield* hasReached(reader, wanted), "behind")
        // Whoever has everything up to it has the write; nothing was committed since.
        assert.strictEqual(ReplicationPosition.reached(yield* position(writer), wanted), "reached")
      }
      yield* resume
    }))

  it.scopedLive("after an asynchronous commit is no lower", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      yield* rows(writer, "SET synchronous_commit = off")
      for (let id = 0; id < 10; id++) {
        writer.positions!.expect("after")
        yield* rows(writer, "INSERT INTO t VALUES ($1)", [id])
        const wanted = writer.positions!.take()!
        assert.isTrue(yield* driver.awaitPosition(reader, wanted, Duration.seconds(5)))
        assert.strictEqual((yield* rows(reader, "SELECT id FROM t WHERE id = $1", [id])).length, 1)
      }
    }))

  it.scopedLive("on an idle system is reached, even where the log goes on in a new file", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      for (let id = 0; id < 3; id++) {
        yield* rows(writer, "INSERT INTO t VALUES ($1)", [id])
        yield* rows(writer, "SELECT pg_switch_wal()")
        const [row] = yield* rows(writer, "SELECT pg_current_wal_insert_lsn()::text AS lsn")
        assert.match(row.lsn, /000028$/)
        assert.isTrue(yield* driver.awaitPosition(reader, yield* position(writer), Duration.seconds(3)))
      }
    }))

  it.scopedLive("is of one statement only, and taken once", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      writer.positions!.expect("after")
      yield* rows(writer, "INSERT INTO t VALUES (1)")
      assert.isDefined(writer.positions!.take())
      assert.isUndefined(writer.positions!.take())
      yield* rows(writer, "INSERT INTO t VALUES (2)")
      assert.isUndefined(writer.positions!.take())
    }))

  it.scopedLive("leaves the statement's own error what it is, and the connection usable", () =>
    Effect.gen(function*() {
      const { writer } = yield* table
      const fails = (effect: Effect.Effect<unknown, SqlError>, code: string | undefined) =>
        Effect.gen(function*() {
          for (const when of ["after", "before"] as const) {
            writer.positions!.expect(when)
            const error = yield* Effect.flip(effect)
            assert.strictEqual((error.cause as { readonly code?: string }).code, code)
            assert.isTrue(writer.isUsable())
            assert.deepStrictEqual(yield* rows(writer, "SELECT 1 AS one"), [{ one: 1 }])
          }
        })
      yield* fails(rows(writer, "SELECT nonsense"), "42703")
      yield* fails(rows(writer, "SELECT $1::int AS n", ["x"]), "22P02")
      // A value that cannot be encoded never reaches the server.
      const cyclic: Record<string, unknown> = {}
      cyclic["self"] = cyclic
      yield* fails(rows(writer, "SELECT $1::json AS n", [cyclic]), undefined)
    }))

  it.scopedLive("before a read tells whether the read may count, in one round trip", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const resume = yield* replayPaused
      writer.positions!.expect("after")
      yield* rows(writer, "INSERT INTO t VALUES (1)")
      const wanted = writer.positions!.take()!
      const guardedRead = Effect.suspend(() => {
        reader.positions!.expect("before")
        return Effect.map(rows(reader, "SELECT id FROM t WHERE id >= $1", [0]), (rows) => ({
          verdict: ReplicationPosition.reached(reader.positions!.take()!, wanted),
          found: rows.length
        }))
      })
      assert.deepStrictEqual(yield* guardedRead, { verdict: "behind", found: 0 })
      yield* resume
      yield* eventually(Effect.map(guardedRead, ({ found, verdict }) => {
        assert.isTrue(verdict === "behind" || found === 1)
        return verdict === "reached"
      }))
    }))

  it.scopedLive("guards without a race: who reached the position sees the write", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const seen = { reached: 0, behind: 0 }
      for (let id = 0; id < 500; id++) {
        writer.positions!.expect("after")
        yield* rows(writer, "INSERT INTO t VALUES ($1)", [id])
        const wanted = writer.positions!.take()!
        reader.positions!.expect("before")
        const found = yield* rows(reader, "SELECT id FROM t WHERE id = $1", [id])
        if (ReplicationPosition.reached(reader.positions!.take()!, wanted) === "reached") {
          seen.reached++
          assert.strictEqual(found.length, 1)
        } else seen.behind++
      }
      assert.isAbove(seen.reached, 0)
    }))

  it.scopedLive("needs no round trip of its own", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      const connection = yield* connectThrough(proxy)
      yield* rows(connection, "CREATE TEMP TABLE p (id int)")
      let flights = 0
      const stream = (connection as unknown as { client: { connection: { stream: { write: Function } } } }).client
        .connection.stream
      const write = stream.write
      stream.write = function(this: unknown, ...args: ReadonlyArray<unknown>) {
        flights++
        return write.apply(this, args)
      }
      connection.positions!.expect("after")
      yield* rows(connection, "INSERT INTO p VALUES ($1)", [1])
      assert.isDefined(connection.positions!.take())
      assert.strictEqual(flights, 1)
    }))
})

describe("waiting for a position", () => {
  it.scopedLive("ends when the replica is there, and not before", () =>
    Effect.gen(function*() {
      const { reader, writer } = yield* table
      const resume = yield* replayPaused
      yield* rows(writer, "INSERT INTO t VALUES (1)")
      const wanted = yield* position(writer)
      assert.isFalse(yield* driver.awaitPosition(reader, wanted, Duration.millis(50)))
      const waiting = yield* Effect.fork(driver.awaitPosition(reader, wanted, Duration.seconds(10)))
      yield* resume
      assert.isTrue(yield* Fiber.join(waiting))
      assert.strictEqual((yield* rows(reader, "SELECT id FROM t")).length, 1)
    }))

  it.scopedLive("is not begun for a position of another history", () =>
    Effect.gen(function*() {
      const reader = yield* onReplica()
      const other = Either.getOrThrow(ReplicationPosition.pgLsn("42/1", "0/1"))
      const [took, reached] = yield* Effect.timed(driver.awaitPosition(reader, other, Duration.seconds(10)))
      assert.isFalse(reached)
      assert.isBelow(Duration.toMillis(took), 5000)
    }))

  it.scoped("asks again after 1, 2, 4, 8, 16, 16 ms, on Effect's clock", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const real = yield* TestServices.provideLive(onReplica())
      const future = Either.getOrThrow(
        ReplicationPosition.pgLsn(
          ((yield* position(real)) as ReplicationPosition.PgLsn).epoch,
          "FFFFFFFF/0"
        )
      )
      const answer = yield* real.executeValues("SELECT 1", [])
      assert.lengthOf(answer, 1)
      const connection: PhysicalConnection = Object.create(real, {
        executeValues: {
          value: (sql: string, params: ReadonlyArray<unknown>) =>
            Effect.zipRight(
              Effect.map(Effect.clockWith((clock) => clock.currentTimeMillis), (now) => void asked.push(now)),
              real.executeValues(sql, params)
            )
        }
      })
      const waiting = yield* Effect.fork(driver.awaitPosition(connection, future, Duration.millis(50)))
      for (let millis = 0; millis < 60; millis++) {
        yield* TestServices.provideLive(Effect.sleep("5 millis"))
        yield* TestClock.adjust("1 millis")
      }
      assert.isFalse(yield* Fiber.join(waiting))
      const pauses = asked.slice(1).map((at, i) => at - asked[i]!)
      // How much is left for the last one depends on how fast this machine is.
      assert.deepStrictEqual(pauses.slice(0, 7), [0, 1, 2, 4, 8, 16, 16])
    }))
})
