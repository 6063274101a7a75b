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
/** As the last part of a qualified name it is a call without parentheses: see {@link Dictionary.pseudoColumn}. */
export const PseudoColumn = 32
/** A system variable that is the same everywhere. */
export const Constant = 64
/** A function only if its parenthesis follows at once. */
export const Adjacent = 256
/** Cannot be the name of a table. */
export const Reserved = 128

/** One step of the hash that {@link Dictionary.find} expects: FNV-1a over the characters, their letters folded. */
export const hashStep = (hash: number, c: number): number => Math.imul(hash ^ (c | 32), 0x01000193)

export const hashSeed = 0x811c9dc5 | 0

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
  private hashes = new Int32Array(64)
  private slots = new Uint16Array(64)
  /** The lengths of pseudo-columns, as bits. */
  private pseudoLengths = 0
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
    this.flags.push(0)
    this.effects.push(0)
    if (entry * 3 >= this.slots.length) this.grow()
    this.hashes[entry] = hashOf(codes, 0, codes.length)
    this.place(entry)
    return entry
  }

  /** Marks each of some words, separated by blanks. */
  mark(words: string, flag: number): void {
    for (const word of wordsOf(words)) {
      this.flags[this.add(word)]! |= flag
      if ((flag & PseudoColumn) !== 0) this.pseudoLengths |= 1 << word.length
    }
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

  /** The entry of a part of a text, given its hash; 0 if there is none. */
  find(codes: Uint8Array, start: number, end: number, hash: number): number {
    const { hashes, slots } = this
    const mask = slots.length - 1
    for (let slot = slotOf(hash) & mask;; slot = slot + 1 & mask) {
      const entry = slots[slot]!
      if (entry === 0) return 0
      if (hashes[entry] === hash && isSame(codes, start, end, this.codes[entry]!)) return entry
    }
  }

  /** As {@link find}, where the text was not hashed on the way. */
  lookup(codes: Uint8Array, start: number, end: number): number {
    return this.find(codes, start, end, hashOf(codes, start, end))
  }

  /** The entry of the last part of a name, if that calls something; as they are few, their length tells most others. */
  pseudoColumn(codes: Uint8Array, start: number, end: number): number {
    if ((this.pseudoLengths >> end - start & 1) === 0) return 0
    const entry = this.lookup(codes, start, end)
    return (this.flags[entry]! & PseudoColumn) !== 0 ? entry : 0
  }

  /** The entry of a word, 0 if there is none. */
  entryOf(word: string): number {
    const codes = encoder.encode(word)
    return this.lookup(codes, 0, codes.length)
  }

  private grow(): void {
    const { hashes } = this
    this.slots = new Uint16Array(this.slots.length * 2)
    this.hashes = new Int32Array(this.slots.length)
    this.hashes.set(hashes)
    for (let i = 1; i < this.texts.length - 1; i++) this.place(i)
  }

  private place(entry: number): void {
    const mask = this.slots.length - 1
    let slot = slotOf(this.hashes[entry]!) & mask
    while (this.slots[slot] !== 0) slot = slot + 1 & mask
    this.slots[slot] = entry
  }
}

const slotOf = (hash: number): number => hash ^ hash >>> 15

const hashOf = (codes: Uint8Array, from: number, to: number): number => {
  let hash = hashSeed
  for (let i = from; i < to; i++) hash = hashStep(hash, codes[i]!)
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
