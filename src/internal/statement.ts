import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { PhysicalConnection } from "../Driver.js"
import type { Refusal } from "../Plan.js"
import * as RoutingError from "../RoutingError.js"
import { announce } from "./announce.js"
import { type Call, nobody } from "./call.js"
import type { Fiber, Restore } from "./compat.js"
import * as compat from "./compat.js"
import type { Server } from "./database.js"
import { pullsWithin, withinDeadline } from "./deadline.js"
import type { QueryComment } from "./fiberSettings.js"
import { expectPosition } from "./freshness.js"
import type { Lease } from "./loans.js"
import { append } from "./queryComment.js"
import type { Origin, Router } from "./router.js"
import { describeError } from "./spanError.js"
import type { Frame } from "./transaction.js"

type TransformRows = Connection["execute"] extends (sql: string, params: ReadonlyArray<unknown>, f: infer F) => unknown
  ? F
  : never

/** Runs the text, which may have been given a comment, on the connection that was found for it. */
type Run<A> = (connection: PhysicalConnection, sql: string) => Effect.Effect<A, SqlError>

/** One of the five ways to execute a statement. */
type Execute<A> = (
  connection: Connection,
  sql: string,
  params: ReadonlyArray<unknown>,
  transformRows: TransformRows
) => Effect.Effect<A, SqlError>

const execute: Execute<ReadonlyArray<any>> = (connection, sql, params, transformRows) =>
  connection.execute(sql, params, transformRows)
const executeWithoutTransform: Execute<ReadonlyArray<any>> = (connection, sql, params) =>
  connection.execute(sql, params, undefined)
const executeRaw: Execute<unknown> = (connection, sql, params) => connection.executeRaw(sql, params)
const executeValues: Execute<ReadonlyArray<ReadonlyArray<unknown>>> = (connection, sql, params) =>
  connection.executeValues(sql, params)
const executeUnprepared: Execute<ReadonlyArray<any>> = (connection, sql, params, transformRows) =>
  connection.executeUnprepared(sql, params, transformRows)

/** What all statements of a client share. */
export interface StatementContext extends Origin {
  readonly router: Router
  readonly compiler: Statement.Compiler
  readonly transformRows: TransformRows
}

/** A text on its way to a server. */
interface Text {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly operation: string
  /** `undefined` where nobody will see what it is told. */
  readonly span: Tracer.Span | undefined
}

/** Routes a text and runs it. In an uninterruptible region. */
const route = <A>(
  context: StatementContext,
  fiber: Fiber,
  restore: Restore,
  text: Text,
  run: Run<A>
): Effect.Effect<A, SqlError> => {
  const frame = context.router.transactions.current(fiber)
  const call = callOf(context, fiber, text, frame)
  if (call.mirror !== undefined) context.router.mirror.send(call, (connection) => run(connection, text.sql))
  const { deadline } = call.settings
  const sent = deadline === undefined ? send(call, frame, fiber, restore, run) : restore(withinDeadline(
    Effect.uninterruptibleMask((restore) => send(call, frame, fiber, restore, run)),
    deadline,
    fiber,
    () => deadlineExceeded(call)
  ))
  return call.isHeard ? Effect.onExit(sent, () => Effect.sync(() => tell(context, call))) : sent
}

/** What is to happen with a text that is about to be sent. */
const callOf = (context: StatementContext, fiber: Fiber, text: Text, frame: Frame | undefined): Call => {
  const call = context.router.callFor(context, text.sql, text.params, text.span, fiber, frame !== undefined)
  call.shadow?.count(call.plan)
  if (text.span !== undefined) describe(text.span, call, text)
  return call
}

const tell = ({ router }: StatementContext, { decision, plan: { database } }: Call): void => {
  if (decision !== undefined) {
    router.events.publish({ _tag: "StatementRouted", database, endpoint: decision.endpoint, decision })
  }
}

/** Runs a text where its plan, or the transaction around, says. */
const send = <A>(
  call: Call,
  frame: Frame | undefined,
  fiber: Fiber,
  restore: Restore,
  run: Run<A>
): Effect.Effect<A, SqlError> => {
  const { plan: { refusal }, runner, settings } = call
  if (refusal !== undefined) return Effect.fail(refused(call, refusal))
  const sql = settings.comment === undefined ? call.sql : commented(call, settings.comment)
  const execute = call.note !== undefined
    ? (connection: PhysicalConnection) =>
      Effect.suspend(() => {
        expectPosition(call.note, connection)
        return run(connection, sql)
      })
    : (connection: PhysicalConnection) => run(connection, sql)
  if (frame === undefined) return runner.run(call, execute, restore)
  frame.transaction.noteStatement(call.facts, settings, fiber)
  return frame.transaction.run(frame, runner, ({ server, slot: { connection } }) => {
    announce(call, server)
    if (call.plan.leavesSession) frame.transaction.sessions.markChanged(connection)
    return frame.transaction.sessions.beforeIn(frame, connection, settings, () => execute(connection))
  }, restore)
}

const commented = ({ runner, sql }: Call, comment: QueryComment): string =>
  runner.database.driver.comments ? append(sql, comment) : sql

const sampled = (span: Tracer.Span): Tracer.Span | undefined => span.sampled ? span : undefined

const describe = (span: Tracer.Span, { runner }: Call, { operation, sql }: Text): void => {
  for (const [key, value] of runner.database.driver.spanAttributes) span.attribute(key, value)
  span.attribute("db.operation.name", operation)
  span.attribute("db.query.text", sql)
}

const refused = (call: Call, { message, reason }: Refusal): SqlError => {
  const { database, excluded, rule } = call.plan
  call.tally?.refused(database, reason)
  return RoutingError.toSqlError(
    reason === "unavailable"
      ? new RoutingError.ReplicasUnavailable({ reason: "noneLeft", database, excluded })
      : new RoutingError.StatementRefused({ reason, database, rule, statement: call.sql, explanation: message })
  )
}

const deadlineExceeded = ({ plan, server, sql }: Call): SqlError =>
  RoutingError.toSqlError(
    new RoutingError.DeadlineExceeded({ database: plan.database, endpoint: server?.name, statement: sql })
  )

/** Streams a text from where the plan, or the transaction around, says; the connection is lent until the stream ends. */
const routeStream = (
  context: StatementContext,
  text: Text,
  transformRows: TransformRows
): Stream.Stream<any, SqlError> =>
  Stream.unwrap(compat.withFiber((fiber) => {
    const frame = context.router.transactions.current(fiber)
    const call = callOf(context, fiber, text, frame)
    const { plan: { refusal }, runner, settings } = call
    if (refusal !== undefined) return Effect.fail(refused(call, refusal))
    const sql = settings.comment === undefined ? call.sql : commented(call, settings.comment)
    if (frame !== undefined) frame.transaction.noteStatement(call.facts, settings, fiber)
    const lease = (tried: ReadonlyArray<Server>) => (restore: Restore) =>
      frame === undefined
        ? runner.leases.stream(call, tried, restore)
        : Effect.tap(frame.transaction.lend(frame, runner, restore), ({ server, slot }) => {
          announce(call, server)
          if (call.plan.leavesSession) frame.transaction.sessions.markChanged(slot.connection)
          return frame.transaction.sessions.holdIn(frame, slot.connection, settings, restore)
        })
    const { deadline } = settings
    const late = () => deadlineExceeded(call)
    const from: Source = (onLease, tried) =>
      Stream.unwrapScoped(Effect.uninterruptibleMask((restore) =>
        Effect.map(
          deadline === undefined
            ? lease(tried)(restore)
            : restore(withinDeadline(Effect.uninterruptibleMask(lease(tried)), deadline, fiber, late)),
          (lease) => {
            onLease(lease)
            const rows = lease.slot.connection.executeStream(sql, text.params, transformRows)
            return deadline === undefined ? rows : pullsWithin(rows, deadline, fiber, late)
          }
        )
      ))
    const rows = frame === undefined ? restarting(call, from, 1, nobody) : from(() => {}, nobody)
    return Effect.succeed(call.isHeard ? Stream.ensuring(rows, Effect.sync(() => tell(context, call))) : rows)
  }))

/** The rows of a stream, from a server that was not tried if there is one. */
type Source = (onLease: (lease: Lease) => void, tried: ReadonlyArray<Server>) => Stream.Stream<any, SqlError>

/** A stream that begins again where its connection was lost before its first row, and that is provably harmless. */
const restarting = (
  call: Call,
  from: Source,
  number: number,
  tried: ReadonlyArray<Server>,
  failed?: { readonly at: Lease; readonly error: SqlError }
): Stream.Stream<any, SqlError> =>
  Stream.suspend(() => {
    const { runner } = call
    let silent: Lease | undefined
    const leased = from((lease) => {
      silent = lease
      if (failed !== undefined) runner.tellRetried(failed.at.server, lease.server, number, failed.error)
    }, tried)
    const rows = Stream.mapChunks(leased, (chunk) => {
      silent = undefined
      return chunk
    })
    return Stream.catchAll(rows, (error) => {
      const avoid = silent && runner.restart(call, silent, tried, error, number)
      return avoid === undefined
        ? Stream.fail(error)
        : restarting(call, from, number + 1, avoid, { at: silent!, error })
    })
  })

/**
 * A template literal with nothing but plain parameters in it: its text is the same each time.
 *
 * Kept, the text need not be put together again; and being one string, not equal ones, its hash is known, which makes the
 * classifier's lookup six times cheaper.
 */
interface Template {
  readonly text: { value: string | undefined }
  readonly params: ReadonlyArray<unknown>
}

const isPrimitive = (value: unknown): boolean =>
  typeof value !== "object" && typeof value !== "function" || value === null

/**
 * A statement that finds its own server.
 *
 * Not @effect/sql's, because a `Connection` comes too late: it sees neither the span, which must name the server, nor can
 * it do without the Scope that each stock statement pays for. Segments and compiling are @effect/sql's.
 */
class RoutedStatement<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  private compiled: readonly [sql: string, params: ReadonlyArray<unknown>] | undefined

  get [Statement.FragmentId]() {
    return identity
  }

  constructor(
    readonly segments: ReadonlyArray<Statement.Segment>,
    private readonly context: StatementContext,
    private readonly constructorOf: () => Statement.Constructor,
    private readonly template?: Template | undefined
  ) {
    super()
  }

  override commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute("execute", execute)
  }

  get withoutTransform(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute("executeWithoutTransform", executeWithoutTransform, true)
  }

  get raw(): Effect.Effect<unknown, SqlError> {
    return this.execute("executeRaw", executeRaw, true)
  }

  get values(): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.execute("executeValues", executeValues)
  }

  get unprepared(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute("executeUnprepared", executeUnprepared)
  }

  get stream(): Stream.Stream<A, SqlError> {
    const { context } = this
    return Stream.unwrapScoped(
      Effect.flatMap(
        compat.scopedClientSpan("sql.execute"),
        (span) =>
          compat.withFiber((fiber) =>
            Effect.map(this.transformed(fiber, span), (statement) => {
              const [sql, params] = statement.compile()
              const text = { sql, params, operation: "executeStream", span: sampled(span) }
              const rows = routeStream(context, text, context.transformRows)
              return span.sampled
                ? Stream.tapErrorCause(rows, (cause) => Effect.sync(() => describeError(span, cause)))
                : rows
            })
          )
      )
    )
  }

  compile(withoutTransform = false): readonly [sql: string, params: ReadonlyArray<unknown>] {
    const { template } = this
    if (template === undefined) return this.context.compiler.compile(this, withoutTransform)
    template.text.value ??= this.context.compiler.compile(this, withoutTransform)[0]
    return this.compiled ??= [template.text.value, template.params]
  }

  toJSON() {
    const [sql, params] = this.compile()
    return { _id: "@effect/sql/Statement", segments: this.segments, sql, params }
  }

  private execute<X>(operation: string, run: Execute<X>, withoutTransform = false): Effect.Effect<X, SqlError> {
    const { context } = this
    return compat.withClientSpan("sql.execute", (span, fiber, restore) => {
      const send = (statement: Statement.Statement<unknown>) => {
        const [sql, params] = statement.compile(withoutTransform)
        return route(
          context,
          fiber,
          restore,
          { sql, params, operation, span: sampled(span) },
          (connection, sql) => run(connection, sql, params, context.transformRows)
        )
      }
      return compat.currentTransformer(fiber) === undefined
        ? send(this)
        : Effect.flatMap(restore(this.transformed(fiber, span)), send)
    })
  }

  /** This statement as the fiber's transformer, if it has one, wants it. */
  private transformed(fiber: Fiber, span: Tracer.Span): Effect.Effect<Statement.Statement<unknown>> {
    const transformer = compat.currentTransformer(fiber)
    return transformer === undefined
      ? Effect.succeed(this)
      : transformer(this, this.constructorOf(), fiber.getFiberRefs(), span)
  }
}

/**
 * Routes what is executed without a Statement: code that asks @effect/sql's acquirer for a connection gets this one,
 * which sends every text its own way. Like any Connection it opens no span.
 */
export const virtualConnection = (context: StatementContext): Connection => {
  const routed = <A>(sql: string, params: ReadonlyArray<unknown>, run: Run<A>) =>
    Effect.uninterruptibleMask((restore) =>
      compat.withFiber((fiber) =>
        route(context, fiber, restore, { sql, params, operation: "execute", span: undefined }, run)
      )
    )
  return {
    execute: (sql, params, transformRows) =>
      routed(sql, params, (connection, sql) => connection.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => routed(sql, params, (connection, sql) => connection.executeRaw(sql, params)),
    executeValues: (sql, params) => routed(sql, params, (connection, sql) => connection.executeValues(sql, params)),
    executeUnprepared: (sql, params, transformRows) =>
      routed(sql, params, (connection, sql) => connection.executeUnprepared(sql, params, transformRows)),
    executeStream: (sql, params, transformRows) =>
      routeStream(context, { sql, params, operation: "executeStream", span: undefined }, transformRows)
  }
}

/** The constructor of a client: @effect/sql's helpers, and statements that are ours. */
export const makeConstructor = (context: StatementContext): Statement.Constructor => {
  const stock = Statement.make(
    Effect.succeed(virtualConnection(context)),
    context.compiler,
    context.home.database.driver.spanAttributes,
    context.transformRows
  )
  const constructorOf = () => sql
  const texts = new WeakMap<TemplateStringsArray, Template["text"]>()
  const templateOf = (strings: TemplateStringsArray, params: ReadonlyArray<unknown>): Template | undefined => {
    if (!params.every(isPrimitive)) return undefined
    let text = texts.get(strings)
    if (text === undefined) texts.set(strings, text = { value: undefined })
    return { text, params }
  }
  const routed = (statement: Statement.Fragment, template?: Template) =>
    new RoutedStatement(statement.segments, context, constructorOf, template)
  const sql: Statement.Constructor = Object.assign(
    (strings: TemplateStringsArray, ...params: ReadonlyArray<unknown>) => {
      const made = stock(strings, ...params)
      return Statement.isFragment(made) ? routed(made, templateOf(strings, params)) : made
    },
    stock,
    { unsafe: (text: string, params?: ReadonlyArray<unknown>) => routed(stock.unsafe(text, params)) }
  ) as unknown as Statement.Constructor
  return sql
}
