import type { Dialect } from "effect-sql-router/Dialect"
import type * as RoutingRules from "effect-sql-router/RoutingRules"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Target from "effect-sql-router/Target"
import * as Context from "effect/Context"
import * as Either from "effect/Either"
import * as FiberRef from "effect/FiberRef"
import { compile, type CompiledRules } from "../../src/internal/rules/compile.js"
import type { Known, KnownDatabase } from "../../src/internal/rules/known.js"

/** A router with three Databases of one dialect and one of another. */
export const knownOf = (dialect: Dialect): Known => {
  const of = (name: string, speaks: Dialect = dialect) =>
    [name, { dialect: speaks, primary: `${name}-primary`, replicas: [`${name}-1`, `${name}-2`] }] as const
  return {
    default: "main",
    databases: new Map<string, KnownDatabase>([
      of("main"),
      of("archive"),
      of("reporting"),
      of("foreign", dialect === "mysql" ? "sqlite" : "mysql"),
      ["lonely", { dialect, primary: "lonely-primary", replicas: [] }]
    ])
  }
}

export const context: RoutingRules.RuleContext = {
  now: 0,
  random: () => 0.5,
  get: (source) =>
    FiberRef.FiberRefTypeId in source
      ? (source as unknown as { readonly initial: never }).initial
      : Context.get(Context.empty() as never, source)
}

export interface Asked {
  readonly dialect?: Dialect | undefined
  readonly params?: ReadonlyArray<unknown> | undefined
  readonly context?: Partial<RoutingRules.RuleContext> | undefined
}

export const compiled = (rules: RoutingRules.RoutingRules, dialect: Dialect = "postgres"): CompiledRules =>
  Either.getOrThrowWith(compile(rules, knownOf(dialect)), (error) => error)

export const decide = (rules: RoutingRules.RoutingRules, sql: string, asked: Asked = {}): RoutingRules.Decision => {
  const { dialect = "postgres", params = [] } = asked
  const facts = StatementClassifier.classify(dialect, sql)
  return compiled(rules, dialect).decide(facts, sql, params, { ...context, ...asked.context })
}

/** Where a statement goes, in words. */
export const goes = (rules: RoutingRules.RoutingRules, sql: string, asked?: Asked): string =>
  Target.render(decide(rules, sql, asked).target)

/** What is wrong with rules: the error's text. */
export const problem = (rules: RoutingRules.RoutingRules, dialect: Dialect = "postgres"): string => {
  const result = compile(rules, knownOf(dialect))
  return Either.isLeft(result) ? result.left.problem : "nothing"
}

export const warnings = (rules: RoutingRules.RoutingRules, dialect: Dialect = "postgres"): ReadonlyArray<string> =>
  compiled(rules, dialect).warnings.map(({ reason, rule }) => `${rule}: ${reason}`)
