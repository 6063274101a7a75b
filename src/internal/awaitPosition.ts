import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { reached, type ReplicationPosition } from "../ReplicationPosition.js"

/** Replay goes on all the time: a replica is nearly always there within the first pauses or not soon. */
const longestPause = 16

/** Asks a replica where it is until it has reached a position, in pauses of 1, 2, 4, 8, 16, 16, … ms. */
export const poll = (
  currentPosition: Effect.Effect<ReplicationPosition | undefined, SqlError>,
  wanted: ReplicationPosition,
  timeout: Duration.Duration
): Effect.Effect<boolean, SqlError> =>
  Effect.flatMap(Clock.currentTimeNanos, (startedAt) => {
    const left = Effect.map(
      Clock.currentTimeNanos,
      (now) => Duration.toMillis(timeout) - Number(now - startedAt) / 1e6
    )
    const next = (pause: number): Effect.Effect<boolean, SqlError> =>
      Effect.flatMap(Effect.zip(currentPosition, left), ([position, left]) => {
        const verdict = position === undefined ? "otherHistory" : reached(position, wanted)
        if (verdict !== "behind") return Effect.succeed(verdict === "reached")
        if (left <= 0) return Effect.succeed(false)
        return Effect.zipRight(Effect.sleep(Math.min(pause, left)), next(Math.min(pause * 2, longestPause)))
      })
    return next(1)
  })
