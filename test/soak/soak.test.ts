import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { soak } from "./soak.js"

/** Seconds; fewer for a quick look. */
const seconds = Number(process.env["SOAK_SECONDS"] ?? 120)
const seed = Number(process.env["SOAK_SEED"] ?? 20_261)

it.scopedLive(
  "64 fibers keep all invariants while sessions are interrupted, killed and reset",
  () =>
    Effect.gen(function*() {
      const { summary, violations } = yield* soak({ seconds, fibers: 64, seed })
      console.log(summary)
      assert.deepStrictEqual(violations, [])
    }),
  { timeout: (seconds + 40) * 1000 }
)
