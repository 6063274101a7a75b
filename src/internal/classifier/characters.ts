/*
 * Characters by their code, and tables of what they are to a lexer.
 */
export const LineFeed = 10
export const Return = 13
export const Blank = 32
export const Bang = 33
export const DoubleQuote = 34
export const Percent = 37
export const Ampersand = 38
export const Apostrophe = 39
export const OpenParenthesis = 40
export const CloseParenthesis = 41
export const Star = 42
export const Plus = 43
export const Minus = 45
export const Point = 46
export const Slash = 47
export const Zero = 48
export const Colon = 58
export const LessThan = 60
export const Equals = 61
export const GreaterThan = 62
export const QuestionMark = 63
export const At = 64
export const M = 77
export const N = 78
export const Backslash = 92
export const Underscore = 95
export const Backquote = 96
export const B = 98
export const E = 101
export const U = 117
export const O = 111
export const X = 120
export const OpenBrace = 123
export const Bar = 124
/** Stands for all characters beyond ASCII. */
export const Beyond = 128

export const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
export const digits = "0123456789"

/** A table from characters to classes; all that are not named have class 0. */
export const classesOf = (rows: ReadonlyArray<readonly [string, number]>): Uint8Array => {
  const table = new Uint8Array(256)
  for (const [characters, kind] of rows) {
    for (const character of characters) table[Math.min(character.charCodeAt(0), Beyond)] = kind
  }
  return table
}

export const isDigit = (c: number): boolean => c >= 48 && c <= 57

export const isHexDigit = (c: number): boolean => isDigit(c) || ((c | 32) >= 97 && (c | 32) <= 102)

export const digitsEnd = (codes: Uint8Array, from: number): number => {
  let i = from
  while (isDigit(codes[i]!)) i++
  return i
}

/** The number written with digits, as far as it is used as an index. */
export const numberAt = (codes: Uint8Array, from: number, to: number): number => {
  let value = 0
  for (let i = from; i < to; i++) value = Math.min(value * 10 + codes[i]! - Zero, 0xffff)
  return value
}

/** The end of an exponent whose `e` is at `from`; `from` if no digits follow. */
export const exponentEnd = (codes: Uint8Array, from: number): number => {
  if ((codes[from]! | 32) !== E) return from
  const sign = codes[from + 1]
  const start = sign === Plus || sign === Minus ? from + 2 : from + 1
  return isDigit(codes[start]!) ? digitsEnd(codes, start) : from
}

/** The end of what two equal quotes enclose, where two of them within stand for one; -1 if it has none. */
export const quoteEnd = (codes: Uint8Array, from: number, quote: number): number => {
  for (let i = from + 1;; i++) {
    const c = codes[i]
    if (c === quote && codes[++i] !== quote) return i
    if (c === 0) return -1
  }
}

/** The end of a line comment; -1 if it holds a zero, at which servers stop reading. */
export const lineEnd = (codes: Uint8Array, from: number, length: number, orAt = LineFeed): number => {
  for (let i = from;; i++) {
    const c = codes[i]
    if (c === LineFeed || c === orAt) return i
    if (c === 0) return i === length ? i : -1
  }
}

/** The end of a block comment without comments in it, -1 if it has none. */
export const blockEnd = (codes: Uint8Array, from: number): number => {
  for (let i = from;; i++) {
    const c = codes[i]
    if (c === Star && codes[i + 1] === Slash) return i + 2
    if (c === 0) return -1
  }
}
