/**
 * How far a server is in the history of a database's writes: as PostgreSQL, MariaDB or MySQL counts it.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"

/**
 * A position in PostgreSQL's write-ahead log. It means something only in its epoch: after a failover the same number may
 * stand for another write.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgLsn {
  readonly _tag: "PgLsn"
  /** `<system identifier>/<timeline>`, both in decimal. */
  readonly epoch: string
  /** Bytes since the log began. */
  readonly lsn: bigint
}

/**
 * A position of MariaDB: the last transaction of each replication domain. `gtid_strict_mode` is taken to be on, so that the
 * sequence of a domain only grows. The server that wrote it is the epoch: after a failover the same number, or one before it,
 * may stand for another write.
 *
 * @since 0.1.0
 * @category models
 */
export interface MariaGtid {
  readonly _tag: "MariaGtid"
  readonly domains: ReadonlyMap<number, { readonly server: number; readonly sequence: bigint }>
}

/**
 * A position of MySQL: the set of transactions a server has. The key is the server that a transaction came from,
 * `<uuid>` or `<uuid>:<tag>`; the intervals are closed, in order, and neither touch nor overlap.
 *
 * @since 0.1.0
 * @category models
 */
export interface MysqlGtid {
  readonly _tag: "MysqlGtid"
  readonly sets: ReadonlyMap<string, ReadonlyArray<readonly [first: bigint, last: bigint]>>
}

/**
 * How far a server is in the history of a database's writes.
 *
 * @since 0.1.0
 * @category models
 */
export type ReplicationPosition = PgLsn | MariaGtid | MysqlGtid

/**
 * A text is not a position of the kind that was expected.
 *
 * @since 0.1.0
 * @category errors
 */
export class MalformedPosition extends Data.TaggedError("MalformedPosition")<{
  readonly input: string
  /** What was expected, with an example. */
  readonly expected: string
}> {
  override get message(): string {
    const shown = this.input.length > 80 ? `${this.input.slice(0, 79)}…` : this.input
    return `"${shown}" is not ${this.expected}`
  }
}

const malformed = (input: string, expected: string) => Either.left(new MalformedPosition({ input, expected }))

const maxUint32 = 0xffff_ffff
const maxUint64 = 0xffff_ffff_ffff_ffffn
const maxInt64 = 0x7fff_ffff_ffff_ffffn

const epochPattern = /^(\d{1,20})\/(\d{1,10})$/
const lsnPattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/**
 * A PostgreSQL position from its epoch, `<system identifier>/<timeline>`, and the text of a `pg_lsn`.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ReplicationPosition } from "effect-sql-router"
 *
 * const before = Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", "16/B374D848"))
 * const after = Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", "16/B374D900"))
 *
 * ReplicationPosition.reached(before, after) // "behind"
 * ReplicationPosition.distance(before, after) // 184n
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const pgLsn = (epoch: string, lsn: string): Either.Either<PgLsn, MalformedPosition> => {
  const epochParts = epochPattern.exec(epoch)
  if (
    epochParts === null || BigInt(epochParts[1]!) > maxUint64 || Number(epochParts[2]) > maxUint32
  ) {
    return malformed(epoch, "a PostgreSQL epoch, a system identifier and a timeline such as 7312345678901234567/1")
  }
  const parts = lsnPattern.exec(lsn)
  if (parts === null) return malformed(lsn, "a PostgreSQL log position such as 16/B374D848")
  return Either.right({
    _tag: "PgLsn",
    epoch: `${BigInt(epochParts[1]!)}/${Number(epochParts[2])}`,
    lsn: BigInt(`0x${parts[1]}`) << 32n | BigInt(`0x${parts[2]}`)
  })
}

const mariaPattern = /^(\d{1,10})-(\d{1,10})-(\d{1,20})$/

/**
 * A MariaDB position from a list such as `0-1-42,1-2-7`. The empty text is the position before any transaction.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mariaGtid = (text: string): Either.Either<MariaGtid, MalformedPosition> => {
  const domains = new Map<number, { readonly server: number; readonly sequence: bigint }>()
  for (const item of items(text)) {
    const parts = mariaPattern.exec(item)
    const domain = Number(parts?.[1])
    const server = Number(parts?.[2])
    const sequence = BigInt(parts?.[3] ?? 0)
    if (parts === null || domain > maxUint32 || server > maxUint32 || sequence > maxUint64) {
      return malformed(text, "a MariaDB GTID list such as 0-1-42,1-2-7")
    }
    domains.set(domain, laterInDomain(domains.get(domain), { server, sequence }))
  }
  return Either.right({ _tag: "MariaGtid", domains })
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const intervalPattern = /^(\d{1,19})(?:-(\d{1,19}))?$/
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/

/**
 * A MySQL position from a GTID set such as `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7`, tags included. The empty text is
 * the position before any transaction.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mysqlGtid = (text: string): Either.Either<MysqlGtid, MalformedPosition> => {
  const expected = "a MySQL GTID set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7"
  const sets = new Map<string, Array<readonly [bigint, bigint]>>()
  for (const item of items(text.toLowerCase())) {
    const [uuid, ...rest] = item.split(":").map((part) => part.trim())
    if (!uuidPattern.test(uuid!) || rest.length === 0) return malformed(text, expected)
    let source = uuid!
    let intervals = 0
    for (const part of rest) {
      if (tagPattern.test(part)) {
        source = `${uuid}:${part}`
        continue
      }
      const parts = intervalPattern.exec(part)
      const first = BigInt(parts?.[1] ?? 0)
      const last = BigInt(parts?.[2] ?? first)
      if (parts === null || first < 1n || last < first || last > maxInt64) return malformed(text, expected)
      const set = sets.get(source)
      if (set === undefined) sets.set(source, [[first, last]])
      else set.push([first, last])
      intervals++
    }
    if (intervals === 0) return malformed(text, expected)
  }
  return Either.right({
    _tag: "MysqlGtid",
    sets: new Map(Array.from(sets, ([source, intervals]) => [source, inOrder(intervals)]))
  })
}

/** The servers put a line break after each comma of a long list. */
const items = (text: string): ReadonlyArray<string> =>
  text.trim() === "" ? [] : text.split(",").map((item) => item.trim())

const inOrder = (
  intervals: ReadonlyArray<readonly [bigint, bigint]>
): ReadonlyArray<readonly [bigint, bigint]> => {
  const joined: Array<readonly [bigint, bigint]> = []
  for (const [first, last] of intervals.toSorted((a, b) => (a[0] < b[0] ? -1 : 1))) {
    const previous = joined.at(-1)
    if (previous === undefined || first > previous[1] + 1n) joined.push([first, last])
    else if (last > previous[1]) joined[joined.length - 1] = [previous[0], last]
  }
  return joined
}

/**
 * The system and the timeline of a PostgreSQL position.
 *
 * @since 0.1.0
 * @category accessors
 */
export const epochOf = (position: PgLsn): { readonly system: bigint; readonly timeline: number } => {
  const [system, timeline] = position.epoch.split("/")
  return { system: BigInt(system!), timeline: Number(timeline) }
}

/**
 * Whether a server that is at `replica` has everything up to `wanted`.
 *
 * `otherHistory`: the two cannot be compared, so nothing is claimed. That is so for PostgreSQL in another epoch, also on
 * a later timeline of the same system: there a lower position may be lost and a higher one somebody else's write. For
 * MariaDB it is so where a domain that is as far was last written to by another server. MySQL names each transaction by its
 * server, so a lost one stays `behind` for ever.
 *
 * @since 0.1.0
 * @category comparing
 */
export const reached = (
  replica: ReplicationPosition,
  wanted: ReplicationPosition
): "reached" | "behind" | "otherHistory" => {
  switch (wanted._tag) {
    case "PgLsn":
      return replica._tag !== "PgLsn" || replica.epoch !== wanted.epoch
        ? "otherHistory"
        : replica.lsn >= wanted.lsn
        ? "reached"
        : "behind"
    case "MariaGtid":
      return replica._tag === "MariaGtid" ? reachedMaria(replica, wanted) : "otherHistory"
    case "MysqlGtid":
      if (replica._tag !== "MysqlGtid") return "otherHistory"
      for (const [source, intervals] of wanted.sets) {
        const executed = replica.sets.get(source) ?? []
        const isIn = ([first, last]: readonly [bigint, bigint]) => executed.some((_) => _[0] <= first && last <= _[1])
        if (!intervals.every(isIn)) return "behind"
      }
      return "reached"
  }
}

const reachedMaria = (replica: MariaGtid, wanted: MariaGtid): "reached" | "behind" | "otherHistory" => {
  let verdict: "reached" | "behind" = "reached"
  for (const [domain, { sequence, server }] of wanted.domains) {
    const at = replica.domains.get(domain)
    if (at === undefined || at.sequence < sequence) verdict = "behind"
    else if (at.server !== server) return "otherHistory"
  }
  return verdict
}

const laterInDomain = (
  a: { readonly server: number; readonly sequence: bigint } | undefined,
  b: { readonly server: number; readonly sequence: bigint }
) =>
  a === undefined || b.sequence > a.sequence || (b.sequence === a.sequence && b.server > a.server)
    ? b
    : a

/**
 * The earliest position that has both. Commutative, associative and idempotent, whatever is merged.
 *
 * Two timelines of one PostgreSQL system give the later timeline with the higher of the two numbers: a replica that has
 * just changed over may not have replayed yet what the older position stands for. Two systems give the younger one, whose
 * identifier is higher, for it begins with the time the system was made. Of two kinds of server one is taken. Where
 * that is not the one in use, {@link reached} says `otherHistory`, and the primary is read.
 *
 * @since 0.1.0
 * @category combining
 */
export const merge = (a: ReplicationPosition, b: ReplicationPosition): ReplicationPosition => {
  if (a === b) return a
  if (a._tag === "PgLsn" && b._tag === "PgLsn") return mergePg(a, b)
  if (a._tag === "MariaGtid" && b._tag === "MariaGtid") {
    const domains = new Map(a.domains)
    for (const [domain, last] of b.domains) domains.set(domain, laterInDomain(domains.get(domain), last))
    return { _tag: "MariaGtid", domains }
  }
  if (a._tag === "MysqlGtid" && b._tag === "MysqlGtid") {
    const sets = new Map(a.sets)
    for (const [source, intervals] of b.sets) sets.set(source, inOrder([...sets.get(source) ?? [], ...intervals]))
    return { _tag: "MysqlGtid", sets }
  }
  return a._tag > b._tag ? a : b
}

const mergePg = (a: PgLsn, b: PgLsn): PgLsn => {
  if (a.epoch === b.epoch) return a.lsn >= b.lsn ? a : b
  const [ofA, ofB] = [epochOf(a), epochOf(b)]
  if (ofA.system !== ofB.system) return ofA.system > ofB.system ? a : b
  const later = ofA.timeline > ofB.timeline ? a : b
  return { _tag: "PgLsn", epoch: later.epoch, lsn: a.lsn > b.lsn ? a.lsn : b.lsn }
}

/**
 * The part of `position` that a server at `limit` has; `undefined` where the two have no history in common.
 *
 * @since 0.1.0
 * @category combining
 */
export const clamp = <P extends ReplicationPosition>(
  position: P,
  limit: ReplicationPosition
): ReplicationPosition | undefined => {
  const wanted: ReplicationPosition = position
  switch (wanted._tag) {
    case "PgLsn":
      if (limit._tag !== "PgLsn" || limit.epoch !== wanted.epoch) return undefined
      return limit.lsn < wanted.lsn ? limit : wanted
    case "MariaGtid": {
      if (limit._tag !== "MariaGtid") return undefined
      const domains = new Map<number, { readonly server: number; readonly sequence: bigint }>()
      for (const [domain, last] of wanted.domains) {
        const at = limit.domains.get(domain)
        if (at !== undefined) domains.set(domain, at.sequence > last.sequence ? { ...last, server: at.server } : at)
      }
      return { _tag: "MariaGtid", domains }
    }
    case "MysqlGtid": {
      if (limit._tag !== "MysqlGtid") return undefined
      const sets = new Map<string, ReadonlyArray<readonly [bigint, bigint]>>()
      for (const [source, intervals] of wanted.sets) {
        const common = intervals.flatMap(([first, last]) =>
          (limit.sets.get(source) ?? []).flatMap(([from, to]): Array<readonly [bigint, bigint]> => {
            const [low, high] = [first > from ? first : from, last < to ? last : to]
            return low <= high ? [[low, high]] : []
          })
        )
        if (common.length > 0) sets.set(source, common)
      }
      return { _tag: "MysqlGtid", sets }
    }
  }
}

/**
 * How many bytes of log a server at `replica` still has to replay to be at `wanted`, 0 if none; `undefined` where bytes are
 * not counted (GTIDs) or the two are of different epochs.
 *
 * @since 0.1.0
 * @category comparing
 */
export const distance = (replica: ReplicationPosition, wanted: ReplicationPosition): bigint | undefined =>
  replica._tag !== "PgLsn" || wanted._tag !== "PgLsn" || replica.epoch !== wanted.epoch
    ? undefined
    : replica.lsn >= wanted.lsn
    ? 0n
    : wanted.lsn - replica.lsn

/**
 * Whether two positions are the same.
 *
 * @since 0.1.0
 * @category comparing
 */
export const equals = (a: ReplicationPosition, b: ReplicationPosition): boolean =>
  a === b || (a._tag === "PgLsn" && b._tag === "PgLsn"
    ? a.lsn === b.lsn && a.epoch === b.epoch
    : a._tag === b._tag && format(a) === format(b))

/**
 * A position as its server writes it, to be sent in a statement: digits, hexadecimal digits, commas, colons and hyphens
 * only. The epoch of a PostgreSQL position is not part of it.
 *
 * @since 0.1.0
 * @category rendering
 */
export const format = (position: ReplicationPosition): string => {
  switch (position._tag) {
    case "PgLsn":
      return `${(position.lsn >> 32n).toString(16)}/${(position.lsn & 0xffff_ffffn).toString(16)}`.toUpperCase()
    case "MariaGtid":
      return Array.from(position.domains)
        .toSorted(([a], [b]) => a - b)
        .map(([domain, { sequence, server }]) => `${domain}-${server}-${sequence}`)
        .join(",")
    case "MysqlGtid":
      return Array.from(position.sets)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([source, intervals]) =>
          [source, ...intervals.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))].join(":")
        )
        .join(",")
  }
}
