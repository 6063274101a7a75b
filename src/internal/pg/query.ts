import * as Pg from "pg"

/** pg's own connection, as far as a query writes to it. */
interface Wire {
  _send?: (message: Buffer) => boolean
  readonly stream: { readonly writable: boolean; readonly write: (data: Buffer) => boolean }
}

const submit: (this: Pg.Query, connection: Pg.Connection) => Error | null = Pg.Query.prototype.submit as never

/**
 * pg's query, with all its messages in one write.
 *
 * pg hands parse, bind, describe, execute and sync to the socket one by one, which gathers them into one system call
 * with five buffers. One buffer is 5 to 8 % more throughput, measured at 1, 16 and 64 concurrent selects.
 */
class OneWriteQuery extends Pg.Query {
  override submit = (connection: Pg.Connection): Error | null => {
    const wire = connection as unknown as Wire
    const messages: Array<Buffer> = []
    wire._send = (message) => messages.push(message) > 0
    try {
      return submit.call(this, connection)
    } finally {
      // What is left is the method of the class.
      delete wire._send
      if (wire.stream.writable && messages.length > 0) {
        wire.stream.write(messages.length === 1 ? messages[0]! : Buffer.concat(messages))
      }
    }
  }
}

export type Settle<Result> = (cause: Error | undefined, result: Result) => void

/** A query to be given to `client.query`. */
export const query = <Result>(
  text: string,
  values: ReadonlyArray<unknown>,
  rowMode: "array" | undefined,
  settle: Settle<Result>
): Pg.Submittable =>
  // pg's types know neither `rowMode` here nor that several statements have several results.
  new OneWriteQuery({ text, values, rowMode } as unknown as Pg.QueryConfig, settle as never)
