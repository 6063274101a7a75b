/** What happens to servers of a test's own when their primary goes. */
import { Effect } from "effect"
import { gtidReached, replicate, type TestServer, waitFor } from "../faults/cluster.js"

const query = (server: TestServer, ...texts: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (const text of texts) await server.query(text)
  })

/** Has a standby that runs receive from another server from now on. */
export const followOnline = (standby: TestServer, primary: TestServer): Effect.Effect<void> =>
  query(
    standby,
    `ALTER SYSTEM SET primary_conninfo = 'host=${primary.host} port=${primary.port} user=postgres `
      + `application_name=${standby.name} connect_timeout=2'`,
    "SELECT pg_reload_conf()"
  )

/** Has a standby receive nothing any more, though it goes on to answer. */
export const cutOff = (standby: TestServer): Effect.Effect<void> =>
  Effect.zipRight(
    query(standby, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"),
    waitFor(
      `${standby.name} is cut off`,
      async () => (await standby.query("SELECT pid FROM pg_stat_wal_receiver")).length === 0
    )
  )

/** Lets the user of routers see what timeline a standby is on. */
export const grantTimeline = (primary: TestServer): Effect.Effect<void> =>
  query(primary, "GRANT pg_read_all_stats TO app")

/** Has each of them, as the primary, acknowledge only what another has received. */
export const synchronous = (servers: ReadonlyArray<TestServer>): Effect.Effect<void> =>
  Effect.forEach(
    servers,
    (server) =>
      query(
        server,
        `ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${servers.map(({ name }) => name).join(", ")})'`,
        "ALTER SYSTEM SET synchronous_commit = 'on'",
        "SELECT pg_reload_conf()"
      ),
    { discard: true }
  )

/** Stops the replay of a standby, or lets it go on; one that is none now, or does not answer, is left as it is. */
export const setReplay = (server: TestServer, paused: boolean): Effect.Effect<void> =>
  Effect.promise(() => server.query(`SELECT pg_wal_replay_${paused ? "pause" : "resume"}()`).then(() => {}, () => {}))

/**
 * Kills a primary and promotes the standby that has received most, so that whatever a standby has shown stays. Gives that,
 * and the other, which follows it.
 */
export const failOver = (
  primary: TestServer,
  standbys: readonly [TestServer, TestServer]
): Effect.Effect<readonly [promoted: TestServer, standby: TestServer]> =>
  Effect.gen(function*() {
    yield* primary.kill
    const received = yield* Effect.forEach(standbys, (server) =>
      Effect.promise(() =>
        server.query("SELECT GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn AS bytes")
      ))
    const [first, second] = received.map(([{ bytes }]) =>
      BigInt(bytes)
    ) as [bigint, bigint]
    const [promoted, standby] = first >= second ? standbys : [standbys[1], standbys[0]]
    yield* query(promoted, "SELECT pg_promote()")
    yield* followOnline(standby, promoted)
    return [promoted, standby] as const
  })

/** Has a MariaDB primary refuse writes, and the replica take them once it has got all. */
export const switchOver = (primary: TestServer, replica: TestServer): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* query(primary, "SET GLOBAL read_only = 1")
    yield* gtidReached(primary, replica)
    yield* query(replica, "STOP SLAVE", "SET GLOBAL read_only = 0")
    yield* replicate(primary, replica)
  })
