import { assert, describe, it } from "@effect/vitest"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import * as Context from "effect/Context"
import * as FiberRef from "effect/FiberRef"

/** A Layer's options, as far as names go: rules may name its Databases only. */
const layer = <
  const Databases extends Readonly<Record<string, unknown>>,
  Name extends Extract<keyof Databases, string> = never
>(options: {
  readonly databases: Databases
  readonly rules?: RoutingRules.RoutingRules<Name> | undefined
}): ReadonlyArray<string> => Object.keys(options.databases)

type Equal<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false
const isTrue = <A extends true>(value?: A): void => assert.isUndefined(value)
/** The names that rules use. */
type Names<Rules> = Rules extends RoutingRules.RoutingRules<infer Database> ? Database : never

class Tenant extends Context.Reference<Tenant>()("Tenant", { defaultValue: () => 0 }) {}

const { byContext, byField, insert, make, read } = RoutingRules

describe("the type of rules", () => {
  it("is the union of the Database names in them", () => {
    const rules = make([
      insert("orders", Target.database("archive")),
      read(Target.mirrored(Target.database("main"), { percent: 5, to: Target.database("next") })),
      read("users", Target.endpoint("replica1", { database: "users" })),
      RoutingRules.rule(RoutingRules.always, Target.primary)
    ], { otherwise: Target.database("rest") })
    isTrue<Equal<Names<typeof rules>, "archive" | "main" | "next" | "users" | "rest">>()
    const none = make([read(Target.replica), insert(Target.deny("no")), read(Target.endpoint("replica1"))])
    isTrue<Equal<Names<typeof none>, never>>()
    const shards = [Target.database("shard0"), Target.database("shard1")] as const
    const chosen = make([
      byField("tenant_id", (tenant) => shards[RoutingRules.bucket(tenant, 2)], { targets: shards }),
      byContext(Tenant, (tenant) => shards[tenant % 2], { targets: shards, otherwise: Target.database("other") })
    ])
    isTrue<Equal<Names<typeof chosen>, "shard0" | "shard1" | "other">>()
  })

  it("lets a Layer refuse a name that it does not know", () => {
    const databases = { main: 1, archive: 2 }
    assert.deepStrictEqual(layer({ databases }), ["main", "archive"])
    layer({ databases, rules: make([]) })
    layer({ databases, rules: make([insert("a", Target.database("archive")), read(Target.replica)]) })
    // @ts-expect-error: there is no Database "archiv"
    layer({ databases, rules: make([insert("a", Target.database("archiv"))]) })
    // @ts-expect-error: nor "other"
    layer({ databases, rules: make([read(Target.endpoint("x", { database: "other" }))]) })
    // @ts-expect-error: nor "rest"
    layer({ databases, rules: make([], { otherwise: Target.database("rest") }) })
    const targets = [Target.database("main"), Target.database("shard1")]
    // @ts-expect-error: nor "shard1"
    layer({ databases, rules: make([byField("k", () => targets[0], { targets })]) })
  })

  it("lets a choice give only what it declares", () => {
    const targets = [Target.database("main")] as const
    byField("k", () => Target.database("main"), { targets })
    // @ts-expect-error: "archive" is not declared
    byField("k", () => Target.database("archive"), { targets })
  })

  it("knows what a context predicate is given", () => {
    RoutingRules.context(Tenant, (tenant) => tenant.toFixed() === "1")
    RoutingRules.context(FiberRef.unsafeMake("eu"), (region) => region.length === 2)
    // @ts-expect-error: a tenant is a number
    RoutingRules.context(Tenant, (tenant) => tenant.length === 2)
  })
})
