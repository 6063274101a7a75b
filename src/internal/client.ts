import * as Reactivity from "@effect/experimental/Reactivity"
import { TypeId } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { CurrentConnectionPoolOptions } from "../ConnectionPool.js"
import type { Driver, PhysicalConnection } from "../Driver.js"
import type { Endpoint } from "../Endpoint.js"
import { CurrentReplicaStrategy } from "../ReplicaStrategy.js"
import type { Explanation, RoutedSqlClient, RouterOptions } from "../RoutedSqlClient.js"
import { CurrentStatementClassifier } from "../StatementClassifier.js"
import * as compat from "./compat.js"
import * as Database from "./database.js"
import * as Endpoints from "./endpoints.js"
import * as Run from "./run.js"
import type { StatementContext } from "./statement.js"
import { makeConstructor } from "./statement.js"
import * as Transactions from "./transaction.js"

/** What an entry builds its client from. */
export interface Router {
  readonly client: RoutedSqlClient
  /** Lends the primary's connection: that of the transaction around, if there is one, else one from the pool. */
  readonly usePrimary: <A, E, R>(
    use: (connection: PhysicalConnection) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError, R>
}

const defaultShutdownTimeout = Duration.seconds(5)

/**
 * A client over the endpoints, the first of which is the primary. It is ready at once: connections are opened as
 * statements ask for them, unless `requireAtStart` says otherwise.
 */
export const make = <Config>(
  driver: Driver<Config>,
  endpoints: ReadonlyArray<Endpoint<Config>>,
  options: RouterOptions
): Effect.Effect<Router, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    yield* Endpoints.validate(endpoints)
    const [primary, ...replicas] = endpoints as [Endpoint<Config>, ...ReadonlyArray<Endpoint<Config>>]
    const poolOptions = yield* CurrentConnectionPoolOptions
    const strategy = options.strategy ?? (yield* CurrentReplicaStrategy)
    const classifier = options.classifier ?? (yield* CurrentStatementClassifier)
    const reactivity = yield* Reactivity.Reactivity

    const database = yield* Database.make({
      driver,
      primary,
      replicas,
      strategy,
      readOnlyReplicas: options.readOnlyReplicas ?? true,
      shutdownTimeout: yield* Endpoints.duration("shutdownTimeout", options.shutdownTimeout ?? defaultShutdownTimeout),
      poolSettings: (endpoint, fromDriver) =>
        Endpoints.poolSettings(endpoint.name, fromDriver, options.pool ?? {}, poolOptions)
    })
    const runner = new Run.Runner(database, yield* Effect.clock)
    yield* requireEndpoints(runner, options.requireAtStart)
    const transactions = Transactions.make(runner, driver.spanAttributes)

    const context: StatementContext = {
      runner,
      transactions,
      classifier,
      compiler: driver.compiler,
      transformRows: driver.transformRows,
      spanAttributes: driver.spanAttributes
    }
    const explain = (statement: Explanation.Statement): Explanation => {
      const [sql] = statement.compile()
      const facts = classifier.classify(driver.dialect, sql)
      return { sql, facts, plan: database.plan(facts) }
    }
    const reserve = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(runner.reserve(restore), (lease) => {
        const end = transactions.adopt(lease)
        return Effect.as(Effect.addFinalizer(() => Effect.sync(end)), lease.slot.connection)
      })
    )

    const client: RoutedSqlClient = Object.assign(makeConstructor(context), {
      [TypeId as TypeId]: TypeId as TypeId,
      safe: undefined as unknown as RoutedSqlClient,
      withTransaction: transactions.withTransaction,
      reserve,
      withoutTransforms(this: RoutedSqlClient) {
        if (driver.transformRows === undefined) return this
        const plain = makeConstructor({
          ...context,
          compiler: driver.compiler.withoutTransform,
          transformRows: undefined
        })
        const copy = Object.assign(plain, { ...this, ...plain, withoutTransforms: () => copy })
        return Object.assign(copy, { safe: copy })
      },
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query,
      explain,
      pools: Effect.sync(() => database.pools.map((pool) => pool.stats))
    })
    Object.assign(client, { safe: client })

    const usePrimary: Router["usePrimary"] = (use) =>
      Effect.uninterruptibleMask((restore) =>
        compat.withFiber((fiber) => {
          const frame = transactions.current(fiber)
          return frame === undefined
            ? runner.using(database.primary, use, restore)
            : frame.transaction.run(frame, (lease) => use(lease.slot.connection), restore)
        })
      )
    return { client, usePrimary }
  })

/** Fails unless a connection to each required endpoint can be opened. */
const requireEndpoints = (
  runner: Run.Runner,
  required: RouterOptions["requireAtStart"]
): Effect.Effect<void, SqlError> => {
  const { primary, servers } = runner.database
  const needed = required === undefined ? [] : required === "primary" ? [primary] : servers
  return Effect.forEach(needed, (server) => runner.check(server), { concurrency: "unbounded", discard: true })
}
