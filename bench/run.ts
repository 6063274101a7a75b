const names = ["overhead", "classifier", "pool", "rules", "strategies", "sqlite", "postgres", "mysql", "consistency"]

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("-"))
const unknown = wanted.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(", ")}. Known: ${names.join(", ")}.`)
  process.exit(1)
}
for (const name of wanted.length > 0 ? wanted : names) {
  const bench: { readonly run: () => Promise<void> } = await import(`./${name}.js`)
  await bench.run()
}
