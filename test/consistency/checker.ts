/** Looks for reads that a session should not have seen: what it wrote is missing, or what it saw is gone. */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Ref } from "effect"
import { ReadConsistency, RouteDecision, type RoutedSqlClient } from "effect-sql-router"
import { tagOf } from "../faults/support.js"

/** What happened, as far as it has come. */
export interface Report {
  operations: number
  reads: number
  onReplicas: number
  readonly violations: Array<string>
  /** Reads of the primary that say of themselves that a write of their session seems lost. */
  told: number
  /** Reads of the primary that were without a write, and not said to be. */
  untold: number
  /** How many operations failed, by their error. */
  readonly failures: Map<string, number>
}

export const emptyReport = (): Report => ({
  operations: 0,
  reads: 0,
  onReplicas: 0,
  violations: [],
  told: 0,
  untold: 0,
  failures: new Map()
})

export interface CheckOptions {
  readonly level: ReadConsistency.Level
  readonly operations: number
  readonly sessions: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

const keys = 8

/** Makes the registers, and the lists, which are empty. */
export const prepare = (sql: RoutedSqlClient.RoutedSqlClient): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    yield* sql`CREATE TABLE registers (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`
    yield* sql`CREATE TABLE lists (id INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (id, item))`
    yield* Effect.forEach(
      Array.from({ length: keys }, (_, i) => i),
      (id) => sql`INSERT INTO registers (id, version) VALUES (${id}, 0)`
    )
    yield* ReadConsistency.forget
  })

let lastItem = 0

/**
 * A session that writes to registers and appends to lists which it shares with others, and reads them. A register's versions
 * only grow, and so do lists: a session that reads less than it wrote or read before has found a violation.
 *
 * What fails may have been done or not, and nothing is known of it: it is not asked for, and may appear. Where `mayLose`,
 * the primary may lack what was acknowledged; a replica that serves a session never does, unless the session was told.
 */
export const session = (
  sql: RoutedSqlClient.RoutedSqlClient,
  report: Report,
  { level, mayLose = false, random }: Pick<CheckOptions, "level" | "random"> & { readonly mayLose?: boolean },
  isOver: Effect.Effect<boolean>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    let versions = new Map<number, number>()
    let items = new Map<number, ReadonlySet<number>>()

    const read = <A>(statement: Effect.Effect<A, SqlError>) =>
      Effect.map(RouteDecision.capture(statement), ([value, decisions]) => {
        const { endpoint, plan, role } = decisions.at(-1)!
        report.reads++
        if (role === "replica") report.onReplicas++
        const isTold = plan.consistency?.fallback === "lostWrite"
        if (isTold) report.told++
        return { value, role, isTold, by: `${endpoint} by ${plan.consistency?.by}` }
      })
    const missed = (what: string, { by, isTold, role }: { by: string; isTold: boolean; role: string }) => {
      if (!mayLose || role === "replica") report.violations.push(`${what}, ${by}`)
      else if (!isTold) report.untold++
      // All that was seen before may be gone.
      else [versions, items] = [new Map(), new Map()]
    }

    const step = Effect.suspend(() => {
      const id = Math.floor(random() * keys)
      const what = random()
      if (what < 0.1) {
        // Under the lock of its row: the version is not higher than what is there when it is committed.
        const increment = Effect.zipRight(
          sql`UPDATE registers SET version = version + 1 WHERE id = ${id}`,
          sql<{ version: number }>`SELECT version FROM registers WHERE id = ${id}`
        )
        return Effect.map(sql.withTransaction(increment), ([row]) => void versions.set(id, row!.version))
      }
      if (what < 0.2) {
        const next = ++lastItem
        return Effect.map(
          sql`INSERT INTO lists (id, item) VALUES (${id}, ${next})`,
          () => void items.set(id, new Set([...items.get(id) ?? [], next]))
        )
      }
      if (what < 0.6) {
        return Effect.map(
          read(sql<{ version: number }>`SELECT version FROM registers WHERE id = ${id}`),
          ({ value: [row], ...served }) => {
            const known = versions.get(id) ?? 0
            if (row!.version < known) missed(`register ${id}: ${row!.version} after ${known}`, served)
            versions.set(id, Math.max(versions.get(id) ?? 0, row!.version))
          }
        )
      }
      return Effect.map(
        read(sql<{ item: number }>`SELECT item FROM lists WHERE id = ${id}`),
        ({ value: rows, ...served }) => {
          const seen = new Set(rows.map((row) => row.item))
          const missing = Array.from(items.get(id) ?? []).filter((one) => !seen.has(one))
          if (missing.length > 0) missed(`list ${id}: ${missing.length} gone`, served)
          items.set(id, new Set([...seen, ...items.get(id) ?? []]))
        }
      )
    })

    const steps = 5 + Math.floor(random() * 25)
    for (let i = 0; i < steps && !(yield* isOver); i++) {
      report.operations++
      yield* Effect.catchAll(step, (error) => {
        const tag = tagOf(error)
        report.failures.set(tag, (report.failures.get(tag) ?? 0) + 1)
        // There may be nobody for a while.
        return Effect.sleep("5 millis")
      })
    }
  }).pipe(ReadConsistency.scoped, ReadConsistency.withLevel(level))

/** Runs sessions side by side, so many operations in all, while something is done to the servers. */
export const check = (
  sql: RoutedSqlClient.RoutedSqlClient,
  { operations, sessions, ...options }: CheckOptions,
  disturbances: Effect.Effect<never>
): Effect.Effect<Report> =>
  Effect.gen(function*() {
    const report = emptyReport()
    const left = yield* Ref.make(operations)
    const isOver = Effect.map(Ref.getAndUpdate(left, (n) => n - 1), (n) => n <= 0)
    const all = Effect.forEach(
      Array.from({ length: sessions }),
      () =>
        Effect.repeat(session(sql, report, options, isOver), { while: () => Effect.map(Ref.get(left), (n) => n > 0) }),
      { concurrency: "unbounded", discard: true }
    )
    yield* Effect.raceFirst(all, disturbances)
    return report
  })

/** Stops the replay of each replica now and then; it goes on in the end. */
export const pauses = (
  replicas: number,
  setPaused: (replica: number, paused: boolean) => Effect.Effect<void>,
  random: () => number
): Effect.Effect<never> => {
  const all = Array.from({ length: replicas }, (_, i) => i)
  const disturb = (replica: number): Effect.Effect<never> =>
    Effect.forever(Effect.gen(function*() {
      yield* Effect.sleep(500 + random() * 1000)
      yield* setPaused(replica, true)
      yield* Effect.sleep(random() * 400)
      yield* setPaused(replica, false)
    }))
  return Effect.forEach(all, disturb, { concurrency: "unbounded" }).pipe(
    Effect.onExit(() => Effect.forEach(all, (replica) => setPaused(replica, false))),
    Effect.zipRight(Effect.never)
  )
}
