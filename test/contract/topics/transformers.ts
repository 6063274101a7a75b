import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import type * as Tracer from "effect/Tracer"
import type { Topic } from "../support.js"
import { textsOf, ways, withSpans } from "../support.js"

const tenant = FiberRef.unsafeMake("nobody")

export const transformers: Topic = (it, options) => {
  it.effect.each(ways(options))(
    "$operation runs what the transformer made of the statement",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const [rows, spans] = yield* withSpans(
          Statement.withTransformer(
            run(sql`SELECT ${"Ada"} AS name`),
            (statement, sql) => Effect.succeed(sql`SELECT name FROM (${statement}) AS t WHERE name <> ${"Bob"}`)
          )
        )
        assert.deepStrictEqual(rows, [["Ada"]])
        const [, p] = sql`${1}${2}`.compile()[0].split("$")
        const [first, second] = p === undefined ? ["?", "?"] : ["$1", "$2"]
        assert.deepStrictEqual(textsOf(spans), [
          `SELECT name FROM (SELECT ${first} AS name) AS t WHERE name <> ${second}`
        ])
      })
  )

  it.effect.each(ways(options))(
    "$operation shows the transformer its span, and the fiber's refs",
    ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const seen: Array<Tracer.Span> = []
        const [, spans] = yield* withSpans(
          run(sql`SELECT 1 AS one`).pipe(
            Statement.withTransformer((statement, _, refs, span) => {
              seen.push(span)
              span.attribute("tenant", FiberRefs.getOrDefault(refs, tenant))
              return Effect.succeed(statement)
            }),
            Effect.locally(tenant, "acme")
          )
        )
        assert.deepStrictEqual(seen, spans.slice())
        assert.strictEqual(spans[0]!.attributes.get("tenant"), "acme")
      })
  )

  it.effect("a transformer may use Effects, even statements of its own with the transformer off", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* Statement.withTransformer(sql`SELECT 1 AS n`, (_, sql) =>
        Effect.map(
          Effect.orDie(Statement.withTransformerDisabled(sql<{ n: number }>`SELECT 41 AS n`)),
          ([row]) => sql`SELECT ${sql.literal(String(Number(row!.n) + 1))} AS n`
        ))
      assert.deepStrictEqual(rows.map((row) => Number(row["n"])), [42])
    }))

  it.effect("a transformer that dies fails the statement, and nothing runs", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const defect = yield* Effect.catchAllDefect(
        Statement.withTransformer(sql`SELECT 1`, () => Effect.die("no")),
        Effect.succeed
      )
      assert.strictEqual(defect, "no")
    }))

  it.effect("a Layer sets a transformer for all below it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* Effect.provide(
        Effect.zip(sql`SELECT 1 AS n`, sql.withTransaction(sql`SELECT 1 AS n`)),
        Statement.setTransformer((_, sql) => Effect.succeed(sql`SELECT 2 AS n`))
      )
      assert.deepStrictEqual(rows.flat().map((row) => Number(row["n"])), [2, 2])
    }))
}
