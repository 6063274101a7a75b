export const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** Prints one figure, in the form that scripts read. */
export const report = (
  bench: string,
  figure: string,
  unit: string,
  value: number,
  goal?: { readonly most?: number; readonly least?: number }
): void => {
  const met = goal === undefined ||
    (goal.most === undefined || value <= goal.most) && (goal.least === undefined || value >= goal.least)
  const target = goal === undefined
    ? ""
    : goal.most === undefined
    ? ` goal >= ${goal.least} ${met ? "ok" : "short"}`
    : ` goal <= ${goal.most} ${met ? "ok" : "short"}`
  console.log(`bench ${bench} ${figure} ${value.toFixed(3)} ${unit}${target}`)
}
