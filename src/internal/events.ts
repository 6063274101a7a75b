import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { RoutingEvent } from "../RoutingEvent.js"
import { EventMemory } from "./eventMemory.js"
import { Tally } from "./tally.js"

/** How many events a slow listener may be behind; the oldest go first. */
const bufferSize = 1024

/** Counts everything, remembers what is notable, and tells everybody who listens. */
export class Events {
  readonly tally = new Tally()
  readonly memory: EventMemory
  private readonly listeners = new Set<(event: RoutingEvent) => void>()

  constructor(wallMillis: () => number) {
    this.memory = new EventMemory(wallMillis)
  }

  get isHeard(): boolean {
    return this.listeners.size > 0
  }

  readonly publish = (event: RoutingEvent): void => {
    this.tally.event(event)
    this.memory.event(event)
    for (const listener of this.listeners) listener(event)
  }

  readonly stream: Stream.Stream<RoutingEvent> = Stream.asyncPush<RoutingEvent>((emit) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const listener = (event: RoutingEvent) => void emit.single(event)
        this.listeners.add(listener)
        return listener
      }),
      (listener) => Effect.sync(() => void this.listeners.delete(listener))
    ), { bufferSize, strategy: "sliding" })
}
