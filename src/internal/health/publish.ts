import type { RoutingEvent } from "../../RoutingEvent.js"

type WithoutDatabase<Event> = Event extends unknown ? Omit<Event, "database"> : never

/** Tells what happened in one database. */
export type Publish = (event: WithoutDatabase<RoutingEvent>) => void

export const publishFor = (database: string, publish: (event: RoutingEvent) => void): Publish => (event) =>
  // Each event is a RoutingEvent again with the one field that they all have.
  publish({ ...event, database } as RoutingEvent)
