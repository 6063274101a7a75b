#!/usr/bin/env node
/**
 * The command `effect-sql-router`. What only it needs, and the library does not, may not be installed: then it says so.
 */
import { createRequire } from "node:module"

const { resolve } = createRequire(import.meta.url)

const isMissing = (name: string): boolean => {
  try {
    resolve(`${name}/package.json`)
    return false
  } catch {
    return true
  }
}

const missing = ["@effect/cli", "@effect/platform-node"].filter(isMissing)

// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
})

if (missing.length === 0) {
  const { run } = await import("./program.js")
  run(process.argv)
} else {
  process.stderr.write(`error: The command line needs ${missing.join(" and ")}: npm install ${missing.join(" ")}\n`)
  process.exitCode = 2
}
