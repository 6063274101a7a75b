import type * as Duration from "effect/Duration"

/** How fresh a read must be. */
export type Level =
  | { readonly _tag: "Eventual" }
  | { readonly _tag: "BoundedStaleness"; readonly max: Duration.Duration }
  | { readonly _tag: "Session" }
  | { readonly _tag: "Strict" }
