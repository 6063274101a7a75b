import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Fiber, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient, RouterOptions } from "effect-sql-router/RoutedSqlClient"
import type * as RoutingError from "effect-sql-router/RoutingError"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as Net from "node:net"

/** What a router connects to: a server, or a proxy before one. */
export interface Address {
  readonly host?: string
  readonly port: number
}

export interface Endpoints {
  readonly primary: Address
  readonly replicas: {
    readonly [name: string]: Address & {
      readonly username?: string
      readonly password?: string
      /** Of PostgreSQL. */
      readonly ssl?: boolean
    }
  }
}

export interface Routed<Client> {
  readonly sql: Client
  /** What happened in routing, but for the statements themselves. */
  readonly events: Array<RoutingEvent>
  /** How many events of a kind there were, at an endpoint if one is named. */
  readonly count: (tag: RoutingEvent["_tag"], endpoint?: string) => number
  /** Why endpoints take no reads now. */
  readonly excluded: Effect.Effect<ReadonlyArray<string>>
}

/** Hears what happens in a router from now on. */
export const heard = <Client extends RoutedSqlClient>(sql: Client): Effect.Effect<Routed<Client>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const events: Array<RoutingEvent> = []
    yield* Effect.forkScoped(
      Stream.runForEach(sql.events, (event) =>
        Effect.sync(() => {
          if (event._tag !== "StatementRouted") events.push(event)
        }))
    )
    yield* Effect.yieldNow()
    return {
      sql,
      events,
      count: (tag, endpoint) =>
        events.filter((event) =>
          event._tag === tag && (endpoint === undefined || "endpoint" in event && event.endpoint === endpoint)
        ).length,
      excluded: Effect.map(
        sql.explain(sql`SELECT 1`),
        ({ plan }) => plan.excluded.map(({ endpoint, reason }) => `${endpoint}: ${reason}`)
      )
    }
  })

const configured = ({ host = "127.0.0.1", port }: Address) => ({ host, port })

export const routedPg = (
  { primary, replicas }: Endpoints,
  options: RouterOptions = {}
): Effect.Effect<Routed<RoutedPgClient.RoutedPgClient>, SqlError, Scope.Scope> =>
  RoutedPgClient.make({
    username: "app",
    database: "postgres",
    ...options,
    primary: configured(primary),
    replicas: Object.fromEntries(
      Object.entries(replicas).map(([name, { password, ssl, username, ...address }]) => [name, {
        ...configured(address),
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password: Redacted.make(password) }),
        ...(ssl === undefined ? {} : { ssl })
      }])
    )
  }).pipe(Effect.flatMap(heard), Effect.provide(Reactivity.layer))

export const routedMysql = (
  { primary, replicas }: Endpoints,
  options: RouterOptions = {}
): Effect.Effect<Routed<RoutedSqlClient>, SqlError, Scope.Scope> =>
  RoutedMysqlClient.make({
    username: "app",
    database: "test",
    ...options,
    primary: configured(primary),
    replicas: Object.fromEntries(
      Object.entries(replicas).map(([name, { username, ...address }]) => [name, {
        ...configured(address),
        ...(username === undefined ? {} : { username })
      }])
    )
  }).pipe(Effect.flatMap(heard), Effect.provide(Reactivity.layer))

/** Which of the package's errors an error is, or what the driver says. */
export const tagOf = (error: SqlError): string =>
  (error.cause as Partial<RoutingError.RoutingError> | undefined)?._tag ?? String(error.cause)

/** Waits until something holds; dies if it takes longer than that. */
export const eventually = (what: string, holds: () => boolean, millis = 10_000): Effect.Effect<void> =>
  Effect.gen(function*() {
    const deadline = Date.now() + millis
    while (!holds()) {
      if (Date.now() > deadline) return yield* Effect.dieMessage(`${what}: not within ${millis} ms`)
      yield* Effect.sleep("5 millis")
    }
  })

export interface Load {
  /** The values that statements gave. */
  readonly done: Map<string, number>
  readonly errors: Array<SqlError>
  /** Milliseconds since the epoch, and how long it took. */
  readonly answers: Array<readonly [at: number, millis: number, by: string]>
}

/** Repeats a statement in so many fibers at once, until the Scope ends or `stop` is run. */
export const load = (
  concurrency: number,
  statement: Effect.Effect<string, SqlError>,
  pause: number = 0
): Effect.Effect<Load & { readonly stop: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const state: Load = { done: new Map(), errors: [], answers: [] }
    let isOver = false
    const once = Effect.suspend(() => {
      const begun = performance.now()
      return Effect.match(statement, {
        onFailure: (error) => void state.errors.push(error),
        onSuccess: (by) => {
          state.done.set(by, (state.done.get(by) ?? 0) + 1)
          state.answers.push([Date.now(), performance.now() - begun, by])
        }
      })
    })
    const worker = Effect.repeat(pause === 0 ? once : Effect.zipRight(once, Effect.sleep(pause)), {
      until: () => isOver
    })
    const fibers = yield* Effect.forEach(Array.from({ length: concurrency }), () => Effect.forkScoped(worker))
    const stop = Effect.suspend(() => {
      isOver = true
      return Effect.asVoid(Fiber.joinAll(fibers))
    })
    return { ...state, stop }
  })

export interface Connects {
  /** How many sockets were opened, or tried to be. */
  count: number
  /** How many at most were on their way at once. */
  most: number
}

/** Counts the connections that this process opens to a port, refused ones too, until the Scope ends. */
export const watchConnects = (port: number): Effect.Effect<Connects, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const connects: Connects = { count: 0, most: 0 }
      const { connect } = Net.Socket.prototype
      let pending = 0
      // Each call may come with a port, with options, or with what `Net.connect` has made of them.
      const portOf = (arg: any): unknown => Array.isArray(arg) ? portOf(arg[0]) : arg?.port ?? arg
      Net.Socket.prototype.connect = function(this: Net.Socket, ...args: Array<any>) {
        if (Number(portOf(args[0])) === port) {
          connects.count++
          connects.most = Math.max(connects.most, ++pending)
          let isPending = true
          const settled = () => {
            if (isPending) pending--
            isPending = false
          }
          this.once("connect", settled).once("close", settled)
        }
        return connect.apply(this, args as never)
      } as typeof connect
      return { connects, restore: () => void (Net.Socket.prototype.connect = connect) }
    }),
    ({ restore }) => Effect.sync(restore)
  ).pipe(Effect.map(({ connects }) => connects))

export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
