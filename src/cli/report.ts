import * as Explanation from "../Explanation.js"
import { counted } from "../internal/words.js"

/** An explanation, and where its statement was found. */
export interface Explained {
  readonly where: string | undefined
  readonly explanation: Explanation.Explanation
}

interface Check {
  readonly passes: (explanation: Explanation.Explanation) => boolean
  readonly one: string
  readonly several: string
}

/** What `--only` can ask of every statement. */
export const checks = {
  reads: {
    passes: ({ facts }) => facts.replicaSafe,
    one: "is not a confirmed read",
    several: "are not confirmed reads"
  },
  recognised: {
    passes: ({ facts }) => facts.access !== "unknown",
    one: "is not recognised",
    several: "are not recognised"
  },
  accepted: {
    passes: ({ plan }) => plan.refusal === undefined,
    one: "is refused",
    several: "are refused"
  }
} satisfies { readonly [name: string]: Check }

export type CheckName = keyof typeof checks

/** The statements that do not pass all checks. */
export const failing = (
  all: ReadonlyArray<Explained>,
  names: ReadonlyArray<CheckName>
): ReadonlyArray<Explained> => all.filter(({ explanation }) => names.some((name) => !checks[name].passes(explanation)))

/** What is wrong, in a few words; `undefined` if every statement passes. */
export const problem = (all: ReadonlyArray<Explained>, name: CheckName): string | undefined => {
  const failed = failing(all, [name])
  if (failed.length === 0) return undefined
  const places = failed.flatMap(({ where }) => where ?? [])
  const shown = places.length > 5 ? [...places.slice(0, 5), "…"] : places
  const where = shown.length === 0 ? "" : `: ${shown.join(", ")}`
  const verb = failed.length === 1 ? checks[name].one : checks[name].several
  return `${failed.length} of ${counted(all.length, "statement")} ${verb}${where}`
}

export const json = (all: ReadonlyArray<Explained>): string =>
  JSON.stringify(all.map(({ explanation, where }) => ({ where, ...Explanation.toJSON(explanation) })), undefined, 2)

/** The trees of those that are shown, and what all come to, if they are several. */
export const text = (
  all: ReadonlyArray<Explained>,
  shown: ReadonlyArray<Explained>,
  options: Explanation.RenderOptions
): string => {
  const trees = shown.map(({ explanation, where }) => {
    const tree = Explanation.render(explanation, options)
    return where === undefined ? tree : `-- ${where}\n${tree}`
  })
  return [...trees, ...(all.length > 1 ? [summary(all)] : [])].join("\n\n")
}

/** What several statements come to. */
const summary = (all: ReadonlyArray<Explained>): string => {
  const reads = all.filter(({ explanation }) => explanation.facts.replicaSafe).length
  const to = { replica: 0, primary: 0, refused: 0 }
  for (const { explanation } of all) to[Explanation.chosen(explanation)?.role ?? "refused"]++
  return `${counted(all.length, "statement")}, ${counted(reads, "confirmed read")}: `
    + `${to.replica} to a replica, ${to.primary} to a primary, ${to.refused} refused`
}
