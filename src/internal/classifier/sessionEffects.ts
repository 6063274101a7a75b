import type { SessionEffect } from "../../StatementFacts.js"
import { isRoutine } from "./heads.js"
import { K } from "./keywords.js"
import { plainName } from "./names.js"
import type { Reading } from "./reading.js"
import * as Reader from "./reading.js"
import * as Token from "./tokens.js"

type State = SessionEffect["state"]
type Change = SessionEffect["change"]
type Until = SessionEffect["until"]

/** Functions that set, read or end something of the session. */
const functions: { readonly [name: string]: readonly [State, Change, Until?] } = {
  nextval: ["generated value", "sets"],
  setval: ["generated value", "sets"],
  currval: ["generated value", "reads"],
  lastval: ["generated value", "reads"],
  last_insert_id: ["generated value", "reads"],
  last_insert_rowid: ["generated value", "reads"],
  changes: ["row count", "reads"],
  total_changes: ["row count", "reads"],
  row_count: ["row count", "reads"],
  found_rows: ["row count", "reads"],
  set_config: ["setting", "sets"],
  current_setting: ["setting", "reads"],
  setseed: ["setting", "sets"],
  pg_backend_pid: ["identity", "reads"],
  connection_id: ["identity", "reads"],
  pg_my_temp_schema: ["temporary object", "reads"],
  pg_listening_channels: ["channel", "reads"],
  pg_cursor: ["cursor", "reads"],
  pg_prepared_statement: ["prepared statement", "reads"],
  lo_open: ["large object", "sets", "transaction"],
  lo_close: ["large object", "ends"],
  loread: ["large object", "reads"],
  lowrite: ["large object", "reads"],
  lo_lseek: ["large object", "reads"],
  lo_lseek64: ["large object", "reads"],
  lo_tell: ["large object", "reads"],
  lo_tell64: ["large object", "reads"],
  get_lock: ["lock", "sets"],
  release_lock: ["lock", "ends"],
  release_all_locks: ["lock", "ends"],
  is_free_lock: ["lock", "reads"],
  is_used_lock: ["lock", "reads"],
  pg_advisory_lock: ["lock", "sets"],
  pg_advisory_lock_shared: ["lock", "sets"],
  pg_advisory_unlock: ["lock", "ends"],
  pg_advisory_unlock_all: ["lock", "ends"],
  pg_advisory_unlock_shared: ["lock", "ends"],
  pg_advisory_xact_lock: ["lock", "sets", "transaction"],
  pg_advisory_xact_lock_shared: ["lock", "sets", "transaction"],
  pg_try_advisory_lock: ["lock", "sets"],
  pg_try_advisory_lock_shared: ["lock", "sets"],
  pg_try_advisory_xact_lock: ["lock", "sets", "transaction"],
  pg_try_advisory_xact_lock_shared: ["lock", "sets", "transaction"]
}

/** Statements that set, read or end something of the session, by their first word. What they name follows. */
const verbs: { readonly [word: number]: readonly [State, Change] } = {
  [K.set]: ["setting", "sets"],
  [K.reset]: ["setting", "ends"],
  [K.discard]: ["setting", "ends"],
  [K.show]: ["setting", "reads"],
  [K.load]: ["setting", "sets"],
  [K.use]: ["database", "sets"],
  [K.lock]: ["lock", "sets"],
  [K.unlock]: ["lock", "ends"],
  [K.declare]: ["cursor", "sets"],
  [K.fetch]: ["cursor", "reads"],
  [K.move]: ["cursor", "reads"],
  [K.close]: ["cursor", "ends"],
  [K.handler]: ["cursor", "sets"],
  [K.prepare]: ["prepared statement", "sets"],
  [K.execute]: ["prepared statement", "reads"],
  [K.deallocate]: ["prepared statement", "ends"],
  [K.listen]: ["channel", "sets"],
  [K.unlisten]: ["channel", "ends"],
  [K.attach]: ["database", "sets"],
  [K.detach]: ["database", "ends"],
  [K.get]: ["diagnostics", "reads"]
}

/** Between a verb and the name of what it is about. */
const fillers: ReadonlySet<number> = new Set([
  K.session,
  K.local,
  K.prepare,
  K.table,
  K.tables,
  K.in,
  K.from,
  K.database,
  K.all,
  K.next,
  K.prev,
  K.exists,
  K.if,
  K.not
])

export const sessionEffectsOf = (reading: Reading): ReadonlyArray<SessionEffect> => {
  let effects: Map<string, SessionEffect> | undefined
  const add: Add = (state, change, name, until = "session") => {
    effects ??= new Map()
    effects.set(`${state}\n${change}\n${name}\n${until}`, { state, change, name, until })
  }
  // SET PASSWORD
  if (reading.kind === "set" && reading.access === "write") return []
  ofStatement(reading, add)
  ofCalls(reading, add)
  if (reading.dialect === "mysql" && mayHaveVariables(reading)) ofVariables(reading, add)
  return effects === undefined ? [] : [...effects.values()]
}

type Add = (state: State, change: Change, name: string | undefined, until?: Until) => void

const ofStatement = (reading: Reading, add: Add): void => {
  const { first, kind } = reading
  const word = reading.wordAt(first)
  if (kind === "transaction") return ofTransaction(reading, add)
  if (kind === "select") return ofSelect(reading, add)
  if (kind === "ddl") {
    const isTemporary = reading.access === "session"
    if (isTemporary) {
      add("temporary object", word === K.drop ? "ends" : "sets", temporaryName(reading), temporaryUntil(reading))
    }
    return
  }
  const verb = verbs[word]
  if (verb === undefined || kind === "insert") return
  let [state, change] = verb
  let i = first + 1
  while (fillers.has(reading.wordAt(i))) i++
  if (state === "setting" && change === "reads" && reading.dialect === "mysql" && isAboutDiagnostics(reading, i)) {
    state = "diagnostics"
  }
  const until = verbUntil(reading, word)
  // `SET @a = 1` is told by its variable.
  if (reading.isName(i)) add(state, change, plainName(reading, i, reading.nameEnd(i)), until)
  else if (reading.kindAt(i) === Token.End) add(state, change, undefined, until)
}

/** `SHOW WARNINGS`, `SHOW COUNT(*) ERRORS`: of the session's last statement. */
const isAboutDiagnostics = (reading: Reading, i: number): boolean => {
  const about = reading.tokens.text(i).toLowerCase() === "count" ? reading.closing(i + 1) + 1 : i
  return /^(warnings|errors)$/i.test(reading.tokens.text(about))
}

const verbUntil = (reading: Reading, word: number): Until => {
  if (reading.dialect !== "postgres") return "session"
  switch (word) {
    case K.lock:
      return "transaction"
    case K.set:
      return reading.wordAt(reading.first + 1) === K.local ? "transaction" : "session"
    case K.declare:
      return isHeld(reading) ? "session" : "transaction"
    default:
      return "session"
  }
}

/** `DECLARE c CURSOR WITH HOLD FOR …` */
const isHeld = (reading: Reading): boolean => {
  for (let i = reading.first + 1; i < reading.last && reading.wordAt(i) !== K.for; i++) {
    if (reading.wordAt(i) === K.with && reading.tokens.text(i + 1).toLowerCase() === "hold") return true
  }
  return false
}

/** `SET TRANSACTION`, `SET CONSTRAINTS`. MySQL's is for a transaction that is still to come, whoever begins it. */
const ofTransaction = (reading: Reading, add: Add): void => {
  const { first } = reading
  if (reading.wordAt(first) !== K.set) return
  const next = reading.wordAt(first + 1)
  const isOfSession = next === K.session || next === K.local
  const name = plainName(reading, isOfSession ? first + 2 : first + 1, isOfSession ? first + 2 : first + 1)
  add("setting", "sets", name, reading.dialect === "postgres" ? "transaction" : "session")
}

/** PostgreSQL's `SELECT … INTO TEMP t`. */
const ofSelect = (reading: Reading, add: Add): void => {
  if (reading.dialect !== "postgres" || reading.access !== "write") return
  for (let at = 0; at < reading.markCount * 3; at += 3) {
    if (reading.marks[at] !== (Reader.Writes | Reader.Outermost)) continue
    const first = reading.marks[at + 1]!
    const before = reading.wordAt(first - 1) === K.table ? first - 2 : first - 1
    const word = reading.wordAt(before)
    if (word === K.temp || word === K.temporary) {
      add("temporary object", "sets", plainName(reading, first, reading.marks[at + 2]!))
    }
  }
}

/** PostgreSQL's `CREATE TEMP TABLE … ON COMMIT DROP`. */
const temporaryUntil = (reading: Reading): Until => {
  if (reading.dialect !== "postgres") return "session"
  for (let i = reading.first; i <= reading.last - 2; i++) {
    if (
      reading.wordAt(i) === K.on && reading.wordAt(i + 1) === K.commit && reading.wordAt(i + 2) === K.drop
    ) return "transaction"
  }
  return "session"
}

/** In definitions, `@` stands in routines, which do not run now, and in accounts; a table may be made from a query. */
const mayHaveVariables = (reading: Reading): boolean => {
  if (reading.kind !== "ddl") return true
  if (isRoutine(reading)) return false
  for (let i = reading.first + 1; i < reading.first + 5; i++) if (reading.wordAt(i) === K.table) return true
  return false
}

/** The first name in `CREATE [OR REPLACE] TEMPORARY TABLE [IF NOT EXISTS] name` and its like. */
const temporaryName = (reading: Reading): string | undefined => {
  let i = reading.first + 1
  const skipped = (word: number): boolean =>
    word === K.temp || word === K.temporary || word === K.or || word === K.replace || word === K.global ||
    word === K.local || word === K.recursive || word === K.view || word === K.sequence || word === K.trigger ||
    fillers.has(word)
  while (skipped(reading.wordAt(i))) i++
  return reading.isName(i) ? plainName(reading, i, reading.nameEnd(i)) : undefined
}

const ofCalls = (reading: Reading, add: Add): void => {
  const { kinds } = reading.tokens
  for (let at = 0; at < reading.markCount * 3; at += 3) {
    if ((reading.marks[at]! & ~Reader.Outermost) !== Reader.Calls) continue
    const last = reading.marks[at + 2]!
    const name = calledName(reading, reading.marks[at + 1]!, last)
    const effect = functions[name]
    if (effect === undefined) continue
    const argument = kinds[last + 2] === Token.Text ? reading.tokens.text(last + 2).slice(1, -1) : undefined
    const [state, change, until] = effect
    // With an argument, it is what the next call without one returns.
    if (name === "last_insert_id" && kinds[last + 2] !== Token.Close) add(state, "sets", undefined)
    else add(state, change, argument, name === "set_config" && isLocal(reading, last + 1) ? "transaction" : until)
  }
}

/** Whether the third argument of a call, whose parenthesis is at `open`, is the word `true`. */
const isLocal = (reading: Reading, open: number): boolean => {
  const close = reading.closing(open)
  let commas = 0
  let depth = 0
  for (let i = open + 1; i < close; i++) {
    const kind = reading.kindAt(i)
    if (kind === Token.Open || kind === Token.Index) depth++
    else if (kind === Token.Close || kind === Token.Unindex) depth--
    else if (kind === Token.Comma && depth === 0 && ++commas === 2) {
      return reading.wordAt(i + 1) === K.true && i + 2 === close
    }
  }
  return false
}

/** The bare name of a function, also of those that are called without parentheses. */
export const calledName = (reading: Reading, first: number, last: number): string => {
  switch (reading.wordAt(first)) {
    case K.next:
      return "nextval"
    case K.previous:
    case K.prev:
      return "lastval"
    default:
      return plainName(reading, last, last)
  }
}

const ofVariables = (reading: Reading, add: Add): void => {
  const { kinds } = reading.tokens
  const isSet = reading.wordAt(reading.first) === K.set
  // `INTO @a, @b`
  let isTarget = false
  for (let i = reading.first; i <= reading.last; i++) {
    if (kinds[i] === Token.UserVariable || kinds[i] === Token.SystemVariable) {
      const isAssigned = isTarget || kinds[i + 1] === Token.Assign || (isSet && reading.tokens.text(i + 1) === "=")
      const state = kinds[i] === Token.UserVariable ? "user variable" : "setting"
      add(state, isAssigned ? "sets" : "reads", reading.tokens.text(i))
    } else if (kinds[i] !== Token.Comma) {
      isTarget = reading.wordAt(i) === K.into
    }
  }
}
