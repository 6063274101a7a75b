/**
 * A durable entity of @effect/cluster, whose storages are given the primary alone: what one runner wrote, the next must read.
 */
import * as ClusterSchema from "@effect/cluster/ClusterSchema"
import * as Entity from "@effect/cluster/Entity"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as Rpc from "@effect/rpc/Rpc"
import { Effect, Layer, Schema } from "effect"
import { RoutedSqlClient } from "effect-sql-router"
import { run } from "./embedded.js"

const Counter = Entity.make("Counter", [
  Rpc.make("Add", {
    payload: { id: Schema.String, amount: Schema.Int },
    success: Schema.Int,
    primaryKey: ({ id }) => id
  })
]).annotateRpcs(ClusterSchema.Persisted, true)

const Cluster = Counter.toLayer(Effect.sync(() => {
  let total = 0
  return { Add: ({ payload }) => Effect.sync(() => total += payload.amount) }
})).pipe(
  Layer.provideMerge(SingleRunner.layer({ shardingConfig: { shardsPerGroup: 1, entityTerminationTimeout: 0 } })),
  Layer.provide(RoutedSqlClient.layerOnlyPrimary)
)

run(
  Effect.gen(function*() {
    const counter = (yield* Counter.client)("total")
    // The second one has been answered before: it is not counted again.
    return [
      yield* counter.Add({ id: "a", amount: 2 }),
      yield* counter.Add({ id: "a", amount: 2 }),
      yield* counter.Add({ id: "b", amount: 3 })
    ]
  }).pipe(Effect.provide(Cluster)),
  // There are many statements, and not always as many: only how they were placed.
  (decisions) =>
    Array.from(new Set(decisions.map(({ endpoint, reason }) => `${endpoint}: ${reason}`))).toSorted().join("\n")
)
