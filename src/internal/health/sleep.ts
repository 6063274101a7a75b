import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Sleeps until the time is over (`undefined`: never), or `sleeper.wake` is called and `isOver` says so. */
export const sleepUnless = (
  nanos: bigint | undefined,
  isOver: () => boolean,
  sleeper: { wake: () => void }
): Effect.Effect<void> => {
  const woken = Effect.async<void>((resume) => {
    if (isOver()) return resume(Effect.void)
    sleeper.wake = () => {
      if (isOver()) resume(Effect.void)
    }
  })
  // In whole milliseconds: at today's date a `TestClock` cannot tell smaller ones apart.
  return nanos === undefined
    ? woken
    : Effect.raceFirst(woken, Effect.sleep(Duration.millis(Math.ceil(Number(nanos) / 1e6))))
}
