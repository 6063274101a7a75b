/**
 * OpenTelemetry: the spans of routed statements and the router's metrics, as an exporter gets them.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as SqlClient from "@effect/sql/SqlClient"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Layer } from "effect"
import { RoutedSqlClient, RoutingMetrics } from "effect-sql-router"
import { replicate, run } from "./embedded.js"

const spans = new InMemorySpanExporter()
const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: metrics })

const Telemetry = Layer.merge(
  NodeSdk.layer(() => ({
    resource: { serviceName: "shop" },
    spanProcessor: new SimpleSpanProcessor(spans),
    metricReader: reader
  })),
  RoutingMetrics.layer(RoutedSqlClient.RoutedSqlClient, { interval: "10 millis" })
)

/** How many statements ran where, as the last export told. */
const statements = Effect.sync(() =>
  metrics.getMetrics().at(-1)!.scopeMetrics
    .flatMap((scope) => scope.metrics)
    .filter(({ descriptor }) => descriptor.name === "sql.router.statements")
    .flatMap(({ dataPoints }) =>
      dataPoints.map(({ attributes, value }) => `${attributes.endpoint}: ${attributes.reason}: ${value}`)
    )
    .toSorted()
)

run(
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL)`
    yield* sql.withTransaction(sql`INSERT INTO orders VALUES (1, 120)`)
    yield* replicate
    yield* sql`SELECT total FROM orders`
    yield* Effect.ignore(sql`INSERT INTO orders VALUES (1, 80)`)

    yield* Effect.sleep("100 millis")
    yield* Effect.promise(() => reader.forceFlush())
    return {
      spans: spans.getFinishedSpans().map(({ attributes, name }) => Object.assign({ name }, attributes)),
      statements: yield* statements
    }
  }).pipe(Effect.provide(Telemetry))
)
