import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import * as Context from "effect/Context"
import * as FiberRef from "effect/FiberRef"
import { type Equal, isTrue } from "./assert.js"

/** The names that rules use. */
type Names<Rules> = Rules extends RoutingRules.RoutingRules<infer Database> ? Database : never

class Tenant extends Context.Reference<Tenant>()("Tenant", { defaultValue: () => 0 }) {}

const { byContext, byField, insert, make, read } = RoutingRules

// The type of rules is the union of the names of Databases in them.
const named = make([
  insert("orders", Target.database("archive")),
  read(Target.mirrored(Target.database("main"), { percent: 5, to: Target.database("next") })),
  read("users", Target.endpoint("replica1", { database: "users" })),
  RoutingRules.rule(RoutingRules.always, Target.primary)
], { otherwise: Target.database("rest") })
isTrue<Equal<Names<typeof named>, "archive" | "main" | "next" | "users" | "rest">>()
const none = make([read(Target.replica), insert(Target.deny("no")), read(Target.endpoint("replica1"))])
isTrue<Equal<Names<typeof none>, never>>()
const shards = [Target.database("shard0"), Target.database("shard1")] as const
const chosen = make([
  byField("tenant_id", (tenant) => shards[RoutingRules.bucket(tenant, 2)], { targets: shards }),
  byContext(Tenant, (tenant) => shards[tenant % 2], { targets: shards, otherwise: Target.database("other") })
])
isTrue<Equal<Names<typeof chosen>, "shard0" | "shard1" | "other">>()

// A choice gives only what it declares.
const onlyMain = [Target.database("main")] as const
byField("k", () => Target.database("main"), { targets: onlyMain })
// @ts-expect-error: "archive" is not declared
byField("k", () => Target.database("archive"), { targets: onlyMain })

// A predicate on a context is given what is there.
RoutingRules.context(Tenant, (tenant) => tenant.toFixed() === "1")
RoutingRules.context(FiberRef.unsafeMake("eu"), (region) => region.length === 2)
// @ts-expect-error: a tenant is a number
RoutingRules.context(Tenant, (tenant) => tenant.length === 2)

// A layer's rules name the Databases of its options,
const to = <Name extends string>(name: Name) => make([insert("t", Target.database(name))])
const primary = { host: "p" }
const databases = { archive: { primary: { host: "a" } }, europe: { primary: { host: "e" } } }
RoutedPgClient.layer({ primary, databases, rules: to("archive") })
RoutedMysqlClient.layer({ primary, databases, rules: to("europe") })
RoutedSqliteClient.layer({
  primary: { filename: "a" },
  databases: { archive: { primary: { filename: "b" } } },
  rules: to("archive")
})
RoutedPgClient.make({ primary, databases, rules: to("archive") })
RoutedPgClient.layer({ primary, rules: make([read(Target.replica)]) })
RoutedPgClient.layer({ primary, rules: make([]) })

// or the default one, which is called main unless it has another name,
RoutedPgClient.layer({ primary, databases, rules: to("main") })
RoutedPgClient.layer({ primary, rules: to("main") })
RoutedPgClient.layer({ name: "shop", primary, databases, rules: to("shop") })
// @ts-expect-error: it is called "shop"
RoutedPgClient.layer({ name: "shop", primary, databases, rules: to("main") })

// and no other.
// @ts-expect-error: there is no "archiv"
RoutedPgClient.layer({ primary, databases, rules: to("archiv") })
// @ts-expect-error: nor any but "main"
RoutedPgClient.make({ primary, rules: to("archive") })
// @ts-expect-error: nor here
RoutedMysqlClient.layer({ primary, databases, rules: to("archiv") })
// @ts-expect-error: nor here
RoutedSqliteClient.make({ primary: { filename: "a" }, rules: to("archive") })
// @ts-expect-error: nor where nothing matches
RoutedPgClient.layer({ primary, databases, rules: make([], { otherwise: Target.database("rest") }) })
RoutedPgClient.layer({
  primary,
  databases,
  // @ts-expect-error: of two rules, one
  rules: make([insert(Target.database("archive")), read(Target.endpoint("x", { database: "other" }))])
})
const targets = [Target.database("main"), Target.database("shard1")]
// @ts-expect-error: nor "shard1" of a choice
RoutedPgClient.layer({ primary, databases, rules: make([byField("k", () => targets[0], { targets })]) })

// Where the compiler does not know their names, any are accepted: the Layer checks them when it is built.
const options: RouterOptions = { rules: to("archive") }
RoutedPgClient.layer({ primary, ...options })
const config: RoutedPgClient.RoutedPgClientConfig = { primary, databases, rules: to("anything") }
RoutedPgClient.layer(config)

// A file does not fail over.
// @ts-expect-error: one primary
RoutedSqliteClient.layer({ primary: [{ filename: "a" }, { filename: "b" }] })
