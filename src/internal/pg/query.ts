import type * as Pg from "pg"
import {
  type CommandComplete,
  type DataRow,
  makeResult,
  type Result,
  type RowDescription,
  type RowMode
} from "./untyped.js"

/** A text of several statements, which only a query without parameters can be, has a result for each. */
export type PgResults = Pg.QueryResult | ReadonlyArray<Pg.QueryResult>

export type Settle<Result> = (cause: Error | null | undefined, result: Result) => void

/** What is known of an answer before it comes. */
interface Known {
  /** The columns, if the server is not to describe them. */
  readonly fields?: ReadonlyArray<Pg.FieldDef> | undefined
  /** Other parsers than the client's. */
  readonly types?: Pg.CustomTypesConfig | undefined
}

/** A query in pg's protocol for queries of one's own: what it sends, in one write, and what it makes of the answer. */
export class Query<out Answer = PgResults> implements Pg.Submittable {
  /** `client.query` looks for this name, to give it the client's type parsers. */
  _result: Result
  /** Where there is a `query_timeout`, pg puts one in its place that stops the clock. */
  callback: Settle<any>
  private readonly results: Array<Result>
  /** What a type parser died of: told when the server has sent all. */
  private failure: Error | undefined

  constructor(
    /** What is left to send. */
    public message: Buffer,
    private readonly rowMode: RowMode,
    settle: Settle<Answer>,
    private readonly known: Known
  ) {
    this._result = makeResult(rowMode, known.types)
    this.results = [this._result]
    this.callback = settle
  }

  submit(connection: Pg.Connection): Error | null {
    const { known: { fields }, message } = this
    if (fields !== undefined && fields.length > 0) this._result.addFields(fields)
    const { stream } = connection as unknown as Wire
    if (message.length > 0 && stream.writable) stream.write(message)
    return null
  }

  handleRowDescription({ fields }: RowDescription): void {
    this.beginResult()
    this._result.addFields(fields)
  }

  handleDataRow({ fields }: DataRow): void {
    if (this.failure !== undefined) return
    try {
      this._result.rows.push(this._result.parseRow(fields) as Pg.QueryResultRow)
    } catch (cause) {
      this.failure = cause as Error
    }
  }

  handleCommandComplete(message: CommandComplete): void {
    this.beginResult()
    this._result.addCommandComplete(message)
  }

  handleEmptyQuery(): void {}

  handleError(cause: Error): void {
    this.callback(this.failure ?? cause, this._result)
  }

  handleReadyForQuery(): void {
    if (this.failure !== undefined) this.callback(this.failure, this._result)
    else this.callback(null, this.results.length === 1 ? this._result : this.results)
  }

  handleCopyInResponse(connection: Pg.Connection): void {
    ;(connection as unknown as Wire).sendCopyFail("No source stream defined")
  }

  handleCopyData(): void {}

  /** The next statement's, where the last one's is complete. */
  private beginResult(): void {
    if (this._result.command === null) return
    this._result = makeResult(this.rowMode, this._result._types)
    this.results.push(this._result)
  }
}

/** pg's own connection, as far as a query writes to it. */
interface Wire {
  readonly stream: { readonly writable: boolean; readonly write: (data: Buffer) => boolean }
  readonly sendCopyFail: (reason: string) => void
}

const nothing = Buffer.alloc(0)

export interface TextRows {
  readonly rows: ReadonlyArray<ReadonlyArray<string | null>>
}

/** Values come as the texts that the server sent, whatever parsers the client has. */
export const texts: Pg.CustomTypesConfig = { getTypeParser: () => (value: string) => value }

/** How a query ended. */
export interface Ended<Result> {
  readonly cause: Error | null | undefined
  readonly result: Result
}

/**
 * Two queries in one write: the second needs no round trip of its own. Each is a transaction of its own (outside an
 * explicit one), so an error of one leaves the other alone, and the second begins when the first has committed.
 *
 * pg reads the answer to one query at a time: it gets the second when the first has its answer, and finds nothing left
 * to send.
 */
export const pair = <First, Second>(
  client: Pg.Client,
  first: Query<First>,
  second: Query<Second>,
  settle: (first: Ended<First>, second: Ended<Second>) => void
): Pg.Submittable => {
  first.callback = (cause, result) => {
    const ofFirst = { cause, result }
    second.callback = (cause, result) => settle(ofFirst, { cause, result })
    client.query(second)
  }
  first.message = Buffer.concat([first.message, second.message])
  second.message = nothing
  return first
}
