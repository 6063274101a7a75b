/** What is in the tables at the end, beside what the program knows. */
import { Effect, Schedule } from "effect"
import type { TestServer } from "../faults/cluster.js"
import type { Invariants } from "./invariants.js"
import type { Ledger } from "./ledger.js"
import type { Site } from "./sites.js"
import { primaryOf, replicasOf } from "./sites.js"

interface Entry {
  readonly id: number
  readonly part: number
  readonly counter: number | null
  readonly port: number
}

/** Compares the tables on every server of a database, asked without the router, with what its writes were told. */
export const verify = (site: Site, ledger: Ledger, invariants: Invariants): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* site.caughtUp
    const schema = site.name === "mariadb" ? "test." : ""
    // A standby gives up a long read when its replay needs what that sees.
    const tableOf = (server: TestServer, table: string) =>
      Effect.tryPromise(() => server.query(`SELECT * FROM ${schema}${table} ORDER BY 1, 2`)).pipe(
        Effect.retry(Schedule.intersect(Schedule.spaced("200 millis"), Schedule.recurs(25))),
        Effect.orDie
      )
    const primary = primaryOf(site)
    const entries: ReadonlyArray<Entry> = yield* tableOf(primary.server, "entries")
    ledger.compare(entries, site.name, invariants)

    const counted = new Map<number, number>()
    for (const { counter } of entries) if (counter !== null) counted.set(counter, (counted.get(counter) ?? 0) + 1)
    const counters: ReadonlyArray<{ id: number; value: number }> = yield* tableOf(primary.server, "counters")
    for (const { id, value } of counters) {
      const times = counted.get(id) ?? 0
      invariants.check("counters", value === times, () => `${site.name}: ${id} is ${value}, counted up ${times} times`)
    }

    const ports = new Set(entries.map(({ port }) => port))
    const primaries = site.primaries.map(({ server }) => server.port)
    for (const port of ports) {
      invariants.check("writesOnPrimaries", primaries.includes(port), () => `${site.name}: on the server at ${port}`)
    }
    for (const { server } of site.primaries) {
      invariants.check("followed", ports.has(server.port), () => `${site.name}: nothing was written on ${server.name}`)
    }

    for (const { server } of replicasOf(site)) {
      for (const [table, rows] of [["entries", entries], ["counters", counters]] as const) {
        const copy = yield* tableOf(server, table)
        const isSame = JSON.stringify(copy) === JSON.stringify(rows)
        invariants.check("replicasAgree", isSame, () => `${table} on ${server.name} of ${site.name}`)
      }
    }
  })
