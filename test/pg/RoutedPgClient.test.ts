import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigError, ConfigProvider, Effect, Fiber, Layer, Redacted, Stream, Tracer } from "effect"
import * as ReplicaStrategy from "effect-sql-router/ReplicaStrategy"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingError from "effect-sql-router/RoutingError"
import { selectsAreReads as classifier } from "../fixtures/classifiers.js"
import { freshDatabase, postgres } from "../servers/index.js"
import { eventually, primaryUrl, replicaUrl } from "./support.js"

const options: RoutedPgClient.RoutedPgClientConfig = {
  classifier,
  primary: { url: primaryUrl },
  replicas: { replica1: { url: replicaUrl }, replica2: { url: Redacted.make(postgres().replicas[1].url) } }
}

const inRecovery = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => Effect.map(sql<{ standby: boolean }>`SELECT pg_is_in_recovery() AS standby`, ([row]) => row!.standby)
)

const serverPort = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => Effect.map(sql<{ port: number }>`SELECT inet_server_port() AS port`, ([row]) => row!.port)
)

describe("the layer", () => {
  it.scopedLive("provides the routed client under every tag that programs ask for", () =>
    Effect.gen(function*() {
      const client = yield* RoutedPgClient.RoutedPgClient
      assert.strictEqual(yield* PgClient.PgClient, client)
      assert.strictEqual(yield* SqlClient.SqlClient, client)
      assert.strictEqual(yield* RoutedSqlClient.RoutedSqlClient, client)
      assert.strictEqual(client[PgClient.TypeId], PgClient.TypeId)
    }).pipe(Effect.provide(RoutedPgClient.layer(options))))

  it.scopedLive("sends reads to standbys, and a transaction to the primary", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.isTrue(yield* inRecovery)
      assert.isFalse(yield* sql.withTransaction(inRecovery))
      const ports = yield* Effect.forEach([1, 2, 3, 4], () => serverPort)
      assert.sameMembers([...new Set(ports)], postgres().replicas.map((replica) => replica.port))
    }).pipe(Effect.provide(RoutedPgClient.layer({ ...options, strategy: ReplicaStrategy.roundRobin }))))

  it.scopedLive("is built although no server is up", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(serverPort)
      assert.instanceOf(error.cause, RoutingError.EndpointUnavailable)
    }).pipe(Effect.provide(RoutedPgClient.layer({ primary: { host: "127.0.0.1", port: 1 } }))))

  it.scopedLive("fails with the place of a URL that cannot be read", () =>
    Effect.gen(function*() {
      const url = Redacted.make("localhost/app")
      const path = (config: RoutedPgClient.RoutedPgClientConfig) =>
        Effect.map(Effect.flip(Layer.build(RoutedPgClient.layer(config))), (error) =>
          (error.cause as RoutingError.ConfigurationError).path)
      assert.strictEqual(yield* path({ primary: { url } }), "primary.url")
      assert.strictEqual(yield* path({ url, primary: {} }), "url")
      assert.strictEqual(yield* path({ ...options, replicas: { near: { url } } }), "replicas.near.url")
    }))

  it.scopedLive("lets endpoints share what they do not say themselves, the URL included", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* serverPort, postgres().replicas[0].port)
    }).pipe(Effect.provide(RoutedPgClient.layer({
      classifier,
      url: primaryUrl,
      primary: {},
      replicas: { replica1: { port: postgres().replicas[0].port } }
    }))))

  it.scopedLive("is read from Config", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* serverPort, postgres().replicas[0].port)
      assert.strictEqual((yield* PgClient.PgClient).config.applicationName, "from config")
    }).pipe(
      Effect.provide(RoutedPgClient.layerConfig({
        classifier: Config.succeed(classifier),
        applicationName: Config.string("NAME"),
        primary: { url: Config.redacted("PRIMARY") },
        replicas: Config.all({ replica1: Config.all({ url: Config.redacted("REPLICA") }) })
      })),
      Effect.withConfigProvider(ConfigProvider.fromMap(
        new Map([
          ["NAME", "from config"],
          ["PRIMARY", Redacted.value(primaryUrl)],
          ["REPLICA", Redacted.value(replicaUrl)]
        ])
      ))
    ))

  it.scopedLive("is read from DATABASE_URL and DATABASE_REPLICA_URLS", () =>
    Effect.gen(function*() {
      const of = (variables: Record<string, string>) =>
        Effect.provide(serverPort, RoutedPgClient.layerDatabaseUrl({ classifier })).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))
        )
      const DATABASE_URL = Redacted.value(primaryUrl)
      const DATABASE_REPLICA_URLS = ` ${Redacted.value(replicaUrl)} , `
      assert.strictEqual(yield* of({ DATABASE_URL }), postgres().primary.port)
      assert.strictEqual(yield* of({ DATABASE_URL, DATABASE_REPLICA_URLS }), postgres().replicas[0].port)
      assert.isTrue(ConfigError.isConfigError(yield* Effect.flip(of({}))))
    }))

  it.scopedLive("opens replica connections that refuse writes, unless told otherwise", () =>
    Effect.gen(function*() {
      const readOnly = (readOnlyReplicas?: boolean) =>
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql`SELECT current_setting('default_transaction_read_only') AS value`).pipe(
            Effect.map(([row]) =>
              row!["value"]
            ),
            Effect.provide(RoutedPgClient.layer({ ...options, readOnlyReplicas }))
          )
      assert.strictEqual(yield* readOnly(), "on")
      assert.strictEqual(yield* readOnly(false), "off")
    }))
})

describe("the PgClient", () => {
  it.scopedLive("has the configuration of the stock one, and never shows a password", () =>
    Effect.gen(function*() {
      const url = Redacted.make(Redacted.value(primaryUrl).replace("@", ":hush@"))
      const ours = yield* Effect.provide(PgClient.PgClient, RoutedPgClient.layer({ primary: { url } }))
      const theirs = yield* Effect.provide(PgClient.PgClient, PgClient.layer({ url }))
      const { applicationName: _, path: __, ssl: ___, ...config } = ours.config as Record<string, unknown>
      assert.deepStrictEqual(JSON.parse(JSON.stringify(config)), JSON.parse(JSON.stringify(theirs.config)))
      assert.strictEqual(Redacted.value(ours.config.password!), "hush")
      assert.notInclude(JSON.stringify(ours.config), "hush")
    }))

  it.scopedLive("writes json", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const [row] = yield* sql`SELECT ${sql.json({ a: [1, { b: null }] })}::jsonb AS value`
      assert.deepStrictEqual(row, { value: { a: [1, { b: null }] } })
    }).pipe(Effect.provide(RoutedPgClient.layer(options))))

  it.scopedLive("transforms names in queries, json and results, unless withoutTransforms", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const query = (sql: PgClient.PgClient) =>
        sql`SELECT ${sql.json({ innerName: 1 })}::jsonb AS ${sql("someName")}`.pipe(Effect.map(([row]) => row))
      assert.deepStrictEqual(yield* query(sql), { SOMENAME: { INNERNAME: 1 } })
      const plain = sql.withoutTransforms() as PgClient.PgClient
      assert.deepStrictEqual(yield* query(plain), { someName: { innerName: 1 } })
    }).pipe(Effect.provide(RoutedPgClient.layer({
      ...options,
      transformQueryNames: (name) => name.toLowerCase(),
      transformResultNames: (name) => name.toUpperCase()
    }))))

  it.scopedLive("notifies and listens on the primary, a transaction's notifications when it commits", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const heard: Array<string> = []
      const channel = "Orders \"placed\""
      yield* Effect.forkScoped(
        Stream.runForEach(sql.listen(channel), (payload) => Effect.sync(() => heard.push(payload)))
      )
      yield* eventually(Effect.map(sql.notify(channel, ""), () => heard.length > 0))
      heard.length = 0
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.notify(channel, "rolled back"), Effect.fail("no"))))
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql.notify(channel, "committed")
        yield* Effect.sleep("50 millis")
        assert.notInclude(heard, "committed")
      }))
      yield* eventually(Effect.sync(() => heard.includes("committed")))
      assert.notInclude(heard, "rolled back")
    }).pipe(Effect.provide(RoutedPgClient.layer(options))))
})

const recording = (spans: Array<Tracer.Span>): Tracer.Tracer =>
  Tracer.make({
    span: (...args) => {
      const span = nativeTracer.span(...args)
      spans.push(span)
      return span
    },
    context: (f) => f()
  })

const nativeTracer = Effect.runSync(Effect.tracer)

describe("statements", () => {
  it.scopedLive("that a failed sibling interrupts before they are sent do not end the transaction around", () =>
    Effect.gen(function*() {
      const { primary } = yield* freshDatabase("postgres")
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE went_on (id INTEGER PRIMARY KEY)`
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`INSERT INTO went_on VALUES (1)`
          const siblings = Effect.all(
            [sql`INSERT INTO went_on VALUES (1)`, sql`INSERT INTO went_on VALUES (2)`],
            { concurrency: "unbounded" }
          )
          yield* Effect.flip(sql.withTransaction(siblings))
          yield* sql`INSERT INTO went_on VALUES (3)`
        }))
        assert.deepStrictEqual(yield* sql`SELECT id FROM went_on ORDER BY id`, [{ id: 1 }, { id: 3 }])
      }).pipe(Effect.provide(RoutedPgClient.layer({ primary: { url: Redacted.make(primary.url) } })))
    }))

  it.scopedLive("carry the address of the server that ran them", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const spans: Array<Tracer.Span> = []
      yield* Effect.forEach([sql`SELECT 1`, sql.withTransaction(sql`SELECT 2`)], (statement) => statement).pipe(
        Effect.withTracer(recording(spans))
      )
      const [read, , pinned] = spans.filter((span) => span.name.startsWith("sql.")).map((span) =>
        Object.fromEntries(span.attributes)
      )
      assert.strictEqual(read?.["server.port"], postgres().replicas[0].port)
      assert.strictEqual(read?.["db.system.name"], "postgresql")
      assert.strictEqual(read?.["db.namespace"], postgres().database)
      assert.strictEqual(pinned?.["server.port"], postgres().primary.port)
      assert.strictEqual(pinned?.["custom"], true)
    }).pipe(Effect.provide(RoutedPgClient.layer({
      classifier,
      spanAttributes: { custom: true },
      primary: { url: primaryUrl },
      replicas: { replica1: { url: replicaUrl } }
    }))))

  it.scopedLive(
    "that are interrupted by the hundred leave a pool that works, and hit nobody else",
    () =>
      Effect.gen(function*() {
        const { primary } = yield* freshDatabase("postgres")
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const victim = yield* Effect.fork(
            Effect.forEach(Array.from({ length: 100 }), () => sql`SELECT pg_sleep(0.01)`)
          )
          yield* Effect.forEach(
            Array.from({ length: 200 }),
            (_, i) => Effect.timeoutOption(sql`SELECT pg_sleep(5)`, `${i % 5} millis`),
            { concurrency: 8, discard: true }
          )
          yield* Fiber.join(victim)
          const rows = yield* sql<{ n: number }>`
          SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(5)%' AND state = 'active'
            AND pid <> pg_backend_pid() AND datname = current_database()`
          assert.deepStrictEqual(rows, [{ n: 0 }])
        }).pipe(
          Effect.provide(RoutedPgClient.layer({ primary: { url: Redacted.make(primary.url) }, pool: { max: 4 } }))
        )
      }),
    60_000
  )
})
