import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type { Dialect } from "effect-sql-router/Dialect"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Target from "effect-sql-router/Target"
import * as fc from "fast-check"
import * as Answer from "../src/internal/rules/answer.js"
import { implies, isNever, simplify } from "../src/internal/rules/imply.js"
import { Fields, type Run, testOf } from "../src/internal/rules/predicate.js"
import { compiled, context } from "./rules/support.js"

type Key = number | string | null

const keys: ReadonlyArray<Key> = [1, 2, 3, "1", null]

/** Two tables with a row for each key and each of two other values; then those rows are deleted that are not kept. */
const databaseOf = (keep: (table: string, key: Key) => boolean): Sqlite.Database => {
  const database = new Sqlite(":memory:")
  for (const table of ["t", "u"]) {
    database.exec(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, k, a)`)
    const insert = database.prepare(`INSERT INTO ${table} VALUES (?, ?, ?)`)
    let id = 0
    for (const key of keys) {
      for (const a of [1, 2]) {
        if (keep(table, key)) insert.run(++id, key, a)
        else id++
      }
    }
  }
  return database
}

interface Effects {
  readonly rows: ReadonlyArray<string>
  readonly tables: { readonly [table: string]: ReadonlyMap<number, string> }
}

/** What a statement returns, and what the tables hold after it; nothing of it stays. */
const effectsOf = (database: Sqlite.Database, sql: string, params: ReadonlyArray<Key>): Effects | undefined => {
  let statement: Sqlite.Statement
  try {
    statement = database.prepare(sql)
  } catch {
    return undefined
  }
  database.exec("BEGIN")
  try {
    const used = params.slice(0, sql.split("?").length - 1)
    const rows = statement.reader
      ? (statement.raw().all(...used) as ReadonlyArray<unknown>).map((row) => JSON.stringify(row)).toSorted()
      : [`${statement.run(...used).changes} changes`]
    const contents = (table: string) =>
      new Map(
        (database.prepare(`SELECT id, k, a FROM ${table}`).all() as ReadonlyArray<{ readonly id: number }>).map((row) =>
          [row.id, JSON.stringify(row)] as const
        )
      )
    return { rows, tables: { t: contents("t"), u: contents("u") } }
  } catch {
    return undefined
  } finally {
    database.exec("ROLLBACK")
  }
}

const condition = fc.letrec<{ condition: string }>((tie) => {
  const column = fc.constantFrom("k", "k", "t.k", "u.k", "t.a", "x.k", "a")
  const value = fc.constantFrom("1", "2", "'1'", "?", "?", "NULL", "a", "t.k", "1 + 1")
  const inner = tie("condition")
  const two = (between: string) => fc.tuple(inner, inner).map((parts) => parts.join(` ${between} `))
  return {
    condition: fc.oneof(
      { maxDepth: 3 },
      fc.tuple(column, fc.constantFrom("=", "=", "=", "=", "<>", "IS", ">="), value).map((parts) => parts.join(" ")),
      fc.tuple(column, value, value).map(([c, x, y]) => `${c} IN (${x}, ${y})`),
      fc.constantFrom("t.k = 1 AND u.k = 1", "k = 1", "t.id = u.id", "t.k = u.k", "t.k = 1 AND x.k = 1", "t.k = ?"),
      two("AND"),
      two("AND"),
      two("OR"),
      inner.map((c) => `NOT (${c})`),
      inner.map((c) => `(${c})`),
      inner.map((c) => `EXISTS (SELECT 1 FROM u WHERE ${c})`),
      inner.map((c) => `t.id IN (SELECT id FROM t WHERE ${c})`)
    )
  }
}).condition

const pin = fc.constantFrom(
  "k = 1",
  "t.k = 1",
  "t.k = 1 AND u.k = 1",
  "t.k = 1 AND x.k = 1",
  "t.k IN (2, '1')",
  "t.k IN (2, '1') AND u.k = 2",
  "k IN ('1', ?)",
  "(t.k, u.k) = (1, 1)",
  "u.k = 2"
)

/** Half of the conditions begin with one that says which rows they are about. */
const written = fc.oneof(
  condition,
  fc.tuple(pin, fc.constantFrom("AND", "AND", "AND", "OR"), condition).map(([pin, join, rest]) =>
    `${pin} ${join} (${rest})`
  )
)

const tables = fc.constantFrom(
  "t",
  "t",
  "t",
  "u",
  "t AS x",
  "main.t",
  "t, u",
  "t JOIN u ON t.id = u.id",
  "t LEFT JOIN u ON t.id = u.id",
  "t RIGHT JOIN u ON t.id = u.id",
  "t FULL JOIN u ON t.a = u.a",
  "t JOIN u USING (k)",
  "t NATURAL JOIN u",
  "t JOIN t AS x ON t.id = x.id",
  "t, (SELECT * FROM u) AS x",
  "(SELECT * FROM t) AS t",
  "t JOIN u AS x ON t.k = x.k"
)

const statement = fc.oneof(
  fc.tuple(fc.constantFrom("*", "count(*)", "max(a)", "DISTINCT t.k", "(SELECT count(*) FROM u)"), tables, written).map(
    (
      [columns, from, where]
    ) => `SELECT ${columns} FROM ${from} WHERE ${where}`
  ),
  fc.tuple(tables, written).map(([from, where]) => `SELECT * FROM ${from} WHERE ${where} ORDER BY 1`),
  fc.tuple(fc.constantFrom("a = 9", "k = 3", "a = (SELECT count(*) FROM u)", "a = ?"), written).map(([set, where]) =>
    `UPDATE t SET ${set} WHERE ${where}`
  ),
  written.map((where) => `UPDATE t SET a = u.a + 5 FROM u WHERE ${where}`),
  fc.tuple(fc.constantFrom("t", "t AS x", "u"), written).map(([table, where]) => `DELETE FROM ${table} WHERE ${where}`),
  written.map((where) => `DELETE FROM t WHERE ${where} RETURNING *, (SELECT count(*) FROM u)`),
  written.map((where) => `WITH x AS (SELECT * FROM u) SELECT * FROM t JOIN x ON x.id = t.id WHERE ${where}`),
  written.map((where) => `WITH t AS (SELECT * FROM u) SELECT * FROM t WHERE ${where}`),
  fc.tuple(written, written).map(([x, y]) => `SELECT * FROM t WHERE ${x} UNION ALL SELECT * FROM t WHERE ${y}`),
  written.map((where) => `INSERT INTO t (k, a) SELECT k, a FROM u WHERE ${where}`),
  fc.constant("INSERT INTO t (k, a) VALUES (1, 5)")
)

const fields: ReadonlyArray<readonly [name: string, options: RoutingRules.FieldOptions | undefined, has: string]> = [
  ["k", undefined, "tu"],
  ["k", { tables: ["t", "u"] }, "tu"],
  ["t.k", undefined, "t"],
  ["k", { tables: "u" }, "u"]
]

/**
 * A statement for which `predicate` holds must have the same effect in a database that has only the rows it is said to
 * concern, and must leave all others as they are.
 */
const checkAgainstSqlite = (
  predicateOf: (values: ReadonlyArray<RoutingRules.Value>, field: typeof fields[number]) => RoutingRules.Predicate,
  isConcerned: (isAmong: boolean) => boolean
): number => {
  let held = 0
  const full = databaseOf(() => true)
  for (const field of fields) {
    for (const values of [[1], [2, "1"]] as const) {
      const isOfOthers = (table: string, key: Key) =>
        field[2].includes(table) && !isConcerned((values as ReadonlyArray<Key>).includes(key))
      const shard = databaseOf((table, key) => !isOfOthers(table, key))
      const target = Target.database("archive")
      const rules = compiled(
        RoutingRules.make([RoutingRules.rule(predicateOf(values, field), target)]),
        "sqlite"
      )
      fc.assert(
        fc.property(
          statement,
          fc.array(fc.constantFrom(...keys), { minLength: 20, maxLength: 20 }),
          (sql, params) => {
            const decision = rules.decide(StatementClassifier.classify("sqlite", sql), sql, params, context)
            if (decision.target !== target) return
            const whole = effectsOf(full, sql, params)
            if (whole === undefined) return
            held++
            const part = effectsOf(shard, sql, params)
            const what = `${sql} of ${JSON.stringify(params)}`
            assert.deepStrictEqual(part?.rows, whole.rows, what)
            let id = 0
            for (const key of keys) {
              for (const a of [1, 2]) {
                id++
                for (const table of ["t", "u"]) {
                  const after = whole.tables[table]!.get(id)
                  if (isOfOthers(table, key)) assert.strictEqual(after, JSON.stringify({ id, k: key, a }), what)
                  else assert.strictEqual(after, part!.tables[table]!.get(id), what)
                }
              }
            }
          }
        ),
        { numRuns: 5000 }
      )
      shard.close()
    }
  }
  full.close()
  return held
}

describe("against SQLite executing the statement", () => {
  it("whereEquals never matches when another row could be touched", () => {
    const held = checkAgainstSqlite(
      (values, [name, options]) => RoutingRules.whereEquals(name, values, options),
      (is) => is
    )
    assert.isAbove(held, 300)
  })

  it("its contrary never matches when one of its rows could be touched", () => {
    const held = checkAgainstSqlite(
      (values, [name, options]) => RoutingRules.not(RoutingRules.whereEquals(name, values, options)),
      (is) => !is
    )
    assert.isAbove(held, 300)
  })
})

describe("the order of rules", () => {
  const { and, kind, not, or, tables, whereEquals } = RoutingRules
  const leaves: ReadonlyArray<RoutingRules.Predicate> = [
    RoutingRules.isRead,
    kind("insert"),
    kind("select", "values"),
    kind("update", "delete"),
    RoutingRules.access("write"),
    RoutingRules.access("read", "lock"),
    ...(["any", "read", "written", "main"] as const).flatMap((use) => [
      tables.some("t", use),
      tables.some(["t", "s.u"], use),
      tables.every(["t", "u"], use),
      tables.every("s.t", use)
    ]),
    whereEquals("k", 1),
    whereEquals("k", [1, 2]),
    whereEquals("t.k", [1, "x"]),
    whereEquals("k", 2, { tables: ["t", "u"] }),
    RoutingRules.fingerprint("select * from t"),
    RoutingRules.matching(/^select/),
    RoutingRules.percent(40, { by: { field: "k" } }),
    RoutingRules.percent(80, { by: { field: "k" } }),
    RoutingRules.always
  ]
  const predicate = fc.letrec<{ predicate: RoutingRules.Predicate }>((tie) => ({
    predicate: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(...leaves),
      fc.constantFrom(...leaves),
      tie("predicate").map(not),
      fc.array(tie("predicate"), { minLength: 1, maxLength: 3 }).map((all) => and(...all)),
      fc.array(tie("predicate"), { minLength: 1, maxLength: 3 }).map((all) => or(...all))
    )
  })).predicate

  const texts = [
    "SELECT 1",
    "SELECT * FROM t",
    "SELECT * FROM t WHERE k = 1",
    "SELECT * FROM s.t WHERE k IN (1, 2)",
    "SELECT * FROM t JOIN u ON true WHERE t.k = 1 AND u.k = 2",
    "SELECT * FROM T WHERE k = ?",
    "SELECT * FROM t FOR UPDATE",
    "INSERT INTO t SELECT * FROM u",
    "INSERT INTO s.u VALUES (1)",
    "UPDATE t SET a = 1 WHERE k = 2",
    "DELETE FROM u WHERE k = 3",
    "CALL p()",
    "FOO",
    "VALUES (1)",
    "BEGIN",
    "EXPLAIN SELECT * FROM t WHERE k = 1",
    ""
  ]
  const run: Run = { sql: "", params: [1, 1], context }
  const answer = (dialect: Dialect, predicate: RoutingRules.Predicate, sql: string, late: boolean) =>
    testOf(predicate, new Fields(dialect)).of(
      { facts: StatementClassifier.classify(dialect, sql), isOneOfSeveral: false, demands: [] },
      late ? run : undefined
    )
  const dialect = fc.constantFrom<Dialect>("postgres", "mysql", "sqlite")

  it("one predicate implies another only if the other matches whatever it does", () => {
    let implied = 0
    fc.assert(
      fc.property(predicate, predicate, dialect, (a, b, dialect) => {
        const [x, y] = [simplify(a), simplify(b)]
        if (!implies(dialect, x, y)) return
        implied++
        for (const sql of texts) {
          if (answer(dialect, a, sql, true) === Answer.Yes) {
            assert.strictEqual(answer(dialect, b, sql, true), Answer.Yes, `${sql}: ${a.description} ⇒ ${b.description}`)
          }
        }
      }),
      { numRuns: 4000 }
    )
    assert.isAbove(implied, 300)
  })

  it("a simplified predicate answers as the one it is made of, and never what cannot be", () => {
    fc.assert(
      fc.property(predicate, dialect, (predicate, dialect) => {
        const simple = simplify(predicate)
        const never = isNever(simple)
        for (const sql of texts) {
          const is = answer(dialect, predicate, sql, true)
          assert.strictEqual(answer(dialect, simple, sql, true), is, `${sql}: ${predicate.description}`)
          if (never) assert.notStrictEqual(is, Answer.Yes, `${sql}: ${predicate.description}`)
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("what the facts tell is what is told with parameters at hand", () => {
    fc.assert(
      fc.property(predicate, dialect, (predicate, dialect) => {
        for (const sql of texts) {
          const early = answer(dialect, predicate, sql, false)
          const late = answer(dialect, predicate, sql, true)
          assert.notStrictEqual(late, Answer.Later)
          if (early !== Answer.Later) assert.strictEqual(early, late, `${sql}: ${predicate.description}`)
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("is kept: the first rule that matches alone decides", () => {
    fc.assert(
      fc.property(
        fc.array(predicate, { maxLength: 6 }),
        dialect,
        fc.constantFrom(...texts),
        (predicates, dialect, sql) => {
          const facts = StatementClassifier.classify(dialect, sql)
          const params = [1, 1]
          const rules = predicates.map((predicate, i) =>
            RoutingRules.rule(RoutingRules.and(predicate, RoutingRules.custom(`${i}`, () => true)), Target.primary)
          ).filter((one) => !isNever(simplify(one.predicate)))
          const alone = rules.map((rule) =>
            compiled(RoutingRules.make([rule]), dialect).decide(facts, sql, params, context).by === "rule"
          )
          const all = compiled(RoutingRules.make(rules), dialect)
          const { number } = all.decide(facts, sql, params, context)
          assert.strictEqual(number, alone.includes(true) ? alone.indexOf(true) + 1 : undefined)
          assert.strictEqual(all.decide(facts, sql, params, context).number, number, "a second time")
          assert.deepStrictEqual(
            all.trace(facts, sql, params, context).filter(({ matched }) => matched).map((one) => one.number),
            number === undefined ? [] : [number]
          )
        }
      ),
      { numRuns: 2000 }
    )
  })
})
