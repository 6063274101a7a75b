import type { Why } from "../../StatementFacts.js"

/** Where a token stands in a text; both count from 1. */
interface Place {
  readonly line: number
  readonly column: number
}

const placeOf = (sql: string, position: number): Place => {
  const before = sql.slice(0, position).split("\n")
  return { line: before.length, column: before.at(-1)!.length + 1 }
}

/** A line of a text as it is shown: the text's own, what marks a token in the line above, or that lines are left out. */
export interface Shown {
  readonly kind: "text" | "mark" | "gap"
  readonly text: string
}

/** Lines shown around the one with the token. */
const around = 4

/** A statement, without the indentation it has in its program, and with the token that decided marked. */
export const excerpt = (sql: string, why: Why, width: number): ReadonlyArray<Shown> => {
  const place = placeOf(sql, why.position)
  // A control character, a tab above all, would move what stands below it; each keeps its column as a blank.
  const lines = sql.split("\n").map((line) => line.replace(/\p{Cc}/gu, " ").trimEnd())
  const filled = lines.flatMap((line, i) => line === "" ? [] : [i])
  if (filled.length === 0) return [{ kind: "gap", text: "(no statement)" }]
  const token = place.line - 1
  const first = Math.max(filled[0]!, token - around)
  const last = Math.min(filled.at(-1)!, token + around)
  const margin = marginOf(lines.slice(filled[0]!, filled.at(-1)! + 1))

  const shown: Array<Shown> = []
  if (first > filled[0]!) shown.push({ kind: "gap", text: "…" })
  for (let i = first; i <= last; i++) {
    const line = lines[i]!
    const cut = Math.min(margin, line.length - line.trimStart().length)
    const text = line.slice(cut)
    if (i !== token) {
      shown.push({ kind: "text", text: text.length > width ? `${text.slice(0, width - 1)}…` : text })
      continue
    }
    const window = windowOf(text, Math.max(0, place.column - 1 - cut), width)
    shown.push({ kind: "text", text: window.text })
    const length = Math.min(why.token.split("\n", 1)[0]!.length, window.text.length - window.column)
    shown.push(...marked(window.column, Math.max(1, length), `${why.reason}, at ${place.line}:${place.column}`, width))
  }
  if (last < filled.at(-1)!) shown.push({ kind: "gap", text: "…" })
  return shown
}

/**
 * The indentation that all lines have. A text that began right after a quote tells of it from its second line on: those
 * then keep some, as they go on what the first began.
 */
const marginOf = (lines: ReadonlyArray<string>): number => {
  const indents = lines.map((line) => line === "" ? Number.POSITIVE_INFINITY : line.length - line.trimStart().length)
  const [first = 0, ...others] = indents
  return first > 0 ? Math.min(...indents) : Math.max(0, Math.min(...others) - 2)
}

/** As much of a line around a column as there is room for. */
const windowOf = (line: string, column: number, width: number): { readonly text: string; readonly column: number } => {
  if (line.length <= width) return { text: line, column }
  const start = Math.max(0, Math.min(column - Math.floor(width / 3), line.length - width))
  const text = line.slice(start, start + width)
  const head = start > 0 ? `…${text.slice(1)}` : text
  return { text: start + width < line.length ? `${head.slice(0, -1)}…` : head, column: column - start }
}

const marked = (column: number, length: number, label: string, width: number): ReadonlyArray<Shown> => {
  const carets = " ".repeat(column) + "^".repeat(length)
  return carets.length + 1 + label.length <= width
    ? [{ kind: "mark", text: `${carets} ${label}` }]
    : [{ kind: "mark", text: carets }, { kind: "mark", text: label }]
}
