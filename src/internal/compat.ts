/**
 * Everything that depends on how Effect 3 keeps its fibers: reads of fiber-locals, span opening, transaction tags. A
 * port to another Effect changes this module and no other.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Statement from "@effect/sql/Statement"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RuntimeFiber } from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import type { Scope } from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { describeError } from "./spanError.js"

export type Fiber = RuntimeFiber<any, any>

/** Makes an effect interruptible again inside an uninterruptible region, if the region around it was. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Runs an effect that needs to look at its fiber. */
export const withFiber = <A, E, R>(f: (fiber: Fiber) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime<A, E, R>(f)

/** What a canceller given to `Effect.async` does, at 1 µs a statement instead of 2.7. */
export const onInterrupt = <A, E>(effect: Effect.Effect<A, E>, cancel: Effect.Effect<void>): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => cancelling(restore(effect), () => cancel))

/** Asks for something and waits for the answer; `ask` gives what is to be done when nobody waits any longer. */
export const answerTo = <A, E>(
  ask: (resume: (answer: Effect.Effect<A, E>) => void) => () => Effect.Effect<void>
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    let cancel = (): Effect.Effect<void> => Effect.void
    const answer = Effect.async<A, E>((resume) => {
      cancel = ask(resume)
    })
    return cancelling(restore(answer), () => cancel())
  })

const cancelling = <A, E>(effect: Effect.Effect<A, E>, cancel: () => Effect.Effect<void>): Effect.Effect<A, E> =>
  Effect.catchAllCause(
    effect,
    (cause) => Cause.isInterrupted(cause) ? Effect.zipRight(cancel(), Effect.failCause(cause)) : Effect.failCause(cause)
  )

const spanOptions = { kind: "client", captureStackTrace: false } as const

/**
 * Runs `body` in an uninterruptible region with a span of its own, which ends with the body.
 *
 * The span is not made the current one: a Statement's span is a leaf, and writing a fiber-local for it costs as much as
 * all the rest of routing. One region serves span and connection alike, because each costs a microsecond.
 */
export const withClientSpan = <A, E, R>(
  name: string,
  body: (span: Tracer.Span, fiber: Fiber, restore: Restore) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<A, E, R>((fiber) =>
      Effect.flatMap(Effect.makeSpan(name, spanOptions), (span) => {
        const end = (exit: Exit.Exit<A, E>) => {
          span.end(fiber.getFiberRef(FiberRef.currentTracerTimingEnabled) ? now(fiber) : 0n, exit)
          return exit
        }
        return Effect.matchCauseEffect(Effect.suspend(() => body(span, fiber, restore)), {
          onFailure: (cause) => {
            if (span.sampled) describeError(span, cause)
            return end(Exit.failCause(cause))
          },
          onSuccess: (value) => end(Exit.succeed(value))
        })
      })
    )
  )

/** The time of the fiber's clock, in nanoseconds. */
export const now = (fiber: Fiber): bigint =>
  Context.get(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()

/** The time of the fiber's clock, in milliseconds since 1970. */
export const nowMillis = (fiber: Fiber): number =>
  Context.get(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()

/** The span of a stream's statement: it ends with the stream's Scope. */
export const scopedClientSpan = (name: string): Effect.Effect<Tracer.Span, never, Scope> =>
  Effect.makeSpanScoped(name, spanOptions)

/** The statement transformer that the fiber runs under, if any. */
export const currentTransformer = (fiber: Fiber): Statement.Statement.Transformer | undefined => {
  const transformer = fiber.getFiberRef(Statement.currentTransformer)
  return transformer._tag === "Some" ? transformer.value : undefined
}

/** A service of the fiber's context, without the cost of an Effect. */
export const unsafeService = <I, S>(fiber: Fiber, tag: Context.Tag<I, S>): S | undefined =>
  fiber.currentContext.unsafeMap.get(tag.key)

/**
 * Sets a fiber-local of the running fiber, at once. Its class has had the method since Effect 3.0, its interface has not; an
 * Effect that sets it could be interrupted between a write and the note that it happened.
 */
export const setFiberRef = <A>(fiber: Fiber, ref: FiberRef.FiberRef<A>, value: A): void =>
  (fiber as unknown as { setFiberRef(ref: FiberRef.FiberRef<A>, value: A): void }).setFiberRef(ref, value)

/** The connection of the transaction, of whichever client, that the fiber is in. */
export const announcedTransaction = (fiber: Fiber): Connection | undefined =>
  unsafeService(fiber, SqlClient.TransactionConnection)?.[0]

/** Whether the fiber wants 64-bit integers as `bigint`. */
export const safeIntegers = (fiber: Fiber): boolean => Context.get(fiber.currentContext, SqlClient.SafeIntegers)

/** Runs an effect inside a transaction: found by `tag`, announced to others, with the transaction's span as parent. */
export const inTransaction = <A, E, R, S>(
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber,
  tag: Context.Tag<any, S>,
  frame: S,
  announced: readonly [connection: Connection, depth: number],
  span: Tracer.Span
): Effect.Effect<A, E, R> =>
  Effect.locally(
    effect,
    FiberRef.currentContext,
    Context.add(insideTransaction(fiber.currentContext, tag, frame, announced), Tracer.ParentSpan, span)
  )

/** A context inside a transaction. */
export const insideTransaction = <R, S>(
  context: Context.Context<R>,
  tag: Context.Tag<any, S>,
  frame: S,
  announced: readonly [connection: Connection, depth: number]
): Context.Context<R> =>
  context.pipe(
    Context.add(tag, frame),
    Context.add(SqlClient.TransactionConnection, announced)
  ) as Context.Context<R>

/** A context outside of all transactions. */
export const withoutTransaction = <R, S>(
  context: Context.Context<R>,
  tag: Context.Tag<any, S>
): Context.Context<R> =>
  // What is left out is in no requirement.
  Context.omit(SqlClient.TransactionConnection, tag)(
    context as Context.Context<R | SqlClient.TransactionConnection>
  ) as Context.Context<R>

/** Hides the transaction around from clients that are not the router's. */
export const withoutTransactionConnection = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(effect, (context: Context.Context<R>) =>
    Context.omit(SqlClient.TransactionConnection)(
      context as Context.Context<R | SqlClient.TransactionConnection>
    ) as Context.Context<R>)
