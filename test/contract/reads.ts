/** What became of the reads that a replica may serve, as the spans of a suite tell. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Tracer from "effect/Tracer"
import { collectingTracer } from "./support.js"

/** Collects the spans of all that is built upon it. */
export const collecting = (spans: Array<Tracer.Span>): Layer.Layer<never> =>
  Layer.unwrapEffect(Effect.map(collectingTracer(spans), Layer.setTracer))

const reasonOf = (span: Tracer.Span): string => String(span.attributes.get("sql.router.reason"))

/** Statements that ran where they did because they read, or although: then no replica could serve them, or in time. */
const mayRunOnReplica = (span: Tracer.Span): boolean =>
  /^read($|, (but|from a replica)| your own write)/.test(reasonOf(span))

/** How many statements that a replica may serve ran on each endpoint. */
export const readsByEndpoint = (spans: ReadonlyArray<Tracer.Span>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const span of spans.filter(mayRunOnReplica)) {
    const endpoint = String(span.attributes.get("sql.router.endpoint"))
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  }
  return counts
}

/** Fails unless at least 90 % of those statements, and no less than `floor`, ran on replicas, on each of them some. */
export const assertServedByReplicas = (
  spans: ReadonlyArray<Tracer.Span>,
  replicas: ReadonlyArray<string>,
  floor: number
): void => {
  const counts = readsByEndpoint(spans)
  const onReplicas = replicas.map((replica) => counts.get(replica) ?? 0)
  const served = onReplicas.reduce((a, b) => a + b, 0)
  const eligible = Array.from(counts.values()).reduce((a, b) => a + b, 0)
  const told = JSON.stringify(Object.fromEntries(counts))
  assert.isAtLeast(served, floor, told)
  assert.isAtLeast(served / eligible, 0.9, told)
  for (const count of onReplicas) assert.isAtLeast(count, served / replicas.length / 2, told)
}
