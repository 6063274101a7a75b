import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const fixture = (name: string) => `test/cli/fixtures/${name}`

/** Runs the command in a process of its own, without a terminal. */
const command = async (args: ReadonlyArray<string>, stdin = "") => {
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], { cwd: root, env })
  child.stdin.end(stdin)
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await ended, stdout, stderr }
}

const explain = (args: ReadonlyArray<string>, stdin?: string) =>
  command(["explain", "--dialect", "postgres", ...args], stdin)

/** It failed with an exit code, one line on standard error, and nothing else. */
const assertOneLine = (
  { code, stderr, stdout }: Awaited<ReturnType<typeof command>>,
  expected: { readonly code: number; readonly line: RegExp }
) => {
  assert.match(stderr, /^error: .+\n$/)
  assert.match(stderr, expected.line)
  assert.strictEqual(code, expected.code)
  if (code === 2) assert.strictEqual(stdout, "")
}

describe.concurrent("effect-sql-router", { timeout: 60_000 }, () => {
  it("explains a statement", async () => {
    const { code, stderr, stdout } = await explain(["SELECT * FROM users"])
    assert.strictEqual(stderr, "")
    assert.include(stdout, "select, a confirmed read")
    assert.include(stdout, "1. replica: replica1 or replica2")
    assert.notInclude(stdout, "\u001b")
    assert.notInclude(stdout, "policies")
    assert.strictEqual(code, 0)
  })

  it("takes a statement of several as a program would send it", async () => {
    const { stdout } = await explain(["SELECT 1; DELETE FROM users"])
    assert.include(stdout, "several statements, a write")
  })

  it("asks rules, about Databases and endpoints that they name", async () => {
    const { code, stdout } = await explain([
      "--rules",
      fixture("rules.ts"),
      "--replicas",
      "1",
      "--json",
      "SELECT * FROM invoices",
      "SELECT * FROM events",
      "SELECT * FROM orders WHERE tenant_id = 7",
      "TRUNCATE users",
      "SELECT * FROM users"
    ])
    assert.strictEqual(code, 0)
    const explained: ReadonlyArray<any> = JSON.parse(stdout)
    assert.deepStrictEqual(
      explained.map(({ chosen, plan, where }) => [where, plan.database, chosen?.endpoints, plan.refusal?.message]),
      [
        ["argument 1", "archive", ["replica1"], undefined],
        ["argument 2", "main", ["analytics"], undefined],
        ["argument 3", "main", ["primary"], undefined],
        ["argument 4", "main", undefined, "Nothing is truncated here"],
        ["argument 5", "main", ["replica1", "analytics"], undefined]
      ]
    )
    assert.deepStrictEqual(explained[1].rules.map((_: { readonly matched: boolean }) => _.matched), [
      false,
      false,
      true,
      false
    ])
  })

  it("explains each statement of a file by its line, and sums up", async () => {
    const { code, stdout } = await explain(["--file", fixture("statements.sql")])
    const places = stdout.split("\n").filter((line) => line.startsWith("-- "))
    assert.deepStrictEqual(
      places,
      ["2:1", "2:38", "4:12", "8:1"].map((at) => `-- ${fixture("statements.sql")}:${at}`)
    )
    assert.match(stdout, /\n4 statements, 3 confirmed reads: 3 to a replica, 1 to a primary, 0 refused\n$/)
    assert.strictEqual(code, 0)
  })

  it("reads standard input if nothing else is given", async () => {
    const { code, stdout } = await explain([], "SELECT 1;\nBEGIN;")
    assert.include(stdout, "-- stdin:1:1")
    assert.include(stdout, "-- stdin:2:1")
    assert.match(stdout, /1 refused\n$/)
    assert.strictEqual(code, 0)
  })

  it("fails if a statement is not a read, and shows only that one", async () => {
    const result = await explain(["--only", "reads", "-f", fixture("statements.sql")])
    assertOneLine(result, { code: 1, line: /1 of 4 statements is not a confirmed read: \S+statements\.sql:8:1\n/ })
    assert.include(result.stdout, "DELETE FROM orders")
    assert.notInclude(result.stdout, "FROM users")
  })

  it("passes if every statement is a read", async () => {
    const { code, stderr, stdout } = await explain(["--only", "reads", "--only", "accepted"], "SELECT 1; SELECT 2")
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    assert.strictEqual(stdout, "2 statements, 2 confirmed reads: 2 to a replica, 0 to a primary, 0 refused\n")
  })

  it("tells writes from what it does not recognise, and from what is refused", async () => {
    const sql = "DELETE FROM a; FROBNICATE b; BEGIN"
    assertOneLine(await explain(["--only", "recognised"], sql), { code: 1, line: /1 of 3 .* recognised: stdin:1:16\n/ })
    assertOneLine(await explain(["--only", "accepted"], sql), { code: 1, line: /1 of 3 .* refused: stdin:1:30\n/ })
  })

  it("does not pass a check of nothing", async () => {
    assertOneLine(await explain(["--only", "reads"], "-- nothing\n"), { code: 2, line: /no statement in stdin/ })
  })

  it("passes over no check, however it is written", async () => {
    assertOneLine(await explain(["DELETE FROM a", "--only=reads"]), { code: 1, line: /not a confirmed read/ })
    assertOneLine(await explain(["DELETE FROM a", "--only"]), { code: 2, line: /--only needs a value/ })
    assertOneLine(await explain(["DELETE FROM a", "--only", "red"]), { code: 2, line: /reads, recognised, accepted/ })
  })

  it("does not take an option that it does not know for a statement", async () => {
    assertOneLine(await explain(["--onyl", "reads", "SELECT 1"]), { code: 2, line: /Unknown option --onyl/ })
    assertOneLine(await explain(["-F", "x.sql"]), { code: 2, line: /Unknown option -F/ })
    assert.strictEqual((await explain(["-- a comment\nSELECT 1"])).code, 0)
  })

  it("says what is wrong with its arguments, in one line", async () => {
    assertOneLine(await command(["explain", "--dialect", "oracle", "SELECT 1"]), {
      code: 2,
      line: /postgres, mysql, sqlite/
    })
    assertOneLine(await command(["explain", "SELECT 1"]), { code: 2, line: /--dialect/ })
    assertOneLine(await command(["explian"]), { code: 2, line: /explain/ })
    assertOneLine(await explain(["--replicas", "-1", "SELECT 1"]), { code: 2, line: /between 0 and 100/ })
    assertOneLine(await explain(["-f", "no-such.sql"]), { code: 2, line: /no-such\.sql: cannot be read/ })
  })

  it("says what is wrong with the rules, in one line", async () => {
    const withRules = (file: string) => explain(["--rules", file, "SELECT 1"])
    assertOneLine(await withRules("no-such.mjs"), { code: 2, line: /no-such\.mjs: there is no such file/ })
    assertOneLine(await withRules(fixture("noRules.ts")), { code: 2, line: /exports no rules/ })
    assertOneLine(await withRules(fixture("throws.ts")), { code: 2, line: /could not be loaded: no rules today/ })
    const wrong = await withRules(fixture("wrongRules.ts"))
    assertOneLine(wrong, { code: 2, line: /rule 1: insert into orders → replica: .*; rule 2: / })
  })

  it("documents its exit codes", async () => {
    const { code, stdout } = await command(["explain", "--help"])
    assert.match(stdout, /Exit codes: 0 .*1 .*2 /)
    assert.notInclude(stdout, "\u001b")
    assert.strictEqual(code, 0)
  })
})
