import { assert, describe, it } from "@effect/vitest"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as Target from "effect-sql-router/Target"
import * as Either from "effect/Either"
import * as FiberRef from "effect/FiberRef"
import * as fc from "fast-check"
import { compile } from "../src/internal/rules/compile.js"
import { lint } from "../src/internal/rules/lint.js"
import { compiled, knownOf, problem, warnings } from "./rules/support.js"

const { and, insert, isRead, kind, make, matching, not, or, read, rule, tables, whereEquals, write } = RoutingRules
const archive = Target.database("archive")

describe("rules fail to compile", () => {
  it("for an unknown Database, naming the rule and the known ones", () => {
    assert.strictEqual(
      problem(make([read(archive), insert("orders", Target.database("nowhere"))])),
      "rule 2: insert into orders → nowhere: there is no Database \"nowhere\"; known Databases: main, archive, reporting, "
        + "foreign, lonely"
    )
    assert.include(
      problem(make([read(archive, { name: "a" }), read("t", Target.database("x"), { name: "mine" })])),
      "rule 2 (mine)"
    )
  })

  it("for an unknown endpoint, naming those of its Database", () => {
    assert.include(
      problem(make([read(Target.endpoint("replica9"))])),
      "Database \"main\" has no endpoint \"replica9\"; known endpoints: main-primary, main-1, main-2"
    )
    assert.include(
      problem(make([read(Target.endpoint("main-1", { database: "archive" }))])),
      "\"archive\" has no endpoint"
    )
  })

  it("for a Database of another dialect", () => {
    assert.include(problem(make([read(Target.database("foreign"))])), "speaks mysql")
  })

  it("for such a target wherever it stands", () => {
    const x = Target.database("nowhere")
    for (
      const rules of [
        make([read(Target.mirrored(x, { percent: 5, to: archive }))]),
        make([read(Target.mirrored(archive, { percent: 5, to: x }))]),
        make([RoutingRules.byField("k", () => undefined, { targets: [archive as Target.Target, x] })]),
        make([
          RoutingRules.byContext(FiberRef.unsafeMake(0), () => undefined, { targets: [archive], otherwise: x as never })
        ]),
        make([], { otherwise: x })
      ]
    ) assert.include(problem(rules), "no Database \"nowhere\"")
  })

  it("for a default Database that is not there", () => {
    const result = compile(make([]), { ...knownOf("postgres"), default: "gone" })
    assert.include(Either.isLeft(result) ? result.left.message : "", "there is no Database \"gone\"")
  })

  it("for writes that are sent to a replica", () => {
    for (
      const one of [
        insert(Target.replica),
        write(Target.database("archive", "replica")),
        RoutingRules.ddl(Target.endpoint("main-2")),
        rule(RoutingRules.access("write"), Target.replica),
        rule(or(kind("insert"), not(isRead)), Target.mirrored(Target.replica, { percent: 5, to: archive }))
      ]
    ) assert.include(problem(make([one])), "sends writes to", one.description)
    assert.include(problem(make([read(archive)], { otherwise: Target.replica })), "otherwise: sends writes to replica")
    assert.strictEqual(problem(make([write(Target.primary)], { otherwise: Target.replica })), "nothing")
    assert.strictEqual(problem(make([RoutingRules.select(Target.replica)])), "nothing")
  })

  it("for a rule that an earlier one leaves nothing to match", () => {
    const never = (...rules: ReadonlyArray<RoutingRules.Rule>) =>
      assert.include(problem(make(rules)), "is never reached", rules.map((one) => one.description).join(", "))
    never(read(archive), read("orders", Target.replica))
    never(insert(["a", "b"], archive), insert("b", Target.primary))
    never(insert("orders", archive), insert("shop.orders", Target.primary))
    never(insert("Orders", archive), insert("shop.\"orders\"", Target.primary))
    never(rule(RoutingRules.always, archive), insert("a", Target.primary))
    never(rule(RoutingRules.always, archive), RoutingRules.byField("k", () => archive, { targets: [archive] }))
    never(write(archive), insert("a", Target.primary))
    never(
      rule(whereEquals("k", [1, 2]), archive),
      rule(and(isRead, whereEquals("k", 2)), Target.primary)
    )
    never(rule(tables.some("a"), archive), rule(tables.every("a", "read"), Target.primary))
    never(rule(kind("insert", "update"), archive), rule(kind("update"), Target.primary))
    never(read(archive), RoutingRules.select("a", Target.replica))
    never(
      rule(or(kind("insert"), kind("update")), archive),
      rule(and(kind("update"), tables.some("x")), Target.primary)
    )
    never(
      rule(RoutingRules.percent(50, { by: { field: "k" } }), archive),
      rule(RoutingRules.percent(10, { by: { field: "k" } }), Target.primary)
    )
  })

  it("for a rule whose reads and whose writes earlier ones take", () => {
    assert.include(
      problem(make([read(archive), write(Target.primary), rule(tables.some("a"), archive)])),
      "rule 1: read → archive and rule 2: write → primary match every statement that it would"
    )
  })

  it("for a rule that is another's equal", () => {
    assert.include(
      problem(
        make([rule(and(isRead, tables.some("a")), archive), rule(and(tables.some("A"), isRead), Target.primary)])
      ),
      "it matches the same statements as rule 1"
    )
  })

  it("for a rule that contradicts itself", () => {
    for (
      const predicate of [
        and(kind("insert"), kind("update")),
        and(isRead, not(isRead)),
        and(isRead, kind("delete", "truncate")),
        and(kind("insert"), whereEquals("k", 1)),
        and(RoutingRules.access("read"), RoutingRules.access("write", "lock")),
        and(kind("insert", "update"), not(kind("update", "insert"))),
        and(or(kind("insert"), kind("delete")), isRead),
        or()
      ]
    ) assert.include(problem(make([rule(predicate, archive)])), "no statement can match it", predicate.description)
  })

  it("for names, values and shares that are none", () => {
    const of = (predicate: RoutingRules.Predicate) => problem(make([rule(predicate, archive)]))
    assert.include(of(tables.some([])), "list of tables is empty")
    assert.include(problem(make([insert([], archive)])), "list of tables is empty")
    for (const name of ["", "a.b.c", "a b", "\"a", "a.", ".a"]) {
      assert.include(of(tables.every(name)), "not the name of a table", name)
    }
    assert.include(of(kind()), "list of kinds is empty")
    assert.include(of(RoutingRules.access()), "list of accesses is empty")
    assert.include(of(whereEquals("k", [])), "list of values")
    assert.include(of(whereEquals("k", Number.NaN)), "NaN equals no value")
    assert.include(of(whereEquals("a.b.c.d", 1)), "not the name of a column")
    assert.include(of(whereEquals("a.k", 1, { tables: "b" })), "tables cannot be given")
    assert.include(of(whereEquals("k", 1, { tables: [] })), "is empty")
    assert.include(of(whereEquals("k", 1, { tables: ["a b"] })), "not the name of a table")
    assert.include(of(RoutingRules.fingerprint()), "is empty")
    assert.include(of(RoutingRules.fingerprint("select 1 -- x")), "is no fingerprint")
    for (const percent of [-1, 101, Number.NaN]) assert.include(of(RoutingRules.percent(percent)), "between 0 and 100")
    assert.include(of(RoutingRules.percent(5, { by: { parameter: -1 } })), "not the index of a parameter")
    assert.include(of(RoutingRules.percent(5, { by: { field: "a b" } })), "not the name of a column")
    assert.include(
      problem(make([read(Target.mirrored(archive, { percent: 200, to: Target.any }))])),
      "between 0 and 100"
    )
    assert.include(problem(make([RoutingRules.byField("k", () => undefined, { targets: [] })])), "targets is empty")
    assert.include(of(not(or(and(tables.some([]))))), "list of tables is empty")
  })

  it("for a name that two rules have", () => {
    assert.include(
      problem(make([insert(archive, { name: "mine" }), read(archive, { name: "mine" })])),
      "rule 2 (mine): rule 1 has the same name"
    )
  })

  it("for expressions that match nothing, or take exponential time", () => {
    assert.include(problem(make([rule(matching(/a^b/), archive)])), "matches no text")
    assert.include(problem(make([rule(matching(/(a+)+$/), archive)])), "exponential time")
    assert.include(problem(make([rule(matching(/a/y), archive)])), "sticky")
  })

  it("telling all that is wrong at once", () => {
    const text = problem(make([insert(Target.replica), read(Target.database("x")), rule(or(), archive)]))
    for (const number of [1, 2, 3]) assert.include(text, `rule ${number}: `)
  })
})

describe("rules compile with a warning", () => {
  it("for a rule that denies, and is asked only for texts with several statements", () => {
    assert.match(
      warnings(make([write(Target.primary), RoutingRules.truncate(Target.deny("no"))]))[0]!,
      /never reached: .* save in texts with several statements/
    )
  })

  it("for no rule for writes where no match fails", () => {
    assert.deepStrictEqual(warnings(make([read(archive)], { otherwise: "fail" })), [
      "otherwise: no rule matches writes, so every write fails"
    ])
    assert.deepStrictEqual(warnings(make([read(archive), insert("a", archive)], { otherwise: "fail" })), [])
    assert.deepStrictEqual(warnings(make([], { otherwise: "fail" })), [
      "otherwise: there are no rules, so every statement fails"
    ])
  })

  it("for expressions that the normalised text cannot match outside quoted names", () => {
    for (const regex of [/SELECT/, /a = 'x'/, /id = 5/, /a\nb/]) {
      assert.lengthOf(warnings(make([rule(matching(regex), archive)])), 1, String(regex))
      assert.lengthOf(warnings(make([rule(matching(regex, { text: "raw" }), archive)])), 0, String(regex))
    }
    for (const regex of [/SELECT/i, /"Orders"/, /t1 = \?/, /[A-Z]|select/, /(SELECT)?/]) {
      assert.lengthOf(warnings(make([rule(matching(regex), archive)])), 0, String(regex))
    }
    assert.lengthOf(warnings(make([rule(matching(/Orders/), archive)]), "mysql"), 0)
  })

  it("for expressions that cannot be checked, and a Database without replicas", () => {
    assert.lengthOf(warnings(make([rule(matching(/(a)\1/), archive)])), 1)
    assert.lengthOf(warnings(make([read(Target.database("lonely", "replica"))])), 1)
  })

  it("and without one if there is nothing to say", () => {
    assert.deepStrictEqual(
      compiled(make([
        RoutingRules.truncate(Target.deny("no")),
        rule(and(isRead, whereEquals("k", 1)), archive),
        rule(and(isRead, whereEquals("k", [1, 2])), archive),
        read("orders", Target.replica),
        read(Target.any),
        rule(RoutingRules.percent(10), archive),
        rule(RoutingRules.percent(10), archive),
        insert("a", archive),
        insert("b", archive),
        write(Target.primary)
      ])).warnings,
      []
    )
  })
})

describe("lint", () => {
  const verbs: { readonly [name: string]: RoutingRules.VerbRule } = {
    insert,
    update: RoutingRules.update,
    delete: RoutingRules.delete,
    read,
    truncate: RoutingRules.truncate
  }
  const names = ["a", "b", "c", "d", "e", "f", "g", "h"]
  /** Rules that have nothing to do with one another: each its own verb and table. */
  const valid = fc.uniqueArray(
    fc.record({
      table: fc.constantFrom(...names),
      verb: fc.constantFrom(...Object.keys(verbs)),
      target: fc.constantFrom(Target.primary, Target.auto, archive, Target.endpoint("main-primary"), Target.deny("no"))
    }),
    { selector: ({ table, verb }) => verb + table, maxLength: 12 }
  ).map((specs) => specs.map(({ table, target, verb }): RoutingRules.Rule => verbs[verb]!(table, target)))

  it("has nothing to say of rules that have nothing to do with one another", () => {
    fc.assert(fc.property(valid, (rules) => {
      assert.deepStrictEqual(lint(make(rules), knownOf("postgres")), [])
    }))
  })

  const faults: { readonly [name: string]: { readonly rule: RoutingRules.Rule; readonly says: string } } = {
    database: { rule: insert("z", Target.database("nowhere")), says: "no Database" },
    endpoint: { rule: insert("z", Target.endpoint("nowhere")), says: "no endpoint" },
    dialect: { rule: insert("z", Target.database("foreign")), says: "speaks" },
    replica: { rule: insert("z", Target.replica), says: "sends writes" },
    contradiction: { rule: rule(and(kind("insert"), kind("update")), archive), says: "no statement" },
    tables: { rule: insert([], archive), says: "is empty" },
    percent: { rule: rule(RoutingRules.percent(120), archive), says: "between" },
    never: { rule: rule(matching(/x$y/), archive), says: "no text" },
    exponential: { rule: rule(matching(/^(\w+\s?)*$/), archive), says: "exponential" }
  }

  it("finds every fault that is planted among them, and names its rule", () => {
    fc.assert(fc.property(valid, fc.nat(), fc.constantFrom(...Object.keys(faults)), (rules, at, name) => {
      const { rule, says } = faults[name]!
      const i = at % (rules.length + 1)
      const errors = lint(make(rules.toSpliced(i, 0, rule)), knownOf("postgres"))
      assert.deepStrictEqual(errors.map(({ number, severity }) => [number, severity]), [[i + 1, "error"]])
      assert.include(errors[0]!.reason, says)
    }))
  })

  it("finds every rule that is put behind one that covers it", () => {
    fc.assert(fc.property(valid, fc.nat(), fc.nat(), (rules, from, gap) => {
      fc.pre(rules.length > 0)
      const i = from % rules.length
      const shadow = rule(and(RoutingRules.custom("x", () => true), rules[i]!.predicate), Target.primary)
      const j = i + 1 + gap % (rules.length - i)
      const found = lint(make(rules.toSpliced(j, 0, shadow)), knownOf("postgres"))
      assert.deepStrictEqual(found.map(({ number }) => number), [j + 1])
      assert.include(found[0]!.reason, `never reached: rule ${i + 1}`)
    }))
  })
})
