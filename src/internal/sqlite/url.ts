import * as Either from "effect/Either"

/**
 * The file that a database URL names: `:memory:`, a path, or one behind `file:` or `sqlite:` (`sqlite:app.db`,
 * `sqlite://app.db`, `sqlite:///var/app.db`, `file:///var/app.db`), where `%` escapes what a URL cannot hold. What is
 * wrong is told without repeating the URL, which may hold a secret.
 */
export const parse = (url: string): Either.Either<string, string> => {
  const text = url.trim()
  if (text === "") return Either.left("a database URL must not be empty")
  // One letter and a colon is a drive of Windows.
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]+):(.*)$/is.exec(text) ?? []
  if (scheme === undefined || rest === undefined) return Either.right(text)
  switch (scheme.toLowerCase()) {
    case "file":
      return Either.flatMap(withoutHost(rest), decode)
    case "sqlite":
      return decode(rest.replace(/^\/\//, ""))
    default:
      return malformed(`"${scheme}:" is not a scheme of SQLite`)
  }
}

const malformed = (problem: string): Either.Either<never, string> =>
  Either.left(`${problem}; write a path, file:path, sqlite://path or :memory:`)

/** `file://host/path` would be another machine's file. */
const withoutHost = (rest: string): Either.Either<string, string> => {
  const [, host, path] = /^\/\/([^/]*)(\/.*)?$/s.exec(rest) ?? []
  if (host === undefined) return Either.right(rest)
  return (host === "" || host === "localhost") && path !== undefined
    ? Either.right(path)
    : malformed("a file: URL must not name a host")
}

const decode = (path: string): Either.Either<string, string> => {
  // Passed over, `?mode=ro` would open a file for writing.
  if (/[?#]/.test(path)) return malformed("parameters belong in the options")
  return Either.filterOrLeft(
    Either.try({ try: () => decodeURIComponent(path), catch: () => "a % is not followed by two hexadecimal digits" }),
    (path) => path !== "",
    () => "the path is missing"
  )
}
