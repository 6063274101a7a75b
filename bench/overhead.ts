import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
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

const select = (sql: SqlClient.SqlClient) => sql`SELECT id, name FROM users WHERE id = ${1}`

const transaction = (sql: SqlClient.SqlClient) =>
  sql.withTransaction(sql`UPDATE users SET name = ${"a"} WHERE id = ${1}`)

type Work = (sql: SqlClient.SqlClient) => Effect.Effect<unknown, SqlError>

const time = async (runtime: Runtime.Runtime<never>, sql: SqlClient.SqlClient, work: Work): Promise<number> => {
  const one = Effect.suspend(() => work(sql))
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
  const source: Client.DatabaseSource<object> = {
    driver: {
      ...driver,
      dialect: "postgres",
      serverAttributes: () => [["server.address", "localhost"], ["server.port", 5432]],
      open: () =>
        Effect.succeed({
          ...connection,
          isUsable: () => true,
          inTransaction: () => false,
          ping: Effect.void,
          onLost: () => {},
          positions: undefined
        })
    },
    endpoints: ["primary", "replica1", "replica2"].map((name, i) => ({
      database: "main",
      name,
      role: i === 0 ? "primary" as const : "replica" as const,
      weight: 1,
      zone: undefined,
      config: {}
    })),
    policies: {}
  }
  const { client } = yield* Client.make([source], {})
  return { stock, client }
})

/** A statement, and a transaction of one, with nothing behind it: what routing costs beside what it replaces. */
export const run = async (): Promise<void> => {
  const scope = Effect.runSync(Scope.make())
  const { client, stock } = await Effect.runPromise(
    clients.pipe(Scope.extend(scope), Effect.provide(Reactivity.layer))
  )
  const traced = await Effect.runPromise(Effect.runtime<never>())
  const untraced = await Effect.runPromise(Effect.runtime<never>().pipe(Effect.withTracerEnabled(false)))
  const rows = [
    ["traced", traced, select, 0.5],
    ["untraced", untraced, select, 0.5],
    ["transaction_traced", traced, transaction, 1],
    ["transaction_untraced", untraced, transaction, 1]
  ] as const
  for (const [name, runtime, work, most] of rows) {
    const ratios: Array<number> = []
    const routedTimes: Array<number> = []
    const stockTimes: Array<number> = []
    for (let i = 0; i < batches; i++) {
      // In turn, so that a busy moment of the machine hits both.
      const stockTime = await time(runtime, stock, work)
      const routedTime = await time(runtime, client, work)
      if (i < batches / 4) continue
      stockTimes.push(stockTime)
      routedTimes.push(routedTime)
      ratios.push(routedTime / stockTime)
    }
    report("overhead", `stock_${name}`, "us", median(stockTimes) / 1000)
    report("overhead", `routed_${name}`, "us", median(routedTimes) / 1000)
    report("overhead", `noop_${name}_ratio`, "x", median(ratios), { most, beside: "stock client" })
  }
  await Effect.runPromise(Scope.close(scope, Effect.runSync(Effect.exit(Effect.void))))
}
