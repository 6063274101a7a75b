export const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** What a figure is read by: a goal, and what it is measured beside. */
export interface Standard {
  readonly most?: number
  readonly least?: number
  /** The peer that a ratio is to. */
  readonly beside?: string
}

export interface Figure extends Standard {
  readonly bench: string
  readonly figure: string
  readonly unit: string
  readonly value: number
}

const figures: Array<Figure> = []

/** All that was reported in this run, in order. */
export const reported: ReadonlyArray<Figure> = figures

/** Whether a figure meets its goal; `undefined` where it has none. */
export const meetsGoal = ({ least, most, value }: Figure): boolean | undefined =>
  most === undefined && least === undefined
    ? undefined
    : (most === undefined || value <= most) && (least === undefined || value >= least)

/** The one way to tell a figure: prints it, in the form that scripts read, and keeps it for the table. */
export const report = (bench: string, figure: string, unit: string, value: number, standard: Standard = {}): void => {
  const reported = { ...standard, bench, figure, unit, value }
  figures.push(reported)
  const met = meetsGoal(reported)
  const goal = met === undefined
    ? ""
    : ` goal ${standard.most === undefined ? `>= ${standard.least}` : `<= ${standard.most}`} ${met ? "ok" : "short"}`
  console.log(`bench ${bench} ${figure} ${value.toFixed(3)} ${unit}${goal}`)
}
