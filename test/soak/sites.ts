/** The databases that the soak runs on: servers of its own, each behind a proxy, and what can be done to them. */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import type { PostgresCluster, TestServer } from "../faults/cluster.js"
import * as Cluster from "../faults/cluster.js"

export interface Member {
  readonly server: TestServer
  readonly proxy: TcpProxy.TcpProxy
}

/** A session of the router's user, as its server sees it. */
export interface Session {
  readonly id: number
  readonly inTransaction: boolean
}

/** How the same thing is said to both databases. */
export interface Dialect {
  /** The port of the server that answers. */
  readonly ownPort: string
  readonly sleep: (seconds: number) => string
  /** So many rows. */
  readonly series: (length: 500 | 5000) => string
  /** A setting that takes numbers, and how it reads. */
  readonly setting: { readonly name: string; readonly read: string }
}

export interface Site {
  readonly name: "postgres" | "mariadb"
  readonly dialect: Dialect
  readonly members: ReadonlyArray<Member>
  /** Those that are or were the primary, the present one last. */
  readonly primaries: Array<Member>
  /** Ends a primary as it would end at the worst without losing what it has acknowledged. */
  readonly stopPrimary: (member: Member) => Effect.Effect<void>
  /** Starts a server that has ended, in the role it has now. */
  readonly start: (member: Member) => Effect.Effect<void>
  /** Makes a replica the primary, and the primary its replica; nothing that was acknowledged is lost. */
  readonly promote: (next: Member) => Effect.Effect<void>
  readonly setReplaying: (member: Member, replays: boolean) => Effect.Effect<void>
  /** Waits until the replicas have what the primary has. */
  readonly caughtUp: Effect.Effect<void>
  /** None where the server is down. */
  readonly sessions: (member: Member) => Effect.Effect<ReadonlyArray<Session>>
  readonly endSession: (member: Member, id: number) => Effect.Effect<void>
}

export const primaryOf = (site: Site): Member => site.primaries.at(-1)!

export const replicasOf = (site: Site): ReadonlyArray<Member> =>
  site.members.filter((member) => member !== primaryOf(site))

/** Ends a server; meanwhile who connects to it is reset, or never answered. */
export const takeDown = (
  { proxy }: Member,
  welcome: "reset" | "ignore",
  end: Effect.Effect<void>
): Effect.Effect<void> => Effect.zipRight(Effect.orDie(proxy.configure({ connect: welcome })), end)

/** Starts a server; nobody reaches it before it has its role. */
export const bringBack = (site: Site, member: Member): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Effect.orDie(member.proxy.configure({ connect: "reset" }))
    yield* site.start(member)
    yield* Effect.orDie(member.proxy.configure({ connect: "join" }))
  })

const ask = ({ server }: Member, sql: string): Effect.Effect<ReadonlyArray<any>> =>
  Effect.promise(() => server.query(sql))

/** What may be asked of a server that is down. */
const tryToAsk = (member: Member, sql: string): Effect.Effect<ReadonlyArray<any>> =>
  Effect.promise(() => member.server.query(sql).catch(() => []))

const behindProxies = (servers: ReadonlyArray<TestServer>): Effect.Effect<ReadonlyArray<Member>, never, Scope.Scope> =>
  Effect.forEach(
    servers,
    (server) => Effect.map(Effect.orDie(TcpProxy.make(server)), (proxy): Member => ({ server, proxy }))
  )

export const postgres: Effect.Effect<Site, never, Scope.Scope> = Effect.gen(function*() {
  const { primary, replica1, replica2 }: PostgresCluster = yield* Cluster.makePostgres
  const members = yield* behindProxies([primary, replica1, replica2])
  const site: Site = {
    name: "postgres",
    dialect: {
      ownPort: "inet_server_port()",
      sleep: (seconds) => `SELECT pg_sleep(${seconds})`,
      series: (length) => `SELECT generate_series(1, ${length}) AS n`,
      setting: { name: "app.number", read: "SELECT current_setting('app.number', true) AS value" }
    },
    members,
    primaries: [members[0]!],
    // A commit is in the operating system's hands before it is acknowledged: a crash of the program loses none.
    stopPrimary: ({ server }) => server.kill,
    start: ({ server }) => server.start,
    promote: (next) =>
      Effect.gen(function*() {
        const old = primaryOf(site)
        yield* site.caughtUp
        // Told to end, it sends its standbys all it has before it does.
        yield* takeDown(old, "reset", old.server.end("SIGINT"))
        for (const member of replicasOf(site).filter((_) => _ !== next)) {
          const conninfo = `host=${next.server.host} port=${next.server.port} user=postgres`
          yield* ask(member, `ALTER SYSTEM SET primary_conninfo = '${conninfo}'`)
          yield* ask(member, "SELECT pg_reload_conf()")
        }
        // From here on it may be written to, by who finds out before it has told us.
        site.primaries.push(next)
        yield* ask(next, "SELECT pg_promote()")
        Cluster.follow(old.server, next.server)
        yield* bringBack(site, old)
      }),
    setReplaying: (member, replays) => ask(member, `SELECT pg_wal_replay_${replays ? "resume" : "pause"}()`),
    caughtUp: Effect.suspend(() =>
      Cluster.caughtUp(primaryOf(site).server, replicasOf(site).map(({ server }) => server))
    ),
    sessions: (member) =>
      tryToAsk(
        member,
        `SELECT pid AS id, state LIKE 'idle in %' AS "inTransaction" FROM pg_stat_activity `
          + "WHERE usename = 'app' AND backend_type = 'client backend'"
      ),
    endSession: (member, id) => tryToAsk(member, `SELECT pg_terminate_backend(${id})`)
  }
  return site
})

export const mariadb: Effect.Effect<Site, never, Scope.Scope> = Effect.gen(function*() {
  const { primary, replica1 } = yield* Cluster.makeMariadb
  const members = yield* behindProxies([primary, replica1])
  // What is acknowledged survives the end of the program, as the servers of the tests do not care for otherwise.
  const makeSafe = (member: Member) => ask(member, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
  yield* Effect.forEach(members, makeSafe)
  const site: Site = {
    name: "mariadb",
    dialect: {
      ownPort: "@@port",
      sleep: (seconds) => `SELECT SLEEP(${seconds})`,
      series: (length) => `SELECT seq AS n FROM seq_1_to_${length}`,
      setting: { name: "sort_buffer_size", read: "SELECT @@session.sort_buffer_size AS value" }
    },
    members,
    primaries: [members[0]!],
    stopPrimary: ({ server }) => server.end("SIGTERM"),
    start: (member) =>
      Effect.gen(function*() {
        yield* member.server.start
        yield* makeSafe(member)
        if (member === primaryOf(site)) return
        yield* ask(member, "SET GLOBAL read_only = 1")
        yield* ask(member, "START SLAVE")
      }),
    promote: (next) =>
      Effect.gen(function*() {
        const old = primaryOf(site)
        // It waits for the commits that are under way.
        yield* ask(old, "SET GLOBAL read_only = 1")
        yield* Cluster.gtidReached(old.server, next.server)
        yield* ask(next, "STOP SLAVE")
        site.primaries.push(next)
        yield* ask(next, "SET GLOBAL read_only = 0")
        yield* Cluster.replicate(old.server, next.server)
      }),
    setReplaying: (member, replays) => ask(member, `${replays ? "START" : "STOP"} SLAVE SQL_THREAD`),
    caughtUp: Effect.suspend(() =>
      Effect.forEach(replicasOf(site), ({ server }) => Cluster.gtidReached(primaryOf(site).server, server))
    ),
    sessions: (member) =>
      Effect.map(
        tryToAsk(
          member,
          "SELECT p.id, t.trx_id IS NOT NULL AS inTransaction FROM information_schema.processlist p "
            + "LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id WHERE p.user = 'app'"
        ),
        (rows) => rows.map(({ id, inTransaction }) => ({ id: Number(id), inTransaction: Number(inTransaction) === 1 }))
      ),
    endSession: (member, id) => tryToAsk(member, `KILL ${id}`)
  }
  return site
})
