/**
 * @since 0.1.0
 */
export * as AdaptedClients from "./AdaptedClients.js"
/**
 * @since 0.1.0
 */
export * as ConnectionHooks from "./ConnectionHooks.js"
/**
 * @since 0.1.0
 */
export * as ConnectionPool from "./ConnectionPool.js"
/**
 * @since 0.1.0
 */
export * as ConsistencyToken from "./ConsistencyToken.js"
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
export * as EndpointReport from "./EndpointReport.js"
/**
 * @since 0.1.0
 */
export * as Explanation from "./Explanation.js"
/**
 * @since 0.1.0
 */
export * as Plan from "./Plan.js"
/**
 * @since 0.1.0
 */
export * as QueryComment from "./QueryComment.js"
/**
 * @since 0.1.0
 */
export * as ReadConsistency from "./ReadConsistency.js"
/**
 * @since 0.1.0
 */
export * as ReplicaHealth from "./ReplicaHealth.js"
/**
 * @since 0.1.0
 */
export * as ReplicaStrategy from "./ReplicaStrategy.js"
/**
 * @since 0.1.0
 */
export * as ReplicationLag from "./ReplicationLag.js"
/**
 * @since 0.1.0
 */
export * as ReplicationPosition from "./ReplicationPosition.js"
/**
 * @since 0.1.0
 */
export * as RetryPolicy from "./RetryPolicy.js"
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
export * as RoutingEvent from "./RoutingEvent.js"
/**
 * @since 0.1.0
 */
export * as RoutingMetrics from "./RoutingMetrics.js"
/**
 * @since 0.1.0
 */
export * as RoutingRules from "./RoutingRules.js"
/**
 * @since 0.1.0
 */
export * as StatementClassifier from "./StatementClassifier.js"
/**
 * @since 0.1.0
 */
export * as StatementFacts from "./StatementFacts.js"
/**
 * @since 0.1.0
 */
export * as Target from "./Target.js"
/**
 * @since 0.1.0
 */
export * as TokenStore from "./TokenStore.js"
