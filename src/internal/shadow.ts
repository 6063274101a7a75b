import type { Plan } from "../Plan.js"
import type { ShadowedStatements } from "../RoutedSqlClient.js"

interface Tally {
  readonly of: Omit<ShadowedStatements, "statements">
  statements: number
}

/** Sends everything to the primaries, and counts where it would have gone. */
export class Shadow {
  private readonly shadows = new WeakMap<Plan, Plan>()
  private readonly originals = new WeakMap<Plan, Plan>()
  private readonly tallies = new Map<string, Tally>()

  /** The plan that is carried out in the place of this one. */
  planOf(plan: Plan, primary: string): Plan {
    let shadow = this.shadows.get(plan)
    if (shadow === undefined) {
      this.shadows.set(plan, shadow = onPrimary(plan, primary))
      this.originals.set(shadow, plan)
    }
    return shadow
  }

  /** A statement is sent by this plan, which is one of its own. */
  count(shadow: Plan): void {
    const plan = this.originals.get(shadow)
    if (plan !== undefined) this.tallyOf(plan).statements++
  }

  get report(): ReadonlyArray<ShadowedStatements> {
    return Array.from(this.tallies.values(), ({ of, statements }) => ({ ...of, statements }))
  }

  private tallyOf({ candidates: [first], database, refusal, rule }: Plan): Tally {
    const outcome = refusal !== undefined ? "refused" as const : first?.role ?? "primary"
    const key = [database, rule, outcome].join("\0")
    let tally = this.tallies.get(key)
    if (tally === undefined) this.tallies.set(key, tally = { of: { database, rule, outcome }, statements: 0 })
    return tally
  }
}

const onPrimary = (plan: Plan, primary: string): Plan => {
  const [first] = plan.candidates
  const would = plan.refusal !== undefined
    ? "would be refused"
    : first === undefined || first.role === "primary"
    ? undefined
    : `would go to ${first.endpoints.join(" or ")}`
  return {
    ...plan,
    reason: would === undefined ? plan.reason : `shadow mode, ${would}`,
    candidates: [{ role: "primary", endpoints: [primary], isFallback: false }],
    excluded: [],
    refusal: undefined
  }
}
