/** What the routers before this one promise in their documents, on real files. */
import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe, it } from "@effect/vitest"
import {
  ReadConsistency,
  ReplicaStrategy,
  RouteDecision,
  RoutedSqlClient,
  RoutingRules,
  Target
} from "effect-sql-router"
import * as RoutedSqliteClient from "effect-sql-router/RoutedSqliteClient"
import * as Effect from "effect/Effect"
import { temporaryFolder } from "../sqlite/support.js"

/** A client over the files `route1.db`, `route2.db` and `route3.db`, each with all tables, and one row that tells its name. */
const threeRoutes = (rules: RoutingRules.RoutingRules) =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const file = (name: string) => ({ filename: `${folder}/${name}.db` })
    const sql = yield* RoutedSqliteClient.make({
      name: "route1",
      primary: file("route1"),
      databases: { route2: { primary: file("route2") }, route3: { primary: file("route3") } },
      rules
    })
    for (const name of ["route1", "route2", "route3"]) {
      const route = yield* sql.database(name)
      for (const table of ["mytable", "othertable", "table"]) {
        yield* route`CREATE TABLE ${route(table)} (a)`
        yield* route`INSERT INTO ${route(table)} VALUES (${name})`
      }
    }
    return sql
  }).pipe(Effect.provide(Reactivity.layer))

describe("three routes, by verb and table", () => {
  const rules = RoutingRules.make([
    RoutingRules.write(Target.database("route1")),
    RoutingRules.read("mytable", Target.database("route2")),
    RoutingRules.read(Target.database("route3"))
  ])

  it.scoped("each statement of the document goes where it says", () =>
    Effect.gen(function*() {
      const sql = yield* threeRoutes(rules)
      assert.deepStrictEqual(yield* sql`select * from mytable`, [{ a: "route2" }])
      assert.deepStrictEqual(yield* sql`select * from othertable`, [{ a: "route3" }])
      yield* sql`insert into "table" (a) values (1)`
      assert.deepStrictEqual(yield* (yield* sql.database("route1"))`SELECT a FROM "table"`, [{ a: "route1" }, { a: 1 }])
    }))

  it.scoped("so does every form that regular expressions missed, or took for something else", () =>
    Effect.gen(function*() {
      const sql = yield* threeRoutes(rules)
      const routeOf = (text: string) => Effect.map(sql.explain(sql.unsafe(text)), (_) => _.plan.database)
      const reads = [
        "SELECT * FROM mytable, othertable",
        "SELECT * FROM othertable JOIN mytable USING (a)",
        "/* orders */ SELECT * FROM mytable",
        "(SELECT * FROM mytable)",
        "WITH x AS (SELECT * FROM mytable) SELECT * FROM x",
        "SELECT * FROM \"mytable\"",
        "SELECT * FROM main.mytable WHERE a IN (SELECT a FROM othertable)"
      ]
      for (const text of reads) assert.strictEqual(yield* routeOf(text), "route2", text)
      const others = [
        "SELECT 'from mytable'",
        "SELECT * FROM othertable -- FROM mytable",
        "SELECT * FROM mytable2",
        "SELECT mytable FROM othertable"
      ]
      for (const text of others) assert.strictEqual(yield* routeOf(text), "route3", text)
      const writes = [
        "INSERT INTO mytable(a) VALUES (1)",
        "INSERT INTO mytable VALUES (1)",
        "INSERT INTO mytable SELECT * FROM othertable",
        "INSERT INTO mytable DEFAULT VALUES",
        "INSERT OR IGNORE INTO mytable VALUES (1)",
        "REPLACE INTO mytable VALUES (1)",
        "UPDATE mytable AS m SET a = 1",
        "UPDATE \"mytable\" SET a = 1",
        "DELETE FROM mytable",
        "WITH x AS (SELECT 1) DELETE FROM mytable",
        "DROP TABLE mytable"
      ]
      for (const text of writes) assert.strictEqual(yield* routeOf(text), "route1", text)
    }))

  it.scoped("a transaction stays on the route where it began", () =>
    Effect.gen(function*() {
      const sql = yield* threeRoutes(rules)
      const result = yield* Effect.either(sql.withTransaction(Effect.gen(function*() {
        yield* sql`INSERT INTO mytable VALUES ('new')`
        return yield* sql`SELECT * FROM mytable`
      })))
      assert.strictEqual(result._tag, "Left")
      assert.deepStrictEqual(yield* (yield* sql.database("route1"))`SELECT a FROM mytable`, [{ a: "route1" }])
    }))
})

describe("a filter by field and value", () => {
  const rules = RoutingRules.make([
    RoutingRules.rule(RoutingRules.whereEquals("region", "US"), Target.database("route2"))
  ])

  it.scoped("matches what the document promised and the regular expression missed, and nothing else", () =>
    Effect.gen(function*() {
      const sql = yield* threeRoutes(rules)
      const region = "US"
      const matching = [
        sql`SELECT * FROM users WHERE region = 'US'`,
        sql`SELECT * FROM users WHERE region = ${region}`,
        sql`SELECT * FROM users u WHERE (u.region = ${region}) AND id > 5`,
        sql`SELECT * FROM users WHERE "region" IN (${region})`,
        sql`UPDATE users SET name = 'x' WHERE region='US'`
      ]
      for (const statement of matching) {
        assert.strictEqual((yield* sql.explain(statement)).plan.database, "route2", statement.compile()[0])
      }
      const others = [
        sql`SELECT * FROM users WHERE region = ${"DE"}`,
        sql`SELECT * FROM users WHERE name = 'region = ''US'''`,
        sql`SELECT * FROM users -- WHERE region = 'US'`,
        sql`UPDATE users SET region = 'US'`,
        sql`SELECT * FROM users WHERE NOT region = 'US'`,
        sql`SELECT * FROM users WHERE region = 'US' OR id = 1`
      ]
      for (const statement of others) {
        assert.strictEqual((yield* sql.explain(statement)).plan.database, "route1", statement.compile()[0])
      }
    }))
})

describe("a master with four slaves", () => {
  const cluster = Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const file = (name: string) => ({ filename: `${folder}/${name}.db` })
    const sql = yield* RoutedSqliteClient.make({
      primary: file("master"),
      replicas: Object.fromEntries([1, 2, 3, 4].map((i) => [`slave_${i}`, file(`slave_${i}`)])),
      strategy: ReplicaStrategy.random,
      // Copies do not tell how old they are: after a write, reads would go to the master for a while.
      consistency: { level: ReadConsistency.eventual }
    })
    yield* sql`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)`
    for (const i of [1, 2, 3, 4]) yield* sql.backup(`${folder}/slave_${i}.db`)
    return sql
  }).pipe(Effect.provide(Reactivity.layer))

  const endpoints = (decisions: ReadonlyArray<RouteDecision.RouteDecision>) => decisions.map((_) => _.endpoint)

  it.scoped("every save and delete is on the master, finds are spread over the slaves", () =>
    Effect.gen(function*() {
      const sql = yield* cluster
      const save = sql`INSERT INTO users (name) VALUES (${"Ada"})`
      const remove = sql`DELETE FROM users WHERE id = ${1}`
      const [, written] = yield* RouteDecision.capture(Effect.all([save, sql`UPDATE users SET name = 'x'`, remove]))
      assert.deepStrictEqual(endpoints(written), ["primary", "primary", "primary"])
      const [, found] = yield* RouteDecision.capture(
        Effect.replicateEffect(sql`SELECT * FROM users WHERE id = ${1}`, 100)
      )
      assert.deepStrictEqual(new Set(endpoints(found)), new Set(["slave_1", "slave_2", "slave_3", "slave_4"]))
    }))

  it.scoped("unless a connection is given", () =>
    Effect.gen(function*() {
      const sql = yield* cluster
      const [, decisions] = yield* RouteDecision.capture(Effect.all([
        RoutedSqlClient.withPrimary(sql`SELECT * FROM users`),
        RoutedSqlClient.withEndpoint("slave_3")(sql`SELECT * FROM users`)
      ]))
      assert.deepStrictEqual(endpoints(decisions), ["primary", "slave_3"])
    }))
})
