import { assert, describe, it } from "@effect/vitest"
import type { Dialect } from "effect-sql-router/Dialect"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import type { StatementFacts } from "effect-sql-router/StatementFacts"
import * as fc from "fast-check"
import { performance } from "node:perf_hooks"
import { hazards } from "./classifier/hazards/families.js"

/** Strings per dialect; a nightly run sets CLASSIFIER_STRINGS to 1000000. */
const runs = Number(process.env["CLASSIFIER_STRINGS"] ?? 50_000)

const dialects: ReadonlyArray<Dialect> = ["postgres", "mysql", "sqlite"]

/** Without a cache, so that each text is read. */
const { classify } = StatementClassifier.make({ cache: { entries: 0 } })

/** Asks for all that is computed late, too. */
const everything = (facts: StatementFacts): number =>
  facts.why.position + facts.reads.length + facts.writes.length + facts.equalities.length + facts.locks.length +
  facts.functions.length + facts.sessionEffects.length + facts.fingerprint.length +
  (facts.transaction === undefined ? 0 : 1) + facts.statements.reduce((sum, part) => sum + part.why.position, 0)

/** Characters that lexers care about, and words that readers do. */
const fragments = [
  ..."'\"`$[](){};,.:@#?\\/*+-=<>!|&~^%0x1e9 \t\n\r\f\v_aEBXNU",
  "\u0000",
  "\u00e9",
  "\ufeff",
  "\u{1f600}",
  "\ud800",
  "--",
  "/*",
  "*/",
  "/*!",
  "/*!50000",
  "/*M!",
  "/*+",
  "$$",
  "$a$",
  "U&'",
  "E'",
  "::",
  ":=",
  "@@",
  " SELECT ",
  " WITH ",
  " AS ",
  " FROM ",
  " WHERE ",
  " AND ",
  " OR ",
  " IN ",
  " BETWEEN ",
  " UPDATE ",
  " SET ",
  " DELETE ",
  " INTO ",
  " FOR ",
  " VALUES ",
  " TABLE ",
  " JOIN ",
  " ON ",
  " USING ",
  " CYCLE ",
  " SEARCH ",
  " RECURSIVE ",
  " EXPLAIN ",
  " PRAGMA ",
  " COPY ",
  " SHOW ",
  " PREPARE ",
  " CREATE ",
  " TEMP ",
  " nextval",
  "(",
  ")"
]

const soup = fc.array(fc.constantFrom(...fragments), { maxLength: 40 }).map((parts) => parts.join(""))

/** A hazard with a piece cut out or put in. */
const damaged = fc.tuple(fc.constantFrom(...hazards), fc.nat(200), fc.nat(20), fc.constantFrom("", ...fragments)).map(
  ([{ sql }, at, length, inserted]) => sql.slice(0, at) + inserted + sql.slice(at + length)
)

const timeOf = (run: () => void): number => {
  const start = performance.now()
  run()
  return performance.now() - start
}

describe("StatementClassifier is total", () => {
  for (const dialect of dialects) {
    it(`throws at no string (${dialect})`, () => {
      fc.assert(
        fc.property(fc.oneof(soup, damaged, fc.fullUnicodeString({ maxLength: 60 })), (sql) => {
          assert.isAtLeast(everything(classify(dialect, sql)), 0)
        }),
        { numRuns: runs }
      )
    }, 600_000)
  }
})

/** Texts that grow in one way, by what makes them long. */
const growing: ReadonlyArray<readonly [string, (n: number) => string]> = [
  ["parentheses", (n) => `SELECT ${"(".repeat(n)}1${")".repeat(n)}`],
  ["open parentheses", (n) => "(".repeat(n)],
  ["parentheses before a query", (n) => `${"(".repeat(n)}SELECT 1${")".repeat(n)}`],
  ["parentheses in FROM", (n) => `SELECT 1 FROM ${"(".repeat(n)}t${")".repeat(n)}`],
  ["parentheses in WHERE", (n) => `SELECT 1 FROM t WHERE ${"(".repeat(n)}a = 1${")".repeat(n)}`],
  ["comments", (n) => `SELECT 1 ${"/* a */".repeat(n)}`],
  ["nested comments", (n) => `SELECT 1 ${"/*".repeat(n)}${"*/".repeat(n)}`],
  ["comments without end", (n) => `SELECT 1 ${"/*".repeat(n)}`],
  ["executable comments", (n) => `SELECT 1 ${"/*!50000 + 1 */".repeat(n)}`],
  ["quotes", (n) => `SELECT ${"'".repeat(n)}`],
  ["strings", (n) => `SELECT ${"'a',".repeat(n)}1`],
  ["backslashes", (n) => `SELECT '${"\\'".repeat(n)}'`],
  ["dollars", (n) => `SELECT ${"$a".repeat(n)}`],
  ["dollar tags", (n) => `SELECT ${"$a$".repeat(n)}`],
  ["different dollar tags", (n) => `SELECT ${Array.from({ length: n }, (_, i) => `$a${i}$`).join("")}`],
  ["words", (n) => `SELECT ${"a ".repeat(n)}`],
  ["one word", (n) => `SELECT ${"a".repeat(n)}`],
  ["points", (n) => `SELECT ${"a.".repeat(n)}a`],
  ["numbers", (n) => `SELECT ${"1.".repeat(n)}`],
  ["operators", (n) => `SELECT 1 ${"+-".repeat(n)}`],
  ["tables", (n) => `SELECT 1 FROM ${Array.from({ length: n }, (_, i) => `t${i}`).join(", ")}`],
  ["joins", (n) => `SELECT 1 FROM t${" JOIN u ON a = b".repeat(n)}`],
  ["conditions", (n) => `SELECT 1 FROM t WHERE a = 1${" AND b = $1".repeat(n)}`],
  ["CASE and BETWEEN", (n) => `SELECT 1 FROM t WHERE ${"CASE BETWEEN ".repeat(n)}a = 1`],
  ["a list", (n) => `SELECT 1 FROM t WHERE a IN (${"1, ".repeat(n)}2)`],
  ["CTEs", (n) => `WITH ${Array.from({ length: n }, (_, i) => `a${i} AS (SELECT 1)`).join(", ")} SELECT 1`],
  ["nested CTEs", (n) => `${"WITH a AS (".repeat(n)}SELECT 1${") SELECT 1".repeat(n)}`],
  [
    "recursive CTEs",
    (n) => `WITH RECURSIVE ${Array.from({ length: n }, (_, i) => `a${i} AS (SELECT 1)`).join(", ")} SELECT 1`
  ],
  ["unions", (n) => `SELECT 1${" UNION SELECT 1".repeat(n)}`],
  ["UNION ALL ALL", (n) => `SELECT 1 UNION ${"ALL ".repeat(n)}TABLE t`],
  ["named operators", (n) => `SELECT a ${"OPERATOR(".repeat(n)}`],
  ["SEARCH", (n) => `WITH RECURSIVE a AS (SELECT 1) ${"SEARCH a, ".repeat(n)} SELECT 1`],
  ["COPY", (n) => `COPY ${"(".repeat(n)}SELECT 1${")".repeat(n)} TO STDOUT`],
  ["IN", (n) => `SELECT 1 ${"IN t ".repeat(n)}`],
  ["subqueries", (n) => `SELECT ${"(SELECT ".repeat(n)}1${")".repeat(n)}`],
  ["calls", (n) => `SELECT ${"lower(".repeat(n)}'a'${")".repeat(n)}`],
  ["statements", (n) => "SELECT 1;".repeat(n)],
  ["semicolons", (n) => `${";".repeat(n)}SELECT 1`],
  ["parameters", (n) => `SELECT ${"?,$1,".repeat(n)}1`],
  ["variables", (n) => `SELECT 1 INTO ${"@a, ".repeat(n)}@b`],
  ["rows", (n) => `INSERT INTO t VALUES ${"(1, 'a'), ".repeat(n)}(2, 'b')`],
  ["EXPLAIN options", (n) => `EXPLAIN (${"ANALYZE off, ".repeat(n)}COSTS) SELECT 1`],
  ["SET", (n) => `SET ${"a = 1, ".repeat(n)}b = 2`],
  ["names beyond ASCII", (n) => `SELECT ${"\u00e9 ".repeat(n)}`]
]

/** How many times as long the large text takes; measured again if that seems too long, as others use the machine too. */
const growthOf = (small: () => void, large: () => void): number => {
  let growth = Number.POSITIVE_INFINITY
  for (let i = 0; i < 4 && growth > 40; i++) {
    small()
    growth = Math.min(growth, timeOf(large) / Math.max(timeOf(small), 1))
  }
  return growth
}

/** Characters of a text; a nightly run sets CLASSIFIER_TEXT to 1000000. */
const length = Number(process.env["CLASSIFIER_TEXT"] ?? 200_000)

describe("StatementClassifier takes linear time", () => {
  for (const dialect of dialects) {
    for (const [what, grow] of growing) {
      it(`for ever more of ${what} (${dialect})`, () => {
        const perUnit = Math.max(1, grow(1000).length / 1000)
        const small = grow(Math.floor(length / 16 / perUnit))
        const large = grow(Math.floor(length / perUnit))
        const growth = growthOf(() => everything(classify(dialect, small)), () => everything(classify(dialect, large)))
        // 16 times the text; the rest is for caches that overflow.
        assert.isBelow(growth, 64)
      }, 60_000)
    }

    it(`for a megabyte, and for 100000 nested parentheses and comments (${dialect})`, () => {
      const texts = [
        `SELECT ${"a, ".repeat(333_333)}1`,
        `SELECT '${"a".repeat(1_000_000)}'`,
        `SELECT ${"(".repeat(100_000)}1${")".repeat(100_000)}`,
        `SELECT 1 ${"/*".repeat(100_000)}${"*/".repeat(100_000)}`
      ]
      for (const text of texts) assert.isBelow(timeOf(() => everything(classify(dialect, text))), 5000)
    }, 60_000)
  }
})
