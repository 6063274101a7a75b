import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type { RoutingRules } from "../RoutingRules.js"
import { InputError } from "./errors.js"

/** The rules that a module exports, as its default or as `rules`. */
export const load = (file: string): Effect.Effect<RoutingRules, InputError> =>
  Effect.gen(function*() {
    const fail = (message: string) => new InputError({ reason: "rulesNotLoaded", message: `${file}: ${message}` })
    if (!existsSync(file)) return yield* fail("there is no such file")
    const module = yield* Effect.tryPromise({
      try: (): Promise<{ readonly default?: unknown; readonly rules?: unknown }> =>
        import(pathToFileURL(path.resolve(file)).href),
      catch: (error) => fail(problemOf(error))
    })
    const rules = [module.rules, module.default].find(isRules)
    return rules ?? (yield* fail("exports no rules: export what RoutingRules.make gives, as default or as rules"))
  })

const isRules = (u: unknown): u is RoutingRules =>
  typeof u === "object" && u !== null && "rules" in u && Array.isArray(u.rules) && "otherwise" in u

const problemOf = (error: unknown): string => {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined
  switch (code) {
    case "ERR_UNKNOWN_FILE_EXTENSION":
    case "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX":
    case "ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING":
      return `Node ${process.version} cannot load it as it is: compile it to JavaScript, or set NODE_OPTIONS="--import tsx"`
    default:
      return `could not be loaded: ${error instanceof Error ? error.message : String(error)}`
  }
}
