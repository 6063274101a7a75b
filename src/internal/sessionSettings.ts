import type { SqlError } from "@effect/sql/SqlError"
import * as BigIntMath from "effect/BigInt"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Driver, PhysicalConnection } from "../Driver.js"
import * as RoutingError from "../RoutingError.js"
import type { Restore } from "./compat.js"
import { configurationError } from "./configuration.js"
import type { FiberSettings, SessionSettings } from "./fiberSettings.js"
import type { Frame, Transaction } from "./transaction.js"

/** A limit on the server, in nanoseconds: one that is shorter could end the statement that takes it away again. */
const leastLimit = 1_000_000_000n

/** How long a statement waits until nobody in its transaction needs other settings. */
const patience = Duration.seconds(30)

/**
 * The settings in a transaction. Its statements may run side by side, so whoever needs others waits for those that run.
 */
interface InTransaction {
  /** The frame that they were set in: a savepoint that is rolled back takes them along. */
  frame: object | undefined
  settings: SessionSettings | undefined
  /** Every name set in it. */
  readonly names: Set<string>
  users: number
  isChanging: boolean
  readonly waiting: Set<() => void>
}

const nothing: SessionSettings = {}

/**
 * Keeps track of the session settings on each connection, so that they are sent only where they change, and of the
 * connections whose sessions statements have changed.
 *
 * A connection that comes back keeps its settings until somebody wants others: a request of several statements sets them
 * once per connection, not before and after each statement.
 */
export class SessionKeeper {
  /** Whether any connection was ever given settings: until then nobody need look. */
  private used = false
  private readonly onConnection = new WeakMap<PhysicalConnection, SessionSettings>()
  private readonly inTransaction = new WeakMap<Transaction, InTransaction>()
  /** Connections that were given settings in a transaction of their holder's own, with which they may be undone. */
  private readonly unsettled = new WeakSet<PhysicalConnection>()
  private hasChanged = false
  private readonly changed = new WeakSet<PhysicalConnection>()

  constructor(
    private readonly database: string,
    private readonly driver: Driver<never>,
    private readonly clock: Clock.Clock
  ) {}

  /** Whoever uses the connection next would find a session that is not as it was; SQLite's are all alike. */
  markChanged(connection: PhysicalConnection): void {
    if (this.texts === undefined) return
    this.hasChanged = true
    this.changed.add(connection)
  }

  isChanged(connection: PhysicalConnection): boolean {
    return this.hasChanged && this.changed.has(connection)
  }

  /** Runs `use` on a connection that has the settings of the fiber, and no others. */
  before<A>(
    connection: PhysicalConnection,
    settings: FiberSettings,
    use: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    if (!this.concerns(settings)) return use(connection)
    const change = this.change(connection, this.wanted(connection, settings))
    return change === undefined ? use(connection) : Effect.zipRight(change, Effect.suspend(() => use(connection)))
  }

  /** The same inside a transaction: what is set ends with it, and what a nested frame sets may end with that. */
  beforeIn<A>(
    frame: Frame,
    connection: PhysicalConnection,
    settings: FiberSettings,
    use: () => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    if (!this.concerns(settings)) return use()
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        this.enter(frame, connection, settings, restore),
        (leave) => Effect.ensuring(restore(Effect.suspend(use)), leave)
      )
    )
  }

  /** The same for a stream, which needs them until the Scope ends. To be run in an uninterruptible region. */
  holdIn(
    frame: Frame,
    connection: PhysicalConnection,
    settings: FiberSettings,
    restore: Restore
  ): Effect.Effect<void, SqlError, Scope> {
    if (!this.concerns(settings)) return Effect.void
    return Effect.flatMap(this.enter(frame, connection, settings, restore), (leave) => Effect.addFinalizer(() => leave))
  }

  /** Takes all settings from a connection; `undefined` where it has none. */
  clean(connection: PhysicalConnection): Effect.Effect<void, SqlError> | undefined {
    return this.used ? this.change(connection, undefined) : undefined
  }

  private concerns(settings: FiberSettings): boolean {
    return settings.session !== undefined || this.used || settings.deadlineOnServer
  }

  /** Waits until the transaction has the settings of the fiber; gives what is to be done when they are needed no more. */
  private enter(
    frame: Frame,
    connection: PhysicalConnection,
    settings: FiberSettings,
    restore: Restore
  ): Effect.Effect<Effect.Effect<void>, SqlError> {
    const wanted = this.wanted(connection, settings)
    const state = this.stateOf(frame.transaction)
    const leave = Effect.sync(() => {
      state.users--
      wake(state)
    })
    const take = (): Effect.Effect<void> => {
      state.users++
      return leave
    }
    const enter: Effect.Effect<Effect.Effect<void>, SqlError> = Effect.suspend(() => {
      if (state.isChanging) return Effect.zipRight(restore(this.until(state, () => !state.isChanging)), enter)
      const change = this.changeIn(state, frame, connection, wanted)
      if (change === undefined) return Effect.succeed(take())
      if (state.users > 0) {
        return Effect.zipRight(restore(this.until(state, () => !state.isChanging && state.users === 0)), enter)
      }
      state.isChanging = true
      const changed = () => {
        state.isChanging = false
        wake(state)
      }
      return Effect.matchCauseEffect(restore(change), {
        onFailure: (cause) => {
          state.frame = undefined
          changed()
          return Effect.failCause(cause)
        },
        onSuccess: () => {
          const left = take()
          changed()
          return Effect.succeed(left)
        }
      })
    })
    return enter
  }

  private stateOf(transaction: Transaction): InTransaction {
    let state = this.inTransaction.get(transaction)
    if (state === undefined) {
      state = {
        frame: transaction.root,
        settings: undefined,
        names: new Set(),
        users: 0,
        isChanging: false,
        waiting: new Set()
      }
      this.inTransaction.set(transaction, state)
    }
    return state
  }

  /** What changes the settings in a transaction; `undefined` where they are as they should be. */
  private changeIn(
    state: InTransaction,
    frame: Frame,
    connection: PhysicalConnection,
    wanted: SessionSettings | undefined
  ): Effect.Effect<void, SqlError> | undefined {
    const { texts } = this
    const { isReserved } = frame.transaction
    // The holder of a reserved connection begins transactions on it, or not.
    if (texts === undefined || !texts.endWithTransaction || (isReserved && connection.inTransaction() !== true)) {
      return this.change(connection, wanted)
    }
    const present = this.onConnection.get(connection)
    if (wanted === undefined && present === undefined && state.names.size === 0) return undefined
    if (!isReserved && isWithin(frame, state.frame) && isSame(state.settings, wanted)) return undefined
    const next = wanted ?? nothing
    const problem = this.problem(next)
    if (problem !== undefined) return Effect.fail(problem)
    this.used = true
    const gone = new Set([...state.names, ...Object.keys(present ?? nothing)])
    for (const name of Object.keys(next)) {
      state.names.add(name)
      gone.delete(name)
    }
    return Effect.zipRight(
      Effect.zipRight(
        send(connection, texts.set(next, "transaction")),
        send(connection, texts.reset([...gone], "transaction"))
      ),
      Effect.sync(() => {
        state.frame = frame
        state.settings = wanted
      })
    )
  }

  private change(
    connection: PhysicalConnection,
    wanted: SessionSettings | undefined
  ): Effect.Effect<void, SqlError> | undefined {
    const present = this.onConnection.get(connection)
    if (present === wanted) return undefined
    const { texts } = this
    if (texts === undefined) return Effect.fail(this.unsupported())
    const problem = wanted && this.problem(wanted)
    if (problem !== undefined) return Effect.fail(problem)
    this.used = true
    const next = wanted ?? nothing
    const before = present ?? nothing
    const isCertain = !this.unsettled.has(connection)
    const [kept, gone] = partition(before, (name) => Object.hasOwn(next, name))
    const [changed] = partition(next, (name) => !isCertain || before[name] !== next[name])
    const isInside = texts.endWithTransaction && connection.inTransaction() === true
    if (isInside) this.unsettled.add(connection)
    const know = (settings: SessionSettings | undefined) =>
      Effect.sync(() => {
        // As long as it may be undone, every name that was ever set may have its value again.
        if (isInside) this.onConnection.set(connection, { ...before, ...settings })
        else if (settings === undefined) this.onConnection.delete(connection)
        else this.onConnection.set(connection, settings)
      })
    // Either statement has all of its effect or, if the server refuses it, none.
    return Effect.suspend(() =>
      Effect.zipRight(
        Effect.tapBoth(send(connection, texts.reset(Object.keys(gone), "session")), {
          onFailure: () => Effect.sync(() => this.markChanged(connection)),
          onSuccess: () => know(isCertain ? kept : before)
        }),
        Effect.zipRight(
          send(connection, texts.set(changed, "session")),
          Effect.tap(know(wanted), () => {
            if (!isInside) this.unsettled.delete(connection)
          })
        )
      )
    )
  }

  /** Waits until `condition` holds, but not for ever. */
  private until({ waiting }: InTransaction, condition: () => boolean): Effect.Effect<void, SqlError> {
    const held = Effect.async<void>((resume) => {
      const look = () => {
        if (!condition()) return
        waiting.delete(look)
        resume(Effect.void)
      }
      waiting.add(look)
      look()
      return Effect.sync(() => void waiting.delete(look))
    })
    // In an uninterruptible region nothing else could be timed out.
    return Effect.timeoutFail(Effect.interruptible(held), {
      duration: patience,
      onTimeout: () =>
        RoutingError.toSqlError(
          new RoutingError.TransactionFrameBusy({ database: this.database, waited: patience })
        )
    })
  }

  /** The fiber's settings, with what is left of its deadline if the server is to keep it too. */
  private wanted(connection: PhysicalConnection, settings: FiberSettings): SessionSettings | undefined {
    const { deadline, deadlineOnServer, session } = settings
    if (!deadlineOnServer || deadline === undefined) return session
    const left = Duration.nanos(BigIntMath.max(deadline - this.clock.unsafeCurrentTimeNanos(), leastLimit))
    const limit = this.driver.statementTimeout(connection, left)
    return limit === undefined ? session : { ...session, [limit[0]]: limit[1] }
  }

  private get texts() {
    return this.driver.session
  }

  private problem(settings: SessionSettings): SqlError | undefined {
    const name = Object.keys(settings).find((name) => !isName.test(name))
    return name === undefined ? undefined : configurationError(
      "withSession",
      `${JSON.stringify(name)} is not the name of a setting: letters, digits, "_", parts joined by "."`
    )
  }

  private unsupported(): SqlError {
    return configurationError(
      "withSession",
      `database "${this.database}" is ${this.driver.dialect}, whose sessions have no settings`
    )
  }
}

/** What a setting may be called; a MySQL user variable begins with `@`. */
const isName = /^@?[a-z_][\w$]*(\.[a-z_][\w$]*)*$/i

/** Whether a frame is another one, or nested in it: what was set there holds here. */
const isWithin = (frame: Frame, around: object | undefined): boolean => {
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) if (at === around) return true
  return false
}

const wake = ({ waiting }: InTransaction): void => {
  for (const look of waiting) look()
}

const isSame = (a: SessionSettings | undefined, b: SessionSettings | undefined): boolean => {
  if (a === b) return true
  const [left, right] = [Object.entries(a ?? nothing), b ?? nothing]
  return left.length === Object.keys(right).length && left.every(([name, value]) => right[name] === value)
}

/** The settings whose names are accepted, and the others. */
const partition = (
  settings: SessionSettings,
  accepts: (name: string) => boolean
): readonly [SessionSettings, SessionSettings] => {
  const entries = Object.entries(settings)
  return [
    Object.fromEntries(entries.filter(([name]) => accepts(name))),
    Object.fromEntries(entries.filter(([name]) => !accepts(name)))
  ]
}

const send = (
  connection: PhysicalConnection,
  statement: readonly [sql: string, params: ReadonlyArray<unknown>] | undefined
): Effect.Effect<void, SqlError> =>
  statement === undefined
    ? Effect.void
    : Effect.asVoid(connection.executeUnprepared(statement[0], statement[1], undefined))
