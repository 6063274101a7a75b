import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Engine } from "../transaction/engines.js"
import { ids, insert, mariadb, postgres, routingError } from "../transaction/engines.js"

interface Backend {
  readonly sleep: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, SqlError>
  /** What sleeps now on the server. */
  readonly sleepers: (sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<object>, SqlError>
  /** The server's own limit, in milliseconds. */
  readonly limit: (sql: SqlClient.SqlClient) => Effect.Effect<number, SqlError>
  /** The code of the error with which the server ends what takes longer. */
  readonly code: string | number
  readonly slowRows: (sql: SqlClient.SqlClient) => Stream.Stream<unknown, SqlError>
}

const value = (rows: Effect.Effect<ReadonlyArray<object>, SqlError>) =>
  Effect.map(rows, ([row]) => Number(Object.values(row!)[0]))

const backends: { readonly [engine: string]: Backend } = {
  postgres: {
    sleep: (sql) => sql`SELECT pg_sleep(5)`,
    sleepers: (sql) =>
      sql`SELECT pid FROM pg_stat_activity
        WHERE state = 'active' AND query LIKE '%pg_sleep(5)%' AND pid <> pg_backend_pid() AND datname = current_database()`,
    limit: (sql) => value(sql`SELECT setting FROM pg_settings WHERE name = 'statement_timeout'`),
    code: "57014",
    slowRows: (sql) => sql`SELECT i, pg_sleep(0.05) FROM generate_series(1, 100) AS i`.stream
  },
  mariadb: {
    sleep: (sql) => sql`SELECT SLEEP(5)`,
    sleepers: (sql) =>
      sql`SELECT id FROM information_schema.processlist
        WHERE info LIKE 'SELECT SLEEP(5)%' AND id <> CONNECTION_ID() AND db = DATABASE()`,
    limit: (sql) => value(sql`SELECT @@max_statement_time * 1000`),
    code: 1969,
    slowRows: (sql) => sql`SELECT seq, SLEEP(0.05) FROM seq_1_to_100`.stream
  }
}

const isQuick = (duration: Duration.Duration) => assert.isBelow(Duration.toMillis(duration), 2000)

const engines: ReadonlyArray<Engine> = [postgres, mariadb]

for (const engine of engines) {
  const { code, limit, sleep, sleepers, slowRows } = backends[engine.name]!
  const router = (options?: RoutedSqlClient.RouterOptions) =>
    Effect.flatMap(engine.place, (place) => place.router(options))

  describe(`a deadline on ${engine.name}`, () => {
    it.scopedLive("cancels the statement on the server, and the pool goes on", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const within = RoutedSqlClient.withDeadline("200 millis")
        const [elapsed, error] = yield* Effect.timed(Effect.flip(within(sleep(sql))))
        isQuick(elapsed)
        assert.deepInclude(routingError(error), { _tag: "DeadlineExceeded", endpoint: "primary" })
        const [again] = yield* Effect.timed(insert(sql, 1))
        isQuick(again)
        assert.deepStrictEqual(yield* sleepers(sql), [])
      }))

    it.scopedLive("ends a transaction with it, undone", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const [elapsed, error] = yield* Effect.timed(Effect.flip(
          RoutedSqlClient.withDeadline("200 millis")(sql.withTransaction(Effect.zipRight(insert(sql, 1), sleep(sql))))
        ))
        isQuick(elapsed)
        assert.deepInclude(routingError(error), { _tag: "DeadlineExceeded" })
        assert.deepStrictEqual(yield* ids(sql), [])
        assert.deepStrictEqual(yield* sleepers(sql), [])
      }))

    it.scopedLive("ends a stream in the middle", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const [elapsed, error] = yield* Effect.timed(Effect.flip(
          RoutedSqlClient.withDeadline("300 millis")(Stream.runDrain(slowRows(sql)))
        ))
        isQuick(elapsed)
        assert.deepInclude(routingError(error), { _tag: "DeadlineExceeded", endpoint: "primary" })
        const [again] = yield* Effect.timed(insert(sql, 1))
        isQuick(again)
      }))

    it.scopedLive("is told to the server where that is asked for, and to nobody else's statements", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const usual = yield* limit(sql)
        const onServer = RoutedSqlClient.withDeadline("10 seconds", { onServer: true })
        const isTold = (millis: number) => {
          assert.isAbove(millis, 5000)
          assert.isAtMost(millis, 10_000)
        }
        isTold(yield* onServer(limit(sql)))
        assert.strictEqual(yield* limit(sql), usual)
        isTold(yield* onServer(sql.withTransaction(Effect.zipRight(insert(sql, 1), limit(sql)))))
        assert.strictEqual(yield* limit(sql), usual)
        assert.strictEqual(yield* RoutedSqlClient.withDeadline("10 seconds")(limit(sql)), usual)
      }))

    // The clock stands still: no client cancels anything.
    it.scoped("ends on the server though the client sleeps", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const slow = RoutedSqlClient.withDeadline("200 millis", { onServer: true })(sleep(sql))
        const { cause } = yield* Effect.flip(slow)
        const { code: text, errno } = cause as { readonly code?: string; readonly errno?: number }
        assert.strictEqual(text ?? errno, code, String(cause))
        yield* insert(sql, 1)
      }))
  })

  describe(`Effect.timeout on ${engine.name}`, () => {
    it.scopedLive("interrupts what runs and what waits, at once", () =>
      Effect.gen(function*() {
        const sql = yield* router({ pool: { max: 1 } })
        const [running] = yield* Effect.timed(Effect.exit(Effect.timeout(sleep(sql), "100 millis")))
        isQuick(running)
        const holder = yield* Effect.fork(sleep(sql))
        yield* Effect.sleep("50 millis")
        const [waiting, exit] = yield* Effect.timed(Effect.exit(Effect.timeout(insert(sql, 1), "100 millis")))
        assert.isBelow(Duration.toMillis(waiting), 500)
        assert.isTrue(Exit.isFailure(exit))
        yield* Fiber.interrupt(holder)
        assert.deepStrictEqual(yield* ids(sql), [])
      }))
  })
}
