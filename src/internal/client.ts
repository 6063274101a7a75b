import * as Reactivity from "@effect/experimental/Reactivity"
import { TypeId } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Random from "effect/Random"
import type { Scope } from "effect/Scope"
import * as Utils from "effect/Utils"
import { CurrentConnectionPoolOptions } from "../ConnectionPool.js"
import * as ConsistencyToken from "../ConsistencyToken.js"
import type { Driver, PhysicalConnection } from "../Driver.js"
import type { Endpoint } from "../Endpoint.js"
import type { PolicyInForce } from "../Explanation.js"
import { CurrentReadConsistency } from "../ReadConsistency.js"
import * as ReadConsistency from "../ReadConsistency.js"
import { CurrentReplicaHealth } from "../ReplicaHealth.js"
import { CurrentReplicaStrategy } from "../ReplicaStrategy.js"
import { CurrentReplicationLag, type ReplicationLagSettings } from "../ReplicationLag.js"
import { CurrentRetryPolicy } from "../RetryPolicy.js"
import type {
  DatabasePolicies,
  EndpointTarget,
  RoutedSqlClient,
  RouterOptions,
  TransactionPolicy
} from "../RoutedSqlClient.js"
import * as RoutingError from "../RoutingError.js"
import type { RoutingRules } from "../RoutingRules.js"
import { CurrentStatementClassifier, type StatementClassifier } from "../StatementClassifier.js"
import * as Bound from "./bound.js"
import * as compat from "./compat.js"
import { invalid } from "./configuration.js"
import * as Database from "./database.js"
import * as Endpoints from "./endpoints.js"
import { Events } from "./events.js"
import { Gate } from "./gate.js"
import { healthSettings, retrySettings } from "./health/settings.js"
import { settingsOf as lagSettings } from "./lag.js"
import * as Mirror from "./mirror.js"
import { defaultRoute, type Route } from "./plan.js"
import * as Policies from "./policies.js"
import * as Pooling from "./pooling.js"
import * as Reports from "./reports.js"
import { Router, type Rules } from "./router.js"
import * as RuleRoutes from "./ruleRoutes.js"
import { compile } from "./rules/compile.js"
import * as Run from "./run.js"
import { Shadow } from "./shadow.js"
import type { StatementContext } from "./statement.js"
import { makeConstructor } from "./statement.js"
import * as TimeLimit from "./timeLimit.js"
import type { SharedSettings } from "./transaction.js"
import * as Transactions from "./transactions.js"
import { quoted } from "./words.js"

const onlyPrimary: Route = { ...defaultRoute, rule: "onlyPrimary", role: "primary" }

/** One Database of a router: its endpoints, the first of which is the primary, and what is its own. */
export interface DatabaseSource<Config> {
  readonly driver: Driver<Config>
  readonly endpoints: ReadonlyArray<Endpoint<Config>>
  readonly policies: DatabasePolicies
}

/** What an entry builds its client from. */
export interface Routed {
  readonly client: RoutedSqlClient
  /** The name of the endpoint that takes writes now, or did last. */
  readonly primary: () => string
  /** Lends the primary's connection: that of the transaction around, if there is one, else one from the pool. */
  readonly usePrimary: <A, E, R>(
    use: (connection: PhysicalConnection) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError, R>
}

const defaultShutdownTimeout = Duration.seconds(5)

/**
 * A client over Databases, the first of which is the default one. It is ready at once: connections are opened as
 * statements ask for them, unless `requireAtStart` says otherwise.
 */
export const make = <Config>(
  sources: readonly [main: DatabaseSource<Config>, ...others: ReadonlyArray<DatabaseSource<Config>>],
  options: RouterOptions
): Effect.Effect<Routed, SqlError, Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    yield* Endpoints.validateDatabases(sources.map((source) => source.endpoints))
    const poolOptions = yield* CurrentConnectionPoolOptions
    const strategy = options.strategy ?? (yield* CurrentReplicaStrategy)
    const classifier = options.classifier ?? (yield* CurrentStatementClassifier)
    const shutdownTimeout = yield* Endpoints.duration(
      "shutdownTimeout",
      options.shutdownTimeout ?? defaultShutdownTimeout
    )
    const pooling = yield* Pooling.make(options)
    const clock = yield* Effect.clock
    const given: Policies.Given = { options, context: yield* Effect.context<never>() }

    const events = new Events(() => clock.unsafeCurrentTimeMillis())
    const generator = new Utils.PCGRandom(yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER))
    const random = () => generator.number()
    const [contextHealth, contextRetry] = [yield* CurrentReplicaHealth, yield* CurrentRetryPolicy]
    const contextLag = yield* CurrentReplicationLag
    const consistency = options.consistency === undefined
      ? yield* CurrentReadConsistency
      : yield* consistencyOf(options.consistency)

    const databases = new Map<string, Reports.Reported>()
    const runnerOf = ({ driver, endpoints, policies }: DatabaseSource<Config>) =>
      Effect.gen(function*() {
        const health = yield* healthSettings(policies.health ?? {}, options.health ?? {}, contextHealth)
        const retry = yield* retrySettings(policies.retry ?? {}, options.retry ?? {}, contextRetry)
        const lag = yield* Either.mapLeft(
          lagSettings(policies.replicationLag ?? {}, options.replicationLag ?? {}, contextLag),
          RoutingError.toSqlError
        )
        const hasReplicas = endpoints.length > 1
        for (const warning of hasReplicas ? consistencyWarnings(consistency, lag) : []) {
          yield* Effect.logWarning(`Database "${endpoints[0]!.database}": ${warning}`)
        }
        const database = yield* Database.make({
          driver,
          endpoints,
          strategy: policies.strategy ?? strategy,
          primaryReadWeight: yield* Endpoints.checkWeight(
            "primaryReadWeight",
            policies.primaryReadWeight ?? options.primaryReadWeight ?? 0
          ),
          sessionState: options.sessionState ?? "refuse",
          readOnlyReplicas: options.readOnlyReplicas ?? true,
          shutdownTimeout,
          pooling,
          health,
          lag,
          publish: events.publish,
          poolSettings: (endpoint, fromDriver) =>
            Endpoints.poolSettings(endpoint.name, fromDriver, policies.pool ?? {}, options.pool ?? {}, poolOptions)
        })
        databases.set(database.name, { database, strategy: (policies.strategy ?? strategy).name })
        const { acquireTimeout, max } = database.primary.readers.options.settings
        return new Run.Runner(database, {
          clock,
          retry,
          awaitsPrimary: Duration.greaterThan(health.awaitPrimary, Duration.zero),
          fallback: new Gate(Math.max(1, Math.floor(max * health.primaryReadShare)), acquireTimeout),
          random,
          publish: events.publish,
          consistency: {
            ...ReadConsistency.settingsOf(consistency),
            level: consistency.level,
            waitBudget: Duration.toMillis(consistency.waitBudget),
            maxWaiting: consistency.maxWaiting
          }
        })
      })
    const [main, ...others] = (yield* Effect.forEach(sources, runnerOf)) as [Run.Runner, ...ReadonlyArray<Run.Runner>]
    yield* requireEndpoints([main, ...others], options.requireAtStart)

    const runners = new Map([main, ...others].map((runner) => [runner.database.name, runner]))
    const policies = new Map(
      sources.map(({ endpoints, policies }) => [endpoints[0]!.database, Policies.inForce(given, policies)])
    )
    for (const [name, inForce] of policies) yield* Effect.logDebug(Policies.summary(name, inForce))
    return makeClient({
      main,
      runners,
      databases,
      classifier,
      rules: options.rules && (yield* compileRules(options.rules, main, runners, random)),
      mirror: yield* Mirror.make(random, events.publish),
      shadow: options.shadow === true ? new Shadow() : undefined,
      policies,
      events,
      transactions: yield* transactionSettings(options.transactions),
      reactivity: yield* Reactivity.Reactivity
    })
  })

const consistencyOf = (
  options: ReadConsistency.ReadConsistencyOptions
): Effect.Effect<ReadConsistency.ReadConsistency, SqlError> =>
  Effect.gen(function*() {
    for (const time of ["ttl", "maxAge", "waitBudget"] as const) {
      if (options[time] !== undefined) yield* Endpoints.duration(`consistency.${time}`, options[time])
    }
    return ReadConsistency.make(options)
  })

/** Times that do not fit together; where sessions ask for nothing, none matter. */
const consistencyWarnings = (
  consistency: ReadConsistency.ReadConsistency,
  { interval, maxLag }: ReplicationLagSettings
): ReadonlyArray<string> =>
  consistency.level._tag === "Session"
    ? ReadConsistency.warnings(consistency, { maxLag, measuredEvery: interval })
    : []

/** Rules checked against the Databases: what is wrong fails, what seems wrong is logged. */
const compileRules = (
  rules: RoutingRules,
  main: Run.Runner,
  runners: ReadonlyMap<string, Run.Runner>,
  random: () => number
): Effect.Effect<Rules, SqlError, Scope> =>
  Effect.gen(function*() {
    const databases = new Map(
      Array.from(runners, ([name, { database }]) => [name, {
        dialect: database.driver.dialect,
        primary: database.primary.name,
        replicas: database.replicas.map((_) => _.name)
      }])
    )
    const compiled = yield* Either.mapLeft(
      compile(rules, { default: main.database.name, databases }),
      RoutingError.toSqlError
    )
    for (const { reason, rule } of compiled.warnings) {
      yield* Effect.logWarning(`Routing rules of database "${main.database.name}": ${rule}: ${reason}`)
    }
    for (const { strategy } of rules.rules) {
      if (strategy === undefined) continue
      yield* Effect.forEach(runners.values(), ({ database }) => database.prepare(strategy), { discard: true })
    }
    return RuleRoutes.make(compiled, main, runners, random)
  })

type ReactiveKeys = Parameters<Reactivity.Reactivity.Service["stream"]>[0]

/** What a client is made of. */
interface Parts {
  readonly main: Run.Runner
  readonly runners: ReadonlyMap<string, Run.Runner>
  /** The same for all clients of a router, those too that are bound to one connection. */
  readonly databases: ReadonlyMap<string, Reports.Reported>
  readonly classifier: StatementClassifier
  readonly rules: Rules | undefined
  readonly mirror: Mirror.Mirror
  readonly shadow: Shadow | undefined
  /** The policies of each Database, and where they came from. */
  readonly policies: ReadonlyMap<string, ReadonlyArray<PolicyInForce>>
  readonly events: Events
  readonly transactions: SharedSettings
  readonly reactivity: Reactivity.Reactivity.Service
}

/** A client whose statements go to `main`, or wherever rules and the program send them among `runners`. */
const makeClient = (parts: Parts): Routed => {
  const { events, main, reactivity, shadow } = parts
  const transactions = Transactions.make(main.database, parts.transactions)
  const router = new Router({ ...parts, transactions })
  const added = new Map<string, RoutedSqlClient>()

  const known = () => quoted(new Set([...router.runners.keys(), ...added.keys()]))
  const unknownDatabase = (name: string) =>
    invalid(`database("${name}")`, `there is no database "${name}": known are ${known()}`)

  const unknownEndpoint = ({ name, servers }: Database.Database, endpoint: string) =>
    invalid(
      `database("${name}")`,
      `there is no endpoint "${endpoint}": known are ${quoted(servers.map(({ name }) => name))}`
    )

  /** Runs a query again for a write of whichever fiber: a replica must have that, or the query stays as it is for ever. */
  const asOfNow = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() =>
      ReadConsistency.withToken(
        effect,
        Array.from(router.runners.values()).reduce(
          (token, { freshness }) => ConsistencyToken.merge(token, freshness.newestWrite),
          ConsistencyToken.empty
        )
      )
    )

  const serverOf = ({ database, endpoint }: EndpointTarget, home: Run.Runner) =>
    Effect.gen(function*() {
      const runner = database === undefined ? home : router.runners.get(database)
      if (runner === undefined) return yield* unknownDatabase(database!)
      const server = endpoint === undefined
        ? runner.database.primary
        : runner.database.servers.find(({ name }) => name === endpoint)
      return server === undefined ? yield* unknownEndpoint(runner.database, endpoint!) : { runner, server }
    })

  /** Takes an endpoint out of service by hand, or gives it back. */
  const hold =
    (action: "drain" | "quarantine" | "release", home: Run.Runner) =>
    (endpoint: string, { database: name = home.database.name }: { readonly database?: string | undefined } = {}) =>
      Effect.suspend(() => {
        const database = parts.databases.get(name)?.database
        if (database === undefined) return unknownDatabase(name)
        return database.has(endpoint) ? database.health[action](endpoint) : unknownEndpoint(database, endpoint)
      })

  const clientOf = (home: Run.Runner, followsRules: boolean, route?: Route): Routed => {
    const { driver } = home.database
    const context: StatementContext = {
      router,
      home,
      followsRules,
      route,
      compiler: driver.compiler,
      transformRows: driver.transformRows
    }
    const boundTo = (runner: Run.Runner): RoutedSqlClient =>
      makeClient({
        ...parts,
        main: runner,
        runners: new Map([[runner.database.name, runner]]),
        rules: undefined,
        shadow: undefined
      }).client

    const client: RoutedSqlClient = Object.assign(makeConstructor(context), {
      [TypeId as TypeId]: TypeId as TypeId,
      safe: undefined as unknown as RoutedSqlClient,
      withTransaction: transactions.withTransaction,
      transaction: transactions.transaction,
      readOnlyTransaction: transactions.readOnlyTransaction,
      reserve: transactions.reserve(home, (sql) => router.leavesSession(context, sql)),
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
      reactive: <A, E, R>(keys: ReactiveKeys, effect: Effect.Effect<A, E, R>) =>
        reactivity.stream(keys, asOfNow(effect)),
      reactiveMailbox: <A, E, R>(keys: ReactiveKeys, effect: Effect.Effect<A, E, R>) =>
        reactivity.query(keys, asOfNow(effect)),
      explain: (statement: RoutedSqlClient.Statement) =>
        compat.withFiber((fiber) => {
          const [sql, params] = statement.compile()
          const { facts, fresh, plan: planned, runner } = router.callFor(context, sql, params, undefined, fiber, false)
          const plan = fresh === undefined ? planned : runner.freshness.planned(fresh, planned)
          const rules = router.trace(context, facts, sql, params, fiber)
          return Effect.succeed({ sql, facts, plan, rules, policies: parts.policies.get(plan.database)! })
        }),
      database: (name: string) => {
        const runner = router.runners.get(name)
        if (runner !== undefined) return Effect.sync(() => clientOf(runner, false).client)
        const other = added.get(name)
        return other === undefined ? unknownDatabase(name) : Effect.succeed(other)
      },
      onlyPrimary: Effect.sync(() => clientOf(home, false, onlyPrimary).client),
      addDatabase: (name: string, database: RoutedSqlClient) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            if (router.runners.has(name) || added.has(name)) {
              return invalid(`databases.${name}`, "the name is taken")
            }
            return Effect.sync(() => void added.set(name, database))
          }),
          () => Effect.sync(() => void added.delete(name))
        ),
      freshConnection: (target: EndpointTarget = {}) =>
        Effect.flatMap(
          serverOf(target, home),
          ({ runner, server }) => Effect.map(Bound.fresh(runner, server), boundTo)
        ),
      withPooledConnection: <A, E, R>(
        target: EndpointTarget,
        use: (sql: RoutedSqlClient) => Effect.Effect<A, E, R>
      ) =>
        Effect.scoped(Effect.flatMap(
          serverOf(target, home),
          ({ runner, server }) => Effect.flatMap(Bound.pooled(runner, server), (runner) => use(boundTo(runner)))
        )),
      drain: hold("drain", home),
      quarantine: hold("quarantine", home),
      release: hold("release", home),
      replicas: Effect.sync(() => Array.from(parts.databases.values(), Reports.reportOf)),
      counts: Effect.sync(() => events.tally.all),
      events: events.stream,
      recentEvents: Effect.sync(() => events.memory.all),
      shadowed: Effect.sync(() => shadow?.report ?? []),
      pools: Effect.sync(() =>
        Array.from(router.runners.values()).flatMap(({ database }) => database.pools.map((pool) => pool.stats))
      )
    })
    Object.assign(client, { safe: client })

    const usePrimary: Routed["usePrimary"] = (use) =>
      Effect.uninterruptibleMask((restore) =>
        compat.withFiber((fiber) => {
          const frame = transactions.current(fiber)
          return frame === undefined
            ? home.loans.using(home.database.primary, use, restore)
            : frame.transaction.run(frame, home, (lease) => use(lease.slot.connection), restore)
        })
      )
    return { client, primary: () => home.database.primary.name, usePrimary }
  }
  return clientOf(main, true)
}

/** Fails unless a connection to each required endpoint can be opened. */
const requireEndpoints = (
  runners: ReadonlyArray<Run.Runner>,
  required: RouterOptions["requireAtStart"]
): Effect.Effect<void, SqlError> => {
  const checks = runners.flatMap((runner) => {
    const { primary, servers } = runner.database
    const needed = required === undefined ? [] : required === "primary" ? [primary] : servers
    return needed.map((server) => runner.loans.check(server))
  })
  return Effect.all(checks, { concurrency: "unbounded", discard: true })
}

const defaultCommitTimeout = Duration.seconds(30)

/** PgDog's. */
const rollbackTimeout = Duration.seconds(5)

/** What a transaction takes from the options; the limits end with the Scope. */
const transactionSettings = (
  { commitTimeout = defaultCommitTimeout, crossDatabase = "fail", resolveCommits = false }: TransactionPolicy = {}
): Effect.Effect<SharedSettings, SqlError, Scope> =>
  Effect.gen(function*() {
    return {
      crossDatabase,
      resolveCommits,
      commitLimit: yield* TimeLimit.make(yield* Endpoints.duration("transactions.commitTimeout", commitTimeout)),
      rollbackLimit: yield* TimeLimit.make(rollbackTimeout)
    }
  })
