import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type { Dialect } from "effect-sql-router/Dialect"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as StatementFacts from "effect-sql-router/StatementFacts"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"

const { classify, make } = StatementClassifier

/** `schema.name`, as tests read best. */
const names = (tables: ReadonlyArray<StatementFacts.Table>): ReadonlyArray<string> =>
  tables.map(({ name, schema }) => schema === undefined ? name : `${schema}.${name}`)

const reads = (sql: string, dialect: Dialect = "postgres") => names(classify(dialect, sql).reads)
const writes = (sql: string, dialect: Dialect = "postgres") => names(classify(dialect, sql).writes)

describe("the tables of a statement", () => {
  it("are those of FROM lists, joins and subqueries, each once", () => {
    assert.deepStrictEqual(
      reads(
        "SELECT (SELECT max(x) FROM a), b.* FROM b, c AS d JOIN (e LEFT JOIN f ON true) USING (x), b b2 WHERE x IN (SELECT y FROM g)"
      ),
      ["a", "b", "c", "e", "f", "g"]
    )
    assert.deepStrictEqual(reads("TABLE a UNION ALL (TABLE b) EXCEPT SELECT * FROM ONLY c"), ["a", "b", "c"])
  })

  it("are not the names in WITH, where these are known", () => {
    assert.deepStrictEqual(reads("WITH a AS (SELECT * FROM a), b AS (SELECT * FROM a) SELECT * FROM b, c"), ["a", "c"])
    assert.deepStrictEqual(reads("WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n FROM a) SELECT * FROM a"), [])
    assert.deepStrictEqual(reads("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a"), ["a"])
    assert.deepStrictEqual(reads("WITH a AS (SELECT 1) SELECT * FROM s.a"), ["s.a"])
  })

  it("are not functions, aliases, nor what follows FROM in an expression", () => {
    assert.deepStrictEqual(
      reads("SELECT extract(year FROM d), trim(both FROM e) FROM generate_series(1, 2) AS g(n), t x(a, b)"),
      ["t"]
    )
    assert.deepStrictEqual(reads("SELECT a IS NOT DISTINCT FROM b FROM t"), ["t"])
    assert.deepStrictEqual(reads("SELECT * FROM json_each('[]') j, pragma_table_info('t')", "sqlite"), [
      "json_each",
      "pragma_table_info"
    ])
  })

  it("are folded and unquoted as the dialect does it", () => {
    assert.deepStrictEqual(reads("SELECT * FROM Public.Orders, \"Public\".\"My \"\"Orders\"\"\""), [
      "public.orders",
      "Public.My \"Orders\""
    ])
    assert.deepStrictEqual(reads("SELECT * FROM Shop.`My ``Orders```, Users", "mysql"), ["Shop.My `Orders`", "Users"])
    assert.deepStrictEqual(reads("SELECT * FROM Main.[My Orders], \"Users\", `T`, 'U'", "sqlite"), [
      "main.my orders",
      "users",
      "t",
      "u"
    ])
  })

  it("are read and written apart", () => {
    assert.deepStrictEqual(writes("INSERT INTO a (x) SELECT y FROM b ON CONFLICT (x) DO UPDATE SET y = 1"), ["a"])
    assert.deepStrictEqual(reads("INSERT INTO a (x) SELECT y FROM b"), ["b"])
    assert.deepStrictEqual(writes("UPDATE ONLY s.a AS x SET y = (SELECT z FROM c) FROM b WHERE true"), ["s.a"])
    assert.deepStrictEqual(reads("UPDATE ONLY s.a AS x SET y = (SELECT z FROM c) FROM b WHERE true"), ["c", "b"])
    assert.deepStrictEqual(writes("DELETE FROM a USING b JOIN c ON true WHERE a.x = b.x"), ["a"])
    assert.deepStrictEqual(reads("DELETE FROM a USING b JOIN c ON true WHERE a.x = b.x"), ["b", "c"])
    assert.deepStrictEqual(writes("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE"), ["a"])
    assert.deepStrictEqual(reads("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE"), ["b"])
    assert.deepStrictEqual(writes("WITH x AS (DELETE FROM a RETURNING *), y AS (UPDATE b SET c = 1) SELECT * FROM x"), [
      "a",
      "b"
    ])
    assert.deepStrictEqual(writes("SELECT * INTO TEMP TABLE a FROM b"), ["a"])
    assert.deepStrictEqual(writes("REPLACE LOW_PRIORITY INTO a VALUES (1)", "mysql"), ["a"])
    assert.deepStrictEqual(writes("UPDATE a JOIN b ON a.x = b.x SET a.y = 1", "mysql"), ["a", "b"])
    assert.deepStrictEqual(writes("INSERT OR IGNORE INTO main.a DEFAULT VALUES", "sqlite"), ["main.a"])
    assert.deepStrictEqual(reads("EXPLAIN SELECT * FROM a"), ["a"])
    assert.deepStrictEqual(reads("COPY a TO STDOUT"), ["a"])
    assert.deepStrictEqual(writes("COPY a (b, c) FROM STDIN"), ["a"])
    assert.deepStrictEqual(reads("DECLARE c CURSOR FOR SELECT * FROM a"), ["a"])
    assert.deepStrictEqual(writes("PREPARE p AS DELETE FROM a"), ["a"])
    assert.deepStrictEqual(writes("TRUNCATE TABLE ONLY a, s.b CASCADE"), ["a", "s.b"])
    assert.deepStrictEqual(writes("ALTER TABLE IF EXISTS ONLY a ADD COLUMN b int"), ["a"])
    assert.deepStrictEqual(writes("CREATE UNLOGGED TABLE IF NOT EXISTS a AS SELECT * FROM b"), ["a"])
    assert.deepStrictEqual(writes("DROP TABLE IF EXISTS a, b", "mysql"), ["a", "b"])
    assert.deepStrictEqual(writes("CREATE UNIQUE INDEX i ON a (b)", "sqlite"), ["a"])
  })
})

const equalities = (sql: string, dialect: Dialect = "postgres", options?: StatementClassifier.Options) =>
  make(options).classify(dialect, sql).equalities.map(({ column, table, values }) =>
    `${table === undefined ? "" : `${table.name}.`}${column} = ${
      values.map((value) => value._tag === "Literal" ? JSON.stringify(value.value) : `$${value.index}`).join(" | ")
    }`
  )

describe("the equalities of a statement", () => {
  it("tell the column, its table, and literals or the index of parameters", () => {
    assert.deepStrictEqual(
      equalities(
        "SELECT * FROM t WHERE a = $2 AND 'it''s' = b AND t.c IN (1, -2.5, $1::int) AND d = true AND e = 'xy'::char"
      ),
      [
        "t.a = $1",
        "t.b = \"it's\"",
        "t.c = 1 | -2.5 | $0",
        "t.d = true"
      ]
    )
    assert.deepStrictEqual(equalities("UPDATE t SET x = ? WHERE (a = ?) AND (b, c) = (?, 5)", "mysql"), [
      "t.a = $1",
      "t.b = $2",
      "t.c = 5"
    ])
    assert.deepStrictEqual(equalities("DELETE FROM t WHERE a == ?2 AND b = ?", "sqlite"), ["t.a = $1", "t.b = $2"])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE a <=> ? AND `b` = 'x'", "mysql"), [
      "t.a = $0",
      "t.b = \"x\""
    ])
  })

  it("know aliases, and leave the table out where the text does not tell it", () => {
    assert.deepStrictEqual(
      equalities("SELECT 1 FROM a x LEFT JOIN s.b AS y ON x.i = y.i WHERE x.k = 1 AND y.l = 2 AND s.b.m = 3 AND n = 4"),
      [
        "a.k = 1",
        "b.l = 2",
        "m = 3",
        "n = 4"
      ]
    )
    assert.deepStrictEqual(equalities("SELECT 1 FROM a x JOIN a y ON true WHERE x.k = 1"), ["k = 1"])
    assert.deepStrictEqual(equalities("SELECT 1 FROM a WHERE k = 1 AND EXISTS (SELECT 1 FROM a)"), ["k = 1"])
    assert.deepStrictEqual(equalities("WITH a AS (SELECT 1) SELECT 1 FROM a WHERE k = 1"), ["k = 1"])
    assert.deepStrictEqual(equalities("SELECT 1 FROM a, generate_series(1, 2) b WHERE k = 1"), ["k = 1"])
  })

  it("are none under OR, NOT, CASE, set operations and what else leaves room", () => {
    for (
      const where of [
        "a = 1 OR b = 2",
        "NOT a = 1",
        "NOT (a = 1)",
        "(a = 1) IS NOT TRUE",
        "a = 1 IS FALSE",
        "CASE WHEN a = 1 THEN true ELSE b = 2 AND c = 3 END",
        "x BETWEEN 1 AND a = 2",
        "a = b",
        "a = 1 + 1",
        "a + 1 = 1",
        "lower(a) = 'x'",
        "a = 'x' || 'y'",
        "a = ANY ($1)",
        "a = NULL",
        "a = E'x'",
        "a IN (1, b)",
        "a NOT IN (1, 2)",
        "a::text = 'x'",
        "a = 1::numeric",
        "a = 'x' COLLATE \"C\"",
        "(a = 1 OR b = 2)",
        "((a = 1)) OR (b = 2)",
        "a = 1 AND b = 2 OR c = 3",
        "current_user = 'x'",
        "a = 'x' 'y'"
      ]
    ) assert.deepStrictEqual(equalities(`SELECT 1 FROM t WHERE ${where}`), [], where)
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE a = 1 UNION SELECT 1 FROM u WHERE a = 1"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t JOIN u ON a = 1"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE b IN (SELECT c FROM u WHERE a = 1)"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t HAVING a = 1"), [])
    assert.deepStrictEqual(equalities("INSERT INTO t SELECT 1 FROM u WHERE a = 1"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE a = 1 /*!50000 OR b = 2 */", "mysql"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE a = 1 || b = 2 AND c = 3", "mysql"), [])
    assert.deepStrictEqual(equalities("SELECT 1 FROM t WHERE a = 1 XOR b = 2", "mysql"), [])
  })

  it("are found beside what is not understood", () => {
    assert.deepStrictEqual(
      equalities(
        "SELECT 1 FROM t WHERE x BETWEEN 1 AND 2 AND a = 1 AND (b OR c) AND NOT d AND CASE WHEN e AND f THEN 1 END = 1 AND g = 2 ORDER BY 1 LIMIT 1"
      ),
      ["t.a = 1", "t.g = 2"]
    )
  })

  it("take double quotes for a string only where the server is known to", () => {
    const sql = "SELECT 1 FROM t WHERE a = \"x\""
    assert.deepStrictEqual(equalities(sql, "mysql"), [])
    assert.deepStrictEqual(equalities(sql, "mysql", { ansiQuotes: false }), ["t.a = \"x\""])
    assert.deepStrictEqual(equalities(sql, "mysql", { ansiQuotes: true }), [])
  })

  it("of an INSERT are the values of its rows, where all are literals or parameters", () => {
    const sql =
      "INSERT INTO s.t AS x (a, \"B\", c, d) VALUES (1, $1, lower('x'), 'y'), (2, $2, 'x', DEFAULT) RETURNING a"
    assert.deepStrictEqual(equalities(sql), ["t.a = 1 | 2", "t.B = $0 | $1"])
    assert.deepStrictEqual(equalities("INSERT INTO t (a, b) VALUES ((SELECT max(a) FROM u), $1)"), ["t.b = $0"])
    assert.deepStrictEqual(equalities("INSERT INTO t (a) VALUES ($1::int) ON CONFLICT DO NOTHING"), ["t.a = $0"])
    assert.deepStrictEqual(equalities("INSERT LOW_PRIORITY t (a) VALUE (?), (?)", "mysql"), ["t.a = $0 | $1"])
    assert.deepStrictEqual(equalities("INSERT INTO t SET a = ?, t.b = 'x', c = NOW(), d = -1", "mysql"), [
      "t.a = $0",
      "t.b = \"x\"",
      "t.d = -1"
    ])
    assert.deepStrictEqual(equalities("INSERT OR IGNORE INTO t (a) VALUES (?1)", "sqlite"), ["t.a = $0"])
  })

  it.each<[Dialect, string]>([
    ["postgres", "INSERT INTO t VALUES (1)"],
    ["postgres", "INSERT INTO t (a) SELECT 1"],
    ["postgres", "INSERT INTO t (a) (SELECT 1)"],
    ["postgres", "INSERT INTO t DEFAULT VALUES"],
    ["postgres", "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2"],
    ["postgres", "INSERT INTO t (a) OVERRIDING USER VALUE VALUES (1)"],
    ["postgres", "INSERT INTO t (a[1]) VALUES (1)"],
    ["postgres", "INSERT INTO t (a.b) VALUES (1)"],
    ["postgres", "INSERT INTO t (a) VALUES (1 + 1)"],
    ["postgres", "INSERT INTO t (a) VALUES (1), (DEFAULT)"],
    ["postgres", "INSERT INTO t (a) VALUES (1), (NULL)"],
    ["postgres", "INSERT INTO t (a) VALUES (1, 2)"],
    ["postgres", "INSERT INTO t (a) VALUES (1) RETURNING (SELECT count(*) FROM t)"],
    ["postgres", "WITH d AS (DELETE FROM t) INSERT INTO t (a) VALUES (1)"],
    ["mysql", "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE b = 2"],
    ["mysql", "INSERT INTO t (a) VALUES (1) AS n ON DUPLICATE KEY UPDATE b = n.a"],
    ["mysql", "INSERT INTO t SET a = 1 ON DUPLICATE KEY UPDATE b = 2"],
    ["mysql", "INSERT IGNORE INTO t (a) VALUES (1)"],
    ["mysql", "INSERT INTO t PARTITION (p) (a) VALUES (1)"],
    ["mysql", "INSERT INTO t (a) VALUES (/*!50000 2 + */ 1)"],
    ["mysql", "INSERT INTO t () VALUES ()"],
    ["mysql", "INSERT INTO t SET a = 1, a = 2"],
    ["mysql", "REPLACE INTO t (a) VALUES (1)"],
    ["sqlite", "INSERT OR REPLACE INTO t (a) VALUES (1)"],
    ["sqlite", "REPLACE INTO t (a) VALUES (1)"],
    ["sqlite", "INSERT INTO t (a, A) VALUES (1, 2)"],
    ["sqlite", "INSERT INTO t (a) VALUES (1) ON CONFLICT DO UPDATE SET a = 2"]
  ])("of an INSERT are none where a value may be another, or another row be touched: %s %s", (dialect, sql) => {
    assert.deepStrictEqual(equalities(sql, dialect), [])
  })

  it("of an INSERT hold for every row that a server inserts", () => {
    const database = new Sqlite(":memory:")
    database.exec("CREATE TABLE t (a, b, c DEFAULT 7, UNIQUE (a))")
    database.exec("CREATE TABLE u (a)")
    database.exec("INSERT INTO u VALUES (5), (6)")
    const item = fc.constantFrom(
      "1",
      "2",
      "-3",
      "'x'",
      "'it''s'",
      "NULL",
      "1 + 1",
      "(2)",
      "(SELECT max(a) FROM u)",
      "a"
    )
    const conflict = fc.constantFrom("", "", "ON CONFLICT DO NOTHING", "ON CONFLICT (a) DO UPDATE SET c = 9, a = b")
    const insert = fc.record({
      verb: fc.constantFrom("INSERT INTO", "INSERT OR REPLACE INTO", "REPLACE INTO", "INSERT OR IGNORE INTO"),
      columns: fc.constantFrom("(a, b)", "(b, a)", "(b, \"c\")", "(a, a)", ""),
      rows: fc.array(fc.tuple(item, item), { minLength: 1, maxLength: 3 }),
      conflict,
      returning: fc.constantFrom("", " RETURNING a")
    })
    let found = 0
    fc.assert(
      fc.property(insert, ({ columns, conflict, returning, rows, verb }) => {
        const sql = `${verb} t ${columns} VALUES ${
          rows.map((row) => `(${row.join(", ")})`).join(", ")
        } ${conflict}${returning}`
        const told = classify("sqlite", sql).equalities
        if (told.length === 0) return
        database.exec("DELETE FROM t")
        database.exec("INSERT INTO t (a, b, c) VALUES (1, 100, 100)")
        try {
          if (returning === "") database.prepare(sql).run()
          else database.prepare(sql).all()
        } catch {
          return
        }
        found++
        const all = database.prepare("SELECT a, b, c FROM t WHERE b IS NOT 100 OR a IS NOT 1").all()
        for (const { column, values } of told) {
          const allowed = values.map((value) => value._tag === "Literal" ? value.value : undefined)
          for (const row of all as ReadonlyArray<Record<string, unknown>>) assert.include(allowed, row[column], sql)
        }
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(found, 200)
    database.close()
  })

  it("hold for every row that a server finds", () => {
    const database = new Sqlite(":memory:")
    database.exec("CREATE TABLE t (a, b, c)")
    const insert = database.prepare("INSERT INTO t VALUES (?, ?, ?)")
    for (const a of [0, 1, 2, null]) {
      for (const b of [0, 1, 2, null]) for (const c of [0, 1, 2, null]) insert.run(a, b, c)
    }
    const { condition } = fc.letrec<{ condition: string }>((tie) => {
      const inner = tie("condition")
      const column = fc.constantFrom("a", "b", "c", "t.a")
      const value = fc.constantFrom("0", "1", "2", "a", "c", "NULL", "1 + 1")
      const two = (between: string) => fc.tuple(inner, inner).map((parts) => parts.join(` ${between} `))
      return {
        condition: fc.oneof(
          { maxDepth: 4 },
          fc.tuple(column, fc.constantFrom("=", "=", "=", "<", "IS", "=="), value).map((parts) => parts.join(" ")),
          fc.tuple(value, column).map((parts) => parts.join(" = ")),
          fc.tuple(column, value, value).map(([c, x, y]) => `${c} IN (${x}, ${y})`),
          two("AND"),
          two("AND"),
          two("OR"),
          inner.map((c) => `NOT ${c}`),
          inner.map((c) => `(${c})`),
          fc.tuple(column, value, inner).map(([c, x, y]) => `${c} BETWEEN ${x} AND ${y}`),
          fc.tuple(inner, inner, inner).map(([c, x, y]) => `CASE WHEN ${c} THEN ${x} ELSE ${y} END`),
          inner.map((c) => `${c} IS NOT TRUE`),
          inner.map((c) => `EXISTS (SELECT 1 WHERE ${c})`)
        )
      }
    })
    let found = 0
    fc.assert(
      fc.property(condition, fc.constantFrom<Dialect>("postgres", "mysql", "sqlite"), (where, dialect) => {
        const sql = `SELECT a, b, c FROM t WHERE ${where}`
        const told = classify(dialect, sql).equalities
        found += told.length
        const rows = database.prepare(sql).all() as ReadonlyArray<Record<string, unknown>>
        for (const { column, values } of told) {
          const allowed = values.map((value) => value._tag === "Literal" ? value.value : undefined)
          for (const row of rows) assert.include(allowed, row[column], `${sql}: ${column}`)
        }
      }),
      { numRuns: 5000 }
    )
    assert.isAbove(found, 500)
    database.close()
  })
})

describe("what else is told of a statement", () => {
  it("its kind is its verb's, after WITH too", () => {
    const kinds = (dialect: Dialect, ...texts: ReadonlyArray<string>) => texts.map((sql) => classify(dialect, sql).kind)
    assert.deepStrictEqual(
      kinds(
        "postgres",
        "SELECT 1",
        "VALUES (1)",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "((SELECT 1))",
        "EXPLAIN SELECT 1",
        "COPY t TO STDOUT",
        "FETCH c",
        "LISTEN c",
        "VACUUM",
        "",
        "SELECT 1; SELECT 2",
        "FOO"
      ),
      [
        "select",
        "values",
        "delete",
        "select",
        "explain",
        "copy",
        "cursor",
        "notify",
        "maintenance",
        "empty",
        "multiple",
        "unknown"
      ]
    )
    assert.deepStrictEqual(
      kinds(
        "mysql",
        "REPLACE INTO t VALUES (1)",
        "SHOW TABLES",
        "CALL p()",
        "USE d",
        "SET TRANSACTION READ ONLY",
        "LOCK TABLES t READ"
      ),
      ["replace", "show", "call", "set", "transaction", "lock"]
    )
    assert.deepStrictEqual(kinds("sqlite", "PRAGMA x", "ATTACH 'a' AS b", "TRUNCATE t"), [
      "pragma",
      "attach",
      "unknown"
    ])
  })

  it("why it was decided so, with the token and its place", () => {
    assert.deepStrictEqual(classify("postgres", "SELECT a, nextval('s') FROM t FOR UPDATE").why, {
      reason: "function that writes",
      token: "nextval",
      position: 10
    })
    assert.deepStrictEqual(classify("postgres", "SELECT /* c */ app.f(1)").why, {
      reason: "function that is not known to be harmless",
      token: "app.f",
      position: 15
    })
    assert.deepStrictEqual(classify("mysql", "SELECT 1; SELECT 2").why, {
      reason: "more than one statement",
      token: ";",
      position: 8
    })
  })

  it("its row locks at any depth", () => {
    assert.deepStrictEqual(
      classify(
        "postgres",
        "SELECT * FROM (SELECT * FROM t FOR NO KEY UPDATE) a WHERE EXISTS (SELECT 1 FROM u FOR KEY SHARE) FOR UPDATE"
      ).locks,
      ["no key update", "key share", "update"]
    )
    assert.deepStrictEqual(classify("mysql", "SELECT * FROM t LOCK IN SHARE MODE").locks, ["share"])
    assert.deepStrictEqual(classify("postgres", "SELECT substring(a FOR 2) FROM t").locks, [])
  })

  it("the functions it calls", () => {
    assert.deepStrictEqual(
      classify(
        "postgres",
        "SELECT Lower(a), pg_catalog.now(), substring(b FROM 1), \"Mine\"(c), count(*) FROM f(1) AS x(y) WHERE a IN (1)"
      ).functions,
      ["lower", "pg_catalog.now", "substring", "Mine", "count", "f"]
    )
  })

  const effects = (dialect: Dialect, sql: string) =>
    classify(dialect, sql).sessionEffects.map(({ change, name, state }) =>
      `${change} ${state}${name === undefined ? "" : ` ${name}`}`
    )

  it("the session state it touches", () => {
    assert.deepStrictEqual(effects("postgres", "SET LOCAL work_mem = '1MB'"), ["sets setting work_mem"])
    assert.deepStrictEqual(effects("postgres", "RESET ALL"), ["ends setting"])
    assert.deepStrictEqual(effects("postgres", "CREATE TEMP TABLE IF NOT EXISTS a (b int)"), [
      "sets temporary object a"
    ])
    assert.deepStrictEqual(effects("postgres", "SELECT pg_advisory_lock(1), currval('s')"), [
      "sets lock",
      "reads generated value s"
    ])
    assert.deepStrictEqual(effects("postgres", "DECLARE c CURSOR FOR SELECT 1"), ["sets cursor c"])
    assert.deepStrictEqual(effects("postgres", "CLOSE ALL"), ["ends cursor"])
    assert.deepStrictEqual(effects("postgres", "PREPARE p AS SELECT 1"), ["sets prepared statement p"])
    assert.deepStrictEqual(effects("postgres", "LISTEN c"), ["sets channel c"])
    assert.deepStrictEqual(effects("postgres", "SELECT set_config('a.b', 'c', false)"), ["sets setting a.b"])
    assert.deepStrictEqual(effects("mysql", "SELECT a, @b := c INTO @d FROM t WHERE e = @f"), [
      "sets user variable @b",
      "sets user variable @d",
      "reads user variable @f"
    ])
    assert.deepStrictEqual(effects("mysql", "SET @a = @b"), ["sets user variable @a", "reads user variable @b"])
    assert.deepStrictEqual(effects("mysql", "SELECT LAST_INSERT_ID(), ROW_COUNT()"), [
      "reads generated value",
      "reads row count"
    ])
    assert.deepStrictEqual(effects("mysql", "DROP TEMPORARY TABLE a"), ["ends temporary object a"])
    assert.deepStrictEqual(effects("mysql", "USE shop"), ["sets database shop"])
    assert.deepStrictEqual(effects("mysql", "SELECT NEXT VALUE FOR s"), ["sets generated value"])
    assert.deepStrictEqual(effects("sqlite", "SELECT changes()"), ["reads row count"])
    assert.deepStrictEqual(effects("postgres", "SELECT 1"), [])
  })

  it.each<[Dialect, string, ReadonlyArray<string>]>([
    ["postgres", "SET a = 1", ["session"]],
    ["postgres", "SET SESSION a = 1", ["session"]],
    ["postgres", "SET LOCAL a = 1", ["transaction"]],
    ["postgres", "SET TRANSACTION READ ONLY", ["transaction"]],
    ["postgres", "SET CONSTRAINTS ALL DEFERRED", ["transaction"]],
    ["postgres", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", ["session"]],
    ["postgres", "RESET a", ["session"]],
    ["postgres", "SELECT set_config('a.b', lower('x'), true)", ["transaction"]],
    ["postgres", "SELECT set_config('a.b', 'x', false)", ["session"]],
    ["postgres", "SELECT set_config('a.b', 'x', $1)", ["session"]],
    ["postgres", "SELECT pg_advisory_lock(1), pg_try_advisory_xact_lock(2)", ["session", "transaction"]],
    ["postgres", "CREATE TEMP TABLE a (b int)", ["session"]],
    ["postgres", "CREATE TEMP TABLE a (b int) ON COMMIT DELETE ROWS", ["session"]],
    ["postgres", "CREATE TEMP TABLE a ON COMMIT DROP AS SELECT 1", ["transaction"]],
    ["postgres", "SELECT 1 AS b INTO TEMP TABLE a", ["session"]],
    ["postgres", "LOCK TABLE a", ["transaction"]],
    ["postgres", "DECLARE c CURSOR FOR SELECT 1", ["transaction"]],
    ["postgres", "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", ["transaction"]],
    ["postgres", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", ["session"]],
    ["postgres", "BEGIN; SET LOCAL a = 1; SET b = 2; COMMIT", ["transaction", "session"]],
    ["mysql", "SET LOCAL a = 1", ["session"]],
    ["mysql", "SET TRANSACTION READ ONLY", ["session"]],
    ["mysql", "SET LOCAL TRANSACTION READ ONLY", ["session"]],
    ["mysql", "LOCK TABLES a READ", ["session"]],
    ["sqlite", "CREATE TEMP TABLE a (b)", ["session"]]
  ])("how long what it sets lasts: %s %s", (dialect, sql, until) => {
    assert.deepStrictEqual(classify(dialect, sql).sessionEffects.map((effect) => effect.until), until)
  })

  it("no session state where a name, an account or a routine's body only looks like it", () => {
    for (
      const sql of [
        "CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
        "CREATE DEFINER = `a`@`b` VIEW v AS SELECT 1",
        "GRANT SELECT ON a.* TO 'u'@'h'",
        "SET PASSWORD FOR 'u'@'h' = 'x'"
      ]
    ) assert.deepStrictEqual(classify("mysql", sql).sessionEffects, [], sql)
    assert.deepStrictEqual(effects("mysql", "CREATE TABLE a AS SELECT @b"), ["reads user variable @b"])
    assert.deepStrictEqual(effects("mysql", "UPDATE s SET id = LAST_INSERT_ID(id + 1)"), ["sets generated value"])
    assert.deepStrictEqual(effects("mysql", "SHOW COUNT(*) WARNINGS"), ["reads diagnostics count"])
  })

  it("how a transaction begins and ends", () => {
    const none = { name: undefined, readOnly: undefined, isolation: undefined, deferrable: undefined, mode: undefined }
    assert.deepStrictEqual(
      classify("postgres", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE").transaction,
      {
        ...none,
        action: "begin",
        readOnly: true,
        isolation: "repeatable read",
        deferrable: false
      }
    )
    assert.deepStrictEqual(classify("mysql", "START TRANSACTION READ WRITE").transaction, {
      ...none,
      action: "begin",
      readOnly: false
    })
    assert.deepStrictEqual(classify("sqlite", "BEGIN IMMEDIATE").transaction, {
      ...none,
      action: "begin",
      mode: "immediate"
    })
    assert.deepStrictEqual(classify("postgres", "ROLLBACK TO SAVEPOINT a").transaction, {
      ...none,
      action: "rollback to",
      name: "a"
    })
    assert.deepStrictEqual(classify("postgres", "COMMIT PREPARED 'x'").transaction, {
      ...none,
      action: "commit",
      name: "'x'"
    })
    assert.deepStrictEqual(classify("mysql", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").transaction, {
      ...none,
      action: "set",
      isolation: "read committed"
    })
    assert.isUndefined(classify("postgres", "SELECT 1").transaction)
  })

  it("the facts of each of several statements, and the strongest access of all", () => {
    const facts = classify("postgres", "SELECT 1; DELETE FROM t;; SELECT 2")
    assert.deepStrictEqual(facts.statements.map(({ kind }) => kind), ["select", "delete", "select"])
    assert.strictEqual(facts.access, "write")
    assert.deepStrictEqual(
      classify("mysql", "CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; DELETE FROM u; END").kind,
      "ddl"
    )
  })

  it("a fingerprint without values and comments", () => {
    const same = (dialect: Dialect, ...texts: ReadonlyArray<string>) =>
      assert.strictEqual(new Set(texts.map((sql) => classify(dialect, sql).fingerprint)).size, 1)
    same(
      "postgres",
      "SELECT a FROM t WHERE b = 1 AND c IN (1, 2)",
      "select  A\nfrom t /* x */ where b = $1 and C in ($2,'x',3) -- y"
    )
    same("mysql", "SELECT `a` FROM t WHERE b = 'x'", "select `a` from t where b = ?")
    assert.notStrictEqual(
      classify("postgres", "SELECT a FROM t").fingerprint,
      classify("postgres", "SELECT \"A\" FROM t").fingerprint
    )
    assert.strictEqual(
      classify("postgres", "SELECT t.a, 1, 2 FROM t WHERE (b = 'x')").fingerprint,
      "select t.a, ?, ... from t where (b = ?)"
    )
  })

  it("is read when it is asked for, also after other statements", () => {
    const classifier = make()
    const facts = classifier.classify("postgres", "SELECT a FROM t WHERE b = 1")
    classifier.classify("postgres", "DELETE FROM u")
    assert.deepStrictEqual(names(facts.reads), ["t"])
    assert.lengthOf(facts.equalities, 1)
  })
})

describe("settings", () => {
  const isSafe = (options: StatementClassifier.Options, dialect: Dialect, sql: string) =>
    make(options).classify(dialect, sql).replicaSafe

  it("name a program's own functions, with or without schema, and win over the tables", () => {
    const functions = { My_Read: "read", "app.my_read": "read", my_write: "write", lower: "session" } as const
    assert.isTrue(isSafe({ functions }, "postgres", "SELECT my_read(1), app.my_read(2), MY_READ(3)"))
    assert.isFalse(isSafe({ functions }, "postgres", "SELECT other.my_read(1)"))
    assert.strictEqual(make({ functions }).classify("mysql", "SELECT my_write()").access, "write")
    assert.strictEqual(make({ functions }).classify("sqlite", "SELECT lower('a')").access, "session")
    assert.isTrue(isSafe({ functions: { regexp: "read" } }, "sqlite", "SELECT a REGEXP 'x' FROM t"))
  })

  it("trust unknown functions where they are told to, but not the known ones", () => {
    assert.isTrue(isSafe({ unknownFunctions: "trust" }, "postgres", "SELECT f(1), app.g(2)"))
    assert.isFalse(isSafe({ unknownFunctions: "trust" }, "postgres", "SELECT nextval('s')"))
  })

  it("send catalog queries to the primary", () => {
    for (
      const [dialect, sql] of [
        ["postgres", "SELECT * FROM pg_class"],
        ["postgres", "SELECT * FROM information_schema.tables"],
        ["mysql", "SELECT * FROM information_schema.tables"],
        ["sqlite", "SELECT * FROM sqlite_master"]
      ] as const
    ) {
      assert.isTrue(isSafe({}, dialect, sql))
      assert.isFalse(isSafe({ catalogQueries: "primary" }, dialect, sql))
    }
  })

  it("say how strings are read", () => {
    const hidden = "SELECT 'a\\'; DELETE FROM t; -- '"
    assert.isFalse(isSafe({}, "mysql", hidden))
    assert.isTrue(isSafe({ noBackslashEscapes: false }, "mysql", hidden))
    assert.strictEqual(make({ noBackslashEscapes: true }).classify("mysql", hidden).kind, "multiple")
    assert.isTrue(isSafe({ standardConformingStrings: false }, "postgres", hidden))
    const shown = "SELECT 'a\\''; DELETE FROM t; --'"
    assert.isTrue(isSafe({}, "postgres", shown))
    assert.isFalse(isSafe({ standardConformingStrings: false }, "postgres", shown))
    assert.isFalse(isSafe({ standardConformingStrings: "unknown" }, "postgres", shown))
  })
})

describe("the service", () => {
  it.effect("is the default classifier unless another is provided", () =>
    Effect.gen(function*() {
      const classifier = yield* StatementClassifier.CurrentStatementClassifier
      assert.isTrue(classifier.classify("postgres", "SELECT 1").replicaSafe)
    }))

  it.effect("can be wrapped", () => {
    const cautious: StatementClassifier.StatementClassifier = {
      classify: (dialect, sql) =>
        sql.includes("secret")
          ? StatementFacts.make({
            kind: "select",
            access: "unknown",
            replicaSafe: false,
            why: { reason: "secret", token: "secret", position: sql.indexOf("secret") }
          })
          : classify(dialect, sql)
    }
    return Effect.gen(function*() {
      const classifier = yield* StatementClassifier.CurrentStatementClassifier
      assert.isFalse(classifier.classify("postgres", "SELECT secret FROM t").replicaSafe)
      assert.isTrue(classifier.classify("postgres", "SELECT a FROM t").replicaSafe)
    }).pipe(Effect.provideService(StatementClassifier.CurrentStatementClassifier, cautious))
  })

  it.effect("has settings from a Layer", () =>
    Effect.gen(function*() {
      const classifier = yield* StatementClassifier.CurrentStatementClassifier
      assert.isTrue(classifier.classify("postgres", "SELECT f()").replicaSafe)
    }).pipe(Effect.provide(StatementClassifier.layer({ functions: { f: "read" } }))))
})
