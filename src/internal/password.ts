import * as Data from "effect/Data"

/** The Effect that an endpoint's password comes from failed; the server was not asked. */
export class PasswordUnavailable extends Data.TaggedError("PasswordUnavailable")<{
  readonly endpoint: string
  readonly cause: unknown
}> {
  override get message(): string {
    const problem = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `No password for endpoint ${this.endpoint}, the Effect it comes from failed: ${problem}`
  }
}
