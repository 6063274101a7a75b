/** Runners over one physical connection, for clients that must keep to it. */
import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { Database, Server } from "./database.js"
import { withinOwn } from "./deadline.js"
import * as Hooks from "./hooks.js"
import { Planner } from "./plan.js"
import * as Pool from "./pool.js"
import { Runner } from "./run.js"

/** Over a connection that is opened for it and was nobody's before. */
export const fresh = (runner: Runner, server: Server): Effect.Effect<Runner, SqlError, Scope> => {
  const { budget, hooks, open } = server.pool.options
  return over(runner, server, { budget, hooks, open })
}

/** Over a connection that the pool lends until the Scope ends. */
export const pooled = (runner: Runner, server: Server): Effect.Effect<Runner, SqlError, Scope> =>
  Effect.gen(function*() {
    const { pool, slot } = yield* withinOwn(
      Effect.uninterruptibleMask((restore) => runner.loans.scoped(server, restore)),
      runner.database.name,
      "withPooledConnection"
    )
    // What keeps to it is told of its loss meanwhile.
    yield* Effect.addFinalizer(() => Effect.sync(() => pool.listen(slot)))
    const bound = yield* over(runner, server, {
      // It is connected, and has its place.
      budget: undefined,
      hooks: Hooks.none,
      open: Effect.succeed(slot.connection)
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        // A fiber that outlives the Scope still uses it.
        if (bound.database.primary.pool.active > 0) pool.discard(slot)
      })
    )
    return bound
  })

/**
 * A runner whose pool holds the one connection: so everything that runs on it waits its turn, as with any other, and
 * transactions, deadlines and streams are the same code. When the connection is lost, so is what it was held for: another
 * one is not opened in its place.
 */
const over = (
  runner: Runner,
  server: Server,
  { open, ...options }: Pick<Pool.PoolOptions, "open" | "hooks" | "budget">
): Effect.Effect<Runner, SqlError, Scope> =>
  Effect.gen(function*() {
    const { driver, name } = runner.database
    let opened = false
    const once = Effect.suspend(() => {
      if (opened) {
        return Effect.fail(
          new SqlError({
            cause: new Error("the one connection that this client keeps to was lost; take a new one"),
            message: "Failed to connect"
          })
        )
      }
      return Effect.tap(open, () => Effect.sync(() => void (opened = true)))
    })
    const pool = yield* Pool.make({
      ...server.pool.options,
      ...options,
      settings: {
        ...server.pool.options.settings,
        max: 1,
        min: 0,
        idleTimeout: Duration.infinity,
        maxLifetime: Duration.infinity
      },
      open: once,
      // Its holder may begin transactions by texts of its own.
      rollback: undefined,
      random: () => 0,
      shutdownTimeout: Duration.zero
    })
    const { attributes, endpoint } = server
    const own = new Server(endpoint, attributes, pool, pool)
    own.role = server.role
    const planner = new Planner({
      database: name,
      primary: endpoint.name,
      replicas: [],
      excluded: [],
      primaryServesReads: true,
      primaryAmongReplicas: false,
      isReplica: () => false
    }, "own")
    const database = new Database(name, driver, [own], planner, { choose: () => 0 }, runner.clock, () => 0, {
      primary: endpoint.name,
      hasPrimary: true,
      success: () => {},
      failure: () => {},
      refuseWrite: () => undefined,
      refreshRoles: Effect.void,
      awaitPrimary: Effect.void
    }, () => {})
    const bound = new Runner(database, runner.options, runner)
    yield* withinOwn(
      Effect.uninterruptibleMask((restore) => bound.loans.using(own, () => Effect.void, restore)),
      name,
      "freshConnection"
    )
    return bound
  })
