import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Either, FastCheck as fc, TestClock } from "effect"
import type { PhysicalConnection, ServerStatus } from "effect-sql-router/Driver"
import * as ReplicationLag from "effect-sql-router/ReplicationLag"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Lag from "../src/internal/lag.js"
import * as Clock from "../src/internal/lagClock.js"

describe("the primary's history", () => {
  const known = (millis: number): Clock.Behind => ({ _tag: "Known", millis })

  it("tells how long ago the primary was where a replica is", () => {
    const history = new Clock.PrimaryHistory(60_000, true)
    history.see(100n, 1000)
    history.see(200n, 2000)
    history.see(400n, 3000)
    assert.deepStrictEqual(history.behind(100n, 3000), known(2000))
    assert.deepStrictEqual(history.behind(150n, 3000), known(1500))
    assert.deepStrictEqual(history.behind(350n, 3500), known(750))
    assert.deepStrictEqual(history.behind(400n, 3500), known(0))
    assert.deepStrictEqual(history.behind(500n, 3500), known(0))
  })

  it("makes no lag of idleness", () => {
    const history = new Clock.PrimaryHistory(60_000, true)
    history.see(100n, 1000)
    history.see(100n, 601_000)
    assert.deepStrictEqual(history.behind(100n, 601_000), known(0))
    history.see(200n, 602_000)
    // The primary left 100 a second ago at most, though it had been there for ten minutes.
    assert.deepStrictEqual(history.behind(100n, 602_000), known(1000))
  })

  it("knows nothing before it has seen the primary, and only a bound of what was before", () => {
    const history = new Clock.PrimaryHistory(60_000, true)
    assert.deepStrictEqual(history.behind(1n, 0), { _tag: "Unknown" })
    history.see(100n, 1000)
    assert.deepStrictEqual(history.behind(99n, 8000), { _tag: "AtLeast", millis: 7000 })
  })

  it("keeps a bound of what is older than it remembers", () => {
    const history = new Clock.PrimaryHistory(10_000, true)
    for (let second = 0; second <= 100; second++) history.see(BigInt(second), second * 1000)
    const behind = history.behind(1n, 100_000)
    assert.strictEqual(behind._tag, "AtLeast")
    assert.isAtLeast((behind as { millis: number }).millis, 10_000)
    assert.deepStrictEqual(history.behind(95n, 100_000), known(5000))
  })

  it("begins anew where the primary goes back", () => {
    const history = new Clock.PrimaryHistory(60_000, true)
    history.see(100n, 1000)
    history.see(50n, 2000)
    assert.deepStrictEqual(history.behind(60n, 2000), known(0))
    assert.strictEqual(history.behind(40n, 3000)._tag, "AtLeast")
  })

  it("takes a counter to move when it is raised, and not on the way there", () => {
    const history = new Clock.PrimaryHistory(60_000, false)
    history.see(1n, 1000)
    history.see(2n, 2000)
    assert.deepStrictEqual(history.behind(1n, 2010), known(10))
  })

  it("is never less than the true lag by more than the pause between two sightings", () => {
    fc.assert(fc.property(
      fc.array(fc.nat(1000), { minLength: 20, maxLength: 50 }),
      fc.nat(19_000),
      (steps, replicaMillis) => {
        // The primary moves by a step each second; it is seen each second, half a second later.
        const at = (millis: number) => {
          let point = 0n
          for (let i = 0; i < steps.length && i * 1000 <= millis; i++) point += BigInt(steps[i]!)
          return point
        }
        const history = new Clock.PrimaryHistory(600_000, true)
        for (let millis = 500; millis <= 20_500; millis += 1000) history.see(at(millis), millis)
        const point = at(replicaMillis)
        // The last moment at which the primary had no more than the replica.
        let left = 20_500
        while (left > 0 && at(left) > point) left--
        const behind = history.behind(point, 20_500)
        if (behind._tag === "AtLeast") return 20_500 - left >= behind.millis
        return behind._tag === "Known" && behind.millis >= 20_500 - left - 1000 &&
          behind.millis <= 20_500 - left + 1000
      }
    ))
  })
})

describe("a replica's standing", () => {
  const after = (...lags: ReadonlyArray<number | "unknown">) =>
    lags.reduce<Clock.Standing>((standing, lag) =>
      Clock.judge(
        standing,
        lag === "unknown" ? { _tag: "Unknown" } : { _tag: "Known", millis: lag },
        10_000
      ), Clock.initialStanding)._tag

  it("is lost at the second measurement above the limit", () => {
    assert.strictEqual(after(10_001), "In")
    assert.strictEqual(after(10_001, 10_001), "Out")
    assert.strictEqual(after(10_001, 9000, 10_001), "In")
    assert.strictEqual(after(10_000, 10_000, 10_000), "In")
  })

  it("is regained below half of the limit", () => {
    assert.strictEqual(after(20_000, 20_000, 5000), "Out")
    assert.strictEqual(after(20_000, 20_000, 4999), "In")
  })

  it("stays what it was while the lag is unknown", () => {
    assert.strictEqual(after("unknown", "unknown", "unknown"), "In")
    assert.strictEqual(after(20_000, 20_000, "unknown"), "Out")
    assert.strictEqual(after(20_000, "unknown", 20_000), "Out")
  })

  it("is lost, but not regained, by a lag of which only a bound is known", () => {
    const bound = (millis: number): Clock.Behind => ({ _tag: "AtLeast", millis })
    const lost = [bound(11_000), bound(12_000)].reduce<Clock.Standing>((s, b) => Clock.judge(s, b, 10_000), {
      _tag: "In",
      exceeded: 0
    })
    assert.strictEqual(lost._tag, "Out")
    assert.strictEqual(Clock.judge(lost, bound(1), 10_000)._tag, "Out")
  })
})

const lsn = (bytes: number, epoch = "42/1") =>
  Either.getOrThrow(ReplicationPosition.pgLsn(epoch, `0/${bytes.toString(16)}`))

const failure = new SqlError({ cause: new Error("refused"), message: "refused" })

type Script = { [server: string]: ServerStatus | "down" | "hangs" }

const primaryAt = (bytes: number, epoch?: string): ServerStatus => ({
  role: "primary",
  position: lsn(bytes, epoch),
  replication: "none",
  generation: "1"
})

const replicaAt = (bytes: number, own: Partial<ServerStatus> = {}): ServerStatus => ({
  role: "replica",
  position: lsn(bytes),
  replication: "streaming",
  generation: "1",
  ...own
})

/** A monitor of servers that say what the script says, measuring each second. */
const monitor = (script: Script, options: ReplicationLag.ReplicationLagOptions = {}) =>
  Effect.gen(function*() {
    const events: Array<Lag.LagEvent> = []
    const lag = yield* Lag.make({
      servers: () =>
        Object.keys(script).map((name) => ({ name, role: name.startsWith("primary") ? "primary" : "replica" })),
      ask: (server, question) => {
        const status = script[server]
        if (status === "down") return Effect.fail(failure)
        if (status === "hangs") return Effect.never
        return question({ server } as unknown as PhysicalConnection)
      },
      status: (connection) =>
        Effect.sync(() => script[(connection as unknown as { server: string }).server] as ServerStatus),
      settings: Either.getOrThrow(Lag.settingsOf(options)),
      random: () => 0.5,
      publish: (event) => {
        if (event._tag !== "Measured") events.push(event)
      }
    })
    yield* TestClock.adjust("1 millis")
    return { ...lag, events, round: TestClock.adjust("1 seconds") }
  })

describe("the lag monitor", () => {
  it.scoped("measures bytes and time at once, and again at each interval", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(1000) }
      const { lag, round } = yield* monitor(script)
      assert.deepStrictEqual(lag("r1"), { millis: 0, bytes: 0n, age: 1 })
      script["primary"] = primaryAt(3000)
      script["r1"] = replicaAt(2000)
      yield* round
      assert.strictEqual(lag("r1")!.millis, 500)
      assert.strictEqual(lag("r1")!.bytes, 1000n)
      assert.isUndefined(lag("primary"))
    }))

  it.scoped("sees no lag on an idle system, however long it is", () =>
    Effect.gen(function*() {
      const { eligible, lag } = yield* monitor({ primary: primaryAt(1000), r1: replicaAt(1000) }, {
        interval: "1 minute"
      })
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(lag("r1")!.millis, 0)
      assert.isTrue(eligible("r1"))
    }))

  it.scoped("does not take for caught up who receives nothing", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(1000, { replication: "disconnected" }) }
      const { eligible, lag, round } = yield* monitor(script)
      assert.isUndefined(lag("r1")!.millis)
      assert.isTrue(eligible("r1"))
      script["primary"] = primaryAt(1100)
      for (let i = 0; i < 12; i++) yield* round
      assert.isAbove(lag("r1")!.millis!, 10_000)
      assert.isFalse(eligible("r1"))
    }))

  it.scoped("does not compare across histories", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000, "42/2"), r1: replicaAt(2000) }
      const { lag } = yield* monitor(script)
      assert.isUndefined(lag("r1")!.millis)
      assert.isUndefined(lag("r1")!.bytes)
    }))

  it.scoped("lets what was measured age while the primary does not answer, and excludes nobody for it", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(1000) }
      const { eligible, events, lag, round } = yield* monitor(script)
      script["primary"] = "down"
      for (let i = 0; i < 60; i++) yield* round
      assert.strictEqual(lag("r1")!.millis, 0)
      assert.isAtLeast(lag("r1")!.age, 60_000)
      assert.isTrue(eligible("r1"))
      assert.include(events.map(({ _tag }) => _tag), "ProbeFailed")
    }))

  it.scoped("takes a replica out and back, and says so once each", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(0), r1: replicaAt(0), r2: replicaAt(0) }
      const { eligible, events, round, serving } = yield* monitor(script)
      let bytes = 0
      const write = Effect.suspend(() => {
        bytes += 1000
        script["primary"] = primaryAt(bytes)
        script["r2"] = replicaAt(bytes)
        return round
      })
      for (let i = 0; i < 11; i++) yield* write
      assert.isTrue(eligible("r1"))
      for (let i = 0; i < 3; i++) yield* write
      assert.isFalse(eligible("r1"))
      assert.isFalse(serving("r1"))
      script["r1"] = replicaAt(bytes - 6000)
      yield* write
      assert.isFalse(eligible("r1"))
      script["r1"] = replicaAt(bytes - 2000)
      yield* write
      assert.isTrue(eligible("r1"))
      assert.deepStrictEqual(events.map((event) => `${event._tag} ${event.endpoint}`), ["Lagging r1", "CaughtUp r1"])
    }))

  it.scoped("keeps the least lagging of too few for reads that ask for no freshness", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(0), r1: replicaAt(0), r2: replicaAt(0) }
      const { eligible, round, serving } = yield* monitor(script, { minServing: 1 })
      for (let bytes = 1000; bytes <= 30_000; bytes += 1000) {
        script["primary"] = primaryAt(bytes)
        if (bytes <= 5000) script["r2"] = replicaAt(bytes)
        yield* round
      }
      assert.deepStrictEqual(["r1", "r2"].map(eligible), [false, false])
      assert.deepStrictEqual(["r1", "r2"].map(serving), [false, true])
    }))

  it.scoped("keeps nobody where it is told so", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(0), r1: replicaAt(0) }
      const { round, serving } = yield* monitor(script, { minServing: 0, maxLag: "1 seconds" })
      script["primary"] = primaryAt(1000)
      for (let i = 0; i < 5; i++) yield* round
      assert.isFalse(serving("r1"))
    }))

  it.scoped("gives one server's delay to nobody else", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(1000), r2: "hangs" }
      const { events, lag } = yield* monitor(script)
      assert.isUndefined(lag("r1"))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(lag("r1")!.millis, 0)
      assert.isUndefined(lag("r2"))
      const [event] = events
      assert.strictEqual(event!._tag, "ProbeFailed")
      assert.include(Cause.pretty((event as { cause: Cause.Cause<unknown> }).cause), "within 1s")
    }))

  it.scoped("knows positions, which only grow", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(900) }
      const { observe, position, round } = yield* monitor(script)
      assert.deepStrictEqual(position("r1"), lsn(900))
      observe("r1", lsn(950))
      assert.deepStrictEqual(position("r1"), lsn(950))
      observe("r1", lsn(800))
      yield* round
      assert.deepStrictEqual(position("r1"), lsn(950))
    }))

  it.scoped("forgets a position with the connection, on a restart, and when the server does not answer", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(900) }
      const { forget, position, round } = yield* monitor(script)
      forget("r1")
      assert.isUndefined(position("r1"))
      yield* round
      assert.deepStrictEqual(position("r1"), lsn(900))
      script["r1"] = replicaAt(700, { generation: "2" })
      yield* round
      assert.deepStrictEqual(position("r1"), lsn(700))
      script["r1"] = "down"
      yield* round
      assert.isUndefined(position("r1"))
    }))

  it.scoped("learns nothing from an answer that was on its way when the connection was lost", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(900) }
      const lag = yield* Lag.make({
        servers: () => [{ name: "r1", role: "replica" }],
        ask: (_, question) => Effect.delay(question({} as PhysicalConnection), "100 millis"),
        status: () => Effect.succeed(script["r1"] as ServerStatus),
        settings: ReplicationLag.defaults,
        random: () => 0.5,
        publish: () => {}
      })
      yield* TestClock.adjust("50 millis")
      lag.forget("r1")
      yield* TestClock.adjust("100 millis")
      assert.isUndefined(lag.position("r1"))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(lag.position("r1"), lsn(900))
    }))

  it.scoped("follows a server to a new timeline, and not back", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(900) }
      const { position, round } = yield* monitor(script)
      script["r1"] = replicaAt(0, { position: lsn(800, "42/2") })
      yield* round
      assert.deepStrictEqual(position("r1"), lsn(800, "42/2"))
      script["r1"] = replicaAt(2000)
      yield* round
      assert.deepStrictEqual(position("r1"), lsn(800, "42/2"))
    }))

  it.scoped("follows the configuration: servers come and go", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(1000), r1: replicaAt(1000) }
      const { lag, position, round } = yield* monitor(script)
      delete script["r1"]
      script["r2"] = replicaAt(1000)
      yield* round
      assert.isUndefined(lag("r1"))
      assert.isUndefined(position("r1"))
      assert.strictEqual(lag("r2")!.millis, 0)
    }))

  it.scoped("measures by a counter that it raises", () =>
    Effect.gen(function*() {
      const script: Script = { primary: primaryAt(0), r1: replicaAt(0) }
      let beat = 0n
      let seen: bigint | undefined
      const { lag, round } = yield* monitor(script, {
        probe: {
          _tag: "Counter",
          raise: () => Effect.sync(() => ++beat),
          read: () => Effect.sync(() => seen)
        }
      })
      assert.isUndefined(lag("r1")!.millis)
      seen = 1n
      yield* round
      assert.isBelow(lag("r1")!.millis!, 10)
      for (let i = 0; i < 5; i++) yield* round
      assert.strictEqual(lag("r1")!.millis, 5000)
      seen = beat + 1n
      yield* round
      assert.strictEqual(lag("r1")!.millis, 0)
    }))

  it.scoped("believes what a replica reports, without its primary", () =>
    Effect.gen(function*() {
      const script: Script = { primary: "down", r1: replicaAt(0) }
      let reported: Duration.DurationInput | undefined = "20 seconds"
      const { eligible, lag, round } = yield* monitor(script, {
        probe: ReplicationLag.reported(() => Effect.sync(() => reported))
      })
      yield* round
      assert.strictEqual(lag("r1")!.millis, 20_000)
      assert.isFalse(eligible("r1"))
      reported = undefined
      yield* round
      assert.isUndefined(lag("r1")!.millis)
      assert.isFalse(eligible("r1"))
    }))

  it.scoped("counts transactions where servers have GTIDs", () =>
    Effect.gen(function*() {
      const gtid = (text: string) => ({ position: Either.getOrThrow(ReplicationPosition.mariaGtid(text)) })
      const script: Script = {
        primary: { ...primaryAt(0), ...gtid("0-1-10,1-1-10") },
        r1: replicaAt(0, gtid("0-1-10,1-1-10"))
      }
      const { lag, round } = yield* monitor(script)
      assert.deepStrictEqual(lag("r1"), { millis: 0, bytes: undefined, age: 1 })
      script["primary"] = { ...primaryAt(0), ...gtid("0-1-14,1-1-10") }
      script["r1"] = replicaAt(0, gtid("0-1-12,1-1-10"))
      yield* round
      assert.strictEqual(lag("r1")!.millis, 500)
      // It has as many transactions as the primary, but one of them is its own.
      script["r1"] = replicaAt(0, gtid("0-1-12,1-1-10,2-9-2"))
      yield* round
      assert.isUndefined(lag("r1")!.millis)
    }))

  it.scoped("spreads its rounds by 10 % to either side", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      let next = 0
      yield* Lag.make({
        servers: () => [{ name: "primary", role: "primary" }],
        ask: (_, question) => question({} as PhysicalConnection),
        status: () =>
          Effect.map(Effect.clockWith((clock) => clock.currentTimeMillis), (now) => {
            at.push(now)
            return primaryAt(0)
          }),
        settings: ReplicationLag.defaults,
        random: () => [0, 1, 0.5][next++ % 3]!,
        publish: () => {}
      })
      for (let i = 0; i < 31; i++) yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(at, [0, 900, 2000, 3000])
    }))
})

describe("the settings", () => {
  it("come from the first that says something, else from the defaults", () => {
    const settings = Either.getOrThrow(
      Lag.settingsOf({ interval: "2 seconds" }, { interval: "3 seconds", maxLag: "1 minute" })
    )
    assert.strictEqual(Duration.toMillis(settings.interval), 2000)
    assert.strictEqual(Duration.toMillis(settings.maxLag), 60_000)
    assert.strictEqual(settings.minServing, ReplicationLag.defaults.minServing)
  })

  it("are refused where they make no sense, by name", () => {
    const problem = (options: ReplicationLag.ReplicationLagOptions) =>
      Either.getOrThrow(Either.flip(Lag.settingsOf(options))).message
    assert.include(problem({ interval: 0 }), "replicationLag.interval")
    assert.include(problem({ minServing: -1 }), "replicationLag.minServing")
    assert.include(problem({ maxLag: "soon" as "1 second" }), "replicationLag.maxLag")
  })
})
