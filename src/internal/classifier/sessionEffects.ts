import type { SessionEffect } from "../../StatementFacts.js"
import { K } from "./keywords.js"
import { plainName } from "./names.js"
import type { Reading } from "./reading.js"
import * as Reader from "./reading.js"
import * as Token from "./tokens.js"

type State = SessionEffect["state"]
type Change = SessionEffect["change"]

/** Functions that set, read or end something of the session. */
const functions: { readonly [name: string]: readonly [State, Change] } = {
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
  lo_open: ["large object", "sets"],
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
  pg_advisory_xact_lock: ["lock", "sets"],
  pg_advisory_xact_lock_shared: ["lock", "sets"],
  pg_try_advisory_lock: ["lock", "sets"],
  pg_try_advisory_lock_shared: ["lock", "sets"],
  pg_try_advisory_xact_lock: ["lock", "sets"],
  pg_try_advisory_xact_lock_shared: ["lock", "sets"]
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
  const add = (state: State, change: Change, name: string | undefined): void => {
    effects ??= new Map()
    effects.set(`${state}\n${change}\n${name}`, { state, change, name })
  }
  ofStatement(reading, add)
  ofCalls(reading, add)
  if (reading.dialect === "mysql") ofVariables(reading, add)
  return effects === undefined ? [] : [...effects.values()]
}

type Add = (state: State, change: Change, name: string | undefined) => void

const ofStatement = (reading: Reading, add: Add): void => {
  const { first, kind } = reading
  const word = reading.wordAt(first)
  if (kind === "ddl") {
    const isTemporary = reading.access === "session"
    if (isTemporary) add("temporary object", word === K.drop ? "ends" : "sets", temporaryName(reading))
    return
  }
  const verb = verbs[word]
  if (verb === undefined || kind === "transaction" || kind === "insert") return
  const [state, change] = verb
  let i = first + 1
  while (fillers.has(reading.wordAt(i))) i++
  // `SET @a = 1` is told by its variable.
  if (reading.isName(i)) add(state, change, plainName(reading, i, reading.nameEnd(i)))
  else if (reading.kindAt(i) === Token.End) add(state, change, undefined)
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
    const effect = functions[calledName(reading, reading.marks[at + 1]!, last)]
    if (effect === undefined) continue
    const argument = kinds[last + 2] === Token.Text ? reading.tokens.text(last + 2).slice(1, -1) : undefined
    add(...effect, argument)
  }
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
