import { assert, describe, it } from "@effect/vitest"
import { Effect, Utils } from "effect"
import { ReadConsistency } from "effect-sql-router"
import { caughtUp } from "../servers/index.js"
import { check, pauses, prepare } from "./checker.js"
import { type Engine, mariadb, postgres } from "./servers.js"

/** More by an environment variable, for a run that takes its time. */
const operations = Number(process.env["CONSISTENCY_OPERATIONS"] ?? 20_000)

const run = (engine: Engine, level: ReadConsistency.Level, operations: number) =>
  Effect.gen(function*() {
    const place = yield* engine.place
    const sql = yield* place.withReplicas()
    const generator = new Utils.PCGRandom(7)
    const random = () => generator.number()
    yield* prepare(sql)
    yield* caughtUp(engine.name)
    const report = yield* check(
      sql,
      { level, operations, sessions: 8, random },
      pauses(engine.replicas, engine.setPaused, random)
    )
    assert.deepStrictEqual(Array.from(report.failures), [])
    const share = Math.round(100 * report.onReplicas / report.reads)
    yield* Effect.log(
      `${engine.name}, ${level._tag}: ${report.operations} operations, ${report.reads} reads, ${share} % of them on replicas, `
        + `${report.violations.length} violations`
    )
    return report
  })

for (const engine of [postgres, mariadb]) {
  describe(`sessions on ${engine.name}, while replication stops and goes on`, () => {
    it.scopedLive("see what they wrote, and nothing that they saw is gone", () =>
      Effect.gen(function*() {
        const { onReplicas, reads, violations } = yield* run(engine, ReadConsistency.session, operations)
        assert.deepStrictEqual(violations, [])
        assert.isAbove(onReplicas / reads, 0.5)
      }), 120_000)

    it.scopedLive("would not at level eventual", () =>
      Effect.gen(function*() {
        const { violations } = yield* run(engine, ReadConsistency.eventual, 4000)
        assert.isNotEmpty(violations)
      }), 60_000)
  })
}
