import * as Duration from "effect/Duration"
import { SlidingCount } from "./slidingCount.js"

/**
 * How many statements may be repeated: in any window a share of the statements, and a reserve for quiet times. When
 * everything fails, servers are sent at most `1 + ratio` times what they are asked, beside the reserve.
 *
 * The rule is finagle's `RetryBudget`; here both sides are counted over a sliding window.
 */
export class Budget {
  private readonly statements: SlidingCount
  private readonly repeated: SlidingCount
  private readonly reserve: number

  constructor(
    private readonly settings: {
      readonly ratio: number
      readonly perSecond: number
      readonly window: Duration.Duration
    },
    now: bigint
  ) {
    this.statements = new SlidingCount(settings.window, now)
    this.repeated = new SlidingCount(settings.window, now)
    this.reserve = settings.perSecond * Duration.toSeconds(settings.window)
  }

  /** A statement was asked for. */
  deposit(now: bigint): void {
    this.statements.add(now)
  }

  /** How many more may be repeated now. */
  balance(now: bigint): number {
    return this.reserve + this.settings.ratio * this.statements.total(now) - this.repeated.total(now)
  }

  canAfford(now: bigint): boolean {
    // Sums of shares: a tenth of ten statements must buy a whole one.
    return this.balance(now) >= 1 - 1e-9
  }

  /** One is repeated. */
  withdraw(now: bigint): void {
    this.repeated.add(now)
  }
}
