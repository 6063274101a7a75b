import type { Reading } from "./reading.js"
import * as Token from "./tokens.js"

const decoder = new TextDecoder()
let bytes = new Uint8Array(1024)

const Blank = 32
const QuestionMark = 63
const asIs = new Uint8Array(256).map((_, c) => c)
const folded = asIs.map((c) => c >= 65 && c <= 90 ? c + 32 : c)
/** `, ...` after a value stands for more values. */
const more = new TextEncoder().encode(", ...")

/**
 * The statement without comments: `?` for each literal and parameter, `?, ...` for each list of them, one blank or none
 * between the other tokens, and keywords in lower case. A sign stays, as it may be a minus.
 */
export const fingerprintOf = (reading: Reading): string => {
  const { codes, ends, kinds, starts } = reading.tokens
  // A token may get a blank before it, and a list of two digits the longer `?, ...`.
  const room = 3 * (ends[reading.last]! - starts[reading.first]!) + 16
  if (room > bytes.length) bytes = new Uint8Array(room)
  const keepsCase = reading.dialect === "mysql"
  let at = 0
  let all = 0
  for (let i = reading.first; i <= reading.last; i++) {
    if (i > reading.first && isApart(reading, i)) bytes[at++] = Blank
    if (isValue(kinds[i]!)) {
      bytes[at++] = QuestionMark
      const from = i
      while (kinds[i + 1] === Token.Comma && isValue(kinds[i + 2]!) && i + 2 <= reading.last) i += 2
      if (i > from) {
        bytes.set(more, at)
        at += more.length
      }
      continue
    }
    // MySQL's names depend on case where its files do.
    const table = kinds[i] === Token.Word && !(keepsCase && reading.isPlain(i)) ? folded : asIs
    const end = ends[i]!
    for (let j = starts[i]!; j < end; j++) {
      const c = codes[j]!
      all |= c
      bytes[at++] = table[c]!
    }
  }
  if (all >= 128) return slowly(reading)
  const text = decoder.decode(bytes.subarray(0, at))
  if (bytes.length > 65_536) bytes = new Uint8Array(1024)
  return text
}

/** The same where there are characters beyond ASCII. */
const slowly = (reading: Reading): string => {
  const { kinds } = reading.tokens
  const keepsCase = reading.dialect === "mysql"
  let text = ""
  for (let i = reading.first; i <= reading.last; i++) {
    if (i > reading.first && isApart(reading, i)) text += " "
    if (isValue(kinds[i]!)) {
      text += "?"
      const from = i
      while (kinds[i + 1] === Token.Comma && isValue(kinds[i + 2]!) && i + 2 <= reading.last) i += 2
      if (i > from) text += ", ..."
    } else {
      const token = reading.tokens.text(i)
      text += kinds[i] === Token.Word && !(keepsCase && reading.isPlain(i)) ? token.toLowerCase() : token
    }
  }
  return text
}

const isValue = (kind: number): boolean => kind === Token.Text || kind === Token.Numeric || kind === Token.Parameter

/** Whether a blank stands before a token. */
const isApart = (reading: Reading, i: number): boolean => {
  const { kinds } = reading.tokens
  const before = kinds[i - 1]
  switch (kinds[i]) {
    case Token.Dot:
    case Token.Comma:
    case Token.Close:
      return false
    case Token.Open:
      return before !== Token.Open && !reading.isPlain(i - 1)
    default:
      return before !== Token.Dot && before !== Token.Open
  }
}
