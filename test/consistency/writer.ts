/** A service of its own process: it writes where it is asked to, and tells what has the write. */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Layer, Redacted } from "effect"
import { createServer } from "node:http"
import * as ConsistencyHttp from "../../src/ConsistencyHttp.js"
import * as RoutedPgClient from "../../src/RoutedPgClient.js"

const app = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/items/:id",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* HttpRouter.params
      yield* sql`INSERT INTO items (id) VALUES (${Number(id)})`
      return HttpServerResponse.empty({ status: 201 })
    })
  )
)

const listening = Layer.effectDiscard(Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  if (address._tag === "TcpAddress") yield* Effect.sync(() => process.stdout.write(`${address.port}\n`))
}))

HttpServer.serve(app, ConsistencyHttp.server()).pipe(
  Layer.merge(listening),
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.provide(RoutedPgClient.layer({ primary: { url: Redacted.make(process.env["PRIMARY_URL"]!) } })),
  Layer.launch,
  NodeRuntime.runMain
)
