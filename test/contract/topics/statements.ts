import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Dialect, Topic } from "../support.js"
import { add, freshName, makePeople, namesIn } from "../support.js"

/** How a dialect writes names and parameters. */
interface Notation {
  readonly id: (name: string) => string
  readonly p: (index: number) => string
}

const notations: { readonly [dialect in Dialect]: Notation } = {
  pg: { id: (name) => `"${name}"`, p: (index) => `$${index}` },
  sqlite: { id: (name) => `"${name}"`, p: () => "?" },
  mysql: { id: (name) => `\`${name}\``, p: () => "?" }
}

interface Case {
  readonly what: string
  readonly statement: (sql: SqlClient.SqlClient) => Statement.Statement<object>
  readonly text: (notation: Notation) => string
  readonly params: ReadonlyArray<unknown>
}

const date = new Date("2024-02-29T12:00:00Z")

const cases: ReadonlyArray<Case> = [
  {
    what: "a text",
    statement: (sql) => sql`SELECT 1`,
    text: () => "SELECT 1",
    params: []
  },
  {
    what: "parameters, in the order they stand",
    statement: (sql) => sql`SELECT ${1}, ${"two"}, ${null}, ${date}`,
    text: ({ p }) => `SELECT ${p(1)}, ${p(2)}, ${p(3)}, ${p(4)}`,
    params: [1, "two", null, date]
  },
  {
    what: "identifiers, quoted at their dots and doubled at their quotes",
    statement: (sql) => sql`SELECT ${sql("a.b")} FROM ${sql("people")}`,
    text: ({ id }) => `SELECT ${id("a")}.${id("b")} FROM ${id("people")}`,
    params: []
  },
  {
    what: "a literal",
    statement: (sql) => sql`SELECT * FROM people ORDER BY ${sql.literal("id DESC")}`,
    text: () => "SELECT * FROM people ORDER BY id DESC",
    params: []
  },
  {
    what: "a list",
    statement: (sql) => sql`SELECT * FROM people WHERE id IN ${sql.in([1, 2, 3])}`,
    text: ({ p }) => `SELECT * FROM people WHERE id IN (${p(1)},${p(2)},${p(3)})`,
    params: [1, 2, 3]
  },
  {
    what: "a column in a list",
    statement: (sql) => sql`SELECT * FROM people WHERE ${sql.in("id", [1, 2])} AND age > ${30}`,
    text: ({ id, p }) => `SELECT * FROM people WHERE ${id("id")} IN (${p(1)},${p(2)}) AND age > ${p(3)}`,
    params: [1, 2, 30]
  },
  {
    what: "a column in an empty list, which is never so",
    statement: (sql) => sql`SELECT * FROM people WHERE ${sql.in("id", [])}`,
    text: () => "SELECT * FROM people WHERE 1=0",
    params: []
  },
  {
    what: "an insert of one row",
    statement: (sql) => sql`INSERT INTO people ${sql.insert({ name: "Ada", age: 36 })}`,
    text: ({ id, p }) => `INSERT INTO people (${id("name")},${id("age")}) VALUES (${p(1)},${p(2)})`,
    params: ["Ada", 36]
  },
  {
    what: "an insert of several rows, with NULL for what one lacks",
    statement: (sql) => sql`INSERT INTO people ${sql.insert([{ name: "Ada", age: 36 }, { name: "Bob" }])}`,
    text: ({ id, p }) => `INSERT INTO people (${id("name")},${id("age")}) VALUES (${p(1)},${p(2)}),(${p(3)},${p(4)})`,
    params: ["Ada", 36, "Bob", null]
  },
  {
    what: "an insert that returns",
    statement: (sql) => sql`INSERT INTO people ${sql.insert({ name: "Ada" }).returning("*")}`,
    text: ({ id, p }) => `INSERT INTO people (${id("name")}) VALUES (${p(1)}) RETURNING *`,
    params: ["Ada"]
  },
  {
    what: "an insert that returns a fragment with parameters",
    statement: (sql) => sql`INSERT INTO people ${sql.insert({ name: "Ada" }).returning(sql`id, ${"x"} AS x`)}`,
    text: ({ id, p }) => `INSERT INTO people (${id("name")}) VALUES (${p(1)}) RETURNING id, ${p(2)} AS x`,
    params: ["Ada", "x"]
  },
  {
    what: "an update, without what is omitted",
    statement: (sql) => sql`UPDATE people SET ${sql.update({ id: 1, name: "Ada", age: 36 }, ["id"])} WHERE id = ${1}`,
    text: ({ id, p }) => `UPDATE people SET ${id("name")} = ${p(1)}, ${id("age")} = ${p(2)} WHERE id = ${p(3)}`,
    params: ["Ada", 36, 1]
  },
  {
    what: "an update that returns",
    statement: (sql) => sql`UPDATE people SET ${sql.update({ name: "Ada" }).returning(sql("id"))}`,
    text: ({ id, p }) => `UPDATE people SET ${id("name")} = ${p(1)} RETURNING ${id("id")}`,
    params: ["Ada"]
  },
  {
    what: "conditions that all hold",
    statement: (sql) => sql`SELECT * FROM people WHERE ${sql.and(["a IS NULL", sql`b = ${1}`, sql.in("c", [2])])}`,
    text: ({ id, p }) => `SELECT * FROM people WHERE (a IS NULL AND b = ${p(1)} AND ${id("c")} IN (${p(2)}))`,
    params: [1, 2]
  },
  {
    what: "conditions of which one holds, nested",
    statement: (sql) => sql`SELECT * FROM people WHERE ${sql.or([sql`a = ${1}`, sql.and([sql`b = ${2}`, "c"])])}`,
    text: ({ p }) => `SELECT * FROM people WHERE (a = ${p(1)} OR (b = ${p(2)} AND c))`,
    params: [1, 2]
  },
  {
    what: "no conditions, which always hold",
    statement: (sql) => sql`SELECT * FROM people WHERE ${sql.and([])} AND ${sql.or([])}`,
    text: () => "SELECT * FROM people WHERE 1=1 AND 1=1",
    params: []
  },
  {
    what: "a comma-separated list with its prefix, and an empty one without",
    statement: (sql) =>
      sql`SELECT * FROM people ${sql.csv("ORDER BY", ["name", sql`age DESC`])}${sql.csv("LIMIT", [])}`,
    text: () => "SELECT * FROM people ORDER BY name, age DESC",
    params: []
  },
  {
    what: "clauses joined by a word of one's own",
    statement: (sql) => sql`${sql.join(" UNION ", false)([sql`SELECT ${1}`, sql`SELECT ${2}`])}`,
    text: ({ p }) => `SELECT ${p(1)} UNION SELECT ${p(2)}`,
    params: [1, 2]
  },
  {
    what: "a fragment inside a statement",
    statement: (sql) => sql`SELECT * FROM (${sql`SELECT ${1} AS a`}) AS t WHERE a = ${2}`,
    text: ({ p }) => `SELECT * FROM (SELECT ${p(1)} AS a) AS t WHERE a = ${p(2)}`,
    params: [1, 2]
  },
  {
    what: "an unsafe text with its parameters",
    statement: (sql) => sql.unsafe("SELECT ?, ?", [1, "two"]),
    text: () => "SELECT ?, ?",
    params: [1, "two"]
  },
  {
    what: "an unsafe text inside a statement",
    statement: (sql) => sql`SELECT * FROM (${sql.unsafe("SELECT 1 AS a")}) AS t WHERE a = ${2}`,
    text: ({ p }) => `SELECT * FROM (SELECT 1 AS a) AS t WHERE a = ${p(1)}`,
    params: [2]
  }
]

export const statements: Topic = (it, { dialect }) => {
  const notation = notations[dialect]

  for (const { params, statement, text, what } of cases) {
    it.effect(`compiles ${what}`, () =>
      Effect.map(
        SqlClient.SqlClient,
        (sql) => assert.deepStrictEqual(statement(sql).compile(), [text(notation), params])
      ))
  }

  if (dialect === "pg") {
    it.effect("compiles an update from values", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const data = sql.updateValues([{ id: 1, name: "Ada" }, { id: 2, name: "Bob" }], "data")
        assert.deepStrictEqual(
          sql`UPDATE people SET name = data.name FROM ${data.returning("people.id")}`.compile(),
          [
            `UPDATE people SET name = data.name FROM (values ($1,$2),($3,$4)) AS data("id","name") RETURNING people.id`,
            [1, "Ada", 2, "Bob"]
          ]
        )
      }))
  }

  it.effect("compiles the same statement once", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statement = sql`SELECT ${1}`
      assert.strictEqual(statement.compile(), statement.compile())
    }))

  it.effect("compiles by a template function that was taken off the client", () =>
    Effect.gen(function*() {
      const { in: list, insert, unsafe } = yield* SqlClient.SqlClient
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(
        sql`${insert({ a: 1 })} ${list([2])} ${unsafe("x")}`.compile()[1],
        [1, 2]
      )
    }))

  it.effect("a statement is a fragment", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.isTrue(Statement.isFragment(sql`SELECT 1`))
      assert.isTrue(Statement.isFragment(sql.unsafe("SELECT 1")))
      assert.isFalse(Statement.isFragment(sql("people")))
    }))

  it.effect("a statement in JSON tells its segments, text and parameters", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statement = sql`SELECT ${1} AS a`
      assert.deepStrictEqual(JSON.parse(JSON.stringify(statement)), {
        _id: "@effect/sql/Statement",
        segments: [
          { _tag: "Literal", value: "SELECT " },
          { _tag: "Parameter", value: 1 },
          { _tag: "Literal", value: " AS a" }
        ],
        sql: `SELECT ${notation.p(1)} AS a`,
        params: [1]
      })
    }))

  it.effect("a choice by dialect is the client's", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual(
        sql.onDialect({
          sqlite: () => "sqlite",
          pg: () => "pg",
          mysql: () => "mysql",
          mssql: () => "mssql",
          clickhouse: () => "clickhouse"
        }),
        dialect
      )
      assert.strictEqual(sql.onDialectOrElse({ [dialect]: () => "mine", orElse: () => "other" }), "mine")
      assert.strictEqual(sql.onDialectOrElse({ mssql: () => "mine", orElse: () => "other" }), "other")
    }))

  it.effect("`safe` is the client itself", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual(sql.safe, sql)
    }))

  it.effect("without transforms to leave out, the client without them is the client itself", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual(sql.withoutTransforms(), sql)
    }))

  it.effect("what the helpers compile to, the database understands", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const people = yield* makePeople
      yield* sql`INSERT INTO ${sql(people)} ${sql.insert([{ name: "Ada" }, { name: "Bob" }, { name: "Cy" }])}`
      yield* sql`UPDATE ${sql(people)} SET ${sql.update({ id: 2, name: "Ben" }, ["id"])} WHERE id = ${2}`
      yield* sql`DELETE FROM ${sql(people)} WHERE ${sql.or([sql.in("id", [3, 4]), sql.in("id", [])])}`
      assert.deepStrictEqual(
        yield* sql`SELECT * FROM ${sql(people)} WHERE ${sql.and([sql.in("id", [1, 2, 3]), "name <> ''"])} ${
          sql.csv("ORDER BY", [sql`${sql(`${people}.id`)} DESC`])
        }`,
        [{ id: 2, name: "Ben" }, { id: 1, name: "Ada" }]
      )
    }))

  if (dialect !== "mysql") {
    it.effect("an insert returns what it asks for", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        assert.deepStrictEqual(
          yield* sql`INSERT INTO ${sql(people)} ${
            sql.insert([{ name: "Ada" }, { name: "Bob" }]).returning(sql`id, name AS called`)
          }`,
          [{ id: 1, called: "Ada" }, { id: 2, called: "Bob" }]
        )
      }))
  }

  if (dialect === "pg") {
    it.effect("an update from values updates and returns", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        yield* add(people, "Ada", "Bob")
        const data = sql.updateValues([{ name: "Ada", title: "Dr" }, { name: "Bob", title: "Mr" }], "data")
        yield* sql`UPDATE ${sql(people)} AS p SET name = data.title FROM ${data} WHERE p.name = data.name`
        assert.deepStrictEqual(yield* namesIn(people), ["Dr", "Mr"])
      }))
  }

  it.effect("an identifier that holds the quote itself stays one name", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const quote = notation.id("").charAt(0)
      const name = freshName(`odd${quote}name`)
      yield* sql`CREATE TABLE ${sql(name)} (id INTEGER)`
      yield* sql`INSERT INTO ${sql(name)} ${sql.insert({ id: 1 })}`
      assert.deepStrictEqual(yield* sql`SELECT id FROM ${sql(name)}`, [{ id: 1 }])
    }))
}
