import type { Dialect } from "../../Dialect.js"
import type { Reading } from "./reading.js"
import * as Token from "./tokens.js"

/** A qualified name as functions are looked up: bare parts in lower case, quoted ones as they are. */
export const plainName = (reading: Reading, first: number, last: number): string => {
  let name = ""
  for (let i = first; i <= last; i++) {
    const text = reading.tokens.text(i)
    name += reading.tokens.kinds[i] === Token.Word ? text.toLowerCase() : unquoted(text, reading.tokens.kinds[i]!)
  }
  return name
}

/** Whether the name at a token begins with some small letters, whatever its case and its quotes. */
export const startsWith = (reading: Reading, i: number, text: string): boolean => {
  const { codes, kinds, starts } = reading.tokens
  const from = kinds[i] === Token.Word ? starts[i]! : starts[i]! + 1
  for (let j = 0; j < text.length; j++) if ((codes[from + j]! | 32) !== (text.charCodeAt(j) | 32)) return false
  return true
}

/** The part of a name at a token, as the server would look it up: PostgreSQL folds bare names, SQLite all, MySQL none. */
export const foldedName = (reading: Reading, i: number): string => {
  const { codes, ends, kinds, starts } = reading.tokens
  const text = unquoted(reading.tokens.text(i), kinds[i]!)
  return folds[reading.dialect](kinds[i]!) && hasCapital(codes, starts[i]!, ends[i]!)
    ? text.toLowerCase()
    : text
}

/** Whether there is something to fold. */
const hasCapital = (codes: Uint8Array, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if ((codes[i]! >= 65 && codes[i]! <= 90) || codes[i]! >= 128) return true
  return false
}

const folds: { readonly [dialect in Dialect]: (kind: number) => boolean } = {
  postgres: (kind) => kind === Token.Word,
  mysql: () => false,
  sqlite: () => true
}

/** The text of a token without quotes. */
const unquoted = (text: string, kind: number): string => {
  if (kind !== Token.Quoted && kind !== Token.Text) return text
  const quote = text[text.length - 1]!
  const content = text.slice(text.indexOf(quote === "]" ? "[" : quote) + 1, -1)
  return content.includes(quote) ? content.replaceAll(quote + quote, quote) : content
}
