import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Options, Topic } from "../support.js"
import { spanAttributes, ways, withSpans } from "../support.js"

const systems: { readonly [dialect in Options["dialect"]]: string } = {
  sqlite: "sqlite",
  pg: "postgresql",
  mysql: "mysql"
}

const named = (spans: ReadonlyArray<Tracer.Span>, name: string) => spans.filter((span) => span.name === name)

const parentOf = (span: Tracer.Span): string | undefined =>
  Option.getOrUndefined(Option.map(span.parent, (parent) => parent.spanId))

/** Effect's own spans keep their events; the interface does not say so. */
const eventsOf = (span: Tracer.Span): ReadonlyArray<string> =>
  (span as unknown as { readonly events: ReadonlyArray<readonly [name: string]> }).events.map(([name]) => name)

/** Asks the server who it is. */
const identity = Effect.map(SqlClient.SqlClient, (sql) =>
  sql.onDialectOrElse({
    pg: () => sql`SELECT current_database() AS namespace, inet_server_port() AS port`,
    orElse: () => sql`SELECT DATABASE() AS namespace, @@port AS port`
  }))

export const spans: Topic = (it, options) => {
  it.effect.each(ways(options))(
    "$operation opens one client span, which tells the text",
    ({ operation, run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const statement = sql`SELECT ${"Ada"} AS name`
        const [, spans] = yield* withSpans(Effect.withSpan(run(statement), "caller"))
        const [caller, span] = spans
        assert.deepStrictEqual(spans.map((span) => span.name), ["caller", "sql.execute"])
        assert.strictEqual(span!.kind, "client")
        assert.strictEqual(parentOf(span!), caller!.spanId)
        assert.strictEqual(span!.status._tag, "Ended")
        assert.strictEqual(span!.attributes.get("db.operation.name"), operation)
        assert.strictEqual(span!.attributes.get("db.query.text"), statement.compile()[0])
        assert.strictEqual(span!.attributes.get("db.system.name"), systems[options.dialect])
        assert.strictEqual(span!.attributes.get("contract.suite"), spanAttributes["contract.suite"])
      })
  )

  if (options.dialect !== "sqlite") {
    it.effect.each(ways(options))("$operation names the server that ran it", ({ run }) =>
      Effect.gen(function*() {
        const [[row], spans] = yield* withSpans(Effect.flatMap(identity, run))
        const [{ attributes }] = named(spans, "sql.execute") as [Tracer.Span]
        assert.deepStrictEqual([attributes.get("db.namespace"), Number(attributes.get("server.port"))], row as any)
        assert.strictEqual(attributes.get("server.address"), "127.0.0.1")
      }))
  }

  it.effect("a statement that fails ends its span with the error", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [error, [span]] = yield* withSpans(Effect.flip(sql`SELEC 1`))
      assert.isTrue(span!.status._tag === "Ended" && Equal.equals(span!.status.exit, Exit.fail(error)))
    }))

  it.effect("without tracing a statement runs all the same", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const { run } of ways(options)) {
        const [rows, spans] = yield* withSpans(Effect.withTracerEnabled(run(sql`SELECT 1 AS one`), false))
        assert.deepStrictEqual(rows.map((row) => row.map(Number)), [[1]])
        assert.deepStrictEqual(spans, [])
      }
    }))

  it.effect("a transaction's span is the parent of its statements' spans", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [, spans] = yield* withSpans(
        Effect.withSpan(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql`SELECT 2`)), "caller")
      )
      const [caller, transaction, ...statements] = spans
      assert.deepStrictEqual(spans.map((span) => span.name), [
        "caller",
        "sql.transaction",
        "sql.execute",
        "sql.execute"
      ])
      assert.strictEqual(transaction!.kind, "client")
      assert.strictEqual(parentOf(transaction!), caller!.spanId)
      assert.deepStrictEqual(statements.map(parentOf), [transaction!.spanId, transaction!.spanId])
      assert.strictEqual(transaction!.attributes.get("db.system.name"), systems[options.dialect])
      assert.strictEqual(transaction!.attributes.get("contract.suite"), spanAttributes["contract.suite"])
    }))

  it.effect("a nested transaction's span lies within that of the transaction around", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [, spans] = yield* withSpans(
        sql.withTransaction(Effect.zipRight(sql.withTransaction(sql`SELECT 1`), sql`SELECT 2`))
      )
      const [outer, inner] = named(spans, "sql.transaction")
      const [first, second] = named(spans, "sql.execute")
      assert.strictEqual(parentOf(inner!), outer!.spanId)
      assert.deepStrictEqual([first, second].map((span) => parentOf(span!)), [inner!.spanId, outer!.spanId])
    }))

  it.effect("a transaction's span tells how it ended", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [, spans] = yield* withSpans(Effect.all([
        sql.withTransaction(sql.withTransaction(sql`SELECT 1`)),
        Effect.flip(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, sql.withTransaction(Effect.fail("undo")))))
      ]))
      assert.deepStrictEqual(named(spans, "sql.transaction").map(eventsOf), [
        ["db.transaction.commit"],
        ["db.transaction.savepoint"],
        ["db.transaction.rollback"],
        ["db.transaction.rollback"]
      ])
    }))

  it.effect("a user's span inside a transaction comes between", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [, spans] = yield* withSpans(sql.withTransaction(Effect.withSpan(sql`SELECT 1`, "step")))
      const [transaction, step, statement] = spans
      assert.strictEqual(parentOf(step!), transaction!.spanId)
      assert.strictEqual(parentOf(statement!), step!.spanId)
    }))
}
