/**
 * The faults that the router is tested with, and the tests that prove what is claimed of each: `docs/faults.md` is made of
 * this and of a run of them (`npm run faults`).
 *
 * The first 25 are the catalogue that the router was designed by; the others came with experience.
 */

/** Where a test runs: on real servers, or `simulated`, on a clock and servers in memory where time or chance decide. */
export type Ground = "PostgreSQL" | "MariaDB" | "SQLite" | "simulated"

/** Tests that prove a case. */
export interface Proof {
  /** Under `test/`. */
  readonly file: string
  /** In full, with the `describe` blocks around it. `{on}` is the ground as tests spell it, `*` stands for anything. */
  readonly name: string
  readonly on: ReadonlyArray<Ground>
}

export interface FaultCase {
  readonly title: string
  readonly injected: string
  readonly held: string
  readonly proofs: ReadonlyArray<Proof>
}

const proof = (file: string, name: string, ...on: ReadonlyArray<Ground>): Proof => ({
  file: `${file}.test.ts`,
  name,
  on
})

const real = ["PostgreSQL", "MariaDB"] as const

const connections = (name: string) => proof("faults/connections", `on {on} ${name}`, ...real)
const replicas = (name: string) => proof("faults/replicas", `PostgreSQL replicas ${name}`, "PostgreSQL")
const network = (name: string) => proof("faults/network", name, "PostgreSQL")
const simulated = (file: string, name: string) => proof(file, name, "simulated")

export const catalogue: ReadonlyArray<FaultCase> = [
  {
    title: "A replica refuses connections",
    injected: "nobody listens at its port; the server is killed under 64 readers",
    held: "no read fails; the breaker opens at the first refusal; no read connects again during the cooldown",
    proofs: [
      connections("a replica that refuses costs no read, and is asked once until its cooldown is over"),
      replicas("a replica that is killed costs none of 64 readers a read, and serves again once it is back"),
      simulated(
        "health/replicas",
        "the breaker of a replica stays open for its cooldown, and then closes by one probe and no statement"
      )
    ]
  },
  {
    title: "All replicas refuse",
    injected: "all replicas are killed; who connects to them is reset",
    held: "the primary serves reads within their share of its pool; the others fail with `ReplicasUnavailable`; "
      + "replicas that are back are used again by themselves",
    proofs: [
      replicas("with all replicas down reads use their share of the primary's pool, and go back by themselves"),
      replicas("streams and read-only transactions have their places among the reads that the primary takes"),
      replicas("with all replicas down and `whenNoneLeft: fail` reads fail, writes do not"),
      replicas("with all replicas out of service and `whenNoneLeft: panic` they are tried all the same")
    ]
  },
  {
    title: "A black hole where one connects",
    injected: "connections are accepted and never answered",
    held: "connecting ends at `connectTimeout`; reads with time left go elsewhere; who is interrupted leaves at once",
    proofs: [
      connections("a connect that nobody answers ends at connectTimeout, and its borrower sooner if interrupted"),
      network("a black hole before a connection is open costs no read that has more time than connecting may take"),
      network(
        "a black hole before a connection is open costs the first reads their deadline, and the others nothing"
      )
    ]
  },
  {
    title: "A black hole in the middle of statements",
    injected: "what is sent to a replica, or what it answers, gets lost without a word",
    held: "a read ends at its deadline, its connection with it, and probes take the replica out of service; "
      + "a hedged read is answered by another replica",
    proofs: [
      network(
        "a black hole in the middle of reads costs those that are there their deadline, and the others nothing"
      ),
      network("a hedged read is answered by another replica where the first stalls, whose connection is then closed"),
      connections("a statement that nobody answers ends at its deadline, and its connection with it")
    ]
  },
  {
    title: "A connection is reset under a statement",
    injected: "resets before and after the server has the statement, at random",
    held: "reads are repeated elsewhere; of thousands of inserts each acknowledged one is there once, each with "
      + "`OutcomeUnknown` once at most, and no other",
    proofs: [
      network(
        "a replica that fails fast fails no read, and gets less than 5 % after a second, when it resets who asks"
      ),
      proof(
        "faults/writes",
        "{on}: of * inserts under resets every acknowledged one is there once, every unknown one at most",
        ...real
      ),
      proof("faults/writes", "{on}: inserts that may run twice are sent again, and all are there", ...real)
    ]
  },
  {
    title: "A connection is reset under COMMIT",
    injected: "resets before and after the server has the COMMIT; a COMMIT that is never answered",
    held: "`CommitOutcomeUnknown`, never a claim; on PostgreSQL `resolve` tells what became of each of 200",
    proofs: [
      proof(
        "transaction/postgres",
        "transactions on postgres whose COMMIT was not answered are never said to be undone, and resolve to what became of them",
        "PostgreSQL"
      ),
      proof(
        "transaction/mariadb",
        "transactions on mariadb whose COMMIT was not answered are never said to be undone, nor resolved",
        "MariaDB"
      ),
      proof(
        "transaction/postgres",
        "transactions on postgres whose COMMIT takes too long end, with an outcome that nobody knows",
        "PostgreSQL"
      )
    ]
  },
  {
    title: "A session is killed while it is idle",
    injected: "the server ends a session of the pool, also while the pool asks it for a sign of life",
    held: "the next statement, transaction or stream runs on another, and nobody notices; a write is made once",
    proofs: [
      proof("pool/loss", "an idle session that {on} has ended is not seen by *", ...real),
      proof(
        "pool/loss",
        "an idle session that {on} has ended while the pool asks it for a sign of life is replaced, and its borrower served",
        ...real
      ),
      proof(
        "transaction/postgres",
        "transactions on postgres never show that an idle connection was killed",
        "PostgreSQL"
      ),
      proof("transaction/mariadb", "transactions on mariadb never show that an idle connection was killed", "MariaDB"),
      proof(
        "pool/loss",
        "a write whose session PostgreSQL ends before it has read the write, is made once, on another",
        "PostgreSQL"
      )
    ]
  },
  {
    title: "A session is killed inside a transaction",
    injected: "the server ends the session between two statements",
    held: "the transaction fails with the server's own error, even where the body swallows it; nothing is written; "
      + "the place in the pool is free again",
    proofs: [
      connections(
        "a transaction whose session is killed says so with the server's own error, and its place is free"
      ),
      proof(
        "transaction/postgres",
        "transactions on postgres fail, and write nothing, when their connection is killed although nobody looked",
        "PostgreSQL"
      ),
      proof(
        "transaction/mariadb",
        "transactions on mariadb fail, and write nothing, when their connection is killed although nobody looked",
        "MariaDB"
      )
    ]
  },
  {
    title: "An error is swallowed before COMMIT",
    injected: "a statement fails, the body goes on, and the server answers COMMIT with ROLLBACK",
    held: "`TransactionRolledBack`, not success",
    proofs: [
      proof("transaction/postgres", "transactions on postgres fail when an error in them was swallowed", "PostgreSQL"),
      proof(
        "transaction/mariadb",
        "transactions on mariadb fail when a deadlock ended them and was swallowed",
        "MariaDB"
      ),
      proof(
        "transaction/sqlite",
        "transactions on sqlite fail when an error that SQLite ended them for was swallowed",
        "SQLite"
      )
    ]
  },
  {
    title: "A deferred constraint fails at COMMIT",
    injected: "two rows that a deferred constraint allows only until COMMIT",
    held: "the server's error (PostgreSQL: 23505), typed; nothing is written",
    proofs: [
      proof(
        "transaction/postgres",
        "transactions on postgres fail with the deferred constraint that COMMIT finds violated",
        "PostgreSQL"
      ),
      proof(
        "transaction/sqlite",
        "transactions on sqlite fail with the deferred constraint that COMMIT finds violated, and leave none open",
        "SQLite"
      )
    ]
  },
  {
    title: "Interruption of who waits for a connection",
    injected: "1,000 statements, transactions, streams and reservations are interrupted while they wait in line",
    held: "each leaves at once (the median within 50 ms); no place is lost",
    proofs: [
      connections(
        "1,000 that are interrupted while they wait for a connection leave at once, and take no place along"
      ),
      proof(
        "transaction/{on}",
        "transactions on {on} can be interrupted while they wait for a connection, and lose none",
        ...real
      )
    ]
  },
  {
    title: "Interruption while connecting",
    injected: "interruptions while a connection is being opened to a server that does not answer",
    held: "the borrower leaves at once (the median within 50 ms); the socket is closed, or kept for the next",
    proofs: [
      connections("a connect that nobody answers ends at connectTimeout, and its borrower sooner if interrupted"),
      proof("pg/connection", "interruption of a connect ends the socket", "PostgreSQL"),
      proof("mysql/connection", "connecting can be interrupted, and leaves no socket behind", "MariaDB"),
      simulated("internal/pool", "Pool keeps what was being opened for a borrower that left")
    ]
  },
  {
    title: "Interruption of running statements",
    injected: "500 statements (10,000 in a long run) are interrupted at random moments, in a pool of one",
    held: "the next statement runs within a second; no cancellation hits anybody else's statement",
    proofs: [
      proof(
        "pool/interruption",
        "interrupted on {on} * statements leave a pool of one in order, and cancel nobody else's",
        ...real
      ),
      proof("pool/interruption", "1,000 interrupted on {on} leave no connection behind: *", ...real),
      proof("pg/connection", "interruption of 200 statements never hits another connection's statement", "PostgreSQL"),
      proof("mysql/connection", "interrupting never harms another connection, however late the kill arrives", "MariaDB")
    ]
  },
  {
    title: "Interruption inside a transaction",
    injected: "interruptions during and between its statements",
    held: "the server has rolled it back, and shows no session idle in a transaction",
    proofs: [
      proof(
        "transaction/{on}",
        "transactions on {on} are undone when they are interrupted during a statement, which ends",
        ...real
      ),
      proof(
        "transaction/{on}",
        "transactions on {on} are undone when they are interrupted between statements",
        ...real,
        "SQLite"
      ),
      proof("pool/interruption", "1,000 interrupted on {on} leave no connection behind: transactions", ...real)
    ]
  },
  {
    title: "A statement runs out of time",
    injected: "deadlines and timeouts under statements that run, wait, or are never answered",
    held: "the statement ends at the server; a connection that did not answer is never used again",
    proofs: [
      proof(
        "deadline/servers",
        "a deadline on {on} cancels the statement on the server, and the pool goes on",
        ...real
      ),
      connections("a statement that nobody answers ends at its deadline, and its connection with it"),
      proof(
        "pg/connection",
        "interruption of a server that does not answer destroys the connection after a second",
        "PostgreSQL"
      ),
      proof(
        "mysql/connection",
        "interrupting gives up on the kill after two seconds where the server does not answer",
        "MariaDB"
      )
    ]
  },
  {
    title: "The primary restarts",
    injected: "fast, immediate and killed; one backend killed, after which the server recovers; under load",
    held: "only what was on its way fails; reads on replicas go on; at most two connects at once per pool; "
      + "with `awaitPrimary` writes wait",
    proofs: [
      proof(
        "pool/restart",
        "a restart of {on} is followed by at most two connects at once, and a pool as full as before",
        ...real
      ),
      proof(
        "pool/restart",
        "a restart of {on} with 32 fibers at work fails some of their statements, and none once it is back",
        ...real
      ),
      replicas("a backend of the primary that is killed fails what is on its way, once; writes wait, and reads go on"),
      replicas("with the primary stopped reads go on, and writes fail typed, at once"),
      replicas("with `awaitPrimary` writes wait for the primary, and each runs once")
    ]
  },
  {
    title: "Failover",
    injected: "a standby is promoted; a primary is set to read-only and its replica takes the writes, and back",
    held: "writes follow without a restart, each once; the old primary is not written to when it comes back",
    proofs: [
      proof(
        "faults/failover",
        "PostgreSQL: writes follow a promotion; the old primary is not written to when it comes back, and reads when it is a standby",
        "PostgreSQL"
      ),
      proof(
        "faults/failover",
        "MariaDB: writes that a primary refuses as read-only go to the one that takes its place, each once",
        "MariaDB"
      ),
      proof(
        "faults/failover",
        "MariaDB: transactions that a primary refuses as read-only are followed at the first refusal, not at the next probe",
        "MariaDB"
      )
    ]
  },
  {
    title: "Two servers take writes",
    injected: "a standby is promoted beside the primary",
    held: "writes fail with `SplitBrain` until one steps down; reads go on",
    proofs: [
      proof(
        "faults/failover",
        "PostgreSQL: writes follow a promotion; the old primary is not written to when it comes back, and reads when it is a standby",
        "PostgreSQL"
      ),
      simulated(
        "health/failover",
        "two that take writes are not chosen between: writes fail with SplitBrain, and reads go on"
      )
    ]
  },
  {
    title: "A failover loses writes",
    injected: "a standby is promoted that had not received an acknowledged write; then its token is shown",
    held: "no replica passes for having it; its reads go to the primary, and `LostWriteSuspected` is told",
    proofs: [
      proof(
        "consistency/failoverLostWrites",
        "PostgreSQL: no standby claims a write that the promoted one had not received",
        "PostgreSQL"
      ),
      proof(
        "consistency/failoverLostWrites",
        "PostgreSQL: nor does one that names the timeline of before, for it may not tell its own",
        "PostgreSQL"
      ),
      proof(
        "consistency/failoverLostWrites",
        "MariaDB: no replica claims a write that the promoted one had not received",
        "MariaDB"
      )
    ]
  },
  {
    title: "Replication stands still",
    injected: "`pg_wal_replay_pause`, `STOP SLAVE SQL_THREAD`, on and off, under 20,000 operations",
    held: "no session misses what it wrote or saw; it waits within `waitBudget`, then reads from the primary; "
      + "replicas behind `maxLag` leave service, and come back below half of it",
    proofs: [
      proof(
        "consistency/checker",
        "sessions on {on}, while replication stops and goes on see what they wrote, and nothing that they saw is gone",
        ...real
      ),
      proof("consistency/stickiness", "{on} a replica that lags by more than maxLag takes no reads", ...real),
      simulated(
        "consistency/routing",
        "a read after a write waits for a replica no longer than the budget, then goes to the primary"
      ),
      simulated("ReplicationLag", "a replica's standing is regained below half of the limit")
    ]
  },
  {
    title: "Silence",
    injected: "the receiver of a standby is cut off while nothing happens; nothing happens for long",
    held: "first: its lag is unknown, not zero; second: nobody is taken for lagging",
    proofs: [
      proof(
        "ReplicationLag.servers",
        "lag of PostgreSQL is unknown, not zero, where the replica was cut off and nothing happens",
        "PostgreSQL"
      ),
      proof("ReplicationLag.servers", "lag of PostgreSQL is zero while nothing happens, and after", "PostgreSQL"),
      proof(
        "ReplicationLag.servers",
        "lag of MariaDB grows while the * is stopped, which alone is no zero, and ends with it",
        "MariaDB"
      ),
      simulated("ReplicationLag", "the lag monitor sees no lag on an idle system, however long it is")
    ]
  },
  {
    title: "Recovery conflicts",
    injected: "a standby ends read after read, for its replay needs what they see (40001)",
    held: "each read succeeds elsewhere; the breaker stays closed, and the standby in service",
    proofs: [
      replicas("a standby that gives up reads for its replay all the time stays in service, and fails none of them"),
      replicas("a read that a standby gives up for its replay goes elsewhere, and costs the standby nothing")
    ]
  },
  {
    title: "Too many connections",
    injected: "a replica that takes no more (53300, 1226); a pool of ours that is exhausted",
    held: "the first is left alone for 5 s at most; the second costs the replica nothing, and no read",
    proofs: [
      replicas("a replica that takes no more connections is left alone for 5 seconds at most"),
      proof(
        "faults/connections",
        "mariadb: a replica that takes no more connections of ours is left alone for 5 seconds at most",
        "MariaDB"
      ),
      connections("a pool of ours that is exhausted costs its replica nothing, and no read")
    ]
  },
  {
    title: "A replica fails fast, or is ten times slower",
    injected: "who connects is reset; who asks is reset; answers take ten times as long",
    held: "no read fails; after a second the replica gets less than 5 % of the reads, and slows nobody down; "
      + "one trial at a time brings it back, among 1,000 reads, and slow start raises its share with time",
    proofs: [
      network("a replica that fails fast fails no read, and gets next to none, when it resets who connects"),
      network(
        "a replica that fails fast fails no read, and gets less than 5 % after a second, when it resets who asks"
      ),
      network("a replica that is ten times slower costs reads nothing after a second"),
      simulated(
        "health/replicas",
        "the breaker of a replica sends one trial at a time, whatever a thousand reads do meanwhile"
      ),
      simulated("ReplicaStrategy", "withSlowStart raises the weight of a new replica with time")
    ]
  },
  {
    title: "Time, and endpoints that come and go",
    injected: "the clock jumps an hour forward and back; connections of one age; a replica is drained and released "
      + "100 times a second; 100 databases come and go",
    held: "cooldowns, stickiness and idle times are as long as ever; connections do not expire together (5 % apart); "
      + "no read fails, what runs ends, and no connection is left behind",
    proofs: [
      simulated("faults/clocks", "a clock that jumps an hour * neither ends a cooldown nor prolongs it"),
      simulated(
        "faults/clocks",
        "a clock that jumps an hour * lets no read miss its own write, nor hold the primary for longer than the ttl"
      ),
      simulated(
        "faults/clocks",
        "a clock that jumps an hour * ends no connection that is not old or idle for long, and those that are"
      ),
      simulated("internal/pool", "Pool closes connections at the end of their lifetime, each at its own"),
      simulated(
        "faults/clocks",
        "a replica that is taken out and back 100 times a second fails no read, and leaves no connection behind"
      ),
      simulated(
        "faults/clocks",
        "databases that come and go 100 times leave nothing behind, and let what runs on them end"
      )
    ]
  }
]

export const more: ReadonlyArray<FaultCase> = [
  {
    title: "The Layer ends under statements",
    injected: "statements of daemon fibers still run, or begin, when the Scope of the router closes",
    held: "they end at `shutdownTimeout`, with a typed error; no connection is left",
    proofs: [
      simulated(
        "internal/run",
        "ending a router gives all its endpoints one deadline together, and takes no statement meanwhile"
      ),
      simulated("testing/InMemoryDriver", "a cluster in memory fails what still runs when its router has ended")
    ]
  },
  {
    title: "Who reads a stream stops early",
    injected: "streams are left after a few rows, interrupted, and failed by their consumers",
    held: "the server stops, the cursor is closed, and the connection is of use again or gone",
    proofs: [
      proof("pool/interruption", "1,000 interrupted on {on} leave no connection behind: streams", ...real),
      proof("pg/connection", "streams that end early leave the connection as it was", "PostgreSQL"),
      proof(
        "mysql/connection",
        "streams that end early stop the server and end the connection where much is left",
        "MariaDB"
      )
    ]
  },
  {
    title: "Everything fails",
    injected: "2,000 reads that all servers fail",
    held: "the servers are sent 1.2 times as many at most: the retry budget",
    proofs: [
      network("when everything fails servers are sent at most 1.2 times what they are asked, beside the reserve")
    ]
  },
  {
    title: "A write is taken for a read",
    injected: "a classifier that takes everything for a read",
    held: "the replica refuses (25006, 1792), the primary makes the write once, and an event tells",
    proofs: [
      replicas("a write that was taken for a read is refused by the standby, made once by the primary, and told of"),
      proof(
        "mysql/RoutedMysqlClient",
        "*has a write that was taken for a read refused by the replica, and run by the primary",
        "MariaDB"
      ),
      proof(
        "sqlite/client",
        "*a write that was taken for a read is refused by the replica, and runs on the primary",
        "SQLite"
      )
    ]
  },
  {
    title: "Superusers on replicas",
    injected: "a write of root, whom `read_only` does not bind, on a connection to a replica",
    held: "the server refuses it: the session itself is read-only",
    proofs: [
      proof(
        "mysql/connection",
        "connecting refuses writes of a read-only connection at the server, even root's",
        "MariaDB"
      ),
      proof("pg/connection", "a connection opened readOnly refuses writes at the server", "PostgreSQL")
    ]
  },
  {
    title: "A table that a replica does not have yet",
    injected: "CREATE TABLE while replication stands still, then a read at level `eventual` (42P01, 1146)",
    held: "the primary answers the read; the replica is not blamed",
    proofs: [
      proof(
        "faults/lagging",
        "{on}: a table that a replica does not have yet is read where it is, without blame",
        ...real
      )
    ]
  },
  {
    title: "DNS changes",
    injected: "the name of an endpoint leads to another address, and back",
    held: "what is connected stays; the next connection follows, without a restart",
    proofs: [
      connections("a name that leads elsewhere is followed by the next connection, and back again, without a restart")
    ]
  },
  {
    title: "TLS fails",
    injected: "a replica that does not speak TLS where it must; a certificate that nobody has signed",
    held: "the replica gets no reads, and an event tells why; the connection is refused",
    proofs: [
      replicas("a replica that cannot speak TLS, where it must, gets no reads, and is told of"),
      proof(
        "pg/connection",
        "a connection over TLS opens and cancels, with the server's certificate checked both times",
        "PostgreSQL"
      )
    ]
  },
  {
    title: "A wrong password",
    injected: "on one replica; on all servers",
    held: "one: reads go elsewhere, and it is tried again after 30 s; all: told at once, to reads and writes",
    proofs: [
      replicas("a password that one replica does not accept is its own affair, and tried again after 30 seconds"),
      replicas("a password that no server accepts is told at once, to reads and writes")
    ]
  }
]
