import type { Candidate, ChoiceContext, ReplicaChooser } from "../../ReplicaStrategy.js"

/** A chooser that chooses otherwise, and observes what it did. */
export const choosing = (chooser: ReplicaChooser, choose: ReplicaChooser["choose"]): ReplicaChooser => ({
  choose,
  observe: chooser.observe === undefined
    ? undefined
    : (name, outcome, millis, now) => chooser.observe!(name, outcome, millis, now)
})

/** Adds those of the candidates that are left for a choice to `left`. */
export type Select = (
  candidates: ReadonlyArray<Candidate>,
  context: ChoiceContext,
  left: Array<Candidate>
) => void

/** Lets a chooser see some of the candidates; all of them where none is selected. */
export const narrow = (chooser: ReplicaChooser, select: Select): ReplicaChooser => {
  const left: Array<Candidate> = []
  return choosing(chooser, (candidates, context) => {
    left.length = 0
    select(candidates, context, left)
    if (left.length === 0 || left.length === candidates.length) return chooser.choose(candidates, context)
    const chosen = left[chooser.choose(left, context)]
    return chosen === undefined ? -1 : candidates.indexOf(chosen)
  })
}

/** Takes the candidates of weight 0 away while there are others: what is left has a weight, or nobody has. */
export const draining = (chooser: ReplicaChooser): ReplicaChooser => {
  const narrowed = narrow(chooser, (candidates, _context, left) => {
    for (let i = 0; i < candidates.length; i++) {
      if (candidates[i]!.weight > 0) left.push(candidates[i]!)
    }
  })
  return choosing(
    chooser,
    (candidates, context) => (haveWeight(candidates) ? chooser : narrowed).choose(candidates, context)
  )
}

const haveWeight = (candidates: ReadonlyArray<Candidate>): boolean => {
  for (let i = 0; i < candidates.length; i++) {
    if (candidates[i]!.weight <= 0) return false
  }
  return true
}
