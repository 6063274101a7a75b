// How the checks run programs and tell that they failed.
import { spawnSync } from "node:child_process"
import * as path from "node:path"

export const root = path.resolve(import.meta.dirname, "..")

/** What does not hold, in words for whoever made the change. */
export class Failure extends Error {}

const bin = path.join(root, "node_modules/.bin")

/**
 * Runs a program and gives its standard output; a failure carries all it printed.
 *
 * @param {ReadonlyArray<string>} command
 * @param {{ cwd?: string, show?: boolean }} [options]
 */
export const run = ([program = "", ...args], { cwd = root, show = false } = {}) => {
  const { error, status, stderr, stdout } = spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` },
    maxBuffer: 2 ** 28,
    stdio: ["ignore", show ? "inherit" : "pipe", show ? "inherit" : "pipe"]
  })
  if (status !== 0) {
    const printed = show ? "" : `\n${stdout}${stderr}`
    throw new Failure(`${[program, ...args].join(" ")} ended with ${status ?? error?.message}${printed}`)
  }
  return stdout
}
