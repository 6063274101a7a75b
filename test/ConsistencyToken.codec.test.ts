import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as fc from "fast-check"
import { boundOf } from "../src/internal/consistency/marks.js"
import * as wire from "../src/internal/consistency/wire.js"
import * as arbitrary from "./consistency/arbitraries.js"

const { equals, make, merge } = ConsistencyToken
const pg = (lsn: string) => Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", lsn))
const wrote = make("main", { position: pg("16/B374D848"), at: 0 })
const oldKey = Redacted.make("the key of last month")
const newKey = Redacted.make("the key of this month")

const codecOf = (...keys: ReadonlyArray<Redacted.Redacted>) => ConsistencyToken.makeCodec({ keys })
const reasonOf = (codec: ConsistencyToken.TokenCodec, text: string) =>
  Effect.map(Effect.flip(codec.decode(text)), ({ reason }) => reason)

const unbounded = { ahead: 0, maxAge: 1e9, maxLength: 1e6 }
const now = 200_000

describe("the bytes of a token", () => {
  it("give back the token", () => {
    fc.assert(
      fc.property(arbitrary.tokenOfDatabases, (token) => {
        fc.pre(!ConsistencyToken.isEmpty(token))
        const read = wire.decode(wire.encode(token.marks, unbounded), { ahead: 0, maxAge: 1e9, now })
        assert.isTrue(typeof read !== "string" && equals({ marks: read }, token))
      }),
      { numRuns: 1000 }
    )
  })

  it("say of all tables what was said of one", () => {
    fc.assert(fc.property(arbitrary.token, (token) => {
      fc.pre(!ConsistencyToken.isEmpty(token))
      const read = wire.decode(wire.encode(token.marks, unbounded), { ahead: 0, maxAge: 1e9, now })
      if (typeof read === "string") return assert.fail(read)
      for (const [database, mark] of token.marks) {
        const strongest = boundOf(mark, undefined)
        const all = read.get(database)!.all
        assert.strictEqual(all.until, strongest.until)
        assert.deepStrictEqual(
          all.position && ReplicationPosition.format(all.position),
          strongest.position
            && ReplicationPosition.format(strongest.position)
        )
      }
    }))
  })

  it("are never read as something else when cut short", () => {
    fc.assert(fc.property(arbitrary.tokenOfDatabases, fc.nat(), (token, cut) => {
      fc.pre(!ConsistencyToken.isEmpty(token))
      const text = wire.encode(token.marks, unbounded)
      const read = wire.decode(text.slice(0, cut % text.length), { ahead: 0, maxAge: 1e9, now })
      // A token of several marks may be cut between two of them: then the rest is a token.
      if (typeof read !== "string") { for (const [name] of read) assert.isTrue(token.marks.has(name)) }
    }))
  })

  it("round times up, so that a mark never ends early", () => {
    const token = make("main", { until: 5001, at: 1001 })
    const read = wire.decode(wire.encode(token.marks, unbounded), { ahead: 0, maxAge: 1e9, now })
    assert.isTrue(typeof read !== "string" && equals({ marks: read }, make("main", { until: 6000, at: 2000 })))
  })
})

describe("a codec", () => {
  it.effect("needs 35 characters for a PostgreSQL Database, and 58 with a signature", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* (yield* codecOf()).encode(wrote)).length, 35)
      assert.strictEqual((yield* (yield* codecOf(newKey)).encode(wrote)).length, 58)
    }))

  it.effect("writes what a cookie and a header can carry as it is", () =>
    Effect.gen(function*() {
      assert.match(yield* (yield* codecOf(newKey)).encode(wrote), /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)
    }))

  it.effect("writes nothing for the empty token, and reads it back", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf(newKey)
      assert.strictEqual(yield* codec.encode(ConsistencyToken.empty), "")
      assert.strictEqual(yield* codec.decode(""), ConsistencyToken.empty)
    }))

  it.effect("gives back what it wrote", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf(newKey)
      assert.isTrue(equals(yield* codec.decode(yield* codec.encode(wrote)), wrote))
    }))

  it.effect("verifies with the old key, and signs with the new one", () =>
    Effect.gen(function*() {
      const before = yield* codecOf(oldKey)
      const between = yield* codecOf(newKey, oldKey)
      const after = yield* codecOf(newKey)
      assert.isTrue(equals(yield* between.decode(yield* before.encode(wrote)), wrote))
      assert.isTrue(equals(yield* after.decode(yield* between.encode(wrote)), wrote))
      assert.strictEqual(yield* reasonOf(after, yield* before.encode(wrote)), "badSignature")
    }))

  it.effect("takes no changed character for its own", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf(newKey)
      const text = yield* codec.encode(wrote)
      for (let i = 0; i < text.length - 1; i++) {
        const changed = `${text.slice(0, i)}${text[i] === "A" ? "B" : "A"}${text.slice(i + 1)}`
        assert.include(["badSignature", "unsigned"], yield* reasonOf(codec, changed))
      }
    }))

  it.effect("tells why it ignores a text", () =>
    Effect.gen(function*() {
      const signed = yield* codecOf(newKey)
      const unsigned = yield* codecOf()
      const text = yield* unsigned.encode(wrote)
      assert.strictEqual(yield* reasonOf(signed, text), "unsigned")
      assert.strictEqual(yield* reasonOf(unsigned, "not base64 at all!"), "malformed")
      assert.strictEqual(yield* reasonOf(unsigned, text.slice(0, -4)), "malformed")
      assert.strictEqual(yield* reasonOf(unsigned, "AgA"), "unsupportedVersion")
      assert.strictEqual(yield* reasonOf(unsigned, "A".repeat(1025)), "tooLong")
    }))

  it.effect("reads a signed text without a key of its own", () =>
    Effect.gen(function*() {
      const text = yield* (yield* codecOf(newKey)).encode(wrote)
      assert.isTrue(equals(yield* (yield* codecOf()).decode(text), wrote))
    }))

  it.effect("breaks no request by any text, and counts each that it ignores", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf(newKey)
      const counter = Metric.tagged(ConsistencyToken.ignoredTotal, "reason", "badSignature")
      const before = (yield* Metric.value(counter)).count
      assert.strictEqual(yield* codec.decodeOrEmpty("AAAA.AAAA"), ConsistencyToken.empty)
      assert.strictEqual((yield* Metric.value(counter)).count, before + 1)
      for (const text of fc.sample(fc.string({ unit: "binary", maxLength: 2000 }), { numRuns: 300, seed: 7 })) {
        yield* codec.decodeOrEmpty(text)
        yield* (yield* codecOf()).decodeOrEmpty(text)
      }
    }))

  it.effect("lets a mark count for its age, not longer", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf()
      const text = yield* codec.encode(wrote)
      yield* TestClock.adjust("59 seconds")
      assert.isTrue(equals(yield* codec.decode(text), wrote))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* codec.decode(text), ConsistencyToken.empty)
      assert.strictEqual(yield* codec.encode(wrote), "")
    }))

  it.effect("lets nobody's clock make a mark, or its window, last longer than its age", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf()
      const text = yield* codec.encode(make("main", { position: pg("1/0"), until: 1e9, at: 1e9 }))
      const mark = (yield* codec.decode(text)).marks.get("main")!
      assert.strictEqual(mark.at, 0)
      assert.strictEqual(mark.all.until, 60_000)
    }))

  it.effect("gives a session without an end an end when it leaves the process", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf()
      const text = yield* codec.encode(make("main", { until: Number.POSITIVE_INFINITY, at: 0 }))
      assert.strictEqual((yield* codec.decode(text)).marks.get("main")!.all.until, 60_000)
    }))

  it.effect("makes a window of the oldest marks when the text would be too long", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("10 seconds")
      const codec = yield* ConsistencyToken.makeCodec({ keys: [newKey], maxLength: 150 })
      const token = [1000, 2000, 3000, 4000].reduce(
        (token, at) => merge(token, make(`shard${at / 1000}`, { position: pg("16/B374D848"), at })),
        ConsistencyToken.empty
      )
      const text = yield* codec.encode(token)
      assert.isAtMost(text.length, 150)
      const { marks } = yield* codec.decode(text)
      assert.deepStrictEqual(
        Array.from(marks, ([name, { all }]) => [name, all.position === undefined ? all.until : "position"]),
        [["shard4", "position"], ["shard3", "position"], ["shard2", 62_000], ["shard1", 61_000]]
      )
    }))

  it.effect("holds the primary of every Database when even windows are too many", () =>
    Effect.gen(function*() {
      const codec = yield* ConsistencyToken.makeCodec({ maxLength: 128 })
      const token = Array.from({ length: 50 }, (_, i) => make(`shard${i}`, { position: pg("1/0"), at: 0 }))
        .reduce(merge)
      const { marks } = yield* codec.decode(yield* codec.encode(token))
      assert.deepStrictEqual(
        Array.from(marks, ([name, { all }]) => [name, all.until]),
        [[ConsistencyToken.everyDatabase, 60_000]]
      )
    }))

  it.effect("goes by the time of day between processes, whatever their monotonic clocks say", () =>
    Effect.gen(function*() {
      const codec = yield* codecOf()
      const clock = yield* TestClock.testClock()
      // A machine that slept: its monotonic clock is an hour behind the time of day.
      const slept = Effect.withClock({
        ...clock,
        unsafeCurrentTimeMillis: () => 3_600_000,
        unsafeCurrentTimeNanos: () => 0n
      })
      const awake = Effect.withClock({
        ...clock,
        unsafeCurrentTimeMillis: () => 3_605_000,
        unsafeCurrentTimeNanos: () => 3_605_000_000_000n
      })
      const text = yield* slept(codec.encode(wrote))
      assert.strictEqual((yield* awake(codec.decode(text))).marks.get("main")!.at, 3_600_000)
      assert.strictEqual((yield* slept(codec.decode(text))).marks.get("main")!.at, 0)
    }))

  it.effect("refuses a short key and a short length", () =>
    Effect.gen(function*() {
      const weak = yield* Effect.flip(codecOf(newKey, Redacted.make("short")))
      assert.strictEqual(weak.message, "Invalid configuration at keys[1]: a key needs at least 16 characters")
      const small = yield* Effect.flip(ConsistencyToken.makeCodec({ maxLength: 20 }))
      assert.strictEqual(small.message, "Invalid configuration at maxLength: 20 is below 128 characters")
    }))

  it.effect("is a schema for a job's payload, which never fails to decode", () =>
    Effect.gen(function*() {
      const Job = Schema.Struct({ order: Schema.Number, seen: ConsistencyToken.schema(yield* codecOf(newKey)) })
      const payload = yield* Schema.encode(Job)({ order: 7, seen: wrote })
      assert.strictEqual(typeof payload.seen, "string")
      assert.isTrue(equals((yield* Schema.decodeUnknown(Job)(payload)).seen, wrote))
      const tampered = { ...payload, seen: `A${payload.seen}` }
      assert.deepStrictEqual(yield* Schema.decodeUnknown(Job)(tampered), { order: 7, seen: ConsistencyToken.empty })
    }))
})
