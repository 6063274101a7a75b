import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import { CurrentConnectionHooks } from "../ConnectionHooks.js"
import { CurrentConnectionPoolOptions } from "../ConnectionPool.js"
import type { PolicyInForce } from "../Explanation.js"
import * as ReadConsistency from "../ReadConsistency.js"
import { CurrentReplicaHealth } from "../ReplicaHealth.js"
import { CurrentReplicaStrategy } from "../ReplicaStrategy.js"
import { CurrentReplicationLag } from "../ReplicationLag.js"
import { CurrentRetryPolicy } from "../RetryPolicy.js"
import type { DatabasePolicies, RouterOptions } from "../RoutedSqlClient.js"
import { CurrentStatementClassifier } from "../StatementClassifier.js"
import { counted } from "./words.js"

/** What a router was built with: its options, and what `Current…` stood for then. */
export interface Given {
  readonly options: RouterOptions
  readonly context: Context.Context<never>
}

/** The policies of one Database, each with where it came from. */
export const inForce = ({ context, options }: Given, own: DatabasePolicies): ReadonlyArray<PolicyInForce> => {
  const from = <I, A>(
    policy: string,
    option: A | undefined,
    source: Context.Reference<I, A>,
    words: (value: A) => string
  ) => {
    const value = option ?? (context.unsafeMap.get(source.key) as A | undefined)
    return {
      policy,
      value: words(value ?? source.defaultValue()),
      source: option !== undefined ? "option" : value !== undefined ? "context" : "default"
    } as const
  }
  const option = <A>(policy: string, value: A | undefined, words: (value: A | undefined) => string): PolicyInForce => ({
    policy,
    value: words(value),
    source: value === undefined ? "default" : "option"
  })
  return [
    from("strategy", own.strategy ?? options.strategy, CurrentReplicaStrategy, ({ name }) => name),
    from(
      "classifier",
      options.classifier,
      CurrentStatementClassifier,
      (classifier) =>
        classifier === CurrentStatementClassifier.defaultValue() ? "with default settings" : "the program's own"
    ),
    option("rules", options.rules, (rules) => rules === undefined ? "none" : counted(rules.rules.length, "rule")),
    option("sessionState", options.sessionState, (value) => value ?? "refuse"),
    option("readOnlyReplicas", options.readOnlyReplicas, (value) => String(value ?? true)),
    option("shadow", options.shadow, (value) => String(value ?? false)),
    option("primaryReadWeight", own.primaryReadWeight ?? options.primaryReadWeight, (value) => String(value ?? 0)),
    option("transactions", options.transactions, (value) => settings(value ?? {})),
    from("health", both(own.health, options.health), CurrentReplicaHealth, settings),
    from("retry", both(own.retry, options.retry), CurrentRetryPolicy, settings),
    from("replicationLag", both(own.replicationLag, options.replicationLag), CurrentReplicationLag, settings),
    from(
      "consistency",
      options.consistency && ReadConsistency.make(options.consistency),
      ReadConsistency.CurrentReadConsistency,
      ({ granularity, level, mode }) => `level ${levelInWords(level)}, mode ${mode}, granularity ${granularity}`
    ),
    from("pool", both(own.pool, options.pool), CurrentConnectionPoolOptions, settings),
    from("hooks", options.hooks, CurrentConnectionHooks, (hooks) => names(hooks).join(", ") || "none")
  ]
}

const levelInWords = (level: ReadConsistency.Level): string =>
  level._tag === "BoundedStaleness"
    ? `boundedStaleness ${Duration.format(level.max)}`
    : level._tag.toLowerCase()

/**
 * The policies of a Database in one line, each with its source. That one was merged beside the router, instead of provided to
 * it, cannot be seen from here: it is the `default` then.
 */
export const summary = (database: string, policies: ReadonlyArray<PolicyInForce>): string =>
  `Database "${database}" is routed with ${
    policies.map(({ policy, source, value }) => `${policy}: ${value} (${source})`).join("; ")
  }`

const names = (record: object): ReadonlyArray<string> =>
  Object.entries(record).flatMap(([name, value]) => value === undefined ? [] : [name])

/** A Database's own options over the router's. */
const both = <A extends object>(own: A | undefined, shared: A | undefined): A | undefined =>
  own === undefined ? shared : { ...shared, ...own }

/** What was asked for; what a driver's own configuration asks of pools is each endpoint's. */
const settings = (options: object): string =>
  Object.entries(options).flatMap(([name, value]) => value === undefined ? [] : [`${name}${inWords(value)}`]).join(", ")
  || "default settings"

/** A schedule or a group of settings has no short form: its name is enough. */
const inWords = (value: unknown): string =>
  Duration.isDuration(value) ? ` ${Duration.format(value)}` : typeof value === "object" ? "" : ` ${String(value)}`
