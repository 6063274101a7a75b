/** Where statements run, as the servers themselves tell: a server is asked who it is through the router. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { ReplicaStrategy, RouteDecision, RoutedSqlClient } from "effect-sql-router"
import * as RoutedMysqlClient from "effect-sql-router/RoutedMysqlClient"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { freshDatabase } from "../servers/index.js"
import { allWays, freshName, makePeople, withSpans } from "./support.js"

interface Kind {
  readonly name: string
  readonly client: Layer.Layer<RoutedSqlClient.RoutedSqlClient | SqlClient.SqlClient, unknown>
  /** An expression that tells the servers apart, a query of the same that a replica may run, and the answers. */
  readonly who: string
  readonly asks: string
  readonly primary: unknown
  readonly replica: unknown
  /** Asks for the port, which tells servers of one role apart as well, and how many replicas there are. */
  readonly asksPort: string
  readonly replicas: number
}

const at = ({ url }: { readonly url: string }) => ({ url: Redacted.make(url) })

const kinds: ReadonlyArray<Kind> = [
  {
    name: "PostgreSQL",
    client: Layer.unwrapScoped(
      Effect.map(
        freshDatabase("postgres"),
        ({ primary, replicas: [replica1, replica2] }) =>
          RoutedPgClient.layer({
            primary: at(primary),
            replicas: { replica1: at(replica1), replica2: at(replica2) },
            strategy: ReplicaStrategy.roundRobin
          })
      )
    ),
    who: "pg_is_in_recovery()",
    asks: "SELECT pg_is_in_recovery() AS who",
    primary: false,
    replica: true,
    asksPort: "SELECT inet_server_port() AS port",
    replicas: 2
  },
  {
    name: "MariaDB",
    client: Layer.unwrapScoped(
      Effect.map(
        freshDatabase("mariadb"),
        ({ primary, replicas: [replica1] }) =>
          RoutedMysqlClient.layer({ primary: at(primary), replicas: { replica1: at(replica1) } })
      )
    ),
    who: "@@server_id",
    asks: "SELECT @@server_id AS who",
    primary: 1,
    replica: 2,
    // `@@port` may be the session's own, so it is read on the primary.
    asksPort:
      "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'PORT'",
    replicas: 1
  }
]

for (const { asks, asksPort, client, name, primary, replica, replicas, who } of kinds) {
  layer(client, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    const ask = Effect.map(SqlClient.SqlClient, (sql) => sql.unsafe(asks))

    it.effect.each(allWays)("$operation reads on a replica", ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* run(yield* ask), [[replica]])
        const plain = sql.withoutTransforms()
        assert.deepStrictEqual(yield* run(plain.unsafe(asks)), [[replica]])
      }))

    it.effect.each(allWays)(
      "$operation reads on the primary inside a transaction, and on a replica after it",
      ({ run }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const read = run(yield* ask)
          const nested = sql.withTransaction(read)
          const forked = Effect.all([read, read], { concurrency: "unbounded" })
          assert.deepStrictEqual(
            yield* sql.withTransaction(Effect.all([read, nested, forked, read])),
            [[[primary]], [[primary]], [[[primary]], [[primary]]], [[primary]]]
          )
          assert.deepStrictEqual(yield* read, [[replica]])
          yield* Effect.flip(sql.withTransaction(Effect.zipRight(read, Effect.fail("undo"))))
          assert.deepStrictEqual(yield* read, [[replica]])
        })
    )

    it.effect.each(allWays)("$operation writes on the primary", ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        assert.deepStrictEqual(
          yield* run(sql`INSERT INTO ${sql(people)} (name) VALUES (${"Ada"}) RETURNING ${sql.literal(who)} AS who`),
          [[primary]]
        )
      }))

    it.effect.each(allWays)("$operation reads for an update on the primary", ({ run }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const people = yield* makePeople
        yield* sql`INSERT INTO ${sql(people)} ${sql.insert({ name: "Ada" })}`
        assert.deepStrictEqual(
          yield* run(sql`SELECT ${sql.literal(who)} AS who FROM ${sql(people)} FOR UPDATE`),
          [[primary]]
        )
      }))

    it.effect.each(allWays)(
      "$operation names in span and decision the server that ran it",
      ({ run }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const statement = sql.unsafe(asksPort)
          for (const place of [<A, E, R>(effect: Effect.Effect<A, E, R>) => effect, sql.withTransaction]) {
            const [[[row], [decision]], spans] = yield* withSpans(RouteDecision.capture(place(run(statement))))
            const { attributes } = spans.find((span) => span.name === "sql.execute")!
            assert.strictEqual(attributes.get("server.port"), row![0])
            assert.strictEqual(attributes.get("sql.router.endpoint"), decision!.endpoint)
            assert.strictEqual(attributes.get("sql.router.role"), decision!.role)
            assert.strictEqual(attributes.get("sql.router.reason"), decision!.reason)
          }
        })
    )

    it.effect("every replica is read from", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const ports = yield* Effect.replicateEffect(sql.unsafe(asksPort).values, 20)
        assert.strictEqual(new Set(ports.map(([row]) => row![0])).size, replicas)
      }))

    it.scoped("a reserved connection is the primary's", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const connection = yield* sql.reserve
        assert.deepStrictEqual(yield* connection.executeValues(`SELECT ${who}`, []), [[primary]])
      }))

    it.effect("explain tells where a statement will run", () =>
      Effect.gen(function*() {
        const sql = yield* RoutedSqlClient.RoutedSqlClient
        assert.strictEqual((yield* sql.explain(yield* ask)).plan.candidates[0]!.role, "replica")
        assert.strictEqual(
          (yield* sql.explain(sql`DROP TABLE ${sql(freshName("t"))}`)).plan.candidates[0]!.role,
          "primary"
        )
      }))
  })
}
