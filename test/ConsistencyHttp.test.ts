import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Cookies from "@effect/platform/Cookies"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as ConsistencyHttp from "effect-sql-router/ConsistencyHttp"
import * as ConsistencyToken from "effect-sql-router/ConsistencyToken"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as ReplicationPosition from "effect-sql-router/ReplicationPosition"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as http from "node:http"
import * as compat from "../src/internal/compat.js"
import { demandOf, millis, noteWrite, sessionForRead } from "../src/internal/consistency/current.js"

const settings = ReadConsistency.settingsOf(ReadConsistency.make())
const pg = (lsn: string) => Either.getOrThrow(ReplicationPosition.pgLsn("7312345678901234567/1", lsn))

/** What a router does for a write, a read and a read's answer. */
const write = (lsn: string) =>
  compat.withFiber((fiber) => {
    noteWrite(fiber, "main", undefined, pg(lsn), settings)
    return Effect.void
  })
const saw = (lsn: string) =>
  compat.withFiber((fiber) => {
    sessionForRead(fiber)?.saw("main", pg(lsn), millis(fiber))
    return Effect.void
  })
const read = compat.withFiber((fiber) => {
  const demand = demandOf(fiber, "main", () => undefined, ReadConsistency.session, settings)
  return Effect.succeed(demand._tag === "Position" ? ReplicationPosition.format(demand.position) : demand._tag)
})

const routes = HttpRouter.empty.pipe(
  HttpRouter.get("/read", Effect.flatMap(read, HttpServerResponse.text)),
  HttpRouter.get("/saw", Effect.zipRight(saw("3/0"), HttpServerResponse.empty())),
  HttpRouter.post("/write", Effect.zipRight(write("5/0"), HttpServerResponse.empty())),
  HttpRouter.post(
    "/write-in-child",
    Effect.fork(write("5/0")).pipe(Effect.flatMap((fiber) => fiber.await), Effect.zipRight(HttpServerResponse.empty()))
  ),
  HttpRouter.post("/write-and-fail", Effect.zipRight(write("5/0"), Effect.die("no")))
)

const key = Redacted.make("a key that nobody else has")

/** A process of its own, as far as sessions are concerned: a server on a free port, and a client that calls it. */
const serve = (options: ConsistencyHttp.ServerOptions = {}, place: "outside" | "router" = "outside") =>
  Effect.gen(function*() {
    const middleware = ConsistencyHttp.server(options)
    const context = yield* Layer.build(
      (place === "outside"
        ? HttpServer.serve(routes, middleware)
        : HttpServer.serve(HttpRouter.use(routes, middleware))).pipe(
          Layer.provideMerge(NodeHttpServer.layer(() => http.createServer(), { port: 0, host: "127.0.0.1" })),
          Layer.provide(ConsistencyToken.layerCodec({ keys: [key] }))
        )
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    const port = address._tag === "TcpAddress" ? address.port : assert.fail("no port")
    return (yield* HttpClient.HttpClient).pipe(
      HttpClient.mapRequest(HttpClientRequest.prependUrl(`http://127.0.0.1:${port}`))
    )
  }).pipe(Effect.provide(FetchHttpClient.layer))

const signed = Effect.provide(ConsistencyToken.layerCodec({ keys: [key] }))
const text = (effect: Effect.Effect<{ readonly text: Effect.Effect<string, unknown> }, unknown>) =>
  Effect.flatMap(effect, (response) => response.text)
const cookieOf = (response: { readonly cookies: Cookies.Cookies }) =>
  response.cookies.cookies[ConsistencyHttp.defaultCookie]

describe("a browser", () => {
  it.scopedLive("gets a cookie for what was written, and reads no less with it, also from another process", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* serve(), yield* serve()]
      const cookie = cookieOf(yield* one.post("/write"))
      assert.deepStrictEqual(cookie?.options, {
        maxAge: cookie?.options?.maxAge,
        path: "/",
        httpOnly: true,
        secure: true,
        sameSite: "lax"
      })
      const withCookie = HttpClientRequest.setHeader("cookie", `theme=dark; ${cookie!.name}=${cookie!.value}`)
      for (const server of [one, two]) {
        assert.strictEqual(yield* text(server.execute(withCookie(HttpClientRequest.get("/read")))), "5/0")
        assert.strictEqual(yield* text(server.get("/read")), "None")
      }
    }))

  it.scopedLive("gets it with the answer to a request that wrote and failed, too", () =>
    Effect.gen(function*() {
      const response = yield* (yield* serve()).post("/write-and-fail")
      assert.strictEqual(response.status, 500)
      assert.isDefined(cookieOf(response))
    }))

  it.scopedLive("gets none for a read, unless reads count across requests", () =>
    Effect.gen(function*() {
      const response = yield* (yield* serve()).get("/saw")
      assert.isUndefined(cookieOf(response))
      assert.isUndefined(response.headers[ConsistencyHttp.defaultHeader])
      assert.isDefined(cookieOf(yield* (yield* serve({ reads: true })).get("/saw")))
    }))

  it.scopedLive("gets none when it has it already", () =>
    Effect.gen(function*() {
      const server = yield* serve({ reads: true })
      const { name, value } = cookieOf(yield* server.post("/write"))!
      const again = HttpClientRequest.setHeader(HttpClientRequest.get("/saw"), "cookie", `${name}=${value}`)
      assert.isUndefined(cookieOf(yield* server.execute(again)))
    }))

  it.scopedLive("is served although its cookie was tampered with, as if it had none", () =>
    Effect.gen(function*() {
      const server = yield* serve()
      const { name, value } = cookieOf(yield* server.post("/write"))!
      for (const forged of [`A${value}`, value.slice(0, -10), "", "%%%", "x".repeat(3000)]) {
        const request = HttpClientRequest.setHeader(HttpClientRequest.get("/read"), "cookie", `${name}=${forged}`)
        assert.strictEqual(yield* text(server.execute(request)), "None")
      }
    }))

  it.scopedLive("gets the names that are asked for, or nothing", () =>
    Effect.gen(function*() {
      const named = yield* (yield* serve({ cookie: "seen", header: "X-Seen", secure: false })).post("/write")
      assert.strictEqual(named.cookies.cookies["seen"]?.options?.secure, undefined)
      assert.strictEqual(named.headers["x-seen"], named.cookies.cookies["seen"]!.value)
      const neither = yield* (yield* serve({ cookie: false, header: false })).post("/write")
      assert.isTrue(Cookies.isEmpty(neither.cookies))
      assert.isUndefined(neither.headers[ConsistencyHttp.defaultHeader])
    }))
})

describe("a service", () => {
  it.scopedLive("reads what it wrote through another, which a third one sees", () =>
    Effect.gen(function*() {
      const [orders, reports] = [yield* serve(), yield* serve()].map((_) => ConsistencyHttp.client(_))
      yield* ReadConsistency.scoped(Effect.gen(function*() {
        yield* orders!.post("/write")
        assert.strictEqual(yield* read, "5/0")
        assert.strictEqual(yield* text(reports!.get("/read")), "5/0")
      }))
      assert.strictEqual(yield* text(reports!.get("/read")), "None")
    }).pipe(signed))

  it.scopedLive("sees what was written by a request that its client takes for failed", () =>
    Effect.gen(function*() {
      const orders = ConsistencyHttp.client(HttpClient.filterStatusOk(yield* serve()))
      yield* Effect.flip(orders.post("/write-and-fail"))
      assert.strictEqual(yield* read, "5/0")
    }).pipe(signed))

  it.scopedLive("sees the same where the router, not the server, has the middleware", () =>
    Effect.gen(function*() {
      const orders = ConsistencyHttp.client(yield* serve({}, "router"))
      yield* orders.post("/write-in-child")
      assert.strictEqual(yield* read, "5/0")
    }).pipe(signed))

  it.scopedLive("sends nothing before it has seen something", () =>
    Effect.gen(function*() {
      const sent: Array<string | undefined> = []
      const client = HttpClient.tapRequest(ConsistencyHttp.client(yield* serve()), (request) =>
        Effect.sync(() => {
          sent.push(request.headers[ConsistencyHttp.defaultHeader])
        }))
      yield* client.get("/read")
      yield* write("1/0")
      yield* client.get("/read")
      assert.isUndefined(sent[0])
      assert.isDefined(sent[1])
    }).pipe(signed))
})

describe("requests of one server", () => {
  it.scopedLive("see nothing of each other, nor does what was written before it began tie them together", () =>
    Effect.gen(function*() {
      yield* write("1/0")
      const server = yield* serve()
      yield* Effect.all([server.post("/write"), server.post("/write-in-child")], { concurrency: 2 })
      assert.strictEqual(yield* text(server.get("/read")), "1/0")
      assert.strictEqual(yield* read, "1/0")
    }))
})
