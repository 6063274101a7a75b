import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type { Scope } from "effect/Scope"
import type { PhysicalConnection } from "../Driver.js"
import type { RoutingEvent } from "../RoutingEvent.js"
import type { Call } from "./call.js"

/** Most mirrored reads on their way at once; one more is dropped, so that a slow mirror costs the program nothing. */
const maxRunning = 16

/** How long a mirrored read may take: one that never ends would keep its place. */
const patience = Duration.seconds(30)

/** Runs reads a second time elsewhere, in the background, and drops what they give. */
export interface Mirror {
  readonly send: (
    call: Call,
    execute: (connection: PhysicalConnection) => Effect.Effect<unknown, SqlError>
  ) => void
}

export const make = (
  random: () => number,
  publish: (event: RoutingEvent) => void
): Effect.Effect<Mirror, never, Scope> =>
  Effect.map(FiberSet.makeRuntime<never>(), (fork) => {
    let running = 0
    return {
      send: (call, execute) => {
        const { mirror } = call
        if (mirror === undefined || random() >= mirror.share) return
        const { route, runner } = mirror
        const plan = runner.database.planner.plan(call.facts, route)
        const database = runner.database.name
        const tell = (outcome: "answered" | "failed" | "dropped") =>
          publish({ _tag: "ReadMirrored", database, rule: plan.rule, outcome })
        if (running >= maxRunning || plan.refusal !== undefined) return tell("dropped")
        running++
        const read = Effect.uninterruptibleMask((restore) =>
          runner.run(
            {
              ...call,
              runner,
              plan,
              route,
              fresh: undefined,
              span: undefined,
              capture: undefined,
              isHeard: false,
              tally: undefined,
              mirror: undefined
            },
            execute,
            restore
          )
        )
        const ended = (outcome: "answered" | "failed") =>
          Effect.sync(() => {
            running--
            tell(outcome)
          })
        // Fibers inherit from the region that a Layer is built in whether they can be interrupted.
        fork(Effect.interruptible(Effect.ignore(Effect.onExit(
          Effect.timeoutFail(read, { duration: patience, onTimeout: () => "too late" }),
          (exit) => ended(Exit.isSuccess(exit) ? "answered" : "failed")
        ))))
      }
    }
  })
