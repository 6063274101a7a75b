import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { RoutedSqlClient } from "../../RoutedSqlClient.js"
import type { DashboardOptions } from "../../RoutingDashboard.js"
import { quoted } from "../words.js"
import * as Page from "./page.js"
import * as Snapshot from "./snapshot.js"

/** A page that hears nothing for 5 seconds asks anew. */
const intervals = { minimum: Duration.millis(100), maximum: Duration.seconds(4) }

/** How long a response of events goes on: servers wait for their responses before they shut down. */
const longestResponse = Duration.seconds(10)

const headers = {
  "cache-control": "no-store",
  "content-security-policy": Page.contentSecurityPolicy,
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

export const make = (options: DashboardOptions = {}): HttpApp.Default<never, RoutedSqlClient> => {
  const interval = Duration.clamp(options.interval ?? Duration.seconds(1), intervals)
  const allowed = options.allowedHosts?.map((host) => host.toLowerCase())
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers: { host }, method, url }) => {
    if (method !== "GET") return text("Only GET is answered.", 405, { allow: "GET" })
    if (allowed !== undefined && !allowed.includes(hostNameOf(host))) {
      return text(`Requests are answered for ${quoted(allowed)} only: add yours to allowedHosts.`, 421)
    }
    const asked = queryOf(url)
    if (!asked.has("snapshot") && !asked.has("events")) return page
    return Effect.flatMap(RoutedSqlClient, (sql) => {
      const json = Effect.map(Snapshot.make(sql, options.title), (snapshot) => JSON.stringify(snapshot))
      return asked.has("events")
        ? events(json, interval)
        : Effect.map(json, (json) => HttpServerResponse.text(json, { contentType: "application/json", headers }))
    })
  })
}

const page = HttpServerResponse.text(Page.html, { contentType: "text/html; charset=utf-8", headers })

const text = (body: string, status: number, more: { readonly [name: string]: string } = {}) =>
  HttpServerResponse.text(`${body}\n`, { status, headers: { ...headers, ...more } })

/** Snapshots as server-sent events, each made when it is asked for: nothing is kept for one who reads slowly. */
const events = (json: Effect.Effect<string>, interval: Duration.Duration) =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    const end = start + Duration.toMillis(longestResponse)
    const next = (isFirst: boolean) =>
      Effect.gen(function*() {
        if (!isFirst) yield* Effect.sleep(interval)
        if ((yield* Clock.currentTimeMillis) >= end) return Option.none()
        return Option.some([`data: ${yield* json}\n\n`, false] as const)
      })
    return HttpServerResponse.stream(Stream.encodeText(Stream.unfoldEffect(true, next)), {
      contentType: "text/event-stream",
      // Some proxies gather what they pass on, unless told.
      headers: { ...headers, "x-accel-buffering": "no" }
    })
  })

/** Without its port; of an IPv6 address the brackets stay. */
const hostNameOf = (host = ""): string => host.toLowerCase().replace(/:\d*$/, "")

const queryOf = (url: string): URLSearchParams => {
  const mark = url.indexOf("?")
  return new URLSearchParams(mark === -1 ? "" : url.slice(mark))
}
