import { DoubleQuote } from "./characters.js"
import {
  Adjacent,
  Constant,
  type FunctionEffect,
  functionEffects,
  Infix,
  Notable,
  Paired,
  Syntax
} from "./dictionary.js"
import { K, keywordsOf } from "./keywords.js"
import type { Language } from "./language.js"
import { foldedName } from "./names.js"
import { Calls, Derives, Reading, Reads, SetOperation, Where, Writes } from "./reading.js"
import * as Token from "./tokens.js"

const harmless = functionEffects.indexOf("read")

/** Where in a query the reader is. */
const enum Clause {
  Expression,
  /** The next name is a relation that is read. */
  Relation,
  /** After a relation: its alias, a join, a comma. */
  Related,
  /** In the condition of a join: a comma or a join leads to the next relation. */
  Joined,
  CteName,
  CteNamed,
  CteBody,
  CteDone,
  /** The next name is a relation that is written. */
  Target,
  Targeted
}

/** What an open parenthesis holds. */
const enum Frame {
  Query,
  Joins,
  /** The columns of an alias, with or without types: no expressions, so a name before a parenthesis is a type's. */
  Columns,
  Operands
}

/** What a word does to the structure of a query in all dialects. */
const enum Role {
  None,
  Select,
  With,
  Table,
  Values,
  From,
  Join,
  On,
  Using,
  Where,
  SetOperation,
  /** Ends a FROM list. */
  Clause
}

/** By entry, so that the switch over them is one jump. */
const roles = new Uint8Array(Object.keys(K).length + 1)
roles[K.select] = Role.Select
roles[K.with] = Role.With
roles[K.table] = Role.Table
roles[K.values] = Role.Values
roles[K.from] = Role.From
roles[K.join] = Role.Join
roles[K.on] = Role.On
roles[K.using] = Role.Using
roles[K.where] = Role.Where
for (const word of keywordsOf("union intersect except")) roles[word] = Role.SetOperation
for (const word of keywordsOf("group having order limit window set returning")) roles[word] = Role.Clause

/**
 * Reads queries, and writes as far as they are queries: from the tokens to the calls, relations and clauses in them.
 *
 * It follows the structure (parentheses, WITH lists, FROM lists) with a stack of its own, so that nesting never costs the
 * call stack.
 */
export class QueryReading extends Reading {
  /**
   * In an EXPLAIN that executes nothing, locks, writes and calls do not happen. PostgreSQL's planner may call a function
   * for an estimate, but only one that is declared to change nothing.
   */
  planOnly = false

  /** Where the query that is read began, maybe after EXPLAIN or the like. */
  private start = 1
  private clause = Clause.Expression
  private frame = Frame.Query
  /** For each open parenthesis, what surrounds it and the clause that goes on after it. */
  private stack = new Uint8Array(128)
  /** Where only the verb of a statement can stand: after a WITH list, or first in one of its parentheses. */
  private verbAt = 0
  /** The parenthesis that holds the arguments of a call. */
  private argumentsAt = 0
  /** The names in the open WITH lists, the depths of these lists, and how often a name is known now. */
  private cteNames: Array<string> = []
  private cteDepths: Array<number> = []
  private cteRecursive: Array<boolean> = []
  private cteVisible: Array<boolean> = []
  private readonly visible = new Map<string, number>()

  constructor(readonly language: Language) {
    super(language.dialect, language.dictionary, language.settings)
  }

  /** Reads the tokens from `first` to `last` as one statement. */
  read(first: number, last: number): void {
    this.begin(first, last)
    this.language.statement(this, first)
  }

  protected override begin(first: number, last: number): void {
    super.begin(first, last)
    this.planOnly = false
    this.start = first
    this.verbAt = 0
    this.clause = Clause.Expression
    this.frame = Frame.Query
    this.argumentsAt = 0
    if (this.cteNames.length > 0) this.forgetCtes(-1)
    if (this.stack.length > 65_536) this.stack = new Uint8Array(128)
  }

  /** Whether the statement that is read begins here. */
  isStart(i: number): boolean {
    return i === this.start
  }

  /** Whether a word here can only be a statement's verb, and not a name. */
  isVerb(i: number): boolean {
    return i === this.start || i === this.verbAt
  }

  /** Whether a query may begin here: at the start, after a parenthesis, after a set operation. */
  begins(i: number): boolean {
    return i === this.start || this.tokens.kinds[i - 1] === Token.Open || this.isSetOperation(i - 1)
  }

  /** Makes the reader expect the target of a write next; the last token before it. */
  expectTarget(last: number): number {
    this.clause = Clause.Target
    return last
  }

  expectRelation(last: number): number {
    this.clause = Clause.Relation
    return last
  }

  /** Whether the reader is in a FROM list, after a relation. */
  get isRelated(): boolean {
    return this.clause === Clause.Related || this.clause === Clause.Joined
  }

  /** Whether it is outside of all parentheses. */
  get isOutermost(): boolean {
    return this.depth === 0
  }

  leaveClause(): void {
    if (this.frame === Frame.Query) this.clause = Clause.Expression
  }

  /** Reads all tokens from `from` to the end of the statement as queries and expressions. */
  follow(from: number): void {
    this.start = from
    const { kinds, words } = this.tokens
    const { effects, flags } = this.dictionary
    const { last } = this
    for (let i = from; i <= last; i++) {
      switch (kinds[i]) {
        case Token.Word:
          i = this.clause === Clause.Expression && (flags[words[i]!]! & Notable) === 0
            ? this.mereName(i)
            : this.word(i, words[i]!)
          break
        case Token.Quoted:
          i = this.quoted(i)
          break
        case Token.Open:
          this.open(i)
          break
        case Token.Close:
          this.close(i)
          break
        case Token.Comma:
          this.comma()
          break
        case Token.Operator:
          if (effects[words[i]!] !== harmless && !this.planOnly) {
            this.refuse(i, "operator that is not known to be harmless")
          }
          break
        case Token.Cast:
          i = this.nameEnd(i + 1)
          break
        case Token.Text:
          if (this.clause === Clause.Relation) this.relation(i, i)
          else if (this.clause === Clause.Target) this.target(i)
          // With ANSI_QUOTES it is a name, and this a call.
          else if (kinds[i + 1] === Token.Open && this.tokens.codes[this.tokens.starts[i]!] === DoubleQuote) {
            this.call(i, i)
          }
          break
        case Token.UserVariable:
          this.decide("session", "user variable", i)
          break
        case Token.SystemVariable:
          i = this.systemVariable(i)
          break
        case Token.Assign:
          if (this.dialect === "mysql") this.decide("session", "assigns a user variable", i)
          break
        case Token.Bad:
          this.decide("unknown", "literal or comment without end, or a character that is not SQL", i)
          break
      }
    }
    if (this.depth !== 0) this.decide("unknown", "parentheses do not match", this.last)
    else if (
      this.clause === Clause.Relation || this.clause === Clause.Target ||
      (this.clause >= Clause.CteName && this.clause <= Clause.CteDone)
    ) {
      this.decide("unknown", "statement without end", this.last)
    }
  }

  /** Most words are columns, with or without a table: nothing to do. */
  private mereName(i: number): number {
    const { kinds } = this.tokens
    const next = kinds[i + 1]
    if (next !== Token.Dot) return next === Token.Open ? this.name(i) : i
    const after = kinds[i + 3]
    if (kinds[i + 2] !== Token.Word || after === Token.Dot || after === Token.Open) return this.name(i)
    this.column(i, i + 2)
    return i + 2
  }

  private word(i: number, word: number): number {
    if (this.tokens.kinds[i - 1] === Token.Dot) return this.name(i)
    switch (this.clause) {
      case Clause.CteName:
        return this.cteName(i)
      case Clause.CteNamed:
        if (word !== K.as) return this.refuse(i, "WITH list that is not understood")
        this.clause = Clause.CteBody
        return i
      case Clause.CteBody:
        return word === K.not || word === K.materialized ? i : this.refuse(i, "WITH list that is not understood")
      case Clause.CteDone:
        if (word === K.search || word === K.cycle) return this.searchOrCycle(i)
        this.clause = Clause.Expression
        this.verbAt = i
        if (word === K.select || word === K.values) return i
        if (word === K.table) return this.expectRelation(i)
        return this.language.modify(this, i, word) || this.refuse(i, "verb that is not known")
      case Clause.Relation:
        if (word === K.lateral || word === K.only) return i
        if (word === K.rows && this.wordAt(i + 1) === K.from) {
          this.clause = Clause.Related
          return i + 1
        }
        if (word !== K.select && !(this.begins(i) && (word === K.with || word === K.values || word === K.table))) {
          return this.relation(i, this.nameEnd(i))
        }
        break
      case Clause.Target:
        return this.target(i)
    }
    if (word !== 0 && (this.dictionary.flags[word]! & Notable) !== 0) {
      const taken = this.notable(i, word)
      if (taken !== 0) return taken
    }
    return this.name(i)
  }

  private quoted(i: number): number {
    switch (this.clause) {
      case Clause.CteName:
        return this.cteName(i)
      case Clause.Relation:
        return this.relation(i, this.nameEnd(i))
      case Clause.Target:
        return this.target(i)
      default:
        return this.name(i)
    }
  }

  /** Words that structure a query in all dialects; what is left is the language's. */
  private notable(i: number, word: number): number {
    switch (roles[word]) {
      case Role.Select:
        this.frame = Frame.Query
        this.clause = Clause.Expression
        return i
      case Role.With:
        if (!this.begins(i)) return i
        this.frame = Frame.Query
        this.clause = Clause.CteName
        return i
      case Role.Table:
        if (!this.begins(i)) return this.language.word(this, i, word)
        this.frame = Frame.Query
        return this.expectRelation(i)
      case Role.Values:
        if (this.begins(i)) this.frame = Frame.Query
        this.leaveClause()
        return i
      case Role.From:
        if (this.frame === Frame.Query && !this.isDistinctFrom(i)) this.clause = Clause.Relation
        return i
      case Role.Join:
        if (this.clause === Clause.Targeted) this.clause = Clause.Target
        else if (this.isRelated) this.clause = Clause.Relation
        else return 0
        return i
      case Role.On:
        if (this.clause === Clause.Related) this.clause = Clause.Joined
        else if (this.clause === Clause.Targeted) this.clause = Clause.Expression
        return i
      case Role.Using:
        if (this.clause === Clause.Targeted) this.clause = Clause.Relation
        else if (this.clause === Clause.Related) this.clause = Clause.Joined
        return i
      case Role.Where:
        this.mark(Where, i, i)
        this.leaveClause()
        return i
      case Role.SetOperation:
        this.mark(SetOperation, i, i)
        this.leaveClause()
        return i
      case Role.Clause:
        this.leaveClause()
        return i
      default:
        return this.language.word(this, i, word)
    }
  }

  /** `a IS [NOT] DISTINCT FROM b` has a FROM that leads to no relation. */
  private isDistinctFrom(i: number): boolean {
    if (this.wordAt(i - 1) !== K.distinct) return false
    const before = this.wordAt(i - 2)
    return before === K.is || (before === K.not && this.wordAt(i - 3) === K.is)
  }

  /** `UNION`, `UNION ALL`, `EXCEPT DISTINCT` … */
  private isSetOperation(i: number): boolean {
    const word = this.wordAt(i)
    const operation = i > this.first && (word === K.all || word === K.distinct) ? this.wordAt(i - 1) : word
    return operation === K.union || operation === K.intersect || operation === K.except
  }

  private open(i: number): void {
    let frame = Frame.Operands
    let clause = Clause.Expression
    if (this.argumentsAt !== i) {
      switch (this.clause) {
        case Clause.Relation:
          this.mark(Derives, i, i)
          frame = Frame.Joins
          clause = Clause.Relation
          this.clause = Clause.Related
          break
        case Clause.Related:
        case Clause.Targeted:
        case Clause.CteNamed:
          frame = Frame.Columns
          break
        case Clause.CteBody:
          frame = Frame.Query
          this.clause = Clause.CteDone
          this.verbAt = i + 1
          if (!this.mayBegin(i + 1)) this.decide("unknown", "WITH list that is not understood", i + 1)
          break
        case Clause.CteDone:
          this.clause = Clause.Expression
          break
        case Clause.CteName:
        case Clause.Target:
          this.decide("unknown", "parenthesis where a name should be", i)
          break
      }
    }
    const at = this.depth * 2
    if (at === this.stack.length) {
      const larger = new Uint8Array(at * 2)
      larger.set(this.stack)
      this.stack = larger
    }
    this.stack[at] = this.frame
    this.stack[at + 1] = this.clause
    this.depth++
    this.frame = frame
    this.clause = clause
  }

  private close(i: number): void {
    if (this.depth === 0) return this.decide("unknown", "parentheses do not match", i)
    if (this.clause >= Clause.CteName && this.clause <= Clause.CteBody) {
      this.decide("unknown", "WITH list without its query", i)
    }
    this.depth--
    this.frame = this.stack[this.depth * 2]!
    this.clause = this.stack[this.depth * 2 + 1]!
    if (this.cteNames.length === 0) return
    this.forgetCtes(this.depth)
    if (this.clause === Clause.CteDone) this.see(this.cteNames.length - 1)
  }

  /** Makes a name from WITH known. */
  private see(at: number): void {
    const name = this.cteNames[at]
    if (name === undefined || this.cteVisible[at]) return
    this.cteVisible[at] = true
    this.visible.set(name, (this.visible.get(name) ?? 0) + 1)
  }

  /** Forgets the names of the WITH lists deeper than a depth. */
  private forgetCtes(depth: number): void {
    let kept = this.cteNames.length
    for (; kept > 0 && this.cteDepths[kept - 1]! > depth; kept--) {
      const name = this.cteNames[kept - 1]!
      if (this.cteVisible[kept - 1]) this.visible.set(name, this.visible.get(name)! - 1)
    }
    for (const list of [this.cteNames, this.cteDepths, this.cteRecursive, this.cteVisible]) list.length = kept
    if (kept === 0) this.visible.clear()
  }

  private comma(): void {
    switch (this.clause) {
      case Clause.Related:
      case Clause.Joined:
        this.clause = Clause.Relation
        break
      case Clause.Targeted:
        this.clause = Clause.Target
        break
      case Clause.CteDone:
        this.clause = Clause.CteName
        break
    }
  }

  /** The first word of a query or of a write, which a WITH list may hold. */
  private mayBegin(i: number): boolean {
    if (this.kindAt(i) === Token.Open) return true
    const word = this.wordAt(i)
    return word === K.select || word === K.with || word === K.values || word === K.table || word === K.insert ||
      word === K.update || word === K.delete || word === K.merge
  }

  private cteName(i: number): number {
    if (this.wordAt(i) === K.recursive && this.isName(i + 1) && this.wordAt(i + 1) !== K.as) return i
    const { cteDepths, cteRecursive } = this
    const isNext = this.tokens.kinds[i - 1] === Token.Comma && cteDepths[cteDepths.length - 1] === this.depth
    const isRecursive = isNext ? cteRecursive[cteRecursive.length - 1]! : this.wordAt(i - 1) === K.recursive
    this.cteNames.push(this.cteNameAt(i))
    cteDepths.push(this.depth)
    cteRecursive.push(isRecursive)
    this.cteVisible.push(false)
    // In WITH RECURSIVE a name is known from the start, else from the end of its query.
    if (isRecursive) this.see(this.cteNames.length - 1)
    this.clause = Clause.CteNamed
    return i
  }

  /** `SEARCH DEPTH FIRST BY a, b SET c`, `CYCLE a, b SET c TO x DEFAULT y USING d`, MariaDB's `CYCLE a, b RESTRICT`. */
  private searchOrCycle(i: number): number {
    const isSearch = this.wordAt(i) === K.search
    for (let j = i + 1; j <= this.last; j++) {
      const kind = this.tokens.kinds[j]
      const word = this.wordAt(j)
      if (kind === Token.Open || kind === Token.Close) break
      if (word === K.restrict) return j
      if (word === (isSearch ? K.set : K.using) && this.isName(j + 1)) return j + 1
    }
    return this.refuse(i, "SEARCH or CYCLE clause that is not understood")
  }

  private relation(first: number, last: number): number {
    this.clause = Clause.Related
    if (this.tokens.kinds[last + 1] === Token.Open && !this.language.tableFunctions) {
      this.mark(Derives, first, last)
      if (this.isSyntax(first, last)) this.argumentsAt = last + 1
      else this.call(first, last)
    } else {
      if (this.tokens.kinds[last + 1] === Token.Open) this.argumentsAt = last + 1
      if (first === last && this.isCte(first)) {
        this.mark(Derives, first, last)
      } else {
        this.mark(Reads, first, last)
        this.language.relation(this, first, last)
      }
    }
    return last
  }

  private target(i: number): number {
    const last = this.nameEnd(i)
    this.mark(Writes, i, last)
    this.clause = Clause.Targeted
    return last
  }

  private isCte(i: number): boolean {
    return this.cteNames.length > 0 && (this.visible.get(this.cteNameAt(i)) ?? 0) > 0
  }

  private cteNameAt(i: number): string {
    const name = foldedName(this, i)
    return this.dialect === "mysql" ? name.toLowerCase() : name
  }

  private name(i: number): number {
    const last = this.nameEnd(i)
    if (this.tokens.kinds[last + 1] === Token.Open) {
      if (!this.isGrammar(i, last)) this.call(i, last)
      else if (this.isFunction(i, last)) this.mark(Calls, i, last)
    } else if (last > i) this.column(i, last)
    return last
  }

  /** `sequence.nextval` is a call without parentheses. */
  private column(first: number, last: number): void {
    const { dictionary } = this
    const entry = dictionary.pseudoColumn(this.tokens.codes, this.tokens.starts[last]!, this.tokens.ends[last]!)
    if (entry !== 0) this.affect(functionEffects[dictionary.effects[entry]!]!, first, last)
  }

  /** Whether a name before a parenthesis calls nothing: a keyword, a type, an alias with columns. */
  private isGrammar(first: number, last: number): boolean {
    const { kinds, words } = this.tokens
    const { flags } = this.dictionary
    if (first === last && kinds[first] === Token.Word) {
      const own = flags[words[first]!]!
      if ((own & Syntax) !== 0) return true
      if ((own & Infix) !== 0 && this.isOperand(first - 1)) return true
      if ((own & Paired) !== 0 && this.dictionary.isPair(this.wordAt(first - 1), words[first]!)) return true
    }
    if (this.wordAt(first - 1) === K.as) return true
    return (this.clause === Clause.Related || this.frame === Frame.Columns) && this.isPlain(first - 1) ||
      (this.clause === Clause.Related && kinds[first - 1] === Token.Close)
  }

  /** Whether a word that is grammar is the name of a function all the same, as in `SUBSTRING(a FROM 2)`. */
  private isFunction(first: number, last: number): boolean {
    return this.isSyntax(first, last) && this.dictionary.effects[this.tokens.words[first]!] !== 0 &&
      this.wordAt(first - 1) !== K.as
  }

  private isSyntax(first: number, last: number): boolean {
    const { kinds, words } = this.tokens
    return first === last && kinds[first] === Token.Word &&
      (this.dictionary.flags[words[first]!]! & Syntax) !== 0
  }

  /** Whether an operand ends here, so that what follows is an operator. */
  private isOperand(i: number): boolean {
    switch (this.kindAt(i)) {
      case Token.Word:
        return this.wordAt(i) === K.not || this.isPlain(i)
      case Token.Quoted:
      case Token.Text:
      case Token.Numeric:
      case Token.Parameter:
      case Token.Close:
      case Token.Unindex:
      case Token.UserVariable:
        return true
      default:
        return false
    }
  }

  /** `@@name`, `@@global.name`, `@@session.name`. */
  private systemVariable(i: number): number {
    const last = this.nameEnd(i)
    const { codes, ends, starts, words } = this.tokens
    const { dictionary } = this
    const isOfSession = last > i && words[i] !== K.global
    const entry = last > i ? dictionary.lookup(codes, starts[last]!, ends[last]!) : words[last]!
    if (isOfSession || (dictionary.flags[entry]! & Constant) === 0) {
      this.decide("session", "system variable, which may differ by session and server", i, last)
    }
    return last
  }

  private call(first: number, last: number): void {
    this.argumentsAt = last + 1
    this.mark(Calls, first, last)
    this.affect(this.effectOfCall(first, last), first, last)
  }

  private effectOfCall(first: number, last: number): FunctionEffect {
    const { ends, kinds, starts, words } = this.tokens
    const { dictionary } = this
    const isBare = first === last && kinds[first] === Token.Word && kinds[first - 1] !== Token.Dot
    if (!isBare) return this.language.effectOf(this, first, last)
    const word = words[first]!
    if ((dictionary.flags[word]! & Adjacent) !== 0 && starts[last + 1] !== ends[last]) return "unknown"
    return functionEffects[dictionary.effects[word]!]!
  }

  affect(effect: FunctionEffect, first: number, last = first): void {
    if (this.planOnly) return
    if (effect === "read" || (effect === "unknown" && this.settings.unknownFunctions === "trust")) return
    this.decide(effect, callReasons[effect], first, last)
  }
}

const callReasons: { readonly [effect in Exclude<FunctionEffect, "read">]: string } = {
  unknown: "function that is not known to be harmless",
  write: "function that writes",
  lock: "function that takes or gives a lock",
  session: "function that depends on its session",
  admin: "function that acts on the server"
}
