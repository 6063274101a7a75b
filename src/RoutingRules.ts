/**
 * Rules that say where a statement goes: ordered, the first that matches wins, pure, and checked when the Layer is built.
 *
 * A rule is a predicate over what is known of a statement, and a {@link Target}. A predicate answers yes, no or *not
 * known*, and a rule matches on yes only: what cannot be proved of a statement neither matches a rule nor its negation.
 *
 * A text with several statements matches a rule only if each of them does, and is never a confirmed read; what its
 * parameters belong to is not known. A rule that denies matches such a text if any of its statements does, so that no guard
 * is passed by company.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as FiberRef from "effect/FiberRef"
import type { Level } from "./internal/consistency/level.js"
import { fractionOf } from "./internal/rules/hash.js"
import type { ReplicaStrategy } from "./ReplicaStrategy.js"
import type { Access, StatementFacts, StatementKind } from "./StatementFacts.js"
import { render, type Target } from "./Target.js"

/**
 * A value that a column is compared with. Values are compared exactly and by type: `5` is `5n`, but neither is `"5"`, and
 * `"us"` is not `"US"`, whatever the collation of the column. So give the value in the column's type, and each form
 * that your program sends: `["5", 5]`.
 *
 * @since 0.1.0
 * @category models
 */
export type Value = string | number | bigint | boolean

/**
 * Names of tables: `orders`, `shop.orders`, `"Shop"."Orders"`, `` `orders` ``, `[orders]`. Names are compared as the dialect
 * does it: PostgreSQL folds bare ones, SQLite all. Whether MySQL takes `Orders` for `orders` depends on the server, so it is
 * not known. A name without schema stands for the table in any schema.
 *
 * @since 0.1.0
 * @category models
 */
export type Tables = string | ReadonlyArray<string>

/**
 * What reads a value of the fiber: a `Context.Reference` or a `FiberRef`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Get {
  <I, A>(source: Context.Reference<I, A> | FiberRef.FiberRef<A>): A
}

/**
 * What a decision may depend on beside the statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleContext {
  /** Milliseconds since 1970, by Effect's Clock. */
  readonly now: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly get: Get
}

/**
 * What a predicate of your own sees. Of a text with several statements it sees each one's facts, and the whole text.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleInput extends RuleContext {
  readonly facts: StatementFacts
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * The tables a predicate looks at: those that are `read`, those that are `written`, the `main` ones (written, or read where
 * none is written), or `any`.
 *
 * @since 0.1.0
 * @category models
 */
export type TableUse = "read" | "written" | "main" | "any"

/**
 * A column, and the tables that have it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Field {
  /** `tenant_id`, `orders.tenant_id`, `shop.orders."Tenant"`. */
  readonly name: string
  /** `undefined` for the table that qualifies the name, or else every table of the statement. */
  readonly tables: ReadonlyArray<string> | undefined
}

/**
 * What a statement must be like: plain data, but for the functions in it.
 *
 * @since 0.1.0
 * @category models
 */
export type Predicate =
  & { readonly description: string }
  & (
    | { readonly _tag: "And" | "Or"; readonly predicates: ReadonlyArray<Predicate> }
    | { readonly _tag: "Not"; readonly predicate: Predicate }
    | { readonly _tag: "Read" }
    | { readonly _tag: "Kind"; readonly kinds: ReadonlyArray<StatementKind> }
    | { readonly _tag: "Access"; readonly access: ReadonlyArray<Access> }
    | {
      readonly _tag: "Tables"
      readonly quantifier: "some" | "every"
      readonly use: TableUse
      readonly tables: ReadonlyArray<string>
    }
    | { readonly _tag: "WhereEquals"; readonly field: Field; readonly values: ReadonlyArray<Value> }
    | { readonly _tag: "Matching"; readonly regex: RegExp; readonly text: "normalised" | "raw" }
    | { readonly _tag: "Fingerprint"; readonly fingerprints: ReadonlyArray<string> }
    | { readonly _tag: "Context"; readonly test: (get: Get) => boolean }
    | { readonly _tag: "Time"; readonly test: (now: number) => boolean }
    | { readonly _tag: "Percent"; readonly percent: number; readonly by: PercentKey | undefined }
    | { readonly _tag: "Custom"; readonly test: (input: RuleInput) => boolean }
  )

/**
 * What decides on a share: the value of a field, or of a parameter, whose index counts from 0.
 *
 * @since 0.1.0
 * @category models
 */
export type PercentKey =
  | { readonly _tag: "Field"; readonly field: Field }
  | { readonly _tag: "Parameter"; readonly index: number }

/**
 * How a rule comes to its target: always the same, or by a value of the statement or of the fiber. Only the `targets`
 * declared may be chosen, for these are what is checked when the Layer is built.
 *
 * @since 0.1.0
 * @category models
 */
export type Route<Database extends string = string> =
  | { readonly _tag: "To"; readonly target: Target<Database> }
  | {
    readonly _tag: "ByField"
    readonly field: Field
    readonly choose: (value: Value) => Target<Database> | undefined
    readonly targets: ReadonlyArray<Target<Database>>
    readonly otherwise: Target<Database> | undefined
  }
  | {
    readonly _tag: "ByContext"
    readonly choose: (get: Get) => Target<Database> | undefined
    readonly targets: ReadonlyArray<Target<Database>>
    readonly otherwise: Target<Database> | undefined
  }

/**
 * One rule. The type parameter is the union of the Database names in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule<Database extends string = string> {
  /** `undefined`: named by its number and what it says, as in `rule 3: insert into orders → archive`. */
  readonly name: string | undefined
  readonly description: string
  readonly predicate: Predicate
  readonly route: Route<Database>
  readonly strategy: ReplicaStrategy | undefined
  readonly consistency: Level | undefined
}

/**
 * Rules in order, and what happens to a statement that none of them matches. The type parameter is the union of the Database
 * names in them, so that a Layer can check them against its Databases.
 *
 * @since 0.1.0
 * @category models
 */
export interface RoutingRules<Database extends string = string> {
  readonly rules: ReadonlyArray<Rule<Database>>
  readonly otherwise: Target<Database> | "fail"
}

/**
 * Where a statement goes, and which rule said so. There is one value for each rule and target, so that what follows from it
 * can be kept by identity.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decision {
  /** The rule's name; `otherwise` where none matched. */
  readonly rule: string
  /** Counts from 1; `undefined` where no rule matched. */
  readonly number: number | undefined
  /** `nothing`: no rule matched, and the rules say that this fails. `failure`: the rule's own function threw, or chose a
   * target that it does not declare. In both cases the target denies. */
  readonly by: "rule" | "otherwise" | "nothing" | "failure"
  readonly target: Target
  /** Of the rule. */
  readonly strategy: ReplicaStrategy | undefined
  readonly consistency: Level | undefined
}

/**
 * What one rule had to say about a statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleTrace {
  readonly rule: string
  readonly number: number
  readonly matched: boolean
  readonly why: string
}

/**
 * What is wrong, or seems to be, with the rules.
 *
 * @since 0.1.0
 * @category models
 */
export interface LintFinding {
  /** An error fails the Layer, a warning is logged. */
  readonly severity: "error" | "warning"
  /** Counts from 1; `undefined` where it is not about one rule. */
  readonly number: number | undefined
  readonly rule: string
  readonly reason: string
}

/**
 * What a rule has beside its predicate and target.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleOptions {
  /** Shown in plans, spans and errors. Default: number and description, as in `rule 3: insert into orders → archive`. */
  readonly name?: string | undefined
  /** Which replica takes the reads of the rule. Default: the strategy of their Database. */
  readonly strategy?: ReplicaStrategy | undefined
  /** How fresh the reads of the rule must be. Default: the level of the router; `withLevel` comes before both. */
  readonly consistency?: Level | undefined
}

const policiesOf = ({ consistency, name, strategy }: RuleOptions = {}) => ({ name, strategy, consistency })

/**
 * Rules in order; the first that matches wins.
 *
 * A statement that none matches goes to `otherwise`, by default a replica of the default Database for confirmed reads and
 * its primary for everything else; with `"fail"` it fails.
 *
 * @example
 * ```ts
 * import { RoutingRules, Target } from "effect-sql-router"
 *
 * const rules = RoutingRules.make([
 *   RoutingRules.truncate(Target.deny("Nothing is truncated here")),
 *   RoutingRules.read("invoices", Target.database("reporting")),
 *   RoutingRules.rule(
 *     RoutingRules.and(RoutingRules.isRead, RoutingRules.whereEquals("region", ["eu", "uk"])),
 *     Target.database("europe", "replica")
 *   )
 * ])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Database extends string = never, Otherwise extends string = never>(
  rules: ReadonlyArray<Rule<Database>>,
  options?: { readonly otherwise?: Target<Otherwise> | "fail" | undefined }
): RoutingRules<Database | Otherwise> => ({
  rules,
  otherwise: options?.otherwise ?? { _tag: "Database", database: undefined, role: "auto" }
})

/**
 * A rule from any predicate.
 *
 * @since 0.1.0
 * @category rules
 */
export const rule = <Database extends string = never>(
  predicate: Predicate,
  target: Target<Database>,
  options?: RuleOptions
): Rule<Database> => ({
  ...policiesOf(options),
  description: `${predicate.description} → ${render(target)}`,
  predicate,
  route: { _tag: "To", target }
})

/**
 * The rule of a verb: for any table, or for statements that concern at least one of those named.
 *
 * @since 0.1.0
 * @category models
 */
export interface VerbRule {
  <Database extends string = never>(target: Target<Database>, options?: RuleOptions): Rule<Database>
  <Database extends string = never>(tables: Tables, target: Target<Database>, options?: RuleOptions): Rule<Database>
}

const list = <A>(values: A | ReadonlyArray<A>): ReadonlyArray<A> => Array.isArray(values) ? values : [values as A] // `isArray` does not see that A is no array

const isTables = (u: unknown): u is Tables => typeof u === "string" || Array.isArray(u)

const verbRule =
  (verb: string, before: string, use: TableUse, predicate: () => Predicate): VerbRule =>
  <Database extends string>(
    ...args:
      | readonly [target: Target<Database>, options?: RuleOptions | undefined]
      | readonly [tables: Tables, target: Target<Database>, options?: RuleOptions | undefined]
  ): Rule<Database> => {
    const isOfTables = isTables(args[0])
    // The overloads tell which argument is which; the compiler does not narrow a tuple by its first element's type.
    const target = (isOfTables ? args[1] : args[0]) as Target<Database>
    const options = (isOfTables ? args[2] : args[1]) as RuleOptions | undefined
    const names = isOfTables ? list(args[0] as Tables) : undefined
    const description = names === undefined ? verb : `${verb}${before} ${names.join(", ")}`
    return {
      ...rule(names === undefined ? predicate() : and(predicate(), tables.some(names, use)), target, options),
      description: `${description} → ${render(target)}`
    }
  }

/**
 * Confirmed reads, of any table or of at least one of some.
 *
 * @since 0.1.0
 * @category rules
 */
export const read: VerbRule = verbRule("read", "", "read", () => isRead)

/**
 * Everything that is not a confirmed read: writes, locks, what the session keeps, and what is not recognised. With tables:
 * those that it writes, or reads where it writes none.
 *
 * @since 0.1.0
 * @category rules
 */
export const write: VerbRule = verbRule("write", "", "main", () => not(isRead))

/**
 * Queries by their verb: SELECT, VALUES, TABLE; also those that lock or write, unless the target is a replica.
 *
 * @since 0.1.0
 * @category rules
 */
export const select: VerbRule = verbRule("select", " from", "read", () => kind("select", "values"))

/**
 * INSERT, with its conflict clauses.
 *
 * @since 0.1.0
 * @category rules
 */
export const insert: VerbRule = verbRule("insert", " into", "written", () => kind("insert"))

/**
 * UPDATE.
 *
 * @since 0.1.0
 * @category rules
 */
export const update: VerbRule = verbRule("update", "", "written", () => kind("update"))

const delete_: VerbRule = verbRule("delete", " from", "written", () => kind("delete"))

export {
  /**
   * DELETE.
   *
   * @since 0.1.0
   * @category rules
   */
  delete_ as delete
}

/**
 * MERGE.
 *
 * @since 0.1.0
 * @category rules
 */
export const merge: VerbRule = verbRule("merge", " into", "written", () => kind("merge"))

/**
 * REPLACE, of MySQL and SQLite.
 *
 * @since 0.1.0
 * @category rules
 */
export const replace: VerbRule = verbRule("replace", " into", "written", () => kind("replace"))

/**
 * TRUNCATE.
 *
 * @since 0.1.0
 * @category rules
 */
export const truncate: VerbRule = verbRule("truncate", "", "written", () => kind("truncate"))

/**
 * CREATE, ALTER, DROP and their like.
 *
 * @since 0.1.0
 * @category rules
 */
export const ddl: VerbRule = verbRule("ddl", " of", "main", () => kind("ddl"))

/**
 * Everything that is neither a query, nor changes rows or definitions: SET, SHOW, EXPLAIN, COPY, CALL, LOCK, VACUUM, BEGIN, …
 *
 * @since 0.1.0
 * @category rules
 */
export const utility: VerbRule = verbRule("utility", " of", "main", () =>
  kind(
    "transaction",
    "set",
    "show",
    "explain",
    "copy",
    "call",
    "lock",
    "prepare",
    "execute",
    "cursor",
    "notify",
    "maintenance",
    "pragma",
    "attach",
    "admin"
  ))

/**
 * A choice among several targets.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChoiceOptions<Database extends string> extends RuleOptions {
  /** Every target that may be chosen: they are checked when the Layer is built, and no other can be chosen. */
  readonly targets: ReadonlyArray<Target<Database>>
  /** Where a statement goes for which there is no choice. Default: the rule does not match it. */
  readonly otherwise?: Target<Database> | undefined
}

/**
 * The choice of a target by the value that a field has in all rows the statement concerns, as {@link whereEquals} finds it.
 *
 * The rule is asked about every statement that uses a table with the field. One that concerns several values goes where all
 * of them go; one that may concern other rows, or a value for which nothing is chosen, has no choice and goes to
 * `otherwise`. Statements that use no such table are left to the rules below. An INSERT goes by the field's value in its
 * rows where its text names the columns and the values are literals or bound parameters; where they come from a SELECT or
 * the table's defaults, choose its target by the fiber, with {@link byContext}.
 *
 * @example
 * ```ts
 * import { RoutingRules, Target } from "effect-sql-router"
 *
 * const shards = [Target.database("shard0"), Target.database("shard1")] as const
 * const rules = RoutingRules.make([
 *   RoutingRules.byField("tenant_id", (tenant) => shards[RoutingRules.bucket(tenant, shards.length)], {
 *     targets: shards,
 *     otherwise: Target.deny("Name the tenant: WHERE tenant_id = …")
 *   })
 * ])
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const byField = <Database extends string = never>(
  field: string,
  choose: (value: Value) => Target<NoInfer<Database>> | undefined,
  options: ChoiceOptions<Database> & FieldOptions
): Rule<Database> => ({
  ...policiesOf(options),
  description: `by ${field}`,
  predicate: always,
  route: {
    _tag: "ByField",
    field: fieldOf(field, options),
    choose,
    targets: options.targets,
    otherwise: options.otherwise
  }
})

/**
 * The choice of a target by a value of the fiber: the tenant of a request, for instance. The rule is asked about every
 * statement.
 *
 * @example
 * ```ts
 * import { Context } from "effect"
 * import { RoutingRules, Target } from "effect-sql-router"
 *
 * class Tenant extends Context.Reference<Tenant>()("Tenant", { defaultValue: () => "" }) {}
 *
 * const shards = [Target.database("shard0"), Target.database("shard1")] as const
 * const rules = RoutingRules.make([
 *   RoutingRules.byContext(Tenant, (tenant) =>
 *     tenant === "" ? undefined : shards[RoutingRules.bucket(tenant, shards.length)], { targets: shards })
 * ])
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const byContext = <I, A, Database extends string = never>(
  source: Context.Reference<I, A> | FiberRef.FiberRef<A>,
  choose: (value: A) => Target<NoInfer<Database>> | undefined,
  options: ChoiceOptions<Database>
): Rule<Database> => ({
  ...policiesOf(options),
  description: `by ${nameOf(source)}`,
  predicate: always,
  route: {
    _tag: "ByContext",
    choose: (get) => choose(get(source)),
    targets: options.targets,
    otherwise: options.otherwise
  }
})

const nameOf = <I, A>(source: Context.Reference<I, A> | FiberRef.FiberRef<A>): string =>
  "key" in source ? source.key : "a fiber local"

/**
 * A stable number from 0 to `count - 1` for a value; `5`, `5n` and `"5"` have the same.
 *
 * Algorithm: FNV-1a over UTF-16 code units, with the finalizer of MurmurHash3.
 *
 * @since 0.1.0
 * @category hashing
 */
export const bucket = (value: Value, count: number): number => Math.floor(fractionOf(value) * count)

const parenthesised = (predicate: Predicate): string =>
  (predicate._tag === "And" || predicate._tag === "Or") && predicate.predicates.length > 1
    ? `(${predicate.description})`
    : predicate.description

/**
 * All of them; of none, always.
 *
 * @since 0.1.0
 * @category predicates
 */
export const and = (...predicates: ReadonlyArray<Predicate>): Predicate => ({
  _tag: "And",
  description: predicates.length === 0 ? "always" : predicates.map(parenthesised).join(" and "),
  predicates
})

/**
 * At least one of them; of none, never.
 *
 * @since 0.1.0
 * @category predicates
 */
export const or = (...predicates: ReadonlyArray<Predicate>): Predicate => ({
  _tag: "Or",
  description: predicates.length === 0 ? "never" : predicates.map(parenthesised).join(" or "),
  predicates
})

/**
 * The contrary; where the predicate's answer is not known, neither is this.
 *
 * @since 0.1.0
 * @category predicates
 */
export const not = (predicate: Predicate): Predicate => ({
  _tag: "Not",
  description: `not ${parenthesised(predicate)}`,
  predicate
})

/**
 * Every statement.
 *
 * @since 0.1.0
 * @category predicates
 */
export const always: Predicate = and()

/**
 * Confirmed reads: what a replica may run.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isRead: Predicate = { _tag: "Read", description: "read" }

/**
 * Statements of these kinds, by their verb.
 *
 * @since 0.1.0
 * @category predicates
 */
export const kind = (...kinds: ReadonlyArray<StatementKind>): Predicate => ({
  _tag: "Kind",
  description: `kind ${kinds.join(" or ")}`,
  kinds
})

/**
 * Statements that do this to the data or the session.
 *
 * @since 0.1.0
 * @category predicates
 */
export const access = (...access: ReadonlyArray<Access>): Predicate => ({
  _tag: "Access",
  description: `access ${access.join(" or ")}`,
  access
})

const tablesPredicate = (quantifier: "some" | "every") => (names: Tables, use: TableUse = "any"): Predicate => ({
  _tag: "Tables",
  description: `${quantifier === "some" ? "" : "no other than "}table ${list(names).join(" or ")}${
    use === "any" || use === "main" ? "" : ` is ${use}`
  }`,
  quantifier,
  use,
  tables: list(names)
})

/**
 * Predicates over the tables of a statement: joined ones, those in WITH and in subqueries too. `some`: at least one of those
 * named is used; `every`: at least one is used, and none that is not named.
 *
 * @since 0.1.0
 * @category predicates
 */
export const tables: {
  readonly some: (names: Tables, use?: TableUse) => Predicate
  readonly every: (names: Tables, use?: TableUse) => Predicate
} = {
  some: tablesPredicate("some"),
  every: tablesPredicate("every")
}

/**
 * Which tables have a field.
 *
 * @since 0.1.0
 * @category models
 */
export interface FieldOptions {
  /** The tables that have the field; others, such as small tables that every shard has, are not asked for it. Default: the
   * table that qualifies the field's name, or else every table of the statement. */
  readonly tables?: Tables | undefined
}

const fieldOf = (name: string, options: FieldOptions | undefined): Field => ({
  name,
  tables: options?.tables === undefined ? undefined : list(options.tables)
})

/**
 * The statement concerns only rows in which the field has one of these values.
 *
 * It holds for a SELECT, UPDATE or DELETE whose WHERE says so with `=` or IN, of literals or bound parameters, for every
 * table it uses: a joined table needs its own condition, and so does each use of a table in a subquery, where it is not
 * looked for. For `orders.tenant_id`, or with `tables`, only these tables are asked. It holds for an INSERT with a list of
 * columns whose rows all have such a value in it, unless it may change other rows (ON CONFLICT DO UPDATE and its like). The
 * negation holds where it is proved that no row with one of the values is concerned.
 *
 * Not seen are rows that views, triggers, cascades and functions touch, and values that UPDATE sets. MySQL compares a
 * string column with a number loosely (`name = 0` is true of most names): give values of the column's type.
 *
 * @since 0.1.0
 * @category predicates
 */
export const whereEquals = (
  field: string,
  values: Value | ReadonlyArray<Value>,
  options?: FieldOptions
): Predicate => ({
  _tag: "WhereEquals",
  description: list(values).length === 1
    ? `${field} = ${inWords(list(values)[0]!)}`
    : `${field} in (${list(values).map(inWords).join(", ")})`,
  field: fieldOf(field, options),
  values: list(values)
})

const inWords = (value: Value): string => typeof value === "string" ? `'${value}'` : String(value)

/**
 * The text matches: the `normalised` one (`facts.fingerprint`: without comments, `?` for values, words in lower case), or the
 * `raw` one as it is sent, comments, literals and all.
 *
 * Patterns that can never match, or that may take exponential time, fail when the Layer is built.
 *
 * @since 0.1.0
 * @category predicates
 */
export const matching = (
  regex: RegExp,
  options?: { readonly text?: "normalised" | "raw" | undefined }
): Predicate => ({
  _tag: "Matching",
  description: `${options?.text === "raw" ? "raw text" : "text"} matches ${String(regex)}`,
  // A global expression remembers where it last matched.
  regex: new RegExp(regex.source, regex.flags.replace("g", "")),
  text: options?.text ?? "normalised"
})

/**
 * The statement is one of these, whatever its values: the fingerprints are those of `StatementFacts`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const fingerprint = (...fingerprints: ReadonlyArray<string>): Predicate => ({
  _tag: "Fingerprint",
  description: `fingerprint ${
    fingerprints.map((text) => text.length > 40 ? `${text.slice(0, 39)}…` : text).join(" or ")
  }`,
  fingerprints
})

/**
 * A value of the fiber that runs the statement passes a test: a `Context.Reference` or a `FiberRef`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const context = <I, A>(
  source: Context.Reference<I, A> | FiberRef.FiberRef<A>,
  test: (value: A) => boolean,
  options?: {
    /** Default: the key of the reference. */
    readonly name?: string | undefined
  }
): Predicate => ({
  _tag: "Context",
  description: `context ${options?.name ?? nameOf(source)}`,
  test: (get) => test(get(source))
})

/**
 * The time passes a test: milliseconds since 1970, by Effect's Clock.
 *
 * @since 0.1.0
 * @category predicates
 */
export const time = (name: string, test: (now: number) => boolean): Predicate => ({
  _tag: "Time",
  description: `time ${name}`,
  test
})

/**
 * A share of the statements, from 0 to 100: at random for each one, or by the value of a field or a parameter (whose index
 * counts from 0), so that the same value always falls on the same side, and stays in as the share grows.
 *
 * @since 0.1.0
 * @category predicates
 */
export const percent = (
  percent: number,
  options?: { readonly by: ({ readonly field: string } & FieldOptions) | { readonly parameter: number } }
): Predicate => {
  const by = options?.by
  const key: PercentKey | undefined = by === undefined
    ? undefined
    : "field" in by
    ? { _tag: "Field", field: fieldOf(by.field, by) }
    : { _tag: "Parameter", index: by.parameter }
  const words = by === undefined ? "" : "field" in by ? ` by ${by.field}` : ` by parameter ${by.parameter}`
  return { _tag: "Percent", description: `${percent} %${words}`, percent, by: key }
}

/**
 * A test of your own: pure and quick, since it runs for every statement that comes to it. A test that throws fails the
 * statement.
 *
 * @since 0.1.0
 * @category predicates
 */
export const custom = (name: string, test: (input: RuleInput) => boolean): Predicate => ({
  _tag: "Custom",
  description: name,
  test
})
