/** Values of the same rows, side by side. */
export interface Plot {
  readonly title: string
  readonly rows: ReadonlyArray<string>
  readonly panels: ReadonlyArray<{ readonly title: string; readonly values: ReadonlyArray<number> }>
  /** The right end of the logarithmic scale, which begins at 1. */
  readonly most: number
  readonly inDigits: (value: number) => string
}

/** GitHub shows pictures on white and on near black: each colour can be read on both. */
const colors = {
  text: "#7d8590",
  line: "#7d859055",
  first: "#2f81f7",
  good: "#3fa45b",
  fair: "#c69026",
  bad: "#e5534b"
}

const [labelWidth, panelWidth, gap, rowHeight, top, bottom] = [150, 128, 30, 24, 76, 30]

/** A plot as SVG: one panel beside the other, a line and a dot for each row, from 1 to its value. */
export const lollipops = ({ inDigits, most, panels, rows, title }: Plot): string => {
  const width = labelWidth + panels.length * (panelWidth + gap)
  const height = top + rows.length * rowHeight + bottom
  const y = (row: number) => top + (row + 0.5) * rowHeight
  const left = (panel: number) => labelWidth + panel * (panelWidth + gap)
  const x = (panel: number, value: number) =>
    left(panel) + panelWidth * Math.log(Math.min(Math.max(value, 1), most)) / Math.log(most)
  const ticks = Array.from({ length: Math.round(Math.log10(most)) + 1 }, (_, power) => 10 ** power)
  const end = height - bottom

  const labels = rows.map((row, i) => text(labelWidth - 12, y(i) + 4, row, { anchor: "end", bold: i === 0 }))
  const drawn = panels.flatMap(({ title, values }, panel) => [
    text(left(panel), top - 14, title, { bold: true }),
    ...ticks.flatMap((tick) => [
      line(x(panel, tick), top, x(panel, tick), end, colors.line, 1),
      text(x(panel, tick), end + 16, `${tick}`, { anchor: "middle", size: 11 })
    ]),
    ...values.flatMap((value, row) => {
      const color = colorOf(value, row)
      const isFar = value > most / 10
      return [
        line(left(panel), y(row), x(panel, value), y(row), color, 3),
        `<circle cx="${at(x(panel, value))}" cy="${at(y(row))}" r="5" fill="${color}"/>`,
        text(x(panel, value) + (isFar ? -9 : 9), y(row) + (isFar ? -4 : 4), inDigits(value), {
          anchor: isFar ? "end" : "start",
          size: 11
        })
      ]
    })
  ])
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" `
    + `font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif" role="img">`,
    `<title>${escaped(title)}</title>`,
    text(0, 18, title, { bold: true, size: 14 }),
    text(0, 36, "On a logarithmic scale: less is better, 1 is as good as can be.", {}),
    ...labels,
    ...drawn,
    "</svg>",
    ""
  ].join("\n")
}

const colorOf = (value: number, row: number): string =>
  row === 0 ? colors.first : value < 1.3 ? colors.good : value < 3 ? colors.fair : colors.bad

interface TextOptions {
  readonly anchor?: "start" | "middle" | "end"
  readonly bold?: boolean
  readonly size?: number
}

const text = (
  x: number,
  y: number,
  words: string,
  { anchor = "start", bold = false, size = 12 }: TextOptions
): string =>
  `<text x="${at(x)}" y="${at(y)}" font-size="${size}" text-anchor="${anchor}" fill="${colors.text}"`
  + `${bold ? ` font-weight="600"` : ""}>${escaped(words)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, color: string, width: number): string =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${color}" stroke-width="${width}"/>`

const at = (value: number): string => value.toFixed(1)

const escaped = (words: string): string => words.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
