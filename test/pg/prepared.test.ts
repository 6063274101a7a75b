import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Redacted, Stream } from "effect"
import * as fc from "fast-check"
import type { PhysicalConnection } from "../../src/Driver.js"
import * as Driver from "../../src/internal/pg/driver.js"
import * as ReadConsistency from "../../src/ReadConsistency.js"
import * as RoutedPgClient from "../../src/RoutedPgClient.js"
import * as RoutedSqlClient from "../../src/RoutedSqlClient.js"
import * as TcpProxy from "../../src/testing/TcpProxy.js"
import { freshDatabase, postgres } from "../servers/index.js"
import { connect, connectThrough, endpoint, primaryUrl, rows } from "./support.js"

const code = (error: SqlError): unknown => (error.cause as { readonly code?: string }).code

/** A connection of an own, temporary schema, that prepares what it is asked for the first time. */
const preparing = (options: RoutedPgClient.PreparedStatementOptions = {}) =>
  connect({ preparedStatements: { threshold: 1, ...options } })

/** The texts that the server has prepared; asked in a way that is never prepared itself. */
const onServer = (connection: PhysicalConnection): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.map(
    rows(connection, "SELECT statement FROM pg_prepared_statements ORDER BY statement"),
    (rows) => rows.map(({ statement }) => statement)
  )

const run = (connection: PhysicalConnection, sql: string) => connection.executeUnprepared(sql, [], undefined)

/** Drops all that is prepared, behind the back of everybody. */
const dropSecretly = (connection: PhysicalConnection) => run(connection, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")

const double = "SELECT $1::int * 2 AS n"

describe("a prepared statement", () => {
  it.scopedLive("is prepared at the threshold, and not before", () =>
    Effect.gen(function*() {
      const connection = yield* preparing({ threshold: 3 })
      const seen: Array<number> = []
      for (let i = 0; i < 4; i++) {
        assert.deepStrictEqual(yield* rows(connection, double, [i]), [{ n: i * 2 }])
        seen.push((yield* onServer(connection)).length)
      }
      assert.deepStrictEqual(seen, [0, 0, 1, 1])
    }))

  it.scopedLive("is made by default of none, and with `true` of the fifth use", () =>
    Effect.gen(function*() {
      for (const [preparedStatements, expected] of [[undefined, 0], [false, 0], [true, 1]] as const) {
        const connection = yield* connect({ preparedStatements })
        for (let i = 0; i < 5; i++) yield* rows(connection, double, [i])
        assert.lengthOf(yield* onServer(connection), expected)
      }
    }))

  it.scopedLive("answers as an unprepared one does, each time, in all the ways to execute", () =>
    Effect.gen(function*() {
      const connection = yield* preparing()
      yield* run(
        connection,
        "CREATE TEMPORARY TABLE things (id int PRIMARY KEY, data jsonb, at timestamptz, bytes bytea)"
      )
      const at = new Date("2026-01-02T03:04:05.678Z")
      const texts: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
        ["INSERT INTO things VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET data = excluded.data", [
          1,
          { a: [1, "ü"] },
          at,
          Buffer.from([0, 255])
        ]],
        ["SELECT * FROM things WHERE id = $1", [1]],
        ["SELECT * FROM things WHERE id = $1 AND id = 0", [1]],
        ["UPDATE things SET at = $1 WHERE id = 1 RETURNING id, at", [null]],
        ["SELECT $1::int[] AS list, $2::text AS \"text\", '' AS empty, $3::text", [[1, 2], "😀\\", ""]],
        ["DELETE FROM things WHERE id = $1", [2]],
        ["SELECT 1 / $1::int", [0]]
      ]
      for (const [sql, params] of texts) {
        const all = Effect.all([
          Effect.exit(connection.execute(sql, params, undefined)),
          Effect.exit(connection.executeValues(sql, params)),
          Effect.exit(Effect.map(connection.executeRaw(sql, params), (raw) => ({ ...(raw as object) })))
        ])
        const unprepared = yield* Effect.exit(connection.executeUnprepared(sql, params, undefined))
        const first = yield* all
        const again = yield* all
        assert.deepStrictEqual(text(first[0]), text(unprepared), sql)
        assert.deepStrictEqual(text(again), text(first), sql)
      }
      assert.includeMembers([...yield* onServer(connection)], texts.map(([sql]) => sql).slice(0, -1))
    }))

  const text = (exits: unknown): string => JSON.stringify(exits)

  it.scopedLive("is none without parameters, nor `unprepared`, a stream, or longer than 15 KiB", () =>
    Effect.gen(function*() {
      const connection = yield* preparing()
      for (let i = 0; i < 2; i++) {
        yield* rows(connection, "SELECT 1")
        yield* connection.executeUnprepared(double, [1], undefined)
        yield* Stream.runDrain(connection.executeStream(double, [1], undefined))
        yield* rows(connection, `SELECT $1::int, '${"x".repeat(15 * 1024)}'`, [1])
      }
      assert.deepStrictEqual(yield* onServer(connection), [])
    }))

  it.scopedLive("is closed when its place is needed, in the same write as what comes next", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      let lastSent = Buffer.alloc(0)
      yield* proxy.configure({
        request: ({ bytes }) => {
          lastSent = Buffer.from(bytes)
          return "pass"
        }
      })
      const connection = yield* connectThrough(proxy, { preparedStatements: { max: 2, threshold: 1 } })
      for (let i = 0; i < 5; i++) {
        yield* rows(connection, `SELECT $1::int AS n${i}`, [i])
        const messages = kinds(lastSent)
        assert.strictEqual(messages, i < 2 ? "PBDES" : "CPBDES")
        assert.isAtMost((yield* onServer(connection)).length, 2)
      }
      yield* rows(connection, "SELECT $1::int AS n4", [4])
      assert.strictEqual(kinds(lastSent), "BES")
    }))

  /** The kinds of messages in a write. */
  const kinds = (sent: Buffer): string => {
    let letters = ""
    for (let at = 0; at < sent.length; at += 1 + sent.readUInt32BE(at + 1)) letters += String.fromCharCode(sent[at]!)
    return letters
  }

  it.scopedLive("keeps its place while it is used, through a flood of texts that come once", () =>
    Effect.gen(function*() {
      const connection = yield* preparing({ max: 5, threshold: 2 })
      for (let i = 0; i < 60; i++) {
        yield* rows(connection, double, [i])
        yield* rows(connection, `SELECT $1::int AS n${i}`, [i])
      }
      assert.deepStrictEqual(yield* onServer(connection), [double])
    }))

  it.scopedLive("is one of at most `max`, whatever is asked, and every answer is right", () =>
    Effect.gen(function*() {
      const steps = fc.array(
        fc.tuple(fc.nat(9), fc.constantFrom("run", "run", "run", "fail", "discard", "unprepared")),
        {
          minLength: 20,
          maxLength: 60
        }
      )
      for (const [seed, sequence] of fc.sample(steps, { numRuns: 12, seed: 8 }).entries()) {
        const max = 1 + seed % 4
        const connection = yield* preparing({ max, threshold: 1 + seed % 3 })
        for (const [which, step] of sequence) {
          const sql = `SELECT 10 / $1::int + ${which} AS n`
          if (step === "discard") yield* run(connection, which % 2 === 0 ? "DISCARD ALL" : "DEALLOCATE ALL")
          else if (step === "fail") assert.strictEqual(code(yield* Effect.flip(rows(connection, sql, [0]))), "22012")
          else {
            const execute = step === "run" ? connection.execute : connection.executeUnprepared
            assert.deepStrictEqual(yield* execute.call(connection, sql, [5], undefined), [{ n: 2 + which }])
          }
          assert.isAtMost((yield* onServer(connection)).length, max)
        }
      }
    }), 60_000)
})

describe("what the session forgets is prepared again", () => {
  for (const command of ["DISCARD ALL", "DEALLOCATE ALL"]) {
    it.scopedLive(`after ${command}`, () =>
      Effect.gen(function*() {
        const connection = yield* preparing()
        yield* rows(connection, double, [1])
        yield* run(connection, command)
        assert.deepStrictEqual(yield* onServer(connection), [])
        assert.deepStrictEqual(yield* rows(connection, double, [2]), [{ n: 4 }])
        assert.deepStrictEqual(yield* onServer(connection), [double])
      }))
  }

  it.scopedLive("not where that was hidden: it is sent as it is, once, and the endpoint gets nothing prepared", () =>
    Effect.gen(function*() {
      const warnings: Array<unknown> = []
      const { first, second } = yield* Effect.all({ first: shared(), second: shared() }).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void warnings.push(message))))
      )
      yield* run(first, "CREATE TEMPORARY TABLE once (n int)")
      const insert = "INSERT INTO once VALUES ($1)"
      for (let n = 0; n < 3; n++) {
        if (n > 0) yield* dropSecretly(first)
        first.positions!.expect("after")
        yield* rows(first, insert, [n])
        assert.isDefined(first.positions!.take())
      }
      assert.deepStrictEqual(yield* rows(first, "SELECT n FROM once ORDER BY n"), [{ n: 0 }, { n: 1 }, { n: 2 }])
      yield* rows(second, double, [1])
      assert.deepStrictEqual([...yield* onServer(first), ...yield* onServer(second)], [])
      assert.lengthOf(warnings, 1)
      assert.match(String(warnings[0]), /primary.*max_prepared_statements/)
    }))

  const hidden = endpoint({ preparedStatements: { threshold: 1 } })
  const shared = () => Driver.make(hidden.config).open(hidden, "readWrite")
})

describe("what goes out of date is sent again as it is", () => {
  const table = Effect.gen(function*() {
    const { primary } = yield* freshDatabase("postgres")
    const at = endpoint({ url: Redacted.make(primary.url), preparedStatements: { threshold: 1 } })
    const open = Driver.make(at.config).open(at, "readWrite")
    const admin = yield* connect({ url: Redacted.make(primary.url) })
    yield* run(admin, "CREATE TABLE things (id int); INSERT INTO things VALUES (1)")
    return { admin, open }
  })
  const select = "SELECT * FROM things WHERE id = $1"

  it.scopedLive("after columns have changed, and no connection fails", () =>
    Effect.gen(function*() {
      const { admin, open } = yield* table
      const [one, two] = [yield* open, yield* open]
      for (const connection of [one, two]) assert.deepStrictEqual(yield* rows(connection, select, [1]), [{ id: 1 }])
      yield* run(admin, "ALTER TABLE things ADD COLUMN name text DEFAULT 'a'")
      assert.deepStrictEqual(yield* rows(one, select, [1]), [{ id: 1, name: "a" }])
      // Who would fail in a transaction has learned of it.
      yield* run(two, "BEGIN")
      assert.deepStrictEqual(yield* rows(two, select, [1]), [{ id: 1, name: "a" }])
      yield* run(two, "COMMIT")
      for (const connection of [one, two]) {
        assert.deepStrictEqual(yield* onServer(connection), [select].slice(connection === one ? 1 : 0))
      }
      yield* rows(one, select, [1])
      assert.deepStrictEqual(yield* onServer(one), [select])
    }))

  it.scopedLive("after the type of a parameter has changed with its column", () =>
    Effect.gen(function*() {
      const { admin, open } = yield* table
      const connection = yield* open
      yield* rows(connection, "UPDATE things SET id = id WHERE id = $1", [1])
      yield* rows(connection, select, [1])
      yield* run(admin, "ALTER TABLE things ALTER COLUMN id TYPE bigint")
      assert.deepStrictEqual(yield* rows(connection, select, ["5000000000"]), [])
      yield* run(admin, "ALTER TABLE things ALTER COLUMN id TYPE text")
      assert.deepStrictEqual(yield* rows(connection, select, ["one"]), [])
      const updated = yield* connection.executeRaw("UPDATE things SET id = id WHERE id = $1", ["1"])
      assert.strictEqual((updated as { readonly rowCount: number }).rowCount, 1)
    }))

  it.scopedLive("but a value that is wrong either way fails as it is, and costs nothing but itself", () =>
    Effect.gen(function*() {
      const { open } = yield* table
      const connection = yield* open
      for (let i = 0; i < 5; i++) {
        yield* rows(connection, select, [1])
        assert.strictEqual(code(yield* Effect.flip(rows(connection, select, ["one"]))), "22P02")
      }
      yield* rows(connection, select, [1])
      assert.deepStrictEqual(yield* onServer(connection), [select])
    }))

  it.scopedLive("until it has happened three times: then the text is prepared no more", () =>
    Effect.gen(function*() {
      const { admin, open } = yield* table
      const connection = yield* open
      for (let i = 0; i < 5; i++) {
        yield* rows(connection, select, [1])
        yield* rows(connection, double, [1])
        assert.deepStrictEqual(yield* onServer(connection), i < 3 ? [double, select] : [double])
        yield* run(admin, `ALTER TABLE things ADD COLUMN c${i} int`)
        assert.property((yield* rows(connection, select, [1]))[0], `c${i}`)
      }
    }))

  it.scopedLive("inside a transaction it fails that one, and the next goes well", () =>
    Effect.gen(function*() {
      const { primary } = yield* freshDatabase("postgres")
      yield* Effect.gen(function*() {
        const sql = yield* RoutedSqlClient.RoutedSqlClient
        yield* sql`CREATE TABLE things (id int)`
        yield* sql`INSERT INTO things VALUES (1)`
        const select = sql.withTransaction(sql`SELECT * FROM things WHERE id = ${1}`)
        yield* select
        yield* sql`ALTER TABLE things ADD COLUMN name text`
        const failed = yield* Effect.flip(select)
        assert.strictEqual(code(failed), "0A000")
        for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* select, [{ id: 1, name: null }])
      }).pipe(Effect.provide(RoutedPgClient.layer({
        preparedStatements: { threshold: 1 },
        primary: { url: Redacted.make(primary.url) },
        pool: { max: 1 }
      })))
    }))

  it.scopedLive("follows search_path, where columns have other types there too", () =>
    Effect.gen(function*() {
      const { admin, open } = yield* table
      yield* run(
        admin,
        `
        CREATE SCHEMA a; CREATE TYPE a.mood AS ENUM ('calm'); CREATE TABLE a.moods (mood a.mood, id int);
        CREATE SCHEMA b; CREATE TYPE b.mood AS ENUM ('wild'); CREATE TABLE b.moods (mood b.mood, id int);
        INSERT INTO a.moods VALUES ('calm', 1); INSERT INTO b.moods VALUES ('wild', 1);
        CREATE TABLE a.same (schema text); CREATE TABLE b.same (schema text);
        INSERT INTO a.same VALUES ('a'); INSERT INTO b.same VALUES ('b')`
      )
      const connection = yield* open
      for (let i = 0; i < 6; i++) {
        const schema = i % 2 === 0 ? "a" : "b"
        yield* rows(connection, "SELECT set_config('search_path', $1, false)", [schema])
        assert.deepStrictEqual(yield* rows(connection, "SELECT schema FROM same WHERE $1", [true]), [{ schema }])
        const mood = schema === "a" ? "calm" : "wild"
        assert.deepStrictEqual(yield* rows(connection, "SELECT mood FROM moods WHERE id = $1", [1]), [{ mood }])
      }
    }))

  it.scopedLive("follows the role: its privileges, and its row level security", () =>
    Effect.gen(function*() {
      const { admin, open } = yield* table
      const role = `reader_${Math.floor(performance.now() * 1000)}`
      yield* Effect.acquireRelease(
        run(
          admin,
          `
          CREATE ROLE ${role}; GRANT SELECT ON things TO ${role};
          ALTER TABLE things ENABLE ROW LEVEL SECURITY;
          CREATE POLICY none ON things TO ${role} USING (false);
          CREATE TABLE secrets (id int)`
        ),
        () => Effect.ignore(run(admin, `DROP OWNED BY ${role}; DROP ROLE ${role}`))
      )
      const connection = yield* open
      const secret = "SELECT * FROM secrets WHERE id = $1"
      for (let i = 0; i < 2; i++) {
        assert.deepStrictEqual(yield* rows(connection, select, [1]), [{ id: 1 }])
        yield* rows(connection, secret, [1])
        yield* run(connection, `SET ROLE ${role}`)
        assert.deepStrictEqual(yield* rows(connection, select, [1]), [])
        assert.strictEqual(code(yield* Effect.flip(rows(connection, secret, [1]))), "42501")
        yield* run(connection, "RESET ROLE")
      }
    }))
})

describe("prepared statements and everything else", () => {
  it.scopedLive("share a connection with streams, transactions, failures and cancels", () =>
    Effect.gen(function*() {
      const connection = yield* preparing({ max: 3 })
      yield* run(connection, "BEGIN")
      const numbers = "SELECT i, $1::int AS one FROM generate_series(1, 400) AS i"
      const sums = yield* Effect.all(
        [
          Stream.runFold(connection.executeStream(numbers, [1], undefined), 0, (sum, { i }) => sum + i),
          Effect.map(
            Effect.forEach(
              Array.from({ length: 40 }),
              (_, i) => rows(connection, `SELECT $1::int + ${i % 5} AS n`, [i])
            ),
            (answers) => answers.every(([row], i) => row.n === i + i % 5) ? 1 : 0
          ),
          Stream.runFold(connection.executeStream(numbers, [1], undefined), 0, (sum, { one }) => sum + one)
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(sums, [80_200, 1, 400])
      assert.strictEqual(code(yield* Effect.flip(rows(connection, "SELECT 1 / $1::int", [0]))), "22012")
      assert.strictEqual(code(yield* Effect.flip(rows(connection, double, [1]))), "25P02")
      yield* run(connection, "ROLLBACK")
      assert.deepStrictEqual(yield* rows(connection, double, [1]), [{ n: 2 }])
      assert.isTrue(connection.isUsable())
      const sleep = yield* Effect.fork(rows(connection, "SELECT pg_sleep($1)", [10]))
      yield* Effect.sleep("50 millis")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(sleep)))
      assert.isFalse(connection.isUsable())
    }))

  it.scopedLive("a value that cannot be sent fails its statement alone, and what is to be closed still is", () =>
    Effect.gen(function*() {
      const connection = yield* preparing({ max: 1 })
      yield* rows(connection, double, [1])
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      const failed = yield* Effect.flip(rows(connection, "SELECT $1::json", [circular]))
      assert.instanceOf(failed.cause, TypeError)
      const many = yield* Effect.flip(rows(connection, double, Array.from({ length: 65_536 }, () => 1)))
      assert.match(String(many.cause), /at most 65535 parameters/)
      yield* rows(connection, "SELECT $1::int", [1])
      assert.deepStrictEqual(yield* onServer(connection), ["SELECT $1::int"])
    }))

  it.scopedLive("what the server has begun to execute is never sent again, whatever it fails with", () =>
    Effect.gen(function*() {
      const { primary } = yield* freshDatabase("postgres")
      const url = Redacted.make(primary.url)
      const connection = yield* connect({ url, preparedStatements: { threshold: 1 } })
      yield* run(connection, "CREATE TABLE calls (code text)")
      yield* run(
        connection,
        `CREATE PROCEDURE fail_after_commit(code text) LANGUAGE plpgsql AS $$
          BEGIN INSERT INTO calls VALUES (code); COMMIT; RAISE EXCEPTION 'late' USING ERRCODE = code; END $$`
      )
      const expected: Array<string> = []
      for (const state of ["22012", "42P01", "0A000", "26000", "42P05"]) {
        const connection = yield* connect({ url, preparedStatements: { threshold: 1 } })
        for (let i = 0; i < 2 && connection.isUsable(); i++) {
          assert.strictEqual(code(yield* Effect.flip(rows(connection, "CALL fail_after_commit($1)", [state]))), state)
          expected.push(state)
        }
      }
      assert.deepStrictEqual(
        yield* rows(connection, "SELECT code FROM calls ORDER BY code"),
        expected.toSorted().map((code) => ({ code }))
      )
    }))

  it.scopedLive("a session reads its own writes, on replicas as well", () =>
    Effect.gen(function*() {
      const { primary, replicas } = yield* freshDatabase("postgres")
      yield* Effect.gen(function*() {
        const sql = yield* RoutedSqlClient.RoutedSqlClient
        yield* sql`CREATE TABLE counters (id int PRIMARY KEY, n int)`
        yield* Effect.forEach(
          Array.from({ length: 4 }),
          (_, id) =>
            ReadConsistency.scoped(Effect.gen(function*() {
              yield* sql`INSERT INTO counters VALUES (${id}, 0)`
              for (let n = 1; n <= 25; n++) {
                yield* sql`UPDATE counters SET n = ${n} WHERE id = ${id}`
                assert.deepStrictEqual(yield* sql`SELECT n FROM counters WHERE id = ${id}`, [{ n }])
              }
            })),
          { concurrency: "unbounded" }
        )
      }).pipe(Effect.provide(RoutedPgClient.layer({
        preparedStatements: { threshold: 2 },
        primary: { url: Redacted.make(primary.url) },
        replicas: {
          replica1: { url: Redacted.make(replicas[0].url) },
          replica2: { url: Redacted.make(replicas[1].url) }
        }
      })))
    }), 30_000)

  it.scopedLive("an option that makes no sense fails the layer, by its name", () =>
    Effect.gen(function*() {
      for (const [name, preparedStatements] of [["max", { max: 0 }], ["threshold", { threshold: 1.5 }]] as const) {
        const failed = yield* Effect.flip(
          RoutedPgClient.make({ primary: { url: primaryUrl, preparedStatements } }).pipe(
            Effect.provide(Reactivity.layer)
          )
        )
        assert.match(String(failed.cause), new RegExp(`primary.preparedStatements.${name}`))
      }
    }))
})
