/**
 * The SQL languages the router speaks.
 *
 * @since 0.1.0
 */

/**
 * The language a statement is written in; `mysql` covers MariaDB.
 *
 * @since 0.1.0
 * @category models
 */
export type Dialect = "postgres" | "mysql" | "sqlite"
