import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** Serves an app on a free port of this machine until the Scope ends; gives its address, without a slash at the end. */
export const serve = <R>(app: HttpApp.Default<never, R>) =>
  Effect.gen(function*() {
    const node = createServer()
    const server = yield* NodeHttpServer.make(() => node, { port: 0, host: "127.0.0.1" })
    yield* HttpServer.serveEffect(app).pipe(Effect.provideService(HttpServer.HttpServer, server))
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
    return `http://127.0.0.1:${(node.address() as AddressInfo).port}`
  })
