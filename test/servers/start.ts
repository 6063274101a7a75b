import { spawn } from "node:child_process"
import { once } from "node:events"
import type { Socket } from "node:net"
import * as path from "node:path"
import { folderVariable } from "./index.js"

/** What started the servers, and how to end them. */
export interface Running {
  readonly folder: string
  readonly stop: () => Promise<void>
}

/**
 * Starts the supervisor, which boots PostgreSQL and MariaDB when `postgres()` or `mariadb()` is first called in this
 * process or in a child of it. The servers end with `stop`, or with this process, however it ends.
 */
export const start = async (): Promise<Running> => {
  // A process group of its own, or Ctrl-C would reach the servers before the tests could end.
  const supervisor = spawn(process.execPath, [path.join(import.meta.dirname, "supervisor.mjs")], {
    detached: true,
    stdio: ["pipe", "pipe", "inherit"]
  })
  const exited = once(supervisor, "exit")
  const folder = await new Promise<string>((resolve, reject) => {
    supervisor.stdout.once("data", (chunk) => resolve(String(chunk).trim()))
    supervisor.once("error", reject)
    supervisor.once("exit", (code) => reject(new Error(`The supervisor of the test servers ended with ${code}`)))
  })
  // The servers keep no program from ending. (The types of `stdio` do not say that pipes are sockets.)
  for (const handle of [supervisor, supervisor.stdin as Socket, supervisor.stdout as Socket]) handle.unref()
  process.env[folderVariable] = folder
  return {
    folder,
    stop: async () => {
      supervisor.ref()
      supervisor.stdin.end()
      await exited
    }
  }
}
