import { assert, describe, it } from "@effect/vitest"
import * as Explanation from "effect-sql-router/Explanation"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Target from "effect-sql-router/Target"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { stripVTControlCharacters } from "node:util"
import { fakeRouter, type FakeRouterOptions } from "./fixtures/fakeRouter.js"

const rules = RoutingRules.make([
  RoutingRules.ddl(Target.deny("Nothing is dropped here")),
  RoutingRules.read("invoices", Target.database("archive")),
  RoutingRules.insert("orders", Target.primary, { name: "orders" }),
  RoutingRules.read(Target.replica)
])

const explain = (sql: string, options: FakeRouterOptions = {}) =>
  Effect.gen(function*() {
    const router = yield* fakeRouter({
      replicas: { replica1: {}, replica2: {}, spare: { weight: 0 } },
      databases: { archive: { replicas: { replica1: {} } } },
      classifier: StatementClassifier.make(),
      ...options
    })
    return yield* router.sql.explain(router.sql.unsafe(sql))
  })

/** The lines of one branch of the tree, from its label on. */
const branch = (tree: string, label: string): ReadonlyArray<string> => {
  const lines = tree.split("\n")
  const from = lines.findIndex((line) => line.slice(3).startsWith(label))
  if (from < 0) return []
  const to = lines.findIndex((line, i) => i > from && /^[├└]/.test(line))
  const column = lines[from]!.length - lines[from]!.slice(3 + label.length).trimStart().length
  return lines.slice(from, to < 0 ? undefined : to).map((line) => line.slice(column))
}

describe("Explanation", () => {
  describe("render", () => {
    it.scoped("is a tree of the whole answer", () =>
      Effect.gen(function*() {
        const explanation = yield* explain("SELECT * FROM orders WHERE id = 1", { rules })
        const policies = [
          { policy: "strategy", value: "ewma", source: "default" },
          { policy: "hooks", value: "afterConnect", source: "context" }
        ] as const
        assert.strictEqual(
          Explanation.render({ ...explanation, policies }),
          [
            "SELECT * FROM orders WHERE id = 1",
            "^^^^^^ reads only, at 1:1",
            "│",
            "├─ statement  select, a confirmed read",
            "│             reads    orders",
            "├─ rules      ✗ rule 1: ddl → deny: Nothing is dropped here",
            "│               its kind is select",
            "│             ✗ rule 2: read invoices → archive",
            "│               it reads orders",
            "│             ✗ rule 3: orders",
            "│               its kind is select",
            "│             ✓ rule 4: read → replica",
            "│               it is a confirmed read",
            "├─ goes to    database main: read",
            "│             1. replica: replica1 or replica2",
            "│             2. primary, as a fallback",
            "│             on a connection for reads",
            "├─ not to     spare: its weight is 0",
            "├─ again      elsewhere, for a read changes nothing",
            "└─ policies   strategy  ewma (default)",
            "              hooks     afterConnect (context)"
          ].join("\n")
        )
      }))

    it.scoped("tells how many rules were not asked", () =>
      Effect.gen(function*() {
        const tree = Explanation.render(yield* explain("INSERT INTO orders VALUES (1)", { rules }))
        assert.deepStrictEqual(branch(tree, "rules").slice(-3), [
          "✓ rule 3: orders",
          "  its kind is insert, it writes orders",
          "· 1 more rule was not asked"
        ])
      }))

    it.scoped("tells that no rule matched, and what holds then", () =>
      Effect.gen(function*() {
        const tree = Explanation.render(yield* explain("DELETE FROM orders", { rules }))
        assert.strictEqual(branch(tree, "rules").at(-1), "no rule matched")
        assert.deepStrictEqual(branch(tree, "by"), ["otherwise"])
      }))

    it.scoped("names the override that decided in place of the rules", () =>
      Effect.gen(function*() {
        const tree = Explanation.render(yield* RoutedSqlClient.withPrimary(explain("SELECT 1", { rules })))
        assert.deepStrictEqual(branch(tree, "rules"), [])
        assert.deepStrictEqual(branch(tree, "by"), ["withPrimary"])
      }))

    it.scoped("tells why a statement is refused, and no place for it", () =>
      Effect.gen(function*() {
        const refused = Explanation.render(yield* explain("DROP TABLE orders", { rules }))
        assert.deepStrictEqual(branch(refused, "refused"), ["Nothing is dropped here", "denied, database main"])
        assert.deepStrictEqual(branch(refused, "goes to"), [])
        assert.deepStrictEqual(branch(refused, "again"), [])
      }))

    it.scoped("marks the token that decided, in the line where it is", () =>
      Effect.gen(function*() {
        const tree = Explanation.render(
          yield* explain("\n      SELECT *\n      FROM orders\n\n      WHERE\tlast_insert_rowid() = 1\n    ")
        )
        assert.deepStrictEqual(tree.split("\n").slice(0, 5), [
          "SELECT *",
          "FROM orders",
          "",
          "WHERE last_insert_rowid() = 1",
          "      ^^^^^^^^^^^^^^^^^ function that depends on its session, at 5:13"
        ])
      }))

    it.scoped("shows of a long statement what is around the token", () =>
      Effect.gen(function*() {
        const columns = Array.from({ length: 40 }, (_, i) => `column${i}`)
        const long = `SELECT ${columns.join(", ")}, unheard_of(1), ${columns.join(", ")}`
        for (const sql of [long, long.replaceAll(", ", ",\n")]) {
          const lines = Explanation.render(yield* explain(sql), { width: 60 }).split("\n│\n")[0]!.split("\n")
          assert.isAtMost(lines.length, 13)
          const mark = lines.findIndex((line) => line.includes("^"))
          const at = lines[mark]!.indexOf("^")
          assert.strictEqual(lines[mark - 1]!.slice(at, at + "unheard_of".length), "unheard_of")
          assert.isTrue(lines.every((line) => line.length <= 60))
        }
      }))

    it.scoped("keeps to its width", () =>
      Effect.gen(function*() {
        const explanation = yield* explain("BEGIN", { rules, databases: { archive: {} } })
        for (const width of [60, 80, 100]) {
          const lines = Explanation.render(explanation, { width }).split("\n")
          assert.isTrue(lines.every((line) => line.length <= width), `wider than ${width}`)
        }
      }))

    it.scoped("tells of each of several statements", () =>
      Effect.gen(function*() {
        const tree = Explanation.render(yield* explain("SELECT 1; DELETE FROM orders"))
        assert.deepStrictEqual(branch(tree, "statement").slice(0, 3), [
          "several statements, a write",
          "1. select, a confirmed read: reads only",
          "2. delete, a write: DELETE"
        ])
      }))

    it.scoped("renders any text, also an empty one", () =>
      Effect.gen(function*() {
        for (const sql of ["", " \n ", "-- nothing", "'", "\0", "SELECT 'x\r\ny' \u2028 z", ";"]) {
          assert.include(Explanation.render(yield* explain(sql)), "statement")
        }
      }))

    it.scoped("uses colours only if asked to, and nothing but colours then", () =>
      Effect.gen(function*() {
        const explanation = yield* explain("DELETE FROM orders", { rules })
        const plain = Explanation.render(explanation)
        const colored = Explanation.render(explanation, { color: true })
        assert.notInclude(plain, "\u001b")
        assert.include(colored, "\u001b")
        assert.strictEqual(stripVTControlCharacters(colored), plain)
      }))
  })

  describe("policies", () => {
    const sources = (explanation: Explanation.Explanation) =>
      Object.fromEntries(explanation.policies.map(({ policy, source, value }) => [policy, `${value}: ${source}`]))

    it.scoped("tell options from what was provided and from defaults", () =>
      Effect.gen(function*() {
        const provided = yield* explain("SELECT 1", { strategy: undefined, pool: { max: 3, idleTimeout: "5 seconds" } })
          .pipe(Effect.provide(Layer.merge(
            ReplicaStrategy.layer(ReplicaStrategy.failover),
            StatementClassifier.layer()
          )))
        assert.include(sources(provided), {
          strategy: "failover: context",
          pool: "max 3, idleTimeout 5 seconds: option",
          shadow: "false: default"
        })
      }))

    it.scoped("are those of the Database that the statement goes to", () =>
      Effect.gen(function*() {
        const router = yield* fakeRouter({ databases: { archive: {} } })
        const archive = yield* router.sql.database("archive")
        const explanation = yield* archive.explain(archive`SELECT 1`)
        assert.strictEqual(explanation.plan.database, "archive")
        assert.include(sources(explanation), { strategy: "roundRobin: option" })
      }))
  })

  describe("toJSON", () => {
    it.scoped("holds all facts, the plan and the endpoints chosen, and survives JSON", () =>
      Effect.gen(function*() {
        const explanation = yield* explain("SELECT lower(name) FROM users WHERE id IN (7, 9223372036854775807)", {
          rules
        })
        const json = Explanation.toJSON(explanation)
        assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), json)
        const { facts } = json as unknown as { readonly facts: { readonly [name: string]: Explanation.Json } }
        assert.deepInclude(facts, {
          kind: "select",
          replicaSafe: true,
          reads: [{ name: "users" }],
          functions: ["lower"]
        })
        assert.deepStrictEqual(facts.equalities, [{
          table: { name: "users" },
          column: "id",
          values: [{ _tag: "Literal", value: 7 }, { _tag: "Literal", value: "9223372036854775807" }]
        }])
        assert.deepInclude(json.chosen, { role: "replica", endpoints: ["replica1", "replica2"] })
        assert.deepStrictEqual((json.rules as ReadonlyArray<Explanation.Json>).length, 4)
      }))

    it.scoped("has nothing chosen where the statement is refused", () =>
      Effect.gen(function*() {
        const explanation = yield* explain("BEGIN")
        assert.strictEqual(Explanation.chosen(explanation), undefined)
        assert.notProperty(Explanation.toJSON(explanation), "chosen")
      }))
  })
})
