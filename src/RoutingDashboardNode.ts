/**
 * The page of {@link RoutingDashboard} on a server of its own, in Node. Beside it because this needs
 * `@effect/platform-node`, and the page does not.
 *
 * Imported as `effect-sql-router/RoutingDashboardNode`.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import type { RoutedSqlClient } from "./RoutedSqlClient.js"
import * as RoutingDashboard from "./RoutingDashboard.js"

/**
 * Options of the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerOptions extends RoutingDashboard.DashboardOptions {
  /** Default 4980; 0 for one that is free. */
  readonly port?: number | undefined
  /** The address that it listens on. Default `127.0.0.1`, which only this machine reaches. */
  readonly host?: string | undefined
  /** Host names that requests may be for, beside `localhost`, `127.0.0.1` and `[::1]`. Default: none. */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

const loopback = ["localhost", "127.0.0.1", "[::1]"]

/**
 * Shows the router until the Scope ends, and gives the address: `http://127.0.0.1:4980/`. Fails with a `ServeError` if the
 * port is taken, as it is where several processes of one machine use the same.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: ServerOptions = {}
): Effect.Effect<string, ServeError, RoutedSqlClient | Scope.Scope> => {
  const { allowedHosts = [], host = "127.0.0.1", port = 4980 } = options
  const app = RoutingDashboard.app({ ...options, allowedHosts: [...loopback, ...allowedHosts] })
  return Effect.gen(function*() {
    const node = createServer()
    const server = yield* NodeHttpServer.make(() => node, { port, host })
    yield* HttpServer.serveEffect(HttpRouter.get(HttpRouter.empty, "/", app)).pipe(
      // A page's requests are no part of what the program is traced for.
      HttpMiddleware.withTracerDisabledWhenEffect(() => true),
      Effect.provideService(HttpServer.HttpServer, server)
    )
    // Pages that are open would be waited for.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        node.close()
        node.closeAllConnections()
      })
    )
    return `${HttpServer.formatAddress(server.address)}/`
  })
}

/**
 * Shows the router as long as the Layer is there; the log tells where.
 *
 * @example
 * ```ts
 * import { Layer, Redacted } from "effect"
 * import * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
 * import * as RoutingDashboardNode from "effect-sql-router/RoutingDashboardNode"
 *
 * const Database = RoutingDashboardNode.layer().pipe(
 *   Layer.provideMerge(RoutedPgClient.layer({ primary: { url: Redacted.make("postgres://app@primary/app") } }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ServerOptions = {}): Layer.Layer<never, ServeError, RoutedSqlClient> =>
  Layer.scopedDiscard(Effect.flatMap(make(options), (url) => Effect.logInfo(`The router is shown on ${url}`)))
