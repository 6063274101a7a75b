import { type Dictionary, type FunctionEffect, functionEffects } from "./dictionary.js"

/** What a program says of its functions and of its servers' settings. */
export interface Settings {
  readonly unknownFunctions: "primary" | "trust"
  readonly catalogQueries: "replica" | "primary"
  /** By lower-case name, with or without schema. */
  readonly functions: ReadonlyMap<string, FunctionEffect>
  /** Here and below `undefined`: unknown, so a text must be safe either way. */
  readonly standardConformingStrings: boolean | undefined
  readonly noBackslashEscapes: boolean | undefined
  readonly ansiQuotes: boolean | undefined
}

type Effects = { readonly [effect in Exclude<FunctionEffect, "read" | "unknown">]: string }

/** The built-in functions, then the program's own, which win. */
export const defineFunctions = (dictionary: Dictionary, reads: string, effects: Effects, settings: Settings): void => {
  dictionary.define(reads, "read")
  for (const effect of ["write", "lock", "session", "admin"] as const) dictionary.define(effects[effect], effect)
  for (const [name, effect] of settings.functions) {
    if (isPlain(name)) dictionary.define(name, effect)
  }
}

/** Whether a bare word can be the name: one with a schema, or that needs quotes, is looked up by its text. */
const isPlain = (name: string): boolean => !name.includes(".") && !name.includes(" ") && name === name.toLowerCase()

/**
 * Adds to a dictionary what was learnt from a catalog. The built-in functions keep their effects, unless they share their
 * name with one that is not known to be harmless; the program's own words stay.
 */
export const learner = (dictionary: Dictionary, settings: Settings): Learner => {
  const effects = new Map(settings.functions)
  let before = new Map<string, number>()
  return {
    effects,
    builtIn: (name) => {
      const entry = dictionary.entryOf(name)
      return dictionary.textOf(entry) === name
        ? functionEffects[before.get(name) ?? dictionary.effects[entry]!]!
        : "unknown"
    },
    learn: (learnt) => {
      for (const [name, effect] of before) dictionary.effects[dictionary.add(name)] = effect
      effects.clear()
      for (const [name, effect] of learnt) effects.set(name, effect)
      for (const [name, effect] of settings.functions) effects.set(name, effect)
      before = new Map()
      for (const [name, effect] of learnt) {
        if (!isPlain(name) || settings.functions.has(name)) continue
        const known = dictionary.effects[dictionary.add(name)]!
        if (known > functionEffects.indexOf("read") || (effect === "read" && known > 0)) continue
        before.set(name, known)
        dictionary.define(name, effect)
      }
    }
  }
}

export interface Learner {
  /** The effects of functions that are looked up by their text, quoted or with a schema. */
  readonly effects: ReadonlyMap<string, FunctionEffect>
  /** The effect of the built-in function of a name, whoever else may have a function of that name. */
  readonly builtIn: (name: string) => FunctionEffect
  readonly learn: (learnt: ReadonlyMap<string, FunctionEffect>) => void
}
