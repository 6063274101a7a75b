/** What becomes of writes whose connections are reset: none is lost that was acknowledged, and none runs twice. */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import type { Scope } from "effect"
import type { RoutedSqlClient as Router } from "effect-sql-router/RoutedSqlClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import type { Cluster } from "../servers/index.js"
import { freshDatabase } from "../servers/index.js"
import type { Routed } from "./support.js"
import { routedMysql, routedPg, tagOf } from "./support.js"

/** Resets the connection of one in `oneIn` messages, before or after the server has got it. */
const cutAtRandom = (
  proxy: TcpProxy.TcpProxy,
  isInsert: (message: TcpProxy.Message) => boolean,
  oneIn: number
): Effect.Effect<{ cuts: number }, TcpProxy.TcpProxyError> =>
  Effect.gen(function*() {
    const seen = { cuts: 0 }
    let seed = yield* Random.nextIntBetween(1, 2 ** 31 - 1)
    yield* proxy.configure({
      request: (message) => {
        if (!isInsert(message)) return "pass"
        // Lehmer's generator.
        seed = seed * 48_271 % (2 ** 31 - 1)
        if (seed % oneIn !== 0) return "pass"
        seen.cuts++
        return Math.floor(seed / oneIn) % 2 === 0 ? "cutBefore" : "cutAfter"
      }
    })
    return seen
  })

interface Ledger {
  readonly acknowledged: Set<number>
  readonly unknown: Set<number>
  readonly others: Array<string>
}

const insertAll = (
  count: number,
  insert: (id: number) => Effect.Effect<unknown, SqlError>
): Effect.Effect<Ledger> =>
  Effect.gen(function*() {
    const ledger: Ledger = { acknowledged: new Set(), unknown: new Set(), others: [] }
    yield* Effect.forEach(
      Array.from({ length: count }, (_, i) => i),
      (id) =>
        Effect.match(insert(id), {
          onSuccess: () => void ledger.acknowledged.add(id),
          onFailure: (error) => {
            const tag = tagOf(error)
            if (tag === "OutcomeUnknown") ledger.unknown.add(id)
            else ledger.others.push(tag)
          }
        }),
      { concurrency: 32, discard: true }
    )
    return ledger
  })

/** How often each id is in the table; more often than once would be a write that was repeated. */
const found = (sql: SqlClient.SqlClient): Effect.Effect<Map<number, number>, SqlError> =>
  Effect.map(
    RoutedSqlClient.withPrimary(
      sql<{ id: number; times: number | string }>`SELECT id, COUNT(*) AS times FROM written GROUP BY id`
    ),
    (rows) => new Map(rows.map(({ id, times }) => [id, Number(times)]))
  )

const engines: ReadonlyArray<{
  readonly kind: "postgres" | "mariadb"
  readonly writes: number
  /** Whether a message runs a statement with parameters. */
  readonly isInsert: (message: TcpProxy.Message) => boolean
  readonly router: (
    cluster: Cluster,
    proxy: TcpProxy.TcpProxy
  ) => Effect.Effect<Routed<Router>, SqlError, Scope.Scope>
}> = [
  {
    kind: "postgres",
    writes: 10_000,
    isInsert: ({ text }) => text.includes("INSERT"),
    router: ({ database, user }, primary) =>
      routedPg({ primary, replicas: {} }, { username: user, database } as RoutedSqlClient.RouterOptions)
  },
  {
    kind: "mariadb",
    writes: 3000,
    // COM_STMT_EXECUTE
    isInsert: ({ bytes }) => bytes[4] === 0x17,
    router: ({ database, user }, primary) =>
      routedMysql({ primary, replicas: {} }, { username: user, database } as RoutedSqlClient.RouterOptions)
  }
]

for (const { isInsert, kind, router, writes } of engines) {
  const withProxy = Effect.gen(function*() {
    const cluster = yield* freshDatabase(kind)
    const proxy = yield* TcpProxy.make(cluster.primary)
    const routed = yield* router(cluster, proxy)
    return { proxy, ...routed }
  })

  it.scopedLive(
    `${kind}: of ${writes} inserts under resets every acknowledged one is there once, every unknown one at most`,
    () =>
      Effect.gen(function*() {
        const { proxy, sql } = yield* withProxy
        // No key: a repeated insert would not fail, but be there twice.
        yield* sql`CREATE TABLE written (id INT)`
        const seen = yield* cutAtRandom(proxy, isInsert, 100)
        const { acknowledged, others, unknown } = yield* insertAll(writes, (id) =>
          sql`INSERT INTO written VALUES (${id})`)
        yield* proxy.recover
        const rows = yield* found(sql)
        assert.isAbove(seen.cuts, writes / 200)
        assert.isAbove(unknown.size, 0)
        assert.deepStrictEqual(
          Array.from(acknowledged).filter((id) =>
            rows.get(id) !== 1
          ),
          []
        )
        assert.deepStrictEqual(Array.from(rows).filter(([, times]) => times !== 1), [])
        assert.deepStrictEqual(Array.from(rows.keys()).filter((id) => !acknowledged.has(id) && !unknown.has(id)), [])
        assert.deepStrictEqual(others, [])
      }),
    60_000
  )

  it.scopedLive(`${kind}: inserts that may run twice are sent again, and all are there`, () =>
    Effect.gen(function*() {
      const { proxy, sql } = yield* withProxy
      yield* sql`CREATE TABLE written (id INT)`
      const seen = yield* cutAtRandom(proxy, isInsert, 50)
      const { acknowledged } = yield* insertAll(1000, (id) =>
        RoutedSqlClient.idempotent(sql`INSERT INTO written VALUES (${id})`))
      yield* proxy.recover
      const rows = yield* found(sql)
      assert.isAbove(seen.cuts, 5)
      assert.strictEqual(acknowledged.size, 1000)
      assert.strictEqual(rows.size, 1000)
    }), 60_000)
}
