import { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { PhysicalConnection } from "../../Driver.js"
import { answerTo } from "../compat.js"
import { ToldPosition } from "../toldPosition.js"
import { destroy } from "./connect.js"
import { type Answer, Cursor } from "./cursor.js"
import * as Dispositions from "./dispositions.js"
import * as Messages from "./messages.js"
import * as Position from "./position.js"
import type { PreparedStatements, Statement } from "./prepared.js"
import { type Ended, pair, type PgResults, Query, type Settle, type TextRows, texts } from "./query.js"
import { type CommandComplete, prepareValue, type RowMode } from "./untyped.js"

/** How long an interrupted statement may take to end on the server before its connection is destroyed under it. */
const cancelTimeout = "1 second"

/** A cancel that overtook its statement finds nothing to cancel: it is sent again. */
const cancelAgainAfter = "200 millis"

/** How long the server may take to close the cursor of a stream that ended early. */
const closeTimeout = "1 second"

type Rows = ReadonlyArray<any>
type TransformRows = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** What a statement is asked to do. */
interface Request {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly rowMode: RowMode
  readonly expected: "before" | "after" | undefined
  /** `undefined` for one that is not to be prepared. */
  readonly prepared: PreparedStatements | undefined
}

type Values = ReadonlyArray<ReturnType<typeof prepareValue>>

/** What a Bind message can count. */
const mostParameters = 65_535

/** Throws where a parameter cannot be sent. */
const valuesOf = (params: ReadonlyArray<unknown>): Values => {
  if (params.length > mostParameters) {
    throw new RangeError(`A statement has at most ${mostParameters} parameters; this one has ${params.length}`)
  }
  return params.map(prepareValue)
}

const noResults: PgResults = []

/** A statement's turn on the wire. */
interface Turn {
  readonly send: () => void
  onEnd: (() => void) | undefined
}

/**
 * One pg client as a connection. Statements of concurrent fibers wait in line here rather than in pg, whose own queue
 * is going away, and so that an interrupted one that was not sent yet just leaves the line.
 */
export class PgConnection implements PhysicalConnection {
  private usable = true
  /** `I`: none, `T`: open, `E`: failed. */
  private transactionStatus: Pg.TransactionStatus = "I"
  private lost: { readonly cause: unknown } | undefined
  private lostListener: ((cause: unknown) => void) | undefined
  private current: Turn | undefined
  private readonly waiting: Array<Turn> = []
  /** Whether the server has bound the statement on the wire, and may be executing it; `undefined` where it does not tell. */
  private isBound: boolean | undefined
  /** What the statement on the wire is prepared as. */
  private preparing: Statement | undefined
  private cluster: Position.Cluster | undefined
  private mayAskPosition = true

  constructor(
    private readonly client: Pg.Client,
    /** Cancels what runs on the client, through a socket of its own. */
    private readonly cancelRequest: Effect.Effect<void>,
    /** `undefined` where statements are not prepared. */
    private readonly prepared: PreparedStatements | undefined
  ) {
    // Before pg's own listener, which starts the next statement.
    client.connection.prependListener("readyForQuery", ({ status }: { readonly status: Pg.TransactionStatus }) => {
      this.transactionStatus = status
    })
    client.connection.on("bindComplete", () => {
      this.isBound = true
    })
    if (prepared !== undefined) {
      client.connection.on("parseComplete", () => {
        if (this.preparing !== undefined) this.preparing.isPrepared = true
      })
      client.connection.on("commandComplete", ({ text }: CommandComplete) => {
        if (text === "DISCARD ALL" || text === "DEALLOCATE ALL") prepared.dropped()
      })
    }
    client.on("error", (cause) => this.onClientLost(cause))
    client.on("end", () => this.onClientLost(new Error("The server closed the connection")))
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows): Effect.Effect<Rows, SqlError> {
    const rows = this.request(sql, params, undefined, this.prepared, rowsOf)
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }

  executeUnprepared(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: TransformRows
  ): Effect.Effect<Rows, SqlError> {
    const rows = this.request(sql, params, undefined, undefined, rowsOf)
    return transformRows === undefined ? rows : Effect.map(rows, transformRows)
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    return this.request<unknown>(sql, params, undefined, this.prepared, rawOf)
  }

  executeValues(
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.request(sql, params, "array", this.prepared, rowsOf)
  }

  executeStream(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: TransformRows
  ): Stream.Stream<any, SqlError> {
    const pull = (cursor: OpenCursor): Effect.Effect<Chunk.Chunk<any>, Option.Option<SqlError>> =>
      Effect.flatMap(cursor.fetch, (answer) => {
        if (answer._tag === "Failed") return Effect.fail(Option.some(this.failure(answer.cause)))
        if (answer.rows.length === 0) return Effect.fail(Option.none())
        return Effect.succeed(Chunk.unsafeFromArray(transformRows ? transformRows(answer.rows) : answer.rows))
      })
    return Effect.acquireRelease(Effect.sync(() => this.openCursor(sql, params)), (cursor) => cursor.close).pipe(
      Effect.map((cursor) => Stream.repeatEffectChunkOption(pull(cursor))),
      Stream.unwrapScoped
    )
  }

  readonly ping: Effect.Effect<void, SqlError> = Effect.suspend(() => Effect.asVoid(this.executeRaw("SELECT 1", [])))

  readonly positions = new ToldPosition()

  isUsable(): boolean {
    return this.usable
  }

  inTransaction(): boolean {
    return this.transactionStatus !== "I"
  }

  onLost(listener: (cause: unknown) => void): void {
    this.lostListener = listener
    if (this.lost !== undefined) listener(this.lost.cause)
  }

  private onClientLost(cause: unknown): void {
    if (this.lost !== undefined) return
    this.usable = false
    this.lost = { cause }
    this.lostListener?.(cause)
  }

  private request<A>(
    sql: string,
    params: ReadonlyArray<unknown>,
    rowMode: RowMode,
    prepared: PreparedStatements | undefined,
    read: (result: PgResults) => A
  ): Effect.Effect<A, SqlError> {
    return answerTo<A, SqlError>((resume) => {
      const asked = this.positions.begin()
      const expected = this.mayAskPosition ? asked : undefined
      const settle: Settle<PgResults> = (cause, result) => {
        this.end(turn)
        resume(cause ? Effect.fail(this.failure(cause)) : Effect.succeed(read(result)))
      }
      const turn: Turn = {
        send: () => this.send({ sql, params, rowMode, prepared, expected }, settle),
        onEnd: undefined
      }
      this.begin(turn)
      return () => this.abandon(turn)
    })
  }

  /** Has a statement run, as a prepared one if it is used often. */
  private send(request: Request, settle: Settle<PgResults>): void {
    const { params, prepared, sql } = request
    const statement = params.length === 0 ? undefined : prepared?.use(sql)
    if (prepared === undefined || statement === undefined) this.write(request, undefined, settle)
    else this.sendPrepared(request, prepared, statement, settle)
  }

  /** One that is refused for being prepared is sent once more as it is, where nothing else has come of it. */
  private sendPrepared(
    request: Request,
    prepared: PreparedStatements,
    statement: Statement,
    settle: Settle<PgResults>
  ): void {
    const wasPrepared = statement.isPrepared
    this.write(request, statement, (cause, result) => {
      if (!cause) statement.fields ??= (result as Pg.QueryResult).fields
      const isRefused = cause && this.isBound === false && prepared.refused(statement, wasPrepared, cause)
      // Nor is one that was interrupted meanwhile sent again.
      if (!isRefused || this.transactionStatus !== "I" || !this.usable) return settle(cause, result)
      this.write(request, undefined, (cause, result) => {
        if (this.isBound) prepared.provedStale(statement)
        settle(cause, result)
      })
    })
  }

  private write(request: Request, statement: Statement | undefined, settle: Settle<PgResults>): void {
    const { expected, params, prepared, rowMode, sql } = request
    const isSimple = params.length === 0
    this.isBound = isSimple ? undefined : false
    this.preparing = statement
    let values: Values
    try {
      values = valuesOf(params)
    } catch (cause) {
      return settle(cause as Error, noResults)
    }
    const message = isSimple ? Messages.simple(sql) : Messages.extended({
      close: prepared?.takeClosing() ?? [],
      parse: statement?.isPrepared ? undefined : sql,
      name: statement?.name ?? "",
      values,
      describe: statement?.fields === undefined
    })
    const query = new Query(message, rowMode, settle, { fields: statement?.fields })
    this.client.query(expected === undefined ? query : this.withPosition(expected, query, settle))
  }

  /** A query in one write with one that asks for the server's position. */
  private withPosition(when: "before" | "after", query: Query, settle: Settle<PgResults>): Pg.Submittable {
    const text = this.cluster === undefined ? Position.text : Position.textInCluster
    const ask = new Query<TextRows>(Messages.simple(text), "array", () => {}, { types: texts })
    return when === "after"
      ? pair(this.client, query, ask, (answer, position) => {
        this.keepPosition(position)
        settle(answer.cause, answer.result)
      })
      : pair(this.client, ask, query, (position, answer) => {
        this.keepPosition(position)
        settle(answer.cause, answer.result)
      })
  }

  private keepPosition({ cause, result }: Ended<TextRows>): void {
    if (cause) {
      if (Position.isNotForUs(cause)) this.mayAskPosition = false
      return
    }
    const columns = result.rows[0] ?? []
    this.cluster ??= Position.clusterOf(columns)
    this.positions.tell(Position.read(columns, this.cluster))
  }

  private openCursor(sql: string, params: ReadonlyArray<unknown>): OpenCursor {
    let turn: Turn | undefined
    let settle: ((answer: Effect.Effect<Answer>) => void) | undefined
    const cursor = new Cursor(sql, params, {
      inTransaction: () => this.transactionStatus === "T",
      onReady: () => this.end(turn!),
      onAnswer: (answer) => {
        settle?.(Effect.succeed(answer))
        settle = undefined
        turn?.onEnd?.()
      }
    })
    const ask = (command: "fetch" | "close") =>
      Effect.async<Answer>((resume) => {
        settle = resume
        if (!cursor.send(command)) {
          turn = {
            send: () => {
              this.isBound = cursor.isOpen ? undefined : false
              this.preparing = undefined
              this.client.query(cursor)
            },
            onEnd: undefined
          }
          this.begin(turn)
        }
        // Answered, it keeps the wire for the next fetch, but nothing runs that could be cancelled.
        const isAnswered = () => settle === undefined
        return Effect.suspend(() => isAnswered() ? Effect.void : this.abandon(turn!, isAnswered))
      })
    return {
      fetch: Effect.suspend(() => cursor.outcome === undefined ? ask("fetch") : Effect.succeed(cursor.outcome)),
      close: Effect.suspend(() => {
        if (!cursor.isOpen || !this.usable) return Effect.void
        return Effect.asVoid(Effect.timeoutOption(Effect.interruptible(ask("close")), closeTimeout))
      })
    }
  }

  private begin(turn: Turn): void {
    this.waiting.push(turn)
    if (this.waiting.length === 1) this.advance()
  }

  private advance(): void {
    if (this.current !== undefined) return
    this.current = this.waiting.shift()
    this.current?.send()
  }

  private end(turn: Turn): void {
    this.current = undefined
    turn.onEnd?.()
    // Whoever got the answer acts first: what a failed Effect.all or a won race interrupts is then not sent any more.
    if (this.waiting.length > 0) setImmediate(() => this.advance())
  }

  /** What an interruption does to a statement: it leaves the line, or is cancelled and waited for. */
  private abandon(turn: Turn, isOver = () => this.current !== turn): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.current !== turn) {
        const index = this.waiting.indexOf(turn)
        if (index >= 0) this.waiting.splice(index, 1)
        return Effect.void
      }
      this.usable = false
      const ended = Effect.async<void>((resume) => {
        if (isOver()) resume(Effect.void)
        else turn.onEnd = () => resume(Effect.void)
      })
      return Effect.zipRight(this.cancelRequest, Effect.timeoutOption(ended, cancelAgainAfter)).pipe(
        Effect.repeat({ until: Option.isSome }),
        Effect.interruptible,
        Effect.timeoutOption(cancelTimeout),
        Effect.flatMap((inTime) => Option.isSome(inTime) ? Effect.void : destroy(this.client))
      )
    })
  }

  private failure(cause: unknown): SqlError {
    const message = this.isBound === false && Dispositions.isEndOfSession(cause)
      ? Dispositions.neverRead
      : "Failed to execute statement"
    const error = new SqlError({ cause, message })
    // The socket may close a moment later than the error that announces it.
    if (Dispositions.of(error).connection === "destroy") this.usable = false
    return error
  }
}

interface OpenCursor {
  /** The next rows; none after the last. */
  readonly fetch: Effect.Effect<Answer>
  readonly close: Effect.Effect<void>
}

const rowsOf = (result: PgResults): Rows =>
  Array.isArray(result) ? result.map((one) => one.rows) : (result as Pg.QueryResult).rows

const rawOf = (result: PgResults): unknown => result
