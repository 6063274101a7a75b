import type { SqlError } from "@effect/sql/SqlError"
import * as RoutingError from "effect-sql-router/RoutingError"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import { type Equal, isTrue } from "./assert.js"

declare const error: SqlError
declare const routing: RoutingError.RoutingError
declare const unknown: unknown

// A routing error is found behind an SqlError, or in anything.
const found = RoutingError.from(error)
isTrue<Equal<typeof found, Option.Option<RoutingError.RoutingError>>>()
if (RoutingError.isRoutingError(unknown)) isTrue<Equal<typeof unknown, RoutingError.RoutingError>>()
// @ts-expect-error: only an SqlError carries one
RoutingError.from(new Error("no"))

// All are told apart by their tag, each has a message, and each can be failed with.
isTrue<Equal<Extract<RoutingError.RoutingError, { readonly _tag: string; readonly message: string }>, typeof routing>>()
const failed = Effect.fail(routing).pipe(
  Effect.catchTag("CommitOutcomeUnknown", (unknown) => {
    isTrue<Equal<typeof unknown, RoutingError.CommitOutcomeUnknown>>()
    return Effect.void
  })
)
isTrue<
  Equal<Effect.Effect.Error<typeof failed>, Exclude<RoutingError.RoutingError, RoutingError.CommitOutcomeUnknown>>
>()
// @ts-expect-error: there is no such error
Effect.catchTag(Effect.fail(routing), "CommitLost", () => Effect.void)
