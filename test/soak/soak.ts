/**
 * Many fibers over two databases with replicas, for a while, with everything happening to them that happens to servers and
 * programs. `npm run soak` takes ten minutes.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Exit, Fiber, Scope } from "effect"
import { activeFibers, counted } from "./activeFibers.js"
import * as Chance from "./chance.js"
import type { Deed, Harm } from "./chaos.js"
import * as Chaos from "./chaos.js"
import * as Fibers from "./fibers.js"
import { heapInUse } from "./heap.js"
import { Invariants } from "./invariants.js"
import { Ledger } from "./ledger.js"
import * as Report from "./report.js"
import { connect } from "./routers.js"
import * as Sites from "./sites.js"
import { checkTallies, Tally } from "./tallies.js"
import { Stopwatch } from "./time.js"
import { verify } from "./verify.js"
import * as Watch from "./watch.js"
import type { Place } from "./workload.js"
import * as Workload from "./workload.js"

export interface SoakOptions {
  readonly seconds: number
  readonly fibers: number
  readonly seed: number
}

export interface SoakReport {
  /** What should never be, in words; empty if all went well. */
  readonly violations: ReadonlyArray<string>
  /** For people to read. */
  readonly summary: string
}

/** Those by which a router at rest may have more or fewer: probes, health checks. */
const fibersThatComeAndGo = 8

/** For which the work may go on when the time is up. */
const mostSecondsAfter = 120

const mostHeapGrowth = 1.1

export const soak = (options: SoakOptions): Effect.Effect<SoakReport, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const { fibers, seconds, seed } = options
    const invariants = new Invariants()
    const stopwatch = new Stopwatch()
    const journal: Array<string> = []
    const sites = yield* Effect.all([Sites.postgres, Sites.mariadb], { concurrency: 2 })

    const fibersAtFirst = yield* activeFibers
    const routers = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const clients = yield* Scope.extend(connect(...sites), routers)
    const placeOf = (i: 0 | 1): Place => ({ site: sites[i], sql: clients[i], ledger: new Ledger() })
    const [postgres, mariadb] = [placeOf(0), placeOf(1)]
    const places = [postgres, mariadb]
    for (const place of places) {
      yield* Workload.createTables(place.sql)
      yield* place.site.caughtUp
      yield* Scope.extend(Watch.listen(place, { invariants, journal, stopwatch }), routers)
    }
    const fibersBefore = yield* activeFibers

    const kinds = [
      ...places.flatMap((place) => Workload.kindsOf(place, invariants)),
      Workload.acrossBoth(postgres, mariadb)
    ]
    const tallies = kinds.map((kind) => new Tally(kind, seconds + mostSecondsAfter))
    const chance = Chance.make(seed)
    stopwatch.restart()
    let isOver = false
    const crew = new Fibers.Crew({ tallies, invariants, stopwatch })
    const workers = yield* Effect.forEach(
      Array.from({ length: fibers }, chance.fork),
      (own) => Effect.forkScoped(crew.work(own, () => isOver))
    )
    const deeds: Array<Deed> = []
    const harm: Harm = { killed: 0, reset: 0, lost: 0, cut: 0 }
    const outages = yield* Effect.forEach(sites, (site, i) => {
      const plan = { chance: chance.fork(), stopwatch, seconds, turn: i / sites.length }
      return Effect.forkScoped(Chaos.outagesOf(site, plan, deeds))
    })
    const harms = yield* Effect.forEach(
      sites,
      (site) => Effect.forkScoped(Chaos.smallHarm(site, chance.fork(), harm))
    )

    let mostSessions = 0
    const watchUntil = (second: number) =>
      Effect.gen(function*() {
        while (stopwatch.seconds < second) {
          yield* Effect.sleep("1 second")
          for (const place of places) {
            mostSessions = Math.max(mostSessions, yield* Watch.whileWorking(place, invariants))
          }
        }
        return yield* crew.atRest(Effect.all({ heap: heapInUse, fibers: activeFibers }))
      })
    const third = yield* watchUntil(seconds / 3)
    const end = yield* watchUntil(seconds)
    const growth = end.heap / third.heap
    invariants.check("heap", growth <= mostHeapGrowth, () => `it is ${growth.toFixed(2)} times what it was at a third`)

    yield* Fiber.interruptAll(harms)
    yield* Fiber.joinAll(outages)
    isOver = true
    yield* Fiber.joinAll(workers)
    checkTallies(tallies, deeds, invariants)

    for (const place of places) yield* Watch.whenCalm(place, invariants)
    yield* Watch.gaugesAtRest(invariants)
    const mostFibers = fibersBefore + fibersThatComeAndGo
    yield* Watch.soon(Effect.map(activeFibers, (active) => active <= mostFibers), "15 seconds")
    const fibersCalm = yield* activeFibers
    invariants.check("fibers", fibersCalm <= mostFibers, () => `${fibersCalm} after the work, ${fibersBefore} before`)
    for (const { ledger, site } of places) yield* verify(site, ledger, invariants)

    const pools = (yield* Effect.forEach(clients, (sql) => sql.pools)).flat()
    const counts = (yield* Effect.forEach(clients, (sql) => sql.counts)).flat()
    yield* Scope.close(routers, Exit.void)
    for (const site of sites) yield* Watch.whenClosed(site, invariants)
    const fibersClosed = yield* activeFibers
    invariants.check("fibers", fibersClosed <= fibersAtFirst, () => `${fibersClosed} left, ${fibersAtFirst} at first`)

    const summary = Report.render({
      ...options,
      tallies,
      deeds,
      journal,
      harm,
      pools,
      counts,
      writes: places.reduce((sum, { ledger }) => sum + ledger.size, 0),
      mostSessions,
      activeFibers: {
        atFirst: fibersAtFirst,
        before: fibersBefore,
        atThird: third.fibers,
        calm: fibersCalm,
        closed: fibersClosed
      },
      heap: { atThird: third.heap, atEnd: end.heap },
      findings: invariants.findings
    })
    return { violations: invariants.violations, summary }
  }).pipe(counted)
