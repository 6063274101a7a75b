import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as SqlPersistedQueue from "@effect/sql/SqlPersistedQueue"
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Topic } from "../support.js"
import { freshName } from "../support.js"

const Item = Schema.Struct({ n: Schema.BigInt })

const makeQueue = Effect.suspend(() => PersistedQueue.make({ name: freshName("queue"), schema: Item }))

export const queues: Topic = (it) => {
  it.layer(Layer.provide(PersistedQueue.layer, SqlPersistedQueue.layerStore({ pollInterval: "20 millis" })))((it) => {
    it.effect("what is offered is taken, in order", () =>
      Effect.gen(function*() {
        const queue = yield* makeQueue
        yield* queue.offer({ n: 1n })
        yield* queue.offer({ n: 2n })
        const take = queue.take(({ n }, { attempts }) => Effect.succeed([n, attempts]))
        assert.deepStrictEqual([yield* take, yield* take], [[1n, 0], [2n, 0]])
      }))

    it.effect("what is offered twice with one id is taken once", () =>
      Effect.gen(function*() {
        const queue = yield* makeQueue
        const id = freshName("id")
        yield* queue.offer({ n: 1n }, { id })
        yield* queue.offer({ n: 2n }, { id })
        const take = queue.take(({ n }) => Effect.succeed(n))
        assert.strictEqual(yield* take, 1n)
        assert.isTrue((yield* Effect.timeoutOption(take, "200 millis"))._tag === "None")
      }))

    it.effect("what fails is taken again, with the attempts counted", () =>
      Effect.gen(function*() {
        const queue = yield* makeQueue
        yield* queue.offer({ n: 42n })
        assert.strictEqual(yield* Effect.flip(queue.take(() => Effect.fail("boom"))), "boom")
        assert.deepStrictEqual(
          yield* queue.take(({ n }, { attempts }) => Effect.succeed([n, attempts])),
          [42n, 1]
        )
      }))

    it.effect("what is interrupted is taken by another", () =>
      Effect.gen(function*() {
        const queue = yield* makeQueue
        const taken = yield* Deferred.make<void>()
        yield* queue.offer({ n: 42n })
        const first = yield* Effect.fork(
          queue.take(() => Effect.zipRight(Deferred.succeed(taken, undefined), Effect.never))
        )
        yield* Deferred.await(taken)
        const second = yield* Effect.fork(queue.take(({ n }) => Effect.succeed(n)))
        yield* Effect.sleep("100 millis")
        assert.isNull(second.unsafePoll())
        yield* Fiber.interrupt(first)
        assert.strictEqual(yield* Fiber.join(second), 42n)
      }).pipe(Effect.timeout("5 seconds")))
  })
}
