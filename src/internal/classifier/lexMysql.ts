import * as C from "./characters.js"
import { type Dictionary, hashStep, wordCharacters } from "./dictionary.js"
import * as Token from "./tokens.js"

/*
 * The lexer of MySQL and MariaDB (sql/sql_lex.cc): a word may begin with a digit, `--` needs a blank after it, comments do
 * not nest, and what stands in an executable comment is part of the statement for some servers.
 */

const enum Class {
  Blank = 1,
  Letter = 2,
  Digit = 3,
  OperatorCharacter = 4,
  Single = 5,
  Quote = 6,
  Backquote = 7,
  At = 8,
  Hash = 9,
  Question = 10,
  Point = 11,
  Backslash = 12,
  Brace = 13
}

const classes = C.classesOf([
  [" \t\n\r\f\v", Class.Blank],
  [C.letters + "$\u0080", Class.Letter],
  [C.digits, Class.Digit],
  ["+-*/<>=~!%^&|:", Class.OperatorCharacter],
  ["(),;", Class.Single],
  ["'\"", Class.Quote],
  ["`", Class.Backquote],
  ["@", Class.At],
  ["#", Class.Hash],
  ["?", Class.Question],
  [".", Class.Point],
  ["\\", Class.Backslash],
  ["{}", Class.Brace]
])

export interface MysqlSettings {
  /** `NO_BACKSLASH_ESCAPES` is not set. */
  readonly backslashEscapes: boolean
  readonly ansiQuotes: boolean
  /** Whether executable comments that name a version run. */
  readonly executableComments: boolean
}

export const lexMysql = (
  tokens: Token.Tokens,
  dictionary: Dictionary,
  sql: string,
  settings: MysqlSettings
): void => {
  tokens.load(sql)
  const { codes, ends, kinds, starts, words } = tokens
  const characters = wordCharacters
  const { length } = sql
  let last = 0
  let parameters = 0
  let executing = false
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
        if (codes[i + 1] === C.Apostrophe && hasPrefix(c)) {
          kind = Token.Text
          i = textEnd(tokens, i + 1, settings)
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
      case Class.Digit: {
        // A name may begin with a digit; directly after a point even digits are one.
        const isName = kinds[last] === Token.Dot && ends[last] === start
        i = isName ? start : numberEnd(codes, start)
        kind = i > start ? Token.Numeric : Token.Word
        if (i === start) i = wordEnd(codes, start)
        break
      }
      case Class.Single:
        kind = Token.singles[c]!
        i++
        break
      case Class.Point: {
        // After a name it separates, else a digit makes it a number.
        const separates = (kinds[last] === Token.Word || kinds[last] === Token.Quoted) && ends[last] === start
        kind = !separates && C.isDigit(codes[i + 1]!) ? Token.Numeric : Token.Dot
        i = kind === Token.Dot ? i + 1 : C.exponentEnd(codes, C.digitsEnd(codes, i + 1))
        break
      }
      case Class.Quote:
        kind = c === C.DoubleQuote && settings.ansiQuotes ? Token.Quoted : Token.Text
        i = textEnd(tokens, i, settings)
        break
      case Class.Backquote:
        kind = Token.Quoted
        i = C.quoteEnd(codes, i, C.Backquote)
        break
      case Class.At: {
        kind = codes[i + 1] === C.At ? Token.SystemVariable : Token.UserVariable
        i = variableEnd(tokens, i, settings)
        if (kind === Token.SystemVariable && i > 0) word = dictionary.lookup(codes, start + 2, i)
        break
      }
      case Class.Hash:
        i = C.lineEnd(codes, i, length)
        if (i >= 0) continue
        break
      case Class.Question:
        kind = Token.Parameter
        word = ++parameters
        i++
        break
      case Class.Brace:
        // {fn now()}, {d '2026-01-31'}, {oj a LEFT JOIN b …}: the word after the brace is no name, and acts as an operator.
        i = c === C.OpenBrace ? wordEnd(codes, i + 1) : i + 1
        word = dictionary.entryOf("+")
        break
      case Class.Backslash:
        // \N is a way to write NULL.
        kind = Token.Numeric
        i = codes[i + 1] === C.N ? i + 2 : -1
        break
      case Class.OperatorCharacter:
        if (c === C.Minus && codes[i + 1] === C.Minus && isBlankOrControl(codes[i + 2]!)) {
          i = C.lineEnd(codes, i, length)
          if (i >= 0) continue
        } else if (c === C.Slash && codes[i + 1] === C.Star) {
          const content = executableContent(tokens, i)
          if (content === 0) {
            i = commentEnd(codes, i)
          } else if (content < 0 || executing) {
            i = -1
          } else if (tokens.version === "none" || settings.executableComments) {
            executing = true
            i = content
          } else {
            i = skippedEnd(codes, content)
          }
          if (i >= 0) continue
        } else if (executing && c === C.Star && codes[i + 1] === C.Slash) {
          executing = false
          i += 2
          continue
        } else if (c === C.Colon) {
          kind = Token.Assign
          i = codes[i + 1] === C.Equals ? i + 2 : -1
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
  if (executing) return tokens.fail(last, length)
  tokens.finish(last)
}

/** Of a hexadecimal, a binary, a national string. */
const hasPrefix = (c: number): boolean => {
  const letter = c | 32
  return letter === C.X || letter === C.B || letter === 110
}

const isBlankOrControl = (c: number): boolean => c <= 32 || c === 127

/** The end of the number at `from`; `from` if it is a name. */
const numberEnd = (codes: Uint8Array, from: number): number => {
  const end = C.digitsEnd(codes, from)
  const word = wordEnd(codes, end)
  if (end < word) {
    const exponent = C.exponentEnd(codes, end)
    if (exponent > end) return exponent
    return codes[from] === C.Zero && end === from + 1 && isBased(codes, end, word) ? word : from
  }
  if (codes[end] === C.Point) return C.exponentEnd(codes, C.digitsEnd(codes, end + 1))
  return end
}

/** Whether what follows a zero is `x` or `b` and digits of that base. */
const isBased = (codes: Uint8Array, from: number, to: number): boolean => {
  const base = codes[from]! | 32
  if ((base !== C.X && base !== C.B) || from + 1 === to) return false
  for (let i = from + 1; i < to; i++) {
    const c = codes[i]!
    if (base === C.B ? c !== C.Zero && c !== C.Zero + 1 : !C.isHexDigit(c)) return false
  }
  return true
}

const wordEnd = (codes: Uint8Array, from: number): number => {
  let i = from
  while (wordCharacters[codes[i]!] !== 0) i++
  return i
}

const operatorSize = (c: number, next: number, third: number): number => {
  switch (c) {
    case C.LessThan:
      if (next === C.Equals) return third === C.GreaterThan ? 3 : 2
      return next === C.GreaterThan || next === C.LessThan ? 2 : 1
    case C.GreaterThan:
      return next === C.Equals || next === C.GreaterThan ? 2 : 1
    case C.Minus:
      return next === C.GreaterThan ? third === C.GreaterThan ? 3 : 2 : 1
    case C.Bang:
      return next === C.Equals ? 2 : 1
    case C.Bar:
    case C.Ampersand:
      return next === c ? 2 : 1
    default:
      return 1
  }
}

/** The end of a string; with `ANSI_QUOTES` double quotes are an identifier's, and have no escapes. */
const textEnd = (tokens: Token.Tokens, from: number, settings: MysqlSettings): number => {
  const { codes } = tokens
  const quote = codes[from]!
  const escapes = settings.backslashEscapes && !(quote === C.DoubleQuote && settings.ansiQuotes)
  for (let i = from + 1;; i++) {
    const c = codes[i]
    if (c === quote) {
      if (codes[++i] !== quote) return i
    } else if (c === C.Backslash) {
      const next = codes[i + 1]
      if (next === quote) tokens.ambiguous = true
      if (escapes || next === C.Backslash) i++
      if (next === 0) return -1
    } else if (c === 0) {
      return -1
    }
  }
}

/** The end of `@name`, whose name may hold points and be quoted in three ways, or of `@@name`. */
const variableEnd = (tokens: Token.Tokens, start: number, settings: MysqlSettings): number => {
  const { codes } = tokens
  const isSystem = codes[start + 1] === C.At
  const from = isSystem ? start + 2 : start + 1
  const kind = classes[codes[from]!]
  if (kind === Class.Quote) return textEnd(tokens, from, settings)
  if (kind === Class.Backquote) return C.quoteEnd(codes, from, C.Backquote)
  let end = wordEnd(codes, from)
  if (!isSystem) { while (codes[end] === C.Point) end = wordEnd(codes, end + 1) }
  return end
}

/**
 * Where the content of an executable comment starts; 0 for a plain one, -1 if servers would not agree.
 *
 * A version has 5 or 6 digits. MySQL runs the content up to its own version; MariaDB also skips 50700 to 99999, and alone
 * runs `/*M!`. Which of them will read the text is not known: either it is safe in both ways or it is not safe.
 */
const executableContent = (tokens: Token.Tokens, start: number): number => {
  const { codes } = tokens
  const isMaria = codes[start + 2] === C.M && codes[start + 3] === C.Bang
  if (!isMaria && codes[start + 2] !== C.Bang) return 0
  const from = start + (isMaria ? 4 : 3)
  const end = C.digitsEnd(codes, from)
  if (end - from > 6) return -1
  const isVersioned = end - from >= 5
  if (isMaria || isVersioned) {
    const version = (isMaria ? 1_000_000 : 0) + (isVersioned ? Number(tokens.sql.slice(from, end)) : 0)
    if (tokens.version !== "none" && tokens.version !== version) return -1
    tokens.version = version
  }
  return isVersioned ? end : from
}

/** The end of a plain comment. In optimizer hints MySQL reads quoted names, in which a comment may only seem to end. */
const commentEnd = (codes: Uint8Array, start: number): number => {
  const end = C.blockEnd(codes, start + 2)
  if (codes[start + 2] !== C.Plus) return end
  for (let i = start; i < end; i++) {
    if (classes[codes[i]!] === Class.Quote || classes[codes[i]!] === Class.Backquote) return -1
  }
  return end
}

/** The end of an executable comment that does not run; it may hold plain comments. */
const skippedEnd = (codes: Uint8Array, from: number): number => {
  for (let i = from;; i++) {
    if (codes[i] === C.Star && codes[i + 1] === C.Slash) return i + 2
    if (codes[i] === C.Slash && codes[i + 1] === C.Star) {
      const end = C.blockEnd(codes, i + 2)
      if (end < 0) return -1
      i = end - 1
    } else if (codes[i] === 0) {
      return -1
    }
  }
}
