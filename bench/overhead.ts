import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../src/internal/client.js"
import { fakeDriver } from "../test/fixtures/fakeDriver.js"
import { median, report } from "./harness.js"

const rows: ReadonlyArray<object> = []
const connection: Connection = {
  execute: () => Effect.succeed(rows),
  executeRaw: () => Effect.succeed(rows),
  executeValues: () => Effect.succeed([]),
  executeUnprepared: () => Effect.succeed(rows),
  executeStream: () => Stream.empty
}

const statements = 400
const batches = 120

const time = async (runtime: Runtime.Runtime<never>, sql: SqlClient.SqlClient): Promise<number> => {
  const one = Effect.suspend(() => sql`SELECT id, name FROM users WHERE id = ${1}`)
  const batch = Effect.repeatN(one, statements - 1)
  const start = process.hrtime.bigint()
  await Runtime.runPromise(runtime)(batch)
  return Number(process.hrtime.bigint() - start) / statements
}

const clients = Effect.gen(function*() {
  const stock = yield* SqlClient.make({
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    spanAttributes: [["db.system.name", "fake"], ["server.address", "localhost"], ["server.port", 5432]]
  })
  const { driver } = fakeDriver()
  const { client } = yield* Client.make(
    {
      ...driver,
      dialect: "postgres",
      serverAttributes: () => [["server.address", "localhost"], ["server.port", 5432]],
      open: () =>
        Effect.succeed({
          ...connection,
          isUsable: () => true,
          inTransaction: () => false,
          ping: Effect.void,
          onLost: () => {}
        })
    },
    ["primary", "replica1", "replica2"].map((name, i) => ({
      database: "main",
      name,
      role: i === 0 ? "primary" as const : "replica" as const,
      weight: 1,
      zone: undefined,
      config: {}
    })),
    {}
  )
  return { stock, client }
})

/** A statement with nothing behind it: what routing costs beside what it replaces. */
export const run = async (): Promise<void> => {
  const scope = Effect.runSync(Scope.make())
  const { client, stock } = await Effect.runPromise(
    clients.pipe(Scope.extend(scope), Effect.provide(Reactivity.layer))
  )
  const traced = await Effect.runPromise(Effect.runtime<never>())
  const untraced = await Effect.runPromise(Effect.runtime<never>().pipe(Effect.withTracerEnabled(false)))
  for (const [name, runtime] of [["traced", traced], ["untraced", untraced]] as const) {
    const ratios: Array<number> = []
    const routedTimes: Array<number> = []
    const stockTimes: Array<number> = []
    for (let i = 0; i < batches; i++) {
      // In turn, so that a busy moment of the machine hits both.
      const stockTime = await time(runtime, stock)
      const routedTime = await time(runtime, client)
      if (i < batches / 4) continue
      stockTimes.push(stockTime)
      routedTimes.push(routedTime)
      ratios.push(routedTime / stockTime)
    }
    report("overhead", `stock_${name}`, "us", median(stockTimes) / 1000)
    report("overhead", `routed_${name}`, "us", median(routedTimes) / 1000)
    report("overhead", `noop_${name}_ratio`, "x", median(ratios), { most: 0.6 })
  }
  await Effect.runPromise(Scope.close(scope, Effect.runSync(Effect.exit(Effect.void))))
}
