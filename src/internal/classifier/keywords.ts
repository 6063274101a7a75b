import { Dictionary, wordsOf } from "./dictionary.js"

// dprint-ignore
const names = [
  "abort", "all", "alter", "analyse", "analyze", "and", "as", "attach", "authors", "autocommit", "backup", "begin",
  "between", "binary", "binlog", "cache", "call", "case", "change", "character", "charset", "check", "checkpoint",
  "checksum", "clone", "close", "cluster", "collation", "columns", "comment", "commit", "committed", "concurrently",
  "connection", "constraints", "contributors", "copy", "create", "cycle", "database", "databases", "deallocate",
  "declare", "deferrable", "deferred", "delayed", "delete", "desc", "describe", "detach", "discard", "distinct",
  "do", "drop", "dumpfile", "end", "engines", "event", "events", "except", "exclusive", "execute", "exists",
  "explain", "extended", "false", "fetch", "fields", "flush", "for", "format", "from", "full", "function", "get",
  "global", "grant", "grants", "group", "handler", "having", "help", "high_priority", "history", "if", "ignore",
  "immediate", "import", "in", "index", "indexes", "insert", "install", "intersect", "into", "is", "join", "key",
  "keys", "kill", "lateral", "level", "limit", "listen", "load", "local", "lock", "loop", "low_priority",
  "materialized", "merge", "move", "mysql", "next", "no", "no_write_to_binlog", "not", "notify", "offset", "on",
  "only", "open", "operator", "optimize", "or", "order", "outfile", "package", "partitions", "password", "persist",
  "persist_only", "plan", "plugins", "pragma", "prepare", "prepared", "prev", "previous", "privileges", "procedure",
  "processlist", "purge", "query", "quick", "read", "reassign", "recover", "recursive", "refresh", "regexp",
  "reindex", "release", "rename", "repair", "repeat", "repeatable", "replace", "replica", "replicas", "reset",
  "resignal", "restart", "restrict", "returning", "revoke", "rollback", "rows", "rule", "savepoint", "schemas",
  "search", "security", "select", "sequence", "serializable", "session", "set", "share", "show", "shutdown",
  "signal", "slave", "slaves", "sql_calc_found_rows", "start", "stdout", "stop", "storage", "straight_join",
  "system", "table", "tables", "temp", "temporary", "to", "transaction", "trigger", "triggers", "true", "truncate",
  "uncommitted", "uninstall", "union", "unlisten", "unlock", "unlogged", "update", "use", "using", "vacuum",
  "value", "values", "verbose", "view", "where", "while", "window", "with", "work", "write", "xa", "xor"
] as const

/** A word that the reader knows by number. */
export type KeywordName = (typeof names)[number]

/** The entries of these words, which are the same in the dictionary of each language. */
export const K = Object.fromEntries(names.map((name, i) => [name, i + 1])) as { readonly [name in KeywordName]: number }

/** A dictionary with these words only, which come first. */
export const sharedDictionary = (): Dictionary => {
  const dictionary = new Dictionary()
  for (const name of names) dictionary.add(name)
  return dictionary
}

/** The entries of some of these words, separated by blanks. */
export const keywordsOf = (words: string): ReadonlyArray<number> => wordsOf(words).map((word) => K[word as KeywordName])
