import type { QueryComment } from "./fiberSettings.js"

/**
 * A text with a comment behind it, as sqlcommenter writes it: keys in order, both parts percent-encoded, values quoted. No
 * value can end the comment, for `*` and `/` are encoded, nor open a line comment that hides something.
 *
 * Format: https://google.github.io/sqlcommenter/spec.
 */
export const append = (sql: string, comment: QueryComment): string => {
  if (comment.size === 0) return sql
  const pairs = Array.from(comment, ([key, value]) => `${encode(key)}='${encode(value)}'`).toSorted()
  return `${sql} /*${pairs.join(",")}*/`
}

/** Also what `encodeURIComponent` leaves as it is, and what it would throw at: half of a surrogate pair. */
const encode = (text: string): string =>
  encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd")).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`
  )

/** The key of W3C's trace context. */
export const traceparent = "traceparent"

/** Whether a text has a comment that names its trace, which makes it one of a kind. */
export const tellsTrace = (sql: string): boolean => sql.endsWith("'*/") && sql.includes(`${traceparent}='`)
