import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { createRequire } from "node:module"
import * as Messages from "../../src/internal/pg/messages.js"

/** pg's own serializer, which hands each message out by itself. */
const { serialize } = createRequire(createRequire(import.meta.url).resolve("pg"))("pg-protocol") as {
  readonly serialize: { readonly [message: string]: (argument?: unknown) => Buffer }
}

const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((text) => text.replaceAll("\0", ""))

const value = fc.oneof(text, fc.constant(null), fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)))

describe("messages", () => {
  it("of a statement without parameters are pg's", () => {
    fc.assert(fc.property(text, (sql) => {
      assert.deepStrictEqual(Messages.simple(sql), serialize["query"]!(sql))
    }))
  })

  it("of a statement with parameters are pg's, in one buffer", () => {
    const statement = fc.record({
      close: fc.array(text, { maxLength: 3 }),
      parse: fc.option(text, { nil: undefined }),
      name: text,
      values: fc.array(value, { maxLength: 6 }),
      describe: fc.boolean()
    })
    fc.assert(fc.property(statement, (statement) => {
      const { close, describe, name, parse, values } = statement
      const expected = Buffer.concat([
        ...close.map((name) => serialize["close"]!({ type: "S", name })),
        ...(parse === undefined ? [] : [serialize["parse"]!({ text: parse, name })]),
        serialize["bind"]!({ statement: name, values }),
        ...(describe ? [serialize["describe"]!({ type: "P" })] : []),
        serialize["execute"]!(),
        serialize["sync"]!()
      ])
      assert.deepStrictEqual(Messages.extended(statement), expected)
    }))
  })
})
