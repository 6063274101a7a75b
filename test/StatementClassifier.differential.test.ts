import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type { Dialect } from "effect-sql-router/Dialect"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import type { StatementFacts } from "effect-sql-router/StatementFacts"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as mysql from "mysql2/promise"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as pg from "pg"
import { mutated, type Pieces, statements } from "./classifier/grammar.js"
import { hazards } from "./classifier/hazards/families.js"
import { mysqlPieces, postgresPieces, sqlitePieces } from "./classifier/pieces.js"
import { caughtUp, freshDatabase } from "./servers/index.js"

/*
 * Statements from a grammar, mutated, run where reads would: whatever the classifier calls safe must neither be refused as
 * a write nor change data or session. A nightly run sets CLASSIFIER_STATEMENTS to 50000 or more.
 */
const runs = Number(process.env["CLASSIFIER_STATEMENTS"] ?? 5000)

/** What a server said to a statement, if it was a refusal to write, or an effect that was seen. */
type Verdict = string | undefined

/** Statements from the grammar of a dialect's pieces, or its hazards, changed. */
const changed = (dialect: Dialect, pieces: Pieces): fc.Arbitrary<string> => {
  const known = hazards.filter((hazard) => hazard.dialect === dialect).map(({ sql }) => sql)
  return mutated(
    pieces,
    fc.oneof({ weight: 5, arbitrary: statements(pieces) }, { weight: 1, arbitrary: fc.constantFrom(...known) })
  )
}

const check = async (
  dialect: Dialect,
  statements: fc.Arbitrary<string>,
  run: (sql: string, facts: StatementFacts) => Verdict | Promise<Verdict>,
  counts: { succeeded: number }
): Promise<void> => {
  let total = 0
  let safe = 0
  await fc.assert(
    fc.asyncProperty(statements, async (sql) => {
      const facts = StatementClassifier.classify(dialect, sql)
      total++
      if (!facts.replicaSafe) return
      safe++
      assert.strictEqual(await run(sql, facts), undefined, sql)
    }),
    { numRuns: runs }
  )
  assert.isAbove(safe, total * 0.4, "too few statements were called safe to prove anything")
  assert.isAbove(counts.succeeded, safe * 0.5, "too few statements were valid to prove anything")
}

describe("StatementClassifier beside a PostgreSQL hot standby", () => {
  /** Refusals to write, by SQLSTATE; what is wrong with a statement for other reasons is not asked here. */
  const refusals = new Set(["25006", "25001", "25P01", "XX000", "55000"])

  const schema = `
    CREATE TABLE t (id text, n text, v text);
    INSERT INTO t VALUES ('1', '2', 'a'), ('2', '3', 'b');
    CREATE TABLE u (v text);
    INSERT INTO u VALUES ('1');
    CREATE SEQUENCE s;
    CREATE VIEW readers AS SELECT * FROM t;
    CREATE FUNCTION reads(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION writes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO u VALUES ('w'); RETURN 'w'; END $$;
    CREATE FUNCTION pretends(text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN writes(); END $$;
    CREATE FUNCTION joins(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN writes(); END $$;
    CREATE OPERATOR <~~> (LEFTARG = text, RIGHTARG = text, FUNCTION = joins);
    CREATE PROCEDURE does() LANGUAGE sql AS 'DELETE FROM u'`

  /** All that a statement may leave in a session, in one row. */
  const session = `SELECT concat_ws(',',
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),
    (SELECT count(*) FROM pg_listening_channels()),
    current_setting('app.x', true), current_setting('work_mem'), current_setting('search_path')) AS state`

  it.scoped("nothing it calls safe is refused, or leaves a trace in the session", () =>
    Effect.gen(function*() {
      const { primary, replicas: [standby] } = yield* freshDatabase("postgres")
      const connect = (connectionString: string) =>
        Effect.acquireRelease(
          Effect.promise(async () => {
            const client = new pg.default.Client({ connectionString })
            client.on("error", () => {})
            await client.connect()
            return client
          }),
          (client) => Effect.promise(() => client.end())
        )
      const writer = yield* connect(primary.url)
      yield* Effect.promise(() => writer.query(schema))
      yield* caughtUp("postgres")
      const client = yield* connect(standby.url)
      yield* Effect.promise(() => client.query("SET statement_timeout = '2s'"))
      const stateOf = async () => (await client.query<{ state: string }>(session)).rows[0]!.state
      const before = yield* Effect.promise(stateOf)
      const counts = { succeeded: 0 }
      const run = async (sql: string): Promise<Verdict> => {
        try {
          await client.query(sql)
          counts.succeeded++
        } catch (error) {
          const { code, message } = error as pg.DatabaseError
          if (code !== undefined && refusals.has(code)) return `${code} ${message}`
        }
        const after = await stateOf()
        return after === before ? undefined : `session: ${before} became ${after}`
      }
      yield* Effect.promise(() => check("postgres", changed("postgres", postgresPieces), run, counts))
    }), 600_000)
})

describe("StatementClassifier beside a MariaDB replica", () => {
  const schema = `
    CREATE TABLE t (id int PRIMARY KEY, n int, v varchar(20));
    INSERT INTO t VALUES (1, 2, 'a'), (2, 3, 'b');
    CREATE TABLE u (w int);
    INSERT INTO u VALUES (1);
    CREATE SEQUENCE s;
    CREATE FUNCTION writes() RETURNS int DETERMINISTIC BEGIN INSERT INTO u VALUES (2); RETURN 1; END;
    CREATE PROCEDURE does() DELETE FROM u`

  /** The position of the binary log, and what a statement may leave in a session. */
  const state = `SELECT CONCAT_WS(',', @@gtid_binlog_pos,
    (SELECT COUNT(*) FROM information_schema.user_variables), IS_USED_LOCK('a'), LAST_INSERT_ID(), @@in_transaction,
    (SELECT COALESCE(SUM(trx_lock_structs + trx_tables_locked), 0) FROM information_schema.innodb_trx
      WHERE trx_mysql_thread_id = CONNECTION_ID())) AS state`

  it.scoped(
    "nothing it calls safe is refused, locks, sets a variable or moves the binary log",
    () =>
      Effect.gen(function*() {
        const { database, primary, replicas: [replica] } = yield* freshDatabase("mariadb")
        const connect = (port: number) =>
          Effect.acquireRelease(
            Effect.promise(() =>
              mysql.createConnection({ host: "127.0.0.1", port, user: "root", database, multipleStatements: true })
            ),
            (connection) => Effect.sync(() => connection.destroy())
          )
        const writer = yield* connect(primary.port)
        yield* Effect.promise(() => writer.query(schema))
        yield* caughtUp("mariadb")
        const reader = yield* connect(replica.port)
        const stateOf = async () => {
          const [rows] = await reader.query(state)
          return (rows as unknown as ReadonlyArray<{ state: string }>)[0]!.state
        }
        // In a read-only transaction the server refuses to write and keeps its locks, where they can be seen.
        const begin = () => reader.query("COMMIT; START TRANSACTION READ ONLY; SET max_statement_time = 2")
        yield* Effect.promise(begin)
        const before = yield* Effect.promise(stateOf)
        const counts = { succeeded: 0 }
        const run = async (sql: string, { kind }: StatementFacts): Promise<Verdict> => {
          try {
            const [result] = await reader.query(sql)
            counts.succeeded++
            // As does INTO; but for DO there is nothing to answer.
            if (!Array.isArray(result) && kind !== "call") return "answered without rows"
          } catch (error) {
            const { errno, message } = error as { readonly errno?: number; readonly message: string }
            if (errno === 1290 || errno === 1792 || errno === 1836) return message
          }
          const after = await stateOf()
          if (after === before) return undefined
          await begin()
          return `${before} became ${after}`
        }
        yield* Effect.promise(() => check("mysql", changed("mysql", mysqlPieces), run, counts))
      }),
    600_000
  )
})

describe("StatementClassifier beside SQLite", () => {
  it("nothing it calls safe is refused by a read-only handle, or changes the file or the connection", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "classifier-"))
    try {
      const file = path.join(folder, "data.db")
      const writer = new Sqlite(file)
      writer.exec(`
        CREATE TABLE t (id int, n int, v text);
        INSERT INTO t VALUES (1, 2, 'a'), (2, 3, 'b');
        CREATE TABLE u (w int);
        CREATE TABLE t2 (x);
        CREATE INDEX i ON t (id);
        CREATE VIRTUAL TABLE f USING fts5(v)`)
      writer.function("writes", () => assert.fail("a function of the application was called"))
      const reader = new Sqlite(file, { readonly: true })
      reader.function("writes", () => 1)
      const pragmas = [
        "user_version",
        "journal_mode",
        "foreign_keys",
        "cache_size",
        "query_only",
        "page_size",
        "application_id"
      ]
      const stateOf = () =>
        JSON.stringify([
          writer.pragma("data_version"),
          writer.prepare("SELECT total_changes()").pluck().get(),
          writer.prepare("SELECT group_concat(sql) FROM sqlite_master").pluck().get(),
          writer.prepare("SELECT group_concat(sql) FROM sqlite_temp_master").pluck().get(),
          // SQLite opens the temporary database for itself, too.
          writer.prepare("SELECT group_concat(name) FROM pragma_database_list WHERE name <> 'temp'").pluck().get(),
          pragmas.map((name) => writer.pragma(name, { simple: true }))
        ])
      const counts = { succeeded: 0 }
      const all = (database: Sqlite.Database, sql: string): Verdict => {
        try {
          const statement = database.prepare(sql)
          if (!statement.reader) return "has no rows"
          statement.all()
          counts.succeeded++
        } catch (error) {
          const { code, message } = error as { readonly code?: string; readonly message: string }
          if (code?.startsWith("SQLITE_READONLY") || message.includes("application was called")) return message
        }
      }
      const run = (sql: string): Verdict => {
        const before = stateOf()
        const refused = all(reader, sql) ?? all(writer, sql)
        if (refused !== undefined) return refused
        const after = stateOf()
        return after === before ? undefined : `${before} became ${after}`
      }
      await check("sqlite", changed("sqlite", sqlitePieces), run, counts)
      reader.close()
      writer.close()
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }, 600_000)
})
