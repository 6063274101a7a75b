import { assert, describe, it } from "@effect/vitest"
import type { Role } from "effect-sql-router/Endpoint"
import * as Breaker from "effect-sql-router/internal/health/breaker"
import * as Effect from "effect/Effect"
import * as TestContext from "effect/TestContext"
import * as fc from "fast-check"
import type { Fault } from "./cluster.js"
import { advance, cluster, fault } from "./cluster.js"

const second = 1_000_000_000n

const limits: Breaker.Limits = {
  softFailures: 3,
  healthyAfter: 30n * second,
  cooldown: (trips) => BigInt(trips) * second
}

const failure = (evidence: "soft" | "hard", now: bigint, mayEject = true, tooFewSucceed = false): Breaker.Failure => ({
  evidence,
  error: fault("lost"),
  now,
  mayEject,
  tooFewSucceed
})

type Step =
  | { readonly _tag: "success" | "wait" | "recover" | "drain" | "quarantine" | "release" }
  | { readonly _tag: "soft" | "hard" | "relapse"; readonly mayEject: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ _tag: fc.constantFrom("success" as const, "wait" as const, "recover" as const) }),
  fc.record({ _tag: fc.constantFrom("drain" as const, "quarantine" as const, "release" as const) }),
  fc.record({ _tag: fc.constantFrom("soft" as const, "hard" as const, "relapse" as const), mayEject: fc.boolean() })
)

const apply = (self: Breaker.Breaker, step: Step, now: bigint): Breaker.Breaker => {
  switch (step._tag) {
    case "success":
      return Breaker.succeeded(self)
    case "wait":
      return Breaker.expired(self, now)
    case "recover":
      return Breaker.recovered(self, now)
    case "relapse":
      return Breaker.relapsed(self, failure("hard", now), limits)
    case "drain":
      return Breaker.hold(self, "Drained")
    case "quarantine":
      return Breaker.hold(self, "Quarantined")
    case "release":
      return Breaker.released(self)
    case "soft":
    case "hard":
      return Breaker.failed(self, failure(step._tag, now, step.mayEject), limits)
  }
}

/** What may lead from one state to another. */
const reasons: { readonly [fromTo: string]: ReadonlyArray<Step["_tag"]> } = {
  "Closed Open": ["soft", "hard"],
  "Open Trial": ["wait"],
  "Trial Closed": ["recover"],
  "Trial Open": ["relapse"]
}

const steps = fc.array(fc.record({ step, pause: fc.integer({ min: 0, max: 40 }) }), { maxLength: 60 })

const walk = (
  taken: ReadonlyArray<{ readonly step: Step; readonly pause: number }>,
  check: (before: Breaker.Breaker, after: Breaker.Breaker, step: Step, now: bigint) => void
) => {
  let now = 0n
  let state: Breaker.Breaker = Breaker.initial
  for (const { pause, step } of taken) {
    now += BigInt(pause) * second
    const after = apply(state, step, now)
    check(state, after, step, now)
    state = after
  }
}

describe("the breaker", () => {
  it("changes its state for no other reason than those of the diagram", () => {
    fc.assert(fc.property(steps, (taken) =>
      walk(taken, (before, after, step) => {
        const from = Breaker.automatic(before)._tag
        const to = Breaker.automatic(after)._tag
        if (from !== to) assert.include(reasons[`${from} ${to}`] ?? [], step._tag)
      })))
  })

  it("is held until it is released, and by nothing else", () => {
    fc.assert(fc.property(steps, (taken) =>
      walk(taken, (before, after, step) => {
        if (Breaker.isHeld(before) && step._tag !== "release") assert.isTrue(Breaker.isHeld(after))
        if (!Breaker.isHeld(before) && step._tag !== "drain" && step._tag !== "quarantine") {
          assert.isFalse(Breaker.isHeld(after))
        }
      })))
  })

  it("does not let a trial begin before its cooldown is over", () => {
    fc.assert(fc.property(steps, (taken) =>
      walk(taken, (before, after, _, now) => {
        const from = Breaker.automatic(before)
        if (from._tag === "Open" && Breaker.automatic(after)._tag === "Trial") assert.isTrue(now >= from.until)
      })))
  })

  it("never shortens or prolongs a cooldown by what happens in it", () => {
    fc.assert(fc.property(steps, (taken) =>
      walk(taken, (before, after) => {
        const from = Breaker.automatic(before)
        const to = Breaker.automatic(after)
        if (from._tag === "Open" && to._tag === "Open") assert.strictEqual(to, from)
      })))
  })

  it("stays the same object while nothing changes", () => {
    const held = Breaker.hold(Breaker.initial, "Drained")
    for (const state of [Breaker.initial, held]) {
      assert.strictEqual(Breaker.succeeded(state), state)
      assert.strictEqual(Breaker.expired(state, 1n), state)
      assert.strictEqual(Breaker.recovered(state, 1n), state)
    }
  })

  it("never opens on soft evidence that may not eject", () => {
    fc.assert(fc.property(fc.array(fc.boolean(), { maxLength: 30 }), (rates) => {
      let state: Breaker.Breaker = Breaker.initial
      for (const low of rates) state = Breaker.failed(state, failure("soft", 0n, false, low), limits)
      assert.strictEqual(state._tag, "Closed")
    }))
  })
})

describe("health, whatever happens", () => {
  const roles: { readonly [name: string]: Role } = {
    primary: "primary",
    replica1: "replica",
    replica2: "replica",
    replica3: "replica"
  }
  const faults: ReadonlyArray<Fault> = ["refused", "lost", "full", "syntax", "readOnly"]
  const what = fc.oneof(
    fc.record({
      name: fc.constantFrom(...Object.keys(roles)),
      do: fc.constantFrom("succeed", "drain", "quarantine", "release", ...faults)
    }),
    fc.record({
      name: fc.constantFrom(...Object.keys(roles)),
      do: fc.constantFrom("refuses", "is replica", "is primary")
    }),
    fc.record({ name: fc.constant(""), do: fc.constantFrom("100", "1000", "6000") })
  )

  it.effect("keeps the promises of what the planner sees", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(what, { maxLength: 25 }), (taken) =>
          Effect.runPromise(
            Effect.scoped(Effect.gen(function*() {
              const made = yield* cluster(roles)
              const { health, servers } = made
              let { primary, serving } = health
              let changes = made.changes()
              for (const { do: deed, name } of taken) {
                if (name === "") yield* advance(Number(deed))
                else if (deed === "succeed") yield* made.succeed(name)
                else if (deed === "drain" || deed === "quarantine" || deed === "release") yield* health[deed](name)
                else if (deed === "refuses") servers[name]!.state = "refused"
                else if (deed === "is replica") servers[name]!.state = "replica"
                else if (deed === "is primary") servers[name]!.state = "primary"
                else yield* made.fail(name, deed as Fault)

                if (health.serving !== serving || health.primary !== primary) assert.isAbove(made.changes(), changes)
                ;({ primary, serving } = health)
                changes = made.changes()
                const refused = yield* made.refusal
                for (const { available, endpoint, role, state } of health.snapshot) {
                  const isServing = serving.includes(endpoint)
                  if (role === "replica") {
                    assert.strictEqual(isServing, available)
                    if (state !== "closed") assert.isFalse(isServing)
                    assert.strictEqual(health.excluded.some((_) => _.endpoint === endpoint), !isServing)
                  } else {
                    assert.isFalse(isServing)
                    assert.strictEqual(endpoint, primary)
                    if (state === "quarantined") assert.isDefined(refused)
                  }
                }
              }
            })).pipe(Effect.provide(TestContext.TestContext))
          )),
        { numRuns: 25 }
      )
    ), 60_000)
})
