import { assert, describe, it } from "@effect/vitest"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RouterOptions } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"

const to = <Name extends string>(name: Name) => RoutingRules.make([RoutingRules.insert("t", Target.database(name))])

const primary = { host: "p" }
const databases = { archive: { primary: { host: "a" } }, europe: { primary: { host: "e" } } }

// Layers are built by nobody here: what is tested is what compiles.
describe("rules in the options of a layer", () => {
  it("may name the Databases of these options", () => {
    RoutedPgClient.layer({ primary, databases, rules: to("archive") })
    RoutedMysqlClient.layer({ primary, databases, rules: to("europe") })
    RoutedSqliteClient.layer({
      primary: { filename: "a" },
      databases: { archive: { primary: { filename: "b" } } },
      rules: to("archive")
    })
    RoutedPgClient.make({ primary, databases, rules: to("archive") })
    RoutedPgClient.layer({ primary, rules: RoutingRules.make([RoutingRules.read(Target.replica)]) })
    assert.isDefined(databases)
  })

  it("may name the default Database, which is called main unless it has another name", () => {
    RoutedPgClient.layer({ primary, databases, rules: to("main") })
    RoutedPgClient.layer({ primary, rules: to("main") })
    RoutedPgClient.layer({ name: "shop", primary, databases, rules: to("shop") })
    // @ts-expect-error: it is called "shop"
    RoutedPgClient.layer({ name: "shop", primary, databases, rules: to("main") })
  })

  it("may name no other", () => {
    // @ts-expect-error: there is no "archiv"
    RoutedPgClient.layer({ primary, databases, rules: to("archiv") })
    // @ts-expect-error: nor any but "main"
    RoutedPgClient.make({ primary, rules: to("archive") })
    // @ts-expect-error: nor here
    RoutedMysqlClient.layer({ primary, databases, rules: to("archiv") })
    // @ts-expect-error: nor here
    RoutedSqliteClient.make({ primary: { filename: "a" }, rules: to("archive") })
    RoutedPgClient.layer({
      primary,
      databases,
      // @ts-expect-error: of two rules, one
      rules: RoutingRules.make([
        RoutingRules.insert(Target.database("archive")),
        RoutingRules.read(Target.endpoint("x", { database: "other" }))
      ])
    })
  })

  it("are accepted where the compiler does not know their names", () => {
    const options: RouterOptions = { rules: to("archive") }
    RoutedPgClient.layer({ primary, ...options })
    const config: RoutedPgClient.RoutedPgClientConfig = { primary, databases, rules: to("anything") }
    RoutedPgClient.layer(config)
  })

  it("leave the other options as strict as they were", () => {
    // @ts-expect-error: a Database needs a primary
    RoutedPgClient.layer({ primary, databases: { archive: { replicas: {} } } })
    // @ts-expect-error: there is no such option
    RoutedPgClient.layer({ primary, replica: {} })
    // @ts-expect-error: of several primaries there is at least one
    RoutedPgClient.layer({ primary: [] })
    // @ts-expect-error: a file does not fail over
    RoutedSqliteClient.layer({ primary: [{ filename: "a" }, { filename: "b" }] })
    RoutedPgClient.layer({ primary: [primary, { host: "p2", weight: 2 }] })
  })
})
