import * as C from "./characters.js"
import { type Dictionary, hashStep, wordCharacters } from "./dictionary.js"
import * as Token from "./tokens.js"

/*
 * SQLite's tokenizer (src/tokenize.c): four ways to quote a name, five to write a parameter, and a block comment that may
 * go on to the end of the text.
 */

const enum Class {
  Blank = 1,
  Letter = 2,
  Digit = 3,
  OperatorCharacter = 4,
  Single = 5,
  Quote = 6,
  Bracket = 7,
  Variable = 8,
  Point = 9,
  Question = 10
}

const classes = C.classesOf([
  [" \t\n\r\f", Class.Blank],
  [C.letters + "\u0080", Class.Letter],
  [C.digits, Class.Digit],
  ["+-*/<>=~!%&|", Class.OperatorCharacter],
  ["(),;", Class.Single],
  ["'\"`", Class.Quote],
  ["[", Class.Bracket],
  ["?", Class.Question],
  [":@$", Class.Variable],
  [".", Class.Point]
])

export const lexSqlite = (tokens: Token.Tokens, dictionary: Dictionary, sql: string): void => {
  tokens.load(sql)
  const { codes, ends, kinds, starts, words } = tokens
  const characters = wordCharacters
  const { length } = sql
  let last = 0
  // The highest parameter so far; -1 after a named one, which gets the next index at its first use: that is not followed.
  let parameters = 0
  // sqlite3_prepare skips a byte order mark.
  let i = sql.charCodeAt(0) === 0xfeff ? 1 : 0
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
        if ((c | 32) === C.X && codes[i + 1] === C.Apostrophe) {
          kind = Token.Text
          i = C.quoteEnd(codes, i + 1, C.Apostrophe)
          break
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
      case Class.Digit:
        kind = Token.Numeric
        i = numberEnd(codes, i)
        break
      case Class.Single:
        kind = Token.singles[c]!
        i++
        break
      case Class.Point:
        kind = C.isDigit(codes[i + 1]!) ? Token.Numeric : Token.Dot
        i = kind === Token.Dot ? i + 1 : numberEnd(codes, i)
        break
      case Class.Quote:
        kind = c === C.Apostrophe ? Token.Text : Token.Quoted
        i = C.quoteEnd(codes, i, c)
        break
      case Class.Bracket:
        kind = Token.Quoted
        i = sql.indexOf("]", i) + 1 || -1
        break
      case Class.Question:
        kind = Token.Parameter
        i = C.digitsEnd(codes, i + 1)
        if (i > start + 1) word = C.numberAt(codes, start + 1, i)
        else if (parameters >= 0) word = parameters + 1
        if (parameters >= 0) parameters = Math.max(parameters, word)
        break
      case Class.Variable:
        kind = Token.Parameter
        i = namedEnd(codes, i + 1)
        parameters = -1
        break
      case Class.OperatorCharacter:
        if (c === C.Minus && codes[i + 1] === C.Minus) {
          i = C.lineEnd(codes, i + 2, length)
          if (i >= 0) continue
        } else if (c === C.Slash && codes[i + 1] === C.Star) {
          i = commentEnd(sql, i)
          continue
        } else {
          i += operatorSize(c, codes[i + 1]!, codes[i + 2]!)
          word = i === start + 1 ? dictionary.ofCharacter[c]! : dictionary.lookup(codes, start, i)
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

const commentEnd = (sql: string, from: number): number => {
  const end = sql.indexOf("*/", from + 2)
  return end < 0 ? sql.length : end + 2
}

/** The end of a number, -1 if letters are stuck to it. */
const numberEnd = (codes: Uint8Array, start: number): number => {
  let i = start
  if (codes[i] === C.Zero && (codes[i + 1]! | 32) === C.X) {
    i += 2
    while (C.isHexDigit(codes[i]!) || codes[i] === C.Underscore) i++
  } else {
    i = digitsEnd(codes, i)
    if (codes[i] === C.Point) i = digitsEnd(codes, i + 1)
    i = C.exponentEnd(codes, i)
  }
  return wordCharacters[codes[i]!] !== 0 ? -1 : i
}

const digitsEnd = (codes: Uint8Array, from: number): number => {
  let i = from
  while (C.isDigit(codes[i]!) || codes[i] === C.Underscore) i++
  return i
}

const operatorSize = (c: number, next: number, third: number): number => {
  switch (c) {
    case C.Minus:
      return next === C.GreaterThan ? third === C.GreaterThan ? 3 : 2 : 1
    case C.LessThan:
      return next === C.Equals || next === C.GreaterThan || next === C.LessThan ? 2 : 1
    case C.GreaterThan:
      return next === C.Equals || next === C.GreaterThan ? 2 : 1
    case C.Bang:
    case C.Equals:
      return next === C.Equals ? 2 : 1
    case C.Bar:
      return next === C.Bar ? 2 : 1
    default:
      return 1
  }
}

/** The end of `:name`, `@name`, `$name::scope(suffix)`, -1 if there is no name. */
const namedEnd = (codes: Uint8Array, from: number): number => {
  let i = from
  for (;;) {
    if (wordCharacters[codes[i]!] !== 0) {
      i++
    } else if (codes[i] === C.Colon && codes[i + 1] === C.Colon) {
      i += 2
    } else if (codes[i] === C.OpenParenthesis && i > from) {
      while (codes[i]! > 32 && codes[i] !== C.CloseParenthesis) i++
      return codes[i] === C.CloseParenthesis ? i + 1 : -1
    } else {
      return i > from ? i : -1
    }
  }
}
