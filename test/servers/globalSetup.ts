import { start } from "./start.js"

export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await start()
  return stop
}
