import type * as Tracer from "effect/Tracer"
import type { Plan, Refusal } from "../Plan.js"
import { currentCapture } from "../RouteDecision.js"
import type { RuleTrace } from "../RoutingRules.js"
import type { StatementClassifier } from "../StatementClassifier.js"
import type { StatementFacts } from "../StatementFacts.js"
import type { Call } from "./call.js"
import type { Fiber } from "./compat.js"
import { sessionOf } from "./consistency/current.js"
import type { Events } from "./events.js"
import * as FiberSettings from "./fiberSettings.js"
import type { Mirror } from "./mirror.js"
import type { Route } from "./plan.js"
import { defaultRoute } from "./plan.js"
import type { Runner } from "./run.js"
import type { Shadow } from "./shadow.js"
import type { Transactions } from "./transactions.js"
import { quoted } from "./words.js"

/** Where a statement goes: the Database, and the route within it. */
export interface Destination {
  readonly runner: Runner
  readonly route: Route
  /** Where a share of the confirmed reads runs a second time. */
  readonly mirror: (Omit<Destination, "mirror"> & { readonly share: number }) | undefined
}

/** What decides on a destination where the program has not: the rules. */
export interface Rules {
  readonly decide: (
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber
  ) => Destination
  /** What each rule says of a statement. */
  readonly trace: (
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber
  ) => ReadonlyArray<RuleTrace>
}

/** Whose statements they are: a client's. */
export interface Origin {
  /** Of the Database that statements go to where nobody says otherwise. */
  readonly home: Runner
  /** A client of a named Database keeps to it. */
  readonly followsRules: boolean
  /** Where all of them go within the home Database, whatever rules and fibers say. */
  readonly route: Route | undefined
}

export interface RouterOptions {
  readonly classifier: StatementClassifier
  readonly main: Runner
  readonly runners: ReadonlyMap<string, Runner>
  readonly transactions: Transactions
  readonly rules: Rules | undefined
  readonly mirror: Mirror
  readonly events: Events
  /** Records what would go to replicas, while the primaries serve everything. */
  readonly shadow: Shadow | undefined
}

/** Finds the Database of each statement, and its plan there. */
export class Router {
  readonly transactions: Transactions
  readonly mirror: Mirror
  readonly events: Events

  constructor(private readonly options: RouterOptions) {
    this.transactions = options.transactions
    this.mirror = options.mirror
    this.events = options.events
  }

  get runners(): ReadonlyMap<string, Runner> {
    return this.options.runners
  }

  /** What is to happen with a text; inside a transaction it runs where that runs, if it may run at all. */
  callFor(
    { followsRules, home, route: fixedRoute }: Origin,
    sql: string,
    params: ReadonlyArray<unknown>,
    span: Tracer.Span | undefined,
    fiber: Fiber,
    inTransaction: boolean
  ): Call {
    const { events, shadow } = this.options
    const rules = followsRules ? this.options.rules : undefined
    const settings = FiberSettings.of(fiber)
    const facts = this.options.classifier.classify(home.database.driver.dialect, sql)
    let runner = home
    let plan: Plan
    let route: Route | undefined = inTransaction ? undefined : fixedRoute ?? defaultRoute
    let mirror: Destination["mirror"]
    const isFree = settings.database === undefined && settings.route === undefined && rules === undefined
    if (isFree || fixedRoute !== undefined) {
      const { planner } = home.database
      plan = route === undefined ? planner.inside(facts) : planner.plan(facts, route)
    } else {
      const destination = this.destination(home, rules, facts, sql, params, settings, fiber)
      if ("refusal" in destination) plan = destination
      else {
        runner = destination.runner
        if (!inTransaction) route = destination.route
        const { planner } = runner.database
        plan = planner.plan(facts, destination.route)
        if (inTransaction) {
          if (plan.refusal === undefined || !holdsInTransactions[plan.refusal.reason]) plan = planner.inside(facts)
        } else if (facts.replicaSafe && shadow === undefined) mirror = destination.mirror
      }
    }
    const isLoose = !inTransaction && plan.refusal === undefined
    const fresh = isLoose && shadow === undefined && plan.access === "readOnly"
      ? runner.freshness.ofRead(fiber, settings, facts, plan, route)
      : undefined
    const note = isLoose && plan.access === "readWrite"
      ? runner.freshness.ofStatement(fiber, settings, facts)
      : undefined
    if (shadow !== undefined && !inTransaction) plan = shadow.planOf(plan, runner.database.primary.name)
    return {
      sql,
      facts,
      runner,
      plan,
      fresh,
      note,
      route,
      shadow: inTransaction ? undefined : shadow,
      settings,
      session: plan.access === "readOnly" ? sessionOf(fiber) : undefined,
      span,
      mirror,
      capture: settings.quiet ? undefined : fiber.getFiberRef(currentCapture),
      isHeard: events.isHeard && !settings.quiet,
      server: undefined,
      decision: undefined,
      tally: events.tally
    }
  }

  /** Whether a text, run on a connection that is held, leaves its session changed. */
  leavesSession({ home }: Origin, sql: string): boolean {
    const { driver, planner } = home.database
    return planner.inside(this.options.classifier.classify(driver.dialect, sql)).leavesSession
  }

  /** What each rule says of a statement; nothing where rules are not asked. */
  trace(
    { followsRules }: Origin,
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    fiber: Fiber
  ): ReadonlyArray<RuleTrace> {
    const { rules } = this.options
    const { database, route } = FiberSettings.of(fiber)
    return rules === undefined || !followsRules || database !== undefined || route !== undefined
      ? []
      : rules.trace(facts, sql, params, fiber)
  }

  private destination(
    home: Runner,
    rules: Rules | undefined,
    facts: StatementFacts,
    sql: string,
    params: ReadonlyArray<unknown>,
    { database, route }: FiberSettings.FiberSettings,
    fiber: Fiber
  ): Destination | Plan {
    const { main, runners } = this.options
    if (database === undefined && route === undefined) return rules!.decide(facts, sql, params, fiber)
    const runner = database === undefined ? home : runners.get(database)
    if (runner === undefined) {
      return unknownTarget(home, `There is no database "${database}": known are ${quoted(runners.keys())}.`)
    }
    if (route === undefined) return { runner, route: defaultRoute, mirror: undefined }
    const { endpoint } = route
    if (endpoint === undefined || runner.database.has(endpoint)) return { runner, route, mirror: undefined }
    const others = database === undefined && home === main
      ? Array.from(runners.values()).filter((_) => _.database.has(endpoint))
      : []
    if (others.length === 1) return { runner: others[0]!, route, mirror: undefined }
    return unknownTarget(
      home,
      others.length === 0
        ? `There is no endpoint "${endpoint}" in database "${runner.database.name}": known are ${
          quoted(runner.database.servers.map((_) => _.name))
        }.`
        : `Several databases have an endpoint "${endpoint}" (${quoted(others.map((_) => _.database.name))}): `
          + "say which one by withDatabase."
    )
  }
}

/** Whether a statement is refused inside a transaction as well. */
const holdsInTransactions: { readonly [reason in Refusal["reason"]]: boolean } = {
  denied: true,
  noRoute: true,
  writeOnReplica: true,
  unknownTarget: true,
  sessionState: false,
  unavailable: false
}

const unknownTarget = ({ database: { name } }: Runner, message: string): Plan => ({
  database: name,
  rule: "an override",
  reason: "refused",
  candidates: [],
  excluded: [],
  access: "readWrite",
  retry: "never",
  leavesSession: false,
  refusal: { reason: "unknownTarget", message }
})
