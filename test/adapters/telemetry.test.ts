import * as OtelMetrics from "@effect/opentelemetry/Metrics"
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as Resource from "@effect/opentelemetry/Resource"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { SpanKind, SpanStatusCode } from "@opentelemetry/api"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor
} from "@opentelemetry/sdk-trace-base"
import { ReadConsistency, RoutedSqlClient, RoutingMetrics } from "effect-sql-router"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { cluster } from "../servers/index.js"
import { mariadb, postgres } from "./support.js"

/** Runs an effect under OpenTelemetry, and gives the spans of statements and transactions that were exported. */
const exported = <A, E, R>(effect: Effect.Effect<A, E, R>, sampler?: Sampler) =>
  Effect.suspend(() => {
    const exporter = new InMemorySpanExporter()
    const layer = NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(exporter),
      ...(sampler === undefined ? {} : { tracerConfig: { sampler } })
    }))
    // Its shutdown forgets them.
    return Effect.map(effect, (result) => [result, exporter.getFinishedSpans()] as const).pipe(Effect.provide(layer))
  })

const statementOf = (spans: ReadonlyArray<ReadableSpan>): ReadableSpan => {
  assert.deepStrictEqual(spans.map(({ name }) => name), ["sql.execute"])
  return spans[0]!
}

const kinds = [
  { engine: postgres, system: "postgresql", duplicate: "23505", unknown: "42P01" },
  { engine: mariadb, system: "mysql", duplicate: "1062", unknown: "1146" }
] as const

for (const { duplicate, engine, system, unknown } of kinds) {
  describe(`OpenTelemetry on ${engine.name}`, () => {
    const router = Effect.flatMap(
      engine.place,
      ({ withReplicas }) => withReplicas({ consistency: { level: ReadConsistency.eventual } })
    )
    const portOf = (endpoint: unknown) => {
      const { primary, replicas } = cluster(engine.name)
      return [primary, ...replicas][["primary", "replica1", "replica2"].indexOf(String(endpoint))]!.port
    }

    it.scopedLive("a statement's span tells what was run, where and why", () =>
      Effect.gen(function*() {
        const sql = yield* router
        const [, spans] = yield* exported(sql`SELECT id FROM t WHERE id = ${1}`)
        const { attributes, kind, status } = statementOf(spans)
        assert.strictEqual(kind, SpanKind.CLIENT)
        assert.strictEqual(status.code, SpanStatusCode.OK)
        const { "db.namespace": namespace, "sql.router.endpoint": endpoint, ...rest } = attributes
        assert.match(String(namespace), /^test_/)
        assert.deepStrictEqual(rest, {
          "db.system.name": system,
          "db.operation.name": "execute",
          "db.query.text": sql`SELECT id FROM t WHERE id = ${1}`.compile()[0],
          "server.address": "127.0.0.1",
          "server.port": portOf(endpoint),
          "sql.router.role": "replica",
          "sql.router.reason": "read"
        })
      }))

    it.scopedLive("spans of a transaction's statements lie in its own, in the caller's trace", () =>
      Effect.gen(function*() {
        const sql = yield* router
        const program = sql.withTransaction(sql`SELECT id FROM t`).pipe(Effect.withSpan("request"))
        const [, [statement, transaction, request]] = yield* exported(program)
        assert.deepStrictEqual([transaction!.name, request!.name], ["sql.transaction", "request"])
        assert.strictEqual(statement!.parentSpanContext!.spanId, transaction!.spanContext().spanId)
        assert.strictEqual(transaction!.parentSpanContext!.spanId, request!.spanContext().spanId)
        assert.strictEqual(statement!.spanContext().traceId, request!.spanContext().traceId)
        assert.deepStrictEqual(transaction!.events.map(({ name }) => name), ["db.transaction.commit"])
        assert.strictEqual(statement!.attributes["sql.router.reason"], "in a transaction")
      }))

    it.scopedLive("a span tells the server's code of an error, and the router's own by its tag", () =>
      Effect.gen(function*() {
        const sql = yield* router
        const insert = sql`INSERT INTO t (id) VALUES (1)`
        yield* insert
        const failures: ReadonlyArray<readonly [Effect.Effect<unknown, SqlError>, type: string, status?: string]> = [
          [insert, duplicate, duplicate],
          [Stream.runDrain(sql`SELECT * FROM nowhere`.stream), unknown, unknown],
          [RoutedSqlClient.withReplica(insert), "StatementRefused"]
        ]
        for (const [failing, type, code] of failures) {
          const [, spans] = yield* exported(Effect.flip(failing))
          const { attributes, events, status } = statementOf(spans)
          assert.strictEqual(status.code, SpanStatusCode.ERROR)
          assert.strictEqual(attributes["error.type"], type)
          assert.strictEqual(attributes["db.response.status_code"], code)
          assert.deepStrictEqual(events.map(({ name }) => name), ["exception"])
        }
      }))

    it.scopedLive("statements run all the same where the trace is not sampled", () =>
      Effect.gen(function*() {
        const sql = yield* router
        const [rows, spans] = yield* exported(sql`SELECT 1 AS one`, new AlwaysOffSampler())
        assert.deepStrictEqual(rows, [{ one: 1 }])
        assert.deepStrictEqual(spans, [])
      }))

    it.scopedLive("the router's metrics are exported with the rest of Effect's", () =>
      Effect.gen(function*() {
        const sql = yield* router
        const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
        const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
        const layer = Layer.merge(
          RoutingMetrics.layer(Effect.succeed(sql), { interval: "20 millis" }),
          Layer.provide(OtelMetrics.layer(() => reader), Resource.layer({ serviceName: "test" }))
        )
        yield* Effect.gen(function*() {
          yield* Effect.all([sql`SELECT 1`, sql`INSERT INTO t (id) VALUES (2)`])
          yield* Effect.sleep("100 millis")
          yield* Effect.promise(() => reader.forceFlush())
          const points = exporter.getMetrics()
            .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
            .filter(({ descriptor }) => descriptor.name === "sql.router.statements")
            .flatMap(({ dataPoints }) => dataPoints.map(({ attributes }) => `${attributes.role}: ${attributes.reason}`))
          assert.includeMembers(points, ["replica: read", "primary: write"])
        }).pipe(Effect.provide(layer))
      }))
  })
}
