/** Measures how far replicas are behind; see `ReplicationLag`. */
import { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Scope } from "effect/Scope"
import type { PhysicalConnection, ServerStatus } from "../Driver.js"
import type { Role } from "../Endpoint.js"
import type { LagProbe, ReplicaLag, ReplicationLagOptions, ReplicationLagSettings } from "../ReplicationLag.js"
import * as ReplicationLag from "../ReplicationLag.js"
import { distance, epochOf, reached, type ReplicationPosition } from "../ReplicationPosition.js"
import { ConfigurationError } from "../RoutingError.js"
import {
  type Behind,
  caughtUp,
  initialStanding,
  judge,
  pointOf,
  PrimaryHistory,
  type Standing,
  unknown
} from "./lagClock.js"

/** What is known of one server. */
class Member {
  generation: string | undefined
  position: ReplicationPosition | undefined
  measured: { readonly behind: Behind; readonly bytes: bigint | undefined; readonly at: number } | undefined
  standing: Standing = initialStanding

  /** How often it was forgotten: what was asked before is not to be learned after. */
  drops = 0

  /** A server's position only grows; an answer that came late, or along another way, may be older than what is known. */
  advance(position: ReplicationPosition): void {
    if (
      this.position === undefined
      || (reached(this.position, position) !== "reached" && !isOfEarlierEpoch(position, this.position))
    ) this.position = position
  }

  drop(): void {
    this.generation = undefined
    this.position = undefined
    this.measured = undefined
    this.drops++
  }
}

/** A standby that is cut off may tell the timeline that it was on before; no server goes back to another's writes. */
const isOfEarlierEpoch = (a: ReplicationPosition, b: ReplicationPosition): boolean => {
  if (a._tag === "MariaGtid") return reached(a, b) === "behind"
  if (a._tag !== "PgLsn" || b._tag !== "PgLsn") return false
  const [ofA, ofB] = [epochOf(a), epochOf(b)]
  return ofA.system === ofB.system && ofA.timeline < ofB.timeline
}

export type LagEvent =
  | { readonly _tag: "Measured"; readonly endpoint: string; readonly lag: ReplicaLag }
  | { readonly _tag: "Lagging"; readonly endpoint: string; readonly millis: number }
  | { readonly _tag: "CaughtUp"; readonly endpoint: string }
  | { readonly _tag: "ProbeFailed"; readonly endpoint: string; readonly cause: Cause.Cause<SqlError> }

export interface LagMonitorOptions {
  /** Who is there now, and what each is configured as; read anew each time. */
  readonly servers: () => ReadonlyArray<{ readonly name: string; readonly role: Role }>
  /** Asks a server something, on a connection that no statement waits for. */
  readonly ask: <A>(
    server: string,
    question: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>
  ) => Effect.Effect<A, SqlError>
  /** The driver's. */
  readonly status: (connection: PhysicalConnection) => Effect.Effect<ServerStatus, SqlError>
  readonly settings: ReplicationLagSettings
  readonly random: () => number
  /** When it is done, measuring begins; at once by default. */
  readonly started?: Effect.Effect<void> | undefined
  readonly publish: (event: LagEvent) => void
  /** Told when another answer of `serving` may be due. */
  readonly onChange?: (() => void) | undefined
}

/** What is known of the servers, for whoever routes: no question here waits for an answer. */
export interface LagMonitor {
  /** How far a replica is behind; `undefined` while nothing is known of it. */
  readonly lag: (server: string) => ReplicaLag | undefined
  /** What a server has for certain; it may have more. */
  readonly position: (server: string) => ReplicationPosition | undefined
  /** Whether a replica is near enough to be read; of one that was never measured nothing says that it is not. */
  readonly eligible: (server: string) => boolean
  /** Whether a replica takes reads that ask for no freshness: it is eligible, or kept so that some replica is. */
  readonly serving: (server: string) => boolean
  /** Learns a server's position from somebody else who asked for it on a connection that is still open. */
  readonly observe: (server: string, position: ReplicationPosition) => void
  /** Forgets what a server had: it may come back with less. To be called when a connection to it is lost. */
  readonly forget: (server: string) => void
}

/** What one server answered. */
interface Answer {
  readonly status: ServerStatus
  readonly at: number
  /** What the probe asked beside it. */
  readonly point: bigint | undefined
  readonly reported: Behind | undefined
}

/** Measures until the Scope closes. Nothing here waits for a server. */
export const make = (options: LagMonitorOptions): Effect.Effect<LagMonitor, never, Scope> =>
  Effect.gen(function*() {
    const { publish, random, settings } = options
    const { probe } = settings
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const interval = Duration.toMillis(settings.interval)
    const maxLag = Duration.toMillis(settings.maxLag)
    const history = new PrimaryHistory(historyWindow(interval, maxLag), probe._tag === "Positions")
    const members = new Map<string, Member>()
    let kept: ReadonlySet<string> = new Set()
    let primaryPosition: ReplicationPosition | undefined

    const memberOf = (name: string): Member => {
      let member = members.get(name)
      if (member === undefined) members.set(name, member = new Member())
      return member
    }

    const lagOf = (name: string): ReplicaLag | undefined => {
      const measured = members.get(name)?.measured
      return measured && {
        millis: measured.behind._tag === "Known" ? measured.behind.millis : undefined,
        bytes: measured.bytes,
        age: now() - measured.at
      }
    }

    const question = (role: Role) => (connection: PhysicalConnection): Effect.Effect<Answer, SqlError> =>
      Effect.flatMap(options.status(connection), (status) =>
        Effect.map(probed(probe, role, connection), (own) => ({ status, at: now(), ...own })))

    const ask = (name: string, role: Role): Effect.Effect<Answer | undefined> =>
      Effect.suspend(() => {
        const member = memberOf(name)
        const { drops } = member
        return options.ask(name, question(role)).pipe(
          // Whoever hangs may take its time to be interrupted, too.
          Effect.disconnect,
          Effect.timeoutFail({
            duration: settings.timeout,
            onTimeout: () =>
              tooLate(settings.timeout)
          }),
          Effect.exit,
          Effect.map((exit) => {
            if (Exit.isFailure(exit)) {
              // It may have restarted, with less than it had.
              member.drop()
              publish({ _tag: "ProbeFailed", endpoint: name, cause: exit.cause })
              return undefined
            }
            const { generation, position } = exit.value.status
            if (member.drops !== drops) return exit.value
            if (member.generation !== undefined && member.generation !== generation) member.drop()
            member.generation = generation
            if (position !== undefined) member.advance(position)
            return exit.value
          })
        )
      })

    const seePrimary = ({ point, status: { position } }: Answer, at: number): boolean => {
      if (probe._tag === "Counter") {
        if (point !== undefined) history.see(point, at)
        return point !== undefined
      }
      if (position === undefined) return false
      if (primaryPosition !== undefined && reached(position, primaryPosition) === "otherHistory") history.forget()
      primaryPosition = position
      history.see(pointOf(position), at)
      return true
    }

    const behindOf = ({ at, point, reported, status: { position, replication } }: Answer): Behind => {
      if (reported !== undefined) return reported
      if (probe._tag === "Counter") return point === undefined ? unknown : history.behind(point, at)
      if (position === undefined || primaryPosition === undefined) return unknown
      const verdict = reached(position, primaryPosition)
      if (verdict === "otherHistory") return unknown
      if (verdict === "reached") {
        // It has all that there is, and will not get what comes next.
        return replication === "streaming" || replication === "unknown" ? caughtUp : unknown
      }
      const behind = history.behind(pointOf(position), at)
      // Transactions of its own make a replica look further than it is.
      return behind._tag === "Known" && behind.millis === 0 ? unknown : behind
    }

    const measure = (name: string, answer: Answer): void => {
      const member = memberOf(name)
      const behind = behindOf(answer)
      const { position } = answer.status
      member.measured = {
        behind,
        bytes: position && primaryPosition && distance(position, primaryPosition),
        at: answer.at
      }
      const before = member.standing
      member.standing = judge(before, behind, maxLag)
      publish({ _tag: "Measured", endpoint: name, lag: lagOf(name)! })
      if (before._tag !== member.standing._tag) {
        publish(
          member.standing._tag === "Out" && behind._tag !== "Unknown"
            ? { _tag: "Lagging", endpoint: name, millis: behind.millis }
            : { _tag: "CaughtUp", endpoint: name }
        )
      }
    }

    const keepSome = (replicas: ReadonlyArray<string>): void => {
      const isIn = (name: string) => memberOf(name).standing._tag === "In"
      const lacking = Math.max(0, settings.minServing - replicas.filter(isIn).length)
      const leastLagging = replicas.filter((name) => !isIn(name)).toSorted((a, b) => furthest(a) - furthest(b))
      kept = new Set(leastLagging.slice(0, lacking))
    }
    const furthest = (name: string): number => {
      const behind = memberOf(name).measured?.behind
      return behind === undefined || behind._tag === "Unknown" ? Number.POSITIVE_INFINITY : behind.millis
    }

    const round = Effect.gen(function*() {
      const servers = options.servers()
      for (const name of members.keys()) if (!servers.some((server) => server.name === name)) members.delete(name)
      const startedAt = now()
      const answers = yield* Effect.forEach(
        servers,
        ({ name, role }) => Effect.map(ask(name, role), (answer) => ({ name, role, answer })),
        { concurrency: "unbounded" }
      )
      const primary = answers.find(({ role }) => role === "primary")?.answer
      // Without the primary's word what was measured stands, and ages.
      if (probe._tag === "Reported" || (primary !== undefined && seePrimary(primary, startedAt))) {
        for (const { answer, name, role } of answers) {
          if (role === "replica" && answer !== undefined) measure(name, answer)
        }
      }
      keepSome(answers.filter(({ role }) => role === "replica").map(({ name }) => name))
      options.onChange?.()
    })

    yield* Effect.forkScoped(Effect.zipRight(
      options.started ?? Effect.void,
      Effect.forever(
        Effect.zipRight(round, Effect.suspend(() => Effect.sleep(interval * (1 - jitter + 2 * jitter * random()))))
      )
    ))

    const eligible = (name: string) => members.get(name)?.standing._tag !== "Out"
    return {
      lag: lagOf,
      position: (name) => members.get(name)?.position,
      eligible,
      serving: (name) => eligible(name) || kept.has(name),
      observe: (name, position) => members.get(name)?.advance(position),
      forget: (name) => members.get(name)?.drop()
    }
  })

const tooLate = (timeout: Duration.Duration) => {
  const message = `The server did not tell its position within ${Duration.format(timeout)}`
  return new SqlError({ cause: new Error(message), message })
}

/** Routers that started together do not ask together for ever. */
const jitter = 0.1

/** Twice what a replica may lag, for it to be followed on its way back; of an unlimited lag an hour. */
const historyWindow = (interval: number, maxLag: number): number =>
  Math.max(60_000, 10 * interval, Math.min(2 * maxLag, 3_600_000))

const nothing: Pick<Answer, "point" | "reported"> = { point: undefined, reported: undefined }

const probed = (
  probe: LagProbe,
  role: Role,
  connection: PhysicalConnection
): Effect.Effect<Pick<Answer, "point" | "reported">, SqlError> => {
  if (probe._tag === "Counter") {
    const point = role === "primary" ? probe.raise(connection) : probe.read(connection)
    return Effect.map(point, (point) => ({ ...nothing, point }))
  }
  if (probe._tag === "Positions" || role === "primary") return Effect.succeed(nothing)
  return Effect.map(probe.lag(connection), (lag) => ({
    ...nothing,
    reported: lag === undefined ? unknown : { _tag: "Known" as const, millis: Duration.toMillis(lag) }
  }))
}

/** The settings; `sources` in order of precedence. */
export const settingsOf = (
  ...sources: ReadonlyArray<ReplicationLagOptions>
): Either.Either<ReplicationLagSettings, ConfigurationError> =>
  Either.gen(function*() {
    const { defaults } = ReplicationLag
    const given = <Key extends keyof ReplicationLagOptions>(key: Key) =>
      sources.find((source) => source[key] !== undefined)?.[key]
    const time = (key: "interval" | "timeout" | "maxLag", least: Duration.Duration) =>
      Either.filterOrLeft(
        Either.fromOption(
          Duration.decodeUnknown(given(key) ?? defaults[key]),
          () => invalid(key, `${String(given(key))} is not a duration`)
        ),
        Duration.greaterThanOrEqualTo(least),
        (duration) => invalid(key, `${Duration.format(duration)} is less than ${Duration.format(least)}`)
      )
    const minServing = given("minServing") ?? defaults.minServing
    if (!(Number.isInteger(minServing) && minServing >= 0)) {
      yield* Either.left(invalid("minServing", `${String(minServing)} is not a whole number of at least 0`))
    }
    return {
      interval: yield* time("interval", Duration.millis(10)),
      timeout: yield* time("timeout", Duration.millis(1)),
      maxLag: yield* time("maxLag", Duration.zero),
      minServing,
      probe: given("probe") ?? defaults.probe
    }
  })

const invalid = (key: string, problem: string) => new ConfigurationError({ path: `replicationLag.${key}`, problem })
