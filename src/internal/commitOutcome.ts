import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Runner } from "./run.js"

/** A COMMIT that is still on its way ends within a flush to the disk, or to a standby: it is asked for 10 seconds. */
const patience = { times: 100, pause: "100 millis" } as const

/** A connection of the pool may have gone with the one that was lost. */
const attempts = 2

/** Asks the primary what became of a transaction whose COMMIT was not answered. */
export const resolve = (
  runner: Runner,
  id: string | undefined
): Effect.Effect<"committed" | "rolledBack" | "unknown", SqlError> => {
  const { driver: { commitTracking, disposition }, primary } = runner.database
  if (id === undefined || commitTracking === undefined) return Effect.succeed("unknown")
  const ask = Effect.retry(
    Effect.uninterruptibleMask((restore) =>
      runner.loans.using(primary, (connection) => commitTracking.outcome(connection, id), restore)
    ),
    { times: attempts, while: (error) => disposition(error).connection === "destroy" }
  )
  const settled = (left: number): ReturnType<typeof resolve> =>
    Effect.flatMap(ask, (outcome) => {
      if (outcome !== "inProgress") return Effect.succeed(outcome)
      return left === 0 ? Effect.succeed("unknown") : Effect.delay(settled(left - 1), patience.pause)
    })
  return settled(patience.times)
}
