import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import type { Role } from "effect-sql-router/Endpoint"
import type { Health } from "effect-sql-router/internal/health/health"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { advance, cluster } from "./cluster.js"

const roles: { readonly [name: string]: Role } = { primary: "primary", replica1: "replica", replica2: "replica" }

const tagOf = (error: SqlError | undefined): string | undefined =>
  error === undefined
    ? undefined
    : Option.match(RoutingError.from(error), { onNone: () => error.message, onSome: (_) => _._tag })

/** Rounds are 100 ms apart, and one began when the health was made. */
const refresh = (health: Health): Effect.Effect<void> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(health.refreshRoles)
    yield* advance(100)
    yield* Fiber.join(fiber)
  })

describe("the primary", () => {
  it.scoped("is never closed: it fails at once for 250 ms with what it failed with, and is tried again", () =>
    Effect.gen(function*() {
      const { fail, health, refusal, servers } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      assert.strictEqual(tagOf(yield* refusal), "refused")
      assert.include(health.verdict("primary").why, "cannot be connected to (refused)")
      yield* advance(249)
      assert.strictEqual(tagOf(yield* refusal), "refused")
      yield* advance(1)
      assert.isUndefined(yield* refusal)
      assert.strictEqual(health.primary, "primary")
    }))

  it.scoped("is tried on when it has too many connections, and when one of them was ended", () =>
    Effect.gen(function*() {
      const { fail, refusal } = yield* cluster(roles)
      yield* fail("primary", "full")
      yield* fail("primary", "shutdown")
      for (let i = 0; i < 10; i++) yield* fail("primary", "lost")
      assert.isUndefined(yield* refusal)
    }))

  it.scoped("is back with the first statement that succeeds, and with the first probe", () =>
    Effect.gen(function*() {
      const { fail, refusal, servers, succeed, tags } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      yield* succeed("primary")
      assert.isUndefined(yield* refusal)
      yield* fail("primary", "refused")
      servers.primary!.state = "primary"
      yield* advance(100)
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(tags(), ["PrimaryLost", "PrimaryRestored", "PrimaryLost", "PrimaryRestored"])
    }))

  it.scoped("is found to be gone by a probe, without a statement", () =>
    Effect.gen(function*() {
      const { servers, tags } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* advance(5000)
      assert.include(tags(), "PrimaryLost")
    }))

  it.scoped("does not keep replicas from serving reads while it is gone", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      yield* advance(20_000)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
    }))
})

describe("a failover", () => {
  it.scoped("is followed at the first refusal, and the old primary serves reads", () =>
    Effect.gen(function*() {
      const { events, evictions, health, refusal, servers } = yield* cluster(roles)
      servers.primary!.state = "replica"
      servers.replica1!.state = "primary"
      yield* refresh(health)
      assert.strictEqual(health.primary, "replica1")
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(health.serving, ["primary", "replica2"])
      assert.deepStrictEqual(evictions, ["primary is replica", "replica1 is primary"])
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["RoleChanged", "RoleChanged", "PrimaryChanged"])
    }))

  it.scoped("is followed when the old primary is gone", () =>
    Effect.gen(function*() {
      const { fail, health, refusal, servers } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      yield* advance(3000)
      servers.replica2!.state = "primary"
      yield* advance(200)
      assert.strictEqual(health.primary, "replica2")
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(health.serving, ["replica1"])
    }))

  it.scoped("is followed within the probe interval when no statement fails", () =>
    Effect.gen(function*() {
      const { health, servers } = yield* cluster(roles)
      servers.primary!.state = "replica"
      servers.replica1!.state = "primary"
      yield* advance(5100)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("brings a replica into the primary's place whose breaker is open", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles, { cooldown: Schedule.spaced("1 hour") })
      yield* fail("replica1", "refused")
      servers.primary!.state = "replica"
      servers.replica1!.state = "primary"
      yield* refresh(health)
      assert.deepStrictEqual(health.verdict("replica1"), {
        available: true,
        why: "it is the primary",
        untilMillis: undefined
      })
      assert.strictEqual(health.snapshot.find(({ endpoint }) => endpoint === "replica1")?.state, "closed")
    }))

  it.scoped("asks every 100 ms for failoverTimeout, and then at the probe interval", () =>
    Effect.gen(function*() {
      const { health, probes, servers } = yield* cluster(roles, { failoverTimeout: "2 seconds" })
      servers.primary!.state = "replica"
      probes.length = 0
      yield* Effect.fork(health.refreshRoles)
      yield* advance(2000)
      assert.approximately(probes.filter((probe) => probe.startsWith("primary")).length, 20, 2)
      probes.length = 0
      yield* advance(10_000)
      assert.isAtMost(probes.filter((probe) => probe.startsWith("primary")).length, 10)
      servers.replica1!.state = "primary"
      yield* advance(5200)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("is followed at the probe interval after failoverTimeout, though all breakers are open", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles, {
        cooldown: Schedule.spaced("1 hour"),
        failoverTimeout: "2 seconds"
      })
      servers.primary!.state = "replica"
      yield* refresh(health)
      for (const [name, server] of Object.entries(servers)) {
        server.state = "refused"
        yield* fail(name, "refused")
      }
      yield* advance(60_000)
      servers.replica1!.state = "primary"
      yield* advance(5200)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("refuses writes with NoPrimary until somebody takes them", () =>
    Effect.gen(function*() {
      const { health, refusal, servers, tags } = yield* cluster(roles)
      servers.primary!.state = "replica"
      yield* refresh(health)
      assert.strictEqual(tagOf(yield* refusal), "NoPrimary")
      assert.deepStrictEqual(health.serving, ["primary", "replica1", "replica2"])
      servers.primary!.state = "primary"
      yield* advance(100)
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(tags().filter((tag) => tag.startsWith("Primary")), ["PrimaryLost", "PrimaryRestored"])
    }))

  it.scoped("asks once for a thousand statements that ask together", () =>
    Effect.gen(function*() {
      const { health, probes } = yield* cluster(roles, { probeTakes: 50 })
      yield* advance(1000)
      probes.length = 0
      const fiber = yield* Effect.fork(
        Effect.all(Array.from({ length: 1000 }, () => health.refreshRoles), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("150 millis")
      yield* Fiber.join(fiber)
      assert.strictEqual(probes.length, 3)
    }))

  it.scoped("answers a refusal with a round that began after it", () =>
    Effect.gen(function*() {
      const { health, servers } = yield* cluster(roles, { probeTakes: 50 })
      yield* advance(1000)
      const first = yield* Effect.fork(health.refreshRoles)
      yield* TestClock.adjust("10 millis")
      const second = yield* Effect.fork(health.refreshRoles)
      yield* TestClock.adjust("45 millis")
      assert.isTrue(Option.isSome(yield* Fiber.poll(first)))
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      servers.primary!.state = "replica"
      servers.replica1!.state = "primary"
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(second)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("chooses among several that may be the primary the one that is", () =>
    Effect.gen(function*() {
      const { health, tags } = yield* cluster({ a: "primary", b: "primary", c: "primary" }, {
        starting: { a: "replica", c: "refused" }
      })
      assert.strictEqual(health.primary, "b")
      assert.deepStrictEqual(health.serving, ["a"])
      assert.deepStrictEqual(tags(), ["PrimaryChanged", "ReplicasRestored"])
    }))

  it.scoped("leaves a replica that always took writes where it is configured", () =>
    Effect.gen(function*() {
      const { fail, health, refusal, servers } = yield* cluster(roles, { starting: { replica1: "primary" } })
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(health.serving, ["replica1", "replica2"])
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      yield* advance(20_000)
      assert.strictEqual(health.primary, "primary")
    }))

  it.scoped("takes the writes from a quarantined primary that never answered", () =>
    Effect.gen(function*() {
      const { health, refusal } = yield* cluster(roles, { starting: { primary: "refused" } })
      assert.isUndefined(yield* refusal)
      yield* health.quarantine("primary")
      assert.strictEqual(tagOf(yield* refusal), "NoPrimary")
    }))

  it.scoped("takes the writes from a primary that is quarantined", () =>
    Effect.gen(function*() {
      const { health, refusal, servers } = yield* cluster(roles)
      yield* health.quarantine("primary")
      assert.strictEqual(tagOf(yield* refusal), "NoPrimary")
      servers.replica1!.state = "primary"
      yield* advance(200)
      assert.strictEqual(health.primary, "replica1")
      yield* health.release("primary")
      yield* advance(10_000)
      assert.strictEqual(health.primary, "replica1")
      assert.isUndefined(yield* refusal)
    }))
})

describe("two that take writes", () => {
  const split = Effect.gen(function*() {
    const made = yield* cluster(roles)
    made.servers.replica1!.state = "primary"
    yield* advance(5100)
    return made
  })

  it.scoped("are not chosen between: writes fail with SplitBrain, and reads go on", () =>
    Effect.gen(function*() {
      const { health, refusal, tags } = yield* split
      assert.include(health.verdict("replica1").why, "claims to be the primary")
      const error = yield* refusal
      assert.strictEqual(tagOf(error), "SplitBrain")
      assert.include(error?.message, "primary, replica1")
      assert.deepStrictEqual(health.serving, ["replica2"])
      assert.deepStrictEqual(tags().filter((tag) => tag === "SplitBrainDetected").length, 1)
    }))

  it.scoped("are resolved when the old one steps down", () =>
    Effect.gen(function*() {
      const { health, refusal, servers } = yield* split
      servers.primary!.state = "replica"
      yield* advance(200)
      assert.strictEqual(health.primary, "replica1")
      assert.isUndefined(yield* refusal)
      assert.deepStrictEqual(health.serving, ["primary", "replica2"])
    }))

  it.scoped("are resolved when the new one steps down", () =>
    Effect.gen(function*() {
      const { health, refusal, servers } = yield* split
      servers.replica1!.state = "replica"
      yield* advance(200)
      assert.strictEqual(health.primary, "primary")
      assert.isUndefined(yield* refusal)
    }))

  it.scoped("are resolved by quarantine of either", () =>
    Effect.gen(function*() {
      const { health, refusal } = yield* split
      yield* health.quarantine("primary")
      yield* advance(200)
      assert.strictEqual(health.primary, "replica1")
      assert.isUndefined(yield* refusal)
    }))

  it.scoped("are not resolved by the promoted one falling silent: it may be writing unseen", () =>
    Effect.gen(function*() {
      const { refusal, servers } = yield* split
      servers.replica1!.state = "blackHole"
      yield* advance(20_000)
      assert.strictEqual(tagOf(yield* refusal), "SplitBrain")
    }))

  it.scoped("are not resolved by both falling silent", () =>
    Effect.gen(function*() {
      const { refusal, servers } = yield* split
      servers.primary!.state = "refused"
      servers.replica1!.state = "refused"
      yield* advance(6000)
      assert.strictEqual(tagOf(yield* refusal), "SplitBrain")
    }))

  it.scoped("are resolved by the old one falling silent", () =>
    Effect.gen(function*() {
      const { health, servers } = yield* split
      servers.primary!.state = "refused"
      yield* advance(6000)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("are none when a primary that was replaced comes back writable: it has missed what happened since", () =>
    Effect.gen(function*() {
      const { fail, health, refusal, servers } = yield* cluster(roles)
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      servers.replica1!.state = "primary"
      yield* advance(200)
      servers.primary!.state = "primary"
      yield* advance(70_000)
      assert.isUndefined(yield* refusal)
      assert.strictEqual(health.primary, "replica1")
      assert.include(
        health.excluded.find(({ endpoint }) => endpoint === "primary")?.reason,
        "accepts writes, but is not the primary"
      )
      servers.replica1!.state = "refused"
      yield* fail("replica1", "refused")
      yield* advance(20_000)
      assert.strictEqual(health.primary, "replica1")
      servers.primary!.state = "replica"
      yield* advance(70_000)
      assert.deepStrictEqual(health.serving, ["primary", "replica2"])
    }))

  it.scoped("are not resolved by one falling silent that claimed no later than the other", () =>
    Effect.gen(function*() {
      const { refusal, servers } = yield* cluster({ a: "primary", b: "primary" })
      servers.b!.state = "refused"
      yield* advance(6000)
      assert.strictEqual(tagOf(yield* refusal), "SplitBrain")
    }))

  it.scoped("are found when the Layer is built", () =>
    Effect.gen(function*() {
      const { refusal } = yield* cluster({ a: "primary", b: "primary" })
      assert.strictEqual(tagOf(yield* refusal), "SplitBrain")
    }))
})

describe("waiting for a primary", () => {
  it.scoped("ends when one takes writes", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles, { awaitPrimary: "10 seconds" })
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      const fiber = yield* Effect.fork(health.awaitPrimary)
      yield* advance(3000)
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      servers.replica1!.state = "primary"
      yield* advance(200)
      yield* Fiber.join(fiber)
      assert.strictEqual(health.primary, "replica1")
    }))

  it.scoped("ends when a statement on the primary succeeds, before any probe does", () =>
    Effect.gen(function*() {
      const { fail, health, servers, succeed } = yield* cluster(roles, { awaitPrimary: "10 seconds" })
      servers.primary!.state = "blackHole"
      yield* fail("primary", "refused")
      const fiber = yield* Effect.fork(health.awaitPrimary)
      yield* advance(100)
      yield* succeed("primary")
      yield* Fiber.join(fiber)
    }))

  it.scoped("ends when the only endpoint is back", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster({ primary: "primary" }, { awaitPrimary: "10 seconds" })
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      const fiber = yield* Effect.fork(health.awaitPrimary)
      yield* advance(3000)
      servers.primary!.state = "primary"
      yield* advance(200)
      yield* Fiber.join(fiber)
    }))

  it.scoped("fails with the reason when its time is over", () =>
    Effect.gen(function*() {
      const { fail, health, servers } = yield* cluster(roles, { awaitPrimary: "1 second" })
      servers.primary!.state = "refused"
      yield* fail("primary", "refused")
      const unreachable = yield* Effect.fork(Effect.flip(health.awaitPrimary))
      yield* advance(1000)
      assert.strictEqual(tagOf(yield* Fiber.join(unreachable)), "refused")
      servers.primary!.state = "replica"
      yield* advance(200)
      const none = yield* Effect.fork(Effect.flip(health.awaitPrimary))
      yield* advance(1000)
      assert.strictEqual(tagOf(yield* Fiber.join(none)), "NoPrimary")
    }))

  it.scoped("is not done by default", () =>
    Effect.gen(function*() {
      const { health, servers } = yield* cluster(roles)
      servers.primary!.state = "replica"
      yield* refresh(health)
      const fiber = yield* Effect.fork(Effect.flip(health.awaitPrimary))
      yield* advance(0)
      assert.strictEqual(tagOf(yield* Fiber.join(fiber)), "NoPrimary")
    }))

  it.scoped("leaves nothing behind when it is interrupted", () =>
    Effect.gen(function*() {
      const { health, refusal, servers } = yield* cluster(roles, { awaitPrimary: "10 seconds" })
      servers.primary!.state = "replica"
      yield* refresh(health)
      const fiber = yield* Effect.fork(health.awaitPrimary)
      yield* advance(10)
      yield* Fiber.interrupt(fiber)
      servers.primary!.state = "primary"
      yield* advance(200)
      assert.isUndefined(yield* refusal)
    }))
})
