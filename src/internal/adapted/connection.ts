import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PhysicalConnection } from "../../Driver.js"
import type { Role } from "../../Endpoint.js"
import * as compat from "../compat.js"

/** How long a connection's last ROLLBACK may keep its Scope. */
const rollbackTimeout = Duration.seconds(5)

/** A connection that another client lends: what that client does not tell is not known here. */
export class AdaptedConnection implements PhysicalConnection {
  readonly positions = undefined
  private usable = true

  constructor(
    private readonly held: Effect.Effect<Connection, SqlError>,
    readonly role: Role,
    /** Whether the client can stream; else all rows are read at once. */
    private readonly streams: boolean,
    /** Whether it is borrowed already. */
    private readonly isHeld: () => boolean
  ) {}

  readonly isUsable = (): boolean => this.usable

  readonly inTransaction = (): undefined => undefined

  readonly onLost = (): void => {}

  get ping(): Effect.Effect<void, SqlError> {
    // Nothing is borrowed only to see whether it lives.
    return Effect.suspend(() =>
      this.isHeld() ? Effect.asVoid(this.executeUnprepared("SELECT 1", [], undefined)) : Effect.void
    )
  }

  execute(...args: Parameters<Connection["execute"]>): ReturnType<Connection["execute"]> {
    return this.run((connection) => connection.execute(...args))
  }

  executeRaw(...args: Parameters<Connection["executeRaw"]>): ReturnType<Connection["executeRaw"]> {
    return this.run((connection) => connection.executeRaw(...args))
  }

  executeValues(...args: Parameters<Connection["executeValues"]>): ReturnType<Connection["executeValues"]> {
    return this.run((connection) => connection.executeValues(...args))
  }

  executeUnprepared(...args: Parameters<Connection["executeUnprepared"]>): ReturnType<Connection["executeUnprepared"]> {
    return this.run((connection) => connection.executeUnprepared(...args))
  }

  executeStream(...args: Parameters<Connection["executeStream"]>): ReturnType<Connection["executeStream"]> {
    if (!this.streams) return Stream.fromIterableEffect(this.execute(...args))
    return Stream.unwrap(Effect.map(this.held, (connection) => connection.executeStream(...args))).pipe(
      Stream.ensuringWith((exit) => Effect.sync(() => void (this.usable &&= Exit.isSuccess(exit))))
    )
  }

  /** An interrupted statement may still run: nobody is to wait behind it. */
  private run<A>(use: (connection: Connection) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return compat.onInterrupt(Effect.flatMap(this.held, use), Effect.sync(() => void (this.usable = false)))
  }
}

/**
 * Borrows a connection of a client for the Scope. It goes back without a transaction that was left open on it, for there it
 * would become somebody else's.
 *
 * Clients do not take back what they lend when its borrower is interrupted meanwhile: so the wait for it is not interrupted,
 * but left, and what comes late is given back.
 */
export const borrow = (
  client: SqlClient,
  role: Role,
  rollback: string
): Effect.Effect<AdaptedConnection, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const waiting = yield* Effect.forkDaemon(Scope.extend(client.reserve, scope))
      const connection = yield* Effect.onExit(restore(Fiber.join(waiting)), (exit) =>
        Exit.isSuccess(exit)
          ? Effect.void
          : Effect.forkDaemon(Effect.flatMap(Fiber.await(waiting), (exit) => Scope.close(scope, exit))))
      yield* Effect.addFinalizer((exit) => Effect.zipRight(rollBack(connection, rollback), Scope.close(scope, exit)))
      return new AdaptedConnection(Effect.succeed(connection), role, true, () => true)
    })
  )

/**
 * Borrows, as `borrow` does, but not before the first statement: a client that has but one connection could serve nobody else
 * meanwhile, and who only wants to know its role needs none.
 */
export const borrowLate = (
  client: SqlClient,
  role: Role,
  rollback: string
): Effect.Effect<AdaptedConnection, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    let held: Connection | undefined
    const hold = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(Scope.extend(client.reserve, scope)), (connection) => {
        held = connection
        return Effect.as(Scope.addFinalizer(scope, rollBack(connection, rollback)), connection)
      })
    )
    return new AdaptedConnection(
      Effect.suspend(() => held === undefined ? hold : Effect.succeed(held)),
      role,
      false,
      () => held !== undefined
    )
  })

const rollBack = (connection: Connection, rollback: string): Effect.Effect<void> =>
  connection.executeUnprepared(rollback, [], undefined).pipe(
    Effect.interruptible,
    Effect.disconnect,
    Effect.timeoutOption(rollbackTimeout),
    // Where there is no transaction, some servers say that it is an error.
    Effect.ignore
  )
