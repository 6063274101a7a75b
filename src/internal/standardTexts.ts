import type { TransactionTexts } from "../Driver.js"

/** The texts of a transaction that all databases share: the standard's. */
export const standardTexts = {
  commit: "COMMIT",
  rollback: "ROLLBACK",
  savepoint: (name) => `SAVEPOINT ${name}`,
  releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
  rollbackToSavepoint: (name) => `ROLLBACK TO SAVEPOINT ${name}`
} satisfies Partial<TransactionTexts>
