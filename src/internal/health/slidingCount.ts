import * as Duration from "effect/Duration"

const slots = 10

/**
 * How many there were in the last while: counted in ten slots of time, of which the oldest is dropped as a new one begins.
 * Counting costs a comparison and an addition.
 */
export class SlidingCount {
  private readonly counts = new Float64Array(slots)
  private readonly slotNanos: bigint
  private current = 0
  private sum = 0
  private slotEndsAt: bigint

  constructor(window: Duration.Duration, now: bigint) {
    this.slotNanos = BigInt(Math.max(1, Math.ceil(Duration.toMillis(window) * 1e6 / slots)))
    this.slotEndsAt = now + this.slotNanos
  }

  add(now: bigint): void {
    if (now >= this.slotEndsAt) this.advance(now)
    this.counts[this.current]!++
    this.sum++
  }

  total(now: bigint): number {
    if (now >= this.slotEndsAt) this.advance(now)
    return this.sum
  }

  clear(): void {
    this.counts.fill(0)
    this.sum = 0
  }

  private advance(now: bigint): void {
    const passed = (now - this.slotEndsAt) / this.slotNanos + 1n
    this.slotEndsAt += passed * this.slotNanos
    if (passed >= slots) return this.clear()
    for (let i = 0n; i < passed; i++) {
      this.current = (this.current + 1) % slots
      this.sum -= this.counts[this.current]!
      this.counts[this.current] = 0
    }
  }
}
