/**
 * What the page does in the browser: text, since the package is for programs that have no browser's types. It is a module,
 * written without backticks and `${`; test/dashboard/page.test.ts type-checks and lints it.
 */
export const script = /* js */ String.raw`
/**
 * @typedef {import("../../RoutingDashboard.js").Snapshot} Snapshot
 * @typedef {import("../../RoutingDashboard.js").DatabaseSnapshot} Database
 * @typedef {import("../../RoutingDashboard.js").EndpointSnapshot} Endpoint
 * @typedef {import("../../RoutingDashboard.js").PoolSnapshot} Pool
 * @typedef {import("../../RoutingDashboard.js").EventSnapshot} Event
 * @typedef {import("../../RoutingMetrics.js").RoutingCount} Count
 * @typedef {Count & { rate: number | undefined }} Rated
 * @typedef {{ atMillis: number, counts: Map<string, number> }} Sample
 * @typedef {{ key: string, what: string, detail: string, rate: number | undefined, share: number, count: number }} Line
 */

/** Rates are those of so many milliseconds. */
const rateWindow = 5000

/** So many points has a curve. */
const curvePoints = 60

/** After so many milliseconds without a snapshot, what is shown is old. */
const patience = 5000

/** @type {Array<Sample>} */
let samples = []

/** @type {Map<string, Array<number>>} */
const curves = new Map()

// ---- words and figures

const unknown = "\u2013"

/** @param {number | undefined} value */
const figure = (value) => {
  if (value === undefined) return unknown
  if (value === 0) return "0"
  if (value < 10) return value < 0.05 ? "<0.1" : value.toFixed(1)
  return Math.round(value).toLocaleString("en")
}

/** @param {number | undefined} millis */
const time = (millis) => {
  if (millis === undefined) return unknown
  if (millis > 0 && millis < 1) return Math.round(millis * 1000) + " \u00b5s"
  if (millis < 1000) return (millis > 0 && millis < 10 ? millis.toFixed(1) : Math.round(millis)) + " ms"
  if (millis < 60000) return (millis / 1000).toFixed(1) + " s"
  if (millis < 3600000) return Math.round(millis / 60000) + " min"
  return (millis / 3600000).toFixed(1) + " h"
}

/** @param {number | undefined} share */
const percent = (share) => share === undefined ? unknown : Math.round(share * 100) + " %"

/** @param {ReadonlyArray<number>} numbers */
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0)

/** @type {Record<Endpoint["state"], { tone: string, mark: string, word: string }>} */
const states = {
  closed: { tone: "good", mark: "\u25cf", word: "in service" },
  open: { tone: "bad", mark: "\u2715", word: "out of service" },
  trial: { tone: "warn", mark: "\u25d0", word: "on trial" },
  drained: { tone: "warn", mark: "\u25cc", word: "drained" },
  quarantined: { tone: "warn", mark: "\u25a0", word: "quarantined" }
}

/** @type {Record<string, string>} */
const marks = { good: "\u25cf", plain: "\u25cb", warn: "\u25b2", bad: "\u2715" }

/** @param {Endpoint} endpoint */
const stateOf = ({ available, role, state, weight }) => {
  if (available || state !== "closed") return states[state]
  if (role === "primary") return { tone: "bad", mark: "\u2715", word: "takes no writes" }
  // With a weight of 0 it is not meant to.
  return weight === 0
    ? { tone: "plain", mark: "\u25cb", word: "takes no reads" }
    : { tone: "bad", mark: "\u2715", word: "takes no reads" }
}

/**
 * @param {Endpoint} endpoint
 * @param {number} now
 */
const whyOf = ({ available, lastError, sinceMillis, state, untilMillis, why }, now) => {
  if (!available && state === "closed") return why
  const since = sinceMillis === undefined ? "" : "for " + time(now - sinceMillis)
  if (state !== "open" && state !== "trial") return since
  const next = state === "trial" || untilMillis === undefined ? "" : "next try in " + time(Math.max(0, untilMillis - now))
  return [since, next, lastError ?? ""].filter((text) => text !== "").join(", ")
}

/**
 * What is counted beside statements, in words, fallbacks first.
 *
 * @type {Array<[name: string, what: string, detail: (tags: Count["tags"]) => string | undefined]>}
 */
const counters = [
  ["freshness_fallbacks", "read the primary to be fresh enough", ({ level, reason }) => (fallbacks[reason ?? ""] ?? reason) + " (" + level + ")"],
  ["fallback_reads", "reads on the primary, in the place of replicas", () => ""],
  ["retries", "tried again", ({ endpoint }) => "failed on " + endpoint],
  ["retry_budget_exhausted", "not tried again", ({ endpoint }) => "too many failed on " + endpoint],
  ["refusals", "refused", ({ reason }) => reason],
  ["hedged_reads", "hedged reads", ({ winner }) => winner + " endpoint won"],
  ["mirrored_reads", "mirrored reads", ({ outcome }) => outcome],
  ["lag_exclusions", "taken out for its lag", ({ endpoint }) => endpoint],
  ["lag_unknown", "lag could not be measured", ({ endpoint }) => endpoint],
  ["probe_failures", "probes that failed", ({ endpoint }) => endpoint],
  ["primary_changes", "failovers", () => ""],
  ["lost_writes_suspected", "writes that a failover seems to have lost", ({ reason }) => reason]
]

/** @type {Record<string, string>} */
const fallbacks = {
  positionUnknown: "position not known",
  window: "just written",
  behind: "replicas not there in time",
  otherHistory: "after a failover",
  lag: "replicas lag"
}

// ---- the document

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id))

/**
 * @param {Element} node
 * @param {string} selector
 */
const part = (node, selector) => /** @type {HTMLElement} */ (node.querySelector(selector))

/**
 * @param {Element} node
 * @param {string} name
 */
const field = (node, name) => part(node, "[data-field=" + name + "]")

/**
 * A change of what is the same already would make a screen reader speak.
 *
 * @param {Element} node
 * @param {string} text
 */
const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text
}

/** @param {string} id */
const clone = (id) => {
  const { content } = /** @type {HTMLTemplateElement} */ (byId(id))
  return /** @type {HTMLElement} */ (content.firstElementChild?.cloneNode(true))
}

/**
 * Makes the children of a node those of a list; one that stays is the same element, and keeps its place on the screen.
 *
 * @template A
 * @param {Element} parent
 * @param {string} template
 * @param {ReadonlyArray<A>} items
 * @param {(item: A) => string} keyOf
 * @param {(node: HTMLElement, item: A) => void} update
 */
const list = (parent, template, items, keyOf, update) => {
  const before = new Map(Array.from(parent.children, (node) => [node.getAttribute("data-key"), node]))
  items.forEach((item, index) => {
    const key = keyOf(item)
    const node = /** @type {HTMLElement} */ (before.get(key) ?? clone(template))
    before.delete(key)
    node.setAttribute("data-key", key)
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null)
    update(node, item)
  })
  // Those that are in the list stand before all others now.
  while (parent.children.length > items.length) parent.lastElementChild?.remove()
}

/**
 * @param {Element} node
 * @param {{ tone: string, mark: string, word: string }} state
 */
const mark = (node, { mark, tone, word }) => {
  node.setAttribute("data-tone", tone)
  write(part(node, ".mark"), mark)
  write(part(node, ".word"), word)
}

/**
 * @param {Element} bar
 * @param {ReadonlyArray<number>} shares
 */
const fill = (bar, shares) => {
  const parts = /** @type {NodeListOf<HTMLElement>} */ (bar.querySelectorAll("i"))
  parts.forEach((part, index) => {
    part.style.width = (100 * Math.min(1, shares[index] ?? 0)).toFixed(1) + "%"
  })
}

/**
 * Draws how something was lately; the right end is now.
 *
 * @param {Element} svg
 * @param {string} key
 * @param {number | undefined} value
 */
const curve = (svg, key, value) => {
  if (value === undefined) return
  const points = curves.get(key) ?? []
  curves.set(key, points)
  points.push(value)
  if (points.length > curvePoints) points.shift()
  const most = Math.max(1, ...points)
  const path = points.map((point, index) => {
    const x = curvePoints - points.length + index + 1
    return (index === 0 ? "M" : "L") + x + " " + (20 - 18 * point / most).toFixed(1)
  })
  part(svg, "path").setAttribute("d", path.join(""))
}

// ---- what counts have grown by

/** @param {Count} count */
const keyOf = ({ name, tags }) => JSON.stringify([name, tags])

/**
 * Counts with their rates; without, in the first snapshot, and after the router was built anew.
 *
 * @param {Snapshot} snapshot
 * @returns {Array<Rated>}
 */
const rated = ({ atMillis, counts }) => {
  const sample = { atMillis, counts: new Map(counts.map((count) => [keyOf(count), count.count])) }
  const last = samples.at(-1)
  const isAnother = last !== undefined
    && (atMillis < last.atMillis || Array.from(last.counts).some(([key, count]) => (sample.counts.get(key) ?? 0) < count))
  if (isAnother) {
    samples = []
    curves.clear()
  }
  // The last one from before the window stays, to measure by.
  while (samples.length > 1 && (samples[1]?.atMillis ?? 0) <= atMillis - rateWindow) samples.shift()
  const since = samples[0]
  samples.push(sample)
  if (since === undefined) return counts.map((count) => ({ ...count, rate: undefined }))
  const seconds = (atMillis - since.atMillis) / 1000
  return counts.map((count) => ({ ...count, rate: (count.count - (since.counts.get(keyOf(count)) ?? 0)) / seconds }))
}

/**
 * @param {ReadonlyArray<Rated>} counts
 * @returns {number | undefined}
 */
const rateOf = (counts) => samples.length < 2 ? undefined : sum(counts.map(({ rate }) => rate ?? 0))

/**
 * @param {number | undefined} part
 * @param {number | undefined} whole
 */
const shareOf = (part, whole) => part === undefined || !whole ? undefined : part / whole

// ---- the parts of the page

/** @param {Snapshot} snapshot */
const showProblems = ({ databases, title }) => {
  const problems = databases.flatMap(({ database, problems }) =>
    problems.map(({ text, tone }) => ({ tone, text: databases.length > 1 ? database + ": " + text : text }))
  )
  list(part(byId("problems"), "ul"), "problem", problems, ({ text }) => text, (node, { text, tone }) => {
    node.setAttribute("data-tone", tone)
    write(node, text)
  })
  byId("well").hidden = problems.length > 0
  write(byId("title"), title)
  document.title = problems.length === 0 ? title : "(" + problems.length + ") " + title
}

/**
 * @param {Snapshot} snapshot
 * @param {ReadonlyArray<Rated>} counts
 */
const showTotals = ({ databases }, counts) => {
  const totals = byId("totals")
  const endpoints = databases.flatMap((database) => database.endpoints)
  const pools = endpoints.flatMap((endpoint) => endpoint.pools)
  const statements = counts.filter(({ name }) => name === "statements")
  const rate = rateOf(statements)
  const named = (/** @type {string} */ name) => figure(rateOf(counts.filter((count) => count.name === name)))
  write(field(totals, "statements"), figure(rate))
  curve(part(totals, "svg"), "", rate)
  const onReplicas = rateOf(statements.filter(({ tags }) => tags.role === "replica"))
  write(field(totals, "replicas"), percent(shareOf(onReplicas, rate)))
  write(field(totals, "inFlight"), String(sum(endpoints.map(({ inFlight }) => inFlight))))
  write(field(totals, "active"), sum(pools.map(({ active }) => active)) + " / " + sum(pools.map(({ max }) => max)))
  write(field(totals, "waiting"), String(sum(pools.map(({ waiting }) => waiting))))
  write(field(totals, "fallbacks"), named("fallback_reads"))
  write(field(totals, "retries"), named("retries"))
}

/**
 * @param {Snapshot} snapshot
 * @param {ReadonlyArray<Rated>} counts
 */
const showDatabases = ({ atMillis, databases }, counts) => {
  list(byId("databases"), "database", databases, ({ database }) => database, (node, { database, endpoints, strategy }) => {
    const statements = counts.filter(({ name, tags }) => name === "statements" && tags.database === database)
    write(field(node, "name"), database)
    write(field(node, "strategy"), strategy)
    part(node, "table").setAttribute("aria-label", "Endpoints of " + database)
    list(field(node, "endpoints"), "endpoint", endpoints, ({ endpoint }) => endpoint, (row, endpoint) => {
      const own = statements.filter(({ tags }) => tags.endpoint === endpoint.endpoint)
      showEndpoint(row, endpoint, JSON.stringify([database, endpoint.endpoint]), rateOf(own), rateOf(statements), atMillis)
    })
  })
}

/**
 * @param {Element} row
 * @param {Endpoint} endpoint
 * @param {string} key
 * @param {number | undefined} rate
 * @param {number | undefined} whole
 * @param {number} now
 */
const showEndpoint = (row, endpoint, key, rate, whole, now) => {
  const { inFlight, lagMillis, latencyMillis, pools, role, weight, zone } = endpoint
  const share = shareOf(rate, whole)
  write(field(row, "endpoint"), endpoint.endpoint)
  write(field(row, "role"), zone === undefined ? role : role + ", " + zone)
  mark(field(row, "state"), stateOf(endpoint))
  write(field(row, "why"), whyOf(endpoint, now))
  write(field(row, "rate"), figure(rate))
  curve(part(row, "svg"), key, rate)
  write(field(row, "share"), percent(share))
  fill(field(row, "shareBar"), [share ?? 0])
  write(field(row, "inFlight"), String(inFlight))
  write(field(row, "mean"), time(latencyMillis.mean))
  write(field(row, "p99"), latencyMillis.p99 === undefined ? "" : "p99 " + time(latencyMillis.p99))
  write(field(row, "lag"), role === "primary" ? unknown : time(lagMillis))
  write(field(row, "weight"), String(weight))
  list(field(row, "pools"), "pool", pools, ({ lane }) => lane, showPool)
}

/**
 * @param {Element} node
 * @param {Pool} pool
 */
const showPool = (node, { active, connecting, idle, lane, max, waiting }) => {
  write(field(node, "busy"), active + " of " + max + " busy")
  const others = (lane === "main" ? "" : lane + ", ") + idle + " idle"
  write(field(node, "others"), connecting === 0 ? others : others + ", " + connecting + " opening")
  write(field(node, "waiting"), waiting === 0 ? "" : waiting + " waiting")
  fill(field(node, "bar"), [active / max, idle / max])
}

/**
 * @param {string} id
 * @param {ReadonlyArray<Line>} lines
 */
const showLines = (id, lines) => {
  list(byId(id), "line", lines, ({ key }) => key, (row, { count, detail, rate, share, what }) => {
    write(field(row, "what"), what)
    write(field(row, "detail"), detail)
    write(field(row, "rate"), figure(rate))
    fill(field(row, "bar"), [share])
    write(field(row, "count"), count.toLocaleString("en"))
  })
  byId(id + "None").hidden = lines.length > 0
}

/**
 * @param {Snapshot} snapshot
 * @param {ReadonlyArray<Rated>} counts
 */
const showReasons = ({ databases }, counts) => {
  const statements = counts.filter(({ name }) => name === "statements")
  const whole = rateOf(statements)
  /** @type {Map<string, Array<Rated>>} */
  const groups = new Map()
  for (const count of statements) {
    const key = JSON.stringify([count.tags.database, count.tags.role, count.tags.reason])
    groups.set(key, [...groups.get(key) ?? [], count])
  }
  const lines = Array.from(groups, ([key, group]) => {
    const { database, reason, role } = /** @type {Rated} */ (group[0]).tags
    const rate = rateOf(group)
    const detail = databases.length > 1 ? database + ", on a " + role : "on a " + role
    return {
      key,
      what: reason ?? "",
      detail: role === "primary" ? detail.replace("on a ", "on the ") : detail,
      rate,
      share: shareOf(rate, whole) ?? 0,
      count: sum(group.map(({ count }) => count))
    }
  })
  // By what was since the start: by the rates of the moment, lines would jump.
  showLines("reasons", lines.toSorted((a, b) => b.count - a.count))
}

/**
 * @param {Snapshot} snapshot
 * @param {ReadonlyArray<Rated>} counts
 */
const showCounters = ({ databases }, counts) => {
  const whole = rateOf(counts.filter(({ name }) => name === "statements"))
  const lines = counters.flatMap(([name, what, detailOf]) =>
    counts.filter((count) => count.name === name && count.count > 0).map((count) => {
      const detail = [databases.length > 1 ? count.tags.database : "", detailOf(count.tags)]
      return {
        key: keyOf(count),
        what,
        detail: detail.filter((text) => text !== undefined && text !== "").join(": "),
        rate: count.rate,
        share: shareOf(count.rate, whole) ?? 0,
        count: count.count
      }
    })
  )
  showLines("counters", lines)
}

/** @param {Snapshot} snapshot */
const showEvents = ({ atMillis, databases, events }) => {
  const today = new Date(atMillis).toDateString()
  const keyOf = (/** @type {Event} */ { atMillis, database, tag, text }) => [atMillis, database, tag, text].join(" ")
  list(byId("events"), "event", events, keyOf, (node, { atMillis, database, text, times, tone }) => {
    const at = new Date(atMillis)
    const clock = at.toLocaleTimeString("en-GB")
    const stamp = field(node, "time")
    stamp.setAttribute("datetime", at.toISOString())
    stamp.title = at.toString()
    write(stamp, at.toDateString() === today ? clock : at.toLocaleDateString("en-CA") + " " + clock)
    node.setAttribute("data-tone", tone)
    write(part(node, ".mark"), marks[tone] ?? "")
    const where = databases.length > 1 ? database + ": " : ""
    write(field(node, "text"), where + text + (times === 1 ? "" : " (" + times + " times)"))
  })
  byId("eventsNone").hidden = events.length > 0
  byId("eventsBox").hidden = events.length === 0
}

/** @param {Snapshot} snapshot */
const show = (snapshot) => {
  if (snapshot.atMillis === samples.at(-1)?.atMillis) return
  const counts = rated(snapshot)
  showProblems(snapshot)
  showTotals(snapshot, counts)
  showDatabases(snapshot, counts)
  showReasons(snapshot, counts)
  showCounters(snapshot, counts)
  showEvents(snapshot)
}

// ---- live, or not

/** @type {EventSource | undefined} */
let source
let isPaused = false
/** When the router was last heard, or somebody began to listen. */
let heardAt = 0
/** When it was last asked. */
let askedAt = 0
let lastSeen = ""

/**
 * @param {"live" | "lost" | "paused"} state
 * @param {string} text
 */
const tell = (state, text) => {
  document.body.setAttribute("data-live", state)
  write(byId("live"), text)
}

const close = () => {
  source?.close()
  source = undefined
}

const open = () => {
  close()
  askedAt = performance.now()
  let isHeard = false
  source = new EventSource("?events")
  source.addEventListener("message", ({ data }) => {
    isHeard = true
    heardAt = performance.now()
    /** @type {Snapshot} */
    const snapshot = JSON.parse(data)
    lastSeen = new Date(snapshot.atMillis).toLocaleTimeString("en-GB")
    show(snapshot)
    tell("live", "live, " + lastSeen)
  })
  source.addEventListener("error", () => {
    // A response has come to its end; one that never came is not asked for again at once.
    if (isHeard) open()
    else close()
  })
}

/** Nothing is asked for while nobody wants to see it. */
const isWatching = () => !isPaused && !document.hidden

const begin = () => {
  if (!isWatching()) return close()
  heardAt = performance.now()
  open()
}

setInterval(() => {
  if (!isWatching()) return
  const now = performance.now()
  if (now - heardAt > patience) tell("lost", lastSeen === "" ? "no answer" : "no answer since " + lastSeen)
  if (source === undefined || now - Math.max(heardAt, askedAt) > patience) open()
}, 1000)

const pause = byId("pause")

const toggle = () => {
  isPaused = !isPaused
  pause.setAttribute("aria-pressed", String(isPaused))
  if (isPaused) tell("paused", "paused, " + lastSeen)
  begin()
}

pause.addEventListener("click", toggle)
document.addEventListener("keydown", ({ altKey, ctrlKey, key, metaKey }) => {
  if (key === "p" && !altKey && !ctrlKey && !metaKey) toggle()
})
document.addEventListener("visibilitychange", begin)
begin()
`
