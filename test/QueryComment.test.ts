import { assert, describe, it } from "@effect/vitest"
import type { Dialect } from "effect-sql-router/Dialect"
import * as QueryComment from "effect-sql-router/QueryComment"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as fc from "fast-check"
import { append } from "../src/internal/queryComment.js"
import { fakeRouter } from "./fixtures/fakeRouter.js"
import { mariadb, postgres, sqlite } from "./transaction/engines.js"

/** What might end a comment, begin one, or be read in another way by one server or another. */
const nasty = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.array(
    fc.constantFrom(
      "*/",
      "/*",
      "*",
      "/",
      "'",
      "\\",
      "\"",
      "`",
      "--",
      "#",
      ";",
      "\n",
      "\r",
      "\0",
      "!50000",
      "+",
      "%2A%2F",
      "%",
      "?",
      "$1",
      ":a",
      "@a",
      "; DROP TABLE t",
      "\ud800",
      "é",
      "💥"
    ),
    { maxLength: 8 }
  ).map((parts) => parts.join(""))
)

const tags = fc.dictionary(nasty, nasty, { maxKeys: 4 })

const comment = (sql: string): string | undefined => /\/\*.*\*\/$/.exec(sql)?.[0]

describe("a query comment", () => {
  it.scoped("is set, merged, cleared and got in the fiber and its children", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* Effect.gen(function*() {
        yield* sql`SELECT 1`
        yield* QueryComment.merge({ b: "3", c: "4" })(Effect.all([sql`SELECT 2`, QueryComment.get], {
          concurrency: "unbounded"
        }))
        yield* QueryComment.set({ d: "5" })(sql`SELECT 3`)
        yield* QueryComment.clear(sql`SELECT 4`)
        assert.deepStrictEqual(yield* QueryComment.get, { a: "1", b: "2" })
      }).pipe(QueryComment.set({ a: "1", b: "2" }))
      yield* sql`SELECT 5`
      assert.deepStrictEqual(log.map((line) => line.slice(line.indexOf(" ") + 1)), [
        "SELECT 1 /*a='1',b='2'*/",
        "SELECT 2 /*a='1',b='3',c='4'*/",
        "SELECT 3 /*d='5'*/",
        "SELECT 4",
        "SELECT 5"
      ])
      assert.deepStrictEqual(yield* QueryComment.get, {})
    }))

  it.scoped("goes along in every way to execute, in transactions and in streams", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      const one = sql`SELECT 1`
      const ways: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        one,
        one.raw,
        one.values,
        one.unprepared,
        one.withoutTransform,
        Stream.runDrain(one.stream)
      ]
      yield* QueryComment.set({ a: "1" })(Effect.all([...ways, sql.withTransaction(Effect.all(ways))]))
      const texts = log.map((line) => line.slice(line.indexOf(" ") + 1)).filter((text) => text.startsWith("SELECT"))
      assert.strictEqual(texts.length, 12)
      for (const text of texts) assert.strictEqual(text, "SELECT 1 /*a='1'*/")
    }))

  it.scoped("names the span around by its traceparent, and nothing where there is none", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* QueryComment.withTraceparent(sql`SELECT 1`)
      const span = yield* Effect.flatMap(Effect.currentSpan, (span) =>
        Effect.as(QueryComment.withTraceparent(sql`SELECT 2`), span)).pipe(Effect.withSpan("around"))
      assert.match(log[0]!, /SELECT 1$/)
      assert.include(log[1], `/*traceparent='00-${span.traceId}-${span.spanId}-01'*/`)
    }))

  it.scoped("is not seen by the classifier", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { sql } = yield* fakeRouter({
        classifier: {
          classify: (dialect, sql) => {
            seen.push(sql)
            return StatementClassifier.classify(dialect, sql)
          }
        }
      })
      yield* QueryComment.set({ a: "1" })(sql`SELECT 1`)
      assert.deepStrictEqual(seen, ["SELECT 1"])
    }))

  it("is one comment to every lexer, whatever is in it", () => {
    fc.assert(
      fc.property(tags, fc.constantFrom<Dialect>("postgres", "mysql", "sqlite"), (tags, dialect) => {
        const sql = "DELETE FROM t WHERE a = 1"
        const text = append(sql, new Map(Object.entries(tags)))
        assert.isTrue(text.startsWith(sql))
        const inside = text.slice(sql.length + 3, -2)
        assert.notMatch(inside, /[^\w.~%='," -]|\*|\//)
        const [plain, commented] = [sql, text].map((sql) => StatementClassifier.classify(dialect, sql))
        assert.strictEqual(commented!.fingerprint, plain!.fingerprint)
        assert.strictEqual(commented!.kind, plain!.kind)
        assert.deepStrictEqual(commented!.equalities, plain!.equalities)
      }),
      { numRuns: 2000 }
    )
  })

  it("gives back what was put in", () => {
    fc.assert(fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.string()), (tags) => {
      const text = append("SELECT 1", new Map(Object.entries(tags)))
      const pairs = Array.from(text.matchAll(/([^,*]+)='([^']*)'/g), ([, key, value]) => [key!, value!] as const)
      const decoded = pairs.map(([key, value]) => [decodeURIComponent(key), decodeURIComponent(value)])
      assert.deepStrictEqual(Object.fromEntries(decoded), { ...tags })
    }))
  })
})

const samples = fc.sample(tags, { numRuns: 150, seed: 7 })

describe("a query comment on a server", () => {
  it.scopedLive("is in what postgres shows of the statement, and changes nothing of what it runs", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.flatMap(postgres.place, (place) => place.router({ pool: { max: 1 } }))
      for (const tags of samples) {
        const rows = yield* QueryComment.set(tags)(
          sql<{ one: number; query: string }>`
            SELECT ${1}::int AS one, query FROM pg_stat_activity WHERE pid = pg_backend_pid()`
        )
        assert.strictEqual(rows.length, 1)
        assert.strictEqual(rows[0]!.one, 1)
        const expected = append("", new Map(Object.entries(tags)))
        if (rows[0]!.query.length < 900) assert.isTrue(rows[0]!.query.endsWith(expected), rows[0]!.query)
      }
    }))

  it.scopedLive("is in what mariadb shows of the statement, and changes nothing of what it runs", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.flatMap(mariadb.place, (place) => place.router({ pool: { max: 1 } }))
      for (const tags of samples) {
        for (const way of ["execute", "unprepared"] as const) {
          const statement = sql<{ one: number; info: string }>`
            SELECT ${1} AS one, CONVERT(info USING utf8mb4) AS info
            FROM information_schema.processlist WHERE id = CONNECTION_ID()`
          const rows = yield* QueryComment.set(tags)(way === "execute" ? statement : statement.unprepared)
          assert.strictEqual(rows.length, 1)
          assert.strictEqual(Number(rows[0]!.one), 1)
          assert.isTrue(rows[0]!.info.endsWith(append("", new Map(Object.entries(tags)))), rows[0]!.info)
        }
      }
    }))

  it.scopedLive("leaves no prepared statement behind on mariadb where it names the trace", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.flatMap(mariadb.place, (place) => place.router({ pool: { max: 1 } }))
      const count = Effect.map(
        sql<{ Value: string }>`SHOW SESSION STATUS LIKE 'Com_stmt_%'`.unprepared,
        (rows) => {
          const of = (name: string) =>
            Number((rows as ReadonlyArray<any>).find((row) => row.Variable_name === name).Value)
          return of("Com_stmt_prepare") - of("Com_stmt_close")
        }
      )
      const statement = sql`SELECT ${1} AS one`
      const before = yield* count
      for (let i = 0; i < 10; i++) {
        yield* Effect.all([statement, statement.values, statement.raw, statement.withoutTransform]).pipe(
          QueryComment.withTraceparent,
          Effect.withSpan(`span ${i}`)
        )
      }
      assert.strictEqual(yield* count, before)
      yield* QueryComment.set({ a: "1" })(statement)
      assert.strictEqual(yield* count, before + 1)
    }))

  it.scopedLive("is not sent to sqlite", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.flatMap(sqlite.place, (place) => place.router())
      const error = yield* Effect.flip(QueryComment.set({ a: "1" })(sql`SELECT nothing`))
      assert.isUndefined(comment(JSON.stringify(error)))
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* QueryComment.set({ i: String(i) })(sql`SELECT 1 AS one`), [{ one: 1 }])
      }
    }))
})

describe("withoutQueryEvents", () => {
  it.scoped("tells neither captures nor listeners of statements", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const heard: Array<string> = []
      const listening = yield* Effect.fork(Stream.runForEach(sql.events, (event) =>
        Effect.sync(() =>
          void (event._tag === "StatementRouted" && heard.push(event.decision.sql))
        )))
      yield* TestClock.adjust("1 millis")
      const [, decisions] = yield* RouteDecision.capture(Effect.zipRight(
        RoutedSqlClient.withoutQueryEvents(Effect.zipRight(sql`SELECT 1`, sql.withTransaction(sql`SELECT 2`))),
        sql`SELECT 3`
      ))
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(
        decisions.map(({ sql }) =>
          sql
        ),
        ["SELECT 3"]
      )
      assert.deepStrictEqual(heard, ["SELECT 3"])
      yield* Fiber.interrupt(listening)
    }))

  it.scoped("gives statements no span", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter()
      const spans: Array<string> = []
      const tracer = yield* Effect.tracer
      const watched = Effect.withTracer(
        {
          ...tracer,
          context: tracer.context,
          span: (...args: Parameters<typeof tracer.span>) => {
            spans.push(args[0])
            return tracer.span(...args)
          }
        } as typeof tracer
      )
      yield* watched(sql`SELECT 1`)
      assert.deepStrictEqual(spans, ["sql.execute"])
      yield* watched(RoutedSqlClient.withoutQueryEvents(
        Effect.all([sql`SELECT 1`, sql.withTransaction(sql`SELECT 2`), Stream.runDrain(sql`SELECT 3`.stream)])
      ))
      assert.deepStrictEqual(spans, ["sql.execute"])
    }))
})
