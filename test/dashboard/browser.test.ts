import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import * as RoutingDashboard from "effect-sql-router/RoutingDashboard"
import * as RoutingDashboardNode from "effect-sql-router/RoutingDashboardNode"
import * as InMemoryDriver from "effect-sql-router/testing/InMemoryDriver"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import * as path from "node:path"
import type { Browser, Page } from "playwright-core"
import { chromium } from "playwright-core"
import { which } from "../../scripts/binaries.mjs"
import { serve } from "./support.js"

/** Whether it runs at all: Ubuntu has a program of that name that only says which snap to install. */
const runs = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0

const executablePath = ["chromium", "google-chrome", "chromium-browser"].flatMap((name) => {
  const found = which(name)
  return found === undefined ? [] : [found]
}).find(runs)

if (executablePath === undefined) {
  console.warn("The dashboard is not tested in a browser: neither chromium nor google-chrome is on the PATH")
}

const screenshots = path.resolve(import.meta.dirname, "../../.tmp/dashboard")

const launched = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      executablePath: executablePath!,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
  ),
  (browser) => Effect.promise(() => browser.close())
)

/** What a page had to complain of, and whom it asked. */
interface Watched {
  readonly page: Page
  readonly complaints: Array<string>
  readonly origins: Set<string>
}

const opened = (browser: Browser, url: string): Effect.Effect<Watched> =>
  Effect.promise(async () => {
    const page = await browser.newPage({ viewport: windows["wide-light"], deviceScaleFactor: 1 })
    const watched: Watched = { page, complaints: [], origins: new Set() }
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") watched.complaints.push(message.text())
    })
    page.on("pageerror", (error) => watched.complaints.push(error.message))
    page.on("request", (request) => {
      if (!request.url().startsWith("data:")) watched.origins.add(new URL(request.url()).origin)
    })
    await page.goto(url)
    return watched
  })

/** Waits until a text is seen in an element. */
const sees = (page: Page, selector: string, text: string | RegExp) =>
  Effect.promise(() => page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout: 20_000 }))

const row = (endpoint: string) => `tr[data-key=${endpoint}]`

const served = (sql: RoutedSqlClient.RoutedSqlClient) =>
  serve(RoutingDashboard.app({ title: "orders", interval: "250 millis" })).pipe(
    Effect.provideService(RoutedSqlClient.RoutedSqlClient, sql)
  )

/** A router of two Databases that has something to do until the Scope ends. */
const busy = Effect.gen(function*() {
  const latency = InMemoryDriver.longTailed("2 millis", "30 millis")
  const made = yield* InMemoryDriver.make({
    latency,
    record: false,
    primary: { weight: 1 },
    replicas: {
      replica1: { zone: "eu-1a" },
      replica2: { weight: 3, zone: "eu-1b" },
      replica3: { replayDelay: "150 millis" }
    },
    databases: { archive: { primary: {}, replicas: { "archive-replica": {} }, pool: { max: 4 } } },
    pool: { max: 8 },
    health: { probeInterval: "500 millis" }
  })
  const sql = made.client
  const archive = yield* sql.database("archive")
  const read = sql`SELECT secret FROM accounts WHERE token = ${"hunter2"}`
  const write = sql`UPDATE accounts SET token = ${"hunter2"} WHERE id = 1`
  const visits: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [
    Effect.replicateEffect(read, 10),
    Effect.zipRight(write, read),
    archive`SELECT 1`,
    sql.withTransaction(Effect.zip(write, read))
  ]
  for (const [i, visit] of [...visits, ...visits, visits[0]!].entries()) {
    const once = Effect.ignore(RoutedSqlClient.withDeadline("3 seconds")(visit))
    yield* Effect.forkScoped(Effect.repeat(once, Schedule.spaced(`${10 + 7 * i} millis`)))
  }
  return made
})

const windows = {
  "wide-light": { width: 1280, height: 900, colorScheme: "light" },
  "wide-dark": { width: 1280, height: 900, colorScheme: "dark" },
  tablet: { width: 800, height: 900, colorScheme: "light" },
  "phone-light": { width: 390, height: 844, colorScheme: "light" },
  "phone-dark": { width: 390, height: 844, colorScheme: "dark" }
} as const

/** Shows a page in windows of all kinds, keeps pictures of it, and gives those windows that are too narrow for it. */
const shoot = (page: Page, when: string) =>
  Effect.promise(async () => {
    mkdirSync(screenshots, { recursive: true })
    const tooNarrow: Array<string> = []
    for (const [name, { colorScheme, ...size }] of Object.entries(windows)) {
      await page.setViewportSize(size)
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: path.join(screenshots, `${name}-${when}.png`), fullPage: true })
      // As a text, for it is the browser's: there are no types for it here.
      if (await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")) tooNarrow.push(name)
    }
    await page.setViewportSize(windows["wide-light"])
    return tooNarrow
  })

describe.runIf(executablePath !== undefined)("the page in a browser", () => {
  it.scopedLive("shows a router live, and what happens to it", () =>
    Effect.gen(function*() {
      const { client, cluster } = yield* busy
      const url = yield* served(client)
      const { complaints, origins, page } = yield* opened(yield* launched, url)

      yield* sees(page, "h1", "orders")
      yield* sees(page, "#live", /^live, \d\d:\d\d:\d\d$/)
      yield* sees(page, "#problems", "All is well")
      yield* sees(page, `${row("replica2")} [data-field=state]`, "in service")
      yield* sees(page, `${row("replica2")} [data-field=rate]`, /[1-9]/)
      yield* sees(page, `${row("replica2")} [data-field=mean]`, /\d (µs|ms|s)$/)
      yield* sees(page, `${row("replica2")} [data-field=pools]`, /\d of 8 busy/)
      yield* sees(page, `${row("archive-replica")} [data-field=share]`, "100 %")
      yield* sees(page, "#reasons tr", "in a transaction")
      assert.deepStrictEqual(yield* shoot(page, "well"), [])

      yield* cluster.endpoint("replica1").fail("down")
      yield* sees(page, row("replica1"), "out of service")
      yield* sees(page, "#problems li", "main: replica1 is out of service (replica1: the server is down)")
      assert.match(yield* Effect.promise(() => page.title()), /^\(\d+\) orders$/)

      yield* cluster.endpoint("primary").fail("down")
      yield* sees(page, "#problems li[data-tone=bad]", "main: Writes fail: primary cannot be connected to")
      yield* cluster.endpoint("replica2").promote
      yield* sees(page, "#events li", "Failover: writes go to replica2 now, no longer to primary")
      yield* sees(page, `${row("replica2")} [data-field=role]`, "primary")
      assert.deepStrictEqual(yield* shoot(page, "failover"), [])

      yield* cluster.endpoint("replica1").recover
      yield* sees(page, row("replica1"), "in service")
      yield* sees(page, "#events li", "replica1 is back in service")

      assert.deepStrictEqual(complaints, [])
      assert.deepStrictEqual([...origins], [url])
      assert.notMatch(yield* Effect.promise(() => page.content()), /hunter2|accounts/)
    }), 120_000)

  it.scopedLive("tells of what happened before it was opened", () =>
    Effect.gen(function*() {
      const { client } = yield* busy
      yield* client.drain("replica1")
      const { page } = yield* opened(yield* launched, yield* served(client))
      yield* sees(page, "#events li", "replica1 was drained by hand")
    }), 120_000)

  it.scopedLive("stops at the key p, and goes on at the next", () =>
    Effect.gen(function*() {
      const { client } = yield* busy
      const { page } = yield* opened(yield* launched, yield* served(client))
      const press = Effect.promise(() => page.keyboard.press("p"))
      const shown = Effect.promise(() => page.locator("#totals").innerText())
      yield* sees(page, "#live", /^live/)
      yield* press
      yield* sees(page, "#live", /^paused/)
      yield* sees(page, "button[aria-pressed=true]", "Pause")
      const then = yield* shown
      yield* Effect.sleep("1 seconds")
      assert.strictEqual(yield* shown, then)
      yield* press
      yield* sees(page, "#live", /^live/)
    }), 120_000)

  it.scopedLive("says when nobody answers any more, and goes on when somebody does", () =>
    Effect.gen(function*() {
      const { client } = yield* busy
      const server = (port: number) =>
        RoutingDashboardNode.make({ port }).pipe(Effect.provideService(RoutedSqlClient.RoutedSqlClient, client))
      const scope = yield* Scope.make()
      const url = yield* Scope.extend(server(0), scope)
      const { page } = yield* opened(yield* launched, url)
      yield* sees(page, "#live", /^live/)
      yield* Scope.close(scope, Exit.void)
      yield* sees(page, "#live", /^no answer since \d/)
      yield* server(Number(new URL(url).port))
      yield* sees(page, "#live", /^live/)
    }), 120_000)
})
