/** What must hold, how often it was looked at, and what was found where it did not. */

export const rules = {
  acknowledged: "an acknowledged write is there, whole",
  unknown: "a write whose outcome is unknown is there whole, or not at all",
  failed: "a write that failed is not there",
  once: "no write is there twice",
  counters: "a counter is as high as it was counted up: no update is lost, no transaction half done",
  replicasAgree: "a replica holds what its primary holds",
  writesOnPrimaries: "no write runs on a replica",
  ownWrites: "a session reads what it has written",
  monotonic: "a session reads nothing older than it has read",
  snapshot: "a read-only transaction sees one state",
  streams: "a stream that ends well has all its rows",
  settings: "a session setting reaches its own statements, and nobody else's",
  prompt: "who is interrupted ends promptly",
  ended: "whatever is begun ends in time",
  defects: "no exit has a defect",
  interruptions: "nobody is interrupted by others",
  errors: "errors are of the kinds that outages make",
  cancels: "no statement is cancelled that nobody interrupted",
  few: "next to nothing fails between outages",
  goesOn: "most of each kind of work is done in spite of all outages",
  waits: "no borrower waits longer than acquireTimeout",
  pools: "no pool holds more than max, and its figures add up",
  sessions: "no server has more sessions than its pool and the monitor may have",
  calm: "nothing is lent, opened, closed or awaited when nobody asks for anything",
  permits: "all connections of a pool can be lent at once in the end",
  gauges: "the gauges of statements and loans are back at 0",
  service: "every endpoint is back in service",
  followed: "writes followed the promotion",
  idleSessions: "no session is left in a transaction",
  fibers: "there are no more fibers than before the work, and none when the Layers are closed",
  closed: "no session is left when the Layers are closed",
  heap: "the heap does not grow"
} as const

export type Rule = keyof typeof rules

export interface Finding {
  readonly rule: Rule
  readonly checked: number
  readonly broken: number
  /** Of the first few times. */
  readonly details: ReadonlyArray<string>
  /** Why it is not judged. */
  readonly leftOut: string | undefined
}

const mostDetails = 5

export class Invariants {
  private readonly found = new Map(
    (Object.keys(rules) as ReadonlyArray<Rule>).map((rule) => [
      rule,
      { checked: 0, broken: 0, details: Array<string>(), leftOut: undefined as string | undefined }
    ])
  )

  check(rule: Rule, holds: boolean, detail: () => string): void {
    const finding = this.found.get(rule)!
    finding.checked++
    if (holds) return
    finding.broken++
    if (finding.details.length < mostDetails) finding.details.push(detail())
  }

  /** Says why a rule cannot be judged in this run. */
  leaveOut(rule: Rule, why: string): void {
    this.found.get(rule)!.leftOut = why
  }

  get findings(): ReadonlyArray<Finding> {
    return Array.from(this.found, ([rule, finding]) => ({ rule, ...finding }))
  }

  /** What was broken, or never even looked at, in words. */
  get violations(): ReadonlyArray<string> {
    return this.findings.flatMap(({ broken, checked, details, leftOut, rule }) => {
      if (leftOut !== undefined) return []
      if (checked === 0) return [`never looked at: ${rules[rule]}`]
      return broken === 0 ? [] : [`not so, ${broken} times of ${checked}: ${rules[rule]}: ${details.join("; ")}`]
    })
  }
}
