import { Beyond } from "./characters.js"

/** What a function does when it is called; `unknown` for a name that no table has. */
export const functionEffects = ["unknown", "read", "write", "lock", "session", "admin"] as const

/** One of {@link functionEffects}. */
export type FunctionEffect = (typeof functionEffects)[number]

/** A word of the language's grammar: where it may stand, it is not the name of something. */
export const Keyword = 1
/** Followed by `(` it is grammar, never a call. */
export const Syntax = 2
/** An operator in letters: followed by `(` it is grammar if an operand comes before it, else a call. */
export const Infix = 4
/** The reader has something to do when it meets it. */
export const Notable = 8
/** Followed by `(` it is grammar after certain words: see {@link Dictionary.pair}. */
export const Paired = 16
/** A system variable that is the same everywhere. */
export const Constant = 64
/** A function only if its parenthesis follows at once. */
export const Adjacent = 256
/** Cannot be the name of a table. */
export const Reserved = 128

/**
 * The characters that words are made of, as numbers of five bits: 1 to 26 for letters, small and capital alike, 27 for `_`,
 * and one number for all of a kind beyond that; 0 for what is no part of a word.
 */
export const wordCharacters = new Uint8Array(256)
for (let i = 0; i < 26; i++) wordCharacters[65 + i] = wordCharacters[97 + i] = 1 + i
wordCharacters["_".charCodeAt(0)] = 27
for (let i = 0; i < 10; i++) wordCharacters[48 + i] = 28
wordCharacters["$".charCodeAt(0)] = 29
wordCharacters[Beyond] = 30

/**
 * One step of the hash that {@link Dictionary.find} expects, for a character's number. Up to {@link exactLength} letters
 * the hash is the word itself.
 */
export const hashStep = (hash: number, character: number): number => (hash << 5 | hash >>> 27) ^ character

const exactLength = 6
const isLetter = (c: number): boolean => wordCharacters[c]! > 0 && wordCharacters[c]! < 28

const encoder = new TextEncoder()

/**
 * The words of a language, found from their place in a text without making a string.
 *
 * A `Map<string, …>` would need a fresh string per word, whose hashing costs more than all the rest of the lexer.
 * Entry 0 means "not in the dictionary".
 */
export class Dictionary {
  private texts: Array<string> = [""]
  private codes: Array<Uint8Array> = [new Uint8Array()]
  /** The entries of words of one character: operators, most of all. */
  readonly ofCharacter = new Uint16Array(256)
  /** The length of each entry whose hash tells all of it, 0 for the others. */
  private exact: Array<number> = [0]
  /** Slots of two: a hash and its entry, 0 for a free slot. */
  private slots = new Int32Array(128)
  /** Entries that call something without parentheses, as the last part of a qualified name; and their first letters. */
  private readonly pseudoColumns: Array<number> = []
  private pseudoLetters = 0
  private readonly pairs = new Map<number, ReadonlyArray<number>>()
  /** The grammar flags of each entry. */
  readonly flags: Array<number> = [0]
  /** The index in {@link functionEffects} of each entry. */
  readonly effects: Array<number> = [0]

  get size(): number {
    return this.texts.length
  }

  textOf(entry: number): string {
    return this.texts[entry]!
  }

  /** The entry of a word, made if it is new. */
  add(word: string): number {
    const text = word.toLowerCase()
    const codes = encoder.encode(text)
    const found = this.lookup(codes, 0, codes.length)
    if (found !== 0) return found
    const entry = this.texts.push(text) - 1
    this.codes.push(codes)
    this.exact.push(codes.length <= exactLength && codes.every(isLetter) ? codes.length : 0)
    this.flags.push(0)
    this.effects.push(0)
    if (codes.length === 1) this.ofCharacter[codes[0]!] = entry
    if (entry * 4 >= this.slots.length) this.grow()
    this.place(entry)
    return entry
  }

  /** Marks each of some words, separated by blanks. */
  mark(words: string, flag: number): void {
    for (const word of wordsOf(words)) this.flags[this.add(word)]! |= flag
  }

  /** Gives each of some functions, separated by blanks, its effect. */
  define(names: string, effect: FunctionEffect): void {
    for (const name of wordsOf(names)) this.effects[this.add(name)] = functionEffects.indexOf(effect)
  }

  /** Makes a word, before a parenthesis, grammar after each of some others. */
  pair(word: string, after: string): void {
    const entry = this.add(word)
    this.flags[entry]! |= Paired
    this.pairs.set(entry, wordsOf(after).map((other) => this.add(other)))
  }

  isPair(before: number, word: number): boolean {
    return this.pairs.get(word)?.includes(before) ?? false
  }

  /** Makes words call something where they are the last part of a name, without parentheses. */
  markPseudoColumns(words: string): void {
    for (const word of wordsOf(words)) {
      this.pseudoColumns.push(this.add(word))
      this.pseudoLetters |= 1 << wordCharacters[word.charCodeAt(0)]!
    }
  }

  /** The entry of a part of a text, given its hash; 0 if there is none. */
  find(codes: Uint8Array, start: number, end: number, hash: number): number {
    const { slots } = this
    const mask = slots.length - 2
    for (let slot = slotOf(hash) & mask;; slot = slot + 2 & mask) {
      const entry = slots[slot + 1]!
      if (entry === 0) return 0
      if (
        slots[slot] === hash && (this.exact[entry] === end - start || isSame(codes, start, end, this.codes[entry]!))
      ) {
        return entry
      }
    }
  }

  /** As {@link find}, where the text was not hashed on the way. */
  lookup(codes: Uint8Array, start: number, end: number): number {
    return this.find(codes, start, end, hashOf(codes, start, end))
  }

  /** The entry of the last part of a name, if that calls something. */
  pseudoColumn(codes: Uint8Array, start: number, end: number): number {
    if ((this.pseudoLetters >> wordCharacters[codes[start]!]! & 1) === 0) return 0
    for (const entry of this.pseudoColumns) if (isSame(codes, start, end, this.codes[entry]!)) return entry
    return 0
  }

  /** The entry of a word, 0 if there is none. */
  entryOf(word: string): number {
    const codes = encoder.encode(word)
    return this.lookup(codes, 0, codes.length)
  }

  private grow(): void {
    this.slots = new Int32Array(this.slots.length * 2)
    for (let i = 1; i < this.texts.length - 1; i++) this.place(i)
  }

  private place(entry: number): void {
    const { slots } = this
    const mask = slots.length - 2
    const codes = this.codes[entry]!
    const hash = hashOf(codes, 0, codes.length)
    let slot = slotOf(hash) & mask
    while (slots[slot + 1] !== 0) slot = slot + 2 & mask
    slots[slot] = hash
    slots[slot + 1] = entry
  }
}

/** Fibonacci hashing: the upper bits of the product depend on all of the hash. */
const slotOf = (hash: number): number => Math.imul(hash, 0x9e3779b1) >>> 15

const hashOf = (codes: Uint8Array, from: number, to: number): number => {
  let hash = 0
  for (let i = from; i < to; i++) hash = hashStep(hash, wordCharacters[codes[i]!] || codes[i]!)
  return hash
}

/** Whether a part of a text is a word in lower case. */
const isSame = (codes: Uint8Array, start: number, end: number, word: Uint8Array): boolean => {
  if (word.length !== end - start) return false
  for (let i = start, j = 0; i < end; i++, j++) {
    const c = codes[i]!
    if ((c >= 65 && c <= 90 ? c + 32 : c) !== word[j]) return false
  }
  return true
}

/** The words of a table written as text. */
export const wordsOf = (text: string): ReadonlyArray<string> => text.split(/\s+/).filter((word) => word !== "")
