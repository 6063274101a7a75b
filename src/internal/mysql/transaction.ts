import * as Either from "effect/Either"
import type { TransactionTexts } from "../../Driver.js"
import { isolationText } from "../isolation.js"
import { standardTexts } from "../standardTexts.js"

export const texts: TransactionTexts = {
  begin: (mode) => {
    const { access, deferrable, isolation } = mode
    if (mode.mode !== undefined) return Either.left(`mode "${mode.mode}" is SQLite's; MySQL has none`)
    if (deferrable === true) return Either.left("deferrable is PostgreSQL's; MySQL has no such transactions")
    return Either.right({
      mode,
      texts: [
        // For the next transaction only; the session keeps its own level.
        ...(isolation === undefined ? [] : [`SET TRANSACTION ISOLATION LEVEL ${isolationText[isolation]}`]),
        access === "readOnly" ? "START TRANSACTION READ ONLY" : "START TRANSACTION"
      ],
      after: []
    })
  },
  snapshot: "repeatableRead",
  ...standardTexts
}
