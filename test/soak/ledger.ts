/** What was written, as the program knows it, to be compared with what is there at the end. */
import type { SqlError } from "@effect/sql/SqlError"
import { Cause, Effect, Exit, Option } from "effect"
import { nameOf } from "./errors.js"
import type { Invariants } from "./invariants.js"

/** A write is done in parts, one row each: a bit for each of them. */
export type Parts = number

/** More than a run writes. Kept outside of the heap, whose size is watched. */
const mostIds = 4_000_000

const unknown = 0
const done = 1
const notDone = 2

/** Errors after which nobody knows whether a write was done; after any other one it was not. */
const leaveUnknown = new Set(["OutcomeUnknown", "CommitOutcomeUnknown", "DeadlineExceeded"])

export interface Entry {
  readonly id: number
  readonly part: number
}

export class Ledger {
  private lastId = 0
  private readonly parts = new Uint8Array(mostIds)
  /** Until it is known, it is unknown: of an interrupted write it stays so. */
  private readonly outcomes = new Uint8Array(mostIds)

  get size(): number {
    return this.lastId
  }

  /** Gives a write an id of its own, and keeps what became of it. */
  write<A>(parts: Parts, write: (id: number) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const id = ++this.lastId
      this.parts[id] = parts
      return Effect.onExit(write(id), (exit) => Effect.sync(() => void (this.outcomes[id] = outcomeOf(exit))))
    })
  }

  /** Every write that was acknowledged must be there once and whole, an unknown one may be, any other one must not. */
  compare(entries: ReadonlyArray<Entry>, where: string, invariants: Invariants): void {
    const found = new Uint8Array(mostIds)
    for (const { id, part } of entries) {
      invariants.check("once", (found[id]! & part) === 0, () => `${where}: part ${part} of write ${id} is there twice`)
      found[id]! |= part
    }
    for (let id = 1; id <= this.lastId; id++) {
      const [is, whole, outcome] = [found[id]!, this.parts[id]!, this.outcomes[id]!]
      const detail = (what: string) => () => `${where}: write ${id} ${what}, parts ${is} of ${whole} are there`
      if (outcome === done) invariants.check("acknowledged", is === whole, detail("was acknowledged"))
      else if (outcome === notDone) invariants.check("failed", is === 0, detail("had failed"))
      else invariants.check("unknown", is === 0 || is === whole, detail("was unknown"))
    }
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, SqlError>): number => {
  if (Exit.isSuccess(exit)) return done
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  return error === undefined || Cause.isInterrupted(exit.cause) || leaveUnknown.has(nameOf(error)) ? unknown : notDone
}
