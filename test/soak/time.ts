import { monitorEventLoopDelay } from "node:perf_hooks"

export class Stopwatch {
  private begun = performance.now()

  restart(): void {
    this.begun = performance.now()
  }

  get seconds(): number {
    return (performance.now() - this.begun) / 1000
  }
}

const histogram = monitorEventLoopDelay({ resolution: 10 })
histogram.enable()

/** How long this process was kept from doing anything, at the longest: by other programs, or by a collection of the heap. */
export const longestStallMillis = (): number => Math.round(histogram.max / 1e6)

/** By how much a time limit may be missed: who shares two cores with five servers and other tests is late more than once. */
export const lateMillis = (): number => 1000 + 2 * longestStallMillis()
