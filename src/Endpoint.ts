/**
 * One server (or file) that connections are opened to.
 *
 * @since 0.1.0
 */

/**
 * What an endpoint is for: the `primary` takes every statement, a `replica` only reads.
 *
 * @since 0.1.0
 * @category models
 */
export type Role = "primary" | "replica"

/**
 * What a connection may do: a `readOnly` one is refused every write by the server itself.
 *
 * @since 0.1.0
 * @category models
 */
export type Access = "readWrite" | "readOnly"

/**
 * What an endpoint has beside its driver's own configuration.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointOptions {
  /** Its share of the reads, relative to the other replicas; 0 takes none. Default 1. */
  readonly weight?: number | undefined
  /** Where it stands (an availability zone, a region), for strategies that prefer what is near. Default: nowhere. */
  readonly zone?: string | undefined
}

/**
 * A server (or file) that connections are opened to: its name, role and weight, and the configuration its driver
 * connects with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint<out Config = unknown> {
  readonly database: string
  readonly name: string
  readonly role: Role
  readonly weight: number
  readonly zone: string | undefined
  readonly config: Config
}
