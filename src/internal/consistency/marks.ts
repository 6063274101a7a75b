import * as ReplicationPosition from "../../ReplicationPosition.js"

type Position = ReplicationPosition.ReplicationPosition

/** What a server must have to serve a read, and until when only the primary may. */
export interface Bound {
  readonly position: Position | undefined
  readonly until: number
}

/**
 * What must be known of one Database. A function from tables to bounds, written as its value for all tables and those of
 * the tables that ask for more: with each of these at least as strong as `all`, no two marks mean the same.
 */
export interface Mark {
  readonly all: Bound
  readonly tables: ReadonlyMap<string, Bound>
  readonly at: number
}

export const noBound: Bound = { position: undefined, until: 0 }

const noTables: ReadonlyMap<string, Bound> = new Map()

const samePosition = (a: Position | undefined, b: Position | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && ReplicationPosition.equals(a, b))

export const sameBound = (a: Bound, b: Bound): boolean =>
  a === b || (a.until === b.until && samePosition(a.position, b.position))

export const sameMark = (a: Mark, b: Mark): boolean =>
  a === b || (
    a.at === b.at && sameBound(a.all, b.all) && a.tables.size === b.tables.size &&
    Array.from(a.tables).every(([table, bound]) => {
      const other = b.tables.get(table)
      return other !== undefined && sameBound(bound, other)
    })
  )

/** The same object as `a` where `b` adds nothing. */
export const joinBounds = (a: Bound, b: Bound): Bound => {
  if (a === b) return a
  const until = a.until >= b.until ? a.until : b.until
  const position = a.position === undefined
    ? b.position
    : b.position === undefined
    ? a.position
    : ReplicationPosition.merge(a.position, b.position)
  return until === a.until && samePosition(position, a.position) ? a : { position, until }
}

export const makeMark = (all: Bound, tables: ReadonlyMap<string, Bound>, at: number): Mark => {
  if (tables.size === 0) return { all, tables: noTables, at }
  const stronger = new Map<string, Bound>()
  for (const [table, bound] of tables) {
    const joined = joinBounds(all, bound)
    if (joined !== all) stronger.set(table, joined)
  }
  return { all, tables: stronger.size === 0 ? noTables : stronger, at }
}

/** The same object as `a` where `b` adds nothing. */
export const joinMarks = (a: Mark, b: Mark): Mark => {
  if (a === b) return a
  const all = joinBounds(a.all, b.all)
  const tables = new Map(a.tables)
  for (const [table, bound] of b.tables) {
    const known = tables.get(table)
    tables.set(table, known === undefined ? bound : joinBounds(known, bound))
  }
  const joined = makeMark(all, tables, a.at >= b.at ? a.at : b.at)
  return sameMark(a, joined) ? a : joined
}

/** A mark with each of its bounds changed; `undefined` if nothing of it is left. */
export const mapBounds = (mark: Mark, change: (bound: Bound) => Bound): Mark | undefined => {
  const all = change(mark.all)
  const tables = new Map(Array.from(mark.tables, ([table, bound]) => [table, change(bound)] as const))
  const changed = makeMark(all, tables, mark.at)
  return isNothing(changed) ? undefined : sameMark(mark, changed) ? mark : changed
}

const isNothing = ({ all, tables }: Mark): boolean => sameBound(all, noBound) && tables.size === 0

/** The bound of a read of these tables; of any table, where it is not known which. */
export const boundOf = (mark: Mark, tables: Iterable<string> | undefined): Bound => {
  let bound = mark.all
  if (mark.tables.size === 0) return bound
  if (tables === undefined) {
    for (const one of mark.tables.values()) bound = joinBounds(bound, one)
    return bound
  }
  for (const table of tables) {
    const one = mark.tables.get(table)
    if (one !== undefined) bound = joinBounds(bound, one)
  }
  return bound
}
