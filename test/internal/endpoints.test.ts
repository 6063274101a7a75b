import { assert, describe, it } from "@effect/vitest"
import { fromOptions } from "../../src/internal/endpoints.js"

interface Config {
  readonly host: string
  readonly user?: string | undefined
}

describe("the endpoints of a layer's options", () => {
  it("lie over the shared settings, which an undefined key does not hide", () => {
    const endpoints = fromOptions<Config>({
      primary: { host: "p" },
      replicas: { near: { host: "r1", user: undefined, zone: "a" }, far: { host: "r2", user: "other", weight: 3 } }
    }, { user: "app" })
    assert.deepStrictEqual(endpoints, [
      {
        database: "main",
        name: "primary",
        role: "primary",
        weight: 1,
        zone: undefined,
        config: { host: "p", user: "app" }
      },
      { database: "main", name: "near", role: "replica", weight: 1, zone: "a", config: { host: "r1", user: "app" } },
      {
        database: "main",
        name: "far",
        role: "replica",
        weight: 3,
        zone: undefined,
        config: { host: "r2", user: "other" }
      }
    ])
  })
})
