import type { Dialect } from "../../Dialect.js"
import type { Field, Predicate, TableUse } from "../../RoutingRules.js"
import { and, not, or } from "../../RoutingRules.js"
import type { StatementKind, Table } from "../../StatementFacts.js"
import { knownField, valueOf } from "./field.js"
import { tableNamed } from "./names.js"

type Leaf<Tag> = Extract<Predicate, { readonly _tag: Tag }>

/** NOT at the leaves only, and no AND in an AND, nor OR in an OR. */
export const simplify = (predicate: Predicate): Predicate => {
  switch (predicate._tag) {
    case "And":
    case "Or": {
      const tag = predicate._tag
      const inner = predicate.predicates.map(simplify).flatMap((one) => one._tag === tag ? one.predicates : [one])
      return inner.length === 1 ? inner[0]! : tag === "And" ? and(...inner) : or(...inner)
    }
    case "Not": {
      const inner = predicate.predicate
      switch (inner._tag) {
        case "Not":
          return simplify(inner.predicate)
        case "And":
          return simplify(or(...inner.predicates.map(not)))
        case "Or":
          return simplify(and(...inner.predicates.map(not)))
        default:
          return predicate
      }
    }
    default:
      return predicate
  }
}

/** Kinds that are never a confirmed read. */
const writingKinds: ReadonlySet<StatementKind> = new Set<StatementKind>([
  "insert",
  "update",
  "delete",
  "replace",
  "merge",
  "truncate",
  "ddl"
])

/** Kinds whose conditions are known. */
const kindsWithConditions: ReadonlySet<StatementKind> = new Set<StatementKind>([
  "select",
  "update",
  "delete",
  "explain"
])

/**
 * Whether every statement that matches `a` matches `b`, of simplified predicates. Sound, not complete: a yes is certain.
 */
export const implies = (dialect: Dialect, a: Predicate, b: Predicate): boolean => {
  const follows = (a: Predicate, b: Predicate): boolean => {
    if (a._tag === "Or") return a.predicates.every((one) => follows(one, b))
    if (b._tag === "And") return b.predicates.every((one) => follows(a, one))
    if (b._tag === "Or") return b.predicates.some((one) => follows(a, one))
    if (a._tag === "And") return a.predicates.some((one) => follows(one, b))
    return leafFollows(dialect, a, b)
  }
  return isNever(a) || follows(a, b)
}

const leafFollows = (dialect: Dialect, a: Predicate, b: Predicate): boolean => {
  if (b._tag === "Not") {
    if (a._tag === "Not") return areEqual(dialect, a.predicate, b.predicate)
    return b.predicate._tag === "Read" && a._tag === "Kind" && a.kinds.every((kind) => writingKinds.has(kind))
  }
  switch (a._tag) {
    case "Read":
      return b._tag === "Read"
    case "Kind":
      return b._tag === "Kind" && a.kinds.every((kind) => b.kinds.includes(kind))
    case "Access":
      return b._tag === "Access" && a.access.every((access) => b.access.includes(access))
    case "Tables":
      return b._tag === "Tables" && (a.quantifier === b.quantifier || b.quantifier === "some") &&
        (a.use === b.use || (b.quantifier === "some" && isPartOf(a.use, b.use))) &&
        a.tables.every((name) => b.tables.some((other) => covers(dialect, other, name)))
    case "WhereEquals":
      return b._tag === "WhereEquals" && isSameField(dialect, a.field, b.field) && isSubset(a.values, b.values)
    case "Matching":
      return b._tag === "Matching" && a.text === b.text && String(a.regex) === String(b.regex)
    case "Fingerprint":
      return b._tag === "Fingerprint" && a.fingerprints.every((text) => b.fingerprints.includes(text))
    case "Percent":
      // Two draws at random are two draws.
      return b._tag === "Percent" && a.by !== undefined && a.percent <= b.percent && isSameKey(dialect, a, b)
    default:
      // Two functions are the same only if they are one.
      return a === b
  }
}

const areEqual = (dialect: Dialect, a: Predicate, b: Predicate): boolean =>
  leafFollows(dialect, a, b) && leafFollows(dialect, b, a)

const isPartOf = (use: TableUse, whole: TableUse): boolean => whole === "any" || (whole === "main" && use === "written")

const nameKey = (table: Table | undefined): string => JSON.stringify(table)

/** Whether one name stands for every table that another stands for. */
const covers = (dialect: Dialect, wide: string, narrow: string): boolean => {
  const [a, b] = [tableNamed(dialect, wide), tableNamed(dialect, narrow)]
  return a !== undefined && b !== undefined && a.name === b.name && (a.schema === undefined || a.schema === b.schema)
}

const isSubset = (some: Leaf<"WhereEquals">["values"], all: Leaf<"WhereEquals">["values"]): boolean => {
  const wide = new Set(all.map(valueOf))
  return some.every((value) => wide.has(valueOf(value)))
}

const isSameField = (dialect: Dialect, a: Field, b: Field): boolean => {
  const [x, y] = [knownField(dialect, a), knownField(dialect, b)]
  if (typeof x === "string" || typeof y === "string" || x.column !== y.column) return false
  const keys = (tables: ReadonlyArray<Table> | undefined) => tables?.map(nameKey).toSorted().join()
  return keys(x.tables) === keys(y.tables)
}

const isSameKey = (dialect: Dialect, a: Leaf<"Percent">, b: Leaf<"Percent">): boolean => {
  if (a.by?._tag === "Field") return b.by?._tag === "Field" && isSameField(dialect, a.by.field, b.by.field)
  return a.by?._tag === "Parameter" && b.by?._tag === "Parameter" && a.by.index === b.by.index
}

/** Choices within a rule beyond which it is not asked whether it can match. */
const mostChoices = 8

/** Whether a simplified predicate can match no statement. A yes is certain. */
export const isNever = (predicate: Predicate, choices = 0): boolean => {
  if (predicate._tag === "Or") return predicate.predicates.every((one) => isNever(one, choices))
  const parts = predicate._tag === "And" ? predicate.predicates : [predicate]
  const choice = parts.find((part): part is Leaf<"And" | "Or"> => part._tag === "Or")
  if (choice !== undefined) {
    if (choices === mostChoices) return false
    const rest = parts.filter((part) => part !== choice)
    return choice.predicates.every((one) => isNever(simplify(and(...rest, one)), choices + 1))
  }
  const excluded = parts.flatMap((part) => part._tag === "Not" ? [part.predicate] : [])
  const kinds = common<StatementKind>(
    parts.flatMap((part) => part._tag === "Kind" ? [part.kinds] : []),
    excluded.flatMap((part) => part._tag === "Kind" ? part.kinds : [])
  )
  const accesses = common(
    parts.flatMap((part) => part._tag === "Access" ? [part.access] : []),
    excluded.flatMap((part) => part._tag === "Access" ? part.access : [])
  )
  const isRead = parts.some((part) => part._tag === "Read")
  return kinds?.length === 0 || accesses?.length === 0 ||
    (isRead && excluded.some((part) => part._tag === "Read")) ||
    (isRead && kinds !== undefined && kinds.every((kind) => writingKinds.has(kind))) ||
    (isRead && accesses !== undefined && !accesses.includes("read")) ||
    (kinds !== undefined && parts.some((part) => part._tag === "WhereEquals") &&
      !kinds.some((kind) => kindsWithConditions.has(kind)))
}

/** What several lists have in common, without what is excluded; `undefined` if there is no list. */
const common = <A>(lists: ReadonlyArray<ReadonlyArray<A>>, excluded: ReadonlyArray<A>): ReadonlyArray<A> | undefined =>
  lists.length === 0
    ? undefined
    : lists.reduce((a, b) => a.filter((one) => b.includes(one))).filter((one) => !excluded.includes(one))
