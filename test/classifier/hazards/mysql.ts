import type { Families } from "./families.js"

/** Statements of MySQL and MariaDB that a careless reading gets wrong, by what makes them hard, with what they do. */
export const mysql: Families = {
  "plain reads": {
    read: [
      "SELECT * FROM t WHERE id = 1",
      "(SELECT id FROM t) UNION (SELECT id FROM t2) ORDER BY 1 LIMIT 1",
      "VALUES (1,2),(3,4)",
      "VALUES ROW(1,2), ROW(3,4)",
      "TABLE t ORDER BY id LIMIT 1",
      "WITH a AS (SELECT 1 x) SELECT * FROM a",
      "SELECT `insert`, `update` FROM (SELECT 1 AS `insert`, 2 AS `update`) q",
      "SELECT REPLACE(v,'a','b'), INSERT(v,1,1,'x') FROM t",
      "SELECT VALUES(n) FROM t",
      "SELECT IF(1,2,3), LEFT(v,1), TRUNCATE(1.5,0), CHAR(65), DATABASE(), USER() FROM t",
      "SELECT RAND(), UUID(), NOW(6), SYSDATE(), CONNECTION_ID()",
      "SELECT SLEEP(0), BENCHMARK(1,1)",
      "SELECT HIGH_PRIORITY STRAIGHT_JOIN SQL_NO_CACHE DISTINCT id FROM t",
      "SELECT * FROM t PROCEDURE ANALYSE()",
      "EXPLAIN SELECT * FROM t",
      "DESC t",
      "DESCRIBE t v",
      "EXPLAIN FORMAT=JSON SELECT 1",
      "SHOW TABLES",
      "SHOW CREATE TABLE t",
      "SHOW PROCESSLIST",
      "CHECKSUM TABLE t",
      "HELP 'SELECT'"
    ],
    session: [
      "SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1",
      "SHOW VARIABLES LIKE 'sql_mode'",
      "SHOW WARNINGS",
      "SHOW MASTER STATUS"
    ]
  },
  "explain": {
    write: [
      "EXPLAIN DELETE FROM t",
      "ANALYZE DELETE FROM t WHERE id=99",
      "ANALYZE FORMAT=JSON UPDATE t SET n=n WHERE id=99",
      "ANALYZE TABLE t"
    ],
    lock: [
      "EXPLAIN SELECT * FROM t FOR UPDATE"
    ],
    read: [
      "ANALYZE SELECT * FROM t",
      "EXPLAIN ANALYZE SELECT * FROM t",
      "EXPLAIN FOR CONNECTION 1",
      "SHOW EXPLAIN FOR 1"
    ]
  },
  "lexical traps": {
    read: [
      "SELECT 1 /* a /* b */ + 1",
      "SELECT 1 /*! , (SELECT /* x */ 2) */",
      "SELECT /*+ SET_VAR(sort_buffer_size = 16M) MAX_EXECUTION_TIME(1000) */ 1",
      "SELECT 1 -- comment ; DELETE FROM t",
      "SELECT 5--1",
      "SELECT 1 --\tcomment",
      "SELECT 1 # comment ; DELETE FROM t",
      "SELECT \"x ; DELETE FROM t\"",
      "SELECT \"v\" FROM t",
      "SELECT 'a' 'b', _utf8mb4'x', N'y', X'41', 0x41, b'01', 0b01",
      "SELECT 'it''s', \"say \"\"hi\"\"\"",
      "SELECT `a``b ; DELETE FROM t` FROM (SELECT 1 AS `a``b ; DELETE FROM t`) q",
      "SELECT 1a FROM (SELECT 1 AS 1a) q",
      "SELECT t.`id`FROM`t`WHERE`id`=1",
      "SELECT 1;",
      "SELECT @@version /* ' */ , 'x' /* \" */"
    ],
    multiple: [
      "SELECT 1 /* a /* b */ ; DELETE FROM t WHERE id=99 /* */",
      "SELECT 5--1;DELETE FROM t WHERE id=99",
      "SELECT 'a\\'; DELETE FROM t WHERE id=99; -- '",
      "SELECT 'a\\'; DELETE FROM t WHERE id=99; -- '"
    ],
    write: [
      "/*! DELETE FROM t WHERE id=99 */",
      "SELECT 1 /*! INTO OUTFILE '/srv/a1.txt' */",
      "#SELECT\nDELETE FROM t WHERE id=99"
    ],
    lock: [
      "SELECT * FROM t WHERE id=1 /*!40001 FOR UPDATE */",
      "SELECT 1 /*!99999 FOR UPDATE */",
      "SELECT * FROM t WHERE id=1 /*!80000 FOR UPDATE */",
      "SELECT * FROM t WHERE id=1 /*M! FOR UPDATE */",
      "SELECT * FROM t WHERE id=1 /*M!100100 FOR UPDATE */",
      "SELECT*FROM t FOR UPDATE"
    ],
    empty: [
      "",
      ";",
      "-- only a comment",
      "/* only */"
    ]
  },
  "multi-statement": {
    multiple: [
      "SELECT 1; SELECT 2",
      "SELECT 1; DELETE FROM t WHERE id=99",
      "BEGIN NOT ATOMIC DELETE FROM t WHERE id=99; SELECT 1; END",
      "IF 1 THEN DELETE FROM t WHERE id=99; END IF",
      "FOR i IN (SELECT 1 AS x) DO DELETE FROM t WHERE id=99; END FOR"
    ]
  },
  "locking clauses": {
    lock: [
      "SELECT * FROM t WHERE id=1 FOR UPDATE",
      "SELECT * FROM t WHERE id=1 LOCK IN SHARE MODE",
      "SELECT * FROM t WHERE id=1 FOR SHARE",
      "SELECT * FROM t WHERE id=1 FOR UPDATE SKIP LOCKED",
      "SELECT * FROM t WHERE id=1 FOR UPDATE NOWAIT",
      "SELECT * FROM t WHERE id=1 FOR UPDATE WAIT 1",
      "SELECT * FROM t a WHERE id=1 FOR UPDATE OF a",
      "SELECT * FROM t WHERE id=1\nFOR\tUPDATE",
      "SELECT * FROM t WHERE id=1 FOR UPDATE /*application:web*/",
      "SELECT * FROM t WHERE id=1 LOCK   IN\nSHARE /**/ MODE;",
      "(SELECT * FROM t WHERE id=1 FOR UPDATE)",
      "SELECT * FROM (SELECT * FROM t WHERE id=1 FOR UPDATE) q",
      "LOCK TABLES t READ",
      "UNLOCK TABLES"
    ],
    read: [
      "SELECT SUBSTRING('abc' FROM 1 FOR 2) FROM t",
      "SELECT * FROM t FORCE INDEX FOR ORDER BY (PRIMARY) ORDER BY id",
      "SELECT * FROM t WHERE v = 'for update'"
    ],
    write: [
      "FLUSH TABLES WITH READ LOCK"
    ]
  },
  "select into": {
    session: [
      "SELECT 1 INTO @x",
      "SELECT id, v FROM t WHERE id=1 INTO @a, @b",
      "SELECT id INTO @a FROM t WHERE id=1",
      "WITH a AS (SELECT 1 x) SELECT x FROM a INTO @z"
    ],
    write: [
      "SELECT * FROM t INTO OUTFILE '/srv/a2.txt'",
      "SELECT v FROM t WHERE id=1 INTO DUMPFILE '/srv/a3.txt'",
      "SELECT v INTO OUTFILE '/srv/a4.txt' FIELDS TERMINATED BY ',' FROM t"
    ],
    read: [
      "SELECT 'into outfile' AS x"
    ]
  },
  "user variables": {
    session: [
      "SELECT @a := 5",
      "SELECT @rownum:=@rownum+1 AS r, t.* FROM t, (SELECT @rownum:=0) x",
      "SELECT @a",
      "SELECT * FROM t WHERE id = @a",
      "SET @a = 1",
      "SELECT @`a b`, @'c', @\"d\" := 2",
      "SELECT @@session.sql_mode, @@global.read_only, @@hostname",
      "SELECT @@last_insert_id, @@identity, @@insert_id, @@error_count, @@warning_count"
    ],
    unknown: [
      "SET @a = (SELECT fw())"
    ],
    write: [
      "SET @a = NEXTVAL(s)"
    ]
  },
  "session functions": {
    session: [
      "SELECT LAST_INSERT_ID()",
      "SELECT LAST_INSERT_ID(7)",
      "SELECT FOUND_ROWS(), ROW_COUNT()",
      "SELECT PREVIOUS VALUE FOR s, LASTVAL(s)"
    ],
    lock: [
      "SELECT GET_LOCK('a',0)",
      "SELECT RELEASE_LOCK('a'), RELEASE_ALL_LOCKS()",
      "SELECT IS_FREE_LOCK('a'), IS_USED_LOCK('a')"
    ],
    write: [
      "SELECT NEXTVAL(s)",
      "SELECT NEXT VALUE FOR s",
      "SELECT SETVAL(s, 100)",
      "SELECT s.nextval"
    ],
    read: [
      "SELECT * FROM s",
      "SELECT MASTER_POS_WAIT('b.000001',4,0)",
      "SELECT MASTER_GTID_WAIT('0-1-1',0)",
      "SELECT LOAD_FILE('/etc/hostname')"
    ]
  },
  "user-defined": {
    unknown: [
      "SELECT fw()",
      "SELECT fliar()",
      "SELECT fr()",
      "SELECT hz.fw() FROM t LIMIT 1",
      "SELECT fw ()",
      "EXECUTE IMMEDIATE 'DELETE FROM t WHERE id=99'",
      "EXECUTE st"
    ],
    read: [
      "DO 1"
    ],
    write: [
      "DO fw()",
      "CALL p()",
      "CALL pr()"
    ],
    session: [
      "PREPARE st FROM 'DELETE FROM t WHERE id=99'",
      "DEALLOCATE PREPARE st"
    ]
  },
  "dml": {
    write: [
      "INSERT INTO t(v) VALUES ('z')",
      "INSERT INTO t(v) VALUES ('z') RETURNING id",
      "INSERT INTO t SET v='q'",
      "INSERT IGNORE INTO t VALUES (1,'a',1)",
      "REPLACE INTO t2 VALUES (1,'y')",
      "REPLACE t2 SET id=1, v='y'",
      "DELETE FROM t WHERE id=99 RETURNING *",
      "DELETE t FROM t JOIN t2 ON t.id=t2.id+98",
      "WITH a AS (SELECT 99 AS id) DELETE FROM t WHERE id IN (SELECT id FROM a)",
      "WITH a AS (SELECT 1 AS x) UPDATE t, a SET n=a.x WHERE t.id=99",
      "UPDATE t SET n=n WHERE id=99",
      "TRUNCATE TABLE q",
      "LOAD DATA INFILE '/srv/none' INTO TABLE t2",
      "LOAD XML INFILE '/x' INTO TABLE t2",
      "DELETE HISTORY FROM t2"
    ],
    session: [
      "HANDLER t OPEN",
      "HANDLER t READ FIRST",
      "HANDLER t CLOSE"
    ]
  },
  "ddl": {
    write: [
      "CREATE TABLE x1(a int)",
      "CREATE TABLE x2 SELECT 1 AS a",
      "DROP TABLE IF EXISTS nope",
      "RENAME TABLE x1 TO x9",
      "CREATE INDEX i ON t2(v)",
      "CREATE USER hzu",
      "GRANT SELECT ON hz.* TO hzu",
      "SET PASSWORD FOR hzu = PASSWORD('x')",
      "INSTALL SONAME 'nope'",
      "INSERT INTO tmpt VALUES (1)"
    ],
    session: [
      "CREATE TEMPORARY TABLE x3(a int)",
      "CREATE OR REPLACE TEMPORARY TABLE x4 AS SELECT 1 a",
      "DROP TEMPORARY TABLE IF EXISTS x5"
    ]
  },
  "session": {
    session: [
      "SET NAMES utf8mb4",
      "SET SESSION sql_mode='ANSI_QUOTES'",
      "SET sql_mode=CONCAT(@@sql_mode,',NO_BACKSLASH_ESCAPES')",
      "SET STATEMENT max_statement_time=1 FOR SELECT 1",
      "SET ROLE NONE",
      "USE hz",
      "SIGNAL SQLSTATE '01000'",
      "GET DIAGNOSTICS @n = NUMBER"
    ],
    transaction: [
      "SET autocommit=0",
      "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
    ],
    admin: [
      "SET GLOBAL max_connections=@@max_connections",
      "KILL 0"
    ],
    write: [
      "SET STATEMENT max_statement_time=1 FOR DELETE FROM t WHERE id=99",
      "FLUSH TABLES",
      "FLUSH STATUS",
      "RESET QUERY CACHE",
      "CACHE INDEX t IN kc",
      "BINLOG ''"
    ]
  },
  "transaction": {
    transaction: [
      "BEGIN",
      "BEGIN WORK",
      "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
      "COMMIT AND CHAIN",
      "ROLLBACK RELEASE",
      "SAVEPOINT a",
      "XA START 'x'"
    ],
    admin: [
      "START SLAVE"
    ],
    read: [
      "XA RECOVER"
    ]
  },
  "utility": {
    write: [
      "OPTIMIZE TABLE t2",
      "CHECK TABLE t2",
      "REPAIR TABLE t2",
      "PURGE BINARY LOGS BEFORE '2000-01-01'"
    ],
    read: [
      "SHOW SLAVE STATUS",
      "SHOW CREATE FUNCTION fw"
    ]
  },
  "parameters": {
    read: [
      "SELECT * FROM t WHERE id = ? AND v IN (?, ?) LIMIT ?, ?",
      "SELECT * FROM t WHERE (id, v) = (1, 'a') AND id <=> 1"
    ]
  },
  "executable comments, again": {
    read: [
      "SELECT 1 /*!50000 + 1 */",
      "/*! SELECT */ 1",
      "SELECT 1 /*!50000 /* x */ + 1 */",
      "SELECT /*! STRAIGHT_JOIN */ a FROM t",
      "SELECT 1 /* ! INTO OUTFILE 'x' */",
      "SELECT 1 /*M*/ + 1",
      "SELECT /*+ MAX_EXECUTION_TIME(10) */ 1"
    ],
    multiple: [
      "SELECT 1 /*!50000 ; DELETE FROM t */",
      "SELECT 1 /*!50000 ; DELETE FROM t WHERE a = ' */ ' */"
    ],
    session: [
      "SELECT 1 /*!INTO @a */",
      "SELECT 1 /*!050000 INTO @a */",
      "SELECT 1 /*!40100 INTO*/ @a",
      "SELECT 1 --1 INTO @a"
    ],
    unknown: [
      "/*!50000 SELECT */ 1",
      "SELECT 1 /*!50000 + 1 */ /*!80000 + 1 */",
      "SELECT 1 /*! + 1",
      "SELECT 1 /*!1234567 + 1 */",
      "SELECT /*+ QB_NAME(`a*/ b`) */ 1",
      "SELECT 1 /*! /*! + 1 */ */",
      "SELECT 1 /* x"
    ],
    write: [
      "SELECT lower /*!50000 + */ (1), nextval(s)",
      "/*!99999 */ DELETE FROM t"
    ],
    lock: [
      "SELECT * FROM t /*! LOCK IN SHARE MODE */",
      "SELECT * FROM t /*!80000 FOR SHARE */"
    ]
  },
  "comments of MySQL, again": {
    session: [
      "SELECT 1 -- \n INTO @a",
      "SELECT 1 #x\n INTO @a",
      "SELECT 1 --\tx\n INTO @a"
    ],
    read: [
      "SELECT 1 -- INTO @a",
      "SELECT 1 #INTO @a",
      "SELECT 1 -- INTO\r @a",
      "SELECT 1 --\n",
      "SELECT 1 --"
    ],
    unknown: [
      "SELECT 1 \u0000 INTO @a",
      "SELECT 1 -- \u0000\n INTO @a"
    ]
  },
  "strings of MySQL, again": {
    read: [
      "SELECT 'a\\\\', 'b'",
      "SELECT \"a'b\", 'a\"b'",
      "SELECT `into`, t.into FROM t",
      "SELECT n'x', X'41', 0x41, b'01', _utf8mb4'x' COLLATE utf8mb4_bin",
      "SELECT \\N"
    ],
    unknown: [
      "SELECT 'it\\'s'",
      "SELECT \"it\\\"s\"",
      "SELECT 'a",
      "SELECT `a",
      "SELECT \"f\"(1)"
    ],
    multiple: [
      "SELECT 'a\\\\'; DELETE FROM t; -- '"
    ]
  },
  "calls of MySQL, again": {
    write: [
      "SELECT nextval(s)",
      "SELECT NEXT /**/ VALUE FOR db.s",
      "SELECT s.nextval",
      "SELECT db.s.NEXTVAL",
      "VALUES (nextval(s))",
      "SELECT {fn nextval(s)}",
      "SELECT * FROM t ORDER BY setval(s, 1)"
    ],
    lock: [
      "SELECT GET_LOCK('a', 1)",
      "SELECT get_lock ('a', 1)",
      "SELECT CAST(GET_LOCK('a', 1) AS CHAR)",
      "SELECT {x GET_LOCK('a', 1)}",
      "SELECT * FROM t WHERE RELEASE_LOCK(a)",
      "SELECT (SELECT IS_USED_LOCK('a'))"
    ],
    unknown: [
      "SELECT f()",
      "SELECT db.lower('x')",
      "SELECT `lower`('x')",
      "SELECT count (*) FROM t",
      "SELECT now ()",
      "SELECT * FROM t PROCEDURE p()",
      "SELECT against(1)",
      "SELECT member(1)",
      "SELECT sys.format_bytes(1)",
      "SELECT lower(f(1))"
    ],
    session: [
      "SELECT last_insert_id(), 1",
      "SELECT a FROM t WHERE a = @b",
      "SELECT @a := a FROM t",
      "SELECT @@last_insert_id",
      "SELECT @@session.version",
      "SELECT SQL_CALC_FOUND_ROWS a FROM t",
      "SELECT lastval(s)",
      "SELECT PREV VALUE FOR s",
      "SELECT a INTO b FROM t",
      "SELECT @'a b'",
      "SELECT s.currval"
    ],
    read: [
      "SELECT next, previous FROM t",
      "SELECT next.value FROM next",
      "SELECT @@version, @@global.version_comment",
      "SELECT insert('a', 1, 1, 'b'), replace('a', 'b', 'c'), truncate(1.2, 1), mod(5, 2), 5 MOD 2",
      "SELECT {fn now()}, {d '2026-01-31'}",
      "SELECT MATCH (a) AGAINST ('x' IN BOOLEAN MODE) FROM t",
      "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$', NESTED PATH '$' COLUMNS (b INT PATH '$'))) AS j",
      "SELECT 1 MEMBER OF ('[1]')",
      "SELECT row_number() OVER (PARTITION BY a), lag(a) OVER w FROM t WINDOW w AS (ORDER BY b)",
      "SELECT * FROM t PARTITION (p0) USE INDEX FOR JOIN (i) IGNORE KEY (k)",
      "SELECT * FROM (SELECT 1, 2) AS x (a, b)",
      "SELECT CAST(a AS CHAR(10)), CONVERT(a USING utf8mb4), CONVERT(a, DECIMAL(10, 2)) FROM t",
      "SELECT a DIV b, a XOR b, a RLIKE 'x', a SOUNDS LIKE b, BINARY a FROM t",
      "SELECT * FROM t FOR SYSTEM_TIME AS OF NOW()",
      "SELECT GROUP_CONCAT(DISTINCT a ORDER BY b SEPARATOR ',') FROM t",
      "SELECT * FROM t LIMIT 1, 2",
      "SELECT .5, 1., 1e3, 1.5e-3, 0x1F FROM t.1a",
      "SELECT * FROM t WHERE a = INTERVAL(1, 2)",
      "SELECT a + INTERVAL 1 DAY FROM t",
      "SELECT * FROM t1 LEFT JOIN (t2, t3) ON a = b STRAIGHT_JOIN t4"
    ]
  },
  "heads of MySQL's statements, again": {
    write: [
      "WITH a AS (SELECT 1) UPDATE t SET a = 1",
      "WITH a AS (SELECT 1) DELETE FROM t",
      "REPLACE t SELECT 1",
      "CALL p",
      "DO nextval(s)",
      "EXPLAIN FORMAT=JSON DELETE FROM t",
      "ANALYZE FORMAT=JSON DELETE FROM t",
      "ANALYZE LOCAL TABLE t",
      "DESC DELETE FROM t",
      "TABLE t INTO OUTFILE 'x'",
      "(SELECT 1 INTO OUTFILE 'x')",
      "LOAD DATA INFILE 'x' INTO TABLE t",
      "BEGIN NOT ATOMIC SELECT 1"
    ],
    session: [
      "(SELECT 1) INTO @a",
      "SHOW WARNINGS",
      "SHOW COUNT(*) ERRORS",
      "SHOW VARIABLES",
      "SHOW STATUS",
      "SET @a = 1, @b = 2",
      "SET NAMES utf8",
      "CREATE TEMPORARY TABLE t (a int)",
      "DROP TEMPORARY TABLE t",
      "HANDLER t READ NEXT"
    ],
    transaction: [
      "SET SESSION TRANSACTION READ ONLY",
      "XA COMMIT 'x'",
      "SET autocommit = 0",
      "START TRANSACTION READ ONLY",
      "SAVEPOINT a",
      "ROLLBACK TO SAVEPOINT a"
    ],
    admin: [
      "SET PERSIST a = 1",
      "STOP REPLICA",
      "KILL 1",
      "SET @@x = 1, GLOBAL y = 2",
      "EXPLAIN SELECT * FROM mysql.user"
    ],
    read: [
      "DESC t a",
      "EXPLAIN db.t",
      "EXPLAIN EXTENDED SELECT 1",
      "ANALYZE FORMAT=JSON SELECT 1",
      "SHOW FULL COLUMNS FROM t LIKE 'a%'",
      "SHOW CREATE VIEW v",
      "SHOW INDEX FROM t",
      "CHECKSUM TABLE t",
      "TABLE t LIMIT 1",
      "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 2 FROM a) CYCLE x RESTRICT SELECT * FROM a"
    ],
    unknown: [
      "EXECUTE s",
      "EXPLAIN",
      "WITH a AS (CALL p) SELECT 1",
      "SELECT call FROM t",
      "GRANTS"
    ],
    lock: [
      "LOCK TABLE t READ",
      "SELECT * FROM (SELECT * FROM t LOCK IN SHARE MODE) x"
    ]
  }
}
