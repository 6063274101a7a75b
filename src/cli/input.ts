import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { text } from "node:stream/consumers"
import type { Dialect } from "../Dialect.js"
import { unknownOption } from "./arguments.js"
import { InputError } from "./errors.js"
import { split } from "./split.js"

/** A statement, and where it was found; `undefined` for the only one that was given. */
export interface Input {
  readonly sql: string
  readonly where: string | undefined
}

/** Arguments are taken as they are, the way a program would send them; files, or standard input, are split. */
export const read = (
  dialect: Dialect,
  args: ReadonlyArray<string>,
  files: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Input>, InputError, FileSystem.FileSystem> =>
  Effect.filterOrFail(
    readAll(dialect, args, files),
    (inputs) => inputs.length > 0,
    // A check of nothing must not pass for a check.
    () => new InputError({ reason: "noStatements", message: `There is no statement in ${files.join(", ") || "stdin"}` })
  )

const readAll = (
  dialect: Dialect,
  args: ReadonlyArray<string>,
  files: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Input>, InputError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const option = unknownOption(args)
    if (option !== undefined) return yield* option
    const given = args.map((sql, i) => ({ sql, where: args.length > 1 ? `argument ${i + 1}` : undefined }))
    const ofFiles = yield* Effect.forEach(files, (file) =>
      Effect.map(
        Effect.mapError(
          fs.readFileString(file),
          ({ message }) => new InputError({ reason: "unreadableFile", message: `${file}: cannot be read: ${message}` })
        ),
        (text) => locate(dialect, file, text)
      ))
    if (args.length > 0 || files.length > 0) return [...given, ...ofFiles.flat()]
    if (process.stdin.isTTY) {
      return yield* new InputError({
        reason: "noStatements",
        message: "No statement: give one as an argument, in a --file, or on standard input"
      })
    }
    const all = yield* Effect.tryPromise({
      try: () => text(process.stdin),
      catch: (error) =>
        new InputError({ reason: "unreadableFile", message: `Standard input cannot be read: ${String(error)}` })
    })
    return locate(dialect, "stdin", all)
  })

const locate = (dialect: Dialect, source: string, text: string): ReadonlyArray<Input> =>
  split(dialect, text.replace(/^\uFEFF/, "")).map(({ column, line, sql }) => (
    { sql, where: `${source}:${line}:${column}` }
  ))
