import * as Effect from "effect/Effect"
import * as EffectPool from "effect/Pool"
import * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import * as path from "node:path"
import * as ConnectionPool from "../src/ConnectionPool.js"
import type { PhysicalConnection } from "../src/Driver.js"
import * as Hooks from "../src/internal/hooks.js"
import * as Pool from "../src/internal/pool.js"
import { median, report } from "./harness.js"

const size = 10
const borrowers = 64
const loans = 20_000
const rounds = 15
/** The first rounds are for the compiler. */
const warmUp = 3

/** Borrows and gives back so often, one after the other; resolved when done. */
type Contestant = (loans: number) => Promise<void>

interface Pair {
  readonly name: string
  /** By one borrower that never waits. */
  readonly alone: Contestant
  /** By one of many borrowers; what it holds stays held for a turn, so that the others wait. */
  readonly contended: Contestant
}

const connection = (): PhysicalConnection => ({
  isUsable: () => true,
  inTransaction: () => false,
  ping: Effect.void,
  onLost: () => {},
  positions: undefined,
  execute: () => Effect.succeed([]),
  executeRaw: () => Effect.succeed([]),
  executeValues: () => Effect.succeed([]),
  executeUnprepared: () => Effect.succeed([]),
  executeStream: () => {
    throw new Error("not here")
  }
})

/** What a pool in Effect costs at least: a free list, a queue, and no more than `acquireUseRelease` around them. */
class MinimalPool {
  private readonly free: Array<object> = Array.from({ length: size }, () => ({}))
  private readonly waiters: Array<(effect: Effect.Effect<object>) => void> = []
  private readonly acquire = Effect.suspend(() => {
    const item = this.free.pop()
    if (item !== undefined) return Effect.succeed(item)
    return Effect.async<object>((resume) => void this.waiters.push(resume))
  })
  use<A>(effect: Effect.Effect<A>): Effect.Effect<A> {
    return Effect.acquireUseRelease(this.acquire, () => effect, (item) =>
      Effect.sync(() => {
        const waiter = this.waiters.shift()
        if (waiter === undefined) this.free.push(item)
        else waiter(Effect.succeed(item))
      }))
  }
}

const effectPair = (name: string, use: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>): Pair => ({
  name,
  alone: (loans) => Effect.runPromise(Effect.asVoid(Effect.repeatN(use(Effect.void), loans - 1))),
  contended: (loans) => Effect.runPromise(Effect.asVoid(Effect.repeatN(use(Effect.yieldNow()), loans - 1)))
})

/** As the router borrows for a statement: at once if it can, in one uninterruptible region. */
const routed = (pool: Pool.Pool, now: () => bigint) => <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.uninterruptibleMask((restore) => {
    const use = (slot: Pool.Slot) =>
      Effect.matchCauseEffect(restore(effect), {
        onSuccess: (value) => {
          pool.release(slot, now())
          return Effect.succeed(value)
        },
        onFailure: (cause) => {
          pool.release(slot, now())
          return Effect.failCause(cause)
        }
      })
    const slot = pool.takeIdle()
    return slot === undefined ? Effect.orDie(Effect.flatMap(pool.acquire(restore), use)) : use(slot)
  })

const promisePair = (
  name: string,
  acquire: () => Promise<unknown>,
  release: (item: any) => unknown
): Pair => ({
  name,
  alone: async (loans) => {
    for (let i = 0; i < loans; i++) {
      const item = await acquire()
      // Its release may be a promise, which a borrower need not await.
      void release(item)
    }
  },
  contended: async (loans) => {
    for (let i = 0; i < loans; i++) {
      const item = await acquire()
      await Promise.resolve()
      void release(item)
    }
  }
})

/** Pools that are compared with where they are installed; `POOL_PEERS` names the folder to look from. */
const peers = async (): Promise<ReadonlyArray<Pair>> => {
  const here = createRequire(path.join(import.meta.dirname, "peers.js"))
  const there = createRequire(path.join(process.env["POOL_PEERS"] ?? import.meta.dirname, "peers.js"))
  const found: Array<Pair> = []
  const add = async (name: string, make: (load: (name: string) => any) => Pair | Promise<Pair>): Promise<void> => {
    const load = (module: string) => {
      try {
        return there(module)
      } catch {
        return here(module)
      }
    }
    try {
      found.push(await make(load))
    } catch (error) {
      console.log(
        `bench pool ${name} is not measured: ${error instanceof Error ? error.message.split("\n")[0] : error}`
      )
    }
  }
  await add("pg-pool", (load) => {
    const { EventEmitter } = load("node:events")
    class Client extends EventEmitter {
      readonly _queryable = true
      readonly _ending = false
      connect(done: (error?: Error) => void): void {
        setImmediate(done)
      }
      end(done?: () => void): void {
        done?.()
      }
      ref(): void {}
      unref(): void {}
    }
    const pool = new (load("pg").Pool)({ max: size, Client, idleTimeoutMillis: 0 })
    return promisePair("pg-pool", () => pool.connect(), (client) => client.release())
  })
  await add("mysql2", async (load) => {
    const { EventEmitter } = load("node:events")
    const mysql = load("mysql2")
    const pool = mysql.createPool({ connectionLimit: size, host: "127.0.0.1", port: 1 })
    // Its connections, without a server: as if all had been opened and given back.
    for (let i = 0; i < size; i++) {
      const fake: any = new EventEmitter()
      fake._pool = pool
      fake._closing = false
      fake.lastActiveTime = Date.now()
      fake.stream = { destroyed: false }
      fake.end = () => {}
      pool._allConnections.push(fake)
      pool._freeConnections.push(fake)
    }
    const acquire = () =>
      new Promise<unknown>((resolve, reject) =>
        pool.getConnection((error: unknown, connection: unknown) => error ? reject(error) : resolve(connection))
      )
    return promisePair("mysql2", acquire, (connection) => pool.releaseConnection(connection))
  })
  await add("generic-pool", (load) => {
    const pool = load("generic-pool").createPool(
      { create: async () => ({}), destroy: async () => {} },
      { max: size, min: size }
    )
    return promisePair("generic-pool", () => pool.acquire(), (item) => pool.release(item))
  })
  await add("tarn", (load) => {
    const pool = new (load("tarn").Pool)({ create: async () => ({}), destroy: () => {}, min: 0, max: size })
    return promisePair("tarn", () => pool.acquire().promise, (item) => pool.release(item))
  })
  return found
}

const time = async (run: () => Promise<unknown>, loans: number): Promise<number> => {
  const start = process.hrtime.bigint()
  await run()
  return Number(process.hrtime.bigint() - start) / loans
}

const inTurn = (pair: Pair): Promise<readonly [alone: number, contended: number]> => {
  const each = Math.ceil(loans / borrowers)
  return time(() => pair.alone(loans), loans).then(async (alone) => {
    const all = () => Promise.all(Array.from({ length: borrowers }, () => pair.contended(each)))
    return [alone, await time(all, each * borrowers)] as const
  })
}

/** Acquire and release, beside other pools: with nobody else, and with 64 always waiting on 10. */
export const run = async (): Promise<void> => {
  const scope = Effect.runSync(Scope.make())
  const pool = await Effect.runPromise(Scope.extend(
    Pool.make({
      database: "main",
      endpoint: "primary",
      lane: "main",
      settings: { ...ConnectionPool.defaults, max: size, min: size },
      open: Effect.sync(connection),
      rollback: "ROLLBACK",
      hooks: Hooks.make({}, Hooks.defaultTimeout, {
        database: "main",
        endpoint: "primary",
        role: "primary",
        access: "readWrite"
      }),
      budget: undefined,
      random: () => 0,
      shutdownTimeout: ConnectionPool.defaults.connectTimeout
    }),
    scope
  ))
  const clock = Effect.runSync(Effect.clock)
  const minimal = new MinimalPool()
  const effects = await Effect.runPromise(
    Scope.extend(EffectPool.make({ acquire: Effect.sync(() => ({})), size }), scope)
  )
  const pairs: ReadonlyArray<Pair> = [
    effectPair("minimal Effect pool", (effect) => minimal.use(effect)),
    effectPair("ours", routed(pool, () => clock.unsafeCurrentTimeNanos())),
    effectPair("Effect's Pool", (effect) => Effect.scoped(Effect.zipRight(EffectPool.get(effects), effect))),
    ...await peers()
  ]
  const figures = pairs.map(() => ({ alone: [] as Array<number>, contended: [] as Array<number> }))
  for (let round = 0; round < rounds; round++) {
    for (const [i, pair] of pairs.entries()) {
      const [alone, contended] = await inTurn(pair)
      if (round < warmUp) continue
      figures[i]!.alone.push(alone)
      figures[i]!.contended.push(contended)
    }
  }
  for (const kind of ["alone", "contended"] as const) {
    const nanos = figures.map((_) => median(_[kind]))
    const label = kind === "alone" ? "uncontended" : `${borrowers} waiting on ${size}`
    pairs.forEach(({ name }, i) => report("pool", `${name}, ${label}`, "ns", nanos[i]!))
    const over = (i: number, j: number) =>
      median(figures[i]![kind].map((nanos, round) => nanos / figures[j]![kind][round]!))
    report("pool", `ours, ${label}`, "x", over(1, 0), { most: 1.5, beside: "minimal Effect pool" })
    report("pool", `Effect's Pool, ${label}`, "x", over(2, 1), { least: 4, beside: "ours" })
  }
  await Effect.runPromise(Scope.close(scope, Effect.runSync(Effect.exit(Effect.void))))
}
