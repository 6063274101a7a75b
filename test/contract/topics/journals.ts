import * as EventJournal from "@effect/experimental/EventJournal"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlEventJournal from "@effect/sql/SqlEventJournal"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { Topic } from "../support.js"
import { freshName } from "../support.js"

const makeJournal = Effect.suspend(() =>
  SqlEventJournal.make({ entryTable: freshName("entries"), remotesTable: freshName("remotes") })
)

const event = (primaryKey: string) => ({ event: "Renamed", primaryKey, payload: new Uint8Array([1, 2, 3]) })

const primaryKeys = (entries: ReadonlyArray<EventJournal.Entry>) => entries.map(({ primaryKey }) => primaryKey)

export const journals: Topic = (it, { dialect }) => {
  if (dialect !== "sqlite") {
    // Its timestamps do not fit the columns it makes on PostgreSQL, and MySQL has no ON CONFLICT.
    it.effect("a journal cannot be written to, as upstream", () =>
      Effect.gen(function*() {
        const journal = yield* makeJournal
        const error = yield* Effect.flip(journal.write({ ...event("1"), effect: () => Effect.void }))
        assert.strictEqual(error._tag, "EventJournalError")
        assert.deepStrictEqual(yield* journal.entries, [])
      }))
    return
  }

  it.effect("what is written is an entry, once its effect has succeeded", () =>
    Effect.gen(function*() {
      const journal = yield* makeJournal
      assert.strictEqual(
        yield* journal.write({ ...event("1"), effect: ({ primaryKey }) => Effect.succeed(primaryKey) }),
        "1"
      )
      yield* Effect.flip(journal.write({ ...event("2"), effect: () => Effect.fail("no") }))
      const entries = yield* journal.entries
      assert.deepStrictEqual(primaryKeys(entries), ["1"])
      assert.deepStrictEqual(Array.from(entries[0]!.payload), [1, 2, 3])
    }))

  it.effect("the effect of an entry shares its transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* makeJournal
      const table = freshName("effects")
      yield* sql`CREATE TABLE ${sql(table)} (id INTEGER)`
      yield* Effect.flip(journal.write({
        ...event("1"),
        effect: () => Effect.zipRight(sql`INSERT INTO ${sql(table)} VALUES (1)`, Effect.fail("no"))
      }))
      assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(table)}`, [])
    }))

  it.scoped("subscribers see what is written", () =>
    Effect.gen(function*() {
      const journal = yield* makeJournal
      const changes = yield* journal.changes
      yield* journal.write({ ...event("1"), effect: () => Effect.void })
      assert.strictEqual((yield* Queue.take(changes)).primaryKey, "1")
    }))

  it.effect("entries of a remote are written once, and what it lacks is told", () =>
    Effect.gen(function*() {
      const [here, there] = [yield* makeJournal, yield* makeJournal]
      yield* there.write({ ...event("theirs"), effect: () => Effect.void })
      const remoteId = EventJournal.makeRemoteId()
      const entries = (yield* there.entries).map((entry, index) =>
        new EventJournal.RemoteEntry({ remoteSequence: index, entry })
      )
      const applied: Array<string> = []
      const write = here.writeFromRemote({
        remoteId,
        entries,
        effect: ({ entry }) => Effect.sync(() => void applied.push(entry.primaryKey))
      })
      yield* write
      yield* write
      yield* here.write({ ...event("mine"), effect: () => Effect.void })
      assert.deepStrictEqual(applied, ["theirs"])
      assert.sameMembers(primaryKeys(yield* here.entries), ["theirs", "mine"])
      assert.strictEqual(yield* here.nextRemoteSequence(remoteId), 1)
      assert.deepStrictEqual(
        yield* here.withRemoteUncommited(remoteId, (entries) => Effect.succeed(primaryKeys(entries))),
        ["mine"]
      )
    }))
}
