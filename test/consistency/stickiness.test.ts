import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Option, Redacted, Runtime, Schema, Stream } from "effect"
import { ReadConsistency, RouteDecision, RoutedSqlClient } from "effect-sql-router"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import { caughtUp, freshDatabase } from "../servers/index.js"
import { type Engine, mariadb, postgres } from "./servers.js"

type Sql = RoutedSqlClient.RoutedSqlClient

/** The role that the last statement of an effect ran in. */
const roleOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(RouteDecision.capture(effect), ([, decisions]) => decisions.at(-1)!.role)

const suite = (engine: Engine) =>
  describe(engine.name, () => {
    /** A router whose replicas stand still, but for what was there before. */
    const standing = (options: RoutedSqlClient.RouterOptions = {}) =>
      Effect.gen(function*() {
        const place = yield* engine.place
        const sql = yield* place.withReplicas(options)
        yield* sql`SELECT 1`
        yield* engine.paused
        return sql
      })
    const write = (sql: Sql, id = 1) => sql`INSERT INTO t (id, name) VALUES (${id}, 'new')`
    const count = (sql: Sql) => Effect.map(sql<{ n: number }>`SELECT count(*) AS n FROM t`, ([row]) => Number(row!.n))

    describe("with the Layer alone", () => {
      it.scopedLive("a read after a write sees it", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* write(sql)
          assert.strictEqual(yield* count(sql), 1)
          assert.strictEqual(yield* roleOf(count(sql)), "primary")
        }))

      it.scopedLive("a read after a transaction sees what it wrote", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* sql.withTransaction(Effect.zip(write(sql, 1), write(sql, 2)))
          assert.strictEqual(yield* count(sql), 2)
        }))

      it.scopedLive("a read after a joined child wrote sees it", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* Effect.flatMap(Effect.fork(write(sql)), Fiber.join)
          assert.strictEqual(yield* count(sql), 1)
        }))

      it.scopedLive("a child that is forked later sees what was written before", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* write(sql)
          assert.strictEqual(yield* Effect.flatMap(Effect.fork(count(sql)), Fiber.join), 1)
        }))

      it.scopedLive("another request's fiber still reads from the replica", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* Effect.flatMap(Effect.fork(write(sql)), Fiber.await)
          const other = yield* Effect.fork(RouteDecision.capture(count(sql)))
          const [seen, [decision]] = yield* Fiber.join(other)
          assert.strictEqual(seen, 0)
          assert.strictEqual(decision!.role, "replica")
        }))

      it.scopedLive("reads go back to the replicas as soon as they have the write", () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const sql = yield* place.withReplicas()
          yield* write(sql)
          yield* caughtUp(engine.name)
          const [seen, decisions] = yield* RouteDecision.capture(count(sql))
          assert.strictEqual(seen, 1)
          assert.strictEqual(decisions[0]!.role, "replica")
          assert.include(["guard", "wait", "cachedPosition"], decisions[0]!.plan.consistency!.by)
        }))

      it.scopedLive("a write that is ignored leaves reads where they were", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* ReadConsistency.ignoreWrites(write(sql))
          assert.strictEqual(yield* roleOf(count(sql)), "replica")
        }))

      it.scopedLive("reads at level eventual go to a replica after a write", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* write(sql)
          assert.strictEqual(yield* ReadConsistency.withLevel(count(sql), ReadConsistency.eventual), 0)
        }))

      it.scopedLive("strict reads go to the primary without a write before", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          assert.strictEqual(
            yield* roleOf(ReadConsistency.withLevel(count(sql), ReadConsistency.strict)),
            "primary"
          )
        }))

      it.scopedLive("a read-only transaction and a stream see what was written before", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* write(sql)
          assert.strictEqual(yield* sql.readOnlyTransaction(count(sql)), 1)
          assert.lengthOf(yield* Stream.runCollect(sql`SELECT * FROM t`.stream), 1)
        }))

      it.scopedLive("a write through a reserved connection is seen", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* Effect.scoped(
            Effect.flatMap(
              sql.reserve,
              (connection) => connection.executeRaw("INSERT INTO t (id, name) VALUES (1, 'new')", [])
            )
          )
          assert.strictEqual(yield* count(sql), 1)
        }))

      it.scopedLive("a read-only transaction runs on a replica that has the write", () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const sql = yield* place.withReplicas()
          yield* write(sql)
          yield* caughtUp(engine.name)
          const [seen, decisions] = yield* RouteDecision.capture(sql.readOnlyTransaction(count(sql)))
          assert.strictEqual(seen, 1)
          assert.strictEqual(decisions[0]!.role, "replica")
        }))

      it.scopedLive("of two tables, only the reads of the one that was written ask for it", () =>
        Effect.gen(function*() {
          const place = yield* engine.place
          const sql = yield* place.withReplicas({ consistency: { granularity: "tables" } })
          yield* sql`CREATE TABLE other (id INTEGER PRIMARY KEY)`
          yield* caughtUp(engine.name)
          yield* engine.paused
          yield* Effect.flatMap(
            Effect.fork(Effect.gen(function*() {
              yield* ReadConsistency.forget
              yield* write(sql)
              assert.strictEqual(yield* roleOf(sql`SELECT * FROM other`), "replica")
              assert.strictEqual(yield* roleOf(sql`SELECT * FROM t`), "primary")
            })),
            Fiber.join
          )
        }))

      it.scopedLive("falling back to the primary is told, with the reason", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const events = yield* Effect.fork(
            Stream.runHead(Stream.filter(sql.events, (event) => event._tag === "FreshnessFallback"))
          )
          yield* Effect.sleep("20 millis")
          yield* write(sql)
          const [, [decision]] = yield* RouteDecision.capture(count(sql))
          assert.strictEqual(decision!.plan.consistency!.fallback, "behind")
          assert.deepInclude(yield* Effect.flatten(Fiber.join(events)), { reason: "behind", level: "session" })
        }))
    })

    describe("in an open session", () => {
      it.scopedLive("a sibling's write is seen", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const seen = yield* ReadConsistency.scoped(Effect.gen(function*() {
            const written = yield* Deferred.make<void>()
            const [, seen] = yield* Effect.all([
              Effect.zipRight(write(sql), Deferred.succeed(written, undefined)),
              Effect.zipRight(Deferred.await(written), count(sql))
            ], { concurrency: "unbounded" })
            return seen
          }))
          assert.strictEqual(seen, 1)
        }))

      it.scopedLive("what was written beside a failure is seen", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const seen = yield* ReadConsistency.scoped(Effect.gen(function*() {
            const written = yield* Deferred.make<void>()
            const all = yield* Effect.exit(Effect.all([
              Effect.zipRight(Effect.zipRight(write(sql), Deferred.succeed(written, undefined)), Effect.never),
              Effect.zipRight(Deferred.await(written), Effect.fail("no"))
            ], { concurrency: "unbounded" }))
            assert.isTrue(Exit.isFailure(all) && Cause.isFailure(all.cause))
            return yield* count(sql)
          }))
          assert.strictEqual(seen, 1)
        }))

      it.scopedLive("what a child wrote is seen that was awaited, or has lost a race", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const seen = yield* ReadConsistency.scoped(Effect.gen(function*() {
            yield* Effect.flatMap(Effect.fork(write(sql, 1)), Fiber.await)
            const written = yield* Deferred.make<void>()
            yield* Effect.race(
              Effect.zipRight(Effect.zipRight(write(sql, 2), Deferred.succeed(written, undefined)), Effect.never),
              Deferred.await(written)
            )
            return yield* count(sql)
          }))
          assert.strictEqual(seen, 2)
        }))

      it.scopedLive("what a concurrent stream wrote is seen", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const seen = yield* ReadConsistency.scoped(Effect.gen(function*() {
            yield* Stream.runDrain(
              Stream.mapEffect(Stream.make(1, 2, 3), (id) => write(sql, id), { concurrency: 3, unordered: true })
            )
            return yield* count(sql)
          }))
          assert.strictEqual(seen, 3)
        }))

      it.scopedLive("what was written inside a Promise is seen", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const seen = yield* ReadConsistency.scoped(Effect.gen(function*() {
            const run = Runtime.runPromise(yield* Effect.runtime<never>())
            yield* Effect.promise(() => run(write(sql)))
            return yield* count(sql)
          }))
          assert.strictEqual(seen, 1)
        }))

      it.scopedLive("reads keep to the replica that they began with", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          const [, decisions] = yield* RouteDecision.capture(
            ReadConsistency.scoped(Effect.all(Array.from({ length: 6 }, () => count(sql)), { concurrency: 3 }))
          )
          assert.lengthOf(Array.from(new Set(decisions.map((_) => _.endpoint))), 1)
          assert.strictEqual(decisions[0]!.role, "replica")
        }))

      it.scopedLive("what the primary has shown is not unseen later", () =>
        Effect.gen(function*() {
          const sql = yield* standing()
          yield* Effect.flatMap(Effect.fork(write(sql, 1)), Fiber.await)
          yield* ReadConsistency.scoped(Effect.gen(function*() {
            assert.strictEqual(yield* count(sql), 0)
            assert.strictEqual(yield* ReadConsistency.withLevel(count(sql), ReadConsistency.strict), 1)
            assert.strictEqual(yield* count(sql), 1)
            yield* ReadConsistency.forget
            assert.strictEqual(yield* count(sql), 0)
            assert.strictEqual(yield* RoutedSqlClient.withPrimary(count(sql)), 1)
            assert.strictEqual(yield* count(sql), 1)
          }))
        }))
    })

    it.scopedLive("a bounded staleness excludes replicas that stand still while the primary goes on", () =>
      Effect.gen(function*() {
        const sql = yield* standing({ replicationLag: { interval: "50 millis" } })
        const read = ReadConsistency.withLevel(count(sql), ReadConsistency.boundedStaleness("400 millis"))
        const writer = yield* Effect.fork(
          Effect.forEach(Chunk.range(1, 1000), (id) => Effect.zipRight(write(sql, id), Effect.sleep("20 millis")))
        )
        yield* Effect.sleep("1 second")
        assert.strictEqual(yield* roleOf(read), "primary")
        assert.strictEqual(yield* roleOf(ReadConsistency.withLevel(count(sql), ReadConsistency.eventual)), "replica")
        yield* Fiber.interrupt(writer)
      }))

    it.scopedLive("a replica that lags by more than maxLag takes no reads", () =>
      Effect.gen(function*() {
        const sql = yield* standing({ replicationLag: { interval: "50 millis", maxLag: "300 millis", minServing: 0 } })
        const writer = yield* Effect.fork(
          Effect.forEach(Chunk.range(1, 1000), (id) => Effect.zipRight(write(sql, id), Effect.sleep("20 millis")))
        )
        yield* Effect.sleep("1 second")
        const { plan } = yield* sql.explain(sql`SELECT count(*) FROM t`)
        assert.strictEqual(plan.candidates[0]!.role, "primary")
        assert.include(plan.excluded[0]!.reason, "lags by more than 300ms")
        yield* Fiber.interrupt(writer)
      }))
  })

suite(postgres)
suite(mariadb)

describe("a batched resolver", () => {
  const program = (engine: Engine) =>
    Effect.gen(function*() {
      const place = yield* engine.place
      const sql = yield* place.withReplicas()
      yield* sql`SELECT 1`
      yield* engine.paused
      const ById = yield* SqlResolver.findById("ById", {
        Id: Schema.Number,
        Result: Schema.Struct({ id: Schema.Number, name: Schema.String }),
        ResultId: ({ id }) => id,
        execute: (ids) => sql`SELECT id, name FROM t WHERE ${sql.in("id", ids)}`
      })
      return { sql, find: (id: number) => Effect.map(ById.execute(id), Option.isSome) }
    })
  const insert = (sql: Sql, id: number) => sql`INSERT INTO t (id, name) VALUES (${id}, 'new')`

  it.scopedLive("sees what its caller wrote", () =>
    Effect.gen(function*() {
      const { find, sql } = yield* program(postgres)
      yield* insert(sql, 1)
      assert.deepStrictEqual(yield* Effect.all([find(1), find(2)], { batching: true }), [true, false])
    }))

  it.scopedLive("sees what any of its callers wrote in an open session", () =>
    Effect.gen(function*() {
      const { find, sql } = yield* program(postgres)
      const found = yield* ReadConsistency.scoped(
        Effect.all([Effect.zipRight(insert(sql, 1), find(1)), find(2)], { batching: true, concurrency: "unbounded" })
      )
      assert.deepStrictEqual(found, [true, false])
    }))
})

describe("a reactive query", () => {
  it.scopedLive("sees the write that it runs again for, whoever wrote", () =>
    Effect.gen(function*() {
      const { primary, replicas: [replica] } = yield* freshDatabase("postgres")
      const sql = yield* RoutedPgClient.make({
        primary: { url: Redacted.make(primary.url) },
        replicas: { replica1: { url: Redacted.make(replica.url) } }
      })
      yield* sql`CREATE TABLE t (id int)`
      yield* caughtUp("postgres")
      yield* postgres.paused
      const count = Effect.map(sql<{ n: number }>`SELECT count(*)::int AS n FROM t`, ([row]) => row!.n)
      const changes = yield* sql.reactiveMailbox(["t"], count)
      assert.strictEqual(yield* changes.take, 0)
      yield* Effect.flatMap(
        Effect.fork(Reactivity.mutation(sql`INSERT INTO t VALUES (1)`, ["t"])),
        Fiber.await
      )
      assert.strictEqual(yield* changes.take, 1)
    }).pipe(Effect.provide(Reactivity.layer)))
})
