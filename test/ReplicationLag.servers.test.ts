import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Redacted, Schedule } from "effect"
import type { Driver, PhysicalConnection } from "../src/Driver.js"
import type { Role } from "../src/Endpoint.js"
import * as Lag from "../src/internal/lag.js"
import * as MysqlDriver from "../src/internal/mysql/driver.js"
import * as PgDriver from "../src/internal/pg/driver.js"
import { read } from "../src/internal/pg/settings.js"
import * as ReplicationLag from "../src/ReplicationLag.js"
import { caughtUp, freshDatabase, type Server } from "./servers/index.js"

const eventually = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("10 seconds")
  )

const endpoint = <Config>(name: string, role: Role, config: Config) => ({
  database: "main",
  name,
  role,
  weight: 1,
  zone: undefined,
  config
})

const pgConfig = ({ url }: Server) => Either.getOrThrow(read({ url: Redacted.make(url) }, "url"))

/** Measures a primary and a replica over a connection to each. */
const measuring = <Config>(
  driver: Driver<Config>,
  servers: { readonly primary: Config; readonly replica: Config },
  options: ReplicationLag.ReplicationLagOptions = {}
) =>
  Effect.gen(function*() {
    const connections: { readonly [name: string]: PhysicalConnection } = {
      primary: yield* driver.open(endpoint("primary", "primary", servers.primary), "readWrite"),
      replica: yield* driver.open(endpoint("replica", "replica", servers.replica), "readOnly")
    }
    const monitor = yield* Lag.make({
      servers: () => [{ name: "primary", role: "primary" }, { name: "replica", role: "replica" }],
      ask: (name, question) => question(connections[name]!),
      status: driver.status,
      settings: Either.getOrThrow(Lag.settingsOf(options, { interval: "50 millis", maxLag: "400 millis" })),
      random: () => 0.5,
      publish: () => {}
    })
    const write = (sql: string) => connections["primary"]!.executeUnprepared(sql, [], undefined)
    return { ...monitor, write, millis: () => monitor.lag("replica")?.millis }
  })

const isCaughtUp = ({ millis }: { readonly millis: () => number | undefined }) =>
  eventually(Effect.sync(() => millis() === 0))

describe("lag of PostgreSQL", () => {
  const servers = Effect.map(freshDatabase("postgres"), ({ primary, replicas }) => ({
    driver: PgDriver.make(pgConfig(primary)),
    primary: pgConfig(primary),
    replica: pgConfig(replicas[1])
  }))

  const admin = Effect.flatMap(servers, ({ driver, replica }) =>
    Effect.map(
      driver.open(endpoint("admin", "replica", replica), "readWrite"),
      (connection) => (sql: string) => Effect.orDie(connection.execute(sql, [], undefined))
    ))

  it.scopedLive("is zero while nothing happens, and after", () =>
    Effect.gen(function*() {
      const { driver, ...of } = yield* servers
      const lag = yield* measuring(driver, of)
      yield* isCaughtUp(lag)
      yield* Effect.sleep("1 seconds")
      assert.strictEqual(lag.lag("replica")!.millis, 0)
      assert.strictEqual(lag.lag("replica")!.bytes, 0n)
      assert.isTrue(lag.eligible("replica"))
    }))

  it.scopedLive("is the time since the primary was where a paused replay is, and ends with it", () =>
    Effect.gen(function*() {
      const { driver, ...of } = yield* servers
      const ask = yield* admin
      const lag = yield* measuring(driver, of)
      yield* isCaughtUp(lag)
      yield* Effect.acquireRelease(ask("SELECT pg_wal_replay_pause()"), () => ask("SELECT pg_wal_replay_resume()"))
      yield* lag.write("CREATE TABLE t AS SELECT generate_series(1, 1000)")
      const position = lag.position("replica")
      yield* eventually(Effect.sync(() => lag.lag("replica")!.bytes! > 10_000n))
      yield* Effect.sleep("1 seconds")
      assert.isAbove(lag.millis()!, 800)
      assert.isBelow(lag.millis()!, 4000)
      assert.isFalse(lag.eligible("replica"))
      assert.isTrue(lag.serving("replica"))
      yield* ask("SELECT pg_wal_replay_resume()")
      yield* isCaughtUp(lag)
      assert.isTrue(lag.eligible("replica"))
      assert.notDeepEqual(lag.position("replica"), position)
    }))

  it.scopedLive(
    "is unknown, not zero, where the replica was cut off and nothing happens",
    () =>
      Effect.gen(function*() {
        const { driver, ...of } = yield* servers
        const ask = yield* admin
        const lag = yield* measuring(driver, of)
        yield* isCaughtUp(lag)
        const setting = (change: string) =>
          Effect.zipRight(ask(`ALTER SYSTEM ${change}`), ask("SELECT pg_reload_conf()"))
        const follow = setting("RESET primary_conninfo")
        yield* Effect.acquireRelease(
          setting("SET primary_conninfo = ''"),
          () => Effect.zipRight(follow, caughtUp("postgres"))
        )
        yield* eventually(Effect.sync(() => lag.lag("replica") !== undefined && lag.millis() === undefined))
        yield* lag.write("CREATE TABLE t (id int)")
        yield* eventually(Effect.sync(() => !lag.eligible("replica")))
        assert.isAbove(lag.millis()!, 400)
        yield* follow
        yield* isCaughtUp(lag)
        assert.isTrue(lag.eligible("replica"))
      }),
    30_000
  )

  it.scopedLive("is measured by a table as well", () =>
    Effect.gen(function*() {
      const { driver, ...of } = yield* servers
      const ask = yield* admin
      const setUp = yield* measuring(driver, of)
      yield* setUp.write("CREATE TABLE heartbeat (beat bigint NOT NULL); INSERT INTO heartbeat VALUES (0)")
      yield* caughtUp("postgres")
      const lag = yield* measuring(driver, of, { probe: ReplicationLag.heartbeat({ table: "heartbeat" }) })
      yield* eventually(Effect.sync(() => (lag.millis() ?? 1000) < 200))
      yield* Effect.acquireRelease(ask("SELECT pg_wal_replay_pause()"), () => ask("SELECT pg_wal_replay_resume()"))
      yield* eventually(Effect.sync(() => (lag.millis() ?? 0) > 400))
    }))
})

describe("lag of MariaDB", () => {
  const servers = Effect.map(freshDatabase("mariadb"), ({ database, primary, replicas: [replica], user }) => {
    const config = ({ host, port }: Server) => ({ host, port, username: user, database })
    return { driver: MysqlDriver.make(config(primary)), primary: config(primary), replica: config(replica) }
  })

  const admin = Effect.flatMap(servers, ({ driver, replica }) =>
    Effect.map(
      driver.open(endpoint("admin", "replica", replica), "readWrite"),
      (connection) => (sql: string) => Effect.orDie(connection.executeUnprepared(sql, [], undefined))
    ))

  for (const thread of ["SQL_THREAD", "IO_THREAD"]) {
    it.scopedLive(`grows while the ${thread} is stopped, which alone is no zero, and ends with it`, () =>
      Effect.gen(function*() {
        const { driver, ...of } = yield* servers
        const ask = yield* admin
        const lag = yield* measuring(driver, of)
        yield* isCaughtUp(lag)
        yield* Effect.sleep("300 millis")
        assert.strictEqual(lag.millis(), 0)
        yield* Effect.acquireRelease(ask(`STOP SLAVE ${thread}`), () => ask(`START SLAVE ${thread}`))
        yield* eventually(Effect.sync(() => lag.lag("replica") !== undefined && lag.millis() === undefined))
        yield* lag.write("CREATE TABLE t (id int)")
        yield* eventually(Effect.sync(() => !lag.eligible("replica")))
        assert.isAbove(lag.millis()!, 400)
        yield* ask(`START SLAVE ${thread}`)
        yield* isCaughtUp(lag)
        assert.isTrue(lag.eligible("replica"))
      }))
  }
})
