import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fibers from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as RoutingError from "../RoutingError.js"
import type { Fiber, Restore } from "./compat.js"
import { now, withFiber } from "./compat.js"
import * as FiberSettings from "./fiberSettings.js"

/**
 * Fails an effect at a time of the fiber's clock; what runs then is interrupted, and its end waited for: in a finalizer,
 * too, and in whatever else cannot be interrupted, or the deadline would be none there.
 */
export const withinDeadline = <A, R>(
  effect: Effect.Effect<A, SqlError, R>,
  deadline: bigint,
  fiber: Fiber,
  late: () => SqlError
): Effect.Effect<A, SqlError, R> =>
  Effect.suspend(() => {
    const left = deadline - now(fiber)
    return left <= 0n
      ? Effect.fail(late())
      : Effect.timeoutFail(Effect.interruptible(effect), { duration: Duration.nanos(left), onTimeout: late })
  })

const tooLate = (database: string, what: string) => (): SqlError =>
  RoutingError.toSqlError(new RoutingError.DeadlineExceeded({ database, endpoint: undefined, statement: what }))

/** The same by the deadline of the fiber, where it has one, for what holds a connection and is no statement. */
export const withinOwn = <A, R>(
  effect: Effect.Effect<A, SqlError, R>,
  database: string,
  what: string
): Effect.Effect<A, SqlError, R> =>
  withFiber((fiber) => {
    const { deadline } = FiberSettings.of(fiber)
    return deadline === undefined ? effect : withinDeadline(effect, deadline, fiber, tooLate(database, what))
  })

/** The same for a stream: whatever it waits for, it waits no longer than until then. */
export const pullsWithin = <A>(
  stream: Stream.Stream<A, SqlError>,
  deadline: bigint,
  fiber: Fiber,
  late: () => SqlError
): Stream.Stream<A, SqlError> =>
  Stream.unwrapScoped(Effect.map(
    Stream.toPull(stream),
    (pull) =>
      Stream.repeatEffectChunkOption(Effect.suspend(() => {
        const left = deadline - now(fiber)
        const tooLate = () => Option.some(late())
        return left <= 0n
          ? Effect.fail(tooLate())
          : Effect.timeoutFail(Effect.interruptible(pull), { duration: Duration.nanos(left), onTimeout: tooLate })
      }))
  ))

/** The same by the deadline of the fiber, where it has one. */
export const pullsWithinOwn = <A>(
  stream: Stream.Stream<A, SqlError>,
  database: string,
  what: string
): Stream.Stream<A, SqlError> =>
  Stream.unwrap(withFiber((fiber) => {
    const { deadline } = FiberSettings.of(fiber)
    return Effect.succeed(
      deadline === undefined ? stream : pullsWithin(stream, deadline, fiber, tooLate(database, what))
    )
  }))

/** How long a statement that is late is waited for while it is cancelled: where nobody answers, it takes a second. */
const cancelPatience = Duration.millis(100)

/** Leaves what is interrupted to end on its own time, if that takes longer. */
export const leavingBehind = <A>(
  run: (restore: Restore) => Effect.Effect<A, SqlError>,
  restore: Restore,
  onLeft: () => void
): Effect.Effect<A, SqlError> =>
  Effect.flatMap(
    Effect.forkDaemon(Effect.interruptible(Effect.uninterruptibleMask(run))),
    (fiber) =>
      Effect.onInterrupt(
        restore(Fibers.join(fiber)),
        () =>
          Effect.map(Effect.timeoutOption(Effect.interruptible(Fibers.interrupt(fiber)), cancelPatience), (ended) => {
            if (Option.isNone(ended)) onLeft()
          })
      )
  )
