import * as Reactivity from "@effect/experimental/Reactivity"
import * as HttpRouter from "@effect/platform/HttpRouter"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingDashboard from "effect-sql-router/RoutingDashboard"
import * as RoutingDashboardNode from "effect-sql-router/RoutingDashboardNode"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as Http from "node:http"
import * as Net from "node:net"
import { serve } from "./support.js"

const live = <A, E, R>(effect: Effect.Effect<A, E, R>) => TestServices.provideLive(effect)

const pause = live(Effect.sleep("20 millis"))

/** Waits, in real time, until something holds. */
const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.zipRight(pause, eventually(holds)))

/** A response with its whole body; unlike `fetch`, this may name another host. */
const ask = (url: string, options: Http.RequestOptions = {}) =>
  Effect.promise(() =>
    new Promise<{ readonly status: number; readonly headers: Http.IncomingHttpHeaders; readonly body: string }>(
      (resolve, reject) => {
        const request = Http.request(url, options, (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () =>
            resolve({
              status: response.statusCode!,
              headers: response.headers,
              body: Buffer.concat(chunks).toString()
            }))
        })
        request.on("error", reject).end()
      }
    )
  )

/** What a browser that listens to events gets, until the Scope ends or `abort` is called. */
const listen = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const controller = new AbortController()
      const response = await fetch(`${url}?events`, { signal: controller.signal })
      const listening = { response, messages: [] as Array<string>, ended: false, abort: () => controller.abort() }
      const read = async () => {
        let text = ""
        for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
          text += chunk
          const parts = text.split("\n\n")
          text = parts.pop()!
          listening.messages.push(...parts)
        }
      }
      void read().catch(() => {}).finally(() => listening.ended = true)
      return listening
    }),
    ({ abort }) => Effect.sync(abort)
  )

const snapshotIn = (message: string): RoutingDashboard.Snapshot => JSON.parse(message.slice("data: ".length))

/** A router that tells how often it was asked how its endpoints are. */
const watched = Effect.gen(function*() {
  const { client } = yield* InMemoryDriver.make({ replicas: { replica1: {}, replica2: { weight: 3 } } })
  const asked = { times: 0 }
  const replicas = Effect.tap(client.replicas, () => void asked.times++)
  const sql: RoutedSqlClient.RoutedSqlClient = Object.create(client, { replicas: { value: replicas } })
  return { client, sql, asked }
})

const served = (sql: RoutedSqlClient.RoutedSqlClient, options?: RoutingDashboard.DashboardOptions) =>
  Effect.provideService(serve(RoutingDashboard.app(options)), RoutedSqlClient.RoutedSqlClient, sql)

describe("the app", () => {
  it.scoped("answers with the page, which may load and run nothing else", () =>
    Effect.gen(function*() {
      const { asked, sql } = yield* watched
      const { body, headers, status } = yield* ask(yield* served(sql))
      assert.strictEqual(status, 200)
      assert.match(body, /^<!doctype html>/)
      assert.strictEqual(headers["content-type"], "text/html; charset=utf-8")
      assert.match(String(headers["content-security-policy"]), /^default-src 'none';.*frame-ancestors 'none'/)
      assert.strictEqual(headers["x-content-type-options"], "nosniff")
      assert.strictEqual(headers["cache-control"], "no-store")
      assert.notProperty(headers, "access-control-allow-origin")
      assert.strictEqual(asked.times, 0)
    }))

  it.scoped("answers ?snapshot with how the router is", () =>
    Effect.gen(function*() {
      const { client, sql } = yield* watched
      yield* client`SELECT 1`
      yield* client`INSERT INTO t VALUES (1)`
      const url = yield* served(sql, { title: "orders" })
      yield* client.drain("replica2")
      const { body, headers } = yield* ask(`${url}/?snapshot`)
      assert.strictEqual(headers["content-type"], "application/json")
      const { counts, databases, events, title }: RoutingDashboard.Snapshot = JSON.parse(body)
      assert.strictEqual(title, "orders")
      assert.deepStrictEqual(
        databases[0]!.endpoints.map(({ available, endpoint, pools, role, state, weight }) => [
          endpoint,
          role,
          state,
          available,
          weight,
          pools[0]!.max
        ]),
        [
          ["primary", "primary", "closed", true, 0, 10],
          ["replica1", "replica", "closed", true, 1, 10],
          ["replica2", "replica", "drained", false, 3, 10]
        ]
      )
      assert.deepStrictEqual(databases[0]!.problems, [{ tone: "warn", text: "replica2: drained" }])
      assert.deepInclude(counts, {
        name: "statements",
        tags: { database: "main", endpoint: "primary", role: "primary", reason: "write" },
        count: 1
      })
      assert.deepStrictEqual(events.map(({ text }) => text), ["replica2 was drained by hand"])
    }))

  it.scoped("tells neither passwords, nor users, nor statements", () =>
    Effect.gen(function*() {
      const sql = yield* RoutedPgClient.make({
        primary: { url: Redacted.make("postgres://someone:hunter2@127.0.0.1:1/app") },
        replicas: { replica1: { url: Redacted.make("postgres://someone:hunter2@127.0.0.1:1/app") } }
      }).pipe(Effect.provide(Reactivity.layer))
      yield* Effect.exit(sql`SELECT token FROM accounts WHERE token = ${"swordfish"}`)
      const { body } = yield* ask(`${yield* served(sql)}/?snapshot`)
      assert.include(body, "ECONNREFUSED")
      assert.notMatch(body, /someone|hunter2|accounts|swordfish/)
    }))

  it.scoped("answers nothing but GET", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const url = yield* served(sql)
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
        const { headers, status } = yield* ask(url, { method })
        assert.strictEqual(status, 405)
        assert.strictEqual(headers.allow, "GET")
      }
    }))

  it.scoped("answers for allowed hosts alone, on whatever port", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const url = yield* served(sql, { allowedHosts: ["db.internal", "[::1]"] })
      const statusFor = (host: string) =>
        Effect.map(ask(`${url}/?snapshot`, { headers: { host } }), ({ status }) => status)
      assert.strictEqual(yield* statusFor("db.internal"), 200)
      assert.strictEqual(yield* statusFor("DB.internal:8080"), 200)
      assert.strictEqual(yield* statusFor("[::1]:8080"), 200)
      for (const host of ["127.0.0.1", "evil.example", "db.internal.evil.example", "db.internal@evil.example", ""]) {
        assert.strictEqual(yield* statusFor(host), 421, host)
      }
    }))

  it.scoped("serves its one path, wherever that is mounted", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const app = RoutingDashboard.app()
      const url = yield* serve(HttpRouter.empty.pipe(
        HttpRouter.get("/ops/sql", app),
        HttpRouter.mountApp("/mounted", app),
        Effect.catchTag("RouteNotFound", () => Effect.dieMessage("no such route"))
      )).pipe(Effect.provideService(RoutedSqlClient.RoutedSqlClient, sql))
      for (const where of ["/ops/sql", "/mounted", "/mounted/"]) {
        assert.match((yield* ask(`${url}${where}`)).body, /^<!doctype html>/)
        assert.match((yield* ask(`${url}${where}?snapshot`)).body, /^\{"title"/)
      }
    }))
})

describe("events", () => {
  it.scoped("are a snapshot at once, and then one at each interval", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const url = yield* served(sql, { interval: "2 seconds" })
      const { messages, response } = yield* listen(url)
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      yield* eventually(() => messages.length === 1)
      for (const seconds of [2, 4]) {
        yield* pause
        yield* TestClock.adjust("2 seconds")
        yield* eventually(() => messages.length === 1 + seconds / 2)
        assert.strictEqual(snapshotIn(messages.at(-1)!).atMillis, seconds * 1000)
      }
      yield* pause
      yield* TestClock.adjust("1999 millis")
      yield* pause
      assert.lengthOf(messages, 3)
    }))

  it.scoped("end with their request: nobody is told any more, and nothing is looked up", () =>
    Effect.gen(function*() {
      const { asked, sql } = yield* watched
      const url = yield* served(sql)
      const [one, other] = [yield* listen(url), yield* listen(url)]
      yield* eventually(() => one.messages.length === 1 && other.messages.length === 1)
      one.abort()
      for (const times of [3, 4]) {
        yield* pause
        yield* TestClock.adjust("1 seconds")
        yield* eventually(() => other.messages.length === times - 1)
        assert.strictEqual(asked.times, times)
      }
      other.abort()
      yield* pause
      yield* TestClock.adjust("1 minute")
      yield* pause
      assert.strictEqual(asked.times, 4)
    }))

  it.scoped("end after ten seconds, so that a server that shuts down waits no longer", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const listening = yield* listen(yield* served(sql, { interval: "4 seconds" }))
      for (const _ of [1, 2, 3]) {
        assert.isFalse(listening.ended)
        yield* pause
        yield* TestClock.adjust("4 seconds")
      }
      yield* eventually(() => listening.ended)
      assert.lengthOf(listening.messages, 3)
    }))

  it.scoped("are not made for a browser that does not read them", () =>
    Effect.gen(function*() {
      const { asked, sql } = yield* watched
      // A megabyte each, for kernels take some on behalf of a reader.
      const url = new URL(yield* served(sql, { title: "x".repeat(1_000_000), interval: "100 millis" }))
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => Net.connect(Number(url.port), url.hostname)),
        (socket) => Effect.sync(() => socket.destroy())
      )
      socket.pause()
      socket.write(`GET /?events HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`)
      yield* eventually(() => asked.times === 1)
      for (let i = 0; i < 90; i++) {
        yield* pause
        yield* TestClock.adjust("100 millis")
      }
      assert.isBelow(asked.times, 30)
      assert.strictEqual((yield* ask(`${url}?snapshot`)).status, 200)
    }))
})

describe("the server of its own", () => {
  const started = (sql: RoutedSqlClient.RoutedSqlClient, options: RoutingDashboardNode.ServerOptions = {}) =>
    RoutingDashboardNode.make({ port: 0, ...options }).pipe(
      Effect.provideService(RoutedSqlClient.RoutedSqlClient, sql)
    )

  it.scoped("listens on this machine alone, and serves nothing else", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const url = yield* started(sql)
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/)
      assert.match((yield* ask(url)).body, /^<!doctype html>/)
      assert.strictEqual((yield* ask(`${url}other`)).status, 404)
    }))

  it.scoped("is not to be reached under another's name, unless that is allowed", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const url = yield* started(sql, { allowedHosts: ["box.local"] })
      const { port } = new URL(url)
      const statusFor = (host: string) => Effect.map(ask(url, { headers: { host } }), ({ status }) => status)
      for (const host of ["localhost", "127.0.0.1", "[::1]", "box.local"]) {
        assert.strictEqual(yield* statusFor(`${host}:${port}`), 200)
      }
      assert.strictEqual(yield* statusFor(`rebound.example:${port}`), 421)
    }))

  it.scoped("does not wait for open pages when it ends", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const scope = yield* Scope.make()
      const url = yield* Scope.extend(started(sql), scope)
      const listening = yield* listen(url)
      yield* eventually(() => listening.messages.length === 1)
      yield* Scope.close(scope, Exit.void).pipe(Effect.disconnect, Effect.timeout("2 seconds"), live)
      yield* eventually(() => listening.ended)
    }))

  it.scoped("is told of in the log by its Layer", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const { sql } = yield* watched
      yield* Layer.build(RoutingDashboardNode.layer({ port: 0 })).pipe(
        Effect.provideService(RoutedSqlClient.RoutedSqlClient, sql),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.match(lines.join("\n"), /^The router is shown on http:\/\/127\.0\.0\.1:\d+\/$/)
    }))

  it.scoped("fails to start where its port is taken", () =>
    Effect.gen(function*() {
      const { sql } = yield* watched
      const { port } = new URL(yield* started(sql))
      const error = yield* Effect.flip(started(sql, { port: Number(port) }))
      assert.strictEqual(error._tag, "ServeError")
    }))
})
