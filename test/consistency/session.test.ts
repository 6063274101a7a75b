import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Either from "effect/Either"
import { Session } from "../../src/internal/consistency/session.js"

const pg = (lsn: string, timeline = 1) =>
  Either.getOrThrow(ReplicationPosition.pgLsn(`7312345678901234567/${timeline}`, lsn))
const settings = (options: ReadConsistency.ReadConsistencyOptions = {}) =>
  ReadConsistency.settingsOf(ReadConsistency.make(options))
const byPosition = settings()
const byTable = settings({
  granularity: "tables",
  dependencies: { Order_Totals: ["orders"], report: ["order_totals"] }
})
const opened = () => new Session(undefined)
const reading = (...tables: ReadonlyArray<string>) => () => tables
const anything = () => undefined

const demand = (
  session: Session,
  {
    level = ReadConsistency.session,
    now = 0,
    tables = anything as () => Iterable<string> | undefined,
    as = byPosition
  } = {}
) => session.demand("main", tables, level, now, as)

describe("by position", () => {
  it("asks nothing of a replica before the first write", () => {
    assert.deepStrictEqual(demand(opened()), { _tag: "None" })
  })

  it("asks a replica for the position of the write", () => {
    const session = opened()
    session.wrote("main", ["users"], pg("1/0"), 500, byPosition)
    assert.deepStrictEqual(demand(session, { now: 900 }), { _tag: "Position", position: pg("1/0"), since: 500 })
  })

  it("asks for the last of several writes, in whatever order they are told", () => {
    const session = opened()
    session.wrote("main", undefined, pg("2/0"), 0, byPosition)
    session.wrote("main", undefined, pg("1/0"), 0, byPosition)
    assert.deepStrictEqual(demand(session), { _tag: "Position", position: pg("2/0"), since: 0 })
  })

  it("asks nothing of other Databases", () => {
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byPosition)
    assert.deepStrictEqual(
      session.demand("audit", anything, ReadConsistency.session, 0, byPosition),
      { _tag: "None" }
    )
  })

  it("lets go of a position at the age of a mark, not before", () => {
    const session = opened()
    session.wrote("main", undefined, pg("2/0"), 1000, byPosition)
    assert.strictEqual(demand(session, { now: 60_999 })._tag, "Position")
    assert.strictEqual(demand(session, { now: 61_000 })._tag, "None")
    assert.isTrue(session.isIdle)
  })
})

describe("a write whose position is not known", () => {
  it("holds the primary for the time window, not longer", () => {
    const session = opened()
    session.wrote("main", undefined, undefined, 1000, byPosition)
    assert.deepStrictEqual(
      demand(session, { now: 12_999 }),
      { _tag: "Primary", reason: "positionUnknown", until: 13_000, since: 1000 }
    )
    assert.strictEqual(demand(session, { now: 13_000 })._tag, "None")
    assert.isTrue(session.isIdle)
  })

  it("is asked of replicas once the primary has told a position", () => {
    const session = opened()
    session.wrote("main", undefined, undefined, 0, byPosition)
    session.learn("main", pg("3/0"), session.unresolved("main", 0, byPosition)!)
    assert.deepStrictEqual(demand(session), { _tag: "Position", position: pg("3/0"), since: 0 })
    assert.isUndefined(session.unresolved("main", 0, byPosition))
  })

  it("is not taken for known by an answer to a question from before the write", () => {
    const session = opened()
    session.wrote("main", undefined, undefined, 0, byPosition)
    const ticket = session.unresolved("main", 0, byPosition)!
    session.wrote("main", undefined, undefined, 0, byPosition)
    session.learn("main", pg("3/0"), ticket)
    assert.strictEqual(demand(session)._tag, "Primary")
  })

  it("is not taken for known by an answer to a question from before it came from another session", () => {
    const session = opened()
    session.wrote("main", undefined, undefined, 0, byPosition)
    const ticket = session.unresolved("main", 0, byPosition)!
    session.absorb(ConsistencyToken.make("main", { until: 15_000, at: 0 }))
    session.learn("main", pg("3/0"), ticket)
    assert.strictEqual(demand(session)._tag, "Primary")
  })

  it("holds the primary although another position is known", () => {
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byPosition)
    session.wrote("main", undefined, undefined, 0, byPosition)
    assert.strictEqual(demand(session)._tag, "Primary")
    assert.deepStrictEqual(demand(session, { now: 12_000 }), { _tag: "Position", position: pg("1/0"), since: 0 })
  })
})

describe("a session that goes on", () => {
  it("lets go of a later write in its own time, whatever ended when it was last asked", () => {
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byPosition)
    assert.strictEqual(demand(session)._tag, "Position")
    session.forget()
    session.wrote("main", undefined, undefined, 1000, byPosition)
    assert.strictEqual(demand(session, { now: 1000 })._tag, "Primary")
    assert.strictEqual(demand(session, { now: 13_000 })._tag, "None")
    assert.isTrue(session.isIdle)
  })
})

describe("by time", () => {
  it("holds the primary for the ttl after the last write, whatever its position", () => {
    const byTime = settings({ mode: "ttl", ttl: "2 seconds" })
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byTime)
    session.wrote("main", undefined, pg("2/0"), 1000, byTime)
    assert.deepStrictEqual(
      demand(session, { now: 2999, as: byTime }),
      { _tag: "Primary", reason: "window", until: 3000, since: 1000 }
    )
    assert.strictEqual(demand(session, { now: 3000, as: byTime })._tag, "None")
  })

  it("holds the primary until the end of the session", () => {
    const untilEnd = settings({ mode: "untilScopeEnd" })
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, untilEnd)
    assert.strictEqual(demand(session, { now: 1e12, as: untilEnd })._tag, "Primary")
  })

  it("ends by the ttl for a fiber in no session, which has no end", () => {
    const untilEnd = settings({ mode: "untilScopeEnd" })
    const session = new Session(1)
    session.wrote("main", undefined, pg("1/0"), 0, untilEnd)
    assert.strictEqual(demand(session, { now: 11_999, as: untilEnd })._tag, "Primary")
    assert.strictEqual(demand(session, { now: 12_000, as: untilEnd })._tag, "None")
  })
})

describe("by table", () => {
  const wrote = (...tables: ReadonlyArray<string>) => {
    const session = opened()
    session.wrote("main", tables, pg("1/0"), 0, byTable)
    return session
  }
  const tagOf = (session: Session, tables: () => Iterable<string> | undefined) =>
    demand(session, { tables, as: byTable })._tag

  it("lets a read of other tables go to any replica", () => {
    assert.strictEqual(tagOf(wrote("orders"), reading("users", "items")), "None")
    assert.strictEqual(tagOf(wrote("orders"), reading("users", "orders")), "Position")
  })

  it("takes upper case for lower case", () => {
    assert.strictEqual(tagOf(wrote("Orders"), reading("ORDERS")), "Position")
  })

  it("takes a read of unknown tables for one of all", () => {
    assert.strictEqual(tagOf(wrote("orders"), anything), "Position")
  })

  it("takes a write to unknown tables, or none that is known, for one to all", () => {
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byTable)
    assert.strictEqual(tagOf(session, reading("users")), "Position")
    assert.strictEqual(tagOf(wrote(), reading("users")), "Position")
  })

  it("lets a read of no table go to any replica", () => {
    assert.strictEqual(tagOf(wrote("orders"), reading()), "None")
  })

  it("knows what a view shows, also through another view", () => {
    assert.strictEqual(tagOf(wrote("orders"), reading("order_totals")), "Position")
    assert.strictEqual(tagOf(wrote("orders"), reading("report")), "Position")
    assert.strictEqual(tagOf(wrote("users"), reading("report")), "None")
  })

  it("does not tell tables apart unless it is asked to", () => {
    const session = opened()
    session.wrote("main", ["orders"], pg("1/0"), 0, byPosition)
    assert.strictEqual(demand(session, { tables: reading("users") })._tag, "Position")
  })

  it("does not ask for the tables of a read before some are told apart", () => {
    const session = opened()
    session.wrote("main", undefined, pg("1/0"), 0, byTable)
    const ask = () => assert.fail("the statement was read once more for nothing")
    assert.strictEqual(tagOf(session, ask), "Position")
  })

  it("asks all tables for what was read, for reads see a whole replica", () => {
    const session = wrote("orders")
    session.saw("main", pg("0/5"), 0)
    assert.deepStrictEqual(
      demand(session, { tables: reading("users"), as: byTable }),
      { _tag: "Position", position: pg("0/5"), since: 0 }
    )
  })
})

describe("levels", () => {
  const session = opened()
  session.wrote("main", undefined, pg("1/0"), 0, byPosition)

  it("asks nothing at eventual, and for the primary at strict", () => {
    assert.deepStrictEqual(demand(session, { level: ReadConsistency.eventual }), { _tag: "None" })
    assert.deepStrictEqual(
      demand(session, { level: ReadConsistency.strict, now: 7 }),
      { _tag: "Primary", reason: "strict", until: 7, since: 7 }
    )
  })

  it("asks for a lag in milliseconds at bounded staleness", () => {
    assert.deepStrictEqual(
      demand(session, { level: ReadConsistency.boundedStaleness("1.5 seconds") }),
      { _tag: "Staleness", max: 1500 }
    )
  })
})

describe("reads", () => {
  it("ask later reads for no less", () => {
    const session = opened()
    session.saw("main", pg("3/0"), 0)
    session.saw("main", pg("2/0"), 0)
    assert.deepStrictEqual(demand(session), { _tag: "Position", position: pg("3/0"), since: 0 })
  })

  it("are no news to hand on", () => {
    const session = opened()
    session.saw("main", pg("3/0"), 0)
    assert.strictEqual(session.writes, 0)
    session.wrote("main", undefined, pg("3/0"), 0, byPosition)
    assert.strictEqual(session.writes, 1)
  })
})

describe("a failover", () => {
  const primary = { position: pg("7/0", 2), left: new Map([[1, 0x4_0000_0000n]]) }

  it("makes a lost write known, once, holds the primary for a time, and asks for what that has", () => {
    const session = opened()
    session.wrote("main", undefined, pg("5/0", 1), 0, byPosition)
    assert.deepStrictEqual(session.settle("main", primary, 5000).map(({ reason }) => reason), ["timelineLeft"])
    assert.deepStrictEqual(demand(session), { _tag: "Primary", reason: "lostWrite", until: 5000, since: 0 })
    assert.deepStrictEqual(demand(session, { now: 5000 }), { _tag: "Position", position: pg("7/0", 2), since: 0 })
    assert.deepStrictEqual(session.settle("main", primary, 9000), [])
    assert.strictEqual(demand(session, { now: 5000 })._tag, "Position")
  })

  it("is not covered up by a write after it: what was written before is asked for first", () => {
    const session = opened()
    session.wrote("main", undefined, pg("5/0", 1), 0, byPosition)
    session.wrote("main", undefined, pg("6/0", 2), 0, byPosition)
    assert.strictEqual((demand(session) as { readonly reason: string }).reason, "positionUnknown")
    assert.isTrue(session.isOfOtherHistory("main", primary.position))
    assert.lengthOf(session.settle("main", primary, 5000), 1)
    assert.isFalse(session.isOfOtherHistory("main", primary.position))
  })

  it("does not hold the primary for a session that forgets", () => {
    const session = opened()
    session.wrote("main", undefined, pg("5/0", 1), 0, byPosition)
    session.settle("main", primary, 5000)
    session.forget()
    session.wrote("main", undefined, pg("8/0", 2), 0, byPosition)
    assert.strictEqual(demand(session)._tag, "Position")
  })
})

describe("a token for every Database", () => {
  it("holds the primary of each", () => {
    const session = opened()
    session.absorb(ConsistencyToken.make(ConsistencyToken.everyDatabase, { until: 5000, at: 0 }))
    assert.deepStrictEqual(
      demand(session),
      { _tag: "Primary", reason: "window", until: 5000, since: 0 }
    )
    assert.strictEqual(demand(session, { now: 5000 })._tag, "None")
  })
})
