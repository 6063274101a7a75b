import type { StatementKind } from "../../StatementFacts.js"
import {
  type Dictionary,
  type FunctionEffect,
  functionEffects,
  Infix,
  Keyword,
  Notable,
  Reserved,
  Syntax
} from "./dictionary.js"
import { change, commonHeads, commonVerbs, follow, headAt, headsOf, markTargets, readStatement } from "./heads.js"
import { K, keywordsOf, sharedDictionary } from "./keywords.js"
import { type Language, OtherStrings } from "./language.js"
import { lexPostgres } from "./lexPostgres.js"
import { plainName } from "./names.js"
import { postgresEffects, postgresNewerReads, postgresReads } from "./postgresFunctions.js"
import type { QueryReading } from "./query.js"
import * as Reader from "./reading.js"
import { defineFunctions, learner, type Settings } from "./settings.js"
import * as Token from "./tokens.js"

/*
 * The words of PostgreSQL, by pg_get_keywords() of version 15; the few that 16 to 18 added are at the end of their lists.
 */

/** May name a column but not a function: as the reserved ones, before a parenthesis they are grammar. */
const columnNames = `
  between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping inout int integer
  interval least national nchar none normalize nullif numeric out overlay position precision real row setof smallint
  substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
  xmlparse xmlpi xmlroot xmlserialize xmltable
  json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table
  json_value merge_action system_user`

const reserved = `
  all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
  current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc distinct
  do else end except false fetch for foreign from grant group having in initially intersect into lateral leading limit
  localtime localtimestamp not null offset on only or order placing primary references returning select session_user some
  symmetric table then to trailing true union unique user using variadic when where window with`

/** May name a function or a type, but neither a table nor an alias. */
const functionWords = `
  authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join left like
  natural notnull outer overlaps right similar tablesample verbose`

const otherKeywords = `
  abort absolute access action add admin after aggregate also alter always asensitive assertion assignment at atomic
  attach attribute backward before begin breadth by cache call called cascade cascaded catalog chain characteristics
  checkpoint class close cluster columns comment comments commit committed compression configuration conflict connection
  constraints content continue conversion copy cost csv cube current cursor cycle data database day deallocate declare
  defaults deferred definer delete delimiter delimiters depends depth detach dictionary disable discard document domain
  double drop each enable encoding encrypted enum escape event exclude excluding exclusive execute explain expression
  extension external family filter finalize first following force forward function functions generated global granted
  groups handler header hold hour identity if immediate immutable implicit import include including increment index
  indexes inherit inherits inline input insensitive insert instead invoker isolation key label language large last
  leakproof level listen load local location lock locked logged mapping match matched materialized maxvalue merge method
  minute minvalue mode month move name names new next nfc nfd nfkc nfkd no normalized nothing notify nowait nulls object
  of off oids old operator option options ordinality others over overriding owned owner parallel parameter parser partial
  partition passing password plans policy preceding prepare prepared preserve prior privileges procedural procedure
  procedures program publication quote range read reassign recheck recursive ref referencing refresh reindex relative
  release rename repeatable replace replica reset restart restrict return returns revoke role rollback rollup routine
  routines rows rule savepoint schema schemas scroll search second security sequence sequences serializable server session
  set sets share show simple skip snapshot sql stable standalone start statement statistics stdin stdout storage stored
  strict strip subscription support sysid system tables tablespace temp template temporary text ties transaction transform
  trigger truncate trusted type types uescape unbounded uncommitted unencrypted unknown unlisten unlogged until update
  vacuum valid validate validator value varying version view views volatile whitespace within without work wrapper write
  xml year yes zone
  absent conditional empty error indent keep keys nested omit path plan quotes scalar source string target unconditional`

const infix = `like ilike overlaps over filter columns passing repeatable escape second`

/** Before a parenthesis grammar, if one of the words on the right comes before. */
const pairs: { readonly [word: string]: string } = {
  sets: "grouping",
  by: "group order partition",
  zone: "time",
  first: "fetch",
  next: "fetch",
  varying: "character char nchar bit",
  second: "to interval",
  conflict: "on",
  insert: "then",
  columns: "as"
}

/** pg_operator of version 15, and what the grammar reads as an operator. */
const operators = `
  !! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> <@ <^ =
  > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~* != => :`

/** Of the extensions that come with PostgreSQL, of PostGIS and of pgvector. */
const extensionOperators = `
  #<# #<=# #= #># #>=# %# %% %> %>> <#> <% <->> <->>> <<% <<-> <<<-> <=> <@> ?<@ ?@ ?@> ?~ ^<@ ^? ^@> ^~ ~>
  &&& |=| <<->> <<#>> ~~= <+> <~> <%>`

const notable = `
  select with table from join on using where union intersect except group having order limit window set values returning
  as into for insert update delete merge operator offset fetch`

const dictionaryOf = (settings: Settings): Dictionary => {
  const dictionary = sharedDictionary()
  dictionary.mark(reserved, Keyword | Syntax | Reserved)
  dictionary.mark(columnNames, Keyword | Syntax)
  dictionary.mark(functionWords, Keyword | Reserved)
  dictionary.mark(otherKeywords, Keyword)
  dictionary.mark(infix, Infix)
  dictionary.mark(notable, Notable)
  for (const word in pairs) dictionary.pair(word, pairs[word]!)
  dictionary.define(operators + extensionOperators, "read")
  defineFunctions(dictionary, postgresReads + postgresNewerReads, postgresEffects, settings)
  return dictionary
}

/** `CREATE TEMP …` lives in the session; the rest is for all. */
const create = (reading: QueryReading, i: number): void => {
  markTargets(reading, i)
  for (let j = i + 1; j <= i + 4; j++) {
    const word = reading.wordAt(j)
    if (word === K.temp || word === K.temporary) return reading.outweigh("session", "temporary object", j)
    if (word !== K.or && word !== K.replace && word !== K.global && word !== K.local && word !== K.recursive) return
  }
}

const transaction = (reading: QueryReading, i: number): void => {
  reading.kind = "transaction"
  reading.outweigh("transaction", "transaction control", i, i + 1)
}

/** `PREPARE TRANSACTION` is no prepared statement. */
const prepare = (reading: QueryReading, i: number): void => {
  if (reading.wordAt(i + 1) === K.transaction) return transaction(reading, i)
  for (let j = i + 1; j < reading.last; j++) if (reading.wordAt(j) === K.as) return inner(reading, j + 1)
}

/** What is prepared, or read by a cursor, does not run now; the tables are told all the same. */
const inner = (reading: QueryReading, from: number): void => {
  const { kind } = reading
  reading.planOnly = true
  reading.follow(from)
  reading.kind = kind
}

/** `DECLARE c CURSOR FOR …` */
const declare = (reading: QueryReading, i: number): void => {
  for (let j = i + 1; j < reading.last; j++) if (reading.wordAt(j) === K.for) return inner(reading, j + 1)
}

const set = (reading: QueryReading, i: number): void => {
  const next = reading.wordAt(i + 1)
  if (next !== K.transaction && next !== K.constraints) return
  transaction(reading, i)
}

const alter = (reading: QueryReading, i: number): void => {
  if (reading.wordAt(i + 1) === K.system) reading.outweigh("admin", "server's configuration", i, i + 1)
  else markTargets(reading, i)
}

/** The options of EXPLAIN, then the statement: it runs under ANALYZE, else it is only planned. */
const explain = (reading: QueryReading, start: number): void => {
  let i = start + 1
  let analyzes = false
  if (reading.kindAt(i) === Token.Open && isExplainOption(reading, i + 1)) {
    const close = reading.closing(i)
    for (let j = i + 1; j < close; j++) {
      const word = reading.wordAt(j)
      if (word === K.analyze || word === K.analyse) analyzes = !isOff(reading, j + 1)
      // Options may be quoted.
      else if (reading.kindAt(j) === Token.Quoted) analyzes = true
    }
    if (close === 0) return void reading.refuse(i, "EXPLAIN that is not understood")
    i = close + 1
  } else {
    for (;; i++) {
      const word = reading.wordAt(i)
      if (word === K.analyze || word === K.analyse) analyzes = true
      else if (word !== K.verbose) break
    }
  }
  reading.planOnly = !analyzes
  const inner = headAt(heads, reading, i)
  if (inner === undefined || !(explained.has(inner.kind))) {
    reading.decide("unknown", "EXPLAIN of what is not a query", i)
    return
  }
  if (analyzes) reading.decide(inner.access, inner.reason, i)
  reading.follow(i)
  reading.kind = "explain"
}

const explained: ReadonlySet<StatementKind> = new Set(["select", "values", "insert", "update", "delete", "merge"])

const isExplainOption = (reading: QueryReading, i: number): boolean => {
  const word = reading.wordAt(i)
  return reading.kindAt(i) === Token.Word && word !== K.select && word !== K.with && word !== K.values &&
    word !== K.table
}

/** Whether an option of EXPLAIN is switched off; what is not understood counts as on. */
const isOff = (reading: QueryReading, i: number): boolean => {
  const value = reading.tokens.text(i).toLowerCase()
  return value === "false" || value === "off" || value === "0" || value === "'false'" || value === "'off'"
}

/** Only `COPY … TO STDOUT` comes back to the client. */
const copy = (reading: QueryReading, start: number): void => {
  const from = reading.wordAt(start + 1) === K.binary ? start + 2 : start + 1
  const i = reading.kindAt(from) === Token.Open ? copiedQuery(reading, from) : copiedTable(reading, from)
  reading.kind = "copy"
  if (reading.wordAt(i) === K.to && reading.wordAt(i + 1) === K.stdout) return
  reading.decide("write", reading.wordAt(i) === K.from ? "COPY … FROM" : "COPY to a file or program of the server", i)
}

/** Reads the statement in parentheses; the token after them. */
const copiedQuery = (reading: QueryReading, open: number): number => {
  const { last } = reading
  const close = reading.closing(open)
  if (close === 0) return reading.refuse(open, "parentheses do not match")
  reading.last = close - 1
  const head = headAt(heads, reading, open + 1)
  if (head === undefined || !explained.has(head.kind)) reading.refuse(open + 1, "COPY of what is not a query")
  else reading.decide(head.access, head.reason, open + 1)
  reading.follow(open + 1)
  reading.last = last
  return close + 1
}

/** Marks the table, whose columns may follow; the token after them. */
const copiedTable = (reading: QueryReading, first: number): number => {
  const end = reading.nameEnd(first)
  const columns = reading.kindAt(end + 1) === Token.Open ? reading.closing(end + 1) : end
  const isTarget = reading.wordAt(columns + 1) === K.from
  reading.mark(isTarget ? Reader.Writes : Reader.Reads, first, end)
  relation(reading, first, end)
  return columns + 1
}

const heads = headsOf([
  ...commonHeads,
  ["table", "select", "read", "", follow],
  ["merge", "merge", "write", "MERGE", follow],
  ["truncate", "truncate", "write", "TRUNCATE", markTargets],
  ["create", "ddl", "write", "data definition", create],
  ["drop", "ddl", "write", "data definition", markTargets],
  ["comment grant revoke security reassign import", "ddl", "write", "data definition"],
  ["alter", "ddl", "write", "data definition", alter],
  ["begin start commit end abort rollback savepoint release", "transaction", "transaction", "transaction control"],
  ["prepare", "prepare", "session", "prepared statement", prepare],
  ["set", "set", "session", "session's settings", set],
  ["reset discard load", "set", "session", "session's settings"],
  ["show", "show", "session", "session's settings"],
  ["explain", "explain", "read", "", explain],
  ["copy", "copy", "read", "", copy],
  ["call do", "call", "write", "procedure, which may do anything"],
  ["lock", "lock", "lock", "table lock"],
  ["execute", "execute", "unknown", "prepared statement, which may do anything"],
  ["deallocate", "prepare", "session", "prepared statement"],
  ["declare", "cursor", "session", "cursor", declare],
  ["fetch move close", "cursor", "session", "cursor"],
  ["listen unlisten", "notify", "session", "channel of this session"],
  ["notify", "notify", "write", "notification"],
  ["vacuum analyze analyse cluster reindex refresh", "maintenance", "write", "maintenance"],
  ["checkpoint", "admin", "admin", "server's administration"]
])

const word = (reading: QueryReading, i: number, word: number): number => {
  switch (word) {
    case K.as:
      // Any word may be the label, or the type, that follows; none of them does anything.
      return reading.isName(i + 1) ? reading.nameEnd(i + 1) : i
    case K.into: {
      reading.decide("write", "SELECT INTO makes a table", i)
      let last = i
      while (intoWords.has(reading.wordAt(last + 1))) last++
      return reading.expectTarget(last)
    }
    case K.for:
      return locking(reading, i)
    case K.offset:
    case K.fetch:
      reading.leaveClause()
      return i
    case K.operator:
      return reading.kindAt(i + 1) === Token.Open ? namedOperator(reading, i + 1) : 0
    case K.insert:
    case K.update:
    case K.delete:
    case K.merge:
      return reading.begins(i) ? modify(reading, i, word) : 0
    default:
      return 0
  }
}

/** Between INTO and the name of the new table. */
const intoWords: ReadonlySet<number> = new Set(keywordsOf("temporary temp local global unlogged table"))

/** `FOR UPDATE` and its weaker kin; `FOR READ ONLY` and `substring(a FOR 2)` are not among them. */
const locking = (reading: QueryReading, i: number): number => {
  const strength = reading.wordAt(i + 1)
  if (strength !== K.update && strength !== K.share && strength !== K.no && strength !== K.key) return i
  reading.mark(Reader.Locks, i, i + 1)
  if (!reading.planOnly) reading.decide("lock", "row locks", i, i + 1)
  reading.leaveClause()
  return i + 1
}

/** `OPERATOR(schema.+)` */
const namedOperator = (reading: QueryReading, open: number): number => {
  const schemaEnd = reading.kindAt(open + 2) === Token.Dot ? open + 2 : open
  const at = schemaEnd + 1
  const isBuiltIn = schemaEnd === open || plainName(reading, open + 1, open + 1) === "pg_catalog"
  if (reading.kindAt(at + 1) !== Token.Close) return reading.refuse(open, "operator that is not understood")
  if (!reading.planOnly && !(isBuiltIn && isHarmless(reading, at))) {
    reading.refuse(at, "operator that is not known to be harmless")
  }
  return at + 1
}

const isHarmless = (reading: QueryReading, i: number): boolean =>
  functionEffects[reading.dictionary.effects[reading.tokens.words[i]!]!] === "read"

const verbs: { readonly [word: number]: StatementKind } = { ...commonVerbs, [K.merge]: "merge" }

/**
 * The words are not reserved: where a name may stand, as in `(delete, update)`, they are verbs only with what must follow
 * them.
 */
const modify = (reading: QueryReading, i: number, word: number): number => {
  const kind = verbs[word]
  if (kind === undefined) return 0
  const isFollowed = word === K.update || reading.wordAt(i + 1) === (word === K.delete ? K.from : K.into)
  let target = word === K.update || !isFollowed ? i + 1 : i + 2
  if (reading.wordAt(target) === K.only) target++
  if (reading.kindAt(target) === Token.Open) target++
  if (!reading.isVerb(i) && !(isFollowed && isTable(reading, target))) return 0
  // UPDATE has a word after its table.
  if (!reading.isVerb(i) && word === K.update && !reading.isName(reading.nameEnd(target) + 1)) return 0
  change(reading, kind, i)
  return reading.expectTarget(target - 1)
}

const isTable = (reading: QueryReading, i: number): boolean =>
  reading.isName(i) && (reading.dictionary.flags[reading.wordAt(i)]! & Reserved) === 0

const relation = (reading: QueryReading, first: number, last: number): void => {
  if (first === last) {
    if (reading.settings.catalogQueries === "primary" && plainName(reading, first, first).startsWith("pg_")) {
      reading.decide("admin", "catalog", first)
    }
    return
  }
  const schema = plainName(reading, first, first)
  if (schema.startsWith("pg_temp")) reading.decide("session", "temporary table", first, last)
  else if (
    reading.settings.catalogQueries === "primary" && (schema === "pg_catalog" || schema === "information_schema")
  ) reading.decide("admin", "catalog", first, last)
}

/** Built in are the functions of pg_catalog, and a quoted name is one only if it is written exactly so. */
const effectOf = (reading: QueryReading, first: number, last: number): FunctionEffect => {
  const { learner } = reading.language
  const name = plainName(reading, first, last)
  return name.startsWith("pg_catalog.")
    ? learner.builtIn(name.slice(11))
    : learner.effects.get(name) ?? learner.builtIn(name)
}

export const postgres = (settings: Settings): Language => {
  const dictionary = dictionaryOf(settings)
  const { standardConformingStrings = true } = settings
  return {
    dialect: "postgres",
    settings,
    dictionary,
    learner: learner(dictionary, settings),
    tableFunctions: false,
    lex: (tokens, sql, variant) =>
      lexPostgres(tokens, dictionary, sql, standardConformingStrings === ((variant & OtherStrings) === 0)),
    mayReadOtherwise: settings.standardConformingStrings === undefined,
    statement: (reading, first) => readStatement(heads, reading, first),
    word,
    modify,
    relation,
    effectOf
  }
}
