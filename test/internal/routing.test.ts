import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Target from "effect-sql-router/Target"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { fakeRouter } from "../fixtures/fakeRouter.js"

const served = (log: ReadonlyArray<string>) => log.map((line) => line.split("#")[0])

/** Two Databases whose endpoints have names of their own. */
const databases = {
  replicas: { replica1: {}, replica2: {} },
  databases: { archive: { replicas: { archiveReplica: {} } } },
  strategy: ReplicaStrategy.roundRobin,
  classifier: StatementClassifier.make({})
}

describe("overrides", () => {
  it.scoped("send statements to the primary, to a replica, or to one endpoint", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(databases)
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withPrimary)
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withEndpoint("replica2"))
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withEndpoint("replica2"))
      yield* sql`INSERT INTO a VALUES (1)`.pipe(RoutedSqlClient.withEndpoint("primary"))
      yield* sql`SELECT my_function()`.pipe(RoutedSqlClient.withReplica)
      assert.deepStrictEqual(served(log).slice(0, 4), ["primary", "replica2", "replica2", "primary"])
      assert.match(served(log)[4]!, /^replica/)
    }))

  it.scoped("refuse a write on a replica before it is sent", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(databases)
      const write = Effect.asVoid(sql`DELETE FROM a`)
      for (const refused of [RoutedSqlClient.withReplica(write), RoutedSqlClient.withEndpoint("replica1")(write)]) {
        const error = Option.getOrThrow(RoutingError.from(yield* Effect.flip(refused)))
        assert.strictEqual(error._tag === "StatementRefused" && error.reason, "writeOnReplica")
      }
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("hold for the effect alone, and for the fibers it starts", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(databases)
      yield* Effect.all([sql`SELECT 1`, sql`SELECT 2`], { concurrency: "unbounded" }).pipe(RoutedSqlClient.withPrimary)
      yield* sql`SELECT 3`
      assert.deepStrictEqual(served(log).slice(0, 2), ["primary", "primary"])
      assert.match(served(log)[2]!, /^replica/)
    }))

  it.scoped("send statements to another database, wherever its rules for reads and writes say", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter(databases)
      const [, decisions] = yield* RouteDecision.capture(
        Effect.all([sql`SELECT 1`, sql`DELETE FROM a`, RoutedSqlClient.withPrimary(sql`SELECT 2`)]).pipe(
          RoutedSqlClient.withDatabase("archive")
        )
      )
      assert.deepStrictEqual(
        decisions.map(({ endpoint, plan }) => [plan.database, endpoint]),
        [["archive", "archiveReplica"], ["archive", "primary"], ["archive", "primary"]]
      )
    }))

  it.scoped("find an endpoint of another database by its name alone, if only one has it", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(databases)
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withEndpoint("archiveReplica"))
      assert.deepStrictEqual(served(log), ["archiveReplica"])
    }))

  it.scoped("name what exists when they name what does not", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(databases)
      const database = yield* Effect.flip(sql`SELECT 1`.pipe(RoutedSqlClient.withDatabase("nowhere")))
      assert.include(database.message, "There is no database \"nowhere\": known are \"main\", \"archive\".")
      const endpoint = yield* Effect.flip(sql`SELECT 1`.pipe(RoutedSqlClient.withEndpoint("nowhere")))
      assert.include(endpoint.message, "known are \"primary\", \"replica1\", \"replica2\"")
      assert.deepStrictEqual(log, [])
    }))
})

describe("named databases", () => {
  it.scoped("are clients of their own, opened when they are first used", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter(databases)
      const archive = yield* sql.database("archive")
      assert.strictEqual(open.length, 0)
      const [, decisions] = yield* RouteDecision.capture(Effect.all([archive`SELECT 1`, archive`DELETE FROM a`]))
      assert.deepStrictEqual(decisions.map((_) => _.plan.database), ["archive", "archive"])
      assert.strictEqual(open.length, 2)
    }))

  it.scoped("must exist, and are listed when they do not", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter(databases)
      const error = yield* Effect.flip(sql.database("nowhere"))
      assert.include(error.message, "there is no database \"nowhere\": known are \"main\", \"archive\"")
    }))

  it.scoped("can be added while their Scope lasts, under a name that is free", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter(databases)
      const other = yield* fakeRouter()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* sql.addDatabase("geography", other.sql)
        yield* (yield* sql.database("geography"))`SELECT 1`
        assert.deepStrictEqual(served(other.log), ["primary"])
        for (const taken of ["geography", "archive", "main"]) {
          const error = yield* Effect.flip(sql.addDatabase(taken, other.sql))
          assert.include(error.message, "the name is taken")
        }
      }))
      assert.include((yield* Effect.flip(sql.database("geography"))).message, "no database \"geography\"")
    }))

  it.scoped("may not share a name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(fakeRouter({ databases: { main: {} } }))
      assert.include(error.message, "the name \"main\" is taken by another database")
    }))
})

describe("rules", () => {
  const rules = RoutingRules.make([
    RoutingRules.write("audit", Target.deny("the audit trail is written by its own service")),
    RoutingRules.read("orders", Target.database("archive")),
    RoutingRules.select("reports", Target.endpoint("replica2"))
  ])

  it.scoped("decide where a statement goes, and are named by its plan", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ ...databases, rules })
      const [, decisions] = yield* RouteDecision.capture(Effect.all([
        sql`SELECT * FROM orders`,
        sql`SELECT * FROM reports`,
        sql`INSERT INTO orders VALUES (1)`
      ]))
      assert.deepStrictEqual(
        decisions.map(({ endpoint, plan }) => [plan.database, endpoint]),
        [["archive", "archiveReplica"], ["main", "replica2"], ["main", "primary"]]
      )
      assert.match(decisions[0]!.plan.rule, /orders/)
    }))

  it.scoped("can deny, in a transaction too, before anything is sent", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ ...databases, rules })
      const write = sql`INSERT INTO audit VALUES (1)`
      for (const effect of [write, sql.withTransaction(write)]) {
        const error = yield* Effect.flip(effect)
        assert.include(error.message, "the audit trail is written by its own service")
      }
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("give way to overrides, and to clients of a named database", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ ...databases, rules })
      const main = yield* sql.database("archive")
      const [, decisions] = yield* RouteDecision.capture(Effect.all([
        RoutedSqlClient.withPrimary(sql`SELECT * FROM orders`),
        RoutedSqlClient.withDatabase("main")(sql`SELECT * FROM orders`),
        main`SELECT * FROM reports`
      ]))
      assert.deepStrictEqual(decisions.map((_) => _.plan.database), ["main", "main", "archive"])
    }))

  it.scoped("see what the fiber carries", () =>
    Effect.gen(function*() {
      const tenant = FiberRef.unsafeMake("small")
      const { sql } = yield* fakeRouter({
        ...databases,
        rules: RoutingRules.make([
          RoutingRules.rule(RoutingRules.context(tenant, (tenant) => tenant === "large"), Target.database("archive"))
        ])
      })
      const [, decisions] = yield* RouteDecision.capture(Effect.all([
        sql`SELECT 1`,
        Effect.locally(sql`SELECT 1`, tenant, "large")
      ]))
      assert.deepStrictEqual(decisions.map((_) => _.plan.database), ["main", "archive"])
    }))

  it.scoped("that are wrong fail the Layer with their number and reason", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(fakeRouter({
        ...databases,
        rules: RoutingRules.make([RoutingRules.read(Target.database("nowhere"))])
      }))
      assert.match(error.message, /rule 1.*nowhere.*main.*archive/)
    }))

  it.scoped("explain which of them matched, and why the others did not", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({ ...databases, rules })
      const { plan, rules: trace } = yield* sql.explain(sql`SELECT * FROM reports`)
      assert.deepStrictEqual(trace.map((_) => _.matched), [false, false, true])
      assert.strictEqual(plan.rule, trace[2]!.rule)
    }))

  it.scoped("mirror a share of the reads elsewhere, in the background, and drop what it gives", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const { log, sql } = yield* fakeRouter({
        ...databases,
        databases: {
          archive: {
            primary: { execute: () => Effect.zipRight(Deferred.succeed(arrived, undefined), Effect.never) }
          }
        },
        rules: RoutingRules.make([
          RoutingRules.read(Target.mirrored(Target.auto, { percent: 100, to: Target.database("archive", "primary") }))
        ])
      })
      const [rows, [decision]] = yield* RouteDecision.capture(sql`SELECT 1`)
      yield* Deferred.await(arrived)
      assert.deepStrictEqual(rows, [])
      assert.strictEqual(decision?.plan.database, "main")
      assert.strictEqual(log.length, 2)
      yield* sql`DELETE FROM a`
      assert.strictEqual(log.length, 3)
    }))
})

describe("shadow mode", () => {
  it.scoped("sends everything to the primary, and tells what would have gone elsewhere", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ ...databases, shadow: true })
      const [, decisions] = yield* RouteDecision.capture(
        Effect.all([sql`SELECT 1`, sql`SELECT 2`, sql`DELETE FROM a`])
      )
      assert.deepStrictEqual(served(log), ["primary", "primary", "primary"])
      assert.strictEqual(decisions[0]!.reason, "shadow mode, would go to replica1 or replica2")
      const rule = "reads to a replica, everything else to the primary"
      assert.deepStrictEqual(yield* sql.shadowed, [
        { database: "main", rule, outcome: "replica", statements: 2 },
        { database: "main", rule, outcome: "primary", statements: 1 }
      ])
    }))
})

describe("events", () => {
  it.scoped("tell of each statement, with its decision, while somebody listens", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter(databases)
      const heard = yield* Effect.fork(Stream.runCollect(Stream.take(sql.events, 2)))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      yield* sql`SELECT 1`.pipe(RoutedSqlClient.withoutQueryEvents)
      yield* sql`DELETE FROM a`
      yield* sql`SELECT 1`
      const events = Array.from(yield* Fiber.join(heard)) as ReadonlyArray<RoutingEvent>
      assert.deepStrictEqual(
        events.map((event) => event._tag === "StatementRouted" && event.decision.sql),
        ["DELETE FROM a", "SELECT 1"]
      )
    }))
})

describe("strategies", () => {
  it.scoped("of a rule choose for the reads of that rule alone", () =>
    Effect.gen(function*() {
      const last = ReplicaStrategy.make({
        name: "last",
        initial: undefined,
        choose: (_, candidates) => [candidates.length - 1, undefined]
      })
      const { log, sql } = yield* fakeRouter({
        ...databases,
        rules: RoutingRules.make([RoutingRules.read("reports", Target.auto, { strategy: last })])
      })
      for (let i = 0; i < 4; i++) yield* sql`SELECT * FROM reports`
      assert.deepStrictEqual(new Set(served(log)), new Set(["replica2"]))
      for (let i = 0; i < 4; i++) yield* sql`SELECT * FROM orders`
      assert.deepStrictEqual(new Set(served(log)), new Set(["replica1", "replica2"]))
    }))

  it.scoped("see what a read belongs to, and keep the reads of one key together", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ ...databases, strategy: ReplicaStrategy.rendezvous() })
      const read = Effect.replicateEffect(sql`SELECT 1`, 5)
      for (const tenant of ["a", "b", "c", "d", "e", "f", "g", "h"]) yield* RoutedSqlClient.withAffinity(tenant)(read)
      const endpoints = served(log)
      for (let i = 0; i < endpoints.length; i += 5) {
        assert.strictEqual(new Set(endpoints.slice(i, i + 5)).size, 1)
      }
      assert.strictEqual(new Set(endpoints).size, 2)
    }))
})
