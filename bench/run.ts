import { meetsGoal, reported } from "./harness.js"
import { writeTable } from "./table.js"

const names = [
  "overhead",
  "classifier",
  "pool",
  "rules",
  "strategies",
  "sqlite",
  "postgres",
  "poolers",
  "mysql",
  "consistency"
]

const flags = process.argv.slice(2).filter((argument) => argument.startsWith("-"))
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("-"))
const unknown = wanted.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(", ")}. Known: ${names.join(", ")}.`)
  process.exit(1)
}
const chosen = wanted.length > 0 ? wanted : names
const failed = new Set<string>()
for (const [index, name] of chosen.entries()) {
  console.log(`bench ${name} begins, ${index + 1} of ${chosen.length}`)
  const begun = performance.now()
  try {
    const bench: { readonly run: () => Promise<void> } = await import(`./${name}.js`)
    await bench.run()
    console.log(`bench ${name} ended after ${((performance.now() - begun) / 1000).toFixed(0)} s`)
  } catch (error) {
    // The others' figures are not lost.
    console.error(`bench ${name} failed`, error)
    failed.add(name)
    process.exitCode = 1
  }
}
const missed = reported.filter((figure) => meetsGoal(figure) === false)
console.log(`${reported.length} figures, ${missed.length} goals missed`)
for (const { bench, figure } of missed) console.log(`  ${bench} ${figure}`)
if (flags.includes("--table")) writeTable(reported.filter(({ bench }) => !failed.has(bench)), names)
