import type { Candidate } from "../../ReplicaStrategy.js"
import { forgetGone } from "./memory.js"

/** FNV-1a over UTF-16 units. */
export const hashOf = (text: string): number => {
  let hash = 0x811C9DC5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}

/** Two hashes as one number, uniform in (0, 1): every bit of either changes it (the finalizer of MurmurHash3). */
export const mix = (a: number, b: number): number => {
  let hash = a ^ Math.imul(b, 0x9E3779B1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85EBCA6B)
  hash = Math.imul(hash ^ (hash >>> 13), 0xC2B2AE35)
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32
}

/** A number for each endpoint, from the hash of its name, computed once. */
export class NameHashes {
  private readonly numbers = new Map<string, number>()

  constructor(private readonly compute: (hash: number) => number) {}

  of(candidate: Candidate, candidates: ReadonlyArray<Candidate>): number {
    let number = this.numbers.get(candidate.name)
    if (number === undefined) {
      forgetGone(this.numbers, candidates)
      number = this.compute(hashOf(candidate.name))
      this.numbers.set(candidate.name, number)
    }
    return number
  }
}
