import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as SqlPersistedQueue from "@effect/sql/SqlPersistedQueue"
import { assert, describe, it } from "@effect/vitest"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { assertOnPrimary, clientOf, heardDuring, mariadb, postgres } from "./support.js"

const make = PersistedQueue.make({ name: "mails", schema: Schema.Int })

/** A process with the queue: its workers run until the Scope closes. */
const queueOn = (sql: RoutedSqlClient) =>
  PersistedQueue.layer.pipe(
    Layer.provide(SqlPersistedQueue.layerStore({ pollInterval: "20 millis" })),
    Layer.provide(clientOf(sql)),
    Layer.build,
    Effect.flatMap((context) => Effect.provide(make, context))
  )

for (const engine of [postgres, mariadb]) {
  describe(`a persisted queue on ${engine.name}`, () => {
    it.scopedLive("is the primary's, with every claim", () =>
      Effect.gen(function*() {
        const sql = yield* Effect.flatMap(engine.place, ({ withReplicas }) => withReplicas())
        const work = Effect.gen(function*() {
          const queue = yield* queueOn(sql)
          yield* queue.offer(1)
          yield* Effect.flip(queue.take(() => Effect.fail("again")))
          return yield* queue.take(Effect.succeed)
        })
        const [taken, heard] = yield* heardDuring(sql, work)
        assert.strictEqual(taken, 1)
        assertOnPrimary(heard)
      }))

    it.scopedLive("gives an element to one process alone, while replication is stopped", () =>
      Effect.gen(function*() {
        const { withReplicas } = yield* engine.place
        const queues = [yield* queueOn(yield* withReplicas()), yield* queueOn(yield* withReplicas())]
        yield* engine.paused
        const elements = Array.from({ length: 40 }, (_, i) => i)
        yield* Effect.forEach(elements, (element) => queues[element % 2]!.offer(element), { discard: true })
        const taken: Array<number> = []
        const work = (queue: (typeof queues)[number]) =>
          Effect.whileLoop({
            while: () => taken.length < elements.length,
            body: () =>
              Effect.timeoutOption(
                queue.take((element) => Effect.sync(() => void taken.push(element))),
                "300 millis"
              ),
            step: () => {}
          })
        yield* Effect.all(queues.flatMap((queue) => [work(queue), work(queue)]), { concurrency: "unbounded" })
        assert.deepStrictEqual(taken.toSorted((a, b) => a - b), elements)
      }))
  })
}
