import type {
  Access,
  Equality,
  RowLock,
  SessionEffect,
  StatementFacts,
  StatementKind,
  Table,
  TransactionControl,
  Verdict,
  Why
} from "../../StatementFacts.js"
import { equalitiesOf } from "./equalities.js"
import { fingerprintOf } from "./fingerprint.js"
import { K } from "./keywords.js"
import { plainName } from "./names.js"
import * as Reader from "./reading.js"
import type { Reading } from "./reading.js"
import { sessionEffectsOf } from "./sessionEffects.js"
import { tablesOf } from "./tables.js"
import { transactionControlOf } from "./transactionControl.js"

/** Reads a text again, if another was read in between. */
export interface Source {
  readonly reading: Reading
  readonly read: (sql: string) => void
  readonly split: (sql: string) => ReadonlyArray<StatementFacts>
}

/**
 * The facts of one text. What the verdict does not need is read when it is asked for: at once from the tokens, if they are
 * still there, else from the text again.
 */
export class Facts implements StatementFacts {
  readonly #source: Source
  readonly #sql: string
  readonly #reason: string
  readonly #from: number
  readonly #to: number
  #reads: ReadonlyArray<Table> | undefined
  #writes: ReadonlyArray<Table> | undefined
  #equalities: ReadonlyArray<Equality> | undefined
  #sessionEffects: ReadonlyArray<SessionEffect> | undefined
  #fingerprint: string | undefined

  constructor(
    readonly kind: StatementKind,
    readonly access: Access,
    readonly replicaSafe: boolean,
    source: Source,
    sql: string,
    reason: string,
    from: number,
    to: number
  ) {
    this.#source = source
    this.#sql = sql
    this.#reason = reason
    this.#from = from
    this.#to = to
  }

  get why(): Why {
    return { reason: this.#reason, token: this.#sql.slice(this.#from, this.#to), position: this.#from }
  }

  get reads(): ReadonlyArray<Table> {
    return this.#reads ??= tablesOf(this.#reading(), Reader.Reads)
  }

  get writes(): ReadonlyArray<Table> {
    return this.#writes ??= tablesOf(this.#reading(), Reader.Writes)
  }

  get equalities(): ReadonlyArray<Equality> {
    return this.#equalities ??= equalitiesOf(this.#reading())
  }

  get locks(): ReadonlyArray<RowLock> {
    return locksOf(this.#reading())
  }

  get functions(): ReadonlyArray<string> {
    return functionsOf(this.#reading())
  }

  get sessionEffects(): ReadonlyArray<SessionEffect> {
    if (this.#sessionEffects !== undefined) return this.#sessionEffects
    const { statements } = this
    // A text may be one statement or several, depending on how the server reads its strings.
    return this.#sessionEffects = statements.length > 1
      ? statements.flatMap(({ sessionEffects }) => sessionEffects)
      : sessionEffectsOf(this.#reading())
  }

  get statements(): ReadonlyArray<StatementFacts> {
    return this.kind === "multiple" ? this.#source.split(this.#sql) : []
  }

  get transaction(): TransactionControl | undefined {
    return transactionControlOf(this.#reading())
  }

  get fingerprint(): string {
    return this.#fingerprint ??= fingerprintOf(this.#reading())
  }

  /** The verdict: what logs and explanations show. */
  toJSON(): Verdict {
    const { access, kind, replicaSafe, why } = this
    return { kind, access, replicaSafe, why }
  }

  #reading(): Reading {
    const { reading } = this.#source
    if (reading.owner !== this) {
      this.#source.read(this.#sql)
      reading.owner = this
    }
    return reading
  }
}

/** The strength that follows FOR, or LOCK IN SHARE MODE. */
const locksOf = (reading: Reading): ReadonlyArray<RowLock> => {
  const locks: Array<RowLock> = []
  for (let at = 0; at < reading.markCount * 3; at += 3) {
    if ((reading.marks[at]! & ~Reader.Outermost) !== Reader.Locks) continue
    const word = reading.wordAt(reading.marks[at + 2]!)
    locks.push(word === K.update ? "update" : word === K.no ? "no key update" : word === K.key ? "key share" : "share")
  }
  return locks
}

const functionsOf = (reading: Reading): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (let at = 0; at < reading.markCount * 3; at += 3) {
    if ((reading.marks[at]! & ~Reader.Outermost) !== Reader.Calls) continue
    names.add(plainName(reading, reading.marks[at + 1]!, reading.marks[at + 2]!))
  }
  return [...names]
}
