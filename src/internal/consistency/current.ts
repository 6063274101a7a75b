import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as ConsistencyToken from "../../ConsistencyToken.js"
import type { ReplicationPosition } from "../../ReplicationPosition.js"
import type { Fiber } from "../compat.js"
import * as compat from "../compat.js"
import * as fiberSettings from "../fiberSettings.js"
import type { Level } from "./level.js"
import { type Demand, demandOfLevel, none, Session, type SessionSettings } from "./session.js"

/** No fiber has this number: whoever wants to write copies first. */
const nobody = -1

/**
 * What becomes of a parent's session when it joins a child's: the child's end came first, so the parent has seen what the child
 * has. An open session of the parent stays, for its fibers share it; anything else may be held by other fibers, too, and is
 * not touched.
 */
const join = (parent: Session | undefined, child: Session | undefined): Session | undefined => {
  if (child === undefined || child === parent || child.isIdle) return parent
  if (parent !== undefined && parent.owner === undefined) {
    parent.absorb(child.token)
    return parent
  }
  const token = ConsistencyToken.merge(parent?.token ?? ConsistencyToken.empty, child.token)
  return token === parent?.token ? parent : new Session(nobody, token)
}

export const currentSession: FiberRef.FiberRef<Session | undefined> = globalValue(
  "effect-sql-router/currentSession",
  () => FiberRef.unsafeMake<Session | undefined>(undefined, { join })
)

/** What the fiber's reads have to see. */
export const sessionOf = (fiber: Fiber): Session | undefined => fiber.getFiberRef(currentSession)

/** Where the fiber's reads are noted: only in a session that was opened, or its own. */
export const sessionForRead = (fiber: Fiber): Session | undefined => {
  const session = sessionOf(fiber)
  return session === undefined || session.owner === undefined || session.owner === fiber.id().id ? session : undefined
}

/** Where the fiber's writes are noted: in the session that was opened, or else in one of its own. */
export const sessionForWrite = (fiber: Fiber): Session => {
  const session = sessionForRead(fiber)
  if (session !== undefined) return session
  const own = new Session(fiber.id().id, sessionOf(fiber)?.token)
  compat.setFiberRef(fiber, currentSession, own)
  return own
}

/**
 * Opens a session for `body`, which has seen the token and what the fiber had. A session that is open around it has seen at the
 * end what this one has.
 */
export const open = <A, E, R>(
  token: ConsistencyToken.ConsistencyToken,
  body: (session: Session) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  compat.withFiber((fiber) => {
    const outer = sessionOf(fiber)
    const inner = new Session(undefined, ConsistencyToken.merge(outer?.token ?? ConsistencyToken.empty, token))
    const run = Effect.locally(Effect.suspend(() => body(inner)), currentSession, inner)
    return outer === undefined || outer.owner !== undefined
      ? run
      : Effect.ensuring(run, Effect.sync(() => outer.absorb(inner.token)))
  })

/** What a read of the fiber asks for, at the level that was set for it or else `level`. */
export const demandOf = (
  fiber: Fiber,
  database: string,
  tables: () => Iterable<string> | undefined,
  level: Level,
  settings: SessionSettings
): Demand => {
  const session = sessionOf(fiber)
  const asked = fiberSettings.of(fiber).consistency ?? level
  if (asked._tag === "Session" && (session === undefined || session.isIdle)) return none
  const now = millis(fiber)
  return session === undefined
    ? demandOfLevel(asked, now) ?? none
    : session.demand(database, tables, asked, now, settings)
}

/**
 * Notes a write of the fiber, at once, so that an interruption cannot come between. See {@link Session.wrote}.
 */
export const noteWrite = (
  fiber: Fiber,
  database: string,
  tables: Iterable<string> | undefined,
  position: ReplicationPosition | undefined,
  settings: SessionSettings
): void => {
  if (fiberSettings.of(fiber).ignoreWrites) return
  sessionForWrite(fiber).wrote(database, tables, position, millis(fiber), settings)
}

/** The clock that sessions and tokens count by: milliseconds of the monotonic one. */
export const millis = (fiber: Fiber): number => Number(compat.now(fiber) / 1_000_000n)
