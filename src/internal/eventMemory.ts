import type { NotableEvent, RememberedEvent, RoutingEvent } from "../RoutingEvent.js"

const mostEvents = 64

/** Notable events; those that come `again` and again, for as long as their cause lasts, are remembered as one. */
const remembered: { readonly [Tag in NotableEvent["_tag"]]: "each" | "again" } = {
  BreakerOpened: "again",
  BreakerClosed: "each",
  EjectionWithheld: "again",
  EndpointHeld: "each",
  EndpointReleased: "each",
  ReplicasExhausted: "each",
  ReplicasRestored: "each",
  RoleChanged: "each",
  PrimaryChanged: "each",
  PrimaryLost: "each",
  PrimaryRestored: "each",
  SplitBrainDetected: "each",
  RetryBudgetExhausted: "again",
  ReplicaLagging: "each",
  ReplicaCaughtUp: "each",
  LostWriteSuspected: "again"
}

/** The last notable events. */
export class EventMemory {
  private readonly events: Array<RememberedEvent> = []

  constructor(private readonly wallMillis: () => number) {}

  /** The oldest first. */
  get all(): ReadonlyArray<RememberedEvent> {
    return this.events.slice()
  }

  event(event: RoutingEvent): void {
    if (!isNotable(event)) return
    const before = this.events.findLastIndex((before) => isOfTheSame(before.event, event))
    const repeats = remembered[event._tag] === "again" && this.events[before]?.event._tag === event._tag
    const times = repeats ? this.events[before]!.times + 1 : 1
    if (repeats) this.events.splice(before, 1)
    else if (this.events.length === mostEvents) this.events.shift()
    this.events.push({ event, atMillis: this.wallMillis(), times })
  }
}

const isNotable = (event: RoutingEvent): event is NotableEvent => event._tag in remembered

/** Whether they are of the same endpoint, or both of their Database as a whole. */
const isOfTheSame = (one: NotableEvent, other: NotableEvent): boolean =>
  one.database === other.database && endpointOf(one) === endpointOf(other)

const endpointOf = (event: NotableEvent): string | undefined => "endpoint" in event ? event.endpoint : undefined
