import { assert, describe, it } from "@effect/vitest"
import type { Dialect } from "effect-sql-router/Dialect"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import { defaultRoute, Planner, type SessionStatePolicy } from "../../src/internal/plan.js"

const planner = (policy: SessionStatePolicy) =>
  new Planner({
    database: "main",
    primary: "primary",
    replicas: ["replica1"],
    excluded: [],
    primaryServesReads: true,
    primaryAmongReplicas: false,
    isReplica: (endpoint) => endpoint !== "primary"
  }, policy)

const plan = (dialect: Dialect, sql: string, policy: SessionStatePolicy = "refuse") =>
  planner(policy).plan(StatementClassifier.classify(dialect, sql), defaultRoute)

const refused: { readonly [dialect in Dialect]: ReadonlyArray<string> } = {
  postgres: [
    "SET statement_timeout = 5",
    "SET LOCAL statement_timeout = 5",
    "RESET ALL",
    "DISCARD ALL",
    "SET ROLE reader",
    "SELECT set_config('app.user', '1', false)",
    "SELECT set_config('app.user', '1', true)",
    "CREATE TEMP TABLE a (b int)",
    "SELECT 1 AS b INTO TEMP a",
    "LISTEN c",
    "UNLISTEN c",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(1)",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH c",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SELECT currval('s')",
    "SELECT lastval()",
    "LOCK TABLE a",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT a",
    "SET TRANSACTION READ ONLY"
  ],
  mysql: [
    "SET @a = 1",
    "SELECT @a",
    "SET SESSION sql_mode = ''",
    "SET NAMES utf8mb4",
    "USE shop",
    "SELECT GET_LOCK('a', 1)",
    "SELECT RELEASE_LOCK('a')",
    "SELECT LAST_INSERT_ID()",
    "INSERT INTO child (parent) VALUES (LAST_INSERT_ID())",
    "SELECT FOUND_ROWS()",
    "SELECT ROW_COUNT()",
    "SHOW WARNINGS",
    "CREATE TEMPORARY TABLE a (b int)",
    "LOCK TABLES a READ",
    "SET autocommit = 0",
    "START TRANSACTION"
  ],
  sqlite: [
    "CREATE TEMP TABLE a (b)",
    "ATTACH 'x' AS y",
    "SELECT last_insert_rowid()",
    "SELECT changes()",
    "BEGIN"
  ]
}

const allowed: { readonly [dialect in Dialect]: ReadonlyArray<string> } = {
  postgres: [
    "SHOW server_version",
    "SELECT current_setting('server_version')",
    "SELECT pg_backend_pid()",
    "SELECT nextval('s')",
    "INSERT INTO t (id) VALUES (nextval('s'))",
    "SELECT setval('s', 5)",
    "UPDATE t SET a = 1 WHERE pg_try_advisory_xact_lock(id)",
    "NOTIFY c",
    "SELECT pg_notify('c', 'x')",
    "CREATE TABLE t (id int DEFAULT nextval('s'))",
    "COMMIT PREPARED 'x'",
    "VACUUM",
    "CALL p()",
    "BEGIN; INSERT INTO t VALUES (1); COMMIT"
  ],
  mysql: [
    "SHOW VARIABLES",
    "SHOW TABLES",
    "SELECT @@version, @@sql_mode",
    "SELECT CONNECTION_ID()",
    "SELECT DATABASE()",
    "SELECT IS_FREE_LOCK('a')",
    "UPDATE sequence SET id = LAST_INSERT_ID(id + 1)",
    "INSERT INTO t (a) VALUES (1); SELECT * FROM t WHERE id = LAST_INSERT_ID()",
    "SET GLOBAL max_connections = 5",
    "SET PASSWORD FOR 'u'@'h' = 'x'",
    "CREATE USER 'u'@'h'",
    "CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
    "XA COMMIT 'x'",
    "KILL 5"
  ],
  sqlite: ["PRAGMA foreign_keys", "PRAGMA foreign_keys = ON", "PRAGMA journal_mode = WAL", "VACUUM"]
}

describe("statements about their session, outside of anything that holds a connection", () => {
  for (const dialect of ["postgres", "mysql", "sqlite"] as const) {
    it.each(refused[dialect])(`are refused, and told what to use (${dialect}): %s`, (sql) => {
      const { candidates, refusal } = plan(dialect, sql)
      assert.strictEqual(refusal?.reason, "sessionState")
      assert.match(refusal!.message, /withTransaction.*reserve.*withPooledConnection.*freshConnection/)
      assert.deepStrictEqual(candidates, [])
    })

    it.each(refused[dialect])(`run on the primary where that is the policy (${dialect}): %s`, (sql) => {
      const { candidates, refusal } = plan(dialect, sql, "primary")
      assert.isUndefined(refusal)
      assert.deepStrictEqual(candidates.map(({ endpoints }) => endpoints), [["primary"]])
    })

    it.each(allowed[dialect])(`are not taken for that where any connection will do (${dialect}): %s`, (sql) => {
      const { leavesSession, refusal } = plan(dialect, sql)
      assert.isUndefined(refusal)
      assert.isFalse(leavesSession)
    })
  }

  it.each<[Dialect, string, boolean]>([
    ["postgres", "SET a = 1", true],
    ["postgres", "SET LOCAL a = 1", false],
    ["postgres", "SELECT currval('s')", false],
    ["postgres", "BEGIN", false],
    ["postgres", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", true],
    ["postgres", "CREATE TEMP TABLE a (b int)", true],
    ["postgres", "CREATE TEMP TABLE a (b int) ON COMMIT DROP", false],
    ["postgres", "SELECT 1; SET a = 1", true],
    ["postgres", "BEGIN; SET LOCAL a = 1; COMMIT", false],
    ["mysql", "SET @a = 1", true],
    ["mysql", "SELECT @a", false],
    ["mysql", "SET autocommit = 0", true],
    ["mysql", "SET TRANSACTION READ ONLY", true]
  ])("end their connection where they leave it another: %s %s (%s)", (dialect, sql, leaves) => {
    const facts = StatementClassifier.classify(dialect, sql)
    assert.strictEqual(plan(dialect, sql, "primary").leavesSession, leaves)
    assert.strictEqual(planner("refuse").inside(facts).leavesSession, leaves)
  })
})
