import type { Dialect } from "../../Dialect.js"
import type { Access, StatementKind } from "../../StatementFacts.js"
import { type Dictionary, Keyword } from "./dictionary.js"
import type { Settings } from "./settings.js"
import * as Token from "./tokens.js"

/** A statement has the strongest access of what is found in it. */
export const strength: { readonly [access in Access]: number } = {
  read: 0,
  session: 1,
  lock: 2,
  admin: 3,
  transaction: 4,
  unknown: 5,
  write: 6
}

/*
 * What a mark in a reading stands for.
 */
export const Reads = 1
export const Writes = 2
export const Calls = 3
export const Locks = 4
export const Where = 5
export const SetOperation = 6
/** Something else than a table in FROM: a subquery, a function, a name from WITH. */
export const Derives = 7
/** Added to a mark that stands outside of all parentheses. */
export const Outermost = 16

/**
 * What is found in a statement while its tokens are read: the verdict so far, and places worth remembering. One reading
 * serves statement after statement; its fields hold until the next.
 */
export class Reading {
  readonly tokens = new Token.Tokens()
  /** Whose statement this is the reading of. */
  owner: object | undefined
  /** The first and the last token of the statement. */
  first = 1
  last = 0
  kind: StatementKind = "unknown"
  access: Access = "read"
  reason = ""
  /** The first and last token of what decided. */
  reasonFrom = 0
  reasonTo = 0
  /** Places in the statement, by three: what, first token, last token. */
  marks = new Int32Array(96)
  markCount = 0
  /** Open parentheses. */
  protected depth = 0

  constructor(readonly dialect: Dialect, readonly dictionary: Dictionary, readonly settings: Settings) {}

  /** Turns to the statement that the tokens from `first` to `last` are. */
  protected begin(first: number, last: number): void {
    this.first = first
    this.last = last
    this.kind = "unknown"
    this.access = "read"
    this.reason = "reads only"
    this.reasonFrom = this.reasonTo = first
    this.markCount = 0
    this.depth = 0
    if (this.marks.length > 65_536) this.marks = new Int32Array(96)
  }

  /** There is no statement at all. */
  nothing(): void {
    this.begin(1, 0)
    this.kind = "empty"
    this.reason = "empty"
  }

  /** There are several, of which `access` is the strongest. */
  several(access: Access, first: number, last: number, semicolon: number): void {
    this.begin(first, last)
    this.kind = "multiple"
    this.outweigh(access, "more than one statement", semicolon)
  }

  /** Notes an access, which stands unless a stronger one is found. */
  decide(access: Access, reason: string, from: number, to = from): void {
    if (strength[access] <= strength[this.access]) return
    this.access = access
    this.reason = reason
    this.reasonFrom = from
    this.reasonTo = to
  }

  /** Puts another access in the place of what the first word alone had said. */
  outweigh(access: Access, reason: string, from: number, to = from): void {
    this.access = access
    this.reason = reason
    this.reasonFrom = from
    this.reasonTo = to
  }

  /** Notes what was not understood. */
  refuse(i: number, reason: string): number {
    this.decide("unknown", reason, i)
    return i
  }

  mark(what: number, first: number, last: number): void {
    const at = this.markCount * 3
    if (at === this.marks.length) {
      const larger = new Int32Array(at * 2)
      larger.set(this.marks)
      this.marks = larger
    }
    this.marks[at] = this.depth === 0 ? what | Outermost : what
    this.marks[at + 1] = first
    this.marks[at + 2] = last
    this.markCount++
  }

  /** The dictionary entry of a bare word, 0 for any other token. */
  wordAt(i: number): number {
    return i <= this.last && this.tokens.kinds[i] === Token.Word ? this.tokens.words[i]! : 0
  }

  kindAt(i: number): number {
    return i <= this.last ? this.tokens.kinds[i]! : Token.End
  }

  isName(i: number): boolean {
    const kind = this.kindAt(i)
    return kind === Token.Word || kind === Token.Quoted
  }

  /** The last token of the qualified name that begins at `i`. */
  nameEnd(i: number): number {
    let end = i
    while (this.tokens.kinds[end + 1] === Token.Dot && this.isName(end + 2)) end += 2
    return end
  }

  /** The parenthesis that closes the one at `i`; 0 if none does. */
  closing(i: number): number {
    const { kinds } = this.tokens
    let depth = 0
    for (let j = i; j <= this.last; j++) {
      if (kinds[j] === Token.Open) depth++
      else if (kinds[j] === Token.Close && --depth === 0) return j
    }
    return 0
  }

  /** Whether it is a name that is no keyword. */
  isPlain(i: number): boolean {
    if (i < this.first) return false
    const kind = this.tokens.kinds[i]
    return kind === Token.Quoted ||
      (kind === Token.Word && (this.dictionary.flags[this.tokens.words[i]!]! & Keyword) === 0) ||
      (kind === Token.Word && this.tokens.kinds[i - 1] === Token.Dot)
  }
}
