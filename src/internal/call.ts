import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type { PhysicalConnection } from "../Driver.js"
import type { Plan } from "../Plan.js"
import type { RouteDecision } from "../RouteDecision.js"
import type { StatementFacts } from "../StatementFacts.js"
import type { Server } from "./database.js"
import type { FiberSettings } from "./fiberSettings.js"
import type { FreshRead, Note } from "./freshness.js"
import type { Route } from "./plan.js"
import type { Pool } from "./pool.js"
import type { Destination } from "./router.js"
import type { Runner } from "./run.js"
import type { Shadow } from "./shadow.js"
import type { Tally } from "./tally.js"

/** One statement on its way. */
export interface Call {
  readonly sql: string
  readonly facts: StatementFacts
  /** Of the Database that the statement goes to. */
  readonly runner: Runner
  /** Another one after the roles of servers have changed under it. */
  plan: Plan
  /** What freshness it asks for; `undefined` where its plan will do. */
  readonly fresh: FreshRead | undefined
  /** What is to be noted of it when it is done. */
  readonly note: Note | undefined
  /** What the plan was made by; `undefined` inside a transaction. */
  readonly route: Route | undefined
  /** What puts a plan for the primary in the place of others; `undefined` inside a transaction. */
  readonly shadow: Shadow | undefined
  readonly settings: FiberSettings
  /** What perSession keeps to one replica; for reads alone. */
  readonly session: object | undefined
  readonly span: Tracer.Span | undefined
  /** Where it runs a second time, perhaps, as far as rules say so. */
  readonly mirror: Destination["mirror"]
  readonly capture: Array<RouteDecision> | undefined
  /** Whether anybody listens to events. */
  readonly isHeard: boolean
  /** Where it runs, or ran last. */
  server: Server | undefined
  decision: RouteDecision | undefined
  /** Where it is counted; a mirrored read is counted as such alone. */
  readonly tally: Tally | undefined
}

/** Where a statement is tried, and where it was before. */
export interface Attempt {
  readonly server: Server
  readonly pool: Pool
  readonly tried: ReadonlyArray<Server>
  /** Which one it is, counted from 1, of those on a connection. */
  readonly number: number
  /** Whether servers were asked for their roles on its behalf. */
  readonly refreshed: boolean
  /** Whether it counts among the reads that the primary takes in the place of replicas. */
  readonly admitted: boolean
}

export type Execute<A> = (connection: PhysicalConnection) => Effect.Effect<A, SqlError>

/** No server was tried before. */
export const nobody: ReadonlyArray<Server> = []

/** Which of a server's connections a plan needs. */
export const poolFor = (server: Server, plan: Plan): Pool => plan.access === "readOnly" ? server.readers : server.pool

/** The first one for a plan, on that server. */
export const attemptOn = (server: Server, plan: Plan): Attempt => ({
  server,
  pool: poolFor(server, plan),
  tried: nobody,
  number: 1,
  refreshed: false,
  admitted: false
})
