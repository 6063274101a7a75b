import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import * as FastCheck from "fast-check"
import { parse } from "../../src/internal/sqlite/url.js"

describe("a database URL", () => {
  const files: ReadonlyArray<readonly [url: string, filename: string]> = [
    ["app.db", "app.db"],
    [" ./data/app.db ", "./data/app.db"],
    ["/var/lib/app.db", "/var/lib/app.db"],
    ["100%.db", "100%.db"],
    ["C:\\data\\app.db", "C:\\data\\app.db"],
    [":memory:", ":memory:"],
    ["file:app.db", "app.db"],
    ["file:./app.db", "./app.db"],
    ["file:/var/app.db", "/var/app.db"],
    ["file:///var/app.db", "/var/app.db"],
    ["file://localhost/var/app.db", "/var/app.db"],
    ["file:///var/my%20app.db", "/var/my app.db"],
    ["file::memory:", ":memory:"],
    ["sqlite:app.db", "app.db"],
    ["sqlite::memory:", ":memory:"],
    ["sqlite://app.db", "app.db"],
    ["sqlite://:memory:", ":memory:"],
    ["sqlite:///var/app.db", "/var/app.db"],
    ["SQLite:///a%2Cb.db", "/a,b.db"]
  ]
  for (const [url, filename] of files) {
    it(`${JSON.stringify(url)} is ${filename}`, () => assert.deepStrictEqual(parse(url), Either.right(filename)))
  }

  const malformed: ReadonlyArray<readonly [url: string, problem: string]> = [
    ["", "must not be empty"],
    ["  ", "must not be empty"],
    ["postgres://user:secret@host/app", "\"postgres:\" is not a scheme of SQLite"],
    ["file:", "the path is missing"],
    ["sqlite://", "the path is missing"],
    ["file://server/share/app.db", "must not name a host"],
    ["file://", "must not name a host"],
    ["sqlite:app.db?key=secret", "parameters belong in the options"],
    ["file:app.db?mode=ro", "parameters belong in the options"],
    ["file:a%zz.db", "two hexadecimal digits"]
  ]
  for (const [url, problem] of malformed) {
    it(`${JSON.stringify(url)} is malformed, and not repeated`, () => {
      const error = Either.getOrThrow(Either.flip(parse(url)))
      assert.include(error, problem)
      assert.notInclude(error, "secret")
    })
  }

  it("names any path at all, once escaped", () => {
    FastCheck.assert(FastCheck.property(FastCheck.string({ minLength: 1 }), (path) => {
      assert.deepStrictEqual(parse(`sqlite:${encodeURIComponent(path)}`), Either.right(path))
    }))
  })

  it("is a path or a problem, whatever is written", () => {
    FastCheck.assert(FastCheck.property(FastCheck.string(), (text) => {
      assert.isTrue(Either.isEither(parse(text)))
    }))
  })
})
