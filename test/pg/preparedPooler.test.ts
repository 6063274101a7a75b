import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Redacted } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as RoutedPgClient from "../../src/RoutedPgClient.js"
import { freshDatabase } from "../servers/index.js"
import * as programs from "../servers/programs.mjs"
import { connect, eventually, rows } from "./support.js"

const program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].find((path) =>
  Fs.existsSync(path)
)

/** A PgBouncer in transaction mode before a fresh database: its URL. */
const pooler = Effect.gen(function*() {
  const { primary, user } = yield* freshDatabase("postgres")
  const [port] = yield* Effect.promise(() => programs.freePorts(1))
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => programs.makeFolder()),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  const users = Path.join(folder, "users.txt")
  const configuration = Path.join(folder, "pgbouncer.ini")
  Fs.chmodSync(folder, 0o755)
  Fs.writeFileSync(users, `"${user}" ""\n`)
  Fs.writeFileSync(
    configuration,
    `[databases]
* = host=${primary.host} port=${primary.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = options
`
  )
  yield* Effect.acquireRelease(
    // It refuses to run as root.
    Effect.sync(() =>
      programs.launch(program!, ["-q", configuration], programs.accountFor("postgres"), Path.join(folder, "output.log"))
    ),
    (child) =>
      Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        if (!child.kill("SIGKILL")) resume(Effect.void)
      })
  )
  const url = Redacted.make(`postgres://${user}@127.0.0.1:${port}${new URL(primary.url).pathname}`)
  yield* eventually(Effect.map(Effect.exit(Effect.scoped(connect({ url }))), Exit.isSuccess))
  return { url, direct: Redacted.make(primary.url) }
})

const code = (error: SqlError): unknown => (error.cause as { readonly code?: string }).code

describe.runIf(program !== undefined)("behind PgBouncer in transaction mode", () => {
  const through = (preparedStatements: RoutedPgClient.PgEndpointConfig["preparedStatements"]) =>
    Effect.gen(function*() {
      const { direct, url } = yield* pooler
      const warnings: Array<unknown> = []
      const admin = yield* connect({ url: direct })
      yield* rows(admin, "CREATE TABLE things (id int)")
      const failures = yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const failures: Array<unknown> = []
        const work = (i: number) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* sql`SELECT ${i}::int + 1 AS n`, [{ n: i + 1 }])
            yield* sql`INSERT INTO things VALUES (${i})`
            const both = Effect.zipRight(sql`INSERT INTO things VALUES (${i})`, sql`SELECT ${i}::text AS text`)
            const answered = yield* Effect.either(sql.withTransaction(both))
            if (answered._tag === "Right") assert.deepStrictEqual(answered.right, [{ text: String(i) }])
            else failures.push([i, code(answered.left)])
          })
        yield* Effect.forEach(Array.from({ length: 150 }), (_, i) => work(i), { concurrency: 12, discard: true })
        // By now everybody knows.
        const before = failures.length
        yield* Effect.forEach(Array.from({ length: 150 }), (_, i) => work(150 + i), { concurrency: 12, discard: true })
        assert.lengthOf(failures, before)
        return failures as ReadonlyArray<readonly [id: number, code: string]>
      }).pipe(
        Effect.provide(RoutedPgClient.layer({ preparedStatements, primary: { url }, pool: { max: 8 } })),
        Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void warnings.push(message))))
      )
      const counts = yield* rows(admin, "SELECT id, count(*)::int AS n FROM things GROUP BY id ORDER BY id")
      // Each once by itself, and once by its transaction, unless that failed.
      const expected = Array.from({ length: 300 }, (_, id) => ({ id, n: failures.some(([of]) => of === id) ? 1 : 2 }))
      assert.deepStrictEqual(counts, expected)
      return { failures, warnings }
    })

  it.scopedLive("nothing fails while nothing is prepared", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* through(false), { failures: [], warnings: [] })
    }))

  it.scopedLive("it is found out that prepared statements are lost: a warning, and nothing is done twice or left out", () =>
    Effect.gen(function*() {
      const { failures, warnings } = yield* through({ threshold: 1 })
      for (const [, code] of failures) assert.include(["26000", "42P05"], code)
      assert.lengthOf(warnings, 1)
      assert.match(String(warnings[0]), /max_prepared_statements/)
    }))
})
