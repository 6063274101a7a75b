import * as ClusterSchema from "@effect/cluster/ClusterSchema"
import * as Entity from "@effect/cluster/Entity"
import * as EntityAddress from "@effect/cluster/EntityAddress"
import * as EntityId from "@effect/cluster/EntityId"
import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as Runner from "@effect/cluster/Runner"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import * as RunnerStorage from "@effect/cluster/RunnerStorage"
import * as ShardId from "@effect/cluster/ShardId"
import * as Sharding from "@effect/cluster/Sharding"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as SqlMessageStorage from "@effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as Rpc from "@effect/rpc/Rpc"
import { assert, describe, it } from "@effect/vitest"
import { ReadConsistency } from "effect-sql-router"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { caughtUp } from "../servers/index.js"
import { assertOnPrimary, heardDuring, mariadb, onlyPrimaryOf, postgres } from "./support.js"

const Counter = Entity.make("Counter", [
  Rpc.make("Add", {
    payload: { id: Schema.String, amount: Schema.Int },
    success: Schema.Int,
    primaryKey: ({ id }) => id
  })
]).annotateRpcs(ClusterSchema.Persisted, true)

const counting = Counter.toLayer(Effect.sync(() => {
  let total = 0
  return { Add: ({ payload }) => Effect.sync(() => total += payload.amount) }
}))

const shardingConfig = {
  shardsPerGroup: 4,
  entityMessagePollInterval: "100 millis",
  entityTerminationTimeout: 0
} as const

const cluster = Layer.provideMerge(counting, SingleRunner.layer({ shardingConfig }))

const add = (id: string, amount: number) =>
  Effect.flatMap(Counter.client, (client) => client("total").Add({ id, amount }))

const runner = (port: number) => {
  const address = RunnerAddress.make("127.0.0.1", port)
  return { address, runner: Runner.make({ address, groups: ["default"], weight: 1 }) }
}
const [one, other] = [runner(1), runner(2)]
const shards = [ShardId.make("default", 1), ShardId.make("default", 2)]

for (const engine of [postgres, mariadb]) {
  describe(`the storages of a cluster on ${engine.name}, on the primary alone`, () => {
    it.scopedLive("serve an entity, and no statement of theirs runs on a replica", () =>
      Effect.gen(function*() {
        const sql = yield* Effect.flatMap(engine.place, ({ withReplicas }) => withReplicas())
        // A message that was there before is answered again, not handled again.
        const calls = Effect.all([add("1", 2), add("2", 3), add("1", 2)])
        const [totals, heard] = yield* heardDuring(
          sql,
          Effect.provide(calls, Layer.provide(cluster, onlyPrimaryOf(sql)))
        )
        assert.deepStrictEqual(totals, [2, 5, 2])
        assertOnPrimary(heard)
      }))

    it.scopedLive("see what another runner wrote, while replication is stopped", () =>
      Effect.gen(function*() {
        const { withReplicas } = yield* engine.place
        const mine = onlyPrimaryOf(yield* withReplicas())
        const others = onlyPrimaryOf(yield* withReplicas())
        const storages = Layer.merge(SqlMessageStorage.layer, SqlRunnerStorage.layer).pipe(
          Layer.provide(ShardingConfig.layer(shardingConfig))
        )
        // From now on replicas have the tables, with nothing in them.
        yield* Effect.void.pipe(Effect.provide(Layer.provide(storages, mine)))
        yield* caughtUp(engine.name)
        yield* engine.paused
        yield* Effect.gen(function*() {
          yield* add("1", 2)
          const sharding = yield* Sharding.Sharding
          const entityId = EntityId.make("total")
          const address = new EntityAddress.EntityAddress({
            entityId,
            entityType: Counter.type,
            shardId: sharding.getShardId(entityId, "default")
          })
          yield* Effect.gen(function*() {
            const messages = yield* MessageStorage.MessageStorage
            const id = yield* messages.requestIdForPrimaryKey({ address, tag: "Add", id: "1" })
            assert.isTrue(Option.isSome(id))
            assert.lengthOf(yield* messages.repliesForUnfiltered(Option.toArray(id)), 1)
            assert.lengthOf(yield* (yield* RunnerStorage.RunnerStorage).getRunners, 1)
          }).pipe(ReadConsistency.isolated, Effect.provide(Layer.provide(storages, others)))
        }).pipe(Effect.provide(Layer.provide(cluster, mine)))
      }))

    it.scopedLive.each([false, true])(
      "lock a shard for one runner alone (advisory locks disabled: %s)",
      (disabled) =>
        Effect.gen(function*() {
          const { withReplicas } = yield* engine.place
          const storage = Effect.flatMap(withReplicas(), (sql) =>
            SqlRunnerStorage.layer.pipe(
              Layer.provide(ShardingConfig.layer({ ...shardingConfig, shardLockDisableAdvisory: disabled })),
              Layer.provide(onlyPrimaryOf(sql)),
              Layer.build
            )).pipe(Effect.map(Context.get(RunnerStorage.RunnerStorage)))
          const [first, second] = [yield* storage, yield* storage]
          assert.notStrictEqual(yield* first.register(one.runner, true), yield* second.register(other.runner, true))
          assert.lengthOf(yield* second.getRunners, 2)
          yield* first.setRunnerHealth(other.address, false)
          assert.deepStrictEqual((yield* second.getRunners).map(([, healthy]) => healthy).toSorted(), [false, true])

          assert.lengthOf(yield* first.acquire(one.address, shards), 2)
          assert.deepStrictEqual(yield* second.acquire(other.address, shards), [])
          assert.lengthOf(yield* first.refresh(one.address, shards), 2)
          yield* first.release(one.address, shards[0]!)
          assert.deepStrictEqual((yield* second.acquire(other.address, shards)).map(String), [String(shards[0])])
          yield* first.releaseAll(one.address)
          assert.lengthOf(yield* second.acquire(other.address, shards), 2)
          yield* first.unregister(other.address)
          assert.lengthOf(yield* first.getRunners, 1)
        })
    )
  })
}
