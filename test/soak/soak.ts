/**
 * Many fibers over a primary and two replicas, for a while, with everything happening to them that happens to programs:
 * interruptions, killed sessions, connections that are reset.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import * as ConnectionPool from "effect-sql-router/ConnectionPool"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSql from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { makeTcpProxy } from "../fixtures/tcpProxy.js"
import { closedInAll, eventually, pgAdmin, randomFrom, through } from "../pool/support.js"
import { caughtUp, freshDatabase } from "../servers/index.js"

export interface SoakOptions {
  readonly seconds: number
  readonly fibers: number
  readonly seed: number
}

interface Tally {
  done: number
  interrupted: number
  failed: number
  slowestMillis: number
}

export interface SoakReport {
  /** What should never be, in words; empty if all went well. */
  readonly violations: ReadonlyArray<string>
  /** For people to read. */
  readonly summary: string
}

const max = 8
const acquireTimeout = Duration.seconds(2)

/** How late a timer may be on a machine that has other things to do. */
const lateMillis = 1000

/** Of the ids that a run may write. */
const mostIds = 4_000_000

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const heapAfterCollection = (): number => {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** The work of the fibers. What is to be found at the end is noted when it is committed. */
const kindsOf = (
  sql: RoutedSqlClient,
  nextId: () => number,
  committed: Uint8Array
): { readonly [kind: string]: Effect.Effect<unknown, SqlError> } => {
  const read = sql`SELECT count(*) FROM t WHERE id < 100`
  const insert = (write: (id: number) => Effect.Effect<unknown, SqlError>) =>
    Effect.suspend(() => {
      const id = nextId()
      return Effect.map(write(id), () => void (committed[id] = 1))
    })
  const insertBy = (sql: RoutedSqlClient) => (id: number) => sql`INSERT INTO t (id) VALUES (${id})`
  return {
    "read": read,
    "slow read": sql`SELECT pg_sleep(0.005)`,
    "write": insert(insertBy(sql)),
    "transaction": insert((id) => sql.withTransaction(Effect.zipRight(read, insertBy(sql)(id)))),
    "nested transaction": insert((id) =>
      sql.withTransaction(
        Effect.zipRight(read, sql.withTransaction(insertBy(sql)(id)))
      )
    ),
    "read-only transaction": sql.readOnlyTransaction(Effect.zipRight(read, read)),
    "stream": Stream.runDrain(sql`SELECT generate_series(1, 500)`.stream),
    "stream ended early": Stream.runDrain(Stream.take(sql`SELECT generate_series(1, 5000)`.stream, 3)),
    "reserved": Effect.scoped(Effect.flatMap(sql.reserve, (_) => _.execute("SELECT 1", [], undefined))),
    "left open": Effect.scoped(Effect.flatMap(sql.reserve, (_) => _.executeUnprepared("BEGIN", [], undefined))),
    "pooled": sql.withPooledConnection({}, (own) => own.withTransaction(own`SELECT 1`)),
    "with a deadline": RoutedSql.withDeadline("20 millis")(sql`SELECT pg_sleep(0.01)`)
  }
}

/** What an error is called in the summary. */
const nameOf = (error: SqlError): string => {
  const ours = Option.getOrUndefined(RoutingError.from(error))
  if (ours !== undefined) return ours._tag
  const { code, message } = Object(error.cause) as { readonly code?: unknown; readonly message?: unknown }
  return String(code ?? message)
}

/** Somebody else's cancel. */
const strayCancel = "57014"

export const soak = (
  { fibers, seconds, seed }: SoakOptions
): Effect.Effect<SoakReport, SqlError, Scope> =>
  Effect.gen(function*() {
    const { primary, replicas } = yield* freshDatabase("postgres")
    const database = new URL(primary.url).pathname.slice(1)
    const servers = [primary, ...replicas]
    const admins = yield* Effect.forEach(servers, (server) => pgAdmin(server, database))
    const proxies = yield* Effect.forEach(servers, makeTcpProxy)
    const [first, second, third] = servers.map(({ url }, i) => ({ url: through(url, proxies[i]!.port) }))
    const sql: RoutedSqlClient = yield* Effect.provide(
      RoutedPgClient.make({
        primary: first!,
        replicas: { replica1: second!, replica2: third! },
        pool: { max, min: 2, acquireTimeout, healthCheckInterval: "1 seconds", validateAfterIdle: "1 seconds" },
        health: { probeInterval: "500 millis" }
      }),
      Reactivity.layer
    )
    yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`
    yield* caughtUp("postgres")

    const random = randomFrom(seed)
    const upTo = (limit: number) => Math.floor(random() * limit)
    const violations = new Map<string, number>()
    const violated = (what: string) => void violations.set(what, (violations.get(what) ?? 0) + 1)
    const errors = new Map<string, number>()
    const noteError = (error: SqlError) => {
      const name = nameOf(error)
      errors.set(name, (errors.get(name) ?? 0) + 1)
      if (name === strayCancel) violated("a statement that nobody interrupted was cancelled")
      const ours = Option.getOrUndefined(RoutingError.from(error))
      if (
        ours?._tag === "AcquireTimeout" &&
        Duration.toMillis(ours.waited) > Duration.toMillis(acquireTimeout) + lateMillis
      ) violated("a borrower waited longer than acquireTimeout")
    }
    yield* Effect.forkScoped(Stream.runForEach(sql.events, (event) =>
      Effect.sync(() => {
        if (event._tag === "StatementRetried" && nameOf(event.error) === strayCancel) {
          violated("a read that nobody interrupted was cancelled")
        }
      })))

    let lastId = 100
    const committed = new Uint8Array(mostIds)
    const kinds = Object.entries(kindsOf(sql, () => ++lastId, committed))
    const tallies = new Map(
      kinds.map(([kind]): [string, Tally] => [kind, { done: 0, interrupted: 0, failed: 0, slowestMillis: 0 }])
    )
    let isOver = false
    const one = Effect.gen(function*() {
      const [kind, work] = kinds[upTo(kinds.length)]!
      const tally = tallies.get(kind)!
      const begun = performance.now()
      const fiber = yield* Effect.fork(work)
      if (random() < 0.3) {
        yield* Effect.sleep(random() * 15)
        yield* Fiber.interruptFork(fiber)
      }
      const exit = yield* Fiber.await(fiber)
      tally.slowestMillis = Math.max(tally.slowestMillis, performance.now() - begun)
      if (Exit.isSuccess(exit)) tally.done++
      else if (Exit.isInterrupted(exit)) tally.interrupted++
      else {
        tally.failed++
        const failure = Cause.failureOption(exit.cause)
        if (Option.isSome(failure)) noteError(failure.value)
        else violated(`a defect: ${Cause.pretty(exit.cause)}`)
      }
      yield* Effect.sleep(random() * 10)
    })
    const workers = yield* Effect.forEach(
      Array.from({ length: fibers }),
      () => Effect.forkScoped(Effect.repeat(one, { until: () => isOver }))
    )

    const harm = { killed: 0, reset: 0, cut: 0 }
    const chaos = Effect.gen(function*() {
      yield* Effect.sleep(100 + random() * 300)
      const which = upTo(servers.length)
      const proxy = proxies[which]!
      const what = random()
      if (what < 0.5) {
        const backends = yield* admins[which]!.backends
        const victim = backends[upTo(backends.length)]
        if (victim === undefined) return
        harm.killed++
        yield* admins[which]!.kill(victim.id)
      } else if (what < 0.97) {
        harm.reset++
        proxy.clients[upTo(proxy.clients.length)]?.resetAndDestroy()
      } else {
        harm.cut++
        proxy.cut()
      }
    })
    const chaosFiber = yield* Effect.forkScoped(Effect.repeat(chaos, { until: () => isOver }))

    let mostSessions = 0
    const isCrowded = Effect.map(
      Effect.forEach(admins, ({ backends }) => backends),
      (all) => {
        const sessions = all.map(({ length }) => length)
        mostSessions = Math.max(mostSessions, ...sessions)
        // One more is the monitor's.
        return sessions.some((count) => count > max + 1)
      }
    )
    const check = Effect.gen(function*() {
      for (const pool of yield* sql.pools) {
        const { active, closing, connecting, created, endpoint, idle, total } = pool
        if (active + idle + connecting + closing > max) violated(`${endpoint} has more connections than max`)
        if (created !== total + closedInAll(pool)) violated(`the stats of ${endpoint} do not add up`)
        const longest = Math.max(0, ...pool.acquireTime.buckets.map(([micros]) => micros)) / 1000
        if (longest > Duration.toMillis(acquireTimeout) * 1.07 + lateMillis) {
          violated(`a borrower of ${endpoint} was served after ${Math.round(longest)} ms`)
        }
      }
      // A server takes a moment to see that a client has left.
      let crowded = yield* isCrowded
      for (let i = 0; i < 20 && crowded; i++) {
        yield* Effect.sleep("50 millis")
        crowded = yield* isCrowded
      }
      if (crowded) violated("a server has more sessions than its pool and the monitor may have")
    })

    const begun = performance.now()
    let heapThen: number | undefined
    while (performance.now() - begun < seconds * 1000) {
      yield* Effect.sleep("1 seconds")
      yield* check
      if (heapThen === undefined && performance.now() - begun >= seconds * 1000 / 3) heapThen = heapAfterCollection()
    }
    const heapNow = heapAfterCollection()
    if (heapThen === undefined || heapNow > heapThen * 1.1) violated("the heap has grown by more than a tenth")

    isOver = true
    yield* Fiber.joinAll([...workers, chaosFiber])
    yield* eventually(
      Effect.map(sql.pools, (pools) => pools.every((_) => _.active + _.connecting + _.closing + _.waiting === 0)),
      "10 seconds"
    )
    yield* check
    const sessions = (yield* Effect.forEach(admins, ({ backends }) => backends)).flat()
    if (sessions.some(({ state }) => state === "inTransaction")) violated("a session was left in a transaction")
    const rows = yield* RoutedSql.withPrimary(sql<{ id: number }>`SELECT id FROM t`)
    const stored = new Set(rows.map(({ id }) => id))
    for (let id = 0; id <= lastId; id++) {
      if (committed[id] === 1 && !stored.has(id)) violated("a row is missing whose commit was confirmed")
    }

    const pools = yield* sql.pools
    const cell = (value: string | number) => String(value).padStart(12)
    const lines = [
      `soak: ${fibers} fibers, ${seconds} s, seed ${seed}`,
      `${"".padEnd(24)}${["done", "interrupted", "failed", "slowest ms"].map(cell).join("")}`,
      ...Array.from(tallies, ([kind, { done, failed, interrupted, slowestMillis }]) =>
        `${kind.padEnd(24)}${[done, interrupted, failed, Math.round(slowestMillis)].map(cell).join("")}`),
      "",
      ConnectionPool.table(pools),
      "",
      ...pools.map(({ closed, endpoint }) =>
        `${endpoint} closed: ${
          Object.entries(closed).filter(([, n]) => n > 0).map(([why, n]) =>
            `${n} ${why}`
          ).join(", ")
        }`
      ),
      `killed ${harm.killed}, reset ${harm.reset}, cut off ${harm.cut} times`,
      `errors: ${Array.from(errors, ([name, count]) => `${count} ${name}`).join(", ")}`,
      `most sessions on a server: ${mostSessions}`,
      `heap after collection: ${megabytes(heapThen ?? 0)} at a third, ${megabytes(heapNow)} at the end`
    ]
    return {
      violations: Array.from(violations, ([what, times]) => times === 1 ? what : `${what} (${times} times)`),
      summary: lines.join("\n")
    }
  })

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
