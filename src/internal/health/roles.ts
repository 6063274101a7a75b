/**
 * Who takes the writes of a database: pure, from what its servers say of themselves.
 *
 * A server that takes writes *claims* to be the primary if it is configured as one, or was seen as a replica before. Its
 * claim stands, even while it cannot be asked, until it says that it is a replica, or until a server that claimed later was
 * accepted. One that was passed over so has no claim any more when it comes back writable: it has missed what happened since.
 */

/** What a server answered when it was asked for its role. */
export type Answer = "primary" | "replica" | "silent"

export interface Member {
  readonly name: string
  /** Whether the configuration says that it may be the primary. */
  readonly mayBePrimary: boolean
  /** What it said last. */
  readonly said: "primary" | "replica" | undefined
  readonly wasReplica: boolean
  /** When it began to claim to be the primary, as the number of an observation. */
  readonly claim: number | undefined
  readonly passedOver: boolean
  /** Taken out by hand, its word does not count. */
  readonly ignored: boolean
}

/** Who takes writes; `confirmed` once it said so itself. */
export type Primary =
  | { readonly _tag: "Known"; readonly name: string; readonly confirmed: boolean }
  | { readonly _tag: "None"; readonly last: string }
  | { readonly _tag: "Split"; readonly names: ReadonlyArray<string>; readonly last: string }

export interface Roles {
  readonly members: ReadonlyMap<string, Member>
  readonly primary: Primary
  readonly observations: number
}

/** Before any server was asked, the first that may be the primary is believed to be. */
export const make = (members: ReadonlyArray<{ readonly name: string; readonly mayBePrimary: boolean }>): Roles => ({
  members: new Map(members.map(({ mayBePrimary, name }) => [name, {
    name,
    mayBePrimary,
    said: undefined,
    wasReplica: false,
    claim: undefined,
    passedOver: false,
    ignored: false
  }])),
  primary: {
    _tag: "Known",
    name: (members.find((member) => member.mayBePrimary) ?? members[0]!).name,
    confirmed: false
  },
  observations: 0
})

/** The last endpoint that writes went to. */
export const lastPrimary = ({ primary }: Roles): string => primary._tag === "Known" ? primary.name : primary.last

/** What servers said, without a decision: for that, all of them are to be asked at the same time. */
export const observe = (self: Roles, answers: ReadonlyMap<string, Answer>): Roles => {
  const observations = self.observations + 1
  const members = new Map(self.members)
  for (const [name, answer] of answers) {
    const member = members.get(name)
    if (member !== undefined) members.set(name, heard(member, answer, observations))
  }
  return { ...self, members, observations }
}

const heard = (member: Member, answer: Answer, observation: number): Member => {
  switch (answer) {
    case "silent":
      return member
    case "replica":
      return { ...member, said: "replica", wasReplica: true, claim: undefined, passedOver: false }
    case "primary": {
      const claims = !member.passedOver && (member.mayBePrimary || member.wasReplica)
      return { ...member, said: "primary", claim: claims ? member.claim ?? observation : undefined }
    }
  }
}

/** Whether what is known calls for all to be asked at once: the primary does not claim to be one, or another does. */
export const isInDoubt = ({ members, primary }: Roles): boolean => {
  if (primary._tag !== "Known" || !primary.confirmed) return true
  for (const member of members.values()) {
    if (member.name === primary.name ? member.claim === undefined || member.ignored : stands(member)) return true
  }
  return false
}

/** Who takes writes, now that all were asked at the same time. */
export const decide = (before: Roles, answers: ReadonlyMap<string, Answer>): Roles => {
  const self = observe(before, answers)
  const claimants = Array.from(self.members.values()).filter(stands)
  const writable = claimants.filter(({ name }) => answers.get(name) === "primary")
  const last = lastPrimary(self)
  if (writable.length === 0) return { ...self, primary: nobodyWrites(self, claimants) }
  const [only] = writable as [Member]
  // Someone who claimed no sooner, and is silent, may be writing unseen.
  const rivals = writable.length > 1
    ? writable
    : claimants.filter(({ claim, name }) => name !== only.name && claim! >= only.claim!)
  return rivals.length === 0
    ? accept(self, only.name)
    : { ...self, primary: { _tag: "Split", names: Array.from(new Set([only, ...rivals]), ({ name }) => name), last } }
}

/** Takes a server's word out of account, by hand, or lets it count again. */
export const ignore = (self: Roles, name: string, ignored: boolean): Roles => {
  const member = self.members.get(name)
  if (member === undefined) return self
  return { ...self, members: new Map(self.members).set(name, { ...member, ignored }) }
}

/** The primary could not be connected to, or it answers again. */
export const confirm = (self: Roles, confirmed: boolean): Roles =>
  self.primary._tag !== "Known" || self.primary.confirmed === confirmed
    ? self
    : { ...self, primary: { ...self.primary, confirmed } }

/** Why a server may not serve reads as a replica, as far as roles go. */
export const whyNotReplica = ({ members, primary }: Roles, name: string): string | undefined => {
  const member = members.get(name)!
  if (primary._tag === "Known" && primary.name === name) return "it is the primary"
  if (primary._tag === "Split" && primary.names.includes(name)) return "it claims to be the primary, and so do others"
  if (member.claim !== undefined || member.passedOver) return "it accepts writes, but is not the primary"
  return member.mayBePrimary && member.said === undefined ? "it has not said yet that it is a replica" : undefined
}

const stands = (member: Member): boolean => member.claim !== undefined && !member.ignored

const nobodyWrites = (self: Roles, claimants: ReadonlyArray<Member>): Primary => {
  const last = lastPrimary(self)
  if (claimants.length > 1) return { _tag: "Split", names: claimants.map(({ name }) => name), last }
  // The only one that claims to be it, but is silent now: statements find out whether it can be connected to.
  if (claimants.length === 1) return { _tag: "Known", name: claimants[0]!.name, confirmed: false }
  const believed = self.members.get(last)!
  return believed.said === undefined && !believed.ignored
    ? { _tag: "Known", name: last, confirmed: false }
    : { _tag: "None", last }
}

/** The writes go to it from now on; whoever claimed before it is passed over. */
const accept = (self: Roles, name: string): Roles => ({
  ...self,
  members: new Map(Array.from(self.members, ([key, member]) => [
    key,
    key === name || member.claim === undefined ? member : { ...member, claim: undefined, passedOver: true }
  ])),
  primary: { _tag: "Known", name, confirmed: true }
})
