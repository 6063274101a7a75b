/**
 * What is sent to have a statement run: messages of the frontend (PostgreSQL documentation, 55.7), each run of them in one
 * buffer.
 *
 * pg hands parse, bind, describe, execute and sync to the socket one by one, which gathers them into one system call with
 * five buffers. One buffer is 5 to 8 % more throughput, measured at 1, 16 and 64 concurrent selects.
 */

const code = (letter: string): number => letter.charCodeAt(0)

/** A statement without parameters, or several of them. */
export const simple = (text: string): Buffer => {
  const length = 4 + Buffer.byteLength(text) + 1
  const buffer = Buffer.allocUnsafe(1 + length)
  buffer[0] = code("Q")
  buffer.writeInt32BE(length, 1)
  buffer[5 + buffer.write(text, 5)] = 0
  return buffer
}

/** A statement with parameters. */
export interface Extended {
  /** Prepared statements that are not needed any more. */
  readonly close: ReadonlyArray<string>
  /** The text, unless the server has it under the name. */
  readonly parse: string | undefined
  /** Of the prepared statement; empty for the one that ends with the next. */
  readonly name: string
  readonly values: ReadonlyArray<string | Buffer | null>
  /** Whether the server is to say what rows look like. */
  readonly describe: boolean
}

export const extended = ({ close, describe, name, parse, values }: Extended): Buffer => {
  const nameLength = Buffer.byteLength(name)
  const parseLength = parse === undefined ? 0 : 4 + nameLength + 1 + Buffer.byteLength(parse) + 1 + 2
  const lengths = values.map((value) => value === null ? -1 : Buffer.byteLength(value))
  let bindLength = 4 + 1 + nameLength + 1 + 2 + 2 * values.length + 2 + 4
  for (const length of lengths) bindLength += 4 + Math.max(length, 0)
  const end = describe ? describeExecuteSync : executeSync
  let size = (parse === undefined ? 0 : 1 + parseLength) + 1 + bindLength + end.length
  for (const closed of close) size += 1 + 4 + 1 + Buffer.byteLength(closed) + 1

  const buffer = Buffer.allocUnsafe(size)
  let at = 0
  for (const closed of close) {
    const begun = at
    buffer[at] = code("C")
    buffer[at + 5] = code("S")
    at += 6
    at += buffer.write(closed, at)
    buffer[at++] = 0
    buffer.writeInt32BE(at - begun - 1, begun + 1)
  }
  if (parse !== undefined) {
    buffer[at] = code("P")
    buffer.writeInt32BE(parseLength, at + 1)
    at += 5
    at += buffer.write(name, at)
    buffer[at++] = 0
    at += buffer.write(parse, at)
    buffer[at++] = 0
    // The types of no parameters are given: the server infers them.
    at = buffer.writeInt16BE(0, at)
  }
  buffer[at] = code("B")
  buffer.writeInt32BE(bindLength, at + 1)
  at += 5
  // The unnamed portal.
  buffer[at++] = 0
  at += buffer.write(name, at)
  buffer[at++] = 0
  at = buffer.writeUInt16BE(values.length, at)
  for (const value of values) at = buffer.writeInt16BE(Buffer.isBuffer(value) ? binary : text, at)
  at = buffer.writeUInt16BE(values.length, at)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    at = buffer.writeInt32BE(lengths[i]!, at)
    if (value === null) continue
    at += typeof value === "string" ? buffer.write(value, at) : value.copy(buffer, at)
  }
  at = buffer.writeInt16BE(1, at)
  at = buffer.writeInt16BE(text, at)
  end.copy(buffer, at)
  return buffer
}

const text = 0
const binary = 1

const describePortal = Buffer.from([code("D"), 0, 0, 0, 6, code("P"), 0])
const executePortal = Buffer.from([code("E"), 0, 0, 0, 9, 0, 0, 0, 0, 0])
const sync = Buffer.from([code("S"), 0, 0, 0, 4])
const executeSync = Buffer.concat([executePortal, sync])
const describeExecuteSync = Buffer.concat([describePortal, executePortal, sync])
