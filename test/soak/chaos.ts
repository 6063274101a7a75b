/** What happens to the servers: an outage after the other, as the seed has it, and small harm all the while. */
import { Effect } from "effect"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import type { Chance } from "./chance.js"
import type { Member, Site } from "./sites.js"
import { bringBack, primaryOf, replicasOf, takeDown } from "./sites.js"
import type { Stopwatch } from "./time.js"

const outages = ["replication paused", "replica killed", "replica slow", "primary restarted"] as const
type Outage = typeof outages[number] | "promotion"

/** What was done, and when, for the report. */
export interface Deed {
  readonly atSeconds: number
  readonly site: string
  readonly outage: Outage
  readonly server: string
  readonly tookSeconds: number
}

export interface Harm {
  /** Sessions that their server was told to end. */
  killed: number
  /** Connections that were reset. */
  reset: number
  /** Messages that were lost with their connection, or whose answer was. */
  lost: number
  /** Times that all connections of a server were reset. */
  cut: number
}

/** From one outage to the next. The last two are left out: time to recover. */
const slotSeconds = 10

const inflict = (site: Site, outage: Outage, chance: Chance): Effect.Effect<Member> =>
  Effect.gen(function*() {
    const replica = chance.pick(replicasOf(site))
    const primary = primaryOf(site)
    switch (outage) {
      case "replication paused":
        yield* site.setReplaying(replica, false)
        yield* Effect.sleep(500 + chance.below(1500))
        yield* site.setReplaying(replica, true)
        return replica
      case "replica killed":
        yield* takeDown(replica, chance.pick(["reset", "ignore"]), replica.server.kill)
        yield* Effect.sleep(1000 + chance.below(3000))
        yield* bringBack(site, replica)
        return replica
      case "replica slow":
        yield* Effect.orDie(replica.proxy.configure({ delay: 50 + chance.below(150) }))
        yield* Effect.sleep(1000 + chance.below(2000))
        yield* Effect.orDie(replica.proxy.configure({ delay: 0 }))
        return replica
      case "primary restarted":
        yield* takeDown(primary, "reset", site.stopPrimary(primary))
        yield* Effect.sleep(chance.below(1000))
        yield* bringBack(site, primary)
        return primary
      case "promotion":
        yield* site.promote(replica)
        return replica
    }
  })

export interface OutagePlan {
  readonly chance: Chance
  readonly stopwatch: Stopwatch
  /** Of the whole run. */
  readonly seconds: number
  /** The share of a slot by which it is later than others. */
  readonly turn: number
}

/** One outage in each slot, the promotion half-way through. */
export const outagesOf = (
  site: Site,
  { chance, seconds, stopwatch, turn }: OutagePlan,
  deeds: Array<Deed>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const slots = Math.max(1, Math.floor(seconds / slotSeconds) - 2)
    for (let slot = 0; slot < slots; slot++) {
      const due = (slot + 0.5 + turn) * slotSeconds
      yield* Effect.sleep(Math.max(0, due - stopwatch.seconds) * 1000)
      const outage = slot === Math.floor(slots / 2) ? "promotion" : outages[slot % outages.length]!
      const atSeconds = stopwatch.seconds
      const { server } = yield* inflict(site, outage, chance.fork())
      deeds.push({
        atSeconds,
        site: site.name,
        outage,
        server: server.name,
        tookSeconds: stopwatch.seconds - atSeconds
      })
    }
  })

/** Hurts one session, or one connection, every now and then, and seldom all of a server's; never returns. */
export const smallHarm = (site: Site, chance: Chance, harm: Harm): Effect.Effect<never> =>
  Effect.forever(Effect.gen(function*() {
    yield* Effect.sleep(200 + chance.below(600))
    const { pick, next } = chance.fork()
    const member = pick(site.members)
    const { proxy } = member
    const what = next()
    if (what < 0.3) {
      const sessions = yield* site.sessions(member)
      if (sessions.length === 0) return
      yield* site.endSession(member, pick(sessions).id)
      harm.killed++
    } else if (what < 0.6) {
      const { open } = yield* proxy.state
      if (open.length === 0) return
      yield* proxy.reset(pick(open))
      harm.reset++
    } else if (what < 0.97) {
      const fate = pick(["cutBefore", "cutAfter"] as const)
      const request = TcpProxy.once(fate, () => {
        harm.lost++
        return true
      })
      yield* Effect.orDie(proxy.configure({ request }))
    } else {
      yield* proxy.reset()
      harm.cut++
    }
  }))
