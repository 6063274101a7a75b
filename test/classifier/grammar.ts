import * as fc from "fast-check"

/** What a dialect's statements are made of. In calls, `$` stands for an expression. */
export interface Pieces {
  readonly literals: ReadonlyArray<string>
  readonly columns: ReadonlyArray<string>
  readonly tables: ReadonlyArray<string>
  readonly operators: ReadonlyArray<string>
  readonly calls: ReadonlyArray<string>
  /** Expressions with an effect, or of the session. */
  readonly effects: ReadonlyArray<string>
  /** After a whole select. */
  readonly tails: ReadonlyArray<string>
  /** Between CTE name and query. */
  readonly materialized: ReadonlyArray<string>
  /** What a CTE may hold beside a query. */
  readonly writes: ReadonlyArray<string>
  /** Before a statement. */
  readonly prefixes: ReadonlyArray<string>
  /** Whole statements. */
  readonly statements: ReadonlyArray<string>
  /** Fragments that a mutation puts somewhere. */
  readonly poison: ReadonlyArray<string>
  readonly comments: ReadonlyArray<string>
}

const of = (texts: ReadonlyArray<string>): fc.Arbitrary<string> => fc.constantFrom(...texts)

const joined = (...parts: ReadonlyArray<fc.Arbitrary<string>>): fc.Arbitrary<string> =>
  fc.tuple(...parts).map((texts) => texts.filter((text) => text !== "").join(" "))

const optionally = (part: fc.Arbitrary<string>, weight = 5): fc.Arbitrary<string> =>
  fc.oneof({ weight: 10, arbitrary: fc.constant("") }, { weight, arbitrary: part })

/** Statements of a dialect, most of them reads. */
export const statements = (pieces: Pieces): fc.Arbitrary<string> => {
  const { query } = fc.letrec<{ expression: string; query: string; select: string; relation: string; cte: string }>(
    (tie) => {
      const { expression, select, relation, cte } = {
        expression: tie("expression"),
        select: tie("select"),
        relation: tie("relation"),
        cte: tie("cte")
      }
      const list = (part: fc.Arbitrary<string>, most = 2) =>
        fc.array(part, { minLength: 1, maxLength: most }).map((parts) => parts.join(", "))
      const call = (templates: ReadonlyArray<string>) =>
        fc.tuple(of(templates), expression, expression).map(([template, a, b]) =>
          template.replace("$", a).replace("$", b)
        )
      return {
        expression: fc.oneof(
          { maxDepth: 3, depthIdentifier: "sql" },
          { weight: 8, arbitrary: of(pieces.columns) },
          { weight: 8, arbitrary: of(pieces.literals) },
          { weight: 4, arbitrary: joined(expression, of(pieces.operators), expression) },
          { weight: 5, arbitrary: call(pieces.calls) },
          {
            weight: 1,
            arbitrary: fc.tuple(fc.nat(4), call(pieces.effects)).map(([dice, effect]) => dice > 0 ? "'1'" : effect)
          },
          { weight: 2, arbitrary: joined(fc.constant("("), expression, fc.constant(")")) },
          { weight: 1, arbitrary: joined(fc.constant("(SELECT"), expression, fc.constant(")")) },
          {
            weight: 1,
            arbitrary: joined(
              fc.constant("CASE WHEN"),
              expression,
              fc.constant("IS NOT NULL THEN"),
              expression,
              fc.constant("END")
            )
          },
          {
            weight: 1,
            arbitrary: joined(expression, fc.constant("IN (SELECT"), of(pieces.columns), fc.constant("FROM t)"))
          }
        ),
        relation: fc.oneof(
          { maxDepth: 2, depthIdentifier: "sql" },
          { weight: 6, arbitrary: of(pieces.tables) },
          {
            weight: 1,
            arbitrary: joined(
              fc.constant("( SELECT id, n, v FROM"),
              relation,
              fc.constant("WHERE"),
              expression,
              fc.constant("IS NOT NULL ) AS q")
            )
          },
          {
            weight: 1,
            arbitrary: joined(
              relation,
              fc.constant("JOIN ( SELECT"),
              expression,
              fc.constant("AS k FROM t ) AS j ON"),
              expression,
              fc.constant("IS NOT NULL")
            )
          }
        ),
        select: joined(
          fc.constant("SELECT"),
          optionally(fc.constant("DISTINCT")),
          list(joined(expression, optionally(of(["AS x", "AS y"])))),
          fc.constant("FROM"),
          relation,
          optionally(joined(fc.constant("WHERE"), expression, fc.constant("IS NOT NULL"))),
          optionally(fc.constant("ORDER BY 1")),
          optionally(fc.constant("LIMIT 3")),
          fc.tuple(fc.nat(9), of(pieces.tails)).map(([dice, tail]) => dice > 0 ? "" : tail)
        ),
        cte: joined(
          of(["a", "b"]),
          fc.constant("AS"),
          of(pieces.materialized),
          fc.constant("("),
          fc.tuple(fc.nat(9), select, of(pieces.writes)).map(([dice, read, write]) => dice > 0 ? read : write),
          fc.constant(")")
        ),
        query: fc.oneof(
          { maxDepth: 2, depthIdentifier: "sql" },
          { weight: 8, arbitrary: select },
          {
            weight: 1,
            arbitrary: joined(
              fc.constant("("),
              select,
              of([") UNION (", ") UNION ALL (", ") EXCEPT ("]),
              select,
              fc.constant(")")
            )
          },
          { weight: 2, arbitrary: joined(fc.constant("WITH"), cte, select) },
          {
            weight: 1,
            arbitrary: joined(fc.constant("VALUES ( ( SELECT"), expression, fc.constant("FROM t LIMIT 1 ) )"))
          }
        )
      }
    }
  )
  return fc.oneof(
    { weight: 12, arbitrary: query },
    { weight: 2, arbitrary: joined(of(pieces.prefixes), query) },
    { weight: 2, arbitrary: of(pieces.statements) }
  )
}

/** A change to a text that a program, or an attacker, might make. */
type Mutation =
  | { readonly _tag: "Comment"; readonly at: number; readonly text: string }
  | { readonly _tag: "Poison"; readonly at: number; readonly text: string }
  | { readonly _tag: "Case"; readonly at: number }
  | { readonly _tag: "Squeeze"; readonly at: number }
  | { readonly _tag: "Drop"; readonly at: number }
  | { readonly _tag: "Repeat"; readonly at: number }

const mutation = (pieces: Pieces): fc.Arbitrary<Mutation> => {
  const at = fc.nat(100)
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Comment" as const), at, text: of(pieces.comments) }) },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Poison" as const), at, text: of(pieces.poison) }) },
    { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Case" as const), at }) },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Squeeze" as const), at }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Drop" as const), at }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Repeat" as const), at }) }
  )
}

/** Applied to the parts between blanks; `at` is in percent of the text. */
const mutate = (sql: string, { at, ...change }: Mutation): string => {
  const parts = sql.split(" ")
  const i = Math.min(parts.length - 1, Math.floor(parts.length * at / 100))
  const before = parts.slice(0, i)
  const after = parts.slice(i + 1)
  const part = parts[i]!
  switch (change._tag) {
    case "Comment":
    case "Poison":
      return [...before, part, change.text, ...after].join(" ")
    case "Case":
      return [...before, part === part.toLowerCase() ? part.toUpperCase() : part.toLowerCase(), ...after].join(" ")
    case "Squeeze":
      return [...before, part + (after[0] ?? ""), ...after.slice(1)].join(" ")
    case "Drop":
      return [...before, ...after].join(" ")
    case "Repeat":
      return [...before, part, part, ...after].join(" ")
  }
}

/** Texts of a dialect, wrapped and changed, or not. */
export const mutated = (pieces: Pieces, texts: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(
    texts,
    optionally(of(["(", "WITH z AS (SELECT 1)"]), 1),
    fc.array(mutation(pieces), { maxLength: 3 })
  ).map(([text, wrap, mutations]) => {
    const wrapped = wrap === "(" ? `( ${text} )` : wrap === "" ? text : `${wrap} ${text}`
    return mutations.reduce(mutate, wrapped)
  })
