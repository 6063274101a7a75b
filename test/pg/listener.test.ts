import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Queue, Scope, Stream, TestClock, TestServices } from "effect"
import { type ListenEvent, make } from "../../src/internal/pg/listener.js"
import * as RoutingError from "../../src/RoutingError.js"
import * as TcpProxy from "../../src/testing/TcpProxy.js"
import { postgres } from "../servers/index.js"
import { connect, endpoint, eventually, isIdle, kill, rows, silence, throughPort } from "./support.js"

/** An application name of its own tells a listener's backend from all others. */
const listenerOf = (applicationName: string) => make(() => endpoint({ applicationName }))

const backends = (name: string) =>
  Effect.scoped(Effect.flatMap(connect(), (admin) =>
    Effect.map(
      rows(admin, "SELECT pid, query FROM pg_stat_activity WHERE application_name = $1", [name]),
      (rows): ReadonlyArray<{ readonly pid: number; readonly query: string }> => rows
    )))

const notify = (channel: string, payload: string) =>
  Effect.scoped(
    Effect.flatMap(connect(), (connection) => rows(connection, "SELECT pg_notify($1, $2)", [channel, payload]))
  )

/** What a stream tells, from when the server listens for it. */
const collect = (listen: (channel: string) => Stream.Stream<ListenEvent, SqlError>, channel: string) =>
  Effect.gen(function*() {
    const events = yield* Queue.unbounded<ListenEvent>()
    const fiber = yield* Effect.forkScoped(Stream.runForEach(listen(channel), (event) => Queue.offer(events, event)))
    yield* Effect.repeat(
      Effect.zipRight(notify(channel, "are you there?"), Effect.sleep("10 millis")),
      { until: () => Effect.map(Queue.size(events), (size) => size > 0) }
    )
    yield* Effect.sleep("50 millis")
    yield* Queue.takeAll(events)
    return { events, fiber }
  })

const payload = (event: ListenEvent) => event._tag === "Notification" ? event.payload : event._tag

describe("listening", () => {
  it.scopedLive("delivers payloads in order, empty ones too, of any channel", () =>
    Effect.gen(function*() {
      const listen = yield* listenerOf("listen-order")
      for (const channel of ["orders", "Weird \"channel\" Ünïcode"]) {
        const { events } = yield* collect(listen, channel)
        yield* notify("another", "not for us")
        for (const text of ["one", "", "two"]) yield* notify(channel, text)
        assert.deepStrictEqual((yield* Queue.takeN(events, 3)).pipe((_) => Array.from(_, payload)), ["one", "", "two"])
      }
    }))

  it.scopedLive("shares one connection, which ends with the last listener", () =>
    Effect.gen(function*() {
      const name = "listen-shared"
      const listen = yield* listenerOf(name)
      assert.lengthOf(yield* backends(name), 0)
      const [a, b, again] = [yield* collect(listen, "a"), yield* collect(listen, "b"), yield* collect(listen, "a")]
      const [backend, ...others] = yield* backends(name)
      assert.lengthOf(others, 0)
      yield* Fiber.interrupt(a.fiber)
      yield* notify("a", "still here")
      assert.strictEqual(payload(yield* Queue.take(again.events)), "still here")
      yield* Fiber.interrupt(again.fiber)
      yield* eventually(Effect.map(backends(name), ([now]) => now?.query === "UNLISTEN \"a\""))
      assert.strictEqual((yield* backends(name))[0]?.pid, backend?.pid)
      yield* Fiber.interrupt(b.fiber)
      yield* eventually(Effect.map(backends(name), (now) => now.length === 0))
    }))

  it.scopedLive("goes on after a killed backend, and tells of the gap", () =>
    Effect.gen(function*() {
      const name = "listen-killed"
      const listen = yield* listenerOf(name)
      const { events } = yield* collect(listen, "jobs")
      const other = yield* collect(listen, "mails")
      const [backend] = yield* backends(name)
      yield* kill(yield* connect(), backend!.pid)
      const gap = yield* Queue.take(events)
      assert.strictEqual(gap._tag, "Gap")
      if (gap._tag === "Gap") {
        assert.strictEqual((gap.cause as { readonly code?: string }).code, "57P01")
        assert.isAbove(Duration.toMillis(gap.duration), 0)
      }
      assert.strictEqual((yield* Queue.take(other.events))._tag, "Gap")
      yield* notify("jobs", "after")
      yield* notify("mails", "after too")
      assert.strictEqual(payload(yield* Queue.take(events)), "after")
      assert.strictEqual(payload(yield* Queue.take(other.events)), "after too")
    }))

  it.scopedLive("tries again for as long as the server is away", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      const listen = yield* make(() => endpoint({ ...throughPort(proxy.port), connectTimeout: "100 millis" }))
      const { events } = yield* collect(listen, "away")
      yield* silence(proxy)
      yield* proxy.reset()
      yield* Effect.sleep("500 millis")
      assert.strictEqual(yield* Queue.size(events), 0)
      yield* proxy.recover
      yield* proxy.reset()
      const gap = yield* Queue.take(events)
      assert.isTrue(gap._tag === "Gap" && Duration.greaterThan(gap.duration, "500 millis"))
      yield* notify("away", "back")
      assert.strictEqual(payload(yield* Queue.take(events)), "back")
    }))

  it.scoped("notices a connection that has fallen silent", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      const listen = yield* make(() => endpoint(throughPort(proxy.port)))
      const { events } = yield* TestServices.provideLive(collect(listen, "silent"))
      const { opened } = yield* proxy.state
      const lost = ({ connection }: TcpProxy.Message) => connection <= opened ? "swallow" : "pass"
      yield* proxy.configure({ request: lost, answer: lost })
      yield* Effect.forkScoped(Effect.forever(
        Effect.zipRight(TestClock.adjust("1 second"), TestServices.provideLive(Effect.sleep("2 millis")))
      ))
      const gap = yield* Queue.take(events)
      assert.isTrue(gap._tag === "Gap" && Duration.greaterThan(gap.duration, "30 seconds"))
      yield* notify("silent", "heard again")
      assert.strictEqual(payload(yield* Queue.take(events)), "heard again")
    }))

  it.scopedLive("fails where the first connection cannot be opened, and may be tried again", () =>
    Effect.gen(function*() {
      const listen = yield* make(() => endpoint({ host: "127.0.0.1", port: 1 }))
      for (let i = 0; i < 2; i++) {
        const error = yield* Effect.flip(Stream.runDrain(listen("orders")))
        assert.strictEqual((error.cause as { readonly code?: string }).code, "ECONNREFUSED")
      }
    }))

  it.scopedLive("fails for a channel whose name the server would cut", () =>
    Effect.gen(function*() {
      const listen = yield* listenerOf("listen-long")
      const error = yield* Effect.flip(Stream.runDrain(listen("ü".repeat(32))))
      assert.instanceOf(error.cause, RoutingError.ConfigurationError)
    }))

  it.scopedLive("ends with an error when its Scope closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const listen = yield* Scope.extend(listenerOf("listen-closed"), scope)
      const { fiber } = yield* collect(listen, "orders")
      yield* Scope.close(scope, Exit.void)
      for (const listening of [Fiber.join(fiber), Stream.runDrain(listen("orders"))]) {
        const error = yield* Effect.flip(listening)
        assert.instanceOf(error.cause, RoutingError.RouterClosed)
      }
      yield* eventually(Effect.map(backends("listen-closed"), (now) => now.length === 0))
    }))

  it.scopedLive("is interrupted at once while it connects", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(postgres().primary)
      yield* silence(proxy)
      const listen = yield* make(() => endpoint(throughPort(proxy.port)))
      const fiber = yield* Effect.fork(Stream.runDrain(listen("orders")))
      yield* eventually(Effect.map(proxy.state, ({ open }) => open.length === 1))
      const [duration] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(duration), 100)
      yield* eventually(isIdle(proxy))
    }))
})
