/** The page's style sheet. */
export const style = /* css */ String.raw`
:root {
  color-scheme: light dark;
  --paper: #f6f6f3;
  --sheet: #ffffff;
  --ink: #1c1e21;
  --quiet: #62676d;
  --line: #e2e2dc;
  --track: #ecece7;
  --blue: #2b6cb0;
  --pale: #a9c8e6;
  --good: #23774a;
  --warn: #8f5a00;
  --bad: #b3261e;
  --warn-sheet: #fdf6e7;
  --bad-sheet: #fdf0ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121416;
    --sheet: #191c1f;
    --ink: #e4e6e8;
    --quiet: #969ca3;
    --line: #2a2e32;
    --track: #282c30;
    --blue: #78b0e8;
    --pale: #3d5b78;
    --good: #6fc598;
    --warn: #dfb158;
    --bad: #f08b82;
    --warn-sheet: #25211a;
    --bad-sheet: #2a1d1c;
  }
}
* {
  box-sizing: border-box;
}
body {
  margin: 0 auto;
  padding: 0 1.25rem 2rem;
  max-width: 84rem;
  background: var(--paper);
  color: var(--ink);
  font: 0.875rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, p, dl, dd, ol, ul {
  margin: 0;
  padding: 0;
}
ol, ul {
  list-style: none;
}
h1 {
  font-size: 1.05rem;
  font-weight: 650;
}
h2 {
  font-size: 0.875rem;
  font-weight: 650;
}
small, .quiet, th, dt {
  color: var(--quiet);
}
small {
  font-size: 0.8rem;
}
:focus-visible {
  outline: 2px solid var(--blue);
  outline-offset: 2px;
}
[hidden] {
  display: none !important;
}

/* The head: what is shown, whether it is live, and what is wrong. */
header {
  display: flex;
  flex-wrap: wrap;
  align-items: baseline;
  gap: 0.25rem 1rem;
  padding: 0.9rem 0 0.7rem;
}
#live {
  margin-left: auto;
  color: var(--quiet);
}
#live::before {
  content: "\25cf\00a0";
  color: var(--quiet);
}
[data-live="live"] #live::before {
  color: var(--good);
}
[data-live="lost"] #live, [data-live="lost"] #live::before {
  color: var(--bad);
}
[data-live="lost"] main {
  opacity: 0.55;
}
button {
  padding: 0.1rem 0.7rem;
  border: 1px solid var(--line);
  border-radius: 0.3rem;
  background: var(--sheet);
  color: inherit;
  font: inherit;
  cursor: pointer;
}
button:hover {
  border-color: var(--quiet);
}
#problems li, #problems p {
  padding: 0.4rem 0.75rem;
  border-left: 3px solid var(--good);
  background: var(--sheet);
}
#problems li {
  overflow-wrap: anywhere;
}
#problems li + li {
  border-top: 1px solid var(--line);
}
#problems [data-tone="warn"] {
  border-left-color: var(--warn);
  background: var(--warn-sheet);
}
#problems [data-tone="bad"] {
  border-left-color: var(--bad);
  background: var(--bad-sheet);
}

/* The figures of the whole router. */
#totals {
  display: grid;
  grid-template-columns: repeat(8, minmax(0, 1fr));
  gap: 1px;
  margin: 0.75rem 0;
  border: 1px solid var(--line);
  background: var(--line);
}
#totals > div {
  padding: 0.5rem 0.75rem;
  background: var(--sheet);
  white-space: nowrap;
}
#totals dt {
  font-size: 0.8rem;
}
#totals dd {
  font-size: 1.3rem;
  line-height: 1.3;
}

/* Sheets with tables. */
section {
  margin-top: 0.75rem;
  border: 1px solid var(--line);
  background: var(--sheet);
}
section > h2 {
  padding: 0.55rem 0.75rem 0.45rem;
}
section > h2 small {
  margin-left: 0.5rem;
  font-weight: 400;
}
table {
  width: 100%;
  border-collapse: collapse;
}
th, td {
  padding: 0.4rem 0.75rem;
  border-top: 1px solid var(--line);
  text-align: left;
  vertical-align: top;
  font-weight: 400;
}
thead th {
  padding-block: 0.2rem;
  font-size: 0.8rem;
  white-space: nowrap;
}
tbody th {
  color: var(--ink);
}
.number {
  text-align: right;
  white-space: nowrap;
}
td small {
  display: block;
}
.endpoints table {
  table-layout: fixed;
}
.endpoints thead :nth-child(1) { width: 13%; }
.endpoints thead :nth-child(2) { width: 24%; }
.endpoints thead :nth-child(3) { width: 9%; }
.endpoints thead :nth-child(4) { width: 10%; }
.endpoints thead :nth-child(5) { width: 8%; }
.endpoints thead :nth-child(6) { width: 6%; }
.endpoints thead :nth-child(7) { width: 9%; }
.endpoints thead :nth-child(8) { width: 6.5%; }
.endpoints thead :nth-child(9) { width: 9%; }
.endpoints thead :nth-child(10) { width: 5.5%; }
.endpoints tbody th > b {
  display: block;
  font-weight: 600;
  overflow-wrap: anywhere;
}
[data-field="state"] {
  white-space: nowrap;
}
[data-field="why"], [data-field="role"] {
  overflow-wrap: anywhere;
}
[data-tone="good"] > .mark { color: var(--good); }
[data-tone="warn"] > .mark, [data-tone="warn"] > .word { color: var(--warn); }
[data-tone="bad"] > .mark, [data-tone="bad"] > .word { color: var(--bad); }
[data-tone="plain"] > .mark { color: var(--quiet); }
.mark {
  display: inline-block;
  width: 1.2em;
}
.waiting {
  color: var(--warn);
}
svg {
  display: block;
  width: 100%;
  height: 1.35rem;
  overflow: visible;
}
svg path {
  fill: none;
  stroke: var(--blue);
  stroke-width: 1.25;
  stroke-linejoin: round;
  vector-effect: non-scaling-stroke;
}
.bar {
  display: flex;
  width: 100%;
  height: 0.35rem;
  margin-top: 0.35rem;
  background: var(--track);
}
.bar i {
  background: var(--blue);
}
.bar i + i {
  background: var(--pale);
}
.columns {
  display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 0 0.75rem;
  align-items: start;
}
.columns td:first-child {
  overflow-wrap: anywhere;
}
.columns .wide {
  width: 22%;
}
thead td {
  padding: 0;
}
.none {
  padding: 0.4rem 0.75rem;
  border-top: 1px solid var(--line);
  color: var(--quiet);
}
.scroll {
  max-height: 16rem;
  overflow-y: auto;
}
#events li {
  display: grid;
  grid-template-columns: 5.2rem 1.2rem 1fr;
  padding: 0.3rem 0.75rem;
  border-top: 1px solid var(--line);
}
#events time {
  color: var(--quiet);
}
#events .text {
  overflow-wrap: anywhere;
}
footer {
  margin-top: 0.75rem;
  font-size: 0.8rem;
  color: var(--quiet);
}

/* On a narrow screen each endpoint is a card of labelled figures. */
@media (max-width: 56rem) {
  body {
    padding-inline: 0.75rem;
  }
  #totals {
    grid-template-columns: repeat(4, minmax(0, 1fr));
  }
  #totals dd {
    font-size: 1.1rem;
  }
  .endpoints thead, .columns .wide {
    display: none;
  }
  .endpoints table, .endpoints tbody {
    display: block;
  }
  .endpoints tbody tr {
    display: grid;
    grid-template-columns: repeat(3, 1fr);
    gap: 0.45rem 0.9rem;
    padding: 0.6rem 0.75rem;
    border-top: 1px solid var(--line);
  }
  .endpoints tbody th, .endpoints tbody td {
    padding: 0;
    border: 0;
    text-align: left;
  }
  .endpoints tbody .full {
    grid-column: span 2;
  }
  #totals > div {
    padding-inline: 0.4rem;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  #totals dt {
    font-size: 0.7rem;
  }
  .endpoints tbody td[data-label]::before {
    content: attr(data-label);
    display: block;
    font-size: 0.75rem;
    color: var(--quiet);
  }
}
@media (min-width: 30rem) and (max-width: 56rem) {
  .endpoints tbody tr {
    grid-template-columns: repeat(6, 1fr);
  }
}
`
