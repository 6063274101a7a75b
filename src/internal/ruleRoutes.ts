import * as Context from "effect/Context"
import * as FiberRef from "effect/FiberRef"
import type { Decision, Get, RuleContext } from "../RoutingRules.js"
import type { Deny, Mirrored, Place } from "../Target.js"
import type { Fiber } from "./compat.js"
import { nowMillis } from "./compat.js"
import type { Route } from "./plan.js"
import type { Destination, Rules } from "./router.js"
import type { CompiledRules } from "./rules/compile.js"
import type { Runner } from "./run.js"

/** What compiled rules decide, as destinations; one for each decision, so that plans can be kept by it. */
export const make = (
  compiled: CompiledRules,
  main: Runner,
  runners: ReadonlyMap<string, Runner>,
  random: () => number
): Rules => {
  const destinations = new WeakMap<Decision, Destination>()

  const routeTo = (rule: string, place: Place): Destination => ({
    // The rules were checked against these Databases.
    runner: place.database === undefined ? main : runners.get(place.database)!,
    route: routeOf(rule, place),
    mirror: undefined
  })
  const destinationOf = ({ by, rule, target }: Decision): Destination => {
    switch (target._tag) {
      case "Deny":
        return {
          runner: main,
          route: routeOf(rule, target, by === "nothing" ? "noRoute" : "denied"),
          mirror: undefined
        }
      case "Mirrored":
        return { ...routeTo(rule, target.main), mirror: mirrorOf(rule, target) }
      default:
        return routeTo(rule, target)
    }
  }
  const withPolicies = (decision: Decision): Destination => {
    const destination = destinationOf(decision)
    const { consistency, strategy } = decision
    return consistency === undefined && strategy === undefined
      ? destination
      : { ...destination, route: { ...destination.route, consistency, strategy } }
  }
  const mirrorOf = (rule: string, { percent, to }: Mirrored) => {
    const { route, runner } = routeTo(`${rule}, mirrored`, to)
    return { runner, route, share: percent / 100 }
  }
  const resolve = (decision: Decision): Destination => {
    let destination = destinations.get(decision)
    if (destination === undefined) destinations.set(decision, destination = withPolicies(decision))
    return destination
  }

  return {
    decide: (facts, sql, params, fiber) =>
      resolve(
        compiled.decide(facts, sql, params, compiled.dependsOn === "context" ? contextOf(fiber, random) : nothing)
      ),
    trace: (facts, sql, params, fiber) => compiled.trace(facts, sql, params, contextOf(fiber, random))
  }
}

/** The way to a target within its Database. */
export const routeOf = (
  rule: string,
  target: Place | Deny,
  reason: "denied" | "noRoute" = "denied"
): Route => {
  const route = { rule, role: "auto", endpoint: undefined, deny: undefined, strategy: undefined } as const
  switch (target._tag) {
    case "Database":
      return { ...route, role: target.role }
    case "Endpoint":
      return { ...route, endpoint: target.endpoint }
    case "Deny":
      return { ...route, deny: { reason, message: target.message } }
  }
}

/** For rules that ask for nothing beyond statement and parameters. */
const nothing: RuleContext = { now: 0, random: () => 0, get: unasked }

function unasked(): never {
  throw new Error("rules that do not depend on the context have asked for it")
}

/** What rules may ask the fiber. */
export const contextOf = (fiber: Fiber, random: () => number): RuleContext => ({
  now: nowMillis(fiber),
  random,
  get: readerOf(fiber)
})

const readerOf = (fiber: Fiber): Get => (source) =>
  FiberRef.FiberRefTypeId in source
    ? fiber.getFiberRef(source)
    : Context.get(fiber.currentContext as Context.Context<never>, source)
