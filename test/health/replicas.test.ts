import { assert, describe, it } from "@effect/vitest"
import type { Role } from "effect-sql-router/Endpoint"
import { dispositionOf } from "effect-sql-router/internal/health/disposition"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { advance, cluster, dispositions } from "./cluster.js"

const roles: { readonly [name: string]: Role } = { primary: "primary", replica1: "replica", replica2: "replica" }
const always = (delay: `${number} seconds`) => ({ cooldown: Schedule.spaced(delay) })

describe("the breaker of a replica", () => {
  it.scoped("opens at once when the replica cannot be connected to", () =>
    Effect.gen(function*() {
      const { evictions, fail, health, tags } = yield* cluster(roles)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
      yield* fail("replica1", "refused")
      assert.deepStrictEqual(health.serving, ["replica2"])
      assert.deepStrictEqual(tags(), ["BreakerOpened"])
      assert.deepStrictEqual(evictions, ["replica1 opened"])
    }))

  it.scoped("opens at the third soft failure in a row, and a success in between starts the count anew", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles, { minSuccessRate: 0 })
      for (let i = 0; i < 5; i++) {
        yield* fail("replica1", "lost")
        yield* fail("replica1", "lost")
        yield* succeed("replica1")
      }
      assert.strictEqual(health.serving.length, 2)
      for (let i = 0; i < 3; i++) yield* fail("replica1", "lost")
      assert.deepStrictEqual(health.serving, ["replica2"])
    }))

  it.scoped("opens when less than four of five statements succeed, however they are mixed", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles)
      for (let i = 0; i < 3; i++) yield* succeed("replica1")
      yield* fail("replica1", "lost")
      assert.strictEqual(health.serving.length, 2)
      yield* succeed("replica1")
      yield* fail("replica1", "lost")
      assert.deepStrictEqual(health.serving, ["replica2"])
    }))

  it.scoped("forgets what is longer ago than the window", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles, { probeInterval: "1 hour" })
      for (let i = 0; i < 2; i++) {
        yield* fail("replica1", "lost")
        yield* succeed("replica1")
      }
      yield* advance(31_000)
      yield* fail("replica1", "lost")
      assert.strictEqual(health.serving.length, 2)
    }))

  it.scoped("judges a replica that is back by what it does since", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles, always("1 seconds"))
      for (let i = 0; i < 100; i++) yield* succeed("replica1")
      for (let i = 0; i < 20; i++) yield* fail("replica1", "refused")
      yield* advance(1000)
      for (let i = 0; i < 4; i++) yield* succeed("replica1")
      yield* fail("replica1", "lost")
      assert.strictEqual(health.serving.length, 2)
      yield* succeed("replica1")
      yield* fail("replica1", "lost")
      assert.deepStrictEqual(health.serving, ["replica2"])
    }))

  it.scoped("does not open for errors that are the statement's own", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster(roles)
      for (let i = 0; i < 20; i++) yield* fail("replica1", "syntax")
      for (let i = 0; i < 20; i++) yield* fail("replica1", "expired")
      assert.strictEqual(health.serving.length, 2)
      assert.strictEqual(health.snapshot[1]!.failures, 0)
    }))

  it.scoped("takes what the router failed itself for no sign, neither of life nor of trouble", () =>
    Effect.gen(function*() {
      const { health } = yield* cluster(roles)
      const exhausted = RoutingError.toSqlError(
        new RoutingError.AcquireTimeout({
          reason: "timeout",
          database: "main",
          endpoint: "replica1",
          waited: Duration.seconds(5),
          active: 10,
          max: 10,
          waiting: 3
        })
      )
      const disposition = dispositionOf({ disposition: () => dispositions.refused }, exhausted)
      assert.deepStrictEqual(
        [disposition.blame, disposition.outcome, disposition.readRetry],
        ["capacity", "notSent", "elsewhere"]
      )
      for (let i = 0; i < 10; i++) health.failure("replica1", disposition, exhausted, 0n)
      const { failures, state, successes } = health.snapshot[1]!
      assert.deepStrictEqual([failures, state, successes], [0, "closed", 0])
    }))

  it.scoped("stays open for its cooldown, and then closes by one probe and no statement", () =>
    Effect.gen(function*() {
      const { fail, health, probes, succeed, tags } = yield* cluster(roles, always("30 seconds"))
      yield* fail("replica1", "refused")
      probes.length = 0
      yield* advance(29_000)
      yield* succeed("replica1")
      assert.deepStrictEqual(health.serving, ["replica2"])
      assert.deepStrictEqual(probes.filter((probe) => probe.startsWith("replica1")), [])
      yield* advance(1000)
      assert.deepStrictEqual(probes.filter((probe) => probe.startsWith("replica1")), ["replica1@30000"])
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
      assert.deepStrictEqual(tags(), ["BreakerOpened", "TrialStarted", "BreakerClosed"])
    }))

  it.scoped("stays open, for the schedule's next delay, when the trial fails", () =>
    Effect.gen(function*() {
      const { fail, health, probes, servers } = yield* cluster(roles, { cooldown: Schedule.exponential("1 second") })
      servers.replica1!.state = "refused"
      yield* fail("replica1", "refused")
      probes.length = 0
      yield* advance(16_000)
      assert.deepStrictEqual(
        probes.filter((probe) => probe.startsWith("replica1")),
        ["replica1@1000", "replica1@3000", "replica1@7000", "replica1@15000"]
      )
      servers.replica1!.state = "replica"
      yield* advance(15_000)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
    }))

  it.scoped("waits from half of the delay to all of it by default, 1 second at first and 60 at most", () =>
    Effect.gen(function*() {
      const { events, fail, servers } = yield* cluster(roles, { probeInterval: "1 hour" })
      servers.replica1!.state = "refused"
      yield* fail("replica1", "refused")
      yield* advance(20 * 60_000)
      const cooldowns = events.flatMap((event) =>
        event._tag === "BreakerOpened" ? [Duration.toSeconds(event.cooldown)] : []
      )
      assert.isAbove(cooldowns.length, 15)
      cooldowns.forEach((seconds, i) => {
        const longest = Math.min(60, 2 ** i)
        assert.isAtLeast(seconds, longest / 2)
        assert.isAtMost(seconds, longest)
      })
      assert.isAbove(new Set(cooldowns.slice(7)).size, 5)
    }).pipe(Effect.withRandom(Random.make("seed"))))

  it.scoped("forgives one trip for each 30 seconds in service", () =>
    Effect.gen(function*() {
      const { events, fail, servers } = yield* cluster(roles, {
        cooldown: Schedule.exponential("1 second"),
        probeInterval: "1 hour"
      })
      const trips = () => events.flatMap((event) => event._tag === "BreakerOpened" ? [event.trips] : [])
      servers.replica1!.state = "refused"
      yield* fail("replica1", "refused")
      yield* advance(7000)
      assert.deepStrictEqual(trips(), [1, 2, 3, 4])
      servers.replica1!.state = "replica"
      yield* advance(8000)
      yield* advance(61_000)
      yield* fail("replica1", "refused")
      assert.strictEqual(trips().at(-1), 3)
      yield* advance(4000)
      yield* advance(10 * 60_000)
      yield* fail("replica1", "refused")
      assert.strictEqual(trips().at(-1), 1)
    }))

  it.scoped("waits 5 seconds at most for a server with too many connections, and 30 at least for a wrong password", () =>
    Effect.gen(function*() {
      const one = yield* cluster(roles, always("20 seconds"))
      yield* one.fail("replica1", "full")
      yield* one.fail("replica2", "password")
      const untils = one.health.snapshot.map(({ untilMillis }) => untilMillis)
      assert.deepStrictEqual(untils, [undefined, 5000, 30_000])
    }))

  it.scoped("sends one trial at a time, whatever a thousand reads do meanwhile", () =>
    Effect.gen(function*() {
      const { fail, health, probes, succeed } = yield* cluster(roles, {
        ...always("1 seconds"),
        probeTakes: 500
      })
      yield* advance(1000)
      yield* fail("replica1", "refused")
      probes.length = 0
      yield* advance(1100)
      assert.include(health.verdict("replica1").why, "on trial")
      yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, i) => i),
        (i) => i % 2 === 0 ? fail("replica1", "refused") : succeed("replica1"),
        { concurrency: "unbounded" }
      )
      yield* TestClock.adjust("300 millis")
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica1")).length, 1)
      assert.deepStrictEqual(health.serving, ["replica2"])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
    }))

  it.scoped("takes a trial that gets no answer for a failure, after the probe's timeout", () =>
    Effect.gen(function*() {
      const { fail, health, servers, tags } = yield* cluster(roles, always("2 seconds"))
      servers.replica1!.state = "blackHole"
      yield* fail("replica1", "refused")
      yield* advance(2500)
      assert.include(health.verdict("replica1").why, "on trial")
      yield* advance(600)
      assert.deepStrictEqual(tags(), ["BreakerOpened", "TrialStarted", "ProbeFailed", "BreakerOpened"])
    }))

  it.scoped("takes a question that the server refuses for a sign of life", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles, always("2 seconds"))
      servers.replica1!.state = "syntax"
      yield* fail("replica1", "refused")
      yield* advance(2000)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
    }))

  it.scoped("finds a replica that is gone by a probe, before any statement does", () =>
    Effect.gen(function*() {
      const { health, servers } = yield* cluster(roles)
      servers.replica2!.state = "refused"
      yield* advance(5000)
      assert.deepStrictEqual(health.serving, ["replica1"])
    }))

  it.scoped("puts probes off while statements succeed, but asks for the role all the same in the end", () =>
    Effect.gen(function*() {
      const { probes, succeed } = yield* cluster(roles)
      probes.length = 0
      for (let second = 0; second < 60; second++) {
        yield* succeed("replica1")
        yield* advance(1000)
      }
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica1")).length, 2)
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica2")).length, 12)
    }))

  it.scoped("probes nothing of a database with a single endpoint", () =>
    Effect.gen(function*() {
      const { probes } = yield* cluster({ primary: "primary" })
      yield* advance(60_000)
      assert.deepStrictEqual(probes, [])
    }))
})

describe("how many replicas may be out", () => {
  it.scoped("takes out no more than half of them on soft evidence, and all of them on hard", () =>
    Effect.gen(function*() {
      const { fail, health, tags } = yield* cluster({ ...roles, replica3: "replica", replica4: "replica" })
      for (const name of ["replica1", "replica2", "replica3", "replica4"]) {
        for (let i = 0; i < 3; i++) yield* fail(name, "lost")
      }
      assert.deepStrictEqual(health.serving, ["replica3", "replica4"])
      yield* fail("replica3", "lost")
      assert.strictEqual(tags().filter((tag) => tag === "EjectionWithheld").length, 2)
      yield* fail("replica3", "refused")
      yield* fail("replica4", "refused")
      assert.deepStrictEqual(health.serving, [])
      assert.strictEqual(tags().at(-1), "ReplicasExhausted")
    }))

  it.scoped("takes out the one that was spared as soon as there is room", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster(roles, always("1 seconds"))
      for (let i = 0; i < 3; i++) yield* fail("replica1", "lost")
      for (let i = 0; i < 3; i++) yield* fail("replica2", "lost")
      assert.deepStrictEqual(health.serving, ["replica2"])
      yield* advance(1000)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
      yield* fail("replica2", "lost")
      assert.deepStrictEqual(health.serving, ["replica1"])
    }))

  it.scoped("may take out the only one", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster({ primary: "primary", replica1: "replica" })
      for (let i = 0; i < 3; i++) yield* fail("replica1", "lost")
      assert.deepStrictEqual(health.serving, [])
    }))

  it.scoped("never counts soft evidence when maxEjected is 0", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster(roles, { maxEjected: 0 })
      for (let i = 0; i < 30; i++) yield* fail("replica1", "lost")
      assert.strictEqual(health.serving.length, 2)
    }))

  it.scoped("panics, where told so, into all that nobody took out by hand, the longest well first", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster({ ...roles, replica3: "replica" }, { whenNoneLeft: "panic" })
      yield* health.drain("replica3")
      yield* fail("replica2", "refused")
      yield* advance(10)
      yield* fail("replica1", "refused")
      assert.deepStrictEqual(health.serving, ["replica2", "replica1"])
      assert.isFalse(health.verdict("replica1").available)
    }))
})

describe("taking out by hand", () => {
  it.scoped("survives everything that happens until the release", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles, always("1 seconds"))
      yield* health.drain("replica1")
      assert.deepStrictEqual(health.serving, ["replica2"])
      yield* fail("replica1", "refused")
      yield* advance(1000)
      yield* succeed("replica1")
      assert.deepStrictEqual(health.excluded, [{ endpoint: "replica1", reason: "drained" }])
      yield* health.release("replica1")
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
    }))

  it.scoped("gives back to its breaker what is released before it is well", () =>
    Effect.gen(function*() {
      const { fail, health } = yield* cluster(roles, always("30 seconds"))
      yield* fail("replica1", "refused")
      yield* health.quarantine("replica1")
      yield* health.release("replica1")
      assert.deepStrictEqual(health.serving, ["replica2"])
      yield* advance(30_000)
      assert.strictEqual(health.serving.length, 2)
    }))

  it.scoped("probes what is drained, and not what is quarantined", () =>
    Effect.gen(function*() {
      const { evictions, health, probes } = yield* cluster(roles)
      yield* health.drain("replica1")
      yield* health.quarantine("replica2")
      probes.length = 0
      yield* advance(20_000)
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica1")).length, 4)
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica2")).length, 0)
      assert.deepStrictEqual(evictions, ["replica2 opened"])
      yield* health.release("replica2")
      yield* advance(5000)
      assert.strictEqual(probes.filter((probe) => probe.startsWith("replica2")).length, 1)
    }))

  it.scoped("fails for an endpoint that does not exist", () =>
    Effect.gen(function*() {
      const { health } = yield* cluster(roles)
      const error = yield* Effect.flip(health.drain("replica9"))
      assert.strictEqual(
        error.message,
        "Invalid configuration at drain(\"replica9\"): database \"main\" has no such endpoint"
      )
    }))
})

describe("what the planner sees", () => {
  it.scoped("is the same array until something changes, of which it is told", () =>
    Effect.gen(function*() {
      const { changes, fail, health, succeed } = yield* cluster(roles, always("1 seconds"))
      const { serving } = health
      const before = changes()
      for (let i = 0; i < 10; i++) yield* succeed("replica1")
      yield* fail("replica1", "lost")
      yield* advance(20_000)
      assert.strictEqual(health.serving, serving)
      assert.strictEqual(changes(), before)
      yield* fail("replica1", "refused")
      assert.isAbove(changes(), before)
      assert.notStrictEqual(health.serving, serving)
    }))

  it.scoped("tells why a replica does not serve, and until when", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-01-01T12:00:00Z"))
      const { fail, health } = yield* cluster({ ...roles, idle: "replica" }, {
        ...always("30 seconds"),
        weights: { idle: 0 }
      })
      yield* fail("replica1", "refused")
      assert.deepStrictEqual(health.excluded, [
        { endpoint: "replica1", reason: "open until 12:00:30 (refused)" },
        { endpoint: "idle", reason: "its weight is 0" }
      ])
      assert.deepStrictEqual(health.verdict("replica1"), {
        available: false,
        why: "open until 12:00:30 (refused)",
        untilMillis: Date.parse("2026-01-01T12:00:30Z")
      })
    }))

  it.scoped("counts what was seen", () =>
    Effect.gen(function*() {
      const { fail, health, succeed } = yield* cluster(roles)
      for (let i = 0; i < 3; i++) yield* succeed("replica1")
      yield* fail("replica1", "refused")
      const { failures, lastError, probes, role, state, successes } = health.snapshot[1]!
      assert.deepStrictEqual({ failures, lastError: lastError?.message, probes, role, state, successes }, {
        failures: 1,
        lastError: "refused",
        probes: { succeeded: 1, failed: 0 },
        role: "replica",
        state: "open",
        successes: 3
      })
    }))
})
