import type { Families } from "./families.js"

/** Statements of PostgreSQL that a careless reading gets wrong, by what makes them hard, with what they do. */
export const postgres: Families = {
  "plain reads": {
    read: [
      "SELECT * FROM t WHERE id = 1",
      "  \n\t(SELECT id FROM t) UNION ALL (SELECT id FROM t2)",
      "((SELECT 1))",
      "VALUES (1,'a'),(2,'b')",
      "TABLE t",
      "TABLE ONLY t ORDER BY id LIMIT 1",
      "WITH a AS (SELECT 1 x) SELECT * FROM a",
      "WITH a AS MATERIALIZED (VALUES (1)), b AS NOT MATERIALIZED (TABLE t) TABLE b",
      "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n<3) SEARCH DEPTH FIRST BY n SET o SELECT * FROM r",
      "WITH insert AS (SELECT 1) SELECT * FROM insert",
      "SELECT update, delete FROM (SELECT 1 AS update, 2 AS delete) q",
      "SELECT 'x; DELETE FROM t; --' AS s",
      "SELECT $$ DELETE FROM t $$, $q$ it's $$ ; $q$",
      "SELECT /* DELETE FROM t; */ 1 -- ; UPDATE t SET n=1",
      "SELECT 1;",
      "SELECT 1 ; ; -- end",
      "SELECT now(), current_date, current_timestamp(3), current_user, localtimestamp",
      "SELECT random(), gen_random_uuid(), clock_timestamp(), statement_timestamp(), timeofday()",
      "SELECT * FROM t ORDER BY random() LIMIT 1",
      "SELECT * FROM t LIMIT 1 FOR READ ONLY",
      "SELECT * FROM t FETCH FIRST 1 ROW ONLY",
      "SELECT * FROM vrule",
      "EXPLAIN SELECT * FROM t",
      "EXPLAIN (COSTS OFF) DELETE FROM t",
      "EXPLAIN (ANALYZE false) UPDATE t SET n=2",
      "EXPLAIN ANALYZE SELECT * FROM t",
      "COPY t TO STDOUT",
      "COPY (SELECT * FROM t) TO STDOUT WITH CSV",
      "SELECT * FROM pg_stat_activity"
    ]
  },
  "lexical traps": {
    read: [
      "SELECT 1 /* outer /* inner */ still comment ; DELETE FROM t */ , 2",
      "SELECT E'a\\'; DELETE FROM t WHERE id=99; --'",
      "SELECT 'a' --c\n 'b; DELETE FROM t'",
      "SELECT U&'d\\0061t', U&\"d\\0061t\" FROM (SELECT 1 AS dat) q",
      "SELECT U&'x!!'';DELETE FROM t WHERE id=99;--' UESCAPE '!'",
      "SELECT B'1001', X'1F', N'it''s'",
      "SELECT 1 AS a$b$c FROM t",
      "SELECT $é$; DELETE FROM t $é$",
      "SELECT \"a;DELETE FROM t\" FROM (SELECT 1 AS \"a;DELETE FROM t\") q",
      "SELECT 5 - -1, 5--1\n-2",
      "SELECT 1 # 2",
      "SELECT data -> 'a', data #>> '{a,b}', data @> '{}' , data ? 'k' FROM (SELECT '{}'::jsonb data) q",
      "SELECT (ARRAY[1,2,3])[1:2], 'a'::text, x FROM (SELECT 1 x) q WHERE x = 1::int",
      "\f\u000bSELECT 1",
      "SELECT/**/1",
      "SELECT(1)FROM(SELECT 1)q",
      "select*from t"
    ],
    write: [
      "/* a /* b */ */ DELETE FROM t WHERE id=99",
      "-- SELECT\nDELETE FROM t WHERE id=99",
      "--SELECT\rDELETE FROM t WHERE id=99",
      "WITH x AS(DELETE FROM t WHERE id=99 RETURNING*)SELECT*FROM x"
    ],
    multiple: [
      "SELECT 'a\\'; DELETE FROM t WHERE id=99; --'",
      "SELECT 'a\\'; DELETE FROM t WHERE id=99; --'"
    ],
    empty: [
      "",
      " ; ;; ",
      "-- just a comment"
    ]
  },
  "multi-statement": {
    multiple: [
      "SELECT 1; SELECT 2",
      "SELECT 1; DELETE FROM t WHERE id=99",
      "SELECT 1; COMMIT; DELETE FROM t WHERE id=99",
      "SET default_transaction_read_only=off; SET transaction_read_only=off; DELETE FROM t WHERE id=99"
    ]
  },
  "data-modifying cte": {
    write: [
      "WITH d AS (DELETE FROM t WHERE id=99 RETURNING *) SELECT * FROM d",
      "WITH i AS (INSERT INTO t VALUES (50,'z') RETURNING id) SELECT * FROM i",
      "WITH a AS (SELECT 1), u AS (UPDATE t SET n=0 WHERE id=99) SELECT * FROM a",
      "WITH a AS (SELECT 1 AS id) DELETE FROM t USING a WHERE t.id=a.id+98",
      "WITH a AS (SELECT 60 id) INSERT INTO t SELECT id FROM a",
      "WITH a AS (SELECT 1 id) MERGE INTO t USING a ON t.id=a.id WHEN MATCHED THEN UPDATE SET n=9",
      "(WITH d AS (DELETE FROM t WHERE id=99 RETURNING *) SELECT * FROM d)",
      "EXPLAIN (ANALYZE) WITH d AS (DELETE FROM t WHERE id=99 RETURNING *) SELECT * FROM d",
      "COPY (DELETE FROM t WHERE id=99 RETURNING *) TO STDOUT",
      "COPY (WITH d AS (DELETE FROM t WHERE id=99 RETURNING *) TABLE d) TO STDOUT"
    ]
  },
  "select into": {
    write: [
      "SELECT * INTO t_copy FROM t",
      "SELECT 1 AS a INTO TEMP tt",
      "SELECT * INTO UNLOGGED TABLE t_copy2 FROM t",
      "WITH a AS (SELECT 1 x) SELECT x INTO t_copy3 FROM a",
      "(SELECT 1 AS a INTO t_copy4)",
      "SELECT 1 AS a INTO t_copy5 UNION SELECT 2"
    ],
    read: [
      "SELECT 'INTO' AS \"into\", 1 AS intox FROM t"
    ]
  },
  "locking clauses": {
    lock: [
      "SELECT * FROM t WHERE id=1 FOR UPDATE",
      "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
      "SELECT * FROM t FOR SHARE NOWAIT",
      "SELECT * FROM t FOR KEY SHARE OF t",
      "SELECT * FROM t FOR\n/* c */ UPDATE",
      "SELECT * FROM t FOR UPDATE LIMIT 1",
      "SELECT * FROM t FOR UPDATE -- trailing",
      "SELECT * FROM (SELECT * FROM t FOR UPDATE) q",
      "WITH a AS (SELECT * FROM t FOR UPDATE) SELECT * FROM a",
      "TABLE t FOR UPDATE",
      "LOCK TABLE t IN ACCESS SHARE MODE",
      "LOCK TABLE t"
    ],
    read: [
      "EXPLAIN SELECT * FROM t FOR UPDATE",
      "SELECT substring('abc' FOR 2), overlay('abc' PLACING 'x' FROM 1 FOR 1)",
      "SELECT 'for update' AS x, \"for update\" FROM (SELECT 1 AS \"for update\") q"
    ]
  },
  "sequences": {
    write: [
      "SELECT nextval('s')",
      "SELECT setval('s', 10)",
      "SELECT setval('s', 10, false)",
      "SELECT pg_catalog.nextval('s'), \"nextval\"('s')",
      "SELECT NextVal ('s')",
      "SELECT * FROM t WHERE id = (SELECT nextval('s'))"
    ],
    session: [
      "SELECT currval('s')",
      "SELECT lastval()"
    ],
    read: [
      "SELECT last_value FROM s"
    ]
  },
  "functions: session and locks": {
    lock: [
      "SELECT pg_advisory_lock(1)",
      "SELECT pg_try_advisory_lock(1), pg_try_advisory_xact_lock(2)",
      "SELECT pg_advisory_xact_lock_shared(1)",
      "SELECT pg_advisory_unlock_all()"
    ],
    session: [
      "SELECT set_config('search_path','public',false)",
      "SELECT set_config('app.user','1',true)",
      "SELECT set_config('transaction_read_only','off',false)",
      "SELECT setseed(0.5)",
      "SELECT pg_backend_pid(), pg_my_temp_schema(), pg_listening_channels()",
      "SELECT pg_export_snapshot()"
    ],
    read: [
      "SELECT current_setting('app.user', true)",
      "SELECT pg_sleep(0)",
      "SELECT txid_current_if_assigned(), pg_current_snapshot()"
    ],
    write: [
      "SELECT pg_notify('c','x')",
      "SELECT txid_current()",
      "SELECT pg_current_xact_id()"
    ]
  },
  "functions: large objects": {
    write: [
      "SELECT lo_create(0)",
      "SELECT lo_from_bytea(0, '\\x00')",
      "SELECT lo_unlink(1)"
    ],
    read: [
      "SELECT lo_get(1)"
    ],
    session: [
      "SELECT lo_open(1, 131072)"
    ]
  },
  "functions: arbitrary sql": {
    unknown: [
      "SELECT * FROM dblink('host=127.0.0.1 port=54911 user=postgres dbname='||current_database(), 'update hz.t set n=n+1 where id=99 returning 1') AS x(a int)",
      "SELECT dblink_exec('host=127.0.0.1 port=54911 user=postgres dbname='||current_database(), 'update hz.t set n=n where id=99')"
    ],
    write: [
      "SELECT query_to_xml('delete from hz.t where id=99 returning 1', true, true, '')",
      "SELECT query_to_xml('select nextval(''hz.s'')', true, true, '')",
      "SELECT ts_stat('select hz.fw()::text::tsvector')",
      "SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery where hz.fw() > 0')"
    ]
  },
  "functions: user-defined": {
    unknown: [
      "SELECT fw()",
      "SELECT fw_hidden()",
      "SELECT fr()",
      "SELECT fs(1), fi(2)",
      "SELECT now2()",
      "SELECT * FROM t WHERE id === 1",
      "SELECT aggw(id) FROM t",
      "SELECT fw.fw FROM fw()"
    ],
    read: [
      "SELECT t.lower FROM (SELECT 'A'::text AS lower) t"
    ]
  },
  "functions: admin": {
    admin: [
      "SELECT pg_terminate_backend(0)",
      "SELECT pg_cancel_backend(0)",
      "SELECT pg_reload_conf()",
      "SELECT pg_stat_reset()",
      "SELECT pg_current_wal_lsn()",
      "SELECT pg_read_file('PG_VERSION')"
    ],
    write: [
      "SELECT pg_switch_wal()",
      "SELECT pg_create_restore_point('x')",
      "SELECT pg_logical_emit_message(false,'p','x')",
      "SELECT pg_create_physical_replication_slot('hzslot', false, true)"
    ],
    read: [
      "SELECT pg_last_wal_replay_lsn(), pg_is_in_recovery()",
      "SELECT pg_relation_size('t')"
    ]
  },
  "explain": {
    write: [
      "EXPLAIN ANALYZE DELETE FROM t WHERE id=99",
      "EXPLAIN (ANALYZE, BUFFERS) INSERT INTO t VALUES (70)",
      "EXPLAIN (VERBOSE, ANALYZE TRUE) UPDATE t SET n=n WHERE id=99",
      "EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t WHERE id=99",
      "EXPLAIN ANALYZE SELECT 1 INTO t_eai"
    ],
    unknown: [
      "EXPLAIN ANALYZE VERBOSE SELECT fw()",
      "EXPLAIN ANALYZE CREATE TABLE t_ctas AS SELECT 1",
      "EXPLAIN ANALYZE EXECUTE pd",
      "EXPLAIN EXECUTE pd"
    ],
    lock: [
      "EXPLAIN (ANALYZE) SELECT * FROM t FOR UPDATE"
    ]
  },
  "dml": {
    write: [
      "INSERT INTO t VALUES (80)",
      "INSERT INTO t VALUES (81) RETURNING id",
      "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
      "UPDATE t SET n=n WHERE false",
      "DELETE FROM ONLY t WHERE id=99",
      "MERGE INTO t USING t2 ON t.id=t2.id WHEN MATCHED THEN DO NOTHING",
      "INSERT INTO vrule VALUES (90,'q')",
      "TRUNCATE t2",
      "CALL p()",
      "CALL pr()",
      "DO $$ begin perform 1; end $$",
      "COPY t FROM '/nonexistent'",
      "COPY t TO PROGRAM 'cat >/dev/null'",
      "COPY t TO '/srv/x.out'",
      "REFRESH MATERIALIZED VIEW mv",
      "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z"
    ],
    read: [
      "SELECT * FROM mv"
    ]
  },
  "ddl": {
    write: [
      "CREATE TABLE x1(a int)",
      "CREATE TABLE x2 AS SELECT 1",
      "CREATE INDEX CONCURRENTLY ON t(n)",
      "DROP TABLE IF EXISTS nonexist",
      "COMMENT ON TABLE t IS 'x'",
      "GRANT SELECT ON t TO public",
      "SECURITY LABEL ON TABLE t IS 'x'",
      "CREATE DATABASE hzdb",
      "REASSIGN OWNED BY postgres TO postgres"
    ],
    session: [
      "CREATE TEMP TABLE x3(a int)",
      "CREATE TEMP VIEW x4 AS SELECT 1"
    ],
    admin: [
      "ALTER SYSTEM SET work_mem='4MB'"
    ]
  },
  "temp and unlogged": {
    read: [
      "SELECT * FROM u"
    ],
    write: [
      "INSERT INTO tmpt VALUES (1)"
    ],
    session: [
      "SELECT * FROM pg_temp.tmpt"
    ]
  },
  "session": {
    session: [
      "SET work_mem='8MB'",
      "SET LOCAL work_mem='8MB'",
      "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
      "SET ROLE postgres",
      "SET SESSION AUTHORIZATION DEFAULT",
      "RESET ALL",
      "DISCARD ALL",
      "SHOW work_mem",
      "SHOW ALL",
      "LISTEN c",
      "UNLISTEN *",
      "PREPARE q AS SELECT 1",
      "PREPARE qw AS DELETE FROM t",
      "DEALLOCATE ALL",
      "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t",
      "FETCH ALL FROM c",
      "MOVE 1 IN c",
      "CLOSE ALL",
      "LOAD '$libdir/plpgsql'"
    ],
    transaction: [
      "SET TRANSACTION READ ONLY",
      "SET CONSTRAINTS ALL DEFERRED"
    ],
    write: [
      "NOTIFY c, 'x'"
    ],
    unknown: [
      "EXECUTE q",
      "EXECUTE qw"
    ]
  },
  "transaction": {
    transaction: [
      "BEGIN",
      "START TRANSACTION READ ONLY",
      "BEGIN ISOLATION LEVEL SERIALIZABLE",
      "COMMIT AND CHAIN",
      "ROLLBACK TO x",
      "PREPARE TRANSACTION 'x'",
      "COMMIT PREPARED 'x'",
      "END",
      "ABORT"
    ]
  },
  "utility": {
    write: [
      "VACUUM t",
      "ANALYZE t",
      "CLUSTER t USING ti",
      "REINDEX TABLE t"
    ],
    admin: [
      "CHECKPOINT"
    ]
  },
  "parameters": {
    read: [
      "SELECT * FROM t WHERE id = $1 LIMIT $2 OFFSET $3",
      "SELECT * FROM t WHERE id = $1::int AND v = 'x' AND $2 = n",
      "SELECT * FROM t WHERE id = 1 OR n = 2",
      "SELECT * FROM t WHERE NOT (id = 1)",
      "SELECT * FROM t a LEFT JOIN t2 b ON a.id=b.id AND b.v='x' WHERE a.n IS NOT DISTINCT FROM 1"
    ]
  },
  "calls wherever an expression may stand": {
    write: [
      "SELECT nextval/**/('s')",
      "SELECT NEXTVAL\n('s')",
      "SELECT \"pg_catalog\".nextval('s')",
      "SELECT PG_CATALOG . NextVal ('s')",
      "SELECT pg_catalog.\"nextval\"('s')",
      "SELECT ARRAY(SELECT nextval('s'))",
      "SELECT CASE WHEN a THEN nextval('s') ELSE 0 END FROM t",
      "SELECT nextval('s')::text",
      "SELECT CAST(nextval('s') AS text)",
      "SELECT coalesce(a, nextval('s')) FROM t",
      "SELECT lower(string => nextval('s')::text)",
      "SELECT concat(VARIADIC ARRAY[nextval('s')])",
      "VALUES (1), (nextval('s'))",
      "SELECT * FROM ROWS FROM (generate_series(1, 3), nextval('s')) AS x(a, b)",
      "SELECT * FROM t, LATERAL (SELECT nextval('s')) x",
      "SELECT * FROM nextval('s') AS x(a)",
      "SELECT * FROM t ORDER BY nextval('s')",
      "SELECT * FROM t LIMIT nextval('s')",
      "SELECT * FROM t OFFSET nextval('s')",
      "SELECT * FROM t FETCH FIRST (nextval('s')) ROWS ONLY",
      "SELECT a FROM t GROUP BY a HAVING nextval('s') > 0",
      "SELECT sum(a) OVER (ORDER BY nextval('s')) FROM t",
      "SELECT count(*) FILTER (WHERE nextval('s') > 0) FROM t",
      "SELECT * FROM t WINDOW w AS (PARTITION BY nextval('s'))",
      "SELECT DISTINCT ON (nextval('s')) a FROM t",
      "SELECT a FROM t JOIN u ON nextval('s') = u.a",
      "SELECT xmlelement(name x, nextval('s'))",
      "SELECT 'x' COLLATE \"C\" || nextval('s')",
      "SELECT a AT TIME ZONE set_config('a.b', 'c', true)::text, nextval('s') FROM t",
      "SELECT (SELECT (SELECT nextval('s')))",
      "SELECT a[nextval('s')] FROM t",
      "SELECT * FROM t TABLESAMPLE bernoulli (nextval('s'))",
      "COPY (SELECT nextval('s')) TO STDOUT",
      "SELECT * FROM json_to_record('{}') AS x(a int), nextval('s') AS y",
      "SELECT * FROM t WHERE a IN (SELECT nextval('s') FROM u)",
      "WITH a(n) AS (SELECT nextval('s')) TABLE a",
      "SELECT lo_from_bytea(0, 'x')",
      "SELECT pg_logical_emit_message(true, 'a', 'b')",
      "SELECT * FROM pg_logical_slot_get_changes('s', NULL, NULL)"
    ],
    unknown: [
      "SELECT public.lower('x')",
      "SELECT app.f(1)",
      "SELECT a.b.c(1)",
      "SELECT \"Lower\"('x')",
      "SELECT U&\"next\\0076al\"('s')",
      "SELECT filter(1)",
      "SELECT sets(1)",
      "SELECT varying(1)",
      "SELECT by(1)",
      "SELECT ilike(1)",
      "SELECT * FROM t TABLESAMPLE mine (1)",
      "SELECT a OPERATOR(app.+) b FROM t",
      "SELECT a <~~> b FROM t",
      "SELECT f (1)",
      "SELECT * FROM f(1) AS x",
      "SELECT (x).f(1) FROM t",
      "EXPLAIN ANALYZE SELECT f(1)",
      "SELECT lower(f(1))"
    ],
    session: [
      "SELECT 1 WHERE set_config('a.b', 'c', true) = 'c'",
      "SELECT 1 FROM pg_temp.t",
      "SELECT * FROM \"pg_temp_3\".t",
      "SELECT setseed(0.1), random()"
    ],
    lock: [
      "SELECT 1 FROM t WHERE pg_try_advisory_xact_lock(a)",
      "SELECT pg_catalog.pg_advisory_lock(1)"
    ]
  },
  "locks at any depth": {
    lock: [
      "SELECT * FROM t WHERE a IN (SELECT a FROM u FOR NO KEY UPDATE)",
      "SELECT * FROM t, LATERAL (SELECT * FROM u FOR KEY SHARE SKIP LOCKED) x",
      "SELECT EXISTS (SELECT 1 FROM t FOR SHARE)",
      "WITH a AS MATERIALIZED (TABLE t FOR UPDATE) TABLE a",
      "(SELECT * FROM t) FOR UPDATE",
      "SELECT * FROM t FOR /* FOR READ ONLY */ UPDATE",
      "EXPLAIN ANALYZE SELECT * FROM t FOR SHARE",
      "(VALUES (1)) FOR UPDATE"
    ],
    read: [
      "SELECT \"for\" FROM t",
      "SELECT t.for, t.into FROM t",
      "SELECT 1 AS for, 2 AS into",
      "SELECT substring(a FROM 1 FOR 2), overlay(a PLACING b FROM 1 FOR 1) FROM t"
    ]
  },
  "words that are not what they seem": {
    read: [
      "SELECT 1 AS insert, 2 AS delete",
      "SELECT update FROM t",
      "SELECT (delete), (update) FROM t",
      "SELECT t.update FROM t AS t",
      "SELECT * FROM t AS x(insert, merge)",
      "SELECT a AS \"nextval(1)\" FROM t",
      "SELECT nextval FROM t",
      "SELECT nextval, (1) FROM t",
      "WITH delete AS (SELECT 1) TABLE delete",
      "WITH a AS (SELECT 1), update(b) AS (SELECT 2) SELECT * FROM a, update",
      "SELECT a IS DISTINCT FROM b FROM t",
      "SELECT EXTRACT(year FROM now()) FROM t",
      "SELECT lower FROM (SELECT 1 AS lower) x",
      "SELECT * FROM t x(a, b) JOIN u AS y(c) ON a = c",
      "SELECT * FROM generate_series(1, 2) WITH ORDINALITY AS g(i, n)",
      "SELECT * FROM json_to_record('{}') AS x(a numeric(10, 2), b varchar(3))",
      "SELECT interval '1' day, timestamp(3) with time zone '2020-01-01', numeric(4, 2) '1'",
      "SELECT a::numeric(10, 2)::varchar(4), CAST(a AS double precision) FROM t",
      "SELECT a[1:2], a[:3] FROM t",
      "SELECT JSON_OBJECT('a': 1)",
      "SELECT (t).a, (t).* FROM t",
      "SELECT a OPERATOR(pg_catalog.+) b FROM t",
      "SELECT int4 '1', date '2020-01-01'",
      "SELECT * FROM t TABLESAMPLE system (10) REPEATABLE (1)",
      "SELECT grouping(a) FROM t GROUP BY GROUPING SETS ((a), ()), CUBE (b), ROLLUP (c)",
      "SELECT sum(a) FILTER (WHERE a > 0) OVER w, mode() WITHIN GROUP (ORDER BY a) FROM t WINDOW w AS (PARTITION BY b)",
      "SELECT * FROM ONLY (t), ONLY u",
      "SELECT * FROM (t JOIN u USING (a)) JOIN (SELECT 1 AS a) x USING (a)",
      "SELECT a <-1, a -1 FROM t"
    ]
  },
  "strings and comments of PostgreSQL, again": {
    read: [
      "SELECT E'a\\\\', 'b'",
      "SELECT E'a'\n  '\\'; DELETE FROM t; --'",
      "SELECT E'a' -- c\n'\\''",
      "SELECT $a$ $b$ $a$",
      "SELECT $$a$$$$b$$",
      "SELECT 1 /* -- */ + /* /* */ */ 2",
      "SELECT 1 --\r + 1",
      "SELECT N'it''s', U&'\\0041' UESCAPE '!'"
    ],
    multiple: [
      "SELECT E'\\\\'; DELETE FROM t; --'",
      "SELECT $a$ $A$; DELETE FROM t; --$a$; SELECT 1",
      "SELECT '\\'; DELETE FROM t; --'",
      "SELECT 1 -- \r; DELETE FROM t"
    ],
    write: [
      "SELECT 1INTO t",
      "SELECT 1.INTO t",
      "SELECT 'a'INTO t",
      "SELECT\"a\"INTO t FROM x",
      "select 1 as a into unlogged t",
      "SELECT $1INTO t",
      "DELETE\fFROM\u000bt"
    ],
    unknown: [
      "SELECT 1 /* /* */",
      "SELECT 'a",
      "SELECT \"a",
      "SELECT $a$ b",
      "SELECT 1 \u0000; DELETE FROM t",
      "SELECT 1 \\ 2",
      "\u00a0SELECT 1",
      "SELECT (1",
      "SELECT 1)",
      "SELECT {1}"
    ]
  },
  "heads of statements": {
    unknown: [
      "FROM t SELECT 1",
      "SELEC 1",
      "MERGE_ACTION()",
      "EXECUTE q(1)",
      "WITH a AS (SELECT 1)",
      "WITH a AS SELECT 1 SELECT 2",
      "WITH a AS (f()) SELECT 1",
      "EXPLAIN (ANALYZE) CREATE TABLE x AS SELECT 1",
      "EXPLAIN",
      "("
    ],
    write: [
      "WITH a AS (WITH b AS (DELETE FROM t RETURNING *) TABLE b) TABLE a",
      "WITH a AS NOT MATERIALIZED (MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING *) TABLE a",
      "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y DELETE FROM t",
      "WITH a(b) AS (UPDATE ONLY t SET a = 1) SELECT 1",
      "WITH a AS (UPDATE t * SET b = 1 RETURNING *) TABLE a",
      "WITH a AS (UPDATE ONLY (t) SET b = 1 RETURNING *) TABLE a",
      "WITH a AS (DELETE FROM ONLY (t)) SELECT 1",
      "COPY (UPDATE t * SET b = 1 RETURNING *) TO STDOUT",
      "EXPLAIN ANALYZE UPDATE ONLY (t) SET b = 1",
      "EXPLAIN (ANALYZE 1) DELETE FROM t",
      "EXPLAIN (COSTS off, \"analyze\") DELETE FROM t",
      "EXPLAIN (ANALYZE off, U&\"analyz\\0065\" on) DELETE FROM t",
      "EXPLAIN (FORMAT json, ANALYZE 'true') UPDATE t SET a = 1",
      "EXPLAIN (ANALYZE maybe) DELETE FROM t",
      "EXPLAIN VERBOSE ANALYZE DELETE FROM t",
      "EXPLAIN ANALYSE DELETE FROM t",
      "COPY t FROM STDIN",
      "COPY (SELECT 1) TO '/tmp/x'",
      "COPY t TO PROGRAM 'x'",
      "COPY (DELETE FROM t RETURNING *) TO STDOUT",
      "copy binary t from stdin",
      "TRUNCATE t, u CASCADE",
      "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
      "DO LANGUAGE plpgsql $$BEGIN END$$"
    ],
    read: [
      "(((SELECT 1)))",
      "((SELECT 1) UNION ALL (VALUES (2))) ORDER BY 1",
      "WITH a AS (SELECT 1) (TABLE a)",
      "EXPLAIN (ANALYZE off) SELECT nextval('s')",
      "EXPLAIN (ANALYZE 'off', COSTS) DELETE FROM t",
      "COPY t (a, b) TO STDOUT (FORMAT csv)",
      "COPY (VALUES (1)) TO stdout",
      "EXPLAIN (VERBOSE) (SELECT 1)",
      "; SELECT 1"
    ],
    transaction: [
      "COMMIT PREPARED 'a'",
      "ROLLBACK AND NO CHAIN",
      "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE",
      "SET TRANSACTION READ ONLY",
      "RELEASE SAVEPOINT a"
    ],
    session: [
      "DISCARD TEMP",
      "CREATE LOCAL TEMPORARY TABLE a (b int)",
      "CREATE OR REPLACE TEMP VIEW a AS SELECT 1",
      "PREPARE a (int) AS DELETE FROM t WHERE a = $1",
      "MOVE FORWARD 1 FROM c"
    ],
    multiple: [
      "BEGIN; SELECT 1; COMMIT",
      "SELECT 1;;SELECT 2",
      "SELECT 1; -- x\nSELECT 2"
    ]
  }
}
