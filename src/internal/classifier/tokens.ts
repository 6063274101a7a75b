import { classesOf } from "./characters.js"

/*
 * The kinds of tokens. All languages share them, so that one reader can read them all.
 */
export const End = 0
/** A bare word; its entry in the dictionary says what it means. */
export const Word = 1
/** A quoted identifier. */
export const Quoted = 2
export const Text = 3
export const Numeric = 4
/** A bound parameter; its word is its index from 1, or 0 where the text does not tell. */
export const Parameter = 5
/** Its word is its entry in the dictionary, 0 for an operator that is not built in. */
export const Operator = 6
export const Open = 7
export const Close = 8
export const Comma = 9
export const Semicolon = 10
export const Dot = 11
/** `::` */
export const Cast = 12
/** `[`, and `]` as {@link Unindex}: PostgreSQL's subscripts. */
export const Index = 13
export const Unindex = 14
/** MySQL's `@name`. */
export const UserVariable = 15
/** MySQL's `@@name`; its word is the entry of the name. */
export const SystemVariable = 16
/** `:=`, an assignment in MySQL and a named argument in PostgreSQL. */
export const Assign = 17
/** A character, or the start of a literal without end, that the language does not have. */
export const Bad = 18

/** The kinds of tokens of one character. */
export const singles = classesOf([
  ["(", Open],
  [")", Close],
  [",", Comma],
  [";", Semicolon],
  ["[", Index],
  ["]", Unindex]
])

/** Buffers for longer texts are given back after use. */
const keptLength = 65_536

const encoder = new TextEncoder()

/**
 * The tokens of one text at a time, in parallel arrays that are used again for the next.
 *
 * They start at 1, and have an {@link End} on both sides, so that a neighbour can be looked at without a bounds check.
 */
export class Tokens {
  sql = ""
  /**
   * The text's characters; all beyond ASCII are 128, as to SQL they are all letters. An array, because a string's
   * `charCodeAt` looks at how the string is stored each time: the lexers are three times as fast with it. Zeros follow.
   */
  codes = new Uint8Array(1024)
  /** The index of the last token. */
  last = 0
  kinds = new Uint8Array(1024)
  starts = new Int32Array(1024)
  ends = new Int32Array(1024)
  words = new Int32Array(1024)
  /** Whether a setting that the text does not show would have led to other tokens. */
  ambiguous = false
  /** Which servers run the executable comments in the text. */
  version: "none" | number = "none"

  /** Makes room for a text of any tokens, and loads its characters. */
  load(sql: string): void {
    const { length } = sql
    this.sql = sql
    this.last = 0
    this.ambiguous = false
    this.version = "none"
    const size = this.kinds.length
    if (length + 4 > size || (size > keptLength && length < keptLength)) this.resize(Math.max(1024, length + 4))
    const { codes } = this
    if (encoder.encodeInto(sql, codes).written !== length) {
      for (let i = 0; i < length; i++) {
        const c = sql.charCodeAt(i)
        codes[i] = c < 128 ? c : 128
      }
    }
    codes[length] =
      codes[length + 1] =
      codes[length + 2] =
      codes[length + 3] =
        0
  }

  /** Ends the tokens after the one at `last`. */
  finish(last: number): void {
    this.last = last
    this.kinds[last + 1] = End
    this.starts[last + 1] = this.ends[last + 1] = this.sql.length
    this.words[last + 1] = 0
  }

  /** Ends the tokens with a bad one: nothing after it can be trusted. */
  fail(last: number, start: number): void {
    this.kinds[last + 1] = Bad
    this.starts[last + 1] = start
    this.ends[last + 1] = Math.min(start + 1, this.sql.length)
    this.words[last + 1] = 0
    this.finish(last + 1)
  }

  text(i: number): string {
    return this.sql.slice(this.starts[i], this.ends[i])
  }

  private resize(size: number): void {
    this.codes = new Uint8Array(size)
    this.kinds = new Uint8Array(size)
    this.starts = new Int32Array(size)
    this.ends = new Int32Array(size)
    this.words = new Int32Array(size)
  }
}
