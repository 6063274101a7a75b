import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { soak } from "./soak.js"

/** CI's; `npm run soak` takes longer. */
const seconds = Number(process.env["SOAK_SECONDS"] ?? 120)
const seed = Number(process.env["SOAK_SEED"] ?? 20_261)

it.scopedLive(
  "64 fibers keep all invariants while servers are killed, restarted, paused and promoted under them",
  () =>
    Effect.gen(function*() {
      const { summary, violations } = yield* soak({ seconds, fibers: 64, seed })
      console.log(summary)
      assert.deepStrictEqual(violations, [])
    }),
  // Servers boot before, and recover after it.
  { timeout: (seconds + 240) * 1000 }
)
