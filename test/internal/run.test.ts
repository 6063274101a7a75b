import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { selectsAreReads } from "../fixtures/classifiers.js"
import { failure, fakeRouter } from "../fixtures/fakeRouter.js"

const refused = Effect.fail(new SqlError({ cause: new Error("connection refused"), message: "Failed to connect" }))
const twoReplicas = { replicas: { replica1: {}, replica2: {} } }

const served = (log: ReadonlyArray<string>) => log.map((line) => line.split("#")[0])

describe("running a plan", () => {
  it.scoped("sends reads to the replicas in turn, and everything else to the primary", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(twoReplicas)
      for (let i = 0; i < 4; i++) yield* sql`SELECT 1`
      yield* sql`INSERT INTO a VALUES (1)`
      assert.deepStrictEqual(served(log).slice(0, 4).toSorted(), ["replica1", "replica1", "replica2", "replica2"])
      assert.strictEqual(served(log)[4], "primary")
    }))

  it.scoped("shares reads by weight, and gives a replica of weight 0 none", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({
        replicas: { big: { weight: 3 }, small: { weight: 1 }, drained: { weight: 0 } }
      })
      for (let i = 0; i < 40; i++) yield* sql`SELECT 1`
      const count = (name: string) => served(log).filter((_) => _ === name).length
      assert.deepStrictEqual([count("big"), count("small"), count("drained")], [30, 10, 0])
    }))

  it.scoped("sends reads to the primary when there is no replica", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter()
      yield* sql`SELECT 1`
      assert.deepStrictEqual(served(log), ["primary"])
    }))

  it.scoped("reads elsewhere when a replica cannot be connected to, and on the primary when none can", () =>
    Effect.gen(function*() {
      const one = yield* fakeRouter({ replicas: { replica1: { connect: refused }, replica2: {} } })
      for (let i = 0; i < 4; i++) yield* one.sql`SELECT 1`
      assert.deepStrictEqual(served(one.log), ["replica2", "replica2", "replica2", "replica2"])

      const none = yield* fakeRouter({ replicas: { replica1: { connect: refused }, replica2: { connect: refused } } })
      const [, [decision]] = yield* RouteDecision.capture(none.sql`SELECT 1`)
      assert.deepStrictEqual(served(none.log), ["primary"])
      assert.strictEqual(decision?.reason, "read, but no replica could serve it")
    }))

  it.scoped("fails a write, with the endpoint's name, when the primary cannot be connected to", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ primary: { connect: refused }, ...twoReplicas })
      const error = yield* Effect.flip(sql`INSERT INTO a VALUES (1)`)
      assert.strictEqual(error.message, "Cannot connect to endpoint primary of database \"main\": connection refused")
      assert.strictEqual(Option.getOrThrow(RoutingError.from(error))._tag, "EndpointUnavailable")
      assert.deepStrictEqual(log, [])
    }))

  it.scoped("runs a read on the primary when a replica refuses it as a write", () =>
    Effect.gen(function*() {
      const execute = () => Effect.fail(failure({ blame: "role", readRetry: "primary" }))
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: { execute }, replica2: { execute } } })
      const [, decisions] = yield* RouteDecision.capture(sql`SELECT my_function_that_writes()`)
      assert.strictEqual(log.length, 2)
      assert.strictEqual(served(log)[1], "primary")
      assert.deepStrictEqual(decisions.map((_) => _.endpoint), ["primary"])
    }))

  it.scoped("does not run a read again whose error is the statement's own", () =>
    Effect.gen(function*() {
      const execute = () => Effect.fail(failure({ blame: "statement" }))
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: { execute }, replica2: { execute } } })
      yield* Effect.flip(sql`SELECT nonsense`)
      assert.strictEqual(log.length, 1)
    }))

  it.scoped("reads elsewhere when a replica is lost in the middle of it, and gives up after three tries", () =>
    Effect.gen(function*() {
      const execute = () =>
        Effect.fail(
          failure({ blame: "endpoint", connection: "destroy", outcome: "unknown", readRetry: "elsewhere" })
        )
      const { log, open, sql } = yield* fakeRouter({
        primary: { execute },
        replicas: { replica1: { execute }, replica2: { execute }, replica3: { execute } }
      })
      yield* Effect.flip(sql`SELECT 1`)
      assert.strictEqual(new Set(served(log)).size, 3)
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("does not come back to a replica that could not be connected to", () =>
    Effect.gen(function*() {
      let refusals = 0
      const connect = Effect.zipRight(Effect.sync(() => refusals++), refused)
      const execute = () => Effect.fail(failure({ blame: "endpoint", readRetry: "elsewhere" }))
      const first = ReplicaStrategy.failover
      const { log, sql } = yield* fakeRouter({
        replicas: { down: { connect }, failing1: { execute }, failing2: { execute } },
        strategy: first
      })
      yield* sql`SELECT 1`
      assert.deepStrictEqual(served(log), ["failing1", "failing2", "primary"])
      assert.strictEqual(refusals, 1)
    }))

  it.scoped("survives a strategy that chooses what is not there", () =>
    Effect.gen(function*() {
      const { sql } = yield* fakeRouter({
        ...twoReplicas,
        strategy: { name: "wrong", make: () => Effect.succeed({ choose: () => 2 }) }
      })
      yield* sql`SELECT 1`
    }))

  it.scoped("ends the span of a statement that cannot be compiled", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const native = yield* Effect.tracer
      const tracer = Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          spans.push(span)
          return span
        },
        context: (f) => f()
      })
      const classify = () => {
        throw new Error("no classifier of ours")
      }
      const { sql } = yield* fakeRouter({ classifier: { ...selectsAreReads, classify } })
      yield* Effect.exit(Effect.withTracer(sql`SELECT 1`, tracer))
      assert.deepStrictEqual(spans.map((_) => _.status._tag), ["Ended"])
    }))

  it.scoped("gives the primary's connection back when who borrowed it throws", () =>
    Effect.gen(function*() {
      const { sql, usePrimary } = yield* fakeRouter()
      const throws = usePrimary((): Effect.Effect<void> => {
        throw new Error("mine")
      })
      yield* Effect.exit(throws)
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(sql`INSERT 1`, throws)))
      assert.deepStrictEqual((yield* sql.pools).map((_) => _.active), [0])
    }))

  it.scoped("never repeats a write that may have run", () =>
    Effect.gen(function*() {
      const execute = () =>
        Effect.fail(
          failure({ blame: "endpoint", connection: "destroy", outcome: "unknown", readRetry: "elsewhere" })
        )
      const { log, sql } = yield* fakeRouter({ primary: { execute }, ...twoReplicas })
      yield* Effect.flip(sql`INSERT INTO a VALUES (1)`)
      assert.strictEqual(log.length, 1)
    }))

  it.scoped("sends a write once more when a dead connection had not sent it", () =>
    Effect.gen(function*() {
      let first = true
      const execute = () =>
        Effect.suspend(() => {
          if (!first) return Effect.succeed([])
          first = false
          return Effect.fail(failure({ blame: "connection", connection: "destroy", outcome: "notSent" }))
        })
      const { log, sql } = yield* fakeRouter({ primary: { execute } })
      yield* sql`INSERT INTO a VALUES (1)`
      assert.deepStrictEqual(log, ["primary#1 INSERT INTO a VALUES (1)", "primary#2 INSERT INTO a VALUES (1)"])
    }))

  it.scoped("destroys the connection of an interrupted statement", () =>
    Effect.gen(function*() {
      const { open, sql } = yield* fakeRouter({ primary: { execute: () => Effect.never } })
      const fiber = yield* Effect.fork(sql`INSERT INTO a VALUES (1)`)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(open.length, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(open.length, 0)
    }))

  it.scoped("lends a stream its connection until the stream ends", () =>
    Effect.gen(function*() {
      const rows = [{ a: 1 }, { a: 2 }]
      const { sql } = yield* fakeRouter({
        primary: { execute: () => Effect.succeed(rows) },
        pool: { max: 1 }
      })
      const active = yield* sql`SELECT a FROM t`.stream.pipe(
        Stream.mapEffect(() => Effect.map(sql.pools, ([pool]) => pool?.active)),
        Stream.runCollect
      )
      assert.deepStrictEqual([...active], [1, 1])
      assert.deepStrictEqual((yield* sql.pools).map((_) => _.active), [0])
    }))

  it.scoped("reserves one connection of the primary for its Scope", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter(twoReplicas)
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        yield* connection.execute("SELECT 1", [], undefined)
        yield* connection.execute("SELECT 2", [], undefined)
      }))
      assert.deepStrictEqual(log, ["primary#1 SELECT 1", "primary#1 SELECT 2"])
      assert.deepStrictEqual((yield* sql.pools).map((_) => _.active), [0, 0, 0])
    }))

  it.scoped("explains where a statement would go without running it", () =>
    Effect.gen(function*() {
      const { log, sql } = yield* fakeRouter({ replicas: { replica1: {}, replica2: { weight: 0 } } })
      assert.deepStrictEqual((yield* sql.explain(sql`SELECT ${1}`)).plan, {
        database: "main",
        rule: "reads to a replica, everything else to the primary",
        reason: "read",
        candidates: [
          { role: "replica", endpoints: ["replica1"], isFallback: false },
          { role: "primary", endpoints: ["primary"], isFallback: true }
        ],
        excluded: [{ endpoint: "replica2", reason: "its weight is 0" }],
        access: "readOnly",
        retry: "read",
        leavesSession: false,
        refusal: undefined
      })
      assert.strictEqual((yield* sql.explain(sql`INSERT INTO a VALUES (1)`)).plan.reason, "write")
      assert.deepStrictEqual(log, [])
    }))
})

describe("ending a router", () => {
  it.effect("gives all its endpoints one deadline together, and takes no statement meanwhile", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const hangs = { execute: () => Effect.never }
      const { open, sql } = yield* Scope.extend(
        fakeRouter({ primary: hangs, replicas: { replica1: hangs }, shutdownTimeout: "5 seconds" }),
        scope
      )
      yield* Effect.fork(Effect.all([sql`SELECT 1`, sql`INSERT 1`], { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 millis")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 seconds")
      const error = yield* Effect.flip(sql`INSERT 2`)
      assert.strictEqual(Option.getOrThrow(RoutingError.from(error))._tag, "RouterClosed")
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(open.length, 0)
    }))
})

describe("building a router", () => {
  const problem = (options: Parameters<typeof fakeRouter>[0]) =>
    Effect.scoped(fakeRouter(options)).pipe(
      Effect.flip,
      Effect.map((error) => error.message)
    )

  it.effect("does not wait for servers that are down", () =>
    Effect.scoped(fakeRouter({ primary: { connect: Effect.never }, replicas: { replica1: { connect: refused } } })))

  it.effect("fails early, with the endpoint's name, for endpoints required at start", () =>
    Effect.gen(function*() {
      const down = { primary: {}, replicas: { replica1: { connect: refused } } }
      yield* Effect.scoped(fakeRouter({ ...down, requireAtStart: "primary" }))
      assert.strictEqual(
        yield* problem({ ...down, requireAtStart: "all" }),
        "Cannot connect to endpoint replica1 of database \"main\": connection refused"
      )
    }))

  it.effect("names the setting that is wrong", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problem({ replicas: { replica1: { weight: -1 } } }),
        "Invalid configuration at replicas.replica1.weight: -1 is not a finite number of at least 0"
      )
      assert.strictEqual(
        yield* problem({ replicas: { primary: {} } }),
        "Invalid configuration at replicas.primary: the name \"primary\" is taken by another endpoint"
      )
      assert.strictEqual(
        yield* problem({ pool: { max: 0 } }),
        "Invalid configuration at the pool of primary: max: 0 is not a whole number of at least 1"
      )
      assert.strictEqual(
        yield* problem({ pool: { min: 20 } }),
        "Invalid configuration at the pool of primary: min: 20 is more than max, 10"
      )
      assert.strictEqual(
        yield* problem({ shutdownTimeout: "soon" as never }),
        "Invalid configuration at shutdownTimeout: soon is not a duration"
      )
      assert.strictEqual(
        yield* problem({ pool: { idleTimeout: "soon" as never } }),
        "Invalid configuration at the pool of primary: idleTimeout: soon is not a duration of more than 0"
      )
    }))
})
