import { createHash } from "node:crypto"
import type * as Pg from "pg"
import { type Cache, makeCache } from "../classifier/cache.js"

/** Longer texts are not prepared, as with asyncpg (`max_cacheable_statement_size`): they are data, hardly ever sent twice. */
const longestText = 15 * 1024

/** After so many times that its plan went stale, a text is not prepared on an endpoint any more. */
const strikesAllowed = 3

/** Texts that an endpoint remembers to have had a stale plan. */
const rememberedTexts = 1000

export interface PreparedStatementSettings {
  /** Texts that a connection remembers. */
  readonly max: number
  /** Which use of a text on a connection prepares it, counted from 1. */
  readonly threshold: number
}

/** What is known of a text on one connection. */
export interface Statement {
  readonly text: string
  uses: number
  /** What the server is to know it by. */
  name: string | undefined
  /** Whether the server does. */
  isPrepared: boolean
  /** The columns of its rows, once the server has described them. */
  fields: ReadonlyArray<Pg.FieldDef> | undefined
  /** How often its plan had gone stale on the endpoint when it was prepared. */
  strikes: number
}

/** What all connections of an endpoint have learned about statements that were prepared there. */
export class EndpointStatements {
  /** Whether a connection's session is not always the same: then nothing that was prepared can be found again. */
  isPooled = false
  private readonly strikes = new Map<string, number>()

  constructor(
    readonly settings: PreparedStatementSettings,
    private readonly warn: () => void
  ) {}

  /** How often the plan of a text has gone stale. */
  strikesOf(text: string): number {
    return this.strikes.size === 0 ? 0 : this.strikes.get(text) ?? 0
  }

  /** A plan went stale. Connections that hold one as old learn of it here, and do not have to fail themselves. */
  strike({ strikes, text }: Statement): void {
    if (this.strikesOf(text) !== strikes) return
    this.strikes.delete(text)
    this.strikes.set(text, strikes + 1)
    if (this.strikes.size > rememberedTexts) this.strikes.delete(this.strikes.keys().next().value!)
  }

  pooled(): void {
    if (this.isPooled) return
    this.isPooled = true
    this.warn()
  }
}

/**
 * The statements that are prepared on one connection.
 *
 * Names are made of texts: behind a pooler that gives a connection another session for each transaction, a name that some
 * other client has prepared there then stands for the same text, never for another one.
 */
export class PreparedStatements {
  private readonly statements: Cache<Statement>
  private closing: Array<string> = []

  constructor(private readonly endpoint: EndpointStatements) {
    this.statements = makeCache(
      { entries: endpoint.settings.max, textLength: longestText },
      (text) => ({ text, uses: 0, name: undefined, isPrepared: false, fields: undefined, strikes: 0 }),
      (statement) => this.close(statement)
    )
  }

  /** Notes a use of a text; gives its statement, if it is to be sent as a prepared one. */
  use(text: string): Statement | undefined {
    const { endpoint } = this
    if (endpoint.isPooled || text.length > longestText) return undefined
    const statement = this.statements.get(text)
    if (++statement.uses < endpoint.settings.threshold) return undefined
    const strikes = endpoint.strikesOf(text)
    if (strikes !== statement.strikes) {
      this.close(statement)
      statement.strikes = strikes
    }
    if (strikes >= strikesAllowed) return undefined
    statement.name ??= nameOf(text)
    return statement
  }

  /** The names of those the server need not keep any longer; whoever takes them sends them. */
  takeClosing(): ReadonlyArray<string> {
    if (this.closing.length === 0) return nothing
    const { closing } = this
    this.closing = []
    // Whose session that would be closed in, nobody knows.
    return this.endpoint.isPooled ? nothing : closing
  }

  /** The session has dropped all of them. */
  dropped(): void {
    this.statements.clear()
    this.closing = []
  }

  /**
   * Takes in that the server would not parse, or bind, a statement under its name, and so has not executed it. Gives
   * whether it may fare better if it is parsed anew.
   */
  refused(statement: Statement, wasPrepared: boolean, cause: unknown): boolean {
    const code = String(Object(cause).code)
    if (code === (wasPrepared ? unknownName : nameTaken)) {
      this.endpoint.pooled()
      this.dropped()
      return true
    }
    if (!wasPrepared || !agedBadly.includes(code.slice(0, 2))) return false
    this.close(statement)
    if (code === planChanged) this.endpoint.strike(statement)
    return true
  }

  /** A statement that was refused as a prepared one has gone well without: what was prepared is out of date. */
  provedStale(statement: Statement): void {
    this.endpoint.strike(statement)
  }

  private close(statement: Statement): void {
    if (statement.isPrepared) this.closing.push(statement.name!)
    statement.isPrepared = false
    statement.fields = undefined
  }
}

const nothing: ReadonlyArray<string> = []

const unknownName = "26000"
const nameTaken = "42P05"
const planChanged = "0A000"

/**
 * Classes of SQLSTATE that a statement may be refused with because of what it was when it was prepared: its columns have
 * changed (`0A`), the types that were inferred for its parameters fit neither columns (`42`) nor values (`22`) any more.
 */
const agedBadly: ReadonlyArray<string> = ["0A", "22", "42"]

/** 132 bits of its hash: that two texts share a name is out of the question. */
const nameOf = (text: string): string => `esr_${createHash("sha256").update(text).digest("base64url").slice(0, 22)}`
