import type { SqlError } from "@effect/sql/SqlError"
import type { Disposition, Driver } from "../../Driver.js"
import { AcquireTimeout } from "../../RoutingError.js"

/** All connections are in use: that is no fault of the server, and another endpoint may have one. */
const poolExhausted: Disposition = {
  blame: "capacity",
  connection: "keep",
  evidence: "none",
  outcome: "notSent",
  readRetry: "elsewhere"
}

/** What an error means: the pool's own ones are the same for every driver. */
export const dispositionOf = (driver: Pick<Driver<never>, "disposition">, error: SqlError): Disposition =>
  error.cause instanceof AcquireTimeout ? poolExhausted : driver.disposition(error)
