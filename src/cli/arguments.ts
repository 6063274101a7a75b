import * as Either from "effect/Either"
import { InputError } from "./errors.js"

/*
 * @effect/cli drops an option that may be repeated if its value is missing, or follows after `=`, and takes options that it
 * does not know for statements. A check that was asked for in such a way must not be passed over.
 */

const withValue = /^(?:--(?:only|file|dialect|rules|database|replicas)|-f)$/
const repeatedWithValue = /^(--(?:only|file)|-f)=(.*)$/s
const anyOption = /^-{1,2}[a-z][\w-]*(=.*)?$/i

/** The arguments as @effect/cli understands all of them. */
export const prepare = (args: ReadonlyArray<string>): Either.Either<ReadonlyArray<string>, InputError> => {
  const prepared = args.flatMap((arg) => {
    const match = repeatedWithValue.exec(arg)
    return match === null ? [arg] : [match[1]!, match[2]!]
  })
  const lacking = prepared.find((arg, i) => withValue.test(arg) && (prepared[i + 1] ?? "") === "")
  return lacking === undefined
    ? Either.right(prepared)
    : Either.left(new InputError({ reason: "invalidOption", message: `The option ${lacking} needs a value` }))
}

/** A statement that looks like an option. */
export const unknownOption = (statements: ReadonlyArray<string>): InputError | undefined => {
  const option = statements.find((statement) => anyOption.test(statement))
  return option === undefined
    ? undefined
    : new InputError({ reason: "invalidOption", message: `Unknown option ${option}` })
}
