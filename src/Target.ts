/**
 * Where a rule sends a statement: a Database with a role, or one endpoint by name; or nowhere.
 *
 * @since 0.1.0
 */

/**
 * Which endpoints of a Database a statement may run on.
 *
 * - `primary`: the primary.
 * - `replica`: a replica; a rule with it matches confirmed reads only.
 * - `any`: any endpoint for confirmed reads, the primary for everything else.
 * - `auto`: a replica for confirmed reads, the primary for everything else.
 *
 * @since 0.1.0
 * @category models
 */
export type TargetRole = "primary" | "replica" | "any" | "auto"

/**
 * A Database with a role.
 *
 * @since 0.1.0
 * @category models
 */
export interface OnDatabase<out Database extends string = string> {
  readonly _tag: "Database"
  /** `undefined` for the router's default Database. */
  readonly database: Database | undefined
  readonly role: TargetRole
}

/**
 * One endpoint, and no other in its place.
 *
 * @since 0.1.0
 * @category models
 */
export interface OnEndpoint<out Database extends string = string> {
  readonly _tag: "Endpoint"
  /** `undefined` for the router's default Database. */
  readonly database: Database | undefined
  readonly endpoint: string
}

/**
 * The statement is refused.
 *
 * @since 0.1.0
 * @category models
 */
export interface Deny {
  readonly _tag: "Deny"
  /** What the error says to the one who wrote the statement. */
  readonly message: string
}

/**
 * Statements go to `main`; of the confirmed reads, some run a second time on `to`, and that result is dropped.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mirrored<out Database extends string = string> {
  readonly _tag: "Mirrored"
  readonly main: Place<Database>
  /** How many of the reads run a second time, from 0 to 100. */
  readonly percent: number
  readonly to: Place<Database>
}

/**
 * Where a statement can run.
 *
 * @since 0.1.0
 * @category models
 */
export type Place<Database extends string = string> = OnDatabase<Database> | OnEndpoint<Database>

/**
 * Where a rule sends a statement. The type parameter is the union of the Database names in it.
 *
 * @since 0.1.0
 * @category models
 */
export type Target<Database extends string = string> = Place<Database> | Mirrored<Database> | Deny

const onDefault = (role: TargetRole): OnDatabase<never> => ({ _tag: "Database", database: undefined, role })

/**
 * The primary of the default Database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const primary: OnDatabase<never> = onDefault("primary")

/**
 * A replica of the default Database; for confirmed reads only.
 *
 * @since 0.1.0
 * @category constructors
 */
export const replica: OnDatabase<never> = onDefault("replica")

/**
 * Any endpoint of the default Database for confirmed reads, its primary for everything else.
 *
 * @since 0.1.0
 * @category constructors
 */
export const any: OnDatabase<never> = onDefault("any")

/**
 * A replica of the default Database for confirmed reads, its primary for everything else: where statements go without rules.
 *
 * @since 0.1.0
 * @category constructors
 */
export const auto: OnDatabase<never> = onDefault("auto")

/**
 * A Database by name. The role is `auto` by default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const database = <const Database extends string>(
  name: Database,
  role: TargetRole = "auto"
): OnDatabase<Database> => ({ _tag: "Database", database: name, role })

/**
 * One endpoint by name, of the default Database unless another is named.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endpoint = <const Database extends string = never>(
  name: string,
  options?: { readonly database?: Database | undefined }
): OnEndpoint<Database> => ({ _tag: "Endpoint", database: options?.database, endpoint: name })

/**
 * Refuses the statement with a typed error that carries the message.
 *
 * @since 0.1.0
 * @category constructors
 */
export const deny = (message: string): Deny => ({ _tag: "Deny", message })

/**
 * Sends statements to `main`, and runs `percent` of the confirmed reads among them a second time elsewhere: in the
 * background, for 30 seconds at most and 16 at once, their results dropped.
 *
 * @example
 * ```ts
 * import { Target } from "effect-sql-router"
 *
 * const target = Target.mirrored(Target.auto, { percent: 5, to: Target.database("next") })
 * Target.render(target) // "auto, 5 % of reads also to next"
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const mirrored = <Main extends string = never, To extends string = never>(
  main: Place<Main>,
  options: { readonly percent: number; readonly to: Place<To> }
): Mirrored<Main | To> => ({ _tag: "Mirrored", main, percent: options.percent, to: options.to })

/**
 * A target in words: `replica`, `archive`, `archive (primary)`, `endpoint replica1 of archive`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const render = (target: Target): string => {
  switch (target._tag) {
    case "Database":
      if (target.database === undefined) return target.role
      return target.role === "auto" ? target.database : `${target.database} (${target.role})`
    case "Endpoint":
      return `endpoint ${target.endpoint}${target.database === undefined ? "" : ` of ${target.database}`}`
    case "Mirrored":
      return `${render(target.main)}, ${target.percent} % of reads also to ${render(target.to)}`
    case "Deny":
      return `deny: ${target.message}`
  }
}

/**
 * Whether two targets are the same place.
 *
 * @since 0.1.0
 * @category refinements
 */
export const equals = (a: Target, b: Target): boolean => {
  if (a === b) return true
  switch (a._tag) {
    case "Database":
      return b._tag === "Database" && a.database === b.database && a.role === b.role
    case "Endpoint":
      return b._tag === "Endpoint" && a.database === b.database && a.endpoint === b.endpoint
    case "Mirrored":
      return b._tag === "Mirrored" && a.percent === b.percent && equals(a.main, b.main) && equals(a.to, b.to)
    case "Deny":
      return b._tag === "Deny" && a.message === b.message
  }
}
