/**
 * The bytes of a token: a version, then each mark as
 *
 *     name     length as varint, UTF-8
 *     shape    bits 0-1 the kind of position (0 none, 1 PostgreSQL, 2 MariaDB, 3 MySQL), bit 2 a window follows
 *     at       seconds since 1970, 4 bytes
 *     until    seconds since 1970, 4 bytes, if there is a window
 *     position PostgreSQL: system identifier in 8 bytes, timeline, log position
 *              MariaDB: count, then domain, server and sequence of each
 *              MySQL: count, then of each source the UUID in 16 bytes, its tag like a name, count of intervals, and of
 *              these the distance from the end of the one before, and the length
 *
 * with numbers as varints (LEB128). Times are rounded up, so that a mark never ends too early.
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as ReplicationPosition from "../../ReplicationPosition.js"
import * as marks from "./marks.js"

type Position = ReplicationPosition.ReplicationPosition
type Marks = ReadonlyMap<string, marks.Mark>

const version = 1
const hasWindow = 4
const everyDatabase = "*"

/** A mark as it travels: what holds for some tables is said of all. */
interface Flat {
  readonly database: string
  readonly position: Position | undefined
  readonly until: number
  readonly at: number
}

/** The text of a token that is not empty. */
export const encode = (
  token: Marks,
  { ahead, maxAge, maxLength }: { readonly ahead: number; readonly maxAge: number; readonly maxLength: number }
): string => {
  const windowOf = (at: number) => at + maxAge
  const newestFirst = Array.from(token, ([database, mark]): Flat => {
    const { position, until } = marks.boundOf(mark, undefined)
    return { database, position, until: Math.min(until, windowOf(mark.at)), at: mark.at }
  }).toSorted((a, b) => b.at - a.at || (a.database < b.database ? -1 : 1))
  for (let whole = newestFirst.length; whole >= 0; whole--) {
    const text = write(
      newestFirst.map((mark, i) => i < whole ? mark : { ...mark, position: undefined, until: windowOf(mark.at) }),
      ahead
    )
    if (text.length <= maxLength) return text
  }
  const { at } = newestFirst[0]!
  return write([{ database: everyDatabase, position: undefined, until: windowOf(at), at }], ahead)
}

const write = (flats: ReadonlyArray<Flat>, ahead: number): string => {
  const out: Array<number> = [version]
  for (const { at, database, position, until } of flats) {
    writeText(out, database)
    out.push((position === undefined ? 0 : kinds.indexOf(position._tag)) | (until > 0 ? hasWindow : 0))
    writeSeconds(out, at + ahead)
    if (until > 0) writeSeconds(out, until + ahead)
    if (position !== undefined) writePosition(out, position)
  }
  return Encoding.encodeBase64Url(Uint8Array.from(out))
}

const kinds: ReadonlyArray<Position["_tag"] | undefined> = [undefined, "PgLsn", "MariaGtid", "MysqlGtid"]

const writePosition = (out: Array<number>, position: Position): void => {
  switch (position._tag) {
    case "PgLsn": {
      const { system, timeline } = ReplicationPosition.epochOf(position)
      writeBytes(out, system, 8)
      writeVarint(out, BigInt(timeline))
      return writeVarint(out, position.lsn)
    }
    case "MariaGtid":
      writeVarint(out, BigInt(position.domains.size))
      for (const [domain, { sequence, server }] of position.domains) {
        writeVarint(out, BigInt(domain))
        writeVarint(out, BigInt(server))
        writeVarint(out, sequence)
      }
      return
    case "MysqlGtid":
      writeVarint(out, BigInt(position.sets.size))
      for (const [source, intervals] of position.sets) {
        const [uuid, tag] = source.split(":")
        writeBytes(out, BigInt(`0x${uuid!.replaceAll("-", "")}`), 16)
        writeText(out, tag ?? "")
        writeVarint(out, BigInt(intervals.length))
        let end = 0n
        for (const [first, last] of intervals) {
          writeVarint(out, first - end)
          writeVarint(out, last - first)
          end = last
        }
      }
      return
  }
}

const writeVarint = (out: Array<number>, value: bigint): void => {
  let rest = value
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
}

const writeBytes = (out: Array<number>, value: bigint, count: number): void => {
  for (let i = count - 1; i >= 0; i--) out.push(Number((value >> BigInt(8 * i)) & 0xffn))
}

const writeSeconds = (out: Array<number>, millis: number): void =>
  writeBytes(out, BigInt(Math.min(Math.max(Math.ceil(millis / 1000), 0), 0xffff_ffff)), 4)

const writeText = (out: Array<number>, text: string): void => {
  const bytes = new TextEncoder().encode(text)
  writeVarint(out, BigInt(bytes.length))
  for (const byte of bytes) out.push(byte)
}

/**
 * The marks of a text, or why there are none. No time of it lies in the future, nor a window beyond `maxAge` from now,
 * whatever the clock of its writer, or a forger, says.
 */
export const decode = (
  text: string,
  { ahead, maxAge, now }: { readonly ahead: number; readonly maxAge: number; readonly now: number }
): Marks | "malformed" | "unsupportedVersion" => {
  const bytes = Encoding.decodeBase64Url(text)
  if (Either.isLeft(bytes) || bytes.right.length === 0) return "malformed"
  if (bytes.right[0] !== version) return "unsupportedVersion"
  const reader = new Reader(bytes.right)
  const token = new Map<string, marks.Mark>()
  while (!reader.isAtEnd) {
    const database = reader.text()
    const shape = reader.byte()
    const at = Math.min(reader.seconds() - ahead, now)
    const until = (shape & hasWindow) === 0 ? 0 : Math.min(reader.seconds() - ahead, now + maxAge)
    const position = reader.position(kinds[shape & 3])
    if (reader.failed || shape > 7 || token.has(database)) return "malformed"
    token.set(database, marks.makeMark({ position, until }, new Map(), at))
  }
  return token
}

/** Reads what it can; once something is missing or out of range it has `failed` and gives zeros. */
class Reader {
  failed = false
  private offset = 1

  constructor(private readonly bytes: Uint8Array) {}

  get isAtEnd(): boolean {
    return this.failed || this.offset >= this.bytes.length
  }

  byte(): number {
    const byte = this.bytes[this.offset++]
    return byte ?? this.fail(0)
  }

  number(count: number): bigint {
    let value = 0n
    for (let i = 0; i < count; i++) value = value << 8n | BigInt(this.byte())
    return value
  }

  varint(max: bigint): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value <= max ? value : this.fail(0n)
    }
    return this.fail(0n)
  }

  seconds(): number {
    return Number(this.number(4)) * 1000
  }

  text(): string {
    const length = Number(this.varint(BigInt(this.bytes.length)))
    const end = this.offset + length
    if (end > this.bytes.length) return this.fail("")
    const slice = this.bytes.subarray(this.offset, end)
    this.offset = end
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(slice)
    } catch {
      return this.fail("")
    }
  }

  position(kind: Position["_tag"] | undefined): Position | undefined {
    switch (kind) {
      case undefined:
        return undefined
      case "PgLsn": {
        const system = this.number(8)
        const timeline = this.varint(maxUint32)
        return { _tag: "PgLsn", epoch: `${system}/${timeline}`, lsn: this.varint(maxUint64) }
      }
      case "MariaGtid": {
        const domains = new Map<number, { readonly server: number; readonly sequence: bigint }>()
        for (let left = this.count(); left > 0 && !this.failed; left--) {
          const domain = Number(this.varint(maxUint32))
          const server = Number(this.varint(maxUint32))
          domains.set(domain, { server, sequence: this.varint(maxUint64) })
        }
        return { _tag: "MariaGtid", domains }
      }
      case "MysqlGtid":
        return this.mysql()
    }
  }

  /** Through the constructor of positions, which knows what a set may be. */
  private mysql(): Position {
    const sets: Array<string> = []
    for (let left = this.count(); left > 0 && !this.failed; left--) {
      const hex = this.number(16).toString(16).padStart(32, "0")
      const uuid = [0, 8, 12, 16, 20].map((from, i) => hex.slice(from, [8, 12, 16, 20, 32][i])).join("-")
      const tag = this.text()
      const parts = tag === "" ? [uuid] : [uuid, tag]
      let end = 0n
      for (let intervals = this.count(); intervals > 0 && !this.failed; intervals--) {
        const first = end + this.varint(maxUint64)
        end = first + this.varint(maxUint64)
        parts.push(`${first}-${end}`)
      }
      sets.push(parts.join(":"))
    }
    const position = ReplicationPosition.mysqlGtid(sets.join(","))
    return Either.isRight(position) ? position.right : this.fail({ _tag: "MysqlGtid", sets: new Map() })
  }

  /** No more than there are bytes. */
  private count(): number {
    return Number(this.varint(BigInt(this.bytes.length)))
  }

  private fail<A>(value: A): A {
    this.failed = true
    return value
  }
}

const maxUint32 = 0xffff_ffffn
const maxUint64 = 0xffff_ffff_ffff_ffffn
