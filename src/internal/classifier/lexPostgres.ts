import * as C from "./characters.js"
import { type Dictionary, hashStep, wordCharacters } from "./dictionary.js"
import * as Token from "./tokens.js"

/*
 * PostgreSQL's lexer (src/backend/parser/scan.l): comments nest, strings are plain, E'', U&'', dollar-quoted …, an
 * operator is the longest run of operator characters, with exceptions for comments and for signs.
 */

const enum Class {
  Blank = 1,
  Letter = 2,
  Digit = 3,
  OperatorCharacter = 4,
  Single = 5,
  Quote = 6,
  DoubleQuote = 7,
  Dollar = 8,
  Colon = 9,
  Point = 10
}

const classes = C.classesOf([
  [" \t\n\r\f\v", Class.Blank],
  [C.letters + "\u0080", Class.Letter],
  [C.digits, Class.Digit],
  ["+-*/<>=~!@#%^&|`?", Class.OperatorCharacter],
  ["(),;[]", Class.Single],
  ["'", Class.Quote],
  ["\"", Class.DoubleQuote],
  ["$", Class.Dollar],
  [":", Class.Colon],
  [".", Class.Point]
])

/** These let an operator of several characters end in `+` or `-`. */
const lettingSigns = C.classesOf([["~!@#%^&|`?", 1]])

/** NAMEDATALEN. */
const longestOperator = 63

/** `standardStrings`: whether a backslash in a plain string is just a backslash. */
export const lexPostgres = (
  tokens: Token.Tokens,
  dictionary: Dictionary,
  sql: string,
  standardStrings: boolean
): void => {
  tokens.load(sql)
  // The loop keeps all it needs in local variables, and the text in an array: that makes it twice as fast.
  // Each dialect writes out how it takes a word: with one function for all of them, statements took some percent longer.
  const { codes, ends, kinds, starts, words } = tokens
  const characters = wordCharacters
  const { length } = sql
  let last = 0
  let i = 0
  while (i < length) {
    const start = i
    const c = codes[i]!
    let kind: number = Token.Operator
    let word = 0
    switch (classes[c]) {
      case Class.Blank:
        do i++
        while (codes[i] === C.Blank)
        continue
      case Class.Letter: {
        const next = codes[i + 1]
        if (next === C.Apostrophe || (next === C.Ampersand && (c | 32) === C.U)) {
          i = prefixedEnd(tokens, start, standardStrings)
          kind = codes[i - 1] === C.DoubleQuote ? Token.Quoted : Token.Text
          if (i !== start) break
        }
        kind = Token.Word
        // After a point it is but a name.
        if (kinds[last] === Token.Dot && ends[last] === start) {
          do i++
          while (characters[codes[i]!] !== 0)
          break
        }
        let hash = 0
        let character = characters[c]!
        do {
          hash = hashStep(hash, character)
          character = characters[codes[++i]!]!
        } while (character !== 0)
        word = dictionary.find(codes, start, i, hash)
        break
      }
      case Class.Single:
        kind = Token.singles[c]!
        i++
        break
      case Class.Digit:
        kind = Token.Numeric
        i = numberEnd(codes, i)
        break
      case Class.Point:
        kind = C.isDigit(codes[i + 1]!) ? Token.Numeric : Token.Dot
        i = kind === Token.Dot ? i + 1 : numberEnd(codes, i)
        break
      case Class.Quote:
        kind = Token.Text
        i = textEnd(tokens, i, !standardStrings, true)
        break
      case Class.DoubleQuote:
        kind = Token.Quoted
        i = C.quoteEnd(codes, i, C.DoubleQuote)
        break
      case Class.Dollar:
        kind = C.isDigit(codes[i + 1]!) ? Token.Parameter : Token.Text
        i = kind === Token.Text ? dollarEnd(tokens, i) : C.digitsEnd(codes, i + 1)
        if (kind === Token.Parameter) word = C.numberAt(codes, start + 1, i)
        break
      case Class.Colon:
        if (codes[i + 1] === C.Colon || codes[i + 1] === C.Equals) {
          kind = codes[i + 1] === C.Colon ? Token.Cast : Token.Assign
          i += 2
        } else {
          i++
          word = dictionary.ofCharacter[c]!
        }
        break
      case Class.OperatorCharacter:
        if (c === C.Minus && codes[i + 1] === C.Minus) {
          i = C.lineEnd(codes, i + 2, length, C.Return)
          if (i >= 0) continue
        } else if (c === C.Slash && codes[i + 1] === C.Star) {
          i = nestedEnd(codes, i)
          if (i >= 0) continue
        } else if (classes[codes[i + 1]!] !== Class.OperatorCharacter) {
          i++
          word = dictionary.ofCharacter[c]!
        } else {
          i = operatorEnd(codes, i)
          if (i >= 0) word = dictionary.lookup(codes, start, i)
        }
        break
      default:
        i = -1
    }
    if (i < 0) return tokens.fail(last, start)
    kinds[++last] = kind
    starts[last] = start
    ends[last] = i
    words[last] = word
  }
  tokens.finish(last)
}

/** The end of a block comment, in which comments nest; -1 if it has none. */
const nestedEnd = (codes: Uint8Array, from: number): number => {
  let depth = 1
  for (let i = from + 2;; i++) {
    const c = codes[i]
    if (c === C.Star && codes[i + 1] === C.Slash) {
      i++
      if (--depth === 0) return i + 1
    } else if (c === C.Slash && codes[i + 1] === C.Star) {
      i++
      depth++
    } else if (c === 0) {
      return -1
    }
  }
}

const numberEnd = (codes: Uint8Array, from: number): number => {
  let i = digitsEnd(codes, from)
  if (i === from + 1 && codes[from] === C.Zero) {
    // 0x1F, 0o17, 0b11 since PostgreSQL 16; before it a number and a word, which is as harmless.
    const base = codes[i]! | 32
    if (base === C.X || base === C.O || base === C.B) {
      let end = i + 1
      while (C.isHexDigit(codes[end]!) || codes[end] === C.Underscore) end++
      if (end > i + 1 && wordCharacters[codes[end]!] === 0) return end
    }
  }
  // `1..10` is a range of PL/pgSQL, not a number with a point.
  if (codes[i] === C.Point && codes[i + 1] !== C.Point) i = digitsEnd(codes, i + 1)
  return C.exponentEnd(codes, i)
}

/** Digits, and underscores between them. */
const digitsEnd = (codes: Uint8Array, from: number): number => {
  let i = C.digitsEnd(codes, from)
  while (i > from && codes[i] === C.Underscore && C.isDigit(codes[i + 1]!)) i = C.digitsEnd(codes, i + 1)
  return i
}

/** The end of a string or an identifier with a prefix; `start` if the letter is none. */
const prefixedEnd = (tokens: Token.Tokens, start: number, standardStrings: boolean): number => {
  const { codes } = tokens
  switch (codes[start]! | 32) {
    case C.E:
      return codes[start + 1] === C.Apostrophe ? textEnd(tokens, start + 1, true, false) : start
    case C.B:
    case C.X:
      return codes[start + 1] === C.Apostrophe ? textEnd(tokens, start + 1, false, false) : start
    case C.N | 32:
      // N'' is as plain as '', so it depends on the setting too.
      return codes[start + 1] === C.Apostrophe ? textEnd(tokens, start + 1, !standardStrings, true) : start
    case C.U:
      if (codes[start + 1] !== C.Ampersand) return start
      if (codes[start + 2] === C.DoubleQuote) return C.quoteEnd(codes, start + 2, C.DoubleQuote)
      return codes[start + 2] === C.Apostrophe ? textEnd(tokens, start + 2, false, false) : start
    default:
      return start
  }
}

/**
 * The end of a string whose quote is at `from`. Strings with escapes go on after a line break, still with escapes; for plain
 * ones the continuation is another plain string, which is as good.
 */
const textEnd = (tokens: Token.Tokens, from: number, escapes: boolean, isPlain: boolean): number => {
  const end = segmentEnd(tokens, from, escapes, isPlain)
  if (!escapes || end < 0) return end
  let last = end
  for (;;) {
    const next = continuation(tokens.codes, last)
    if (next < 0) return last
    last = segmentEnd(tokens, next, true, isPlain)
    if (last < 0) return -1
  }
}

const segmentEnd = (tokens: Token.Tokens, from: number, escapes: boolean, isPlain: boolean): number => {
  const { codes } = tokens
  for (let i = from + 1;; i++) {
    const c = codes[i]
    if (c === C.Apostrophe) {
      if (codes[++i] !== C.Apostrophe) return i
    } else if (c === C.Backslash) {
      const next = codes[i + 1]
      if (isPlain && next === C.Apostrophe) tokens.ambiguous = true
      if (escapes || next === C.Backslash) i++
      if (next === 0) return -1
    } else if (c === 0) {
      return -1
    }
  }
}

/** Where a string goes on after blanks with a line break, -1 if it does not. */
const continuation = (codes: Uint8Array, from: number): number => {
  let broken = false
  for (let i = from;; i++) {
    const c = codes[i]!
    if (c === C.Apostrophe) return broken ? i : -1
    if (c === C.LineFeed || c === C.Return) {
      broken = true
    } else if (c === C.Minus && codes[i + 1] === C.Minus) {
      while (codes[i + 1] !== C.LineFeed && codes[i + 1] !== C.Return && codes[i + 1] !== 0) i++
    } else if (classes[c] !== Class.Blank) {
      return -1
    }
  }
}

/** The end of a string between two equal tags. */
const dollarEnd = ({ codes, sql }: Token.Tokens, start: number): number => {
  let i = start + 1
  while (classes[codes[i]!] === Class.Letter || (i > start + 1 && classes[codes[i]!] === Class.Digit)) i++
  if (classes[codes[i]!] !== Class.Dollar) return -1
  const end = sql.indexOf(sql.slice(start, i + 1), i + 1)
  return end < 0 ? -1 : end + i + 1 - start
}

/** The end of an operator, -1 if it is longer than any can be. */
const operatorEnd = (codes: Uint8Array, from: number): number => {
  let i = from
  let signs = false
  for (; classes[codes[i]!] === Class.OperatorCharacter; i++) {
    const c = codes[i]!
    if (i > from && ((c === C.Minus && codes[i + 1] === C.Minus) || (c === C.Slash && codes[i + 1] === C.Star))) break
    if (lettingSigns[c] === 1) signs = true
    if (i - from > longestOperator) return -1
  }
  if (signs) return i
  while (i > from + 1 && (codes[i - 1] === C.Plus || codes[i - 1] === C.Minus)) i--
  return i
}
