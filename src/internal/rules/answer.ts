/*
 * What a predicate has to say about a statement. The order is that of certainty, so that AND is the least and OR the
 * greatest of two.
 */
export const No = 0
export const Unknown = 1
export const Yes = 2
/** It takes more than the facts to tell. */
export const Later = 3

export type Answer = typeof No | typeof Unknown | typeof Yes | typeof Later

/** A rule matches on {@link Yes} only, so for AND a No decides, whatever is still open. */
export const both = (a: Answer, b: Answer): Answer => {
  if (a === No || b === No) return No
  if (a === Later || b === Later) return Later
  return a < b ? a : b
}

export const either = (a: Answer, b: Answer): Answer => {
  if (a === Yes || b === Yes) return Yes
  if (a === Later || b === Later) return Later
  return a > b ? a : b
}

export const contrary = (a: Answer): Answer => a === Yes ? No : a === No ? Yes : a
