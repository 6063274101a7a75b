import * as Effect from "effect/Effect"

/** Rows of a stream that are read in one go: more would hold up other fibers, fewer would cost more than they spare. */
const chunkSize = 128

type State =
  | { readonly _tag: "Initial" }
  | { readonly _tag: "Open"; readonly rows: Iterator<unknown> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Closed" }

/** The rows of one statement, read chunk by chunk; while it is open, its handle can run nothing that writes. */
export class Cursor {
  private state: State = { _tag: "Initial" }

  constructor(private readonly open: () => Iterator<unknown>) {}

  get at(): State["_tag"] {
    return this.state._tag
  }

  /** The next rows; none at the end. A first read that throws has changed nothing, and may be tried again. */
  read(): ReadonlyArray<unknown> {
    switch (this.state._tag) {
      case "Initial":
        return this.readFrom(this.open())
      case "Open":
        return this.readFrom(this.state.rows)
      case "Ended":
        return []
      case "Closed":
        throw new TypeError("The database connection is not open")
    }
  }

  /** Resets the statement, so that its handle is free again. */
  close(): void {
    if (this.state._tag === "Open") this.state.rows.return?.()
    this.state = { _tag: "Closed" }
  }

  private readFrom(rows: Iterator<unknown>): ReadonlyArray<unknown> {
    const chunk: Array<unknown> = []
    while (chunk.length < chunkSize) {
      const next = rows.next()
      if (next.done === true) {
        this.state = { _tag: "Ended" }
        return chunk
      }
      chunk.push(next.value)
    }
    this.state = { _tag: "Open", rows }
    return chunk
  }
}

/**
 * Lets timers and sockets have their turn. Effect yields to other fibers only, and a stream over synchronous reads
 * never waits for anything: without it, nothing could interrupt one from outside.
 */
export const eventLoopTurn: Effect.Effect<void> = Effect.async((resume) => {
  const turn = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(turn))
})
