import { assert, describe, it } from "@effect/vitest"
import type { Dialect } from "effect-sql-router/Dialect"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as StatementFacts from "effect-sql-router/StatementFacts"
import * as Target from "effect-sql-router/Target"
import * as Context from "effect/Context"
import * as FiberRef from "effect/FiberRef"
import { type Asked, compiled, context, decide, goes } from "./rules/support.js"

const archive = Target.database("archive")
const { rule } = RoutingRules

/** Whether the only rule, of a predicate, matches a statement. */
const matches = (predicate: RoutingRules.Predicate, sql: string, asked?: Asked): boolean =>
  goes(RoutingRules.make([rule(predicate, archive)]), sql, asked) === "archive"

const ofVerb = (rule: RoutingRules.Rule, ...texts: ReadonlyArray<string>): ReadonlyArray<boolean> =>
  texts.map((sql) => goes(RoutingRules.make([rule]), sql) === "archive")

describe("a rule of a verb", () => {
  it("read matches confirmed reads only", () => {
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.read(archive),
        "SELECT 1",
        "/* x */ (SELECT * FROM t)",
        "WITH a AS (SELECT 1) TABLE a",
        "SELECT * FROM t FOR UPDATE",
        "SELECT nextval('s')",
        "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
        "BEGIN"
      ),
      [true, true, true, false, false, false, false]
    )
  })

  it("write matches everything else, what is not recognised too", () => {
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.write(archive),
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t FOR UPDATE",
        "BEGIN",
        "SET x = 1",
        "FOO",
        "SELECT unknown_function()",
        "SELECT 1"
      ),
      [true, true, true, true, true, true, false]
    )
  })

  it("select matches by the verb, whatever else the query does", () => {
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.select(archive),
        "SELECT 1",
        "VALUES (1)",
        "TABLE t",
        "SELECT * FROM t FOR UPDATE",
        "INSERT INTO t SELECT 1"
      ),
      [true, true, true, true, false]
    )
  })

  it("insert, update, delete, merge and truncate match their own", () => {
    const texts = [
      "INSERT INTO t VALUES (1)",
      "UPDATE t SET a = 1",
      "DELETE FROM t",
      "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
      "TRUNCATE t",
      "SELECT 1"
    ]
    const { delete: delete_, insert, merge, truncate, update } = RoutingRules
    for (const [i, verb] of [insert, update, delete_, merge, truncate].entries()) {
      assert.deepStrictEqual(ofVerb(verb(archive), ...texts), texts.map((_, j) => i === j))
      assert.deepStrictEqual(ofVerb(verb("t", archive), ...texts), texts.map((_, j) => i === j))
      assert.deepStrictEqual(ofVerb(verb(["x", "t"], archive), ...texts), texts.map((_, j) => i === j))
      assert.deepStrictEqual(ofVerb(verb("x", archive), ...texts), texts.map(() => false))
    }
  })

  it("replace matches REPLACE", () => {
    for (const dialect of ["mysql", "sqlite"] as const) {
      const rules = RoutingRules.make([RoutingRules.replace("t", archive)])
      assert.strictEqual(goes(rules, "REPLACE INTO t VALUES (1)", { dialect }), "archive")
      assert.strictEqual(goes(rules, "INSERT INTO t VALUES (1)", { dialect }), "auto")
    }
  })

  it("ddl and utility match definitions and the rest", () => {
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.ddl("t", archive),
        "DROP TABLE t",
        "CREATE INDEX i ON t (a)",
        "DROP TABLE u",
        "SELECT * FROM t"
      ),
      [true, true, false, false]
    )
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.utility(archive),
        "SET x = 1",
        "VACUUM",
        "BEGIN",
        "EXPLAIN SELECT 1",
        "SELECT 1",
        "DROP TABLE t"
      ),
      [true, true, true, true, false, false]
    )
  })

  it("of tables asks those the verb concerns", () => {
    const copy = "INSERT INTO log SELECT * FROM orders"
    assert.deepStrictEqual(ofVerb(RoutingRules.insert("orders", archive), copy), [false])
    assert.deepStrictEqual(ofVerb(RoutingRules.write("orders", archive), copy), [false])
    assert.deepStrictEqual(ofVerb(RoutingRules.write("log", archive), copy), [true])
    assert.deepStrictEqual(ofVerb(RoutingRules.write("orders", archive), "SELECT * FROM orders FOR UPDATE"), [true])
    assert.deepStrictEqual(
      ofVerb(
        RoutingRules.read(["orders", "items"], archive),
        "SELECT * FROM users JOIN items ON true",
        "WITH a AS (SELECT * FROM orders) SELECT * FROM a",
        "SELECT (SELECT max(id) FROM orders)",
        "SELECT * FROM users AS orders",
        "SELECT 'orders' FROM users /* orders */"
      ),
      [true, true, true, false, false]
    )
  })
})

describe("names of tables", () => {
  const uses = (dialect: Dialect, name: string, sql: string) =>
    matches(RoutingRules.tables.some(name), sql, { dialect })

  it("are compared as PostgreSQL folds them", () => {
    assert.isTrue(uses("postgres", "Orders", "SELECT * FROM ORDERS"))
    assert.isTrue(uses("postgres", "\"Orders\"", "SELECT * FROM \"Orders\""))
    assert.isFalse(uses("postgres", "Orders", "SELECT * FROM \"Orders\""))
    assert.isTrue(uses("postgres", "Shop.\"My \"\"Orders\"", "SELECT * FROM SHOP.\"My \"\"Orders\""))
  })

  it("are compared as SQLite folds them, whatever the quotes", () => {
    for (const name of ["orders", "ORDERS", "\"Orders\"", "`Orders`", "[Orders]"]) {
      assert.isTrue(uses("sqlite", name, "SELECT * FROM \"oRDERS\""), name)
    }
  })

  it("are not known to be the same where MySQL's case depends on the server", () => {
    assert.isTrue(uses("mysql", "`Orders`", "SELECT * FROM Orders"))
    assert.isFalse(uses("mysql", "orders", "SELECT * FROM Orders"))
    assert.isFalse(matches(RoutingRules.not(RoutingRules.tables.some("orders")), "SELECT * FROM Orders", {
      dialect: "mysql"
    }))
    assert.isTrue(matches(RoutingRules.not(RoutingRules.tables.some("orders")), "SELECT * FROM users", {
      dialect: "mysql"
    }))
  })

  it("without schema stand for any, with a schema for that one only", () => {
    assert.isTrue(uses("postgres", "orders", "SELECT * FROM shop.orders"))
    assert.isTrue(uses("postgres", "shop.orders", "SELECT * FROM shop.orders"))
    assert.isFalse(uses("postgres", "shop.orders", "SELECT * FROM old.orders"))
    assert.isFalse(uses("postgres", "shop.orders", "SELECT * FROM orders"))
    assert.isFalse(matches(RoutingRules.not(RoutingRules.tables.some("shop.orders")), "SELECT * FROM orders"))
    assert.isTrue(matches(RoutingRules.not(RoutingRules.tables.some("shop.orders")), "SELECT * FROM old.orders"))
  })

  it("every: at least one is used, and none that is not named", () => {
    const own = RoutingRules.tables.every(["orders", "items"])
    assert.isTrue(matches(own, "SELECT * FROM orders JOIN items ON true"))
    assert.isTrue(matches(own, "INSERT INTO orders SELECT * FROM items"))
    assert.isFalse(matches(own, "SELECT * FROM orders JOIN users ON true"))
    assert.isFalse(matches(own, "SELECT 1"))
    assert.isFalse(matches(own, "CALL p()"))
  })
})

describe("predicates", () => {
  const { access, and, kind, not, or } = RoutingRules

  it("and, or, not compose, and know what is not known", () => {
    const [insert, update] = [kind("insert"), kind("update")]
    assert.isTrue(matches(or(insert, update), "UPDATE t SET a = 1"))
    assert.isFalse(matches(and(or(insert, update), not(update)), "UPDATE t SET a = 1"))
    assert.isTrue(matches(not(insert), "UPDATE t SET a = 1"))
    assert.isTrue(matches(RoutingRules.always, "FOO"))
    assert.isFalse(matches(insert, "FOO"), "what is not recognised may be anything")
    assert.isFalse(matches(not(insert), "FOO"))
    assert.isFalse(matches(not(access("write")), "FOO"))
    assert.isFalse(matches(not(RoutingRules.tables.some("t")), "CALL p()"))
    assert.isTrue(matches(kind("unknown"), "FOO"))
    assert.isTrue(matches(access("lock"), "SELECT * FROM t FOR SHARE"))
  })

  it("matching asks the text without values, or the one that is sent", () => {
    const { matching } = RoutingRules
    const sql = "select *  from t -- Note\nwhere a = 'secret'"
    assert.isTrue(matches(matching(/^select \* from t where a = \?$/), sql))
    assert.isTrue(matches(matching(/^SELECT/i), sql))
    assert.isFalse(matches(matching(/secret|note/i), sql))
    assert.isTrue(matches(matching(/Note/, { text: "raw" }), sql))
    assert.isFalse(matches(matching(/Nota/, { text: "raw" }), sql))
  })

  it("matching remembers nothing between statements", () => {
    const rules = compiled(RoutingRules.make([rule(RoutingRules.matching(/select/g), archive)]))
    for (let i = 0; i < 3; i++) {
      const sql = `SELECT ${"a".repeat(i + 1)} FROM t`
      assert.strictEqual(rules.decide(StatementClassifier.classify("postgres", sql), sql, [], context).target, archive)
    }
  })

  it("fingerprint is the same for all values", () => {
    const text = StatementClassifier.classify("postgres", "SELECT * FROM t WHERE a = 1").fingerprint
    assert.isTrue(matches(RoutingRules.fingerprint(text), "select * from T where a = $1 -- x"))
    assert.isFalse(matches(RoutingRules.fingerprint(text), "SELECT * FROM t WHERE b = 1"))
  })

  it("without a text that is known, neither it nor its contrary matches", () => {
    const facts = StatementFacts.make({
      kind: "select",
      access: "read",
      replicaSafe: true,
      why: { reason: "", token: "", position: 0 }
    })
    for (const predicate of [RoutingRules.matching(/a/), RoutingRules.fingerprint("a")]) {
      for (const one of [predicate, not(predicate)]) {
        const rules = compiled(RoutingRules.make([rule(one, archive)]))
        assert.notStrictEqual(rules.decide(facts, "a", [], context).target, archive)
      }
    }
  })

  it("context asks a reference or a fiber local, time the clock", () => {
    class Tenant extends Context.Reference<Tenant>()("Tenant", { defaultValue: () => "nobody" }) {}
    const region = FiberRef.unsafeMake("eu")
    const get: RoutingRules.Get = (source) => ("key" in source ? "acme" : "us") as never
    const isAcme = RoutingRules.context(Tenant, (tenant) => tenant === "acme")
    const isEu = RoutingRules.context(region, (region) => region === "eu", { name: "region" })
    assert.isFalse(matches(isAcme, "SELECT 1"))
    assert.isTrue(matches(isAcme, "SELECT 1", { context: { get } }))
    assert.isTrue(matches(isEu, "SELECT 1"))
    assert.isFalse(matches(isEu, "SELECT 1", { context: { get } }))
    const night = RoutingRules.time("at night", (now) => now % 86_400_000 < 21_600_000)
    assert.isTrue(matches(night, "SELECT 1", { context: { now: 3_600_000 } }))
    assert.isFalse(matches(night, "SELECT 1", { context: { now: 36_000_000 } }))
    assert.deepStrictEqual([isAcme, isEu, night].map((one) => one.description), [
      "context Tenant",
      "context region",
      "time at night"
    ])
  })

  it("custom sees all there is", () => {
    const seen: Array<unknown> = []
    const spy = RoutingRules.custom("spy", ({ facts, now, params, random, sql }) => {
      seen.push(facts.kind, sql, params, now, random())
      return true
    })
    assert.isTrue(matches(spy, "SELECT $1", { params: [5], context: { now: 7 } }))
    assert.deepStrictEqual(seen, ["select", "SELECT $1", [5], 7, 0.5])
  })

  it("percent at random follows the random numbers it is given", () => {
    const third = RoutingRules.percent(33)
    assert.isTrue(matches(third, "SELECT 1", { context: { random: () => 0.329 } }))
    assert.isFalse(matches(third, "SELECT 1", { context: { random: () => 0.33 } }))
    assert.isFalse(matches(RoutingRules.percent(0), "SELECT 1", { context: { random: () => 0 } }))
    assert.isTrue(matches(RoutingRules.percent(100), "SELECT 1", { context: { random: () => 0.999 } }))
  })

  it("percent by key is the same each time, grows without moving anyone, and is fair", () => {
    const inside = (percent: number, tenant: unknown) =>
      matches(
        RoutingRules.percent(percent, { by: { field: "tenant_id" } }),
        "SELECT * FROM orders WHERE tenant_id = $1",
        { params: [tenant] }
      )
    let count = 0
    for (let tenant = 0; tenant < 400; tenant++) {
      const isIn = inside(30, tenant)
      if (isIn) {
        count++
        assert.isTrue(inside(60, tenant))
      }
      assert.strictEqual(inside(30, String(tenant)), isIn)
      assert.strictEqual(
        matches(RoutingRules.percent(30, { by: { parameter: 1 } }), "INSERT INTO t VALUES ($1, $2)", {
          params: ["x", tenant]
        }),
        isIn
      )
    }
    // Of 400 at 30 %: 120, with a standard deviation of 9.
    assert.isAbove(count, 80)
    assert.isBelow(count, 160)
  })

  it("percent by key does not know on which side a statement without key is", () => {
    const half = RoutingRules.percent(100, { by: { field: "tenant_id" } })
    for (const sql of ["SELECT * FROM orders", "INSERT INTO orders VALUES (1)"]) {
      assert.isFalse(matches(half, sql))
      assert.isFalse(matches(not(half), sql))
    }
  })

  it("a bucket is stable for ever", () => {
    assert.deepStrictEqual(["acme", 5, 5n, "5", true].map((value) => RoutingRules.bucket(value, 1000)), [
      RoutingRules.bucket("acme", 1000),
      RoutingRules.bucket("5", 1000),
      RoutingRules.bucket("5", 1000),
      RoutingRules.bucket("5", 1000),
      RoutingRules.bucket("true", 1000)
    ])
    assert.deepStrictEqual(["acme", "globex", "initech", "5"].map((value) => RoutingRules.bucket(value, 1000)), [
      470,
      444,
      143,
      21
    ])
  })
})

describe("whereEquals", () => {
  const { and, isRead, not, whereEquals } = RoutingRules
  const us = whereEquals("region", ["US", "CA"])

  it("finds literals, bound parameters and lists", () => {
    for (
      const sql of [
        "SELECT * FROM o WHERE region = 'US'",
        "SELECT * FROM o WHERE 'CA' = region AND x > 1",
        "SELECT * FROM o WHERE o.region IN ('US', 'CA')",
        "SELECT * FROM o AS u WHERE (u.\"region\" = $2);",
        "UPDATE o SET x = 1 WHERE region IN ($2, 'CA')",
        "DELETE FROM o WHERE region = $2 RETURNING *",
        "SELECT * FROM o WHERE region IN ('DE', 'US') AND region = 'US'"
      ]
    ) assert.isTrue(matches(us, sql, { params: ["x", "US"] }), sql)
  })

  it("does not hold where other rows may be concerned", () => {
    for (
      const sql of [
        "SELECT * FROM o",
        "SELECT * FROM o WHERE region = 'DE'",
        "SELECT * FROM o WHERE region = 'US' OR x = 1",
        "SELECT * FROM o WHERE NOT region = 'US'",
        "SELECT * FROM o WHERE region IN ('US', 'DE')",
        "SELECT * FROM o WHERE region = $1",
        "SELECT * FROM o WHERE region = $3",
        "SELECT ' region = ''US'' ' FROM o /* region = 'US' */",
        "UPDATE o SET region = 'US'",
        "INSERT INTO o (region) VALUES ('US'), ('DE')",
        "INSERT INTO o (region) VALUES ('US') ON CONFLICT (id) DO UPDATE SET a = 1",
        "INSERT INTO o SELECT * FROM p WHERE region = 'US'",
        "SELECT * FROM o JOIN p ON o.id = p.id WHERE o.region = 'US'",
        "SELECT * FROM o JOIN p ON o.id = p.id WHERE region = 'US'",
        "SELECT * FROM o, o AS p WHERE o.region = 'US'",
        "SELECT * FROM o WHERE region = 'US' AND id IN (SELECT id FROM p)",
        "SELECT * FROM o WHERE region = 'US' AND id IN (SELECT id FROM o)",
        "SELECT * FROM o WHERE region = 'US' UNION SELECT * FROM o",
        "WITH d AS (DELETE FROM p RETURNING *) SELECT * FROM o WHERE region = 'US'",
        "SELECT * FROM (SELECT * FROM o) AS o WHERE region = 'US'",
        "SELECT 1 WHERE region = 'US'",
        "SELECT * FROM o WHERE region = 'us'"
      ]
    ) assert.isFalse(matches(us, sql, { params: ["x", "US", null] }), sql)
  })

  it("asks every table, or only those that have the field", () => {
    const sql = "SELECT * FROM o JOIN p ON o.id = p.id WHERE o.region = 'US'"
    const joined = `${sql} AND p.region = 'CA'`
    assert.isTrue(matches(us, joined))
    assert.isTrue(matches(whereEquals("o.region", "US"), sql))
    assert.isTrue(matches(whereEquals("region", "US", { tables: "o" }), sql))
    assert.isFalse(matches(whereEquals("p.region", "US"), sql))
    assert.isFalse(matches(whereEquals("region", "US", { tables: ["o", "p"] }), sql))
    assert.isFalse(matches(whereEquals("x.o.region", "US"), sql), "the schema is not known")
  })

  it("compares exactly and by type, but for integers of either type", () => {
    const id = (value: RoutingRules.Value, sql: string, params: ReadonlyArray<unknown> = []) =>
      matches(whereEquals("id", value), `SELECT * FROM o WHERE id = ${sql}`, { params })
    assert.isTrue(id(5, "5"))
    assert.isTrue(id(5n, "5"))
    assert.isTrue(id(5, "$1", [5n]))
    assert.isTrue(id(12345678901234567890n, "12345678901234567890"))
    assert.isFalse(id(5, "'5'"))
    assert.isFalse(id("5", "5"))
    assert.isFalse(id(5, "$1", ["5"]))
    assert.isFalse(id(0, "'abc'"))
    assert.isTrue(id(true, "true"))
    assert.isFalse(id(1, "true"))
    assert.isFalse(id(5, "$1", [new Date(5)]))
  })

  it("its contrary holds only where it is proved that no such row is concerned", () => {
    const notUs = not(us)
    assert.isTrue(matches(notUs, "SELECT * FROM o WHERE region = 'DE'"))
    assert.isTrue(matches(notUs, "SELECT * FROM o WHERE region IN ('DE', $1)", { params: ["FR"] }))
    assert.isTrue(matches(notUs, "SELECT 1"))
    for (
      const sql of [
        "SELECT * FROM o",
        "SELECT * FROM o WHERE region = 'us'",
        "SELECT * FROM o WHERE region = 'ÚS'",
        "SELECT * FROM o WHERE region = 5",
        "SELECT * FROM o WHERE region IN ('DE', 'CA')",
        "SELECT * FROM o JOIN p ON true WHERE o.region = 'DE'",
        "INSERT INTO o VALUES ('DE')",
        "CALL p()"
      ]
    ) assert.isFalse(matches(notUs, sql), sql)
    assert.isFalse(matches(not(whereEquals("id", "5")), "SELECT * FROM o WHERE id = '05'"))
    assert.isTrue(matches(not(whereEquals("id", 5)), "SELECT * FROM o WHERE id = 6"))
  })

  it("compares columns without case in MySQL, tables as they are written", () => {
    const k = whereEquals("Region", "US")
    assert.isTrue(matches(k, "SELECT * FROM o WHERE REGION = 'US'", { dialect: "mysql" }))
    assert.isFalse(matches(whereEquals("O.region", "US"), "SELECT * FROM o WHERE region = 'US'", { dialect: "mysql" }))
  })

  it("is not known of parameters in a text with several statements, whose places are not told", () => {
    const sql = "DELETE FROM a WHERE k = ?; DELETE FROM b WHERE k = ?"
    const five = whereEquals("k", 5)
    assert.isFalse(matches(five, sql, { dialect: "mysql", params: [5, 6] }))
    assert.isFalse(matches(five, sql, { dialect: "mysql", params: [5, 5] }))
    assert.isTrue(matches(five, sql.replaceAll("?", "5"), { dialect: "mysql" }))
  })

  it("goes with others", () => {
    assert.isTrue(matches(and(isRead, us), "SELECT * FROM o WHERE region = 'US'"))
    assert.isFalse(matches(and(isRead, us), "DELETE FROM o WHERE region = 'US'"))
  })
})

describe("the order of rules", () => {
  it("is the order given: the first that matches wins", () => {
    const a = RoutingRules.read("a", archive)
    const any = RoutingRules.read(Target.database("reporting"))
    const rules = RoutingRules.make([a, any])
    assert.deepStrictEqual(["SELECT * FROM a", "SELECT * FROM b", "DELETE FROM a"].map((sql) => goes(rules, sql)), [
      "archive",
      "reporting",
      "auto"
    ])
  })

  it("holds too where a rule that waits for parameters comes first", () => {
    const rules = RoutingRules.make([
      rule(RoutingRules.whereEquals("k", 1), archive),
      RoutingRules.read(Target.database("reporting"))
    ])
    const compiledRules = compiled(rules)
    const facts = StatementClassifier.classify("postgres", "SELECT * FROM t WHERE k = $1")
    const to = (...params: ReadonlyArray<unknown>) =>
      Target.render(compiledRules.decide(facts, "", params, context).target)
    assert.deepStrictEqual([to(1), to(2), to(1)], ["archive", "reporting", "archive"])
  })

  it("gives each rule and target one decision, named and numbered", () => {
    const rules = compiled(RoutingRules.make([
      RoutingRules.insert("orders", archive),
      RoutingRules.read(Target.replica, { name: "reads" })
    ]))
    const ask = (sql: string) => rules.decide(StatementClassifier.classify("postgres", sql), sql, [], context)
    assert.deepStrictEqual(ask("INSERT INTO orders VALUES (1)"), {
      rule: "rule 1: insert into orders → archive",
      number: 1,
      by: "rule",
      strategy: undefined,
      consistency: undefined,
      target: archive
    })
    assert.strictEqual(ask("SELECT 1"), ask("SELECT 2"))
    assert.deepInclude(ask("SELECT 1"), { rule: "reads", number: 2 })
    assert.deepStrictEqual(ask("DELETE FROM t"), {
      rule: "otherwise",
      number: undefined,
      by: "otherwise",
      strategy: undefined,
      consistency: undefined,
      target: Target.auto
    })
  })

  it("says what happens where none matches", () => {
    const rules = [RoutingRules.read(archive)]
    assert.strictEqual(goes(RoutingRules.make(rules), "DELETE FROM t"), "auto")
    assert.strictEqual(goes(RoutingRules.make(rules, { otherwise: Target.primary }), "DELETE FROM t"), "primary")
    const failing = decide(RoutingRules.make(rules, { otherwise: "fail" }), "DELETE FROM t")
    assert.deepInclude(failing, { by: "nothing", number: undefined })
    assert.strictEqual(failing.target._tag, "Deny")
  })
})

describe("a rule to a replica", () => {
  it("matches confirmed reads only", () => {
    for (const target of [Target.replica, Target.endpoint("main-1"), Target.database("archive", "replica")]) {
      const rules = RoutingRules.make([RoutingRules.select("orders", target)])
      assert.strictEqual(goes(rules, "SELECT * FROM orders"), Target.render(target))
      assert.strictEqual(goes(rules, "SELECT * FROM orders FOR UPDATE"), "auto")
    }
    const rules = RoutingRules.make([RoutingRules.select("orders", Target.endpoint("main-primary"))])
    assert.strictEqual(goes(rules, "SELECT * FROM orders FOR UPDATE"), "endpoint main-primary")
  })
})

describe("a text with several statements", () => {
  const inserts = RoutingRules.make([RoutingRules.insert("a", archive)])

  it("matches a rule only if each of them does", () => {
    assert.strictEqual(goes(inserts, "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"), "archive")
    assert.strictEqual(goes(inserts, "INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)"), "auto")
  })

  it("is refused if one of them is", () => {
    const rules = RoutingRules.make([RoutingRules.truncate(Target.deny("no"))])
    assert.strictEqual(goes(rules, "SELECT 1; TRUNCATE t"), "deny: no")
  })

  it("is no confirmed read", () => {
    const rules = RoutingRules.make([RoutingRules.read(archive), RoutingRules.write(Target.primary)])
    assert.strictEqual(goes(rules, "SELECT 1; SELECT 2"), "primary")
  })
})

describe("byField", () => {
  const shards = [Target.database("main"), Target.database("archive"), Target.database("reporting")] as const
  const byTenant = RoutingRules.byField("tenant_id", (tenant) => shards[Number(tenant) % 3], {
    targets: shards,
    otherwise: Target.deny("Name the tenant")
  })
  const rules = RoutingRules.make([byTenant])
  const of = (sql: string, ...params: ReadonlyArray<unknown>) => goes(rules, sql, { params })

  it("sends each statement to the shard of its key", () => {
    assert.strictEqual(of("SELECT * FROM orders WHERE tenant_id = 1"), "archive")
    assert.strictEqual(of("UPDATE orders SET x = $1 WHERE tenant_id = $2", 1, 5), "reporting")
    assert.strictEqual(of("SELECT * FROM a JOIN b ON true WHERE a.tenant_id = $1 AND b.tenant_id = $1", 3), "main")
  })

  it("follows several keys if all are of one shard", () => {
    assert.strictEqual(of("SELECT * FROM orders WHERE tenant_id IN (1, 4, $1)", 7), "archive")
    assert.strictEqual(of("SELECT * FROM orders WHERE tenant_id IN (1, 4, $1)", 8), "deny: Name the tenant")
    assert.strictEqual(of("SELECT * FROM orders WHERE tenant_id IN (1, 2) AND tenant_id = 2"), "reporting")
  })

  it("has a rule for statements that carry no key", () => {
    for (
      const sql of [
        "SELECT * FROM orders",
        "INSERT INTO orders VALUES (1)",
        "SELECT * FROM a JOIN b ON true WHERE a.tenant_id = 1",
        "SELECT * FROM orders WHERE tenant_id = $1",
        "SELECT * FROM orders WHERE tenant_id = 'x'",
        "CALL p()",
        "SELECT 1; DELETE FROM orders"
      ]
    ) assert.strictEqual(of(sql, null), "deny: Name the tenant", sql)
    const lenient = RoutingRules.make([
      RoutingRules.byField("tenant_id", () => Target.database("archive"), { targets: [Target.database("archive")] })
    ])
    assert.strictEqual(goes(lenient, "SELECT * FROM orders"), "auto")
  })

  it("leaves statements alone that use no table with the field", () => {
    for (const sql of ["SELECT 1", "BEGIN", "SET x = 1", ""]) assert.strictEqual(of(sql), "auto", sql)
    const sharded = RoutingRules.make([
      RoutingRules.byField("tenant_id", () => shards[1], {
        targets: shards,
        tables: ["orders"],
        otherwise: Target.deny("no")
      })
    ])
    assert.strictEqual(goes(sharded, "SELECT * FROM countries"), "auto")
    assert.strictEqual(
      goes(sharded, "SELECT * FROM orders JOIN countries c ON true WHERE orders.tenant_id = 1"),
      "archive"
    )
    assert.strictEqual(goes(sharded, "SELECT * FROM orders JOIN countries c ON true WHERE c.tenant_id = 1"), "deny: no")
  })

  it("takes all statements of a text to the shard that all name", () => {
    assert.strictEqual(
      of("UPDATE a SET x = 1 WHERE tenant_id = 1; SELECT 1; DELETE FROM b WHERE tenant_id = 4"),
      "archive"
    )
    assert.strictEqual(
      of("UPDATE a SET x = 1 WHERE tenant_id = 1; DELETE FROM b WHERE tenant_id = 2"),
      "deny: Name the tenant"
    )
  })

  it("fails a statement for which it chooses what it does not declare", () => {
    const rules = RoutingRules.make([
      RoutingRules.byField("k", () => Target.database("elsewhere"), { targets: [archive as Target.Target] })
    ])
    assert.deepInclude(decide(rules, "SELECT * FROM t WHERE k = 1"), { by: "failure", number: 1 })
  })

  it("sends no write to a replica that it chooses", () => {
    const rules = RoutingRules.make([
      RoutingRules.byField("k", () => Target.replica, { targets: [Target.replica] })
    ])
    assert.strictEqual(goes(rules, "SELECT * FROM t WHERE k = 1"), "replica")
    assert.strictEqual(goes(rules, "DELETE FROM t WHERE k = 1"), "auto")
  })
})

describe("byContext", () => {
  it("sends every statement of a fiber where its value says", () => {
    class Tenant extends Context.Reference<Tenant>()("Tenant", { defaultValue: () => 0 }) {}
    const targets = [Target.database("archive"), Target.database("reporting")] as const
    const rules = RoutingRules.make([RoutingRules.byContext(Tenant, (tenant) => targets[tenant], { targets })])
    const of = (tenant: number) => goes(rules, "INSERT INTO t VALUES (1)", { context: { get: () => tenant as never } })
    assert.deepStrictEqual([of(0), of(1), of(2)], ["archive", "reporting", "auto"])
  })
})

describe("functions that throw", () => {
  it("fail the statement, naming the rule", () => {
    const broken = (): never => {
      throw new Error("oops")
    }
    const targets = [archive]
    for (
      const one of [
        rule(RoutingRules.custom("broken", broken), archive),
        rule(RoutingRules.time("broken", broken), archive),
        RoutingRules.byField("k", broken, { targets }),
        RoutingRules.byContext(FiberRef.unsafeMake(0), broken, { targets })
      ]
    ) {
      const rules = compiled(RoutingRules.make([one]))
      const sql = "SELECT * FROM t WHERE k = 1"
      const facts = StatementClassifier.classify("postgres", sql)
      const decision = rules.decide(facts, sql, [], context)
      assert.deepInclude(decision, { by: "failure", number: 1 })
      assert.include(Target.render(decision.target), "oops")
      assert.include(rules.trace(facts, sql, [], context)[0]!.why, "oops")
    }
  })
})

describe("the trace", () => {
  it("says of each rule why it does not match, up to the one that does", () => {
    const { and, tables, whereEquals } = RoutingRules
    const rules = RoutingRules.make([
      RoutingRules.insert("orders", archive),
      RoutingRules.read("users", archive),
      rule(and(RoutingRules.isRead, whereEquals("region", "US")), archive),
      rule(and(RoutingRules.custom("is late", () => false), tables.some("orders")), archive),
      RoutingRules.read("orders", archive),
      RoutingRules.read(Target.replica)
    ])
    const sql = "SELECT * FROM orders WHERE region = $1"
    const trace = compiled(rules).trace(StatementClassifier.classify("postgres", sql), sql, ["DE"], context)
    assert.deepStrictEqual(trace.map(({ matched, why }) => [matched, why]), [
      [false, "its kind is select"],
      [false, "it reads orders"],
      [false, "its rows of orders have region = parameter 1"],
      [false, "is late does not hold"],
      [true, "it is a confirmed read, it reads orders"],
      [false, "not asked: rule 5 came first"]
    ])
    assert.strictEqual(trace[4]!.rule, "rule 5: read orders → archive")
  })

  it("says what is not known", () => {
    const rules = RoutingRules.make([
      rule(RoutingRules.not(RoutingRules.whereEquals("k", 1)), archive),
      rule(RoutingRules.not(RoutingRules.tables.some("t")), archive),
      RoutingRules.insert("a", archive)
    ])
    const why = (sql: string, dialect: Dialect = "postgres") =>
      compiled(rules, dialect).trace(StatementClassifier.classify(dialect, sql), sql, [], context).map(({ why }) => why)
    assert.deepStrictEqual(why("DELETE FROM T", "mysql"), [
      "not known: it may concern any k of T",
      "not known: it writes T",
      "its kind is delete"
    ])
    assert.deepStrictEqual(why("INSERT INTO t VALUES (1); CALL p()"), [
      "statement 1: not known: it may concern any k of t",
      "statement 1: it writes t",
      "statement 1: it writes t"
    ])
  })
})

describe("what decisions depend on", () => {
  it("is the strongest of all rules", () => {
    const of = (...rules: ReadonlyArray<RoutingRules.Rule>) => compiled(RoutingRules.make(rules)).dependsOn
    const facts = RoutingRules.insert("a", archive)
    const params = rule(RoutingRules.whereEquals("k", 1), archive)
    assert.strictEqual(of(facts), "facts")
    assert.strictEqual(of(facts, params), "params")
    assert.strictEqual(of(facts, rule(RoutingRules.matching(/a/, { text: "raw" }), archive)), "params")
    assert.strictEqual(of(rule(RoutingRules.percent(5), archive), params), "context")
    assert.strictEqual(of(rule(RoutingRules.not(RoutingRules.time("x", () => true)), archive)), "context")
  })

  it("is not asked beyond what the facts decide", () => {
    let asked = 0
    const rules = compiled(RoutingRules.make([
      rule(
        RoutingRules.and(
          RoutingRules.kind("insert"),
          RoutingRules.custom("count", () => {
            asked++
            return false
          })
        ),
        archive
      )
    ]))
    for (const sql of ["SELECT 1", "INSERT INTO t VALUES (1)"]) {
      rules.decide(StatementClassifier.classify("postgres", sql), sql, [], context)
    }
    assert.strictEqual(asked, 1)
  })
})

describe("the failing cases of the library this began with are right", () => {
  const filter = RoutingRules.make([rule(RoutingRules.whereEquals("region", "US"), archive)])
  const id = RoutingRules.make([rule(RoutingRules.whereEquals("id", 3), archive)])

  it("a filter matches its own documented example", () => {
    assert.strictEqual(goes(filter, "SELECT * FROM users WHERE region = 'US'"), "archive")
  })

  it("a filter matches before a semicolon, in parentheses, qualified, and bound", () => {
    for (const where of ["id=3;", "(id=3)", "u.id = 3", "id = $1"]) {
      assert.strictEqual(goes(id, `SELECT * FROM users u WHERE ${where}`, { params: [3] }), "archive", where)
    }
  })

  it("a filter matches no string, comment, SET, NOT or OR", () => {
    for (
      const sql of [
        "SELECT ' id = 3 ' FROM users",
        "SELECT * FROM users /* id = 3 */",
        "UPDATE users SET id = 3 WHERE x = 1",
        "SELECT * FROM users WHERE NOT id = 3",
        "SELECT * FROM users WHERE id = 3 OR x = 1"
      ]
    ) assert.strictEqual(goes(id, sql), "auto", sql)
  })

  it("a filter takes any character", () => {
    const rules = RoutingRules.make([rule(RoutingRules.whereEquals("path", "a/b.*'"), archive)])
    assert.strictEqual(goes(rules, "SELECT * FROM t WHERE path = 'a/b.*'''"), "archive")
  })

  it("insert matches every way to write one", () => {
    const rules = RoutingRules.make([RoutingRules.insert("t", archive)])
    for (
      const [dialect, sql] of [
        ["postgres", "INSERT INTO t(a) VALUES (1)"],
        ["postgres", "INSERT INTO t SELECT 1"],
        ["postgres", "INSERT INTO t VALUES (1)"],
        ["postgres", "INSERT INTO t DEFAULT VALUES"],
        ["postgres", "INSERT INTO \"t\" VALUES (1)"],
        ["postgres", "insert into s.t values (1)"],
        ["mysql", "INSERT IGNORE INTO t VALUES (1)"],
        ["mysql", "INSERT `t` SET a = 1"],
        ["sqlite", "INSERT OR REPLACE INTO t VALUES (1)"]
      ] as const
    ) assert.strictEqual(goes(rules, sql, { dialect }), "archive", sql)
  })

  it("update matches with an alias and with quotes", () => {
    const rules = RoutingRules.make([RoutingRules.update("t", archive)])
    for (const sql of ["UPDATE t AS x SET a = 1", "UPDATE \"t\" SET a = 1", "UPDATE ONLY t SET a = 1"]) {
      assert.strictEqual(goes(rules, sql), "archive", sql)
    }
  })

  it("select matches lists, joins, comments, parentheses, WITH, and every FROM", () => {
    const rules = RoutingRules.make([RoutingRules.select("u", archive)])
    for (
      const sql of [
        "SELECT * FROM t, u",
        "SELECT * FROM t JOIN u ON true",
        "-- x\nSELECT * FROM u",
        "(SELECT * FROM u)",
        "WITH a AS (SELECT 1) SELECT * FROM u",
        "SELECT * FROM u WHERE id IN (SELECT id FROM t)",
        "SELECT\n*\nFROM\nu"
      ]
    ) assert.strictEqual(goes(rules, sql), "archive", sql)
  })

  it("locks and sequences are no reads", () => {
    const rules = RoutingRules.make([RoutingRules.read(archive)])
    assert.strictEqual(goes(rules, "SELECT * FROM t FOR UPDATE"), "auto")
    assert.strictEqual(goes(rules, "SELECT nextval('s')"), "auto")
  })

  it("its three routes", () => {
    const [route1, route2, route3] = [
      Target.database("main"),
      Target.database("archive"),
      Target.database("reporting")
    ]
    const rules = RoutingRules.make([
      RoutingRules.write(route1),
      RoutingRules.read("mytable", route2),
      RoutingRules.read(route3)
    ])
    for (const dialect of ["postgres", "mysql", "sqlite"] as const) {
      assert.strictEqual(goes(rules, "select * from mytable", { dialect }), "archive")
      assert.strictEqual(goes(rules, "select * from othertable", { dialect }), "reporting")
      assert.strictEqual(goes(rules, "insert into table (a) values (1)", { dialect }), "main")
    }
  })
})
