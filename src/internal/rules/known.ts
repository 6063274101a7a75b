import type { Dialect } from "../../Dialect.js"

/** The Databases that targets may name. */
export interface Known {
  readonly default: string
  readonly databases: ReadonlyMap<string, KnownDatabase>
}

export interface KnownDatabase {
  readonly dialect: Dialect
  readonly primary: string
  readonly replicas: ReadonlyArray<string>
}
