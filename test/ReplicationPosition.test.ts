import { assert, describe, it } from "@effect/vitest"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import * as arbitrary from "./consistency/arbitraries.js"

const { clamp, distance, equals, format, merge, reached } = ReplicationPosition
const system = "7312345678901234567"
const pg = (lsn: string, timeline = 1) => Either.getOrThrow(ReplicationPosition.pgLsn(`${system}/${timeline}`, lsn))
const maria = (text: string) => Either.getOrThrow(ReplicationPosition.mariaGtid(text))
const mysql = (text: string) => Either.getOrThrow(ReplicationPosition.mysqlGtid(text))
const a = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
const b = "0be5c4f2-0000-11e1-9e33-000000000001"

/** The position that its own text gives. */
const readAgain = (position: ReplicationPosition.ReplicationPosition): ReplicationPosition.ReplicationPosition => {
  switch (position._tag) {
    case "PgLsn":
      return Either.getOrThrow(ReplicationPosition.pgLsn(position.epoch, format(position)))
    case "MariaGtid":
      return maria(format(position))
    case "MysqlGtid":
      return mysql(format(position))
  }
}

describe("reading a position", () => {
  it("takes a PostgreSQL position by its two halves", () => {
    assert.strictEqual(pg("16/B374D848").lsn, 0x16_B374D848n)
    assert.strictEqual(pg("0/0").lsn, 0n)
    assert.strictEqual(pg("FFFFFFFF/FFFFFFFF").lsn, 0xffff_ffff_ffff_ffffn)
  })

  it("writes a PostgreSQL position as the server does", () => {
    assert.strictEqual(format(pg("16/b374d848")), "16/B374D848")
    assert.strictEqual(format(pg("0/0000000F")), "0/F")
  })

  it("gives an epoch one spelling", () => {
    assert.strictEqual(Either.getOrThrow(ReplicationPosition.pgLsn("007/01", "0/1")).epoch, "7/1")
  })

  it("keeps the last sequence of each MariaDB domain", () => {
    assert.strictEqual(format(maria("1-2-7, 0-1-42,0-3-41")), "0-1-42,1-2-7")
  })

  it("joins MySQL intervals that touch or overlap, over line breaks and in any order", () => {
    assert.strictEqual(format(mysql(`${a.toUpperCase()}:4-6:1-3:8,\n${b}:2`)), `${b}:2,${a}:1-6:8`)
  })

  it("keeps MySQL's tagged transactions apart", () => {
    assert.strictEqual(format(mysql(`${a}:1-5:backup:1-3`)), `${a}:1-5,${a}:backup:1-3`)
  })

  it("takes the empty text for the position before any transaction", () => {
    assert.strictEqual(maria("").domains.size, 0)
    assert.strictEqual(mysql(" ").sets.size, 0)
  })

  it("says of any text of a server that it is what it writes itself", () => {
    fc.assert(fc.property(arbitrary.position, (position) => {
      assert.isTrue(equals(readAgain(position), position))
    }))
  })

  const malformed: ReadonlyArray<readonly [what: string, read: Either.Either<unknown, Error>, message: string]> = [
    ["no slash", ReplicationPosition.pgLsn("1/1", "16B374D848"), "\"16B374D848\" is not a PostgreSQL log position"],
    ["nine digits", ReplicationPosition.pgLsn("1/1", "0/123456789"), "is not a PostgreSQL log position"],
    ["a statement", ReplicationPosition.pgLsn("1/1", "0/1'; DROP TABLE users"), "is not a PostgreSQL log position"],
    ["no timeline", ReplicationPosition.pgLsn("7312345678901234567", "0/1"), "is not a PostgreSQL epoch"],
    [
      "a system beyond 64 bits",
      ReplicationPosition.pgLsn("99999999999999999999/1", "0/1"),
      "is not a PostgreSQL epoch"
    ],
    ["two parts", ReplicationPosition.mariaGtid("0-1"), "\"0-1\" is not a MariaDB GTID list"],
    ["a domain beyond 32 bits", ReplicationPosition.mariaGtid("4294967296-1-1"), "is not a MariaDB GTID list"],
    ["an empty item", ReplicationPosition.mariaGtid("0-1-1,,"), "is not a MariaDB GTID list"],
    ["no interval", ReplicationPosition.mysqlGtid(a), "is not a MySQL GTID set"],
    ["a tag alone", ReplicationPosition.mysqlGtid(`${a}:backup`), "is not a MySQL GTID set"],
    ["an interval backwards", ReplicationPosition.mysqlGtid(`${a}:5-1`), "is not a MySQL GTID set"],
    ["transaction 0", ReplicationPosition.mysqlGtid(`${a}:0`), "is not a MySQL GTID set"],
    ["no UUID", ReplicationPosition.mysqlGtid("abc:1"), "\"abc:1\" is not a MySQL GTID set"]
  ]
  for (const [what, read, message] of malformed) {
    it(`refuses ${what}`, () => {
      assert.isTrue(Either.isLeft(read))
      assert.include(Either.isLeft(read) ? read.left.message : "", message)
    })
  }

  it("shows only the beginning of a long malformed text", () => {
    const read = ReplicationPosition.mariaGtid("x".repeat(5000))
    assert.isBelow(Either.isLeft(read) ? read.left.message.length : Infinity, 200)
  })

  it("never throws, whatever the text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      ReplicationPosition.pgLsn(text, text)
      ReplicationPosition.mariaGtid(text)
      ReplicationPosition.mysqlGtid(text)
    }))
  })
})

describe("reached", () => {
  it("compares PostgreSQL positions of one epoch as numbers, not as text", () => {
    assert.strictEqual(reached(pg("10/0"), pg("9/FFFFFFFF")), "reached")
    assert.strictEqual(reached(pg("9/FFFFFFFF"), pg("10/0")), "behind")
    assert.strictEqual(reached(pg("10/0"), pg("10/0")), "reached")
  })

  it("claims nothing for PostgreSQL in another epoch, however high the number", () => {
    assert.strictEqual(reached(pg("FF/0", 2), pg("1/0", 1)), "otherHistory")
    assert.strictEqual(reached(pg("FF/0", 1), pg("1/0", 2)), "otherHistory")
  })

  it("wants every domain of MariaDB, and no other", () => {
    assert.strictEqual(reached(maria("0-1-42,1-2-7"), maria("0-1-42")), "reached")
    assert.strictEqual(reached(maria("0-1-42"), maria("0-1-42,1-2-7")), "behind")
  })

  it("claims nothing for MariaDB where another server wrote on, however high the sequence", () => {
    assert.strictEqual(reached(maria("0-2-43"), maria("0-1-42")), "otherHistory")
    assert.strictEqual(reached(maria("0-2-42"), maria("0-1-42")), "otherHistory")
    assert.strictEqual(reached(maria("1-1-1,0-2-43"), maria("1-1-2,0-1-42")), "otherHistory")
    assert.strictEqual(reached(maria("0-1-42"), maria("0-2-43")), "behind")
  })

  it("wants every transaction of MySQL: a hole is not reached", () => {
    assert.strictEqual(reached(mysql(`${a}:1-10`), mysql(`${a}:3-4:9`)), "reached")
    assert.strictEqual(reached(mysql(`${a}:1-3:5-10`), mysql(`${a}:3-5`)), "behind")
    assert.strictEqual(reached(mysql(`${b}:1-10`), mysql(`${a}:1`)), "behind")
  })

  it("claims nothing across servers of different kinds", () => {
    assert.strictEqual(reached(pg("1/0"), maria("0-1-1")), "otherHistory")
    assert.strictEqual(reached(maria("0-1-1"), mysql(`${a}:1`)), "otherHistory")
    assert.strictEqual(reached(mysql(`${a}:1`), pg("1/0")), "otherHistory")
  })

  it("holds for a position and itself", () => {
    fc.assert(fc.property(arbitrary.position, (position) => {
      assert.strictEqual(reached(position, position), "reached")
    }))
  })
})

describe("merge", () => {
  it("is commutative, associative and idempotent, whatever is merged", () => {
    fc.assert(
      fc.property(arbitrary.position, arbitrary.position, arbitrary.position, (x, y, z) => {
        assert.isTrue(equals(merge(x, y), merge(y, x)))
        assert.isTrue(equals(merge(merge(x, y), z), merge(x, merge(y, z))))
        assert.isTrue(equals(merge(x, x), x))
      }),
      { numRuns: 1000 }
    )
  })

  it("is reached only by who has reached both, within a history", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.tuple(arbitrary.pgLsn, arbitrary.pgLsn, arbitrary.pgLsn),
          fc.tuple(arbitrary.mysqlGtid, arbitrary.mysqlGtid, arbitrary.mysqlGtid)
        ),
        ([replica, x, y]) => {
          fc.pre(x._tag !== "PgLsn" || y._tag !== "PgLsn" || x.epoch === y.epoch)
          const both = reached(replica, x) === "reached" && reached(replica, y) === "reached"
          assert.strictEqual(reached(replica, merge(x, y)) === "reached", both)
        }
      ),
      { numRuns: 1000 }
    )
  })

  it("is behind none of its parts", () => {
    fc.assert(
      fc.property(arbitrary.position, arbitrary.position, (x, y) => {
        assert.notStrictEqual(reached(merge(x, y), x), "behind")
      }),
      { numRuns: 1000 }
    )
  })

  it("takes the later timeline of a system with the higher number", () => {
    assert.deepStrictEqual(merge(pg("5/0", 1), pg("4/0", 2)), pg("5/0", 2))
    assert.deepStrictEqual(merge(pg("5/0", 9), pg("6/0", 10)), pg("6/0", 10))
  })

  it("takes the younger of two PostgreSQL systems", () => {
    const young = Either.getOrThrow(ReplicationPosition.pgLsn("7400000000000000000/1", "0/1"))
    assert.deepStrictEqual(merge(pg("FF/0"), young), young)
  })
})

describe("clamp", () => {
  it("takes a position back to the limit", () => {
    assert.deepStrictEqual(clamp(pg("9/0"), pg("5/0")), pg("5/0"))
    assert.deepStrictEqual(clamp(pg("4/0"), pg("5/0")), pg("4/0"))
    assert.deepStrictEqual(clamp(maria("0-1-9,1-1-4,2-1-1"), maria("0-1-5,1-1-5")), maria("0-1-5,1-1-4"))
    assert.deepStrictEqual(clamp(mysql(`${a}:3-12,${b}:1`), mysql(`${a}:1-5:8-10`)), mysql(`${a}:3-5:8-10`))
  })

  it("gives what the limit has reached", () => {
    fc.assert(fc.property(arbitrary.position, arbitrary.position, (position, limit) => {
      const clamped = clamp(position, limit)
      fc.pre(clamped !== undefined)
      assert.strictEqual(reached(limit, clamped!), "reached")
    }))
  })

  it("has no answer for another history", () => {
    assert.isUndefined(clamp(pg("9/0", 1), pg("9/0", 2)))
    assert.isUndefined(clamp(pg("9/0"), maria("0-1-1")))
  })
})

describe("distance", () => {
  it("counts bytes of log within an epoch", () => {
    assert.strictEqual(distance(pg("0/100"), pg("0/1B8")), 0xb8n)
    assert.strictEqual(distance(pg("1/0"), pg("0/1")), 0n)
  })

  it("is unknown for another epoch, and for GTIDs", () => {
    assert.isUndefined(distance(pg("0/1", 1), pg("0/2", 2)))
    assert.isUndefined(distance(maria("0-1-1"), maria("0-1-2")))
  })
})
