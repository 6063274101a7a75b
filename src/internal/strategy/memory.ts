import type { Candidate } from "../../ReplicaStrategy.js"

/** So many names are remembered before those that are no longer offered are forgotten. */
const most = 256

/** Forgets endpoints that are gone, so that membership may change for ever. */
export const forgetGone = (memory: Map<string, unknown>, candidates: ReadonlyArray<Candidate>): void => {
  if (memory.size <= Math.max(most, 2 * candidates.length)) return
  const here = new Set(candidates.map((candidate) => candidate.name))
  for (const name of memory.keys()) {
    if (!here.has(name)) memory.delete(name)
  }
}
