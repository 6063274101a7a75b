import type { StatementKind } from "../../StatementFacts.js"
import {
  type Dictionary,
  type FunctionEffect,
  functionEffects,
  Infix,
  Keyword,
  Notable,
  Syntax,
  wordsOf
} from "./dictionary.js"
import { change, commonHeads, commonVerbs, follow, headAt, headsOf, markTargets, readStatement } from "./heads.js"
import { K, sharedDictionary } from "./keywords.js"
import type { Language } from "./language.js"
import { lexSqlite } from "./lexSqlite.js"
import { plainName, startsWith } from "./names.js"
import type { QueryReading } from "./query.js"
import * as Reader from "./reading.js"
import { defineFunctions, learner, type Settings } from "./settings.js"
import {
  sqliteEffects,
  sqliteInfix,
  sqliteKeywords,
  sqlitePragmaTables,
  sqliteReadPragmas,
  sqliteReadPragmasWithoutValue,
  sqliteReads,
  sqliteSyntax,
  sqliteWritePragmas
} from "./sqliteWords.js"
import * as Token from "./tokens.js"

const operators = `+ - * / % = == < > <= >= <> != << >> | & ~ || -> ->>`

const notable = `
  select with from join on using where union intersect except group having order limit window set values returning
  into in regexp insert update delete replace`

const dictionaryOf = (settings: Settings): Dictionary => {
  const dictionary = sharedDictionary()
  dictionary.mark(sqliteSyntax, Keyword | Syntax)
  dictionary.mark(sqliteKeywords, Keyword)
  dictionary.mark(sqliteInfix, Infix)
  dictionary.mark(notable, Notable)
  dictionary.pair("by", "group order partition")
  dictionary.define(operators, "read")
  defineFunctions(dictionary, sqliteReads, sqliteEffects, settings)
  return dictionary
}

const define = (reading: QueryReading, i: number): void => {
  markTargets(reading, i)
  const next = reading.wordAt(i + 1)
  if (next === K.temp || next === K.temporary) return reading.outweigh("session", "temporary object", i, i + 1)
  for (let j = i + 1; j <= reading.last && reading.kindAt(j) !== Token.Open; j++) {
    if (reading.kindAt(j + 1) === Token.Dot && isTemp(plainName(reading, j, j))) {
      return reading.outweigh("session", "temporary object", j)
    }
  }
}

const isTemp = (schema: string): boolean => schema.toLowerCase() === "temp"

const readPragmas: ReadonlySet<string> = new Set(wordsOf(sqliteReadPragmas))
const readPragmasWithoutValue: ReadonlySet<string> = new Set(wordsOf(sqliteReadPragmasWithoutValue))
const writePragmas: ReadonlySet<string> = new Set(wordsOf(sqliteWritePragmas))

/** `PRAGMA [schema.]name`, `PRAGMA name = value`, `PRAGMA name(value)`. */
const pragma = (reading: QueryReading, i: number): void => {
  const end = reading.nameEnd(i + 1)
  const name = plainName(reading, end, end).toLowerCase()
  const schema = end > i + 1 ? plainName(reading, i + 1, i + 1) : ""
  const hasValue = end < reading.last
  if (isTemp(schema) && !readPragmas.has(name)) reading.decide("session", "temporary database", i + 1)
  if (readPragmas.has(name) || (!hasValue && readPragmasWithoutValue.has(name))) return
  reading.decide(writePragmas.has(name) ? "write" : "session", "pragma that is not only an answer", i, end)
}

/** EXPLAIN runs nothing, but a pragma may already take effect when it is compiled. */
const explain = (reading: QueryReading, head: number): void => {
  let i = head + 1
  if (reading.wordAt(i) === K.query && reading.wordAt(i + 1) === K.plan) i += 2
  const inner = headAt(heads, reading, i)
  if (inner === undefined || inner.kind === "explain") reading.decide("unknown", "verb that is not known", i)
  else if (inner.kind === "pragma") pragma(reading, i)
  else if (explained.has(inner.kind)) {
    reading.planOnly = true
    reading.follow(i)
  } else if (inner.kind === "attach") reading.decide("session", "attached databases", i)
  reading.kind = "explain"
}

const explained: ReadonlySet<StatementKind> = new Set(["select", "values", "insert", "update", "delete", "replace"])

const heads = headsOf([
  ...commonHeads,
  ["replace", "replace", "write", "REPLACE", follow],
  ["create drop", "ddl", "write", "data definition", define],
  ["alter", "ddl", "write", "data definition", markTargets],
  ["begin commit end rollback savepoint release", "transaction", "transaction", "transaction control"],
  ["explain", "explain", "read", "", explain],
  ["pragma", "pragma", "read", "", pragma],
  ["attach detach", "attach", "session", "attached databases"],
  ["vacuum analyze reindex", "maintenance", "write", "maintenance"]
])

const verbs: { readonly [word: number]: StatementKind } = { ...commonVerbs, [K.replace]: "replace" }

/** `INSERT OR IGNORE INTO t`, `REPLACE INTO t`, `UPDATE OR FAIL t`, `DELETE FROM t` */
const modify = (reading: QueryReading, i: number, word: number): number => {
  const kind = verbs[word]
  if (kind === undefined) return 0
  change(reading, kind, i)
  let last = i
  if (reading.wordAt(last + 1) === K.or) last += 2
  if (word !== K.update && reading.isName(last + 1)) last++
  return reading.expectTarget(last)
}

const word = (reading: QueryReading, i: number, word: number): number => {
  switch (word) {
    case K.insert:
    case K.update:
    case K.delete:
    case K.replace:
      return reading.isVerb(i) ? modify(reading, i, word) : 0
    case K.into:
      return reading.refuse(i, "INTO where it cannot be")
    case K.in: {
      // `x IN table`, whose name may be in any quotes
      if (!reading.isName(i + 1) && reading.kindAt(i + 1) !== Token.Text) return i
      const last = reading.nameEnd(i + 1)
      reading.mark(Reader.Reads, i + 1, last)
      relation(reading, i + 1, last)
      return last
    }
    case K.regexp: {
      // `a REGEXP b` calls regexp(b, a), which only an application defines.
      const effect = functionEffects[reading.dictionary.effects[word]!]!
      if (reading.kindAt(i + 1) !== Token.Open) reading.affect(effect, i)
      return 0
    }
    default:
      return 0
  }
}

/** Some pragmas can be queried as tables, and not all of these only answer: `pragma_optimize` runs ANALYZE. */
const relation = (reading: QueryReading, first: number, last: number): void => {
  if (first < last && startsWith(reading, first, "temp") && isTemp(plainName(reading, first, first))) {
    reading.decide("session", "temporary database", first, last)
  } else if (startsWith(reading, last, "sqlite_temp_")) {
    reading.decide("session", "temporary database", last)
  } else if (startsWith(reading, last, "pragma_")) {
    const pragma = plainName(reading, last, last).toLowerCase().slice(7)
    if (readPragmas.has(pragma) || pragmaTables.has(pragma)) return
    reading.decide("session", "pragma that is not only an answer", first, last)
  } else if (reading.settings.catalogQueries === "primary" && startsWith(reading, last, "sqlite_")) {
    reading.decide("admin", "catalog", first, last)
  }
}

const pragmaTables: ReadonlySet<string> = new Set(wordsOf(sqlitePragmaTables))

const effectOf = (reading: QueryReading, first: number, last: number): FunctionEffect => {
  const { learner } = reading.language
  const name = plainName(reading, first, last).toLowerCase()
  return learner.effects.get(name) ?? learner.builtIn(name)
}

export const sqlite = (settings: Settings): Language => {
  const dictionary = dictionaryOf(settings)
  return {
    dialect: "sqlite",
    settings,
    dictionary,
    learner: learner(dictionary, settings),
    tableFunctions: true,
    lex: (tokens, sql) => lexSqlite(tokens, dictionary, sql),
    mayReadOtherwise: false,
    statement: (reading, first) => readStatement(heads, reading, first),
    word,
    modify,
    relation,
    effectOf
  }
}
