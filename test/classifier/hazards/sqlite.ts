import type { Families } from "./families.js"

/** Statements of SQLite that a careless reading gets wrong, by what makes them hard, with what they do. */
export const sqlite: Families = {
  "plain reads": {
    read: [
      "SELECT * FROM t WHERE id = 1",
      "VALUES (1,'a'),(2,'b')",
      "WITH a AS (SELECT 1 x) SELECT * FROM a",
      "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<3) SELECT x FROM c",
      "EXPLAIN DELETE FROM t",
      "EXPLAIN QUERY PLAN UPDATE t SET n=1",
      "SELECT * FROM f WHERE f MATCH 'hello'",
      "SELECT * FROM pragma_table_info('t')",
      "SELECT * FROM t INDEXED BY ti WHERE v='a'",
      "SELECT * FROM t, json_each('[1,2]')",
      "SELECT 1 FROM t WINDOW w AS (ORDER BY id)"
    ],
    session: [
      "SELECT replace(v,'a','b'), random(), changes() FROM t"
    ]
  },
  "lexical traps": {
    read: [
      "SELECT [a b;DELETE FROM t] FROM (SELECT 1 AS [a b;DELETE FROM t])",
      "SELECT `x`, \"y\" FROM (SELECT 1 AS `x`, 2 AS \"y\")",
      "SELECT \"no such column\"",
      "SELECT 1 /* no /* nesting */ + 1",
      "SELECT 1 /* unterminated",
      "SELECT 5--1",
      "SELECT 1 -- x ; DELETE FROM t",
      "SELECT x'4142', 1e3, 0x1F, 1_000",
      "SELECT :a, @b, $c, ?1, ?, $d::x(y)",
      "SELECT data -> 'a', data ->> '$.b' FROM (SELECT '{\"a\":1}' AS data)",
      "﻿SELECT 1"
    ],
    multiple: [
      "SELECT 'a\\'; DELETE FROM t; --'"
    ],
    empty: [
      "",
      ";;",
      "-- c"
    ]
  },
  "multi-statement": {
    multiple: [
      "SELECT 1; DELETE FROM t"
    ],
    read: [
      "SELECT 1;",
      "SELECT 1; -- tail"
    ]
  },
  "dml": {
    write: [
      "INSERT INTO t(v) VALUES ('q')",
      "INSERT INTO t(v) VALUES ('q') RETURNING id",
      "REPLACE INTO t2 VALUES (1,'y')",
      "INSERT OR IGNORE INTO t VALUES (1,'a',1)",
      "INSERT INTO t2 VALUES (1,'z') ON CONFLICT DO UPDATE SET v=excluded.v",
      "WITH a AS (SELECT 1 AS id) DELETE FROM t WHERE id IN (SELECT id+98 FROM a)",
      "WITH a AS (SELECT 77 AS id) INSERT INTO t(id) SELECT id FROM a",
      "WITH a AS (SELECT 77 AS id) REPLACE INTO t(id) SELECT id FROM a",
      "UPDATE OR ROLLBACK t SET n=n WHERE 0",
      "DELETE FROM t WHERE 0",
      "INSERT INTO vw VALUES (88,'v')",
      "INSERT INTO f(f) VALUES ('optimize')"
    ]
  },
  "functions": {
    session: [
      "SELECT last_insert_rowid(), total_changes()"
    ],
    write: [
      "SELECT load_extension('nope')"
    ],
    unknown: [
      "SELECT udf_write()"
    ],
    read: [
      "SELECT fts5(?1)"
    ]
  },
  "ddl": {
    write: [
      "CREATE TABLE x1(a)",
      "CREATE TABLE IF NOT EXISTS t(a)",
      "DROP TABLE IF EXISTS nope",
      "ALTER TABLE t2 ADD COLUMN c",
      "CREATE VIRTUAL TABLE vt USING fts5(a)",
      "ANALYZE",
      "REINDEX",
      "VACUUM",
      "VACUUM INTO '/srv/copy.db'"
    ],
    session: [
      "CREATE TEMP TABLE x2(a)",
      "CREATE TABLE temp.x3(a)",
      "CREATE TEMP TRIGGER tt AFTER INSERT ON t BEGIN SELECT 1; END"
    ]
  },
  "transaction": {
    transaction: [
      "BEGIN",
      "BEGIN IMMEDIATE",
      "BEGIN EXCLUSIVE",
      "COMMIT",
      "END TRANSACTION",
      "SAVEPOINT a",
      "RELEASE a",
      "ROLLBACK TO a"
    ]
  },
  "session": {
    session: [
      "ATTACH DATABASE '/srv/other.db' AS o",
      "ATTACH ':memory:' AS m2",
      "DETACH o",
      "SELECT * FROM temp.sqlite_master"
    ]
  },
  "pragma": {
    read: [
      "PRAGMA table_info(t)",
      "PRAGMA main.table_xinfo('t')",
      "PRAGMA foreign_key_list(t)",
      "PRAGMA database_list",
      "PRAGMA compile_options",
      "PRAGMA integrity_check",
      "PRAGMA quick_check(1)",
      "PRAGMA foreign_key_check(t)",
      "PRAGMA user_version",
      "PRAGMA journal_mode"
    ],
    write: [
      "PRAGMA user_version = 7",
      "PRAGMA user_version(7)",
      "PRAGMA application_id=5",
      "PRAGMA schema_version=99",
      "PRAGMA journal_mode=WAL",
      "PRAGMA journal_mode(delete)",
      "PRAGMA wal_checkpoint",
      "PRAGMA wal_checkpoint(TRUNCATE)",
      "PRAGMA incremental_vacuum",
      "PRAGMA optimize",
      "PRAGMA optimize(-1)",
      "PRAGMA auto_vacuum=FULL",
      "PRAGMA encoding='UTF-8'",
      "PRAGMA page_size=8192",
      "PRAGMA default_cache_size=100",
      "PRAGMA /* c */ main . user_version /* d */ = 8",
      "EXPLAIN PRAGMA user_version=9"
    ],
    session: [
      "PRAGMA foreign_keys",
      "PRAGMA foreign_keys=ON",
      "PRAGMA busy_timeout=1000",
      "PRAGMA cache_size=-4000",
      "PRAGMA query_only=0",
      "PRAGMA writable_schema=1",
      "PRAGMA synchronous=OFF",
      "PRAGMA temp_store=2",
      "PRAGMA locking_mode=EXCLUSIVE",
      "PRAGMA shrink_memory",
      "PRAGMA data_version",
      "PRAGMA nosuchpragma=1",
      "PRAGMA case_sensitive_like=1"
    ]
  },
  "calls and relations, again": {
    write: [
      "SELECT optimize(t) FROM t",
      "SELECT \"optimize\"(t) FROM t",
      "SELECT [load_extension]('x')",
      "SELECT (SELECT load_extension('x'))",
      "SELECT * FROM t WHERE load_extension(a)"
    ],
    session: [
      "SELECT * FROM pragma_optimize",
      "SELECT * FROM pragma_journal_mode WHERE arg = 'wal'",
      "SELECT * FROM pragma_foreign_keys",
      "SELECT * FROM main.pragma_wal_checkpoint",
      "SELECT 1 WHERE 1 IN pragma_optimize",
      "SELECT 1 WHERE 1 IN 'pragma_optimize'",
      "SELECT * FROM 'pragma_optimize'",
      "SELECT * FROM temp.t",
      "SELECT * FROM \"temp\".t",
      "SELECT * FROM sqlite_temp_schema",
      "VALUES (last_insert_rowid())",
      "SELECT 'a' WHERE changes() = 1",
      "SELECT 1 IN temp.t"
    ],
    unknown: [
      "SELECT f(1)",
      "SELECT a REGEXP 'x' FROM t",
      "SELECT regexp('x', a) FROM t",
      "SELECT \"f\"(1)",
      "SELECT by(1)",
      "SELECT filter(1)",
      "SELECT # FROM t",
      "SELECT 'a",
      "SELECT [a",
      "SELECT 1a",
      "SELECT 1 \u0000"
    ],
    read: [
      "SELECT * FROM f(1)",
      "SELECT * FROM t('query')",
      "SELECT * FROM pragma_table_info('t') AS p, pragma_index_list(p.name)",
      "SELECT 1 IN t, 2 IN main.u, 3 IN (1, 2)",
      "SELECT sum(a) FILTER (WHERE a > 0) OVER (PARTITION BY (b)) FROM t",
      "SELECT replace(a, 'x', 'y'), like('a', b), glob('a', b) FROM t",
      "SELECT 'a' AS \"into\", [insert], `delete` FROM t",
      "SELECT * FROM 't' AS x",
      "SELECT a -> 'b' ->> 'c', a || b, a == b, a IS NOT b, ~a FROM t",
      "SELECT ?1, ?, :a, @b, $c::d(e) FROM t",
      "SELECT x'00', 1e3, 0x1F, 1_000",
      "SELECT 1 /* x",
      "SELECT 1 -- x",
      "\ufeffSELECT 1",
      "WITH a AS MATERIALIZED (SELECT 1), b(c) AS NOT MATERIALIZED (VALUES (2)) SELECT * FROM a, b",
      "SELECT CAST(a AS numeric(10, 2)) FROM t",
      "SELECT * FROM t INDEXED BY i NATURAL JOIN u",
      "SELECT raise FROM t"
    ]
  },
  "heads of SQLite's statements, again": {
    write: [
      "WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a",
      "WITH a AS (SELECT 1) INSERT OR IGNORE INTO t SELECT * FROM a",
      "PRAGMA \"user_version\" = 7",
      "PRAGMA main.[user_version](7)",
      "PRAGMA journal_mode(wal)",
      "PRAGMA wal_checkpoint",
      "EXPLAIN PRAGMA journal_mode = wal",
      "INSERT INTO t DEFAULT VALUES RETURNING *",
      "VACUUM main INTO 'x'",
      "DROP TABLE t",
      "EXPLAIN QUERY PLAN PRAGMA application_id = 1"
    ],
    session: [
      "EXPLAIN PRAGMA foreign_keys = on",
      "PRAGMA query_only",
      "PRAGMA temp.user_version",
      "CREATE TEMP VIEW v AS SELECT 1",
      "CREATE TABLE temp.x (a)",
      "DETACH DATABASE x",
      "ATTACH 'x' AS y",
      "PRAGMA freelist_count = 5"
    ],
    transaction: [
      "BEGIN DEFERRED TRANSACTION",
      "END",
      "ROLLBACK TRANSACTION TO SAVEPOINT a"
    ],
    multiple: [
      "SELECT 1; DELETE FROM t",
      "SELECT 1;; SELECT 2"
    ],
    read: [
      "EXPLAIN QUERY PLAN SELECT f(1)",
      "EXPLAIN INSERT INTO t VALUES (1)",
      "PRAGMA main.table_info(t)",
      "PRAGMA encoding",
      "VALUES (1), (2)"
    ],
    unknown: [
      "SELECT 1 INTO t",
      "EXPLAIN",
      "EXPLAIN EXPLAIN SELECT 1",
      "(SELECT 1",
      "DECLARE a"
    ]
  }
}
