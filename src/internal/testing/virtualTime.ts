import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { RuntimeFiber } from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Runtime from "effect/Runtime"
import type { Scheduler, Task } from "effect/Scheduler"

/**
 * A clock that jumps from one sleeper to the next as soon as every fiber waits, and the scheduler that tells when that is.
 *
 * Beside `TestClock`, which gives all fibers a few milliseconds of real time before it moves on: far too long for hundreds
 * of thousands of statements.
 */
export class VirtualTime implements Clock.Clock, Scheduler {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  private now = 0
  private readonly agenda = new Agenda()
  private tasks: Array<Task> = []

  /** Milliseconds since the beginning, with fractions. */
  unsafeCurrentTimeMillis(): number {
    return this.now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.now * 1e6))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const millis = Duration.toMillis(duration)
      if (millis === Number.POSITIVE_INFINITY) return
      return Effect.sync(this.after(millis, () => resume(Effect.void)))
    })
  }

  /** Calls `act` in so many milliseconds, unless what it gives is called before. */
  after(millis: number, act: () => void): () => void {
    return this.agenda.add(this.now + Math.max(0, millis), act)
  }

  shouldYield(fiber: RuntimeFiber<unknown, unknown>): number | false {
    return fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield) ? 0 : false
  }

  scheduleTask(task: Task): void {
    this.tasks.push(task)
  }

  /** Runs an effect to its end, now; dies if it waits for something other than time. */
  run<A, E, R>(effect: Effect.Effect<A, E, R>, runtime: Runtime.Runtime<R>): Exit.Exit<A, E> {
    const timed = Effect.withClock(effect, this)
    const fiber = Runtime.runFork(runtime, timed, { scheduler: this })
    for (;;) {
      this.runTasks()
      const exit = fiber.unsafePoll()
      if (exit !== null) return exit
      const next = this.agenda.next()
      if (next === undefined) throw new Error("What runs in virtual time may wait for nothing but time")
      this.now = next.at
      next.act?.()
    }
  }

  private runTasks(): void {
    while (this.tasks.length > 0) {
      const { tasks } = this
      this.tasks = []
      for (const task of tasks) task()
    }
  }
}

interface Entry {
  readonly at: number
  readonly order: number
  /** `undefined` once it was cancelled. */
  act: (() => void) | undefined
}

/** What is to be done, in order of time, then of insertion. */
class Agenda {
  private readonly entries: Array<Entry> = []
  private added = 0

  add(at: number, act: () => void): () => void {
    const { entries } = this
    const entry: Entry = { at, order: this.added++, act }
    let i = entries.length
    entries.push(entry)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(entry, entries[parent]!)) break
      entries[i] = entries[parent]!
      i = parent
    }
    entries[i] = entry
    return () => {
      entry.act = undefined
    }
  }

  /** Takes the first one that was not cancelled. */
  next(): Entry | undefined {
    for (;;) {
      const first = this.take()
      if (first === undefined || first.act !== undefined) return first
    }
  }

  private take(): Entry | undefined {
    const { entries } = this
    const first = entries[0]
    const last = entries.pop()
    if (last === undefined || entries.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= entries.length) break
      if (child + 1 < entries.length && isBefore(entries[child + 1]!, entries[child]!)) child++
      if (!isBefore(entries[child]!, last)) break
      entries[i] = entries[child]!
      i = child
    }
    entries[i] = last
    return first
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
