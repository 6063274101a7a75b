/** The arithmetic of lag: where the primary was when, how far behind that a replica is, and when that is too far. */
import type { ReplicationPosition } from "../ReplicationPosition.js"

/** How far behind a point of the primary's history is, in time. */
export type Behind =
  | { readonly _tag: "Known"; readonly millis: number }
  /** The point is before all that was seen of the primary. */
  | { readonly _tag: "AtLeast"; readonly millis: number }
  | { readonly _tag: "Unknown" }

export const unknown: Behind = { _tag: "Unknown" }
export const caughtUp: Behind = { _tag: "Known", millis: 0 }

/** The primary was at a point from `first` to `last`, as far as was seen. */
interface Stay {
  readonly point: bigint
  readonly first: number
  last: number
}

/**
 * When the primary was where, by our own clock: what turns a replica's place into a time. While the primary rests nothing
 * is added, and nobody falls behind.
 */
export class PrimaryHistory {
  private stays: Array<Stay> = []

  constructor(
    /** How far back it is kept, in milliseconds. */
    private readonly window: number,
    /** Whether the primary moves between two sightings at an even pace, and not all at once at the second. */
    private readonly isEven: boolean
  ) {}

  /** The primary is at `point` now. */
  see(point: bigint, now: number): void {
    const latest = this.stays.at(-1)
    // A restored backup, or another server, has a history of its own.
    if (latest !== undefined && point < latest.point) this.stays = []
    if (latest?.point === point) latest.last = now
    else this.stays.push({ point, first: now, last: now })
    // The one before the window is where the window's first change began.
    const outdated = this.stays.findIndex((stay) => stay.last >= now - this.window) - 1
    if (outdated > 0) this.stays.splice(0, outdated)
  }

  forget(): void {
    this.stays = []
  }

  /** How long ago the primary left `point`. */
  behind(point: bigint, now: number): Behind {
    const { stays } = this
    const next = stays.findIndex((stay) => stay.point > point)
    if (stays.length === 0) return unknown
    if (next < 0) return caughtUp
    if (next === 0) return { _tag: "AtLeast", millis: now - stays[0]!.first }
    const [from, to] = [stays[next - 1]!, stays[next]!]
    const done = Number(point - from.point) / Number(to.point - from.point)
    const left = this.isEven ? from.last + done * (to.first - from.last) : to.first
    return { _tag: "Known", millis: now - left }
  }
}

/** Whether a replica is near enough to be read, and how often in a row it was measured not to be. */
export type Standing =
  | { readonly _tag: "In"; readonly exceeded: number }
  | { readonly _tag: "Out" }

export const initialStanding: Standing = { _tag: "In", exceeded: 0 }

/** One long transaction makes everyone lag for a moment: it takes two measurements to be out, and a margin to be back. */
const samplesToBeOut = 2
const shareToBeBack = 0.5

/** A replica's standing after another measurement; what is unknown changes nothing. */
export const judge = (standing: Standing, behind: Behind, maxLag: number): Standing => {
  if (behind._tag === "Unknown") return standing
  if (standing._tag === "Out") {
    return behind._tag === "Known" && behind.millis < shareToBeBack * maxLag ? initialStanding : standing
  }
  if (behind.millis <= maxLag) return behind._tag === "Known" ? initialStanding : standing
  const exceeded = standing.exceeded + 1
  return exceeded < samplesToBeOut ? { _tag: "In", exceeded } : { _tag: "Out" }
}

/** The place in the history that a position stands for: bytes, or transactions. */
export const pointOf = (position: ReplicationPosition): bigint => {
  let point = 0n
  switch (position._tag) {
    case "PgLsn":
      return position.lsn
    case "MariaGtid":
      for (const { sequence } of position.domains.values()) point += sequence
      return point
    case "MysqlGtid":
      for (const intervals of position.sets.values()) {
        for (const [first, last] of intervals) point += last - first + 1n
      }
      return point
  }
}
