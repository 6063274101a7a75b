import type { Reading } from "./reading.js"
import * as Token from "./tokens.js"

/**
 * The statement without comments: `?` for each literal and parameter, `?, ...` for each list of them, one blank or none
 * between the other tokens, and keywords in lower case. A sign stays, as it may be a minus.
 */
export const fingerprintOf = (reading: Reading): string => {
  const { kinds } = reading.tokens
  let text = ""
  for (let i = reading.first; i <= reading.last; i++) {
    if (i > reading.first && isApart(reading, i)) text += " "
    if (!isValue(kinds[i]!)) {
      text += wordOf(reading, i)
      continue
    }
    text += "?"
    const from = i
    while (kinds[i + 1] === Token.Comma && isValue(kinds[i + 2]!) && i + 2 <= reading.last) i += 2
    if (i > from) text += ", ..."
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

/** MySQL's names depend on case where its files do. */
const wordOf = (reading: Reading, i: number): string => {
  const text = reading.tokens.text(i)
  if (reading.tokens.kinds[i] !== Token.Word) return text
  return reading.language.dialect === "mysql" && reading.isPlain(i) ? text : text.toLowerCase()
}
