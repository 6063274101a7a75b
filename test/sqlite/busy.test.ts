import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import { codeOf } from "../../src/internal/sqlite/dispositions.js"
import { connect, lockedByAnotherProcess, makeFile } from "./support.js"

const insert = "INSERT INTO t (name) VALUES ('two')"

/** The longest time that timers were kept waiting while the effect ran, in milliseconds. */
const longestStall = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let last = performance.now()
    let longest = 0
    const timer = setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }, 1)
    return Effect.ensuring(effect, Effect.sync(() => clearInterval(timer))).pipe(Effect.map(() => longest))
  })

describe("a lock that another process holds", () => {
  for (const statement of [insert, "BEGIN IMMEDIATE"]) {
    it.scopedLive(`is waited for by ${statement.split(" ", 2).join(" ")}, while timers keep firing`, () =>
      Effect.gen(function*() {
        const filename = yield* makeFile()
        const connection = yield* connect(filename)
        const other = yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
        const fiber = yield* Effect.fork(connection.execute(statement, [], undefined))
        // SQLite's own waiting would show in each window; a busy machine need not.
        const stalls = yield* Effect.replicateEffect(longestStall(Effect.sleep("200 millis")), 5)
        assert.isNull(fiber.unsafePoll())
        yield* other.letGo
        yield* Fiber.join(fiber)
        assert.isBelow(Math.min(...stalls), 50)
      }))
  }

  it.scopedLive("is waited for inside a transaction, which goes on", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const connection = yield* connect(filename)
      const other = yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
      yield* connection.execute("BEGIN", [], undefined)
      const fiber = yield* Effect.fork(connection.execute(insert, [], undefined))
      yield* Effect.sleep("30 millis")
      yield* other.letGo
      yield* Fiber.join(fiber)
      assert.isTrue(connection.inTransaction())
      yield* connection.execute("COMMIT", [], undefined)
    }))

  it.scopedLive("is waited for by reads, streams and the opening of a file", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const [a, b] = [yield* connect(filename), yield* connect(filename)]
      const other = yield* lockedByAnotherProcess(filename, "BEGIN EXCLUSIVE")
      const fibers = yield* Effect.all([
        Effect.fork(Effect.asVoid(a.execute("SELECT * FROM t", [], undefined))),
        Effect.fork(Stream.runDrain(b.executeStream("SELECT * FROM t", [], undefined))),
        Effect.fork(Effect.asVoid(Effect.scoped(connect(filename, { wal: true }))))
      ])
      yield* Effect.sleep("30 millis")
      for (const fiber of fibers) assert.isNull(fiber.unsafePoll())
      yield* other.letGo
      for (const fiber of fibers) yield* Fiber.join(fiber)
    }))

  it.scoped("is waited for up to busyTimeout", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename, {}, { busyTimeout: Duration.seconds(2) })
      yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
      const fiber = yield* Effect.fork(Effect.flip(connection.execute(insert, [], undefined)))
      yield* TestClock.adjust("1900 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(codeOf((yield* Fiber.join(fiber)).cause), "SQLITE_BUSY")
    }))

  for (const busyTimeout of [Duration.zero, Duration.infinity]) {
    it.scoped(
      `is ${Duration.isFinite(busyTimeout) ? "not waited for" : "waited for without end"} with a busyTimeout of ${
        Duration.format(busyTimeout)
      }`,
      () =>
        Effect.gen(function*() {
          const filename = yield* makeFile()
          const connection = yield* connect(filename, {}, { busyTimeout })
          yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
          const fiber = yield* Effect.fork(Effect.exit(connection.execute(insert, [], undefined)))
          yield* TestClock.adjust("30 seconds")
          assert.strictEqual(fiber.unsafePoll() === null, !Duration.isFinite(busyTimeout))
          yield* Fiber.interrupt(fiber)
        })
    )
  }

  it.scoped("is asked for after 5, 10, 20, 40, 80 ms, then every 100 ms", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename, {}, { busyTimeout: Duration.seconds(2) })
      const other = yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
      const fiber = yield* Effect.fork(connection.execute(insert, [], undefined))
      yield* TestClock.adjust(155 + 100 + 99)
      yield* other.letGo
      yield* Effect.yieldNow()
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
    }))

  it.scoped("can be given up: waiting is interruptible, and leaves the connection as it was", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const connection = yield* connect(filename)
      const other = yield* lockedByAnotherProcess(filename, "BEGIN IMMEDIATE")
      const fiber = yield* Effect.fork(connection.execute(insert, [], undefined))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* other.letGo
      assert.isTrue(connection.isUsable())
      yield* connection.execute(insert, [], undefined)
      assert.deepStrictEqual(yield* connection.executeValues("SELECT COUNT(*) FROM t", []), [[2]])
    }))
})

describe("SQLITE_BUSY_SNAPSHOT", () => {
  it.scoped("surfaces at once inside a transaction: only beginning anew can help", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile()
      const [a, b] = [yield* connect(filename), yield* connect(filename)]
      yield* a.execute("BEGIN", [], undefined)
      yield* a.execute("SELECT * FROM t", [], undefined)
      yield* b.execute(insert, [], undefined)
      const error = yield* Effect.flip(a.execute(insert, [], undefined))
      assert.strictEqual(codeOf(error.cause), "SQLITE_BUSY_SNAPSHOT")
      assert.isTrue(a.inTransaction())
    }))
})

describe("a lock that another connection of the same process holds", () => {
  it.scopedLive("is waited for by COMMIT, which a reader of a rollback-journal file delays", () =>
    Effect.gen(function*() {
      const filename = yield* makeFile({ wal: false })
      const [writer, reader] = [yield* connect(filename), yield* connect(filename, { readonly: true })]
      yield* reader.execute("BEGIN", [], undefined)
      yield* reader.execute("SELECT * FROM t", [], undefined)
      yield* writer.execute("BEGIN IMMEDIATE", [], undefined)
      yield* writer.execute(insert, [], undefined)
      const commit = yield* Effect.fork(writer.execute("COMMIT", [], undefined))
      yield* Effect.sleep("20 millis")
      assert.isNull(commit.unsafePoll())
      yield* reader.execute("COMMIT", [], undefined)
      yield* Fiber.join(commit)
      assert.deepStrictEqual(yield* reader.executeValues("SELECT COUNT(*) FROM t", []), [[2]])
    }))
})
