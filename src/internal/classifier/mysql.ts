import type { StatementKind } from "../../StatementFacts.js"
import {
  Adjacent,
  Constant,
  type Dictionary,
  type FunctionEffect,
  Infix,
  Keyword,
  Notable,
  Syntax
} from "./dictionary.js"
import { change, commonHeads, commonVerbs, follow, headAt, headsOf, markTargets, readStatement } from "./heads.js"
import { K, keywordsOf, sharedDictionary } from "./keywords.js"
import { type Language, OtherStrings, SkippedComments } from "./language.js"
import { lexMysql } from "./lexMysql.js"
import {
  mysqlAdjacent,
  mysqlConstants,
  mysqlEffects,
  mysqlInfix,
  mysqlKeywords,
  mysqlReads,
  mysqlSyntax
} from "./mysqlWords.js"
import { plainName } from "./names.js"
import type { QueryReading } from "./query.js"
import * as Reader from "./reading.js"
import { defineFunctions, learner, type Settings } from "./settings.js"
import * as Token from "./tokens.js"

const operators = `+ - * / % = < > <= >= <> != <=> << >> | & ^ ~ ! || && -> ->>`

const notable = `
  select with table from join on using where union intersect except group having order limit window set values returning
  into for lock insert replace update delete procedure straight_join next previous prev sql_calc_found_rows call`

const dictionaryOf = (settings: Settings): Dictionary => {
  const dictionary = sharedDictionary()
  dictionary.mark(mysqlSyntax, Keyword | Syntax)
  dictionary.mark(mysqlKeywords, Keyword)
  dictionary.mark(mysqlInfix, Keyword | Infix)
  dictionary.mark(notable, Keyword | Notable)
  dictionary.pair("of", "member as")
  dictionary.markPseudoColumns("nextval currval")
  dictionary.mark(mysqlAdjacent, Adjacent)
  dictionary.mark(mysqlConstants, Constant)
  dictionary.define(operators, "read")
  defineFunctions(dictionary, mysqlReads, mysqlEffects, settings)
  return dictionary
}

const define = (reading: QueryReading, i: number): void => {
  markTargets(reading, i)
  for (let j = i + 1; j <= i + 3; j++) {
    if (reading.wordAt(j) === K.temporary) return reading.outweigh("session", "temporary table", i, j)
  }
}

/** `BEGIN NOT ATOMIC …` is a block of statements, `BEGIN [WORK]` a transaction. */
const begin = (reading: QueryReading, i: number): void => {
  if (i === reading.last || (reading.wordAt(i + 1) === K.work && i + 1 === reading.last)) return
  reading.kind = "call"
  reading.outweigh("write", "block of statements", i, reading.last)
}

const start = (reading: QueryReading, i: number): void => {
  if (reading.wordAt(i + 1) === K.transaction) return
  reading.kind = "admin"
  reading.outweigh("admin", "server's administration", i, i + 1)
}

/** `XA RECOVER` only lists. */
const xa = (reading: QueryReading, i: number): void => {
  if (reading.wordAt(i + 1) === K.recover) reading.outweigh("read", "", i)
}

/** A SET may be of the session, the server, the transaction or a password, and its values may call anything. */
const set = (reading: QueryReading, i: number): void => {
  const next = reading.wordAt(i + 1)
  const after = reading.wordAt(i + 2)
  if (next === K.password) return reading.outweigh("write", "password", i, i + 1)
  if (next === K.transaction || ((next === K.session || next === K.local) && after === K.transaction)) {
    reading.kind = "transaction"
    return reading.outweigh("transaction", "transaction control", i, i + 1)
  }
  for (let j = i + 1; j <= reading.last; j++) {
    const word = reading.wordAt(j)
    const isScope = reading.kindAt(j - 1) === Token.Comma || j === i + 1
    if (isScope && (word === K.global || word === K.persist || word === K.persist_only)) {
      reading.decide("admin", "server's setting", i, j)
    } else if (word === K.autocommit) reading.decide("transaction", "transaction control", i, j)
  }
  reading.follow(i + 1)
  reading.markCount = 0
}

const explained: ReadonlySet<StatementKind> = new Set(["select", "values"])

/**
 * EXPLAIN of a query, or of a table's columns. MariaDB refuses to explain a write or a lock on a read-only server, and
 * planning may run subqueries: what is explained must be as safe as if it ran.
 */
const explain = (reading: QueryReading, head: number): void => {
  let i = head + 1
  for (;; i++) {
    const word = reading.wordAt(i)
    if (word === K.format && reading.tokens.text(i + 1) === "=") i += 2
    else if (word !== K.extended && word !== K.partitions && word !== K.analyze) break
  }
  if (reading.wordAt(i) === K.for && reading.wordAt(i + 1) === K.connection) return
  const inner = headAt(heads, reading, i)
  if (inner !== undefined && explained.has(inner.kind)) {
    reading.follow(i)
  } else if (inner !== undefined && inner.access === "write" && verbs[reading.wordAt(i)] !== undefined) {
    reading.decide("write", "explains a write, which a read-only server refuses", i)
  } else if (reading.isName(i) && reading.wordAt(head) !== K.analyze && reading.nameEnd(i) + 1 >= reading.last) {
    reading.mark(Reader.Reads, i, reading.nameEnd(i))
  } else {
    reading.decide("unknown", "EXPLAIN of what is not a query", i)
  }
  reading.kind = "explain"
}

/** `ANALYZE TABLE` writes statistics; MariaDB's `ANALYZE` of a statement runs it. */
const analyze = (reading: QueryReading, i: number): void => {
  const next = reading.wordAt(i + 1)
  if (next !== K.table && next !== K.tables && next !== K.local && next !== K.no_write_to_binlog) {
    reading.outweigh("read", "", i)
    explain(reading, i)
  }
}

/** What follows SHOW, after modifiers, for the answers that are the same for all sessions. */
const shown: ReadonlySet<number> = new Set(
  keywordsOf(
    `tables columns fields index indexes keys databases schemas create table triggers events procedure function package
    collation character charset engines plugins storage privileges processlist slave slaves replica replicas
    grants open explain binary contributors authors`
  )
)

const show = (reading: QueryReading, head: number): void => {
  let i = head + 1
  while (reading.wordAt(i) === K.full || reading.wordAt(i) === K.extended || reading.wordAt(i) === K.all) i++
  if (!shown.has(reading.wordAt(i))) return reading.decide("session", "about this session or server", i)
  for (let j = i + 1; j <= reading.last; j++) {
    if (reading.wordAt(j) === K.where) return reading.follow(j)
    if (reading.wordAt(j) === K.mysql) reading.decide("admin", "server's own tables", j)
  }
}

const doExpressions = (reading: QueryReading, i: number): void => {
  reading.follow(i + 1)
  if (reading.access === "unknown") reading.outweigh("write", "function that may do anything", i)
}

const checksum = (reading: QueryReading, i: number): void => {
  if (reading.wordAt(i + 1) !== K.table && reading.wordAt(i + 1) !== K.tables) {
    reading.decide("unknown", "verb that is not known", i)
  }
}

const heads = headsOf([
  ...commonHeads,
  ["table", "select", "read", "", follow],
  ["replace", "replace", "write", "REPLACE", follow],
  ["load import", "insert", "write", "loads data"],
  ["truncate", "truncate", "write", "TRUNCATE", markTargets],
  ["create drop", "ddl", "write", "data definition", define],
  ["alter rename", "ddl", "write", "data definition", markTargets],
  ["grant revoke install uninstall", "ddl", "write", "data definition"],
  ["begin", "transaction", "transaction", "transaction control", begin],
  ["start", "transaction", "transaction", "transaction control", start],
  ["commit rollback savepoint release", "transaction", "transaction", "transaction control"],
  ["xa", "transaction", "transaction", "transaction control", xa],
  ["set", "set", "session", "session's settings", set],
  ["use", "set", "session", "session's database"],
  ["show", "show", "read", "", show],
  ["explain describe desc", "explain", "read", "", explain],
  ["analyze", "maintenance", "write", "maintenance", analyze],
  ["optimize repair check cache", "maintenance", "write", "maintenance"],
  ["checksum", "maintenance", "read", "", checksum],
  ["help", "show", "read", ""],
  ["call", "call", "write", "procedure, which may do anything"],
  ["execute", "execute", "unknown", "prepared statement, which may do anything"],
  ["do", "call", "read", "", doExpressions],
  ["if case loop while repeat for declare", "call", "write", "block of statements"],
  ["prepare deallocate", "prepare", "session", "prepared statement"],
  ["lock unlock", "lock", "lock", "table lock"],
  ["handler open fetch close", "cursor", "session", "cursor"],
  ["get signal resignal", "set", "session", "diagnostics of this session"],
  ["flush reset purge change binlog backup clone", "admin", "write", "server's administration"],
  ["kill stop shutdown restart", "admin", "admin", "server's administration"]
])

const verbs: { readonly [word: number]: StatementKind } = { ...commonVerbs, [K.replace]: "replace" }

const modifiers: ReadonlySet<number> = new Set(
  keywordsOf("low_priority delayed high_priority ignore quick into from history")
)

const modify = (reading: QueryReading, i: number, word: number): number => {
  const kind = verbs[word]
  if (kind === undefined) return 0
  change(reading, kind, i)
  let last = i
  while (modifiers.has(reading.wordAt(last + 1))) last++
  return reading.expectTarget(last)
}

const word = (reading: QueryReading, i: number, word: number): number => {
  switch (word) {
    case K.into: {
      const next = reading.wordAt(i + 1)
      if (next === K.outfile || next === K.dumpfile) reading.decide("write", "writes a file on the server", i, i + 1)
      else reading.decide("session", "sets a variable", i, i + 1)
      reading.leaveClause()
      return i
    }
    case K.for:
      return locking(reading, i)
    case K.lock:
      reading.mark(Reader.Locks, i, i)
      reading.decide("lock", "row locks", i)
      return i
    case K.insert:
    case K.replace:
      if (reading.kindAt(i + 1) === Token.Open && !reading.isStart(i)) return 0
      return modify(reading, i, word)
    case K.update:
    case K.delete:
      // ON DUPLICATE KEY UPDATE
      return reading.isStart(i) || reading.access !== "write" ? modify(reading, i, word) : i
    case K.call:
      return reading.refuse(i, "verb that is not known")
    case K.procedure:
      if (reading.wordAt(i + 1) !== K.analyse) reading.refuse(i, "procedure over a result")
      return i + 1
    case K.straight_join:
      return reading.isRelated ? reading.expectRelation(i) : i
    case K.next:
    case K.previous:
    case K.prev: {
      if (reading.wordAt(i + 1) !== K.value || reading.wordAt(i + 2) !== K.for) return 0
      reading.mark(Reader.Calls, i, i + 2)
      reading.affect(word === K.next ? "write" : "session", i, i + 2)
      return i + 2
    }
    case K.sql_calc_found_rows:
      reading.decide("session", "FOUND_ROWS() of this session", i)
      return i
    default:
      return 0
  }
}

/** `FOR UPDATE`, `FOR SHARE`; not `FOR JOIN` of an index hint, `FOR SYSTEM_TIME`, `SUBSTRING(a FOR 2)`. */
const locking = (reading: QueryReading, i: number): number => {
  switch (reading.wordAt(i + 1)) {
    case K.update:
    case K.share:
      reading.mark(Reader.Locks, i, i + 1)
      reading.decide("lock", "row locks", i, i + 1)
      reading.leaveClause()
      return i + 1
    case K.join:
      return i + 1
    case K.order:
    case K.group:
      return i + 2
    default:
      return i
  }
}

const relation = (reading: QueryReading, first: number, last: number): void => {
  if (first === last) return
  const schema = plainName(reading, first, first).toLowerCase()
  if (schema === "mysql" && reading.kind === "explain") reading.decide("admin", "server's own tables", first, last)
  if (reading.settings.catalogQueries !== "primary") return
  if (schema === "information_schema" || schema === "mysql" || schema === "performance_schema" || schema === "sys") {
    reading.decide("admin", "catalog", first, last)
  }
}

/** A quoted or qualified name is a stored function's. */
const effectOf = (reading: QueryReading, first: number, last: number): FunctionEffect =>
  reading.language.learner.effects.get(plainName(reading, first, last).toLowerCase()) ?? "unknown"

export const mysql = (settings: Settings): Language => {
  const dictionary = dictionaryOf(settings)
  const { ansiQuotes = false, noBackslashEscapes = false } = settings
  return {
    dialect: "mysql",
    settings,
    dictionary,
    learner: learner(dictionary, settings),
    tableFunctions: false,
    lex: (tokens, sql, variant) =>
      lexMysql(tokens, dictionary, sql, {
        backslashEscapes: noBackslashEscapes === ((variant & OtherStrings) !== 0),
        ansiQuotes,
        executableComments: (variant & SkippedComments) === 0
      }),
    mayReadOtherwise: settings.noBackslashEscapes === undefined,
    statement: (reading, first) => readStatement(heads, reading, first),
    word,
    modify,
    relation,
    effectOf
  }
}
