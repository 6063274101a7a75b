import { Dictionary, wordsOf } from "./dictionary.js"

/**
 * The words that the reader knows by number: their entries, which are the same in the dictionary of each language. Written
 * out, as a literal of this size is fast to read from, and one that is computed is not.
 */
// dprint-ignore
export const K = {
  abort: 1, all: 2, alter: 3, analyse: 4, analyze: 5, and: 6, as: 7, attach: 8, authors: 9, autocommit: 10, backup:
  11, begin: 12, between: 13, binary: 14, binlog: 15, cache: 16, call: 17, case: 18, change: 19, character: 20,
  charset: 21, check: 22, checkpoint: 23, checksum: 24, clone: 25, close: 26, cluster: 27, collation: 28, columns:
  29, comment: 30, commit: 31, committed: 32, concurrently: 33, connection: 34, constraints: 35, contributors: 36,
  copy: 37, create: 38, cycle: 39, database: 40, databases: 41, deallocate: 42, declare: 43, deferrable: 44,
  deferred: 45, delayed: 46, delete: 47, desc: 48, describe: 49, detach: 50, discard: 51, distinct: 52, do: 53,
  drop: 54, dumpfile: 55, end: 56, engines: 57, event: 58, events: 59, except: 60, exclusive: 61, execute: 62,
  exists: 63, explain: 64, extended: 65, false: 66, fetch: 67, fields: 68, flush: 69, for: 70, format: 71, from: 72,
  full: 73, function: 74, get: 75, global: 76, grant: 77, grants: 78, group: 79, handler: 80, having: 81, help: 82,
  high_priority: 83, history: 84, if: 85, ignore: 86, immediate: 87, import: 88, in: 89, index: 90, indexes: 91,
  insert: 92, install: 93, intersect: 94, into: 95, is: 96, join: 97, key: 98, keys: 99, kill: 100, lateral: 101,
  level: 102, limit: 103, listen: 104, load: 105, local: 106, lock: 107, loop: 108, low_priority: 109, materialized:
  110, merge: 111, move: 112, mysql: 113, next: 114, no: 115, no_write_to_binlog: 116, not: 117, notify: 118,
  offset: 119, on: 120, only: 121, open: 122, operator: 123, optimize: 124, or: 125, order: 126, outfile: 127,
  package: 128, partitions: 129, password: 130, persist: 131, persist_only: 132, plan: 133, plugins: 134, pragma:
  135, prepare: 136, prepared: 137, prev: 138, previous: 139, privileges: 140, procedure: 141, processlist: 142,
  purge: 143, query: 144, quick: 145, read: 146, reassign: 147, recover: 148, recursive: 149, refresh: 150, regexp:
  151, reindex: 152, release: 153, rename: 154, repair: 155, repeat: 156, repeatable: 157, replace: 158, replica:
  159, replicas: 160, reset: 161, resignal: 162, restart: 163, restrict: 164, returning: 165, revoke: 166, rollback:
  167, rows: 168, rule: 169, savepoint: 170, schemas: 171, search: 172, security: 173, select: 174, sequence: 175,
  serializable: 176, session: 177, set: 178, share: 179, show: 180, shutdown: 181, signal: 182, slave: 183, slaves:
  184, sql_calc_found_rows: 185, start: 186, stdout: 187, stop: 188, storage: 189, straight_join: 190, system: 191,
  table: 192, tables: 193, temp: 194, temporary: 195, to: 196, transaction: 197, trigger: 198, triggers: 199, true:
  200, truncate: 201, uncommitted: 202, uninstall: 203, union: 204, unlisten: 205, unlock: 206, unlogged: 207,
  update: 208, use: 209, using: 210, vacuum: 211, value: 212, values: 213, verbose: 214, view: 215, where: 216,
  while: 217, window: 218, with: 219, work: 220, write: 221, xa: 222, xor: 223
} as const

/** A dictionary with these words only, which come first. */
export const sharedDictionary = (): Dictionary => {
  const dictionary = new Dictionary()
  for (const name of Object.keys(K)) dictionary.add(name)
  return dictionary
}

/** The entries of some of these words, separated by blanks. */
export const keywordsOf = (words: string): ReadonlyArray<number> =>
  wordsOf(words).map((word) => K[word as keyof typeof K])
