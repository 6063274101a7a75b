import type { MetricState } from "effect"
import { Effect, Metric, RuntimeFlags, RuntimeFlagsPatch } from "effect"

/** Has Effect count the fibers of an effect, in metrics of its own. */
export const counted = Effect.withRuntimeFlagsPatch(RuntimeFlagsPatch.enable(RuntimeFlags.RuntimeMetrics))

/** How many of them there are now. */
export const activeFibers: Effect.Effect<number> = Effect.map(Metric.snapshot, (pairs) => {
  const pair = pairs.find(({ metricKey }) => metricKey.name === "effect_fiber_active")
  return pair === undefined ? 0 : Number((pair.metricState as MetricState.MetricState.Counter<number>).count)
})
