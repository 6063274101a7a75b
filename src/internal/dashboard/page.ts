import { createHash } from "node:crypto"
import { script } from "./script.js"
import { style } from "./style.js"

const icon = "data:image/svg+xml,"
  + encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="#4a88c7" stroke-width="2">`
      + `<path d="M1 8h5l4-5h4M6 8l4 5h4"/></svg>`
  )

/** The page: one text that is the same for everybody, and gets what it shows by itself. */
export const html = /* html */ `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SQL router</title>
<link rel="icon" href="${icon}">
<style>${style}</style>
</head>
<body data-live="waiting">
<header>
  <h1 id="title">SQL router</h1>
  <p id="live">waiting</p>
  <button id="pause" type="button" aria-pressed="false" title="Key: p">Pause</button>
</header>
<main>
  <div id="problems" role="status"><ul></ul><p id="well" hidden>All is well.</p></div>
  <dl id="totals">
    <div><dt>statements / s</dt><dd data-field="statements">–</dd></div>
    <div aria-hidden="true">
      <dt>lately</dt>
      <dd><svg viewBox="1 0 59 20" preserveAspectRatio="none"><path/></svg></dd>
    </div>
    <div><dt>on replicas</dt><dd data-field="replicas">–</dd></div>
    <div><dt>in flight</dt><dd data-field="inFlight">–</dd></div>
    <div><dt>busy</dt><dd data-field="active">–</dd></div>
    <div><dt>waiting</dt><dd data-field="waiting">–</dd></div>
    <div><dt>retries / s</dt><dd data-field="retries">–</dd></div>
    <div><dt>fallbacks / s</dt><dd data-field="fallbacks">–</dd></div>
  </dl>
  <div id="databases"></div>
  <section aria-labelledby="eventsHead">
    <h2 id="eventsHead">What happened</h2>
    <div id="eventsBox" class="scroll" tabindex="0" role="region" aria-labelledby="eventsHead">
      <ol id="events"></ol>
    </div>
    <p id="eventsNone" class="none">Nothing since the start.</p>
  </section>
  <div class="columns">
    <section aria-labelledby="reasonsHead">
      <h2 id="reasonsHead">Statements by reason</h2>
      <table>
        <thead><tr>
          <th scope="col">reason</th><th scope="col" class="number">per second</th><td class="wide"></td>
          <th scope="col" class="number">in all</th>
        </tr></thead>
        <tbody id="reasons"></tbody>
      </table>
      <p id="reasonsNone" class="none">None yet.</p>
    </section>
    <section aria-labelledby="countersHead">
      <h2 id="countersHead">Fallbacks, retries, refusals</h2>
      <table>
        <thead><tr>
          <th scope="col">what</th><th scope="col" class="number">per second</th><td class="wide"></td>
          <th scope="col" class="number">in all</th>
        </tr></thead>
        <tbody id="counters"></tbody>
      </table>
      <p id="countersNone" class="none">None.</p>
    </section>
  </div>
</main>
<noscript>This page needs JavaScript; ?snapshot gives the same as JSON.</noscript>
<footer>
  All of it is what this process sees. Rates are those of the last 5 seconds; curves begin when the page is opened.
</footer>

<template id="problem"><li></li></template>
<template id="database"><section class="endpoints">
  <h2><span data-field="name"></span><small data-field="strategy"></small></h2>
  <table>
    <thead><tr>
      <th scope="col">endpoint</th><th scope="col">state</th><th scope="col" class="number">statements / s</th><td></td>
      <th scope="col">share</th><th scope="col" class="number">in flight</th><th scope="col" class="number">latency</th>
      <th scope="col" class="number">lag</th><th scope="col">connections</th><th scope="col" class="number">weight</th>
    </tr></thead>
    <tbody data-field="endpoints"></tbody>
  </table>
</section></template>
<template id="endpoint"><tr>
  <th scope="row"><b data-field="endpoint"></b><small data-field="role"></small></th>
  <td class="full">
    <span data-field="state"><span class="mark" aria-hidden="true"></span><span class="word"></span></span>
    <small data-field="why"></small>
  </td>
  <td class="number" data-label="statements / s" data-field="rate"></td>
  <td><svg viewBox="1 0 59 20" preserveAspectRatio="none" aria-hidden="true"><path/></svg></td>
  <td data-label="share">
    <span data-field="share"></span><span class="bar" aria-hidden="true" data-field="shareBar"><i></i></span>
  </td>
  <td class="number" data-label="in flight" data-field="inFlight"></td>
  <td class="number" data-label="latency"><span data-field="mean"></span><small data-field="p99"></small></td>
  <td class="number" data-label="lag" data-field="lag"></td>
  <td class="full" data-label="connections" data-field="pools"></td>
  <td class="number" data-label="weight" data-field="weight"></td>
</tr></template>
<template id="pool"><div>
  <span data-field="busy"></span>
  <span class="bar" aria-hidden="true" data-field="bar"><i></i><i></i></span>
  <small><span data-field="others"></span> <span class="waiting" data-field="waiting"></span></small>
</div></template>
<template id="line"><tr>
  <td><span data-field="what"></span><small data-field="detail"></small></td>
  <td class="number" data-field="rate"></td>
  <td class="wide"><span class="bar" aria-hidden="true" data-field="bar"><i></i></span></td>
  <td class="number" data-field="count"></td>
</tr></template>
<template id="event"><li>
  <time data-field="time"></time>
  <span class="mark" aria-hidden="true"></span>
  <span class="text" data-field="text"></span>
</li></template>
<script type="module">${script}</script>
</body>
</html>
`

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** Nothing is loaded, only this script runs, and it talks to nobody but the page's own server. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `script-src ${hashOf(script)}`,
  `style-src ${hashOf(style)}`,
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'"
].join("; ")
