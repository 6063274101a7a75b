import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { PhysicalConnection } from "../Driver.js"
import { currentCapture } from "../RouteDecision.js"
import type { StatementClassifier } from "../StatementClassifier.js"
import type { Fiber, Restore } from "./compat.js"
import * as compat from "./compat.js"
import type { Call, Runner } from "./run.js"
import { announce } from "./run.js"
import type { Frame, Transactions } from "./transaction.js"

type TransformRows = Connection["execute"] extends (sql: string, params: ReadonlyArray<unknown>, f: infer F) => unknown
  ? F
  : never

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
export interface StatementContext {
  readonly runner: Runner
  readonly transactions: Transactions
  readonly classifier: StatementClassifier
  readonly compiler: Statement.Compiler
  readonly transformRows: TransformRows
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
}

/** The facts, the plan and the way of a statement's text. */
const callOf = (
  context: StatementContext,
  sql: string,
  span: Tracer.Span | undefined,
  fiber: Fiber,
  frame: Frame | undefined
): Call => {
  const { classifier, runner: { database } } = context
  const facts = classifier.classify(database.driver.dialect, sql)
  return {
    sql,
    facts,
    plan: frame === undefined ? database.plan(facts) : database.pinnedPlan,
    span,
    capture: fiber.getFiberRef(currentCapture),
    decision: undefined
  }
}

const describe = (
  context: StatementContext,
  span: Tracer.Span,
  operation: string,
  sql: string
): void => {
  for (const [key, value] of context.spanAttributes) span.attribute(key, value)
  span.attribute("db.operation.name", operation)
  span.attribute("db.query.text", sql)
}

/** Runs a text where the plan, or the transaction around, says. In an uninterruptible region. */
const route = <A>(
  context: StatementContext,
  span: Tracer.Span | undefined,
  fiber: Fiber,
  restore: Restore,
  sql: string,
  run: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> => {
  const frame = context.transactions.current(fiber)
  const call = callOf(context, sql, span, fiber, frame)
  if (frame === undefined) return context.runner.run(call, run, restore)
  return frame.transaction.run(frame, (lease) => {
    announce(call, lease.server)
    return run(lease.slot.connection)
  }, restore)
}

/** Streams a text from where the plan, or the transaction around, says; the connection is lent until the stream ends. */
const routeStream = (
  context: StatementContext,
  span: Tracer.Span | undefined,
  sql: string,
  params: ReadonlyArray<unknown>,
  transformRows: TransformRows
): Stream.Stream<any, SqlError> =>
  Stream.unwrapScoped(Effect.uninterruptibleMask((restore) =>
    compat.withFiber((fiber) => {
      const frame = context.transactions.current(fiber)
      const call = callOf(context, sql, span, fiber, frame)
      const lease = frame === undefined
        ? context.runner.lease(call, restore)
        : Effect.tap(frame.transaction.lend(frame, restore), ({ server }) => announce(call, server))
      return Effect.map(lease, ({ slot }) => slot.connection.executeStream(sql, params, transformRows))
    })
  ))

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
              describe(context, span, "executeStream", sql)
              return routeStream(context, span, sql, params, context.transformRows)
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
        describe(context, span, operation, sql)
        return route(
          context,
          span,
          fiber,
          restore,
          sql,
          (connection) => run(connection, sql, params, context.transformRows)
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
  const routed = <A>(sql: string, run: (connection: PhysicalConnection) => Effect.Effect<A, SqlError>) =>
    Effect.uninterruptibleMask((restore) =>
      compat.withFiber((fiber) => route(context, undefined, fiber, restore, sql, run))
    )
  return {
    execute: (sql, params, transformRows) => routed(sql, (_) => _.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => routed(sql, (_) => _.executeRaw(sql, params)),
    executeValues: (sql, params) => routed(sql, (_) => _.executeValues(sql, params)),
    executeUnprepared: (sql, params, transformRows) =>
      routed(sql, (_) => _.executeUnprepared(sql, params, transformRows)),
    executeStream: (sql, params, transformRows) => routeStream(context, undefined, sql, params, transformRows)
  }
}

/** The constructor of a client: @effect/sql's helpers, and statements that are ours. */
export const makeConstructor = (context: StatementContext): Statement.Constructor => {
  const stock = Statement.make(
    Effect.succeed(virtualConnection(context)),
    context.compiler,
    context.spanAttributes,
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
