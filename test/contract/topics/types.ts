import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Options, Topic } from "../support.js"
import { ways } from "../support.js"

/** An expression, its parameters, and the value it comes back as. */
type Case = readonly [expression: string, params: ReadonlyArray<unknown>, value: unknown]

const bytes = new Uint8Array([0, 1, 255])
const leapDay = new Date("2024-02-29T12:34:56Z")
const big = "9007199254740993"

const everywhere: ReadonlyArray<Case> = [
  ["NULL", [], null],
  ["'it''s ✓'", [], "it's ✓"],
  ["''", [], ""]
]

const cases: { readonly [dialect in Options["dialect"]]: ReadonlyArray<Case> } = {
  sqlite: [
    ...everywhere,
    ["?", [42], 42],
    ["?", [1.5], 1.5],
    ["?", ["text"], "text"],
    ["?", [null], null],
    ["?", [undefined], null],
    ["?", [2n], 2],
    ["?", [bytes], Buffer.from(bytes)],
    ["? + ?", [1, 2], 3]
  ],
  pg: [
    ...everywhere,
    ["$1::int4", [42], 42],
    ["$1::float8", [1.5], 1.5],
    ["$1::int8", [BigInt(big)], big],
    ["$1::numeric(10, 2)", ["1.5"], "1.50"],
    ["$1::text", ["text"], "text"],
    ["$1::text", [null], null],
    ["$1::text", [undefined], null],
    ["$1::bool", [true], true],
    ["$1::bytea", [Buffer.from(bytes)], Buffer.from(bytes)],
    ["$1::timestamptz", [leapDay], leapDay],
    ["$1::jsonb", [{ a: [1, { b: null }] }], { a: [1, { b: null }] }],
    ["$1::int4[]", [[1, 2]], [1, 2]],
    ["$1::uuid", ["6f6e9bd0-1c0a-4c39-9f3c-1df2f4c8e0a1"], "6f6e9bd0-1c0a-4c39-9f3c-1df2f4c8e0a1"]
  ],
  mysql: [
    ...everywhere,
    ["CAST(? AS SIGNED)", [42], 42],
    ["CAST(? AS DOUBLE)", [1.5], 1.5],
    ["CAST(? AS SIGNED)", [big], big],
    ["CAST(? AS DECIMAL(10, 2))", ["1.5"], "1.50"],
    ["?", ["text"], "text"],
    ["?", [null], null],
    ["TRUE", [], 1],
    ["?", [Buffer.from(bytes)], Buffer.from(bytes)],
    ["CAST(? AS DATETIME)", [leapDay], leapDay]
  ]
}

export const types: Topic = (it, options) => {
  for (const { operation, run } of ways(options)) {
    it.effect(`${operation} takes and gives values of every type`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        for (const [expression, params, value] of cases[options.dialect]) {
          const rows = yield* run(sql.unsafe(`SELECT ${expression} AS value`, params))
          assert.deepStrictEqual(rows, [[value]], `${expression} with ${String(params)}`)
        }
      }))
  }
}
