/** How much a cache may hold. */
export interface CacheLimits {
  /** Texts. */
  readonly entries: number
  /** Characters of a text; longer ones are not kept. */
  readonly textLength: number
}

export interface Cache<A> {
  /** The value of a text, computed if it is not there. */
  readonly get: (text: string) => A
  readonly clear: () => void
  readonly size: () => number
}

interface Entry<A> {
  readonly key: string
  readonly value: A
  wasHit: boolean
  newer: Entry<A> | undefined
  older: Entry<A> | undefined
}

/**
 * A cache by text that keeps what is asked for again: SIEVE (Zhang et al., NSDI 2024).
 *
 * Entries queue by age and are never moved. A hand goes from the oldest to the newest: an entry that was hit since it last
 * came by is spared, the next that was not is evicted. A flood of texts that come once each therefore evicts itself, and a
 * hit is one lookup and one flag.
 */
export const makeCache = <A>(
  limits: CacheLimits,
  compute: (key: string) => A,
  onEvict: (value: A) => void = () => {}
): Cache<A> => {
  if (limits.entries <= 0) return { get: compute, clear: () => {}, size: () => 0 }
  const entries = new Map<string, Entry<A>>()
  let newest: Entry<A> | undefined
  let oldest: Entry<A> | undefined
  let hand: Entry<A> | undefined

  const evict = (): void => {
    let entry = hand ?? oldest
    while (entry !== undefined && entry.wasHit) {
      entry.wasHit = false
      entry = entry.newer ?? oldest
    }
    if (entry === undefined) return
    hand = entry.newer
    if (entry.newer === undefined) newest = entry.older
    else entry.newer.older = entry.older
    if (entry.older === undefined) oldest = entry.newer
    else entry.older.newer = entry.newer
    entries.delete(entry.key)
    onEvict(entry.value)
  }

  const add = (key: string, value: A): void => {
    if (entries.size >= limits.entries) evict()
    const entry: Entry<A> = { key, value, wasHit: false, newer: undefined, older: newest }
    if (newest === undefined) oldest = entry
    else newest.newer = entry
    newest = entry
    entries.set(key, entry)
  }

  return {
    get: (key) => {
      // To look a long text up would be to hash all of it.
      if (key.length > limits.textLength) return compute(key)
      const entry = entries.get(key)
      if (entry !== undefined) {
        entry.wasHit = true
        return entry.value
      }
      const value = compute(key)
      add(key, value)
      return value
    },
    clear: () => {
      entries.clear()
      newest = oldest = hand = undefined
    },
    size: () => entries.size
  }
}
