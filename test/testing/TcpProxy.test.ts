import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schedule, Scope, TestClock, TestServices } from "effect"
import * as TcpProxy from "effect-sql-router/testing/TcpProxy"
import * as Net from "node:net"

const host = "127.0.0.1"

/** Answers each message with what `answer` makes of it; tells what it was sent. */
const makeServer = (answer: (text: string) => string = (text) => `re: ${text}`) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly heard: Array<string>; readonly server: Net.Server }>((resume) => {
      const heard: Array<string> = []
      const server = Net.createServer((socket) => {
        socket.on("error", () => {})
        socket.on("data", (data) => {
          heard.push(String(data))
          socket.write(answer(String(data)))
        })
      })
      server.listen(0, host, () =>
        resume(Effect.succeed({ port: (server.address() as Net.AddressInfo).port, heard, server })))
    }),
    ({ server }) =>
      Effect.sync(() =>
        server.close()
      )
  )

/** What a client says and hears, and the word for how it ended. */
const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.async<
      {
        readonly socket: Net.Socket
        readonly heard: Array<string>
        readonly ended: Deferred.Deferred<string>
      },
      NodeJS.ErrnoException
    >((resume) => {
      const heard: Array<string> = []
      const ended = Effect.runSync(Deferred.make<string>())
      const end = (word: string) => Deferred.unsafeDone(ended, Effect.succeed(word))
      const socket = Net.connect({ host, port, noDelay: true }, () => resume(Effect.succeed({ socket, heard, ended })))
      socket.on("data", (data) => heard.push(String(data)))
      socket.on("end", () => end("closed"))
      socket.on("error", (error: NodeJS.ErrnoException) => {
        end(error.code!)
        resume(Effect.fail(error))
      })
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** How a connection ends that says nothing; it may end before it is known to be open. */
const endOf = (port: number) =>
  Effect.flatMap(connect(port), ({ ended }) => Deferred.await(ended)).pipe(
    Effect.catchAll(({ code }) => Effect.succeed(code))
  )

const eventually = (what: string, holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (done: boolean) => done, schedule: Schedule.spaced("2 millis") }),
    Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => new Error(`${what}: not within 5 s`) }),
    Effect.orDie,
    TestServices.provideLive
  )

const aWhile = TestServices.provideLive(Effect.sleep("50 millis"))

const before = Effect.gen(function*() {
  const server = yield* makeServer()
  const proxy = yield* TcpProxy.make(server)
  return { server, proxy }
})

describe("a proxy", () => {
  it.scoped("passes on what both sides say, and that they have ended", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* before
      const { ended, heard, socket } = yield* connect(proxy.port)
      for (const text of ["one", "two"]) {
        socket.write(text)
        yield* eventually("it is answered", () => heard.at(-1) === `re: ${text}`)
      }
      assert.deepStrictEqual(yield* proxy.state, { opened: 1, open: [1], requests: 2, answers: 2 })
      socket.end("three")
      assert.strictEqual(yield* Deferred.await(ended), "closed")
      assert.deepStrictEqual(heard, ["re: one", "re: two", "re: three"])
      assert.deepStrictEqual(server.heard, ["one", "two", "three"])
      yield* eventually("it is gone", () => Effect.runSync(proxy.state).open.length === 0)
    }))

  it.scoped("resets who connects while the server is away", () =>
    Effect.gen(function*() {
      const { port, server } = yield* makeServer()
      server.close()
      const proxy = yield* TcpProxy.make({ port })
      assert.strictEqual(yield* endOf(proxy.port), "ECONNRESET")
    }))

  it.scoped("holds back a server whose client does not read", () =>
    Effect.gen(function*() {
      const size = 64 * 2 ** 20
      const { port } = yield* makeServer(() => "x".repeat(size))
      const proxy = yield* TcpProxy.make({ port })
      const { heard, socket } = yield* connect(proxy.port)
      let passed = 0
      yield* proxy.configure({
        answer: ({ bytes }) => {
          passed += bytes.length
          return "pass"
        }
      })
      socket.pause()
      socket.write("much, please")
      yield* eventually("some has come", () => passed > 0)
      yield* aWhile
      assert.isBelow(passed, size / 2)
      socket.resume()
      yield* eventually("all has come", () => heard.reduce((sum, { length }) => sum + length, 0) === size)
    }))

  it.scoped("ends with its Scope, and with it all connections", () =>
    Effect.gen(function*() {
      const { port } = yield* makeServer()
      const scope = yield* Scope.make()
      const proxy = yield* Scope.extend(TcpProxy.make({ port }), scope)
      const { ended } = yield* connect(proxy.port)
      yield* eventually("it is seen", () => Effect.runSync(proxy.state).opened === 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Deferred.await(ended), "closed")
      assert.strictEqual((yield* Effect.flip(connect(proxy.port))).code, "ECONNREFUSED")
      yield* proxy.recover
      assert.strictEqual((yield* Effect.flip(connect(proxy.port))).code, "ECONNREFUSED")
    }))

  it.scoped("fails typed for what can be no server", () =>
    Effect.gen(function*() {
      for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
        const error = yield* Effect.flip(TcpProxy.make({ port }))
        assert.instanceOf(error, TcpProxy.TcpProxyError)
        assert.include(error.message, `127.0.0.1:${port}`)
      }
    }))
})

describe("who connects", () => {
  it.scoped("is refused, while others go on, until the proxy recovers", () =>
    Effect.gen(function*() {
      const { proxy } = yield* before
      const { heard, socket } = yield* connect(proxy.port)
      yield* proxy.configure({ connect: "refuse" })
      assert.strictEqual((yield* Effect.flip(connect(proxy.port))).code, "ECONNREFUSED")
      socket.write("still here")
      yield* eventually("it is answered", () => heard.length === 1)
      yield* proxy.recover
      yield* connect(proxy.port)
    }))

  it.scoped("is refused for good where somebody else has taken the port meanwhile, and the test told", () =>
    Effect.gen(function*() {
      const { proxy } = yield* before
      yield* proxy.configure({ connect: "refuse" })
      const thief = Net.createServer()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void thief.listen(proxy.port, host, () => resume(Effect.void))),
        () => Effect.sync(() => thief.close())
      )
      const error = yield* Effect.flip(proxy.recover)
      assert.deepInclude(error, { _tag: "TcpProxyError", reason: "listen", address: `${host}:${proxy.port}` })
    }))

  it.scoped("is reset, ignored or let in, each as the test says", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* before
      yield* proxy.configure({ connect: (connection) => (["reset", "ignore", "join"] as const)[connection - 1]! })
      assert.strictEqual(yield* endOf(proxy.port), "ECONNRESET")
      const second = yield* connect(proxy.port)
      second.socket.write("anybody?")
      const third = yield* connect(proxy.port)
      third.socket.write("hello")
      yield* eventually("it is answered", () => third.heard.length === 1)
      assert.deepStrictEqual([second.heard, server.heard], [[], ["hello"]])
      assert.deepStrictEqual((yield* proxy.state).open, [2, 3])
      second.socket.end()
      yield* eventually("its end is seen", () => Effect.runSync(proxy.state).open.length === 1)
    }))

  it.scoped("is led to another server from the time that the target has changed", () =>
    Effect.gen(function*() {
      const { proxy } = yield* before
      const other = yield* makeServer(() => "from another")
      const early = yield* connect(proxy.port)
      yield* eventually("it is joined", () => Effect.runSync(proxy.state).opened === 1)
      yield* proxy.configure({ target: { port: other.port } })
      const late = yield* connect(proxy.port)
      for (const { socket } of [early, late]) socket.write("who?")
      yield* eventually("both are answered", () => early.heard.length + late.heard.length === 2)
      assert.deepStrictEqual([early.heard, late.heard], [["re: who?"], ["from another"]])
    }))
})

describe("the fate of a message", () => {
  const fates: ReadonlyArray<{
    readonly fate: TcpProxy.Fate
    readonly request: { readonly server: ReadonlyArray<string>; readonly client: ReadonlyArray<string> }
    readonly answer: ReadonlyArray<string>
    readonly isCut: boolean
  }> = [
    { fate: "pass", request: { server: ["hello"], client: ["re: hello"] }, answer: ["re: hello"], isCut: false },
    { fate: "swallow", request: { server: [], client: [] }, answer: [], isCut: false },
    { fate: "cutBefore", request: { server: [], client: [] }, answer: [], isCut: true },
    { fate: "cutAfter", request: { server: ["hello"], client: [] }, answer: ["re: hello"], isCut: true },
    { fate: 2, request: { server: ["he"], client: [] }, answer: ["re"], isCut: true }
  ]
  for (const { answer, fate, isCut, request } of fates) {
    for (const way of ["request", "answer"] as const) {
      it.scoped(`${fate}, of ${way === "request" ? "a request" : "an answer"}`, () =>
        Effect.gen(function*() {
          const { proxy, server } = yield* before
          yield* proxy.configure({ [way]: TcpProxy.once(fate) })
          const { ended, heard, socket } = yield* connect(proxy.port)
          socket.write("hello")
          // What was sent just before a reset may be all that is seen of it.
          if (isCut) assert.include(["ECONNRESET", "closed"], yield* Deferred.await(ended))
          else yield* aWhile
          yield* eventually(
            "the server has heard it",
            () => server.heard.length === (way === "answer" ? 1 : request.server.length)
          )
          assert.deepStrictEqual(server.heard, way === "answer" ? ["hello"] : request.server)
          assert.deepStrictEqual(heard, way === "answer" ? answer : request.client)
          assert.strictEqual(yield* Deferred.isDone(ended), isCut)
        }))
    }
  }

  it.scoped("is decided by what it says, where it stands, and whose it is", () =>
    Effect.gen(function*() {
      const { proxy } = yield* before
      const seen: Array<TcpProxy.Message> = []
      yield* proxy.configure({
        request: (message) => {
          seen.push(message)
          return message.text.includes("bad") ? "swallow" : "pass"
        }
      })
      const one = yield* connect(proxy.port)
      one.socket.write("bad")
      yield* eventually("it has come", () => seen.length === 1)
      one.socket.write("good")
      const two = yield* connect(proxy.port)
      two.socket.write("\u00ff")
      yield* eventually("they are answered", () => one.heard.length + two.heard.length === 2)
      assert.deepStrictEqual(one.heard, ["re: good"])
      assert.deepStrictEqual(
        seen.map(({ connection, offset, text }) => [connection, offset, text]).toSorted(),
        [[1, 0, "bad"], [1, 3, "good"], [2, 0, "\u00c3\u00bf"]]
      )
    }))

  it.scoped("may be one of a kind: the first that it is for, and no other", () =>
    Effect.gen(function*() {
      const { proxy, server } = yield* before
      yield* proxy.configure({ request: TcpProxy.once("swallow", ({ text }) => text === "b") })
      const { socket } = yield* connect(proxy.port)
      let requests = 0
      for (const text of ["a", "b", "b"]) {
        socket.write(text)
        requests++
        yield* eventually("it has come", () => Effect.runSync(proxy.state).requests === requests)
      }
      yield* eventually("two have passed", () => server.heard.length === 2)
      assert.deepStrictEqual(server.heard, ["a", "b"])
    }))

  it.scoped("may depend on how much has come before: each connection breaks off after so many bytes", () =>
    Effect.gen(function*() {
      const { proxy } = yield* before
      yield* proxy.configure({ answer: TcpProxy.cutAfterBytes(10) })
      for (let round = 0; round < 2; round++) {
        const { ended, heard, socket } = yield* connect(proxy.port)
        socket.write("abc")
        yield* eventually("it is answered", () => heard.length === 1)
        socket.write("def")
        yield* Deferred.await(ended)
        assert.strictEqual(heard.join(""), "re: abcre:")
      }
    }))
})

it.scoped("answers are heard in order, as late as the Clock says", () =>
  Effect.gen(function*() {
    const { proxy, server } = yield* before
    const { heard, socket } = yield* connect(proxy.port)
    const say = (text: string) =>
      Effect.zipRight(
        Effect.sync(() => socket.write(text)),
        Effect.zipRight(eventually("the server has it", () => server.heard.at(-1) === text), aWhile)
      )
    yield* proxy.configure({ delay: "1 minute" })
    yield* say("slow")
    yield* proxy.configure({ delay: 0 })
    yield* say("quick")
    yield* TestClock.adjust("59 seconds")
    yield* aWhile
    assert.deepStrictEqual(heard, [])
    yield* TestClock.adjust("1 second")
    yield* eventually("both are there", () => heard.join("").length > 10)
    assert.strictEqual(heard.join(" "), heard.length === 1 ? "re: slowre: quick" : "re: slow re: quick")
    yield* say("at once")
    assert.strictEqual(heard.at(-1), "re: at once")
  }))

it.scoped("one connection can be reset, or all of them", () =>
  Effect.gen(function*() {
    const { proxy } = yield* before
    const clients = yield* Effect.forEach([1, 2, 3], () => connect(proxy.port))
    yield* eventually("all are there", () => Effect.runSync(proxy.state).open.length === 3)
    yield* proxy.reset(2)
    assert.strictEqual(yield* Deferred.await(clients[1]!.ended), "ECONNRESET")
    yield* eventually("it is gone", () => Effect.runSync(proxy.state).open.length === 2)
    assert.deepStrictEqual((yield* proxy.state).open, [1, 3])
    const rest = yield* Effect.fork(Effect.forEach([0, 2], (i) => Deferred.await(clients[i]!.ended)))
    yield* proxy.reset()
    assert.deepStrictEqual(yield* Fiber.join(rest), ["ECONNRESET", "ECONNRESET"])
  }))
