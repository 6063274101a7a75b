import type * as Pg from "pg"
import { makeResult, prepareValue } from "./untyped.js"

/** Rows a fetch asks for, as with @effect/sql-pg. */
const fetchSize = 128

/** What a cursor answers when it is asked for rows; none are left when it answers none. */
export type Answer =
  | { readonly _tag: "Rows"; readonly rows: ReadonlyArray<any> }
  | { readonly _tag: "Failed"; readonly cause: unknown }

export interface CursorHandlers {
  readonly inTransaction: () => boolean
  readonly onAnswer: (answer: Answer) => void
  /** The wire is free for other statements. */
  readonly onReady: () => void
}

/**
 * A statement whose rows are fetched piece by piece, in pg's protocol for queries of one's own (as pg-cursor's).
 *
 * Outside a transaction its portal ends with the next Sync, so the wire is its own until the last row. Inside one the
 * portal outlives that, and other statements may run between two fetches: a program that updates rows while it streams
 * them would wait for itself otherwise.
 */
export class Cursor implements Pg.Submittable {
  /** What every further fetch answers, once the end is known. */
  outcome: Answer | undefined
  private phase: "unsent" | "open" | "exhausted" | "closed" = "unsent"
  private command: "fetch" | "close" = "fetch"
  private outlivesSync = false
  private wire: Wire | undefined
  private rows: Array<unknown> = []
  private failure: { readonly cause: unknown } | undefined
  private readonly portal = `effect_sql_router_${portals++}`
  /** `client.query` looks for this name, to give it the client's type parsers. */
  readonly _result = makeResult(undefined)

  constructor(
    private readonly text: string,
    private readonly values: ReadonlyArray<unknown>,
    private readonly handlers: CursorHandlers
  ) {}

  /** Whether the server keeps anything for it. */
  get isOpen(): boolean {
    return this.phase === "open" || (this.phase === "exhausted" && this.outlivesSync)
  }

  private get hasWire(): boolean {
    return this.phase === "open" && !this.outlivesSync
  }

  /** Sends a command, if the wire is its own; `false` if it has to be submitted first. */
  send(command: "fetch" | "close"): boolean {
    this.command = command
    if (!this.hasWire) return false
    this.perform()
    return true
  }

  private perform(): void {
    if (this.command === "close") this.wire!.close({ type: "P", name: this.portal })
    else this.wire!.execute({ portal: this.portal, rows: fetchSize })
    if (this.command === "close" || this.outlivesSync) this.wire!.sync()
    else this.wire!.flush()
  }

  private answer(last: boolean): void {
    const { failure, rows } = this
    this.rows = []
    const answer: Answer = failure ? { _tag: "Failed", cause: failure.cause } : { _tag: "Rows", rows }
    if (failure) this.outcome = answer
    else if (last) this.outcome = { _tag: "Rows", rows: [] }
    this.handlers.onAnswer(answer)
  }

  submit(connection: Pg.Connection): void | Error {
    this.wire = connection as unknown as Wire
    if (this.phase !== "unsent") return this.perform()
    let values: ReadonlyArray<unknown>
    try {
      values = this.values.map(prepareValue)
    } catch (cause) {
      // pg passes it on to handleError, having sent nothing.
      return cause as Error
    }
    this.phase = "open"
    this.outlivesSync = this.handlers.inTransaction()
    this.wire.stream.cork?.()
    this.wire.parse({ text: this.text })
    this.wire.bind({ portal: this.portal, values })
    this.wire.describe({ type: "P", name: this.portal })
    this.perform()
    this.wire.stream.uncork?.()
  }

  handleRowDescription(message: { readonly fields: ReadonlyArray<Pg.FieldDef> }): void {
    this._result.addFields(message.fields)
  }

  handleDataRow(message: { readonly fields: ReadonlyArray<unknown> }): void {
    if (this.failure) return
    try {
      this.rows.push(this._result.parseRow(message.fields))
    } catch (cause) {
      this.failure = { cause }
    }
  }

  handlePortalSuspended(): void {
    if (!this.outlivesSync) this.answer(false)
  }

  handleCommandComplete(): void {
    this.phase = "exhausted"
    if (!this.outlivesSync) this.wire!.sync()
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete()
  }

  handleReadyForQuery(): void {
    if (this.command === "close") this.phase = "closed"
    this.handlers.onReady()
    this.answer(this.phase !== "open")
  }

  handleError(cause: unknown): void {
    // The server skips everything up to a Sync; where one is on its way already, the answer to another would be taken
    // for that to the next statement.
    if (this.hasWire && this.command !== "close") this.wire!.sync()
    this.phase = "closed"
    this.failure ??= { cause }
    this.handlers.onReady()
    this.answer(true)
  }

  handleCopyInResponse(): void {
    this.wire!.sendCopyFail("A stream cannot copy from its client")
  }

  handleCopyData(): void {}
}

let portals = 0

/** pg's Connection; its types are older than its code. */
interface Wire {
  /** Streams that are no sockets may lack both. */
  readonly stream: { readonly cork?: () => void; readonly uncork?: () => void }
  readonly parse: (message: { readonly text: string }) => void
  readonly bind: (message: { readonly portal: string; readonly values: ReadonlyArray<unknown> }) => void
  readonly describe: (message: { readonly type: "P"; readonly name: string }) => void
  readonly execute: (message: { readonly portal: string; readonly rows: number }) => void
  readonly close: (message: { readonly type: "P"; readonly name: string }) => void
  readonly sendCopyFail: (reason: string) => void
  readonly flush: () => void
  readonly sync: () => void
}
