import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import { boundOf } from "../src/internal/consistency/marks.js"
import * as arbitrary from "./consistency/arbitraries.js"

const { empty, equals, make, merge, prune } = ConsistencyToken
const system = "7312345678901234567"
const pg = (lsn: string, timeline = 1) => Either.getOrThrow(ReplicationPosition.pgLsn(`${system}/${timeline}`, lsn))
const maria = (text: string) => Either.getOrThrow(ReplicationPosition.mariaGtid(text))
const boundOfRead = (token: ConsistencyToken.ConsistencyToken, ...tables: ReadonlyArray<string>) =>
  boundOf(token.marks.get("main")!, tables)

describe("merge", () => {
  it("is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(arbitrary.token, arbitrary.token, arbitrary.token, (x, y, z) => {
        assert.isTrue(equals(merge(x, y), merge(y, x)))
        assert.isTrue(equals(merge(merge(x, y), z), merge(x, merge(y, z))))
        assert.isTrue(equals(merge(x, x), x))
        assert.isTrue(equals(merge(x, empty), x))
      }),
      { numRuns: 1000 }
    )
  })

  it("gives the first itself where the second adds nothing", () => {
    fc.assert(fc.property(arbitrary.token, arbitrary.token, (x, y) => {
      const both = merge(x, y)
      assert.strictEqual(merge(both, y), both)
      assert.strictEqual(merge(both, x), both)
    }))
  })

  it("keeps what each table asks for", () => {
    const token = merge(
      make("main", { position: pg("1/0"), tables: ["users"], at: 0 }),
      make("main", { position: pg("2/0"), tables: ["orders"], at: 5 })
    )
    assert.deepStrictEqual(boundOfRead(token, "users").position, pg("1/0"))
    assert.deepStrictEqual(boundOfRead(token, "orders").position, pg("2/0"))
    assert.deepStrictEqual(boundOfRead(token, "users", "orders").position, pg("2/0"))
    assert.isUndefined(boundOfRead(token, "items").position)
    assert.strictEqual(token.marks.get("main")!.at, 5)
  })

  it("lets what all tables ask for take in what one of them does", () => {
    const token = merge(
      make("main", { position: pg("1/0"), tables: ["users"], at: 0 }),
      make("main", { position: pg("2/0"), at: 0 })
    )
    assert.isTrue(equals(token, make("main", { position: pg("2/0"), at: 0 })))
  })
})

describe("prune", () => {
  const token = merge(
    make("main", { position: pg("1/0"), at: 1000 }),
    make("audit", { until: 5000, at: 1000 })
  )

  it("lets go of a position at the mark's age, not before", () => {
    assert.isTrue(prune(token, 60_999, 60_000).marks.has("main"))
    assert.isFalse(prune(token, 61_000, 60_000).marks.has("main"))
  })

  it("lets go of a time window when it is over, not before", () => {
    assert.isTrue(prune(token, 4999, 60_000).marks.has("audit"))
    assert.isFalse(prune(token, 5000, 60_000).marks.has("audit"))
  })

  it("keeps a window that is longer than the mark's age", () => {
    assert.isTrue(prune(make("main", { until: 100_000, at: 0 }), 99_999, 60_000).marks.has("main"))
  })

  it("is the token itself while nothing ends, and the empty one at last", () => {
    assert.strictEqual(prune(token, 2000, 60_000), token)
    assert.strictEqual(prune(token, 100_000, 60_000), empty)
  })
})

describe("settle", () => {
  const wrote = make("main", { position: pg("5/0", 1), at: 0 })
  const settle = (token: ConsistencyToken.ConsistencyToken, primary: ConsistencyToken.PrimaryHistory) => {
    const settled = ConsistencyToken.settle(token, "main", primary)
    return { position: settled.token.marks.get("main")?.all.position, lost: settled.lost.map(({ reason }) => reason) }
  }

  it("leaves a position that the primary has", () => {
    const { lost, token } = ConsistencyToken.settle(wrote, "main", { position: pg("5/1", 1) })
    assert.strictEqual(token, wrote)
    assert.deepStrictEqual(lost, [])
  })

  it("carries a write over to the timeline that left after it", () => {
    assert.deepStrictEqual(
      settle(wrote, { position: pg("7/0", 2), left: new Map([[1, 0x5_0000_0000n]]) }),
      { position: pg("5/0", 2), lost: [] }
    )
  })

  it("suspects a write to be lost that the new timeline left before, and asks for all that is left", () => {
    const primary = { position: pg("7/0", 2), left: new Map([[1, 0x4_FFFF_FFFFn]]) }
    assert.deepStrictEqual(settle(wrote, primary).position, pg("7/0", 2))
    assert.deepStrictEqual(ConsistencyToken.settle(wrote, "main", primary).lost, [{
      _tag: "LostWriteSuspected",
      database: "main",
      reason: "timelineLeft",
      position: pg("5/0", 1),
      primary: pg("7/0", 2)
    }])
  })

  it("goes by where the write's own timeline was left, two failovers later, too", () => {
    const left = new Map([[1, 0x4_0000_0000n], [2, 0x6_0000_0000n]])
    assert.deepStrictEqual(settle(wrote, { position: pg("7/0", 3), left }).lost, ["timelineLeft"])
  })

  it("suspects a write to be lost where it is not known when the timeline was left", () => {
    assert.deepStrictEqual(settle(wrote, { position: pg("7/0", 2) }), {
      position: pg("7/0", 2),
      lost: ["timelineLeft"]
    })
  })

  it("keeps a write on a timeline that this primary does not know yet", () => {
    const later = make("main", { position: pg("5/0", 2), at: 0 })
    assert.deepStrictEqual(settle(later, { position: pg("9/0", 1) }), { position: pg("5/0", 2), lost: [] })
  })

  it("takes a position from the future back to the primary's", () => {
    assert.deepStrictEqual(
      settle(wrote, { position: pg("4/0", 1) }),
      { position: pg("4/0", 1), lost: ["aheadOfPrimary"] }
    )
  })

  it("tells where a server of MariaDB wrote what another had written", () => {
    const token = make("main", { position: maria("0-1-42"), at: 0 })
    assert.deepStrictEqual(settle(token, { position: maria("0-2-42") }), {
      position: maria("0-2-42"),
      lost: ["diverged"]
    })
  })

  it("goes by what each server of MariaDB wrote to a domain", () => {
    const token = make("main", { position: maria("0-1-42,1-1-7"), at: 0 })
    const after = (sequence: bigint) => ({
      position: maria("0-2-99,1-1-7"),
      written: new Map([[0, new Map([[1, sequence], [2, 99n]])]])
    })
    assert.deepStrictEqual(settle(token, after(42n)), { position: maria("0-2-42,1-1-7"), lost: [] })
    assert.deepStrictEqual(settle(token, after(41n)), { position: maria("0-2-99,1-1-7"), lost: ["diverged"] })
    assert.deepStrictEqual(settle(token, { position: maria("0-2-99,1-1-7") }).lost, ["diverged"])
  })

  it("asks a Database that was moved to another system for all it has", () => {
    assert.deepStrictEqual(settle(wrote, { position: maria("0-2-42") }), { position: maria("0-2-42"), lost: [] })
  })

  it("says nothing of other Databases", () => {
    assert.strictEqual(ConsistencyToken.settle(wrote, "audit", { position: pg("1/0") }).token, wrote)
  })

  it("leaves no position that the primary does not have, unless it was left itself", () => {
    fc.assert(fc.property(arbitrary.token, arbitrary.position, (token, primary) => {
      const settled = ConsistencyToken.settle(token, "main", { position: primary }).token.marks.get("main")
      for (const { position } of settled === undefined ? [] : [settled.all, ...settled.tables.values()]) {
        if (position === undefined || ReplicationPosition.reached(primary, position) === "reached") continue
        assert.isTrue(
          position._tag === "PgLsn" && primary._tag === "PgLsn" &&
            ReplicationPosition.epochOf(position).timeline > ReplicationPosition.epochOf(primary).timeline
        )
      }
    }))
  })
})
