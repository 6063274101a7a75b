import type { FunctionEffect } from "./dictionary.js"

/*
 * The words of SQLite 3.53.
 *
 * Sources: sqlite.org "SQLite Keywords" and "Pragma statements"; pragma_function_list and pragma_pragma_list of 3.53; each
 * keyword was tried as `SELECT w(1)`, to learn whether it is grammar or a function's name.
 */

/** Before a parenthesis these are grammar: no function can be called by their bare name. */
export const sqliteSyntax = `
  add all alter and as autoincrement between case cast check collate commit constraint create default deferrable delete
  distinct drop else escape except exists foreign from group having in index insert intersect into is isnull join limit
  not nothing notnull null on or order primary references returning select set table then to transaction union unique
  update using values when where`

/** Grammar in some places, and names in others. */
export const sqliteKeywords = `
  abort action after always analyze asc attach before begin by cascade column conflict cross current database deferred
  desc detach do each end exclude exclusive explain fail filter first following for full generated glob groups if ignore
  immediate indexed initially inner instead key last left like match materialized natural no nulls of offset others outer
  over partition plan pragma preceding query raise range recursive regexp reindex release rename replace restrict right
  rollback row rows savepoint temp temporary ties trigger unbounded vacuum view virtual window with within without`

/** Before a parenthesis and after an operand these are grammar. */
export const sqliteInfix = `like glob match over filter materialized`

/** The extensions that come with SQLite and have no side effects are among them. */
export const sqliteReads = `
  abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling char coalesce concat concat_ws cos cosh count
  cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format
  fts5 fts5_decode fts5_decode_none fts5_expr fts5_expr_tcl fts5_fold fts5_get_locale fts5_insttoken
  fts5_isalnum fts5_locale fts5_rowid fts5_source_id geopoly_area geopoly_bbox geopoly_blob geopoly_ccw
  geopoly_contains_point geopoly_debug geopoly_group_bbox geopoly_json geopoly_overlap geopoly_regular geopoly_svg
  geopoly_within geopoly_xform glob group_concat hex highlight if ifnull iif instr json json_array json_array_insert
  json_array_length json_each json_error_position json_extract json_group_array json_group_object json_insert
  json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree json_type json_valid jsonb
  jsonb_array jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object
  jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday lag last_value lead length like likelihood likely ln log
  log10 log2 lower ltrim match matchinfo max median min mod nth_value ntile nullif octet_length offsets percent_rank
  percentile percentile_cont percentile_disc pi pow power printf quote radians raise random randomblob rank replace round
  row_number rtreecheck rtreedepth rtreenode rtrim sign sin sinh snippet soundex sqlite_compileoption_get
  sqlite_compileoption_used sqlite_offset sqlite_source_id sqlite_version sqrt stddev strftime string_agg substr
  substring subtype sum tan tanh time timediff total trim trunc typeof unhex unicode unistr unistr_quote unixepoch
  unlikely upper zeroblob`

export const sqliteEffects: { readonly [effect in Exclude<FunctionEffect, "read" | "unknown">]: string } = {
  /** `optimize` merges the index of an FTS3 table; an extension may do anything. */
  write: `optimize load_extension writefile edit sqlite_log`,
  lock: ``,
  session: `changes total_changes last_insert_rowid`,
  admin: ``
}

/** Pragmas that answer about the schema and change nothing, whatever argument they are given. */
export const sqliteReadPragmas = `
  foreign_key_check foreign_key_list index_info index_list index_xinfo integrity_check quick_check table_info table_list
  table_xinfo`

/** Pragmas that answer about the file when they are given nothing; some of them set something when they are. */
export const sqliteReadPragmasWithoutValue = `
  application_id auto_vacuum collation_list compile_options database_list encoding freelist_count function_list
  journal_mode max_page_count module_list page_count page_size pragma_list schema_version stats user_version`

/** Of these the ones that can be queried as tables, which take no argument there. */
export const sqlitePragmaTables = `
  application_id collation_list compile_options database_list encoding freelist_count function_list module_list
  pragma_list schema_version stats user_version`

/** Pragmas that change the file when they are given a value. */
export const sqliteWritePragmas = `
  application_id auto_vacuum encoding journal_mode page_size schema_version user_version default_cache_size
  incremental_vacuum optimize wal_checkpoint legacy_file_format`
