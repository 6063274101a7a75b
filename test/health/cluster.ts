import { SqlError } from "@effect/sql/SqlError"
import type { Disposition } from "effect-sql-router/Driver"
import type { Role } from "effect-sql-router/Endpoint"
import type { Health, HealthOptions } from "effect-sql-router/internal/health/health"
import * as HealthOf from "effect-sql-router/internal/health/health"
import * as Settings from "effect-sql-router/internal/health/settings"
import type { ReplicaHealthOptions } from "effect-sql-router/ReplicaHealth"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as TestClock from "effect/TestClock"

const base: Disposition = {
  blame: "statement",
  connection: "keep",
  evidence: "none",
  outcome: "rolledBack",
  readRetry: "none"
}

/** What errors mean, by the names that the tests give them. */
export const dispositions = {
  refused: { blame: "endpoint", connection: "destroy", evidence: "hard", outcome: "notSent", readRetry: "elsewhere" },
  lost: { blame: "connection", connection: "destroy", evidence: "soft", outcome: "unknown", readRetry: "elsewhere" },
  shutdown: { blame: "endpoint", connection: "destroy", evidence: "hard", outcome: "unknown", readRetry: "elsewhere" },
  full: { blame: "capacity", connection: "destroy", evidence: "hard", outcome: "notSent", readRetry: "elsewhere" },
  password: {
    blame: "configuration",
    connection: "destroy",
    evidence: "hard",
    outcome: "notSent",
    readRetry: "elsewhere"
  },
  readOnly: { ...base, blame: "role", outcome: "refused", readRetry: "primary" },
  deadlock: { ...base, blame: "transaction", readRetry: "sameEndpoint" },
  dead: { blame: "connection", connection: "destroy", evidence: "none", outcome: "notSent", readRetry: "sameEndpoint" },
  expired: {
    blame: "connection",
    connection: "destroy",
    evidence: "none",
    outcome: "unknown",
    readRetry: "sameEndpoint"
  },
  missing: { ...base, readRetry: "primary" },
  syntax: base
} as const satisfies { readonly [name: string]: Disposition }

export type Fault = keyof typeof dispositions

export const fault = (name: Fault): SqlError => new SqlError({ cause: new Error(name), message: name })

const faultOf = (error: SqlError): Disposition =>
  dispositions[(error.cause instanceof Error ? error.cause.message : "syntax") as Fault] ?? base

/** A server as a probe finds it. */
export interface FakeServer {
  state: Role | Fault | "blackHole"
}

export interface Cluster {
  readonly health: Health
  readonly servers: { readonly [name: string]: FakeServer }
  /** `endpoint@milliseconds` of every probe. */
  readonly probes: Array<string>
  readonly events: Array<RoutingEvent>
  /** Role changes and openings, as the pools are told. */
  readonly evictions: Array<string>
  readonly tags: () => ReadonlyArray<RoutingEvent["_tag"]>
  readonly fail: (name: string, fault: Fault) => Effect.Effect<void>
  readonly succeed: (name: string) => Effect.Effect<void>
  readonly refusal: Effect.Effect<SqlError | undefined>
  inFlight: () => number
  /** How often the planner was told that something is different. */
  readonly changes: () => number
}

/** One after the other: `TestClock` wakes fibers that then need a moment of their own. */
export const advance = (millis: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* TestClock.adjust("0 millis")
    yield* TestClock.adjust(millis)
    yield* TestClock.adjust("0 millis")
  })

export const cluster = (
  roles: { readonly [name: string]: Role },
  options: ReplicaHealthOptions & {
    readonly starting?: { readonly [name: string]: FakeServer["state"] }
    readonly weights?: { readonly [name: string]: number }
    readonly probeTakes?: number
  } = {}
): Effect.Effect<Cluster, SqlError, Scope> =>
  Effect.gen(function*() {
    const { probeTakes = 0, starting = {}, weights = {}, ...given } = options
    const servers = Object.fromEntries(
      Object.entries(roles).map(([name, role]) => [name, { state: starting[name] ?? role }])
    )
    const probes: Array<string> = []
    const events: Array<RoutingEvent> = []
    const evictions: Array<string> = []
    let running = 0
    let most = 0
    let changes = 0
    const status: HealthOptions["status"] = (name) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          most = Math.max(most, ++running)
        }),
        () =>
          Effect.gen(function*() {
            probes.push(`${name}@${yield* Clock.currentTimeMillis}`)
            if (probeTakes > 0) yield* Effect.sleep(probeTakes)
            const { state } = servers[name]!
            if (state === "blackHole") return yield* Effect.never
            return state === "primary" || state === "replica" ? { role: state } : yield* Effect.fail(fault(state))
          }),
        () => Effect.sync(() => void running--)
      )
    let seed = 1
    const health = yield* HealthOf.make({
      database: "main",
      endpoints: Object.entries(roles).map(([name, role]) => ({ name, role, weight: weights[name] ?? 1 })),
      settings: yield* Settings.healthSettings({ probeJitter: 0, ...given }),
      random: () => (seed = (seed * 16807) % 2147483647) / 2147483647,
      status,
      disposition: faultOf,
      publish: (event) => void events.push(event),
      onChange: () => void changes++,
      onRoleChange: (name, role) => void evictions.push(`${name} is ${role}`),
      onOpen: (name) => void evictions.push(`${name} opened`)
    })
    yield* advance(0)
    return {
      health,
      servers,
      probes,
      events,
      evictions,
      tags: () => events.map(({ _tag }) => _tag),
      fail: (name, what) =>
        Effect.map(Clock.currentTimeNanos, (now) => health.failure(name, dispositions[what], fault(what), now)),
      succeed: (name) => Effect.map(Clock.currentTimeNanos, (now) => health.success(name, now)),
      refusal: Effect.map(Clock.currentTimeNanos, (now) => health.refuseWrite(now)),
      inFlight: () => most,
      changes: () => changes
    }
  })
