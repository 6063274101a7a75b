/**
 * A live page of a router: its endpoints with role, health and the reason for it, lag, latency and connections; where
 * statements go, and why; what happened lately. An HTTP app to be mounted in yours; `effect-sql-router/RoutingDashboardNode`
 * has a server of its own for it.
 *
 * It shows names, states, numbers, and what servers and the network said when an endpoint failed; no statements, no
 * parameters and no configuration. It has no access control: whoever reaches it sees all of it, but can change nothing.
 *
 * Nothing runs while nobody looks. What an open page is sent is made when its connection can take it: a slow browser gets
 * fewer snapshots, and nothing is kept for it.
 *
 * Imported as `effect-sql-router/RoutingDashboard`.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Role } from "./Endpoint.js"
import * as App from "./internal/dashboard/app.js"
import * as Internal from "./internal/dashboard/snapshot.js"
import type { EndpointHealth } from "./ReplicaHealth.js"
import { RoutedSqlClient } from "./RoutedSqlClient.js"
import type { NotableEvent } from "./RoutingEvent.js"
import type { RoutingCount } from "./RoutingMetrics.js"

/**
 * Options of the page.
 *
 * @since 0.1.0
 * @category models
 */
export interface DashboardOptions {
  /** What the page is headed by: the service, for example. Default `SQL router`. */
  readonly title?: string | undefined
  /** How often an open page is told how things are. Default 1 second; from 100 milliseconds to 4 seconds. */
  readonly interval?: Duration.DurationInput | undefined
  /**
   * The host names, without ports, that requests may be for; others are answered by 421. It keeps a page of somebody else's,
   * whose name is made to lead to your machine, from reading this one (DNS rebinding). Default: any, the server around it
   * may check them.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

/**
 * How a router is at one moment. Counts are those since it was built: rates are what they grow by from one snapshot to the
 * next.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  readonly title: string
  /** When, in milliseconds since 1970. */
  readonly atMillis: number
  readonly databases: ReadonlyArray<DatabaseSnapshot>
  /** As `RoutedSqlClient.counts` has them, without `sql.router.` before their names. */
  readonly counts: ReadonlyArray<RoutingCount>
  /** What happened lately, the latest first. */
  readonly events: ReadonlyArray<EventSnapshot>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DatabaseSnapshot {
  readonly database: string
  readonly strategy: string
  /** What is wrong now, the worst first; empty if all is well. */
  readonly problems: ReadonlyArray<Problem>
  readonly endpoints: ReadonlyArray<EndpointSnapshot>
}

/**
 * What is wrong with a Database: `bad` if statements fail for it, `warn` if they would with less luck.
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem {
  readonly tone: "bad" | "warn"
  readonly text: string
}

/**
 * How an endpoint is, in numbers that JSON has: what is not known is left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointSnapshot {
  readonly endpoint: string
  readonly role: Role
  readonly zone?: string | undefined
  readonly weight: number
  readonly state: EndpointHealth["state"]
  /** Whether it serves what it is there for: writes, or reads. */
  readonly available: boolean
  readonly why: string
  readonly lastError?: string | undefined
  readonly sinceMillis?: number | undefined
  readonly untilMillis?: number | undefined
  readonly inFlight: number
  readonly latencyMillis: {
    readonly mean?: number | undefined
    readonly p50?: number | undefined
    readonly p95?: number | undefined
    readonly p99?: number | undefined
  }
  readonly lagMillis?: number | undefined
  readonly pools: ReadonlyArray<PoolSnapshot>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PoolSnapshot {
  readonly lane: "main" | "readers"
  readonly max: number
  readonly active: number
  readonly idle: number
  readonly connecting: number
  readonly waiting: number
  /** Borrowers that waited in vain. */
  readonly timeouts: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface EventSnapshot {
  readonly tag: NotableEvent["_tag"]
  readonly database: string
  /** In words, e.g. `replica1 is out of service (connection refused)`. */
  readonly text: string
  readonly tone: "good" | "plain" | "warn" | "bad"
  /** When it happened, or happened last, in milliseconds since 1970. */
  readonly atMillis: number
  readonly times: number
}

/**
 * How the router is now.
 *
 * @since 0.1.0
 * @category snapshots
 */
export const snapshot = (
  options: Pick<DashboardOptions, "title"> = {}
): Effect.Effect<Snapshot, never, RoutedSqlClient> =>
  Effect.flatMap(RoutedSqlClient, (sql) => Internal.make(sql, options.title))

/**
 * An HTTP app of one path, whichever it is mounted at. The query says what is asked for: nothing, the page; `?snapshot`, a
 * {@link Snapshot} as JSON; `?events`, server-sent events, each a snapshot. A response of events ends after 10 seconds, and
 * the page asks anew: a server that shuts down waits no longer for it, and who may look is checked again.
 *
 * Only GET is answered. A Content-Security-Policy lets the page load nothing, and talk to nobody but its own path.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import * as RoutingDashboard from "effect-sql-router/RoutingDashboard"
 *
 * // Behind whatever keeps strangers from the other routes of your operators.
 * const Server = HttpRouter.empty.pipe(
 *   HttpRouter.get("/ops/sql", RoutingDashboard.app({ title: "orders" })),
 *   HttpServer.serve()
 * )
 * ```
 *
 * @since 0.1.0
 * @category apps
 */
export const app: (options?: DashboardOptions) => HttpApp.Default<never, RoutedSqlClient> = App.make
