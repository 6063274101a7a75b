import type { Dialect } from "../../Dialect.js"

/*
 * A regular expression, read far enough to find two faults: that it can never match, and that it may take exponential time.
 *
 * Characters are sets: a bit for each of ASCII, and one for all others.
 */
type Characters = bigint

type Node =
  | { readonly _tag: "Characters"; readonly set: Characters }
  | { readonly _tag: "Start" | "End" }
  /** Lookarounds and word boundaries: they consume nothing. */
  | { readonly _tag: "Look"; readonly body: Node | undefined }
  | { readonly _tag: "Sequence"; readonly items: ReadonlyArray<Node> }
  | { readonly _tag: "Choice"; readonly options: ReadonlyArray<Node> }
  | { readonly _tag: "Repeat"; readonly body: Node; readonly min: number; readonly max: number }

const all: Characters = (1n << 129n) - 1n
const others: Characters = 1n << 128n

const bit = (code: number): Characters => 1n << BigInt(Math.min(code, 128))

const range = (from: number, to: number): Characters => {
  let set = 0n
  for (let code = from; code <= Math.min(to, 128); code++) set |= bit(code)
  return set
}

const of = (text: string): Characters => [...text].reduce((set, c) => set | bit(c.charCodeAt(0)), 0n)

const digits = range(48, 57)
const capitals = range(65, 90)
const words = digits | capitals | range(97, 122) | of("_")
const blanks = of(" \t\n\v\f\r") | others
const lineEnds = of("\n\r")

/** Both cases of every letter in a set. */
const anyCase = (set: Characters): Characters => {
  const upper = set & capitals
  const lower = set & range(97, 122)
  return set | upper << 32n | lower >> 32n
}

const escapes: { readonly [letter: string]: Characters } = {
  d: digits,
  D: all & ~digits,
  w: words,
  W: all & ~words,
  s: blanks,
  S: all & ~(blanks & ~others),
  n: of("\n"),
  r: of("\r"),
  t: of("\t"),
  v: of("\v"),
  f: of("\f"),
  0: bit(0)
}

/** Thrown where an expression uses what is not read here; never leaves this module. */
class Unreadable extends Error {}

class Parser {
  private at = 0

  constructor(private readonly source: string, private readonly flags: string) {}

  parse(): Node {
    const node = this.choice()
    if (this.at < this.source.length) throw new Unreadable()
    return node
  }

  private take(text: string): boolean {
    if (!this.source.startsWith(text, this.at)) return false
    this.at += text.length
    return true
  }

  private matching(regex: RegExp): RegExpExecArray | undefined {
    regex.lastIndex = this.at
    const found = regex.exec(this.source)
    if (found === null) return undefined
    this.at += found[0].length
    return found
  }

  private characters(set: Characters): Node {
    return { _tag: "Characters", set: this.flags.includes("i") ? anyCase(set) : set }
  }

  private choice(): Node {
    const options = [this.sequence()]
    while (this.take("|")) options.push(this.sequence())
    return options.length === 1 ? options[0]! : { _tag: "Choice", options }
  }

  private sequence(): Node {
    const items: Array<Node> = []
    while (this.at < this.source.length && this.source[this.at] !== "|" && this.source[this.at] !== ")") {
      items.push(this.repeated(this.item()))
    }
    return { _tag: "Sequence", items }
  }

  private repeated(body: Node): Node {
    const found = this.matching(/(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??/y)
    if (found === undefined) return body
    const [, sign, least, comma, most] = found
    if (sign !== undefined) return { _tag: "Repeat", body, min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : Infinity }
    const min = Number(least)
    return { _tag: "Repeat", body, min, max: comma === undefined ? min : most === "" ? Infinity : Number(most) }
  }

  private item(): Node {
    if (this.take("^")) return { _tag: "Start" }
    if (this.take("$")) return { _tag: "End" }
    if (this.take("\\b") || this.take("\\B")) return { _tag: "Look", body: undefined }
    if (this.take("(")) return this.group()
    if (this.take(".")) return this.characters(this.flags.includes("s") ? all : all & ~lineEnds)
    if (this.take("[")) return this.characters(this.characterClass())
    return this.characters(this.one())
  }

  private group(): Node {
    const isLook = this.matching(/\?<?[=!]/y) !== undefined
    if (!isLook) this.matching(/\?:|\?<[\w$]+>/y)
    if (this.source[this.at] === "?") throw new Unreadable()
    const body = this.choice()
    if (!this.take(")")) throw new Unreadable()
    return isLook ? { _tag: "Look", body } : body
  }

  private characterClass(): Characters {
    const isNegated = this.take("^")
    let set = 0n
    while (!this.take("]")) {
      const from = this.source[this.at] === "\\" && this.take("\\b") ? bit(8) : this.one()
      const isRange = this.source[this.at] === "-" && this.source[this.at + 1] !== "]"
      if (!isRange) {
        set |= from
        continue
      }
      this.at++
      const to = this.one()
      // A range of sets, as in `[\w-x]`, is three members.
      set |= isOne(from) && isOne(to) ? range(codeOf(from), codeOf(to)) : from | to | of("-")
    }
    if (!isNegated) return set
    // Of the characters beyond ASCII, a class may have some and its negation others.
    return all & ~(set & ~others)
  }

  private one(): Characters {
    const escape = this.matching(/\\(?:x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]+)\}|c([a-z])|p\{[^}]*\}|([^]))/iy)
    if (escape === undefined) {
      const code = this.source.codePointAt(this.at)
      if (code === undefined) throw new Unreadable()
      this.at += code > 0xffff ? 2 : 1
      return bit(code)
    }
    const [, byte, unit, point, control, letter] = escape
    const hex = byte ?? unit ?? point
    if (hex !== undefined) return bit(Number.parseInt(hex, 16))
    if (control !== undefined) return bit(control.charCodeAt(0) % 32)
    if (letter === undefined) return all
    if (/[1-9k]/.test(letter)) throw new Unreadable()
    return escapes[letter] ?? bit(letter.charCodeAt(0))
  }
}

const isOne = (set: Characters): boolean => set !== 0n && (set & set - 1n) === 0n

const codeOf = (set: Characters): number => set.toString(2).length - 1

/** The parts that follow each other, with groups opened. */
const itemsOf = (node: Node): ReadonlyArray<Node> => node._tag === "Sequence" ? node.items.flatMap(itemsOf) : [node]

const minLength = (node: Node): number => {
  switch (node._tag) {
    case "Characters":
      return 1
    case "Start":
    case "End":
    case "Look":
      return 0
    case "Sequence":
      return node.items.reduce((sum, item) => sum + minLength(item), 0)
    case "Choice":
      return Math.min(...node.options.map(minLength))
    case "Repeat":
      return node.min === 0 ? 0 : node.min * minLength(node.body)
  }
}

/** Whether nothing matches: an anchor that contradicts what stands beside it, or a character that is none of `possible`. */
const isNever = (node: Node, possible: Characters, anchors: boolean): boolean => {
  switch (node._tag) {
    case "Characters":
      return (node.set & possible) === 0n
    case "Start":
    case "End":
    case "Look":
      return false
    case "Choice":
      return node.options.every((option) => isNever(option, possible, anchors))
    case "Repeat":
      return node.min > 0 && isNever(node.body, possible, anchors)
    case "Sequence": {
      const items = itemsOf(node)
      return items.some((item, i) =>
        isNever(item, possible, anchors) ||
        (anchors && isAnchored(item, "Start") && items.slice(0, i).some((before) => minLength(before) > 0)) ||
        (anchors && isAnchored(item, "End") && items.slice(i + 1).some((after) => minLength(after) > 0))
      )
    }
  }
}

/** Whether an item can stand only at the start, or only at the end, of the text. */
const isAnchored = (node: Node, anchor: "Start" | "End"): boolean => {
  switch (node._tag) {
    case "Start":
    case "End":
      return node._tag === anchor
    case "Choice":
      return node.options.every((option) => isAnchored(option, anchor))
    case "Sequence":
      return isAnchored(itemsOf(node).at(anchor === "Start" ? 0 : -1) ?? { _tag: "Look", body: undefined }, anchor)
    case "Repeat":
      return node.min > 0 && isAnchored(node.body, anchor)
    case "Characters":
    case "Look":
      return false
  }
}

/** A digit that no name leads up to: it can only begin a number. */
const demandsNumber = (node: Node): boolean => {
  if (node._tag === "Choice") return node.options.every(demandsNumber)
  if (node._tag === "Repeat") return node.min > 0 && demandsNumber(node.body)
  if (node._tag !== "Sequence") return false
  const items = itemsOf(node)
  return items.some((item, i) => {
    const before = items[i - 1]
    return demandsNumber(item) || (before?._tag === "Characters" && (before.set & ~of(" =<>(,")) === 0n &&
      item._tag === "Characters" && (item.set & ~digits) === 0n)
  })
}

/** Rounds of a loop below which it is not looked at: so few cannot make a statement's text take long. */
const manyRounds = 10

/**
 * Whether a loop may match the same text in several ways, which multiply with every round.
 *
 * Sound, not exact: a loop passes if its rounds are of fixed length and their first characters tell the alternatives apart,
 * or if each round begins or ends with a character that is not in the rest of it, of which one part varies. Everything else
 * in which something varies counts as exponential, some of it wrongly. Loops side by side, as in `a*a*`, take polynomial
 * time and pass.
 */
const isExponential = (node: Node): boolean => {
  switch (node._tag) {
    case "Characters":
    case "Start":
    case "End":
      return false
    case "Look":
      return node.body !== undefined && isExponential(node.body)
    case "Sequence":
      return node.items.some(isExponential)
    case "Choice":
      return node.options.some(isExponential)
    case "Repeat":
      return isExponential(node.body) ||
        (node.max >= manyRounds && !isUnambiguous(node.body) && !isDelimited(node.body))
  }
}

const consuming = (node: Node): ReadonlyArray<Node> =>
  itemsOf(node).filter((item) => item._tag !== "Look" && item._tag !== "Start" && item._tag !== "End")

const isFixed = (node: Node): boolean =>
  consuming(node).every((item) =>
    item._tag === "Characters" || (item._tag === "Repeat" && item.min === item.max && isFixed(item.body))
  )

const firstOf = (node: Node): Characters => {
  const first = consuming(node)[0]
  return first?._tag === "Characters" ? first.set : first?._tag === "Repeat" ? firstOf(first.body) : all
}

const isUnambiguous = (body: Node): boolean => {
  const inner = consuming(body)
  const [only] = inner
  const options = inner.length === 1 && only!._tag === "Choice" ? only!.options : [body]
  let seen = 0n
  return options.every((option) => {
    const first = firstOf(option)
    const isNew = (first & seen) === 0n
    seen |= first
    return isNew && isFixed(option) && minLength(option) > 0
  })
}

const isDelimited = (body: Node): boolean => {
  const items = consuming(body)
  return [items, items.toReversed()].some(([delimiter, ...rest]) => {
    if (delimiter?._tag !== "Characters") return false
    let varying = 0
    return rest.every((item) => {
      const single = item._tag === "Repeat" ? consuming(item.body) : [item]
      if (item._tag === "Repeat" && item.min !== item.max) varying++
      const [only] = single
      return varying < 2 && single.length === 1 && only!._tag === "Characters" && (only!.set & delimiter.set) === 0n
    })
  })
}

/**
 * What is wrong with a regular expression.
 *
 * - `never`: it matches no text at all.
 * - `exponential`: it may take time that doubles with each character.
 * - `quotedOnly`: of a normalised text it matches nothing outside quoted names.
 * - `unreadable`: it uses what is not understood here (backreferences, flags within), so none of this was looked for.
 */
export type RegexFault = "never" | "exponential" | "quotedOnly" | "unreadable"

export const faultsOf = (regex: RegExp, text: "normalised" | "raw", dialect: Dialect): ReadonlyArray<RegexFault> => {
  if (regex.flags.includes("v")) return ["unreadable"]
  let node: Node
  try {
    node = new Parser(regex.source, regex.flags).parse()
  } catch (error) {
    if (error instanceof Unreadable) return ["unreadable"]
    throw error
  }
  const anchors = !regex.flags.includes("m")
  const faults: Array<RegexFault> = []
  if (isNever(node, all, anchors)) faults.push("never")
  else if (text === "normalised" && !/["`]/.test(regex.source)) {
    // MySQL keeps the case of names.
    const absent = of("'\t\n\r") | (dialect === "mysql" ? 0n : capitals)
    // MySQL's names may begin with a digit.
    const isNumber = dialect !== "mysql" && demandsNumber(node)
    if (isNumber || isNever(node, all & ~absent, anchors)) faults.push("quotedOnly")
  }
  if (isExponential(node)) faults.push("exponential")
  return faults
}
