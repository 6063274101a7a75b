import type { TransactionControl } from "../../StatementFacts.js"
import { K } from "./keywords.js"
import type { Reading } from "./reading.js"

type Action = TransactionControl["action"]

const actions: { readonly [word: number]: Action } = {
  [K.begin]: "begin",
  [K.start]: "begin",
  [K.commit]: "commit",
  [K.end]: "commit",
  [K.rollback]: "rollback",
  [K.abort]: "rollback",
  [K.savepoint]: "savepoint",
  [K.release]: "release",
  [K.prepare]: "prepare",
  [K.set]: "set"
}

/** XA's verbs are their own: what follows XA. */
const xaActions: { readonly [word: number]: Action } = {
  [K.start]: "begin",
  [K.begin]: "begin",
  [K.end]: "set",
  [K.prepare]: "prepare",
  [K.commit]: "commit",
  [K.rollback]: "rollback"
}

/** The two words after ISOLATION LEVEL. */
const isolationAt = (reading: Reading, i: number): TransactionControl["isolation"] => {
  const next = reading.wordAt(i + 1)
  switch (reading.wordAt(i)) {
    case K.serializable:
      return "serializable"
    case K.repeatable:
      return "repeatable read"
    case K.read:
      return next === K.committed ? "read committed" : next === K.uncommitted ? "read uncommitted" : undefined
  }
}

const modes: { readonly [word: number]: TransactionControl["mode"] } = {
  [K.deferred]: "deferred",
  [K.immediate]: "immediate",
  [K.exclusive]: "exclusive"
}

export const transactionControlOf = (reading: Reading): TransactionControl | undefined => {
  if (reading.kind !== "transaction") return undefined
  const isXa = reading.wordAt(reading.first) === K.xa
  const head = isXa ? reading.first + 1 : reading.first
  let action = (isXa ? xaActions : actions)[reading.wordAt(head)]
  if (action === undefined) return undefined
  let name: string | undefined
  let readOnly: boolean | undefined
  let isolation: TransactionControl["isolation"]
  let deferrable: boolean | undefined
  let mode: TransactionControl["mode"]
  if (action === "savepoint" || action === "release" || action === "prepare" || isXa) {
    name = nameAfter(reading, head)
  }
  for (let i = head + 1; i <= reading.last; i++) {
    const next = reading.wordAt(i + 1)
    switch (reading.wordAt(i)) {
      case K.read:
        if (next === K.only || next === K.write) readOnly = next === K.only
        break
      case K.level:
        isolation = isolationAt(reading, i + 1)
        break
      case K.deferrable:
        deferrable = reading.wordAt(i - 1) !== K.not
        break
      case K.deferred:
      case K.immediate:
      case K.exclusive:
        mode = modes[reading.wordAt(i)]
        break
      case K.prepared:
        name = nameAfter(reading, i)
        break
      case K.to:
        if (action !== "rollback") break
        action = "rollback to"
        name = nameAfter(reading, i)
        break
    }
  }
  return { action, name, readOnly, isolation, deferrable, mode: action === "begin" ? mode : undefined }
}

/** The name after a word, over SAVEPOINT, TRANSACTION and the like. */
const nameAfter = (reading: Reading, i: number): string | undefined => {
  let at = i + 1
  while (reading.wordAt(at) === K.savepoint || reading.wordAt(at) === K.transaction || reading.wordAt(at) === K.to) at++
  return at <= reading.last ? reading.tokens.text(at) : undefined
}
