import * as Data from "effect/Data"

/** What was asked cannot be answered: exit code 2. */
export class InputError extends Data.TaggedError("InputError")<{
  readonly reason: "invalidOption" | "noStatements" | "unreadableFile" | "rulesNotLoaded" | "rulesInvalid"
  readonly message: string
}> {}

/** Statements do not pass the check that was asked for: exit code 1. */
export class CheckFailed extends Data.TaggedError("CheckFailed")<{ readonly message: string }> {}
