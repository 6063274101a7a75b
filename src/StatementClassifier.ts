/**
 * Tells what a statement does from its text, so that only confirmed reads go to a replica.
 *
 * It recognises what is harmless, and never what is not: an unknown verb, function or operator, an odd token, a second
 * statement mean the primary. What no text can show (a view, a cast or a column that calls a function) is left to the
 * replica, which refuses to write.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { Dialect } from "./Dialect.js"
import { type Classifier, classifierOf } from "./internal/classifier/classify.js"
import type * as Dictionary from "./internal/classifier/dictionary.js"
import { mysql } from "./internal/classifier/mysql.js"
import * as PgCatalog from "./internal/classifier/pgCatalog.js"
import { postgres } from "./internal/classifier/postgres.js"
import type { Settings } from "./internal/classifier/settings.js"
import { sqlite } from "./internal/classifier/sqlite.js"
import type { StatementFacts } from "./StatementFacts.js"

/**
 * Tells what a statement does from its text: pure, and total for any string.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatementClassifier {
  readonly classify: (dialect: Dialect, sql: string) => StatementFacts
}

/**
 * What a function does when it is called.
 *
 * @since 0.1.0
 * @category models
 */
export type FunctionEffect = Exclude<Dictionary.FunctionEffect, "unknown">

/**
 * Effects of functions by name: `{ my_audit: "write", "app.price": "read" }`. Names are taken in lower case.
 *
 * @since 0.1.0
 * @category models
 */
export interface FunctionEffects {
  readonly [name: string]: FunctionEffect
}

/**
 * A setting of the server that changes what a text means; `"unknown"` where it may be either, so that a text must be safe
 * both ways.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerSetting = boolean | "unknown"

/**
 * What the texts do not show, and what a program wants.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Effects of the program's own functions, or others than the built-in tables give. Default: none. */
  readonly functions?: FunctionEffects | undefined
  /** Where a call of a function that no table knows goes. Default `"primary"`; `"trust"` takes it for a read. */
  readonly unknownFunctions?: "primary" | "trust" | undefined
  /** Where queries of the system catalogs go. Default `"replica"`. */
  readonly catalogQueries?: "replica" | "primary" | undefined
  /** PostgreSQL's `standard_conforming_strings`. Default `true`, as the server's since 9.1. */
  readonly standardConformingStrings?: ServerSetting | undefined
  /** MySQL's `sql_mode` has `NO_BACKSLASH_ESCAPES`. Default `"unknown"`. */
  readonly noBackslashEscapes?: ServerSetting | undefined
  /** MySQL's `sql_mode` has `ANSI_QUOTES`. Default `"unknown"`: then `"x"` is no literal in an equality. */
  readonly ansiQuotes?: ServerSetting | undefined
  /** Default: 2000 texts of at most 8192 characters. */
  readonly cache?: CacheOptions | undefined
}

/**
 * How many texts a classifier remembers, for each dialect.
 *
 * @since 0.1.0
 * @category models
 */
export interface CacheOptions {
  /** Default 2000. */
  readonly entries?: number | undefined
  /** Characters of a text; longer ones are classified each time. Default 8192. */
  readonly textLength?: number | undefined
}

/**
 * A classifier that takes up more functions while it is used.
 *
 * @since 0.1.0
 * @category models
 */
export interface LearningClassifier extends StatementClassifier {
  /** Asks a PostgreSQL server for its functions and operators, in place of what was learnt before. */
  readonly learnFrom: (client: SqlClient.SqlClient, trust?: PgTrust | undefined) => Effect.Effect<void, SqlError>
}

/**
 * A classifier with settings; without any, the one that is used by default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): LearningClassifier => {
  const settings = settingsOf(options)
  const limits = { entries: options.cache?.entries ?? 2000, textLength: options.cache?.textLength ?? 8192 }
  // A dialect's tables are built when its first statement comes.
  const classifiers: { [dialect in Dialect]?: Classifier } = {}
  const classifierFor = (dialect: Dialect): Classifier =>
    classifiers[dialect] ??= classifierOf(languages[dialect](settings), limits)
  return {
    classify: (dialect, sql) => (classifiers[dialect] ?? classifierFor(dialect)).classify(sql),
    learnFrom: (client, trust = "stable") =>
      Effect.map(
        client.unsafe<PgCatalog.Row>(PgCatalog.query({ volatility: trust })).withoutTransform,
        (rows) => classifierFor("postgres").learn(PgCatalog.effectsOf(rows))
      )
  }
}

const languages = { postgres, mysql, sqlite }

const settingsOf = (options: Options): Settings => ({
  unknownFunctions: options.unknownFunctions ?? "primary",
  catalogQueries: options.catalogQueries ?? "replica",
  functions: new Map(Object.entries(options.functions ?? {}).map(([name, effect]) => [name.toLowerCase(), effect])),
  standardConformingStrings: known(options.standardConformingStrings ?? true),
  noBackslashEscapes: known(options.noBackslashEscapes),
  ansiQuotes: known(options.ansiQuotes)
})

const known = (setting: ServerSetting | undefined): boolean | undefined => setting === "unknown" ? undefined : setting

const defaultClassifier = make()

/**
 * Classifies a statement with the default settings.
 *
 * @example
 * ```ts
 * import { StatementClassifier } from "effect-sql-router"
 *
 * const facts = StatementClassifier.classify("postgres", "WITH gone AS (DELETE FROM t RETURNING *) TABLE gone")
 * facts.replicaSafe // false
 * facts.why // { reason: "DELETE", token: "DELETE", position: 14 }
 * ```
 *
 * @since 0.1.0
 * @category classifying
 */
export const classify = (dialect: Dialect, sql: string): StatementFacts => defaultClassifier.classify(dialect, sql)

/**
 * The classifier that routers use, so that a program can wrap or replace it.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentStatementClassifier extends Context.Reference<CurrentStatementClassifier>()(
  "effect-sql-router/StatementClassifier/CurrentStatementClassifier",
  { defaultValue: (): StatementClassifier => defaultClassifier }
) {}

/**
 * A classifier with settings for every router built below.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<never> =>
  Layer.sync(CurrentStatementClassifier, () => make(options))

/**
 * Which declarations of PostgreSQL functions are believed: `"stable"` those of IMMUTABLE and STABLE ones, `"immutable"` only
 * the former. In either case the language must be trusted, or the function be an extension's.
 *
 * @since 0.1.0
 * @category models
 */
export type PgTrust = "stable" | "immutable"

/**
 * How {@link layerPgFunctions} learns.
 *
 * @since 0.1.0
 * @category models
 */
export interface PgFunctionsOptions extends Options {
  /** Default `"stable"`. */
  readonly trust?: PgTrust | undefined
  /** How long until the catalog is read again. Default 5 minutes. */
  readonly refresh?: Duration.DurationInput | undefined
}

/**
 * A classifier that learns in the background, from the PostgreSQL server of the `SqlClient` it is given (the primary), which
 * user-defined and extension functions and operators are harmless: then reads that use PostGIS or pg_trgm go to replicas
 * without being named. Until it has learnt, and while the server cannot be reached, such reads stay on the primary.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPgFunctions = (
  { refresh = Duration.minutes(5), trust, ...options }: PgFunctionsOptions = {}
): Layer.Layer<never, never, SqlClient.SqlClient> =>
  Layer.scoped(
    CurrentStatementClassifier,
    Effect.gen(function*() {
      const client = yield* SqlClient.SqlClient
      const classifier = make(options)
      yield* classifier.learnFrom(client, trust).pipe(
        Effect.retry(Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced(refresh)))),
        Effect.repeat(Schedule.spaced(refresh)),
        Effect.forkScoped
      )
      return classifier
    })
  )
