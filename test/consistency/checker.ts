/** Looks for reads that a session should not have seen: what it wrote is missing, or what it saw is gone. */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Ref } from "effect"
import { ReadConsistency, RouteDecision, type RoutedSqlClient } from "effect-sql-router"
import { caughtUp } from "../servers/index.js"
import type { Engine } from "./servers.js"

export interface Report {
  readonly operations: number
  readonly reads: number
  readonly onReplicas: number
  readonly violations: ReadonlyArray<string>
}

export interface CheckOptions {
  readonly level: ReadConsistency.Level
  readonly operations: number
  readonly sessions: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/**
 * Sessions write to registers and append to lists that they share, and read them. A register's versions only grow, and so do
 * lists: a session that reads less than it wrote or read before has found a violation.
 */
export const check = (
  engine: Engine,
  sql: RoutedSqlClient.RoutedSqlClient,
  { level, operations, random, sessions }: CheckOptions
): Effect.Effect<Report, SqlError> =>
  Effect.gen(function*() {
    const keys = 8
    yield* sql`CREATE TABLE registers (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`
    yield* sql`CREATE TABLE lists (id INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (id, item))`
    yield* Effect.forEach(
      Array.from({ length: keys }, (_, i) => i),
      (id) => sql`INSERT INTO registers (id, version) VALUES (${id}, 0)`
    )
    yield* caughtUp(engine.name)
    yield* ReadConsistency.forget

    const left = yield* Ref.make(operations)
    const violations: Array<string> = []
    let item = 0
    let reads = 0
    let onReplicas = 0

    const read = <A>(statement: Effect.Effect<A, SqlError>) =>
      Effect.map(RouteDecision.capture(statement), ([value, decisions]) => {
        reads++
        if (decisions.at(-1)!.role === "replica") onReplicas++
        return { value, by: `${decisions.at(-1)!.endpoint} by ${decisions.at(-1)!.plan.consistency?.by}` }
      })

    const session = Effect.gen(function*() {
      const versions = new Map<number, number>()
      const items = new Map<number, Set<number>>()
      const steps = 5 + Math.floor(random() * 25)
      for (let i = 0; i < steps; i++) {
        if ((yield* Ref.getAndUpdate(left, (n) => n - 1)) <= 0) return
        const id = Math.floor(random() * keys)
        const what = random()
        if (what < 0.1) {
          // Under the lock of its row: the version is not higher than what is there when it is committed.
          yield* sql.withTransaction(Effect.gen(function*() {
            yield* sql`UPDATE registers SET version = version + 1 WHERE id = ${id}`
            const [row] = yield* sql<{ version: number }>`SELECT version FROM registers WHERE id = ${id}`
            versions.set(id, row!.version)
          }))
        } else if (what < 0.2) {
          const next = ++item
          yield* sql`INSERT INTO lists (id, item) VALUES (${id}, ${next})`
          items.set(id, new Set([...items.get(id) ?? [], next]))
        } else if (what < 0.6) {
          const { by, value: [row] } = yield* read(
            sql<{ version: number }>`SELECT version FROM registers WHERE id = ${id}`
          )
          const known = versions.get(id) ?? 0
          if (row!.version < known) violations.push(`register ${id}: ${row!.version} after ${known}, ${by}`)
          versions.set(id, Math.max(known, row!.version))
        } else {
          const { by, value: rows } = yield* read(sql<{ item: number }>`SELECT item FROM lists WHERE id = ${id}`)
          const seen = new Set(rows.map((row) => row.item))
          const missing = Array.from(items.get(id) ?? []).filter((one) => !seen.has(one))
          if (missing.length > 0) violations.push(`list ${id}: ${missing.length} gone, ${by}`)
          items.set(id, new Set([...seen, ...items.get(id) ?? []]))
        }
      }
    }).pipe(ReadConsistency.scoped, ReadConsistency.withLevel(level))

    const disturb = (replica: number): Effect.Effect<never> =>
      Effect.forever(Effect.gen(function*() {
        yield* Effect.sleep(500 + random() * 1000)
        yield* engine.setPaused(replica, true)
        yield* Effect.sleep(random() * 400)
        yield* engine.setPaused(replica, false)
      }))
    const disturbances = Effect.onExit(
      Effect.forEach(Array.from({ length: engine.replicas }, (_, i) => i), disturb, { concurrency: "unbounded" }),
      () => Effect.forEach(Array.from({ length: engine.replicas }, (_, i) => i), (i) => engine.setPaused(i, false))
    )
    const all = Effect.forEach(
      Array.from({ length: sessions }),
      () => Effect.repeat(session, { while: () => Effect.map(Ref.get(left), (n) => n > 0) }),
      { concurrency: "unbounded", discard: true }
    )
    yield* Effect.raceFirst(all, disturbances)
    return { operations, reads, onReplicas, violations }
  })
