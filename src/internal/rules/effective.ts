import type { Predicate } from "../../RoutingRules.js"
import { and, isRead } from "../../RoutingRules.js"
import type { Place, Target } from "../../Target.js"
import type { Known, KnownDatabase } from "./known.js"

/** The Database of a target, if it is known. */
export const databaseOf = (place: Place, known: Known): KnownDatabase | undefined =>
  known.databases.get(place.database ?? known.default)

/** Whether nothing but a read can run there. */
export const isReplicaOnly = (target: Target, known: Known): boolean => {
  switch (target._tag) {
    case "Deny":
      return false
    case "Mirrored":
      return isReplicaOnly(target.main, known)
    case "Database":
      return target.role === "replica"
    case "Endpoint":
      return databaseOf(target, known)?.replicas.includes(target.endpoint) ?? false
  }
}

/** What a rule really matches: one that points to a replica matches confirmed reads only. */
export const effective = (predicate: Predicate, target: Target, known: Known): Predicate =>
  isReplicaOnly(target, known) ? and(predicate, isRead) : predicate
