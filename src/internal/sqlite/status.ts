import * as Effect from "effect/Effect"
import type { PhysicalConnection, ServerStatus } from "../../Driver.js"

/** A file takes writes if it was opened for them; it is the same for whoever opens it, so there is nothing to replicate. */
export const status = (connection: PhysicalConnection): Effect.Effect<ServerStatus> =>
  Effect.sync(() => ({
    role: "isReadonly" in connection && connection.isReadonly ? "replica" : "primary",
    position: undefined,
    replication: "none",
    generation: ""
  }))
