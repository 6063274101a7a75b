import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Either from "effect/Either"
import * as fc from "fast-check"

/** Few values, so that they meet often. */
export const pgLsn: fc.Arbitrary<ReplicationPosition.PgLsn> = fc.record({
  _tag: fc.constant("PgLsn" as const),
  epoch: fc.constantFrom("7312345678901234567/1", "7312345678901234567/2", "7312345678901234567/10", "9999/1"),
  lsn: fc.oneof(fc.bigInt(0n, 4n), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn))
})

export const mariaGtid: fc.Arbitrary<ReplicationPosition.MariaGtid> = fc
  .uniqueArray(
    fc.tuple(
      fc.nat(3),
      fc.record({ server: fc.nat(3), sequence: fc.oneof(fc.bigInt(0n, 3n), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)) })
    ),
    { selector: ([domain]) => domain, maxLength: 3 }
  )
  .map((domains) => ({ _tag: "MariaGtid", domains: new Map(domains) }))

const uuids = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "0be5c4f2-0000-11e1-9e33-000000000001"]

export const mysqlGtid: fc.Arbitrary<ReplicationPosition.MysqlGtid> = fc
  .array(
    fc.tuple(
      fc.constantFrom(...uuids, `${uuids[0]}:backup`),
      fc.bigInt(1n, 20n),
      fc.bigInt(0n, 5n)
    ),
    { maxLength: 5 }
  )
  .map((ranges) =>
    Either.getOrThrow(
      ReplicationPosition.mysqlGtid(
        ranges.map(([source, first, more]) => `${source}:${first}-${first + more}`).join(",")
      )
    )
  )

export const position: fc.Arbitrary<ReplicationPosition.ReplicationPosition> = fc.oneof(pgLsn, mariaGtid, mysqlGtid)

export const seconds = (max: number): fc.Arbitrary<number> => fc.nat(max).map((_) => _ * 1000)

const oneWrite = fc.record({
  database: fc.constantFrom("main", "audit", "Zürich"),
  position: fc.option(position, { nil: undefined }),
  until: fc.oneof(fc.constant(0), seconds(100)),
  tables: fc.option(fc.uniqueArray(fc.constantFrom("users", "orders", "items"), { maxLength: 3 }), { nil: undefined }),
  at: seconds(100)
})

export const token: fc.Arbitrary<ConsistencyToken.ConsistencyToken> = fc
  .array(oneWrite, { maxLength: 4 })
  .map((writes) =>
    writes.reduce(
      (token, { database, ...mark }) => ConsistencyToken.merge(token, ConsistencyToken.make(database, mark)),
      ConsistencyToken.empty
    )
  )

/** Nothing said of single tables. */
export const tokenOfDatabases: fc.Arbitrary<ConsistencyToken.ConsistencyToken> = fc
  .uniqueArray(oneWrite, { selector: ({ database }) => database, maxLength: 3 })
  .map((writes) =>
    writes.reduce(
      (token, { database, ...mark }) =>
        ConsistencyToken.merge(token, ConsistencyToken.make(database, { ...mark, tables: undefined })),
      ConsistencyToken.empty
    )
  )
