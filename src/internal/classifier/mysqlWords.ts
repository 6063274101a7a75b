import type { FunctionEffect } from "./dictionary.js"

/*
 * The words of MySQL 8 and MariaDB 10.11.
 *
 * Sources: information_schema.KEYWORDS and SQL_FUNCTIONS of MariaDB 10.11; each keyword was tried there as `SELECT w(1)`,
 * to learn whether it is grammar or a stored function's name, and as an alias, to learn whether it is reserved. MySQL's
 * additions: its manual, "Keywords and Reserved Words" and "Built-In Function and Operator Reference".
 */

/** Before a parenthesis these are grammar: neither a stored function nor a loadable one can have their name. */
export const mysqlSyntax = `
  accessible add all alter analyze and any as asc asensitive before begin between bigint binary binlog bit blob bool
  boolean both by byte cache call cascade case change char character charset check checksum close code collate column
  comment commit compressed condition constraint contains continue convert create cross cursor database databases
  datetime day_hour day_microsecond day_minute day_second deallocate dec decimal declare default delayed delete desc
  describe deterministic distinct distinctrow div do double drop dual each else elseif enclosed end enum escaped
  except execute exists exit explain false fetch fixed float float4 float8 flush for force foreign from fulltext
  function get grant group handler having help high_priority host hour_microsecond hour_minute hour_second if ignore
  ignored in index infile inner inout insensitive install int int1 int2 int3 int4 int8 integer intersect into is
  iterate join json key keys kill language leading leave like limit linear lines load lock long longblob longtext loop
  low_priority match maxvalue mediumblob mediumint mediumtext middleint minute_microsecond minute_second modifies
  names national natural nchar no not null numeric nvarchar offset on open optimize option optionally or order out
  outer outfile over partition port precedes precision prepare primary procedure purge range raw read reads read_write
  real recursive references regexp release rename repair require reset resignal restrict return returning revoke rlike
  rollback row rows savepoint schemas second_microsecond select sensitive separator serial server session set show
  shutdown signal signed slave smallint socket some soname sounds spatial specific sql sqlexception sqlstate
  sqlwarning sql_big_result sql_buffer_result sql_cache sql_no_cache sql_small_result ssl start starting stop stored
  straight_join table terminated text then to trailing trigger true unbounded undo unicode uninstall union unique
  unlock unsigned update upgrade usage use using values varbinary varchar varcharacter varying when where while window
  with wrapper write xa xor year_month zerofill`

/** Grammar in other places: none of them can be the alias before a list of columns. */
export const mysqlKeywords = `
  against at collation cube cycle day dumpfile empty error escape first follows following format full groups history
  hour interval intersect json_table last leaves locked materialized member microsecond minus minute mod mode month
  nested next nowait nulls ordinality others overlaps path period portion preceding previous prev quarter query
  quick recover respect rollup rownum second skip sql_calc_found_rows system system_time ties time timestamp until value
  versioning view visible wait week within without year zone account action also array general lateral of share work`

/** Operators in letters that are a function's name as well. */
export const mysqlInfix = `against mod member columns over`

/**
 * Built-in functions whose parenthesis must follow at once: with a blank before it, and without the SQL mode IGNORE_SPACE,
 * the name is a stored function's.
 */
export const mysqlAdjacent = `
  adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub dense_rank cume_dist extract first_value
  group_concat json_arrayagg json_objectagg lag lead max median mid min now nth_value ntile percent_rank percentile_cont
  percentile_disc position rank session_user st_collect std stddev stddev_pop stddev_samp subdate substr substring sum
  sysdate system_user trim trim_oracle variance var_pop var_samp`

/** Of both servers, what reads only. */
export const mysqlReads = `
  abs acos adddate addtime add_months aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg benchmark bin
  binlog_gtid_pos bin_to_uuid bit_and bit_count bit_length bit_or bit_xor can_access_column can_access_database
  can_access_table can_access_view cast ceil ceiling char_length character_length charset chr coalesce coercibility
  collation column_add column_check column_create column_delete column_exists column_get column_json column_list
  compress concat concat_operator_oracle concat_ws connection_id conv convert convert_tz cos cot count crc32 crc32c
  cume_dist curdate current_date current_role current_time current_timestamp current_user curtime database date
  date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear decode decode_histogram
  decode_oracle degrees dense_rank des_decrypt des_encrypt elt encode encrypt exp export_set extract extractvalue
  field find_in_set first_value floor format format_bytes format_pico_time from_base64 from_days from_unixtime
  from_vector geomcollection geometrycollection get_format greatest group_concat grouping gtid_subset gtid_subtract
  hex hour icu_version ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval is_ipv4 is_ipv4_compat
  is_ipv4_mapped is_ipv6 is_uuid isnull json_array json_array_append json_array_insert json_arrayagg json_compact
  json_contains json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_keys
  json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object json_objectagg
  json_overlaps json_pretty json_query json_quote json_remove json_replace json_schema_valid
  json_schema_validation_report json_search json_set json_storage_free json_storage_size json_table json_type
  json_unquote json_valid json_value lag last_day last_value lcase lead least left length lengthb linestring ln
  load_file localtime localtimestamp locate log log10 log2 lower lpad lpad_oracle ltrim ltrim_oracle make_set makedate
  maketime master_gtid_wait master_pos_wait max md5 mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequal mbrequals
  mbrintersects mbroverlaps mbrtouches mbrwithin median microsecond mid min minute mod month monthname multilinestring
  multipoint multipolygon name_const natural_sort_key now nth_value ntile nullif nvl nvl2 oct octet_length
  old_password ord password percent_rank percentile_cont percentile_disc period_add period_diff pi point polygon
  position pow power ps_current_thread_id ps_thread_id quarter quote radians rand random_bytes rank regexp_instr
  regexp_like regexp_replace regexp_substr repeat replace replace_oracle reverse right roles_graphml round row_number
  rownum rpad rpad_oracle rtrim rtrim_oracle schema sec_to_time second session_user sformat sha sha1 sha2 sign sin
  sleep soundex source_pos_wait space sqrt st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_boundary
  st_buffer st_buffer_strategy st_centroid st_collect st_contains st_convexhull st_crosses st_difference st_dimension
  st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals st_exteriorring st_frechetdistance
  st_geohash st_geomcollfromtext st_geomcollfromtxt st_geomcollfromwkb st_geometrycollectionfromtext
  st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson
  st_geomfromtext st_geomfromwkb st_hausdorffdistance st_interiorringn st_intersection st_intersects st_isclosed
  st_isempty st_isring st_issimple st_isvalid st_latfromgeohash st_latitude st_length st_lineinterpolatepoint
  st_lineinterpolatepoints st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb
  st_longfromgeohash st_longitude st_makeenvelope st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb
  st_mpolyfromtext st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext
  st_multipointfromwkb st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries st_numinteriorring
  st_numinteriorrings st_numpoints st_overlaps st_pointatdistance st_pointfromgeohash st_pointfromtext st_pointfromwkb
  st_pointn st_pointonsurface st_polyfromtext st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_relate
  st_simplify st_srid st_startpoint st_swapxy st_symdifference st_touches st_transform st_union st_validate st_within
  st_x st_y statement_digest statement_digest_text std stddev stddev_pop stddev_samp str_to_date strcmp
  string_to_vector subdate substr substr_oracle substring substring_index subtime sum sys_guid sysdate system_user tan
  time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_char to_days to_seconds
  to_vector trim trim_oracle truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user
  utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin validate_password_strength value var_pop var_samp
  variance vec_distance vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext vector_dim vector_to_string
  version wait_for_executed_gtid_set week weekday weekofyear weight_string wsrep_last_seen_gtid
  wsrep_last_written_gtid wsrep_sync_wait_upto_gtid year yearweek overlaps area asbinary astext aswkb aswkt boundary
  buffer centroid contains convexhull crosses dimension disjoint endpoint envelope equals exteriorring
  geomcollfromtext geomcollfromwkb geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext
  geometryfromwkb geometryn geometrytype geomfromtext geomfromwkb glength interiorringn intersects isclosed isempty
  isring issimple linefromtext linefromwkb linestringfromtext linestringfromwkb mlinefromtext mlinefromwkb
  mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb multilinestringfromtext multilinestringfromwkb
  multipointfromtext multipointfromwkb multipolygonfromtext multipolygonfromwkb numgeometries numinteriorrings
  numpoints pointfromtext pointfromwkb pointn pointonsurface polyfromtext polyfromwkb polygonfromtext polygonfromwkb
  srid startpoint touches within x y`

export const mysqlEffects: { readonly [effect in Exclude<FunctionEffect, "read" | "unknown">]: string } = {
  write: `nextval setval`,
  /** No read-only mode refuses them, and on a replica they lock, or ask about, the wrong server. */
  lock: `get_lock release_lock release_all_locks is_free_lock is_used_lock`,
  session: `last_insert_id found_rows row_count lastval currval`,
  admin: ``
}

/**
 * System variables that are the same for every session of a server, and on the servers of one database; and the
 * server's own number, which who asks for it wants of the server that answers.
 */
export const mysqlConstants = `
  version version_comment version_compile_machine version_compile_os version_malloc_library version_ssl_library
  protocol_version license lower_case_table_names lower_case_file_system system_time_zone character_set_system
  innodb_page_size have_ssl have_openssl have_compress have_crypt have_geometry have_profiling have_query_cache
  have_rtree_keys have_symlink have_dynamic_loading server_id`
