import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { faultsOf } from "../../src/internal/rules/regex.js"

const faults = (regex: RegExp) => faultsOf(regex, "raw", "postgres")

describe("the check of regular expressions", () => {
  it("finds loops that can match the same text in several ways", () => {
    for (
      const regex of [
        /(a+)+/,
        /(a*)*b/,
        /(?:a|a)*$/,
        /(a|ab)*c/,
        /(\w+\s?)+$/,
        /^(([a-z])+.)+[A-Z]([a-z])+$/,
        /(a?){25}a{25}/,
        /(?=(a+)+)b/,
        /x(?:\s*,\s*\w+)*y/,
        /(.*a){12}/,
        /(, ?\w+)*/,
        /(a{1,30}){10,30}/,
        /([^,]+|x)*/i
      ]
    ) assert.include(faults(regex), "exponential", String(regex))
  })

  it("passes loops whose rounds are told apart", () => {
    for (
      const regex of [
        /^select .* from (\w+)$/,
        /(?:, \w+)*/,
        /(?:\w+,)*/,
        /(?:foo|bar)*/,
        /(?:[a-c]x|[d-f]yy)+/,
        /\w*\s*\w*/,
        /(ab){100}/,
        /(a+){3}/,
        /("[^"]*")?/,
        /(?:"[^"]*)*/
      ]
    ) assert.notInclude(faults(regex), "exponential", String(regex))
  })

  it("finds anchors that contradict, and classes without characters", () => {
    for (const regex of [/a^b/, /a$b/, /(a|b)(^c)/, /x(^a|^b)/, /(a$|b$)c/, new RegExp("a[]"), /(a^)+/, /a\b^/]) {
      assert.include(faults(regex), "never", String(regex))
    }
    for (const regex of [/^a$/, /(^a|b)/, /x?^a/, /a$|b/, /a^b/m, /a(^b)?/, /a(?=$)/, /^$/, /x*$/, /[^]/, /(?!a^)b/]) {
      assert.notInclude(faults(regex), "never", String(regex))
    }
  })

  it("says what it cannot read", () => {
    for (const regex of [/(a)\1/, /(?<n>a)\k<n>/, new RegExp("[a--b]", "v")]) {
      assert.deepStrictEqual(faults(regex), ["unreadable"])
    }
    for (const regex of [/(?<=a)b/, /\p{L}+/u, /\u{61}/u, /[\]\-a]/, /a{2}?/, /\x41\cA\//, /é/]) {
      assert.deepStrictEqual(faults(regex), [], String(regex))
    }
  })

  /** Expressions over two letters. */
  const source = fc.letrec<{ readonly source: string }>((tie) => ({
    source: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.constantFrom("a", "b", "[ab]", ".", "^", "$"),
      fc.tuple(tie("source"), tie("source")).map((two) => two.join("")),
      fc.tuple(tie("source"), tie("source")).map(([x, y]) => `(${x}|${y})`),
      fc.tuple(tie("source"), fc.constantFrom("*", "+", "?", "{0,12}")).map(([x, sign]) => `(?:${x})${sign}`)
    )
  })).source

  it("calls nothing impossible that matches", () => {
    const texts = ["", "a", "b", "ab", "ba", "aab", "abba", "bbb", "aaaa"]
    let found = 0
    fc.assert(
      fc.property(source, (source) => {
        const regex = new RegExp(source)
        if (!faults(regex).includes("never")) return
        found++
        for (const text of texts) assert.isFalse(regex.test(text), `${source} matches ${text}`)
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(found, 100)
  })

  it("passes nothing whose number of ways to match doubles with the text", () => {
    let passed = 0
    fc.assert(
      fc.property(source, (source) => {
        if (faults(new RegExp(source)).includes("exponential")) return
        passed++
        for (const text of ["a".repeat(26), "ab".repeat(13), "aab".repeat(9)]) {
          const start = process.cpuUsage().user
          new RegExp(`^(?:${source})c`).test(text)
          assert.isBelow(process.cpuUsage().user - start, 400_000, `${source} on ${text}`)
        }
      }),
      { numRuns: 2000 }
    )
    assert.isAbove(passed, 500)
  })
})
