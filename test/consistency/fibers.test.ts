import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as compat from "../../src/internal/compat.js"
import { demandOf, noteWrite, sessionForRead } from "../../src/internal/consistency/current.js"

const settings = ReadConsistency.settingsOf(ReadConsistency.make())
const pg = (lsn: string) => Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", lsn))

/** What a router does for a write that was committed at the position. */
const write = (lsn: string) =>
  compat.withFiber((fiber) => {
    noteWrite(fiber, "main", undefined, pg(lsn), settings)
    return Effect.void
  })

/** The position that a router would ask a replica for, or what else it would ask. */
const read = compat.withFiber((fiber) => {
  const demand = demandOf(fiber, "main", () => undefined, ReadConsistency.session, settings)
  return Effect.succeed(demand._tag === "Position" ? ReplicationPosition.format(demand.position) : demand._tag)
})

describe("with the Layer alone", () => {
  it.effect("a read asks for the fiber's own write", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* read, "None")
      yield* write("1/0")
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("a read asks for the write of a joined child", () =>
    Effect.gen(function*() {
      yield* Fiber.join(yield* Effect.fork(write("1/0")))
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("a joined child's write does not overwrite what came in between", () =>
    Effect.gen(function*() {
      const child = yield* Effect.fork(write("1/0"))
      yield* Effect.yieldNow()
      yield* write("5/0")
      yield* Fiber.join(child)
      assert.strictEqual(yield* read, "5/0")
    }))

  it.effect("a read asks for the last write of all the children of Effect.all", () =>
    Effect.gen(function*() {
      yield* Effect.all([write("3/0"), write("7/0"), write("5/0")], { concurrency: "unbounded" })
      assert.strictEqual(yield* read, "7/0")
    }))

  it.effect("the winner of a race counts", () =>
    Effect.gen(function*() {
      yield* Effect.race(Effect.zipRight(write("1/0"), Effect.void), Effect.never)
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("a timeout that did not run out counts", () =>
    Effect.gen(function*() {
      yield* Effect.timeout(write("1/0"), "1 second")
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("children forked later ask for it, joined or not", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      assert.strictEqual(yield* Fiber.join(yield* Effect.forkDaemon(read)), "1/0")
      assert.deepStrictEqual(yield* Effect.all([read, read], { concurrency: 2 }), ["1/0", "1/0"])
    }))

  it.effect("a child's write is not its parent's, nor its siblings', before it is joined", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      const wrote = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const child = yield* Effect.fork(
        write("9/0").pipe(Effect.zipRight(Deferred.succeed(wrote, void 0)), Effect.zipRight(Deferred.await(end)))
      )
      yield* Deferred.await(wrote)
      assert.strictEqual(yield* read, "1/0")
      assert.strictEqual(yield* Fiber.join(yield* Effect.forkDaemon(read)), "1/0")
      yield* Deferred.succeed(end, void 0)
      yield* Fiber.join(child)
      assert.strictEqual(yield* read, "9/0")
    }))

  it.effect("what was written at the start does not tie together the fibers of a Runtime", () =>
    Effect.gen(function*() {
      const startup = Layer.scopedDiscard(write("1/0"))
      const runtime = ManagedRuntime.make(startup)
      yield* Effect.promise(() => runtime.runPromise(write("9/0")))
      assert.strictEqual(yield* Effect.promise(() => runtime.runPromise(read)), "1/0")
      yield* runtime.disposeEffect
    }))

  it.effect("a Runtime taken after a write hands it on, and no more", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      const runtime = yield* Effect.runtime()
      yield* Effect.promise(() => Runtime.runPromise(runtime)(write("9/0")))
      assert.strictEqual(yield* Effect.promise(() => Runtime.runPromise(runtime)(read)), "1/0")
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("two fibers that no session joins never see each other", () =>
    Effect.gen(function*() {
      const one = yield* Effect.forkDaemon(Effect.zipRight(write("1/0"), Effect.never))
      yield* Effect.yieldNow()
      assert.strictEqual(yield* Fiber.join(yield* Effect.forkDaemon(read)), "None")
      assert.strictEqual(yield* read, "None")
      yield* Fiber.interrupt(one)
    }))

  it.effect("reads are noted in a session of one's own only", () =>
    Effect.gen(function*() {
      const noted = compat.withFiber((fiber) => Effect.succeed(sessionForRead(fiber)))
      assert.isUndefined(yield* noted)
      yield* write("1/0")
      assert.isDefined(yield* noted)
      assert.isUndefined(yield* Fiber.join(yield* Effect.forkDaemon(noted)))
    }))
})

describe("in a session", () => {
  const session = (name: string, body: Effect.Effect<void>) =>
    it.effect(
      name,
      () => Effect.zipRight(ReadConsistency.scoped(body), Effect.map(read, (_) => assert.strictEqual(_, "None")))
    )

  session(
    "a sibling of Effect.all asks for the write at once",
    Effect.gen(function*() {
      const wrote = yield* Deferred.make<void>()
      const [, sibling] = yield* Effect.all([
        Effect.zipRight(write("1/0"), Deferred.succeed(wrote, void 0)),
        Effect.zipRight(Deferred.await(wrote), read)
      ], { concurrency: "unbounded" })
      assert.strictEqual(sibling, "1/0")
    })
  )

  session(
    "a read after a concurrent Effect.all that failed asks for the write",
    Effect.gen(function*() {
      yield* Effect.ignore(Effect.all([write("1/0"), Effect.fail("no")], { concurrency: "unbounded" }))
      assert.strictEqual(yield* read, "1/0")
    })
  )

  session(
    "a read after a child was awaited, not joined, asks for the write",
    Effect.gen(function*() {
      yield* Fiber.await(yield* Effect.fork(Effect.zipRight(write("1/0"), Effect.die("no"))))
      assert.strictEqual(yield* read, "1/0")
    })
  )

  session(
    "a read asks for the write of the loser of a race",
    Effect.gen(function*() {
      const wrote = yield* Deferred.make<void>()
      yield* Effect.race(
        write("1/0").pipe(Effect.zipRight(Deferred.succeed(wrote, void 0)), Effect.zipRight(Effect.never)),
        Deferred.await(wrote)
      )
      assert.strictEqual(yield* read, "1/0")
    })
  )

  session(
    "a read asks for the write of a concurrent stream",
    Effect.gen(function*() {
      yield* Stream.runDrain(
        Stream.mapEffect(Stream.make("1/0", "3/0", "2/0"), write, { concurrency: 3, unordered: true })
      )
      assert.strictEqual(yield* read, "3/0")
    })
  )

  session(
    "a read asks for the write that a Promise ran on the Runtime",
    Effect.gen(function*() {
      const runtime = yield* Effect.runtime()
      yield* Effect.promise(() => Runtime.runPromise(runtime)(write("1/0")))
      assert.strictEqual(yield* read, "1/0")
      assert.strictEqual(yield* Effect.promise(() => Runtime.runPromise(runtime)(read)), "1/0")
    })
  )

  session(
    "a daemon's write counts",
    Effect.gen(function*() {
      yield* Fiber.await(yield* Effect.forkDaemon(write("1/0")))
      assert.strictEqual(yield* read, "1/0")
    })
  )

  it.effect("another session's fiber is not concerned, nor one in no session", () =>
    Effect.gen(function*() {
      const wrote = yield* Deferred.make<void>()
      const [, second, none] = yield* Effect.all([
        ReadConsistency.scoped(Effect.zipRight(write("1/0"), Deferred.succeed(wrote, void 0))),
        ReadConsistency.scoped(Effect.zipRight(Deferred.await(wrote), read)),
        Effect.zipRight(Deferred.await(wrote), read)
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([second, none], ["None", "None"])
      assert.strictEqual(yield* read, "None")
    }))

  it.effect("each run of one effect has a session of its own", () =>
    Effect.gen(function*() {
      const once = ReadConsistency.scoped(Effect.zipLeft(read, write("1/0")))
      assert.deepStrictEqual([yield* once, yield* once], ["None", "None"])
    }))

  it.effect("it begins with what the fiber wrote before", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      assert.strictEqual(yield* ReadConsistency.scoped(read), "1/0")
    }))

  it.effect("the session around it has seen at its end what it has, even if it failed", () =>
    ReadConsistency.scoped(Effect.gen(function*() {
      yield* Effect.ignore(ReadConsistency.scoped(Effect.zipRight(write("1/0"), Effect.fail("no"))))
      assert.strictEqual(yield* read, "1/0")
    })))

  it.effect("a fiber from elsewhere that is joined in it adds to it, and does not take its place", () =>
    Effect.gen(function*() {
      const other = yield* Effect.fork(ReadConsistency.scoped(write("9/0")))
      const plain = yield* Effect.fork(write("5/0"))
      yield* ReadConsistency.scoped(Effect.gen(function*() {
        const before = yield* compat.withFiber((fiber) => Effect.succeed(sessionForRead(fiber)))
        yield* write("1/0")
        yield* Fiber.join(plain)
        yield* Fiber.join(other)
        assert.strictEqual(yield* read, "5/0")
        assert.strictEqual(yield* compat.withFiber((fiber) => Effect.succeed(sessionForRead(fiber))), before)
      }))
    }))

  it.effect("isolated work sees nothing of it and leaves nothing in it", () =>
    ReadConsistency.scoped(Effect.gen(function*() {
      yield* write("1/0")
      assert.strictEqual(yield* ReadConsistency.isolated(Effect.zipLeft(read, write("9/0"))), "None")
      assert.strictEqual(yield* read, "1/0")
    })))
})

describe("settings of an effect", () => {
  it.effect("a level holds for the effect and its children, and no longer", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      const twice = Effect.all([read, read], { concurrency: 2 })
      assert.deepStrictEqual(
        yield* ReadConsistency.withLevel(twice, ReadConsistency.eventual),
        ["None", "None"]
      )
      assert.strictEqual(yield* read.pipe(ReadConsistency.withLevel(ReadConsistency.strict)), "Primary")
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("the levels that ask for something ask for it also of a fiber that wrote nothing", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ReadConsistency.withLevel(read, ReadConsistency.strict), "Primary")
      assert.strictEqual(
        yield* ReadConsistency.withLevel(read, ReadConsistency.boundedStaleness("1 second")),
        "Staleness"
      )
    }))

  it.effect("ignored writes leave the session as it is", () =>
    Effect.gen(function*() {
      yield* ReadConsistency.ignoreWrites(write("1/0"))
      assert.strictEqual(yield* read, "None")
      yield* write("1/0")
      yield* ReadConsistency.ignoreWrites(write("2/0"))
      assert.strictEqual(yield* read, "1/0")
    }))

  it.effect("what was forgotten is not asked for, in any fiber of the session", () =>
    ReadConsistency.scoped(Effect.gen(function*() {
      yield* write("1/0")
      yield* Effect.fork(ReadConsistency.forget).pipe(Effect.flatMap(Fiber.await))
      assert.strictEqual(yield* read, "None")
    })))

  it.effect("a child in no session forgets for itself alone", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      const child = yield* Effect.fork(Effect.zipRight(ReadConsistency.forget, read))
      assert.strictEqual(yield* Fiber.join(child), "None")
      assert.strictEqual(yield* read, "1/0")
    }))
})

describe("tokens", () => {
  const token = ConsistencyToken.make("main", { position: pg("5/0"), at: 0 })

  it.effect("the current one is what the session has seen, while it counts", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ReadConsistency.currentToken, ConsistencyToken.empty)
      yield* write("5/0")
      assert.isTrue(ConsistencyToken.equals(yield* ReadConsistency.currentToken, token))
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* ReadConsistency.currentToken, ConsistencyToken.empty)
    }))

  it.effect("one that is given holds for the effect, whose session ends with it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ReadConsistency.withToken(read, token), "5/0")
      assert.strictEqual(yield* read, "None")
    }))

  it.effect("one that is given adds to the session that is open", () =>
    ReadConsistency.scoped(Effect.gen(function*() {
      yield* write("1/0")
      yield* ReadConsistency.withToken(write("2/0"), token)
      assert.strictEqual(yield* read, "5/0")
    })))

  it.effect("one goes to a job as text and comes back", () =>
    Effect.gen(function*() {
      yield* write("5/0")
      const text = yield* ReadConsistency.currentTokenEncoded
      const job = yield* Effect.forkDaemon(ReadConsistency.isolated(ReadConsistency.withEncodedToken(read, text)))
      assert.strictEqual(yield* Fiber.join(job), "5/0")
      assert.strictEqual(yield* ReadConsistency.isolated(ReadConsistency.withEncodedToken(read, "?")), "None")
    }))
})
