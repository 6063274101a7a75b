import { assert, describe, it } from "@effect/vitest"
import type { Dialect } from "effect-sql-router/Dialect"
import * as fc from "fast-check"
import { split } from "../../src/cli/split.js"

const texts = (dialect: Dialect, text: string) => split(dialect, text).map(({ sql }) => sql)

describe("split", () => {
  it("tells where each statement begins, past the comments before it", () => {
    assert.deepStrictEqual(split("postgres", "-- a;\n\n  SELECT 1; /* b; */ SELECT\n2;\n"), [
      { sql: "SELECT 1", line: 3, column: 3 },
      { sql: "SELECT\n2", line: 3, column: 22 }
    ])
  })

  it("keeps comments within a statement, and drops empty statements", () => {
    assert.deepStrictEqual(texts("sqlite", ";; SELECT /* ; */ 1 -- ;\n + 2 ;; -- end"), ["SELECT /* ; */ 1 -- ;\n + 2"])
  })

  it("knows each dialect's strings and names", () => {
    assert.deepStrictEqual(texts("postgres", `SELECT 'a;', "b;", $$c;$$, $x$d;$$;$x$, E'\\';'; SELECT 2`), [
      `SELECT 'a;', "b;", $$c;$$, $x$d;$$;$x$, E'\\';'`,
      "SELECT 2"
    ])
    assert.deepStrictEqual(texts("mysql", "SELECT 'a;', \"b;\", `c;`, 'd\\';' # e;\n; SELECT 2"), [
      "SELECT 'a;', \"b;\", `c;`, 'd\\';'",
      "SELECT 2"
    ])
    assert.deepStrictEqual(texts("sqlite", "SELECT 'a;', \"b;\", `c;`, [d;], 'e\\'; SELECT 2"), [
      "SELECT 'a;', \"b;\", `c;`, [d;], 'e\\'",
      "SELECT 2"
    ])
  })

  it("leaves the body of a routine whole", () => {
    const trigger =
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END"
    const procedure =
      "CREATE PROCEDURE p() BEGIN IF a THEN SET b = 1; END IF; CASE c WHEN 1 THEN SET d = 1; END CASE; SELECT 1; END"
    const atomic = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"
    const rule = "CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM c)"
    assert.deepStrictEqual(texts("sqlite", `${trigger}; SELECT 1`), [trigger, "SELECT 1"])
    assert.deepStrictEqual(texts("mysql", `${procedure}; SELECT 1`), [procedure, "SELECT 1"])
    assert.deepStrictEqual(texts("postgres", `${atomic}; SELECT 1; ${rule}; SELECT 2`), [
      atomic,
      "SELECT 1",
      rule,
      "SELECT 2"
    ])
  })

  it("ends a routine without a block at its semicolon", () => {
    const create = "CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()"
    assert.deepStrictEqual(texts("postgres", `${create}; SELECT 1`), [create, "SELECT 1"])
  })

  it("gives all the rest to a statement that has no end", () => {
    assert.deepStrictEqual(texts("postgres", "SELECT 1; SELECT 'a; DELETE FROM b;\n"), [
      "SELECT 1",
      "SELECT 'a; DELETE FROM b;"
    ])
  })

  it("loses nothing but comments, blanks and semicolons", () => {
    const piece = fc.constantFrom(
      "SELECT 1",
      "'a;b'",
      "(",
      ")",
      ";",
      ";\n",
      " ",
      "-- c;\n",
      "/* ; */",
      "CREATE TRIGGER",
      "END"
    )
    fc.assert(
      fc.property(fc.array(piece), fc.constantFrom<Dialect>("postgres", "mysql", "sqlite"), (pieces, dialect) => {
        const text = pieces.join(" ")
        const statements = split(dialect, text)
        let from = 0
        for (const { column, line, sql } of statements) {
          const at = text.indexOf(sql, from)
          assert.isAtLeast(at, from)
          assert.strictEqual(text.slice(0, at).split("\n").length, line)
          assert.strictEqual(at - text.lastIndexOf("\n", at - 1), column)
          assert.match(text.slice(from, at).replace(/--.*|\/\*.*?\*\//g, ""), /^[\s;]*$/)
          from = at + sql.length
        }
        assert.match(text.slice(from).replace(/--.*|\/\*.*?\*\//g, ""), /^[\s;]*$/)
      })
    )
  })
})
