import type { Connection as SqlConnection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { Disposition, PhysicalConnection } from "../../Driver.js"
import type { Access, Role } from "../../Endpoint.js"
import { classify } from "../../StatementClassifier.js"
import type { Asked, Write } from "../../testing/InMemoryDriver.js"
import * as Dispositions from "../dispositions.js"
import { ToldPosition } from "../toldPosition.js"
import type { Failure, Server } from "./server.js"

type Rows = Effect.Effect<ReadonlyArray<object>, SqlError>

interface Transaction {
  readonly isReadOnly: boolean
  readonly writes: Array<Write>
  /** How many writes there were when a savepoint was made. */
  readonly savepoints: Map<string, number>
}

const noWrites: ReadonlyArray<Write> = []

/** The writes that it sees are found only where they are asked for. */
class Statement implements Asked {
  constructor(
    readonly database: string,
    readonly endpoint: string,
    readonly role: Role,
    readonly connection: number,
    readonly access: Access,
    readonly inTransaction: boolean,
    readonly session: { readonly [name: string]: string },
    readonly sql: string,
    readonly params: ReadonlyArray<unknown>,
    readonly atMillis: number,
    private readonly history: ReadonlyArray<Write>,
    private readonly replayed: number,
    private readonly own: ReadonlyArray<Write>
  ) {}

  get visible(): ReadonlyArray<Write> {
    return [...this.history.slice(0, this.replayed), ...this.own]
  }
}

/** What a server does for one statement, stage by stage, each of which can be given up. */
class Task {
  private forget: () => void = nothing
  private isWorking = false

  constructor(private readonly server: Server, readonly fail: (error: SqlError) => void) {}

  /** Waits for its turn, works, and leaves the server to the next; only while the server answers. */
  work(millis: number, act: () => void): void {
    this.whenAnswering(() =>
      this.inTurn(() => {
        this.isWorking = true
        this.after(millis, () =>
          this.whenAnswering(() => {
            this.leave()
            act()
          }))
      })
    )
  }

  whenAnswering(act: () => void): void {
    if (this.server.hangs) this.forget = this.server.hold(act)
    else act()
  }

  after(millis: number, act: () => void): void {
    if (millis > 0) this.forget = this.server.around.after(millis, act)
    else act()
  }

  /** The way there and back. */
  travel(act: () => void): void {
    this.after(this.server.distanceMillis, act)
  }

  giveUp(): void {
    this.forget()
    this.leave()
  }

  private inTurn(act: () => void): void {
    if (this.server.takePlace()) act()
    else this.forget = this.server.queueUp(act)
  }

  private leave(): void {
    if (!this.isWorking) return
    this.isWorking = false
    this.server.leave()
  }
}

const nothing = (): void => {}

/** A connection to a server in memory. */
export class Connection implements PhysicalConnection {
  readonly ping: Effect.Effect<void, SqlError>
  readonly positions = new ToldPosition()
  private isOpen = true
  private lost: (cause: unknown) => void = nothing
  private readonly tasks = new Set<Task>()
  private transaction: Transaction | undefined
  private session: { readonly [name: string]: string } = {}
  private transactionSession: { readonly [name: string]: string } = {}

  constructor(private readonly server: Server, private readonly number: number, private readonly access: Access) {
    this.ping = this.ask(() => {})
  }

  isUsable(): boolean {
    return this.isOpen
  }

  inTransaction(): boolean {
    return this.transaction !== undefined
  }

  onLost(listener: (cause: unknown) => void): void {
    this.lost = listener
  }

  /** The server, or the network, ends it. */
  lose(disposition: Disposition): void {
    if (!this.isOpen) return
    const error = this.server.error("the connection was lost", disposition)
    this.end(error)
    this.lost(error.cause)
  }

  close(): void {
    this.end(this.server.error("the connection was closed", Dispositions.lost))
    this.server.connections.delete(this)
  }

  private end(error: SqlError): void {
    this.isOpen = false
    for (const task of this.tasks) {
      task.giveUp()
      task.fail(error)
    }
    this.tasks.clear()
  }

  execute: SqlConnection["execute"] = (sql, params, transformRows) => {
    const rows = this.run(sql, params)
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }

  executeUnprepared: SqlConnection["executeUnprepared"] = this.execute

  executeRaw: SqlConnection["executeRaw"] = (sql, params) => this.run(sql, params)

  executeValues: SqlConnection["executeValues"] = (sql, params) =>
    Effect.map(this.run(sql, params), (rows) => rows.map((row) => Object.values(row)))

  executeStream: SqlConnection["executeStream"] = (sql, params, transformRows) =>
    Stream.fromIterableEffect(this.execute(sql, params, transformRows))

  /** What the router asks of its own accord: it is not recorded, and takes no turn in the queue. */
  ask<A>(tell: (server: Server) => A): Effect.Effect<A, SqlError> {
    return this.during((task, done) =>
      task.whenAnswering(() => task.travel(() => done(Effect.sync(() => tell(this.server)))))
    )
  }

  private run(sql: string, params: ReadonlyArray<unknown>): Rows {
    return Effect.suspend(() => {
      const { server } = this
      const expected = this.positions.begin()
      const statement = this.statementOf(sql, params)
      if (server.config.record !== false && sql !== setSession && sql !== setTransaction) {
        server.around.asked.push(statement)
      }
      try {
        const failure = server.failureOf(statement)
        return this.serve(statement, failure, failure?.works === false ? 0 : server.latencyOf(statement), expected)
      } catch (cause) {
        return Effect.fail(thrown(cause))
      }
    })
  }

  private serve(
    statement: Asked,
    failure: Failure | undefined,
    millis: number,
    expected: "before" | "after" | undefined
  ): Rows {
    const { server } = this
    const fails = failure && this.failing(failure)
    return this.during((task, done) => {
      if (failure?.works === false) return task.after(failure.afterMillis, () => done(fails!))
      task.work(millis, () => {
        if (expected === "before") this.positions.tell(server.position)
        const rows = this.answer(statement, () => {
          if (expected === "after") this.positions.tell(server.position)
        })
        task.travel(() => done(fails === undefined ? rows : Effect.zipRight(rows, fails)))
      })
    })
  }

  private statementOf(sql: string, params: ReadonlyArray<unknown>): Asked {
    const { server, transaction } = this
    return new Statement(
      server.database,
      server.name,
      server.role,
      this.number,
      transaction?.isReadOnly === true ? "readOnly" : this.access,
      transaction !== undefined,
      transaction === undefined ? this.session : { ...this.session, ...this.transactionSession },
      sql,
      params,
      server.around.now(),
      server.history.writes,
      server.replayed,
      transaction?.writes.slice() ?? noWrites
    )
  }

  private failing({ disposition, error }: Failure): Effect.Effect<never, SqlError> {
    return Effect.suspend(() => {
      if (disposition.connection === "destroy") this.lose(disposition)
      return Effect.fail(error)
    })
  }

  /** Runs a task to its end; given up by an interruption, or the loss of the connection. */
  private during<A>(
    begin: (task: Task, done: (result: Effect.Effect<A, SqlError>) => void) => void
  ): Effect.Effect<A, SqlError> {
    return Effect.async<A, SqlError>((resume) => {
      if (!this.isOpen) return resume(Effect.fail(this.server.error("the connection is closed", Dispositions.dead)))
      const task = new Task(this.server, (error) => resume(Effect.fail(error)))
      this.tasks.add(task)
      begin(task, (result) => {
        this.tasks.delete(task)
        resume(result)
      })
      return Effect.sync(() => {
        this.tasks.delete(task)
        task.giveUp()
        this.isOpen = false
      })
    })
  }

  // ---- the little SQL it knows

  /** Calls `done` when the statement has had its effects: now, unless its answer is an Effect. */
  private answer(statement: Asked, done: () => void): Rows {
    const { params, sql } = statement
    const { server } = this
    const control = this.control(sql, params)
    if (control !== undefined) {
      done()
      return control
    }
    const refusal = server.refusesToWrite(sql, this.access, this.transaction?.isReadOnly === true)
    if (refusal !== undefined) return Effect.fail(refusal)
    const { access } = classify(server.around.dialect, sql)
    const takeEffect = () => {
      if (access === "write" || access === "admin") this.write({ sql, params })
      done()
    }
    try {
      const rows = server.config.answer?.(statement) ?? []
      if (Effect.isEffect(rows)) return Effect.tap(rows, () => Effect.sync(takeEffect))
      takeEffect()
      return Exit.succeed(rows)
    } catch (cause) {
      return Effect.fail(thrown(cause))
    }
  }

  private write(write: Write): void {
    if (this.transaction === undefined) this.server.commit([write])
    else this.transaction.writes.push(write)
  }

  /** Transaction control and settings, in the words of {@link texts}. */
  private control(sql: string, params: ReadonlyArray<unknown>): Rows | undefined {
    const [verb, name = ""] = sql.split(" ", 2) as [string, string?]
    const { transaction } = this
    switch (verb) {
      case "BEGIN":
        this.transaction = { isReadOnly: sql.endsWith("READ ONLY"), writes: [], savepoints: new Map() }
        return noRows
      case "COMMIT":
      case "ROLLBACK":
        if (verb === "ROLLBACK" && name === "TO") {
          transaction?.writes.splice(transaction.savepoints.get(sql.slice("ROLLBACK TO ".length)) ?? 0)
          return noRows
        }
        this.transaction = undefined
        this.transactionSession = {}
        if (verb === "COMMIT" && transaction !== undefined && transaction.writes.length > 0) {
          if (this.server.role === "replica") {
            return Effect.fail(this.server.error("a replica does not write", Dispositions.wrongRole))
          }
          this.server.commit(transaction.writes)
        }
        return noRows
      case "SAVEPOINT":
        transaction?.savepoints.set(name, transaction.writes.length)
        return noRows
      case "RELEASE":
        return noRows
      case setSession:
        this.session = changed(this.session, params)
        return noRows
      case setTransaction:
        this.transactionSession = changed(this.transactionSession, params)
        return noRows
      default:
        return undefined
    }
  }
}

const noRows: Rows = Exit.succeed([])

/** What a function of the user's threw. */
const thrown = (cause: unknown): SqlError =>
  new SqlError({ cause, message: "What an endpoint in memory is to do threw an exception" })

/** The words by which the driver in memory changes session settings; their parameters are names and values in turn. */
export const setSession = "SET_SESSION"
export const setTransaction = "SET_TRANSACTION"

/** A value that is `undefined` takes the setting away. */
const changed = (
  settings: { readonly [name: string]: string },
  params: ReadonlyArray<unknown>
): { readonly [name: string]: string } => {
  const next = new Map(Object.entries(settings))
  for (let i = 0; i < params.length; i += 2) {
    const [name, value] = [String(params[i]), params[i + 1]]
    if (value === undefined) next.delete(name)
    else next.set(name, String(value))
  }
  return Object.fromEntries(next)
}
