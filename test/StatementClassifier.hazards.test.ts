import { assert, describe, it } from "@effect/vitest"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import { type Hazard, hazards, hidden } from "./classifier/hazards/families.js"

const titled = ({ expected, sql }: Hazard) => `${expected}: ${JSON.stringify(sql).slice(1, -1)}`

describe("StatementClassifier on hazards", () => {
  for (const family of new Set(hazards.map(({ dialect, family }) => `${dialect}, ${family}`))) {
    describe(family, () => {
      for (const hazard of hazards.filter(({ dialect, family: own }) => `${dialect}, ${own}` === family)) {
        it(titled(hazard), () => {
          const facts = StatementClassifier.classify(hazard.dialect, hazard.sql)
          const found = facts.kind === "multiple" || facts.kind === "empty" ? facts.kind : facts.access
          assert.strictEqual(found, hazard.expected)
          assert.strictEqual(facts.replicaSafe, hazard.expected === "read")
        })
      }
    })
  }

  describe("what no text shows is left to the replica's refusal", () => {
    for (const [what, sql] of hidden) {
      it(what, () => {
        assert.isTrue(StatementClassifier.classify("postgres", sql).replicaSafe)
      })
    }
  })
})
