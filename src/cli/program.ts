import * as Args from "@effect/cli/Args"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { stripVTControlCharacters } from "node:util"
import { prepare } from "./arguments.js"
import { CheckFailed } from "./errors.js"
import * as Input from "./input.js"
import * as Report from "./report.js"
import * as Router from "./router.js"
import * as Rules from "./rules.js"

const exitCodes =
  "Exit codes: 0 all is well; 1 a statement does not pass a check of --only; 2 the command, its input or "
  + "the rules are wrong."

const explain = Command.make("explain", {
  dialect: Options.choice("dialect", ["postgres", "mysql", "sqlite"]).pipe(
    Options.withDescription("The language of the statements; mysql is also MariaDB's")
  ),
  rules: Options.text("rules").pipe(
    Options.withPseudoName("file"),
    Options.withDescription("A module that exports what RoutingRules.make gives, as default or as rules"),
    Options.optional
  ),
  files: Options.text("file").pipe(
    Options.withAlias("f"),
    Options.withPseudoName("file"),
    Options.withDescription("A file of statements, each ended by a semicolon; may be given several times"),
    Options.repeated
  ),
  only: Options.choice("only", ["reads", "recognised", "accepted"]).pipe(
    Options.withDescription(
      "What every statement must be: a confirmed read, known to the classifier, not refused. "
        + "Then only those that are not are explained. May be given several times"
    ),
    Options.repeated
  ),
  json: Options.boolean("json").pipe(Options.withDescription("Print an array of JSON objects")),
  database: Options.text("database").pipe(
    Options.withPseudoName("name"),
    Options.withDescription("The name of the default Database"),
    Options.withDefault("main")
  ),
  replicas: Options.integer("replicas").pipe(
    Options.withSchema(Schema.Int.pipe(Schema.between(0, 100))),
    Options.withDescription("How many replicas each Database has, 100 at most"),
    Options.withDefault(2)
  ),
  statements: Args.text({ name: "statement" }).pipe(
    Args.withDescription("A statement as a program sends it; without any, and without files, standard input is read"),
    Args.repeated
  )
}, ({ database, dialect, files, json, only, replicas, rules, statements }) =>
  Effect.gen(function*() {
    const router = yield* Router.make({
      dialect,
      database,
      replicas,
      rules: yield* Effect.transposeMapOption(rules, Rules.load).pipe(Effect.map(Option.getOrUndefined))
    })
    const inputs = yield* Input.read(dialect, statements, files)
    const all = yield* Effect.forEach(inputs, ({ sql, where }) =>
      Effect.map(router.explain(sql), (explanation) => ({ where, explanation })))
    for (const warning of router.warnings) {
      printError("warning", warning)
    }
    const shown = only.length === 0 ? all : Report.failing(all, only)

    const print = json ? Report.json(shown) : Report.text(all, shown, terminal())
    if (print !== "") {
      yield* Console.log(print)
    }
    const problems = only.flatMap((name) =>
      Report.problem(all, name) ?? []
    )
    if (problems.length > 0) yield* new CheckFailed({ message: problems.join("; ") })
  })).pipe(
    Command.withDescription(
      "Tells what statements are, where a router would send them, and why. No server is connected to."
    )
  )

const hasColors = process.stdout.isTTY && process.stdout.hasColors()

const terminal = () => ({
  color: hasColors,
  width: process.stdout.isTTY ? Math.min(process.stdout.columns, 120) : 100
})

/** `dist/cli` and `src/cli` are equally deep. */
const { version }: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8")
)

const command = Command.make("effect-sql-router").pipe(
  Command.withDescription("Asks a router of effect-sql-router where statements go."),
  Command.withSubcommands([explain])
)

const cli = Command.run(command, {
  name: "effect-sql-router",
  version,
  executable: "effect-sql-router",
  footer: HelpDoc.p(exitCodes)
})

const printError = (kind: "error" | "warning", message: string): void => {
  process.stderr.write(`${kind}: ${stripVTControlCharacters(message).trim().replace(/\s*\n\s*/g, " ")}\n`)
}

/** Help is coloured by @effect/cli wherever it goes, and what is wrong with the arguments is told by `report`. */
const withOwnConsole = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) =>
    Effect.withConsole(effect, {
      ...console,
      log: (text: string) => console.log(hasColors ? text : stripVTControlCharacters(text)),
      error: () => Effect.void
    })
  )

/** Tells in one line what went wrong, and gives the exit code. */
const report = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.isInterruptedOnly(exit.cause)) return 130
  const error = Cause.squash(exit.cause)
  printError(
    "error",
    ValidationError.isValidationError(error)
      ? HelpDoc.toAnsiText(error.error)
      : error instanceof Error
      ? error.message
      : String(error)
  )
  return error instanceof CheckFailed ? 1 : 2
}

/** Runs the command line; the exit code is set, so that the process ends when all it has to say is written. */
export const run = (args: ReadonlyArray<string>): void =>
  Effect.flatMap(prepare(args), cli).pipe(
    withOwnConsole,
    Effect.provide(Layer.mergeAll(NodeContext.layer, CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false }))),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit) => {
        process.exitCode = report(exit)
      }
    })
  )
