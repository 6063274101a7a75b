/**
 * Tells what a statement does from its text.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type { Dialect } from "./Dialect.js"
import { classifierOf } from "./internal/classifier/classify.js"
import type { FunctionEffect } from "./internal/classifier/dictionary.js"
import { mysql } from "./internal/classifier/mysql.js"
import { postgres } from "./internal/classifier/postgres.js"
import { sqlite } from "./internal/classifier/sqlite.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface StatementClassifier {
  readonly classify: (dialect: Dialect, sql: string) => StatementFacts
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly unknownFunctions?: "primary" | "trust" | undefined
  readonly catalogQueries?: "replica" | "primary" | undefined
  readonly functions?: { readonly [name: string]: Exclude<FunctionEffect, "unknown"> } | undefined
  readonly standardConformingStrings?: boolean | "unknown" | undefined
  readonly noBackslashEscapes?: boolean | "unknown" | undefined
  readonly ansiQuotes?: boolean | "unknown" | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): StatementClassifier => {
  const settings = {
    unknownFunctions: options.unknownFunctions ?? "primary",
    catalogQueries: options.catalogQueries ?? "replica",
    functions: new Map(Object.entries(options.functions ?? {}).map(([name, effect]) => [name.toLowerCase(), effect])),
    standardConformingStrings: known(options.standardConformingStrings ?? true),
    noBackslashEscapes: known(options.noBackslashEscapes),
    ansiQuotes: known(options.ansiQuotes)
  }
  const classifiers = {
    postgres: classifierOf(postgres(settings)),
    mysql: classifierOf(mysql(settings)),
    sqlite: classifierOf(sqlite(settings))
  }
  return { classify: (dialect, sql) => classifiers[dialect](sql) }
}

const known = (setting: boolean | "unknown" | undefined): boolean | undefined =>
  setting === "unknown" ? undefined : setting

/**
 * @since 0.1.0
 * @category services
 */
export class CurrentStatementClassifier extends Context.Reference<CurrentStatementClassifier>()(
  "effect-sql-router/StatementClassifier",
  { defaultValue: (): StatementClassifier => make() }
) {}
