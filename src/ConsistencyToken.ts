/**
 * How far a session has seen: a value that merges, travels in a header, a cookie or a job, and survives failover honestly.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as marks from "./internal/consistency/marks.js"
import * as signature from "./internal/consistency/signature.js"
import * as wire from "./internal/consistency/wire.js"
import * as ReplicationPosition from "./ReplicationPosition.js"
import { ConfigurationError } from "./RoutingError.js"

/**
 * What a server must have to serve a read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bound {
  /** Where a replica must be. */
  readonly position: ReplicationPosition.ReplicationPosition | undefined
  /** Until when only the primary may serve, in milliseconds of the clock; 0 for not at all. */
  readonly until: number
}

/**
 * How far a session has seen one Database.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mark {
  /** What any read asks for. */
  readonly all: Bound
  /** What a read of these tables asks for; at least as much as `all`. */
  readonly tables: ReadonlyMap<string, Bound>
  /** When the session last wrote or saw something new, in milliseconds of the clock. */
  readonly at: number
}

/**
 * How far a session has seen: a mark for each Database, by its name.
 *
 * Times are milliseconds of Effect's `Clock`, its monotonic reading, which counts from 1970. The codec changes them to the
 * time of day and back.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsistencyToken {
  readonly marks: ReadonlyMap<string, Mark>
}

/**
 * The token of a session that has seen nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty: ConsistencyToken = { marks: new Map() }

/**
 * The name of a mark that holds for every Database: what becomes of a token that has grown too long to name them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const everyDatabase = "*"

/**
 * A token that knows of one Database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  database: string,
  mark: {
    readonly position?: ReplicationPosition.ReplicationPosition | undefined
    readonly until?: number | undefined
    /** The tables it holds for. Without them, or with none, it holds for all. */
    readonly tables?: ReadonlyArray<string> | undefined
    readonly at: number
  }
): ConsistencyToken => {
  const bound: Bound = { position: mark.position, until: mark.until ?? 0 }
  if (bound.position === undefined && bound.until <= 0) return empty
  const { at, tables } = mark
  return {
    marks: new Map([[
      database,
      tables === undefined || tables.length === 0
        ? marks.makeMark(bound, new Map(), at)
        : marks.makeMark(marks.noBound, new Map(tables.map((table) => [table, bound])), at)
    ]])
  }
}

/**
 * Whether a token knows of nothing.
 *
 * @since 0.1.0
 * @category comparing
 */
export const isEmpty = (self: ConsistencyToken): boolean => self.marks.size === 0

/**
 * Whether two tokens ask for the same.
 *
 * @since 0.1.0
 * @category comparing
 */
export const equals = (a: ConsistencyToken, b: ConsistencyToken): boolean =>
  a === b || (a.marks.size === b.marks.size && Array.from(a.marks).every(([database, mark]) => {
    const other = b.marks.get(database)
    return other !== undefined && marks.sameMark(mark, other)
  }))

/**
 * The token of a session that has seen what both have: commutative, associative, idempotent. It is `a` itself where `b` adds
 * nothing.
 *
 * @example
 * ```ts
 * import { ConsistencyToken, ReplicationPosition } from "effect-sql-router"
 * import { Either } from "effect"
 *
 * const at = (lsn: string) =>
 *   ConsistencyToken.make("main", {
 *     position: Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", lsn)),
 *     at: 0
 *   })
 *
 * ConsistencyToken.equals(ConsistencyToken.merge(at("16/B3"), at("16/FF")), at("16/FF")) // true
 * ```
 *
 * @since 0.1.0
 * @category combining
 */
export const merge = (a: ConsistencyToken, b: ConsistencyToken): ConsistencyToken => {
  if (a === b || isEmpty(b)) return a
  if (isEmpty(a)) return b
  let joined: Map<string, Mark> | undefined
  for (const [database, mark] of b.marks) {
    const known = a.marks.get(database)
    const both = known === undefined ? mark : marks.joinMarks(known, mark)
    if (both !== known) (joined ??= new Map(a.marks)).set(database, both)
  }
  return joined === undefined ? a : { marks: joined }
}

/**
 * A token without what has ended: time windows that are over, and the positions of marks older than `maxAge`. `now` and
 * `maxAge` are in milliseconds.
 *
 * @since 0.1.0
 * @category combining
 */
export const prune = (self: ConsistencyToken, now: number, maxAge: number): ConsistencyToken => {
  let pruned = self
  for (const [database, mark] of self.marks) {
    const isOld = mark.at + maxAge <= now
    pruned = replace(
      pruned,
      database,
      marks.mapBounds(mark, ({ position, until }) => ({
        position: isOld ? undefined : position,
        until: until > now ? until : 0
      }))
    )
  }
  return pruned
}

/** @internal */
export const nextEnd = (self: ConsistencyToken, maxAge: number): number => {
  let next = Number.POSITIVE_INFINITY
  for (const mark of self.marks.values()) {
    for (const { position, until } of [mark.all, ...mark.tables.values()]) {
      if (until > 0) next = Math.min(next, until)
      if (position !== undefined) next = Math.min(next, mark.at + maxAge)
    }
  }
  return next
}

/**
 * What is known of the primary when old positions are held against it.
 *
 * @since 0.1.0
 * @category failover
 */
export interface PrimaryHistory {
  /** Where the primary is. It must have been asked after the token came in, or a new write looks like a lost one. */
  readonly position: ReplicationPosition.ReplicationPosition
  /**
   * PostgreSQL: timelines before the primary's own, each with the position at which its history left it, as in the server's
   * timeline history file. Of a timeline that is not among them, no write is known to have survived.
   */
  readonly left?: ReadonlyMap<number, bigint> | undefined
  /** MariaDB: the last sequence of each server that wrote to a domain, as in `gtid_binlog_state`. */
  readonly written?: ReadonlyMap<number, ReadonlyMap<number, bigint>> | undefined
}

/**
 * A session has seen a write that its Database's primary does not have.
 *
 * - `timelineLeft`: PostgreSQL was failed over, and it is not known that the write had reached the new primary by then.
 * - `aheadOfPrimary`: the position lies beyond the primary's: a restored backup, a failover that lost it, or a forgery.
 * - `diverged`: MariaDB was failed over, and the new primary's log does not have the write.
 *
 * @since 0.1.0
 * @category failover
 */
export interface LostWriteSuspected {
  readonly _tag: "LostWriteSuspected"
  readonly database: string
  readonly reason: "timelineLeft" | "aheadOfPrimary" | "diverged"
  readonly position: ReplicationPosition.ReplicationPosition
  readonly primary: ReplicationPosition.ReplicationPosition
}

/**
 * What to ask replicas for in the place of a position, now that the primary is known, and whether a write seems lost.
 *
 * A position that the primary has stays. One from before a failover becomes the same of the new epoch if it survived. One
 * beyond the primary's is taken back to it. Of any other nothing can be said but that whatever is left of it is in what the
 * primary has: so that is asked for. Only a timeline later than the primary's stays: then it is this primary that was left.
 *
 * @since 0.1.0
 * @category failover
 */
export const standing = (
  position: ReplicationPosition.ReplicationPosition,
  primary: PrimaryHistory
): {
  readonly position: ReplicationPosition.ReplicationPosition
  readonly lost: LostWriteSuspected["reason"] | undefined
} => {
  const at = primary.position
  switch (ReplicationPosition.reached(at, position)) {
    case "reached":
      return { position, lost: undefined }
    case "behind":
      return { position: ReplicationPosition.clamp(position, at) ?? at, lost: "aheadOfPrimary" }
    case "otherHistory":
      return position._tag === "PgLsn" && at._tag === "PgLsn"
        ? standingInOtherEpoch(position, at, primary.left)
        : position._tag === "MariaGtid" && at._tag === "MariaGtid"
        ? standingInOtherDomains(position, at, primary.written)
        : { position: at, lost: undefined }
  }
}

const standingInOtherEpoch = (
  position: ReplicationPosition.PgLsn,
  at: ReplicationPosition.PgLsn,
  left: ReadonlyMap<number, bigint> | undefined
): ReturnType<typeof standing> => {
  const [then, today] = [ReplicationPosition.epochOf(position), ReplicationPosition.epochOf(at)]
  if (then.system !== today.system) return { position: at, lost: undefined }
  if (then.timeline > today.timeline) return { position, lost: undefined }
  const end = left?.get(then.timeline)
  return end !== undefined && position.lsn <= end
    ? { position: { ...position, epoch: at.epoch }, lost: undefined }
    : { position: at, lost: "timelineLeft" }
}

const standingInOtherDomains = (
  position: ReplicationPosition.MariaGtid,
  at: ReplicationPosition.MariaGtid,
  written: PrimaryHistory["written"]
): ReturnType<typeof standing> => {
  const domains = new Map<number, { readonly server: number; readonly sequence: bigint }>()
  for (const [domain, { sequence, server }] of position.domains) {
    const last = at.domains.get(domain)
    const ofServer = last?.server === server ? last.sequence : written?.get(domain)?.get(server)
    if (last === undefined || ofServer === undefined || ofServer < sequence) return { position: at, lost: "diverged" }
    domains.set(domain, { server: last.server, sequence })
  }
  return { position: { _tag: "MariaGtid", domains }, lost: undefined }
}

/**
 * A token whose positions of one Database are those of its primary's history, by {@link standing}, and the writes that seem
 * lost.
 *
 * @since 0.1.0
 * @category failover
 */
export const settle = (
  self: ConsistencyToken,
  database: string,
  primary: PrimaryHistory
): { readonly token: ConsistencyToken; readonly lost: ReadonlyArray<LostWriteSuspected> } => {
  const mark = self.marks.get(database)
  if (mark === undefined) return { token: self, lost: [] }
  const lost = new Map<string, LostWriteSuspected>()
  const settled = marks.mapBounds(mark, (bound) => {
    if (bound.position === undefined) return bound
    const { lost: reason, position } = standing(bound.position, primary)
    if (reason !== undefined) {
      lost.set(ReplicationPosition.format(bound.position), {
        _tag: "LostWriteSuspected",
        database,
        reason,
        position: bound.position,
        primary: primary.position
      })
    }
    return { ...bound, position }
  })
  return { token: replace(self, database, settled), lost: Array.from(lost.values()) }
}

/** @internal */
export const replace = (self: ConsistencyToken, database: string, mark: Mark | undefined): ConsistencyToken => {
  if (self.marks.get(database) === mark) return self
  const changed = new Map(self.marks)
  if (mark === undefined) changed.delete(database)
  else changed.set(database, mark)
  return changed.size === 0 ? empty : { marks: changed }
}

/**
 * A text was not a token, or not one to be trusted: it is taken for the empty token.
 *
 * @since 0.1.0
 * @category codec
 */
export class TokenIgnored extends Data.TaggedError("TokenIgnored")<{
  readonly reason: "malformed" | "unsupportedVersion" | "unsigned" | "badSignature" | "tooLong"
}> {
  override get message(): string {
    return `A consistency token was ignored (${this.reason}): the session begins as if it had seen nothing`
  }
}

/**
 * How many tokens were ignored, tagged with the reason.
 *
 * @since 0.1.0
 * @category codec
 */
export const ignoredTotal: Metric.Metric.Counter<number> = Metric.counter(
  "sql_router_consistency_token_ignored",
  { description: "Consistency tokens that were ignored, by reason", incremental: true }
)

/**
 * Options of a codec.
 *
 * @since 0.1.0
 * @category codec
 */
export interface TokenCodecOptions {
  /**
   * Secrets of at least 16 characters: the first one signs, any of them verifies, so that a key can be changed without
   * losing sessions. Tokens are not signed by default: sign those that pass through the hands of users.
   */
  readonly keys?: ReadonlyArray<Redacted.Redacted> | undefined
  /**
   * How long a mark counts. Default 60 seconds; no replica that lags behind by more may serve reads, clocks that differ
   * between processes included.
   */
  readonly maxAge?: Duration.DurationInput | undefined
  /** The longest text in characters. Default 1024, at least 128. */
  readonly maxLength?: number | undefined
}

/**
 * Turns tokens into short opaque texts and back.
 *
 * A PostgreSQL Database takes about 35 characters, a signature 23 more. What is said of single tables travels as said of
 * all. Of a token that would be too long, the oldest marks become a window in which only the primary is read.
 *
 * @since 0.1.0
 * @category codec
 */
export interface TokenCodec {
  /** How long a mark counts. */
  readonly maxAge: Duration.Duration
  /** The text of a token: letters, digits, `-`, `_` and `.`; empty for the empty token. */
  readonly encode: (token: ConsistencyToken) => Effect.Effect<string>
  /** The token of a text, or the reason to ignore it. */
  readonly decode: (text: string) => Effect.Effect<ConsistencyToken, TokenIgnored>
  /** The token of a text; the empty one, counted in `ignoredTotal`, where there is a reason to ignore it. */
  readonly decodeOrEmpty: (text: string) => Effect.Effect<ConsistencyToken>
}

/** 128 bits of SHA-256 are as many as an attacker who can only ask the server needs to be kept busy. */
const minKeyLength = 16
const minMaxLength = 128

/**
 * A codec. Fails with `ConfigurationError` where a key or the length is too short.
 *
 * @since 0.1.0
 * @category codec
 */
export const makeCodec = (options: TokenCodecOptions = {}): Effect.Effect<TokenCodec, ConfigurationError> => {
  const maxLength = options.maxLength ?? 1024
  const short = options.keys?.findIndex((key) => Redacted.value(key).length < minKeyLength) ?? -1
  if (short >= 0) {
    return Effect.fail(
      new ConfigurationError({ path: `keys[${short}]`, problem: `a key needs at least ${minKeyLength} characters` })
    )
  }
  if (!(maxLength >= minMaxLength)) {
    return Effect.fail(
      new ConfigurationError({ path: "maxLength", problem: `${maxLength} is below ${minMaxLength} characters` })
    )
  }
  return Effect.succeed(unsafeCodec(options.keys ?? [], Duration.decode(options.maxAge ?? "60 seconds"), maxLength))
}

const unsafeCodec = (
  keys: ReadonlyArray<Redacted.Redacted>,
  maxAge: Duration.Duration,
  maxLength: number
): TokenCodec => {
  const maxAgeMillis = Duration.toMillis(maxAge)
  const [signing] = keys
  const encode = (token: ConsistencyToken, wallClock: Times): string => {
    const current = prune(token, wallClock.now, maxAgeMillis)
    if (isEmpty(current)) return ""
    const room = maxLength - (signing === undefined ? 0 : signature.length)
    const payload = wire.encode(current.marks, { ahead: wallClock.ahead, maxAge: maxAgeMillis, maxLength: room })
    return signing === undefined ? payload : payload + signature.sign(signing, payload)
  }
  const decode = (text: string, wallClock: Times): Either.Either<ConsistencyToken, TokenIgnored> => {
    const ignored = (reason: TokenIgnored["reason"]) => Either.left(new TokenIgnored({ reason }))
    if (text === "") return Either.right(empty)
    if (text.length > maxLength) return ignored("tooLong")
    const [payload, signed] = signature.split(text)
    if (keys.length > 0) {
      if (signed === "") return ignored("unsigned")
      if (!keys.some((key) => signature.verify(key, payload, signed))) return ignored("badSignature")
    }
    const read = wire.decode(payload, { ahead: wallClock.ahead, now: wallClock.now, maxAge: maxAgeMillis })
    return typeof read === "string"
      ? ignored(read)
      : Either.right(prune({ marks: read }, wallClock.now, maxAgeMillis))
  }
  const decodeEffect = (text: string) => Effect.flatMap(times, (times) => decode(text, times))
  return {
    maxAge,
    encode: (token) => isEmpty(token) ? Effect.succeed("") : Effect.map(times, (times) => encode(token, times)),
    decode: decodeEffect,
    decodeOrEmpty: (text) =>
      Effect.catchTag(
        decodeEffect(text),
        "TokenIgnored",
        (ignored) =>
          Effect.logDebug(ignored.message).pipe(
            Effect.zipRight(Metric.increment(Metric.tagged(ignoredTotal, "reason", ignored.reason))),
            Effect.as(empty)
          )
      )
  }
}

interface Times {
  /** The monotonic clock, in milliseconds. */
  readonly now: number
  /** How far the time of day is ahead of it: it is set now and then, and a machine that slept has lost time. */
  readonly ahead: number
}

const times: Effect.Effect<Times> = Effect.clockWith((clock) =>
  Effect.sync(() => {
    const now = Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
    return { now, ahead: clock.unsafeCurrentTimeMillis() - now }
  })
)

/**
 * The codec of tokens that leave the process, in HTTP messages, jobs and stores. Unsigned by default.
 *
 * @since 0.1.0
 * @category codec
 */
export class CurrentTokenCodec extends Context.Reference<CurrentTokenCodec>()(
  "effect-sql-router/ConsistencyToken/CurrentTokenCodec",
  { defaultValue: (): TokenCodec => unsafeCodec([], Duration.seconds(60), 1024) }
) {}

/**
 * Provides the codec of tokens that leave the process.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { ConsistencyToken } from "effect-sql-router"
 *
 * const Signed = Layer.unwrapEffect(
 *   Effect.map(Config.redacted("TOKEN_KEY"), (key) => ConsistencyToken.layerCodec({ keys: [key] }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category codec
 */
export const layerCodec = (options: TokenCodecOptions): Layer.Layer<CurrentTokenCodec, ConfigurationError> =>
  Layer.effect(CurrentTokenCodec, makeCodec(options))

const ConsistencyTokenFromSelf: Schema.Schema<ConsistencyToken> = Schema.declare(
  (u): u is ConsistencyToken => typeof u === "object" && u !== null && "marks" in u && u.marks instanceof Map,
  { identifier: "ConsistencyToken" }
)

/**
 * The schema of a token as a text, in a job's payload or a message. Decoding never fails: what is not to be trusted is the
 * empty token, and counted.
 *
 * @since 0.1.0
 * @category codec
 */
export const schema = (codec: TokenCodec): Schema.Schema<ConsistencyToken, string> =>
  Schema.transformOrFail(Schema.String, ConsistencyTokenFromSelf, {
    strict: true,
    decode: codec.decodeOrEmpty,
    encode: codec.encode
  })
