import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import type { EventSnapshot } from "../../RoutingDashboard.js"
import { describeCause, EndpointUnavailable } from "../../RoutingError.js"
import type { NotableEvent } from "../../RoutingEvent.js"
import { short } from "../poolTable.js"

type Words = Pick<EventSnapshot, "text" | "tone">

type Table = { readonly [Event in NotableEvent as Event["_tag"]]: (event: Event) => Words }

/** An event in one sentence, without the name of its Database. */
export const inWords = (event: NotableEvent): Words =>
  // The compiler does not see that the function found by an event's tag takes that event.
  (words[event._tag] as (event: NotableEvent) => Words)(event)

const words: Table = {
  BreakerOpened: ({ cooldown, endpoint, error }) =>
    bad(`${endpoint} is out of service for ${briefly(cooldown)} (${reasonOf(error)})`),
  BreakerClosed: ({ after, endpoint }) => good(`${endpoint} is back in service after ${briefly(after)}`),
  EjectionWithheld: ({ endpoint, error }) =>
    warn(`${endpoint} fails, but stays: too many are out already (${reasonOf(error)})`),
  EndpointHeld: ({ by, endpoint }) => plain(`${endpoint} was ${by === "drain" ? "drained" : "quarantined"} by hand`),
  EndpointReleased: ({ endpoint }) => plain(`${endpoint} was released`),
  ReplicasExhausted: () => bad("No replica takes reads any more"),
  ReplicasRestored: () => good("A replica takes reads again"),
  RoleChanged: ({ endpoint, to }) => plain(`${endpoint} says that it is a ${to} now`),
  PrimaryChanged: ({ from, to }) => warn(`Failover: writes go to ${to} now, no longer to ${from}`),
  PrimaryLost: ({ endpoint, reason }) => bad(`Primary lost: ${endpoint} ${lost[reason]}`),
  PrimaryRestored: ({ endpoint }) => good(`Primary back: ${endpoint} takes writes`),
  SplitBrainDetected: ({ endpoints }) => bad(`Split brain: ${endpoints.join(" and ")} claim to be the primary`),
  RetryBudgetExhausted: ({ endpoint }) =>
    bad(`Statements that ${endpoint} failed are no longer retried: too many of late`),
  ReplicaLagging: ({ endpoint, lag }) => warn(`${endpoint} lags by ${short(lag)}, and takes no reads`),
  ReplicaCaughtUp: ({ endpoint }) => good(`${endpoint} has caught up`),
  LostWriteSuspected: ({ reason }) => bad(`A failover seems to have lost writes (${lostWrite[reason]})`)
}

/** What an error tells beside the endpoint's name, which stands before it. */
export const reasonOf = (error: SqlError): string =>
  describeCause(error.cause instanceof EndpointUnavailable ? error.cause.cause : error)

const lost = {
  unreachable: "cannot be connected to",
  demoted: "takes no writes any more",
  quarantined: "was quarantined"
} as const

const lostWrite = {
  timelineLeft: "the new primary never had them",
  aheadOfPrimary: "they lie beyond what the primary has",
  diverged: "two servers wrote under the same number"
} as const

const good = (text: string): Words => ({ text, tone: "good" })
const plain = (text: string): Words => ({ text, tone: "plain" })
const warn = (text: string): Words => ({ text, tone: "warn" })
const bad = (text: string): Words => ({ text, tone: "bad" })

/** A time of minutes and more in its units, a shorter one in tenths of a second. */
const briefly = (duration: Duration.Duration): string => {
  const seconds = Duration.toSeconds(duration)
  return seconds < 60 ? `${seconds.toFixed(1)} s` : Duration.format(Duration.seconds(Math.round(seconds)))
}
