/** What the cap has to know of a pool. */
export interface Member {
  /** Connections kept open even when idle. */
  readonly min: number
  /** Connections that are open, being opened, or saying good-bye. */
  readonly places: number
  /** Those of them that will be free soon. */
  readonly farewells: number
  /** How many more it would open now. */
  readonly wanted: number
  readonly isAboveMin: boolean
  /** Since when its least recently used idle connection is idle. */
  readonly oldestIdle: bigint | undefined
  /** Since when its first borrower in line waits. */
  readonly waitingSince: bigint | undefined
  /** Opens what it wants, asking {@link ConnectionBudget.admits} for each. */
  readonly grow: () => void
  readonly evictOldest: () => void
}

/**
 * The cap over all pools of a router.
 *
 * A pool that needs a connection when the cap is reached stands in line, and another pool closes an idle one for it: the
 * one unused for longest, of a pool above its `min`. Where none is idle, busy pools share evenly: one that has more than
 * a pool in line gives up what is given back to it. So no pool starves, and pools that are all busy come to rest instead
 * of taking connections from each other for ever.
 */
export class ConnectionBudget {
  private readonly pools = new Set<Member>()
  private readonly line = new Set<Member>()

  constructor(readonly limit: number) {}

  get open(): number {
    let open = 0
    for (const pool of this.pools) open += pool.places
    return open
  }

  /** Why some pool could never have a connection, if that is so: those kept warm are not taken from a pool. */
  get problem(): string | undefined {
    let warm = 0
    let others = 0
    for (const { min } of this.pools) {
      warm += min
      if (min === 0) others = 1
    }
    return warm + others > this.limit
      ? `${this.limit} is too little beside the ${warm} connections that the pools keep open as their min`
      : undefined
  }

  join(pool: Member): void {
    this.pools.add(pool)
  }

  leave(pool: Member): void {
    this.pools.delete(pool)
    this.line.delete(pool)
    this.serve()
  }

  /** Whether the pool may open a connection now; if not, it is asked to grow as soon as it may. */
  admits(pool: Member): boolean {
    const first = this.firstInLine()
    if (this.open < this.limit && (first === undefined || first === pool)) {
      this.line.delete(pool)
      return true
    }
    this.line.add(pool)
    for (let lacking = this.lacking; lacking > 0; lacking--) {
      const victim = this.leastRecentlyUsed()
      if (victim === undefined) break
      victim.evictOldest()
    }
    return false
  }

  /** A place is free again: whoever stands in line first may have it. */
  serve(): void {
    while (this.open < this.limit) {
      const first = this.firstInLine()
      if (first === undefined) return
      const before = this.open
      first.grow()
      if (this.open === before) this.line.delete(first)
    }
  }

  /** Whether the connection that was just given back to a pool should make room for one of a pool in line. */
  claims(pool: Member): boolean {
    if (this.line.size === 0 || !pool.isAboveMin || this.lacking <= 0) return false
    const waitingSince = pool.waitingSince
    if (waitingSince === undefined) return true
    for (const other of this.line) {
      const since = other.waitingSince
      if (since === undefined) continue
      if (pool.places > other.places + 1 || (other.places === 0 && since < waitingSince)) return true
    }
    return false
  }

  /** The borrowers of a pool in line may have left meanwhile. */
  private firstInLine(): Member | undefined {
    for (const pool of this.line) {
      if (pool.wanted > 0) return pool
      this.line.delete(pool)
    }
    return undefined
  }

  /** How many more places pools in line need than will be free soon. */
  private get lacking(): number {
    let lacking = this.open - this.limit
    for (const pool of this.line) lacking += pool.wanted
    for (const pool of this.pools) lacking -= pool.farewells
    return lacking
  }

  private leastRecentlyUsed(): Member | undefined {
    let victim: Member | undefined
    for (const pool of this.pools) {
      const since = pool.isAboveMin ? pool.oldestIdle : undefined
      if (since !== undefined && (victim === undefined || since < victim.oldestIdle!)) victim = pool
    }
    return victim
  }
}
