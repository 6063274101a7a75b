import type { Dialect } from "../../Dialect.js"
import type { Dictionary, FunctionEffect } from "./dictionary.js"
import type { QueryReading } from "./query.js"
import type { Learner, Settings } from "./settings.js"
import type { Tokens } from "./tokens.js"

/*
 * The ways in which servers may read the same text.
 */
/** With the other meaning of a backslash in strings. */
export const OtherStrings = 1
/** Without what is in versioned executable comments. */
export const SkippedComments = 2

/** A dialect as the reader needs it: its words, and what is read in another way than in the others. */
export interface Language {
  readonly dialect: Dialect
  readonly settings: Settings
  readonly dictionary: Dictionary
  /** Turns a text into tokens, as a server does or, by the bits of `variant`, as another might. */
  readonly lex: (tokens: Tokens, sql: string, variant: number) => void
  /** Whether the settings that say how strings end are not known. */
  readonly mayReadOtherwise: boolean
  /** Reads a statement from its first word on. */
  readonly statement: (reading: QueryReading, head: number) => void
  /** Reads a {@link Notable} word that means something in this dialect only; the last token taken, 0 if it is a mere name. */
  readonly word: (reading: QueryReading, i: number, word: number) => number
  /** Reads the verb of a write up to its target; the last token taken, 0 if it is no such verb. */
  readonly modify: (reading: QueryReading, i: number, word: number) => number
  /** What is known, and may be learnt, of functions beyond the dictionary. */
  readonly learner: Learner
  /** The effect of a call whose name is quoted or qualified. */
  readonly effectOf: (reading: QueryReading, first: number, last: number) => FunctionEffect
  /** Looks at a relation that is read, whose name has the tokens from `first` to `last`. */
  readonly relation: (reading: QueryReading, first: number, last: number) => void
  /** Whether `name(…)` in FROM is a relation with hidden columns, as SQLite's virtual tables, and not a function. */
  readonly tableFunctions: boolean
}
