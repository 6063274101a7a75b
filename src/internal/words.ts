/** Turns of phrase that messages and tables share. */

/** A statement in one line of at most this length. */
export const oneLine = (sql: string, length: number): string => {
  const line = sql.split(/\s+/).join(" ").trim()
  return line.length > length ? `${line.slice(0, length - 1)}…` : line
}

/** Names in a sentence. */
export const quoted = (names: Iterable<string>): string => Array.from(names, (name) => `"${name}"`).join(", ")

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`
