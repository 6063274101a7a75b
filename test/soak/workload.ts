/** What the fibers do: all that programs do with a client, with what must hold of each. */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Schedule, Stream } from "effect"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import type { RoutedSqlClient } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSql from "effect-sql-router/RoutedSqlClient"
import type { Chance } from "./chance.js"
import type { Nature } from "./errors.js"
import type { Invariants, Rule } from "./invariants.js"
import type { Ledger } from "./ledger.js"
import type { Site } from "./sites.js"

/** One of the databases, with the client that the fibers use there. */
export interface Place {
  readonly site: Site
  readonly sql: RoutedSqlClient
  readonly ledger: Ledger
}

export interface Kind {
  readonly place: string
  readonly name: string
  readonly nature: Nature
  readonly work: (chance: Chance) => Effect.Effect<unknown, SqlError>
}

const counters = 16

/** No key on the entries: a repeated write must not fail, but be seen. */
export const createTables = (sql: RoutedSqlClient): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    yield* sql`CREATE TABLE entries (id INT NOT NULL, part INT NOT NULL, counter INT, port INT NOT NULL)`
    yield* sql`CREATE INDEX entries_id ON entries (id)`
    yield* sql`CREATE TABLE counters (id INT PRIMARY KEY, value INT NOT NULL)`
    const rows = Array.from({ length: counters }, (_, id) => ({ id, value: 0 }))
    yield* sql`INSERT INTO counters ${sql.insert(rows)}`
  })

const retries = Schedule.jittered(Schedule.exponential("5 millis")).pipe(Schedule.intersect(Schedule.recurs(8)))

/** A nested transaction's own failure, which the one around it goes on after. */
class Undone extends Error {}

/** Writes one part, with the port of the server that does it. */
const insertBy =
  (sql: RoutedSqlClient, { dialect }: Site) => (id: number, part: number, counter: number | null = null) =>
    sql`INSERT INTO entries (id, part, counter, port) VALUES (${id}, ${part}, ${counter}, ${
      sql.literal(dialect.ownPort)
    })`

/** When all is over: it must go to who is the primary then. */
export const lastWrite = ({ ledger, site, sql }: Place): Effect.Effect<unknown, SqlError> =>
  ledger.write(1, (id) => insertBy(sql, site)(id, 1))

export const kindsOf = ({ ledger, site, sql }: Place, invariants: Invariants): ReadonlyArray<Kind> => {
  const { dialect } = site
  const holds = (rule: Rule, yes: boolean, detail: () => string) =>
    Effect.sync(() => invariants.check(rule, yes, () => `${site.name}: ${detail()}`))

  const insert = insertBy(sql, site)
  const parts = (id: number) =>
    Effect.map(
      sql<{ n: number | string }>`SELECT count(*) AS n FROM entries WHERE id = ${id}`,
      ([row]) => Number(row!.n)
    )
  const read = parts(0)
  const value = (counter: number) =>
    Effect.map(sql<{ value: number }>`SELECT value FROM counters WHERE id = ${counter}`, ([row]) => row!.value)
  const all = Effect.map(
    sql<{ n: number | string }>`SELECT sum(value) AS n FROM counters`,
    ([row]) => Number(row!.n)
  )
  const series = (length: 500 | 5000) => sql.unsafe<{ n: number }>(dialect.series(length)).stream
  const sleep = (seconds: number) => sql.unsafe(dialect.sleep(seconds))
  const setting = Effect.map(
    sql.unsafe<{ value: number | string | null }>(dialect.setting.read),
    ([row]) => Number(row!.value)
  )

  const write = ledger.write(1, (id) => insert(id, 1))
  const seen = (id: number) =>
    Effect.flatMap(parts(id), (n) => holds("ownWrites", n === 1, () => `write ${id} was read ${n} times`))
  const writeAndRead = Effect.suspend(() => {
    let id = 0
    return Effect.zipRight(
      ledger.write(1, (own) => Effect.zipRight(Effect.sync(() => id = own), insert(own, 1))),
      Effect.suspend(() => seen(id))
    )
  })

  const transaction = ledger.write(
    3,
    (id) => sql.withTransaction(Effect.all([insert(id, 1), read, insert(id, 2)]))
  )
  const nested = ledger.write(5, (id) =>
    sql.withTransaction(Effect.gen(function*() {
      yield* insert(id, 1)
      yield* Effect.catchAll(
        sql.withTransaction(Effect.zipRight(insert(id, 2), Effect.fail(new Undone()))),
        (error) => error instanceof Undone ? Effect.void : Effect.fail(error)
      )
      yield* sql.withTransaction(insert(id, 4))
    })))

  /** Reads and writes what it has read plus one, as programs do that rely on the isolation. */
  const countUp = (counter: number) =>
    ledger.write(1, (id) =>
      Effect.gen(function*() {
        const before = yield* value(counter)
        yield* sql`UPDATE counters SET value = ${before + 1} WHERE id = ${counter}`
        yield* insert(id, 1, counter)
        return before + 1
      }).pipe(sql.transaction({ isolation: "serializable" }), RoutedSql.retryTransaction(retries)))

  /** Under the lock of its row: the value is not above what is there when it is committed. */
  const increment = (counter: number) =>
    ledger.write(1, (id) =>
      sql.withTransaction(Effect.gen(function*() {
        yield* sql`UPDATE counters SET value = value + 1 WHERE id = ${counter}`
        yield* insert(id, 1, counter)
        return yield* value(counter)
      })))
  const session = (chance: Chance) =>
    Effect.gen(function*() {
      const known = new Map<number, number>()
      const steps = 2 + chance.below(6)
      for (let i = 0; i < steps; i++) {
        const counter = chance.below(counters)
        const what = chance.next()
        if (what < 0.2) known.set(counter, yield* increment(counter))
        else if (what < 0.4) yield* writeAndRead
        else {
          const now = yield* value(counter)
          const before = known.get(counter) ?? 0
          yield* holds("monotonic", now >= before, () => `counter ${counter} was ${now} after ${before}`)
          known.set(counter, now)
        }
      }
    }).pipe(ReadConsistency.scoped)

  const withSetting = (chance: Chance) => {
    // MariaDB rounds its buffer down to blocks.
    const own = 65_536 + 1024 * chance.below(100)
    const mine = RoutedSql.withSession({ [dialect.setting.name]: String(own) })(setting)
    return Effect.gen(function*() {
      const inside = yield* mine
      yield* holds("settings", inside === own, () => `${inside} was read where ${own} was set`)
      const outside = yield* setting
      yield* holds("settings", outside < 65_536 || outside >= 1_048_576, () => `${outside} was read where none was set`)
    })
  }

  type Works = { readonly [name: string]: Kind["work"] }
  const statements: Works = {
    "read": () => read,
    "slow read": () => sleep(0.005),
    "write": () => write,
    "write, then read": () => writeAndRead,
    "session setting": withSetting
  }
  const connections: Works = {
    "stream": () =>
      Effect.flatMap(
        Stream.runCount(series(500)),
        (n) => holds("streams", n === 500, () => `a stream of 500 rows had ${n}`)
      ),
    "stream ended early": () => Stream.runDrain(Stream.take(series(5000), 3)),
    "reserved": () => Effect.scoped(Effect.flatMap(sql.reserve, (_) => _.execute("SELECT 1", [], undefined))),
    "left open": () => Effect.scoped(Effect.flatMap(sql.reserve, (_) => _.executeUnprepared("BEGIN", [], undefined)))
  }
  const transactions: Works = {
    "session": session,
    "transaction": () => transaction,
    "nested transaction": () => nested,
    "retried transaction": (chance) => countUp(chance.below(counters)),
    "read-only transaction": () =>
      sql.readOnlyTransaction(Effect.gen(function*() {
        const first = yield* all
        yield* Effect.sleep("5 millis")
        const second = yield* all
        yield* holds("snapshot", first === second, () => `the counters were ${first}, then ${second}`)
      })),
    "pooled": () =>
      sql.withPooledConnection({}, (own) => ledger.write(1, (id) => own.withTransaction(insertBy(own, site)(id, 1))))
  }
  const deadlines: Works = {
    "deadline": () => RoutedSql.withDeadline("20 millis")(sleep(0.01))
  }
  const kinds = (nature: Nature, works: Works): ReadonlyArray<Kind> =>
    Object.entries(works).map(([name, work]) => ({ place: site.name, name, nature, work }))
  return [
    ...kinds("statement", statements),
    ...kinds("connection", connections),
    ...kinds("transaction", transactions),
    ...kinds("deadline", deadlines)
  ]
}

/** A transaction of one router inside that of another: each has an end of its own. */
export const acrossBoth = (outer: Place, inner: Place): Kind => {
  const insertOuter = insertBy(outer.sql, outer.site)
  const insertInner = insertBy(inner.sql, inner.site)
  return {
    place: "both",
    name: "transaction in transaction",
    nature: "transaction",
    work: () =>
      outer.ledger.write(3, (id) =>
        outer.sql.withTransaction(Effect.gen(function*() {
          yield* insertOuter(id, 1)
          yield* inner.ledger.write(1, (id) => inner.sql.withTransaction(insertInner(id, 1)))
          yield* insertOuter(id, 2)
        })))
  }
}
