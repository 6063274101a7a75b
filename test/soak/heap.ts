import { Effect } from "effect"
import { getHeapCodeStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/**
 * Bytes of what the program holds after a collection. Compiled code is left out: how much of it there is by when depends on
 * how much time the other programs leave to the compiler.
 */
export const heapInUse: Effect.Effect<number> = Effect.gen(function*() {
  collectGarbage()
  // What a weak reference has led to is kept until the end of its job.
  yield* Effect.sleep("50 millis")
  collectGarbage()
  const { bytecode_and_metadata_size, code_and_metadata_size } = getHeapCodeStatistics()
  return process.memoryUsage().heapUsed - bytecode_and_metadata_size - code_and_metadata_size
})
