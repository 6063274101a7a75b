import { assert, describe, it } from "@effect/vitest"
import { Either, Redacted } from "effect"
import * as fc from "fast-check"
import * as Pg from "pg"
import { clientConfig, type PgEndpointConfig, read, settingNames } from "../../src/internal/pg/settings.js"

const settings = (config: PgEndpointConfig) => Either.getOrThrow(read(config, "url"))

const ofUrl = (url: string, config: PgEndpointConfig = {}) => settings({ ...config, url: Redacted.make(url) })

/** Whom and what pg would connect to: as we say it, and as it reads the URL by itself. */
const seen = (client: Pg.Client) => ({
  host: client.host,
  port: client.port,
  user: client.user,
  password: client.password,
  database: client.database,
  ssl: client.ssl
})

const ours = (url: string) => {
  const read = ofUrl(url)
  const password = read.password as Redacted.Redacted | undefined
  return seen(new Pg.Client(clientConfig(read, "readWrite", password && Redacted.value(password))))
}

const theirs = (url: string) => seen(new Pg.Client({ connectionString: url }))

describe("a URL is read as pg reads it", () => {
  const urls = [
    "postgres://app:secret@db.example.com:6432/orders",
    "postgresql://app@db.example.com/orders",
    "postgres://db.example.com",
    "postgres:///orders",
    "postgres://app:secret@/orders",
    "postgres://app:p%40ss%2Fw%3Ard@db/orders",
    "postgres://app:p%ss@db/orders",
    "postgres://app:with space@db/orders",
    "postgres://app:pässwörd@db/größe",
    "postgres://%2Fvar%2Frun%2Fpostgresql/orders",
    "postgres:///orders?host=/var/run/postgresql&port=6432",
    "postgres://db/orders?user=app&password=secret",
    "postgres://db/orders?sslmode=disable",
    "postgres://db/orders?sslmode=no-verify",
    "postgres://db/orders?ssl=true",
    "postgres://db/orders?ssl=0",
    "postgres://db/orders?sslmode=require&uselibpqcompat=true",
    "/var/run/postgresql orders",
    "socket:/var/run/postgresql?db=orders&user=app"
  ]
  for (const url of urls) it(url, () => assert.deepStrictEqual(ours(url), theirs(url)))

  it("whatever its credentials, host and database are", () => {
    const word = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" }).filter((text) => !/[/?#]/.test(text))
    fc.assert(fc.property(
      word,
      word,
      fc.domain(),
      fc.option(fc.integer({ min: 1, max: 65_535 })),
      // A URL drops these, as pg's own reader does.
      word.filter((text) => text !== "." && text !== ".."),
      (user, password, host, port, database) => {
        const at = port === null ? host : `${host}:${port}`
        const url = [user, password, database].map(encodeURIComponent)
        const text = `postgres://${url[0]}:${url[1]}@${at}/${url[2]}`
        const { ssl: _, ...read } = ours(text)
        assert.deepStrictEqual(read, { user, password, host, port: port ?? 5432, database })
      }
    ))
  })
})

describe("a URL", () => {
  it("may have an IPv6 address for a host", () => {
    assert.strictEqual(ofUrl("postgres://app@[::1]:6432/orders").host, "::1")
  })

  it("may have a database with a slash in its name", () => {
    assert.strictEqual(ofUrl("postgres://db/a%2Fb").database, "a/b")
  })

  it("comes before the other settings, which fill in what it leaves out", () => {
    const { database, host, port, username } = ofUrl("postgres://primary/orders", {
      host: "elsewhere",
      port: 6432,
      username: "app"
    })
    assert.deepStrictEqual({ database, host, port, username }, {
      database: "orders",
      host: "primary",
      port: 6432,
      username: "app"
    })
  })

  it("hands its other parameters to pg", () => {
    const config = clientConfig(
      ofUrl("postgres://db/orders?application_name=billing&statement_timeout=5000&options=-c%20jit%3Doff"),
      "readWrite",
      undefined
    )
    assert.strictEqual(config.application_name, "billing")
    assert.strictEqual(String(config.statement_timeout), "5000")
    assert.strictEqual(config.options, "-c jit=off")
  })

  const bad: ReadonlyArray<readonly [url: string, problem: RegExp]> = [
    ["localhost:5432/orders", /postgres:\/\//],
    ["", /postgres:\/\//],
    ["postgres://app:se#cret@db/orders", /Invalid URL/],
    ["postgres://db:port/orders", /Invalid URL/],
    ["postgres://db/orders?port=many", /"many" is not a port/],
    ["postgres://one:1,two:2/orders", /Invalid URL/],
    ["postgres://db/%ff", /malformed/i],
    ["postgres://db/orders?sslrootcert=/nowhere/ca.pem", /ENOENT/]
  ]
  for (const [url, problem] of bad) {
    it(`that cannot be read is a typed error: ${url}`, () => {
      const error = Either.getOrThrow(Either.flip(read({ url: Redacted.make(url) }, "replicas.replica1.url")))
      assert.strictEqual(error._tag, "ConfigurationError")
      assert.strictEqual(error.path, "replicas.replica1.url")
      assert.match(error.problem, problem)
      assert.notInclude(error.message, "se#cret")
    })
  }

  it("of any text is read or a typed error", () => {
    fc.assert(fc.property(fc.string(), fc.constantFrom("", "postgres://", "socket:", "/"), (text, scheme) => {
      Either.isEither(read({ url: Redacted.make(scheme + text) }, "url"))
    }))
  })
})

describe("settings", () => {
  it("have the folder of a Unix socket as their host", () => {
    assert.strictEqual(settings({ path: "/var/run/postgresql" }).host, "/var/run/postgresql")
  })

  it("make a readOnly connection by an option beside those of the URL", () => {
    const options = (url: string) => clientConfig(ofUrl(url), "readOnly", undefined).options?.trim()
    assert.strictEqual(options("postgres://db"), "-c default_transaction_read_only=on")
    assert.strictEqual(
      options("postgres://db?options=-c%20jit%3Doff"),
      "-c jit=off -c default_transaction_read_only=on"
    )
  })

  it("are told from the router's options by their names", () => {
    assert.include(settingNames, "transformJson")
    assert.notInclude(settingNames as ReadonlyArray<string>, "weight")
  })
})
