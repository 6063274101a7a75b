/**
 * @since 0.1.0
 */
export * as ConnectionPool from "./ConnectionPool.js"
/**
 * @since 0.1.0
 */
export * as Dialect from "./Dialect.js"
/**
 * @since 0.1.0
 */
export * as Driver from "./Driver.js"
/**
 * @since 0.1.0
 */
export * as Endpoint from "./Endpoint.js"
/**
 * @since 0.1.0
 */
export * as Plan from "./Plan.js"
/**
 * @since 0.1.0
 */
export * as ReplicaStrategy from "./ReplicaStrategy.js"
/**
 * @since 0.1.0
 */
export * as RouteDecision from "./RouteDecision.js"
/**
 * @since 0.1.0
 */
export * as RoutedSqlClient from "./RoutedSqlClient.js"
/**
 * @since 0.1.0
 */
export * as RoutingError from "./RoutingError.js"
/**
 * @since 0.1.0
 */
export * as StatementClassifier from "./StatementClassifier.js"
/**
 * @since 0.1.0
 */
export * as StatementFacts from "./StatementFacts.js"
