import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Utils from "effect/Utils"
import type { Dialect } from "../Dialect.js"
import type { Explanation } from "../Explanation.js"
import * as compat from "../internal/compat.js"
import { defaultRoute, Planner } from "../internal/plan.js"
import * as RuleRoutes from "../internal/ruleRoutes.js"
import { compile, type CompiledRules } from "../internal/rules/compile.js"
import type { KnownDatabase } from "../internal/rules/known.js"
import type { RoutingRules } from "../RoutingRules.js"
import * as StatementClassifier from "../StatementClassifier.js"
import type { Place, Target } from "../Target.js"
import { InputError } from "./errors.js"

export interface Options {
  readonly dialect: Dialect
  readonly rules: RoutingRules | undefined
  /** The name of the default Database. */
  readonly database: string
  readonly replicas: number
}

/** The part of a router that decides: it classifies, asks the rules and plans as a running one does, and has no servers. */
export interface Router {
  readonly explain: (sql: string) => Effect.Effect<Explanation>
  /** What seems wrong with the rules. */
  readonly warnings: ReadonlyArray<string>
}

/**
 * A router whose Databases are the default one and those that the rules name, each with a primary, as many replicas as
 * asked for, and the endpoints that the rules name.
 */
export const make = (options: Options): Either.Either<Router, InputError> => {
  const { database, dialect, rules } = options
  const databases = databasesOf(options)
  const compiled = rules && compile(rules, { default: database, databases })
  if (compiled !== undefined && Either.isLeft(compiled)) {
    return Either.left(new InputError({ reason: "rulesInvalid", message: compiled.left.message }))
  }
  const decide = decider(database, databases, compiled?.right)
  return Either.right({
    explain: (sql) =>
      compat.withFiber((fiber) => {
        const facts = StatementClassifier.classify(dialect, sql)
        return Effect.succeed({ sql, facts, ...decide(facts, sql, fiber), policies: [] })
      }),
    warnings: (compiled?.right.warnings ?? []).map(({ reason, rule }) => `${rule}: ${reason}`)
  })
}

const decider = (
  main: string,
  databases: ReadonlyMap<string, KnownDatabase>,
  rules: CompiledRules | undefined
) => {
  const planners = new Map(
    Array.from(databases, ([database, { primary, replicas }]) => [
      database,
      new Planner({
        database,
        primary,
        replicas,
        excluded: [],
        primaryServesReads: true,
        primaryAmongReplicas: false,
        isReplica: (endpoint) => replicas.includes(endpoint)
      }, "refuse")
    ])
  )
  // Always the same, so that the same command prints the same.
  const generator = new Utils.PCGRandom(0)
  const random = () => generator.number()

  return (
    facts: Explanation["facts"],
    sql: string,
    fiber: compat.Fiber
  ): Pick<Explanation, "plan" | "rules"> => {
    if (rules === undefined) return { plan: planners.get(main)!.plan(facts, defaultRoute), rules: [] }
    const context = RuleRoutes.contextOf(fiber, random)
    const { by, rule, target } = rules.decide(facts, sql, [], context)
    const place = target._tag === "Mirrored" ? target.main : target
    const database = place._tag === "Deny" ? main : place.database ?? main
    return {
      plan: planners.get(database)!.plan(
        facts,
        RuleRoutes.routeOf(rule, place, by === "nothing" ? "noRoute" : "denied")
      ),
      rules: rules.trace(facts, sql, [], context)
    }
  }
}

const databasesOf = ({ database, dialect, replicas, rules }: Options): ReadonlyMap<string, KnownDatabase> => {
  const places = rules === undefined ? [] : placesOf(rules)
  const nameOf = (place: Place): string => place.database ?? database
  const numbered = Array.from({ length: replicas }, (_, i) => `replica${i + 1}`)
  return new Map(
    [database, ...places.map(nameOf)].map((name) => {
      const named = places.flatMap((place) =>
        place._tag === "Endpoint" && nameOf(place) === name && place.endpoint !== "primary" ? [place.endpoint] : []
      )
      return [name, { dialect, primary: "primary", replicas: [...new Set([...numbered, ...named])] }]
    })
  )
}

const placesOf = ({ otherwise, rules }: RoutingRules): ReadonlyArray<Place> => {
  const targets = rules.flatMap(({ route }): ReadonlyArray<Target | undefined> =>
    route._tag === "To" ? [route.target] : [...route.targets, route.otherwise]
  )
  return [...targets, otherwise === "fail" ? undefined : otherwise].flatMap((target) =>
    target === undefined || target._tag === "Deny"
      ? []
      : target._tag === "Mirrored"
      ? [target.main, target.to]
      : [target]
  )
}
