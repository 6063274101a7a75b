import type { FunctionEffect } from "./dictionary.js"

/** Which functions a program takes at their word. */
export interface Trust {
  /** `stable`: those that are declared IMMUTABLE or STABLE; `immutable`: only the former. */
  readonly volatility: "immutable" | "stable"
}

/** A row of {@link query}: a function, or an operator, which has no schema. */
export interface Row {
  readonly schema: string | null
  readonly name: string
  readonly harmless: boolean
}

/**
 * Functions of well-known extensions that are VOLATILE and yet only read or draw at random. Source: the extensions' manuals
 * (PostgreSQL appendix F, PostGIS).
 */
const harmless = [
  ["uuid-ossp", "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4"],
  [
    "pgcrypto",
    "gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea"
  ],
  ["tablefunc", "normal_rand"],
  ["pg_stat_statements", "pg_stat_statements pg_stat_statements_info"],
  ["pg_buffercache", "pg_buffercache_pages"],
  ["pg_freespacemap", "pg_freespace"],
  ["pgstattuple", "pg_relpages pgstatginindex pgstathashindex pgstatindex pgstattuple pgstattuple_approx"],
  ["postgis", "postgis_full_version st_estimatedextent"]
] as const

/** Declared STABLE, but they run a text as SQL. */
const running = "connectby crosstab crosstab2 crosstab3 crosstab4 xpath_table"

const quoted = (names: string): string => names.split(" ").map((name) => `'${name}'`).join(", ")

/**
 * The functions and operators outside of pg_catalog, and whether all that share a name are harmless: declared so, and in a
 * trusted language, or in C if an extension brought them. Of an aggregate its functions count.
 */
export const query = ({ volatility }: Trust): string => `
WITH functions AS (
  SELECT p.oid, n.nspname, p.proname,
    (p.provolatile IN (${volatility === "stable" ? "'i', 's'" : "'i'"}) OR ${
  harmless.map(([extension, names]) => `(e.extname = '${extension}' AND p.proname IN (${quoted(names)}))`).join(" OR ")
})
    AND (l.lanpltrusted OR p.prokind = 'a' OR (l.lanname = 'c' AND e.oid IS NOT NULL))
    AND p.proname NOT IN (${quoted(running)})
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc f
        ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
      WHERE a.aggfnoid = p.oid AND f.provolatile NOT IN (${volatility === "stable" ? "'i', 's'" : "'i'"})
    ) AS harmless
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
    AND d.deptype = 'e'
  LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prokind <> 'p'
)
SELECT nspname::text AS schema, proname::text AS name, bool_and(harmless) AS harmless
FROM functions GROUP BY 1, 2
UNION ALL
SELECT NULL, o.oprname::text, bool_and(coalesce(f.harmless, o.oprcode < 16384))
FROM pg_catalog.pg_operator o LEFT JOIN functions f ON f.oid = o.oprcode
WHERE o.oid >= 16384 GROUP BY 2`

/**
 * The effects the rows tell, by name and by name with schema. A name that some schema gives to a function that may write is
 * not known to be harmless anywhere, not even if it is a built-in name: which one is called depends on the arguments and
 * the search path.
 */
export const effectsOf = (rows: ReadonlyArray<Row>): ReadonlyMap<string, FunctionEffect> => {
  const effects = new Map<string, FunctionEffect>()
  for (const { harmless, name, schema } of rows) {
    if (schema !== null) effects.set(`${schema}.${name}`, harmless ? "read" : "unknown")
    if (!harmless || !effects.has(name)) effects.set(name, harmless ? "read" : "unknown")
  }
  return effects
}
