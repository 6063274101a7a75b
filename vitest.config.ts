import * as path from "node:path"
import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-sql-router$/, replacement: path.resolve(import.meta.dirname, "src/index.ts") },
      { find: /^effect-sql-router\/(.*)$/, replacement: path.resolve(import.meta.dirname, "src/$1.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/servers/globalSetup.ts"],
    testTimeout: 15_000,
    hookTimeout: 60_000
  }
})
