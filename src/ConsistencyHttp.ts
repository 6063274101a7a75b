/**
 * Carries consistency tokens through HTTP, so that a session spans the requests of a browser and the services behind it.
 *
 * Imported as `effect-sql-router/ConsistencyHttp`.
 *
 * @since 0.1.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as ConsistencyToken from "./ConsistencyToken.js"
import { open } from "./internal/consistency/current.js"
import * as ReadConsistency from "./ReadConsistency.js"

/**
 * Options of the server's side.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerOptions {
  /** The header to read and write, for services. Default `x-sql-consistency`; `false` for none. */
  readonly header?: string | false | undefined
  /** The cookie to read and write, for browsers. Default `sql-consistency`; `false` for none. */
  readonly cookie?: string | false | undefined
  /** The cookie's domain. Default: that of the server. */
  readonly domain?: string | undefined
  /** Whether the cookie is for HTTPS only. Default `true`. */
  readonly secure?: boolean | undefined
  /**
   * Whether what was read counts across requests, too, so that no request sees less than the one before. Default `false`: only
   * what was written does, for a response that sets a cookie cannot be cached.
   */
  readonly reads?: boolean | undefined
}

/**
 * The header that carries a token by default.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultHeader = "x-sql-consistency"

/**
 * The cookie that carries a token by default.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultCookie = "sql-consistency"

/**
 * Runs each request in a session of its own that has seen what its header and cookie say, and hands on with the response what
 * it has seen by then: also with one that tells of an error. The cookie is `HttpOnly`, `Secure`, `SameSite=Lax`, for all
 * paths, and lives as long as a mark counts.
 *
 * What a response's stream writes after its headers were sent is not handed on. A token that is not to be trusted counts for
 * nothing. Provide `ConsistencyToken.layerCodec` with a key where users hold tokens.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
 * import * as ConsistencyHttp from "effect-sql-router/ConsistencyHttp"
 *
 * const Server = HttpRouter.empty.pipe(
 *   HttpRouter.get("/", HttpServerResponse.text("hello")),
 *   HttpServer.serve(ConsistencyHttp.server())
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const server = (options: ServerOptions = {}): <E, R>(app: HttpApp.Default<E, R>) => HttpApp.Default<E, R> => {
  const header = options.header === false ? undefined : (options.header ?? defaultHeader).toLowerCase()
  const cookie = options.cookie === false ? undefined : options.cookie ?? defaultCookie
  const tokenOf = (request: HttpServerRequest.HttpServerRequest, codec: ConsistencyToken.TokenCodec) => {
    const texts = [
      header === undefined ? undefined : request.headers[header],
      cookie === undefined ? undefined : request.cookies[cookie]
    ]
    return Effect.reduce(
      texts.filter((text) => text !== undefined),
      ConsistencyToken.empty,
      (token, text) => Effect.map(codec.decodeOrEmpty(text), (other) => ConsistencyToken.merge(token, other))
    )
  }
  const carry = (response: HttpServerResponse.HttpServerResponse, text: string, codec: ConsistencyToken.TokenCodec) => {
    const withHeader = header === undefined ? response : HttpServerResponse.setHeader(response, header, text)
    return cookie === undefined
      ? withHeader
      : HttpServerResponse.unsafeSetCookie(withHeader, cookie, text, {
        path: "/",
        httpOnly: true,
        secure: options.secure ?? true,
        sameSite: "lax",
        maxAge: codec.maxAge,
        ...(options.domain === undefined ? undefined : { domain: options.domain })
      })
  }
  return (app) =>
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const codec = yield* ConsistencyToken.CurrentTokenCodec
      const token = yield* tokenOf(request, codec)
      return yield* open(token, (session) => {
        const before = session.token
        // Not on the app's result: the server answers an error without telling its middleware, and may have sent the response.
        const handOn = HttpApp.appendPreResponseHandler((_, response) =>
          session.writes === 0 && (options.reads !== true || session.token === before)
            ? Effect.succeed(response)
            : Effect.map(codec.encode(session.token), (text) => text === "" ? response : carry(response, text, codec))
        )
        return Effect.zipRight(handOn, app)
      })
    })
}

/**
 * A client that sends along what the fiber's session has seen, and lets the session see what the responses say.
 *
 * For services that use the same Databases under the same names only: of another Database's position nothing can be said,
 * so that reads go to the primary until it has expired.
 *
 * @example
 * ```ts
 * import { HttpClient } from "@effect/platform"
 * import { Effect } from "effect"
 * import * as ConsistencyHttp from "effect-sql-router/ConsistencyHttp"
 *
 * const program = Effect.gen(function*() {
 *   const orders = ConsistencyHttp.client(yield* HttpClient.HttpClient)
 *   yield* orders.post("http://orders.internal/orders")
 *   // What this process reads from now on, it reads from replicas that have the order.
 * })
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const client = <E, R>(
  self: HttpClient.HttpClient.With<E, R>,
  options: { readonly header?: string | undefined } = {}
): HttpClient.HttpClient.With<E, R> => {
  const header = (options.header ?? defaultHeader).toLowerCase()
  const take = (response: HttpClientResponse.HttpClientResponse) => {
    const text = response.headers[header]
    return text === undefined
      ? Effect.void
      : ConsistencyToken.CurrentTokenCodec.pipe(
        Effect.flatMap((codec) => codec.decodeOrEmpty(text)),
        Effect.flatMap(ReadConsistency.see)
      )
  }
  return self.pipe(
    HttpClient.mapRequestEffect((request) =>
      Effect.map(
        ReadConsistency.currentTokenEncoded,
        (text) => text === "" ? request : HttpClientRequest.setHeader(request, header, text)
      )
    ),
    HttpClient.transformResponse((response) =>
      Effect.tapBoth(response, {
        onSuccess: take,
        // A client that takes a status for an error has the response in it.
        onFailure: (error) =>
          HttpClientError.isHttpClientError(error) && error._tag === "ResponseError"
            ? take(error.response)
            : Effect.void
      })
    )
  )
}
