import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import type { ConnectionPoolStats } from "effect-sql-router/ConnectionPool"
import type { ConsistencyToken } from "effect-sql-router/ConsistencyToken"
import type { Explanation } from "effect-sql-router/Explanation"
import * as QueryComment from "effect-sql-router/QueryComment"
import * as ReadConsistency from "effect-sql-router/ReadConsistency"
import * as RouteDecision from "effect-sql-router/RouteDecision"
import type * as RoutedPgClient from "effect-sql-router/RoutedPgClient"
import * as RoutedSqlClient from "effect-sql-router/RoutedSqlClient"
import type { RoutingEvent } from "effect-sql-router/RoutingEvent"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type Equal, isTrue } from "./assert.js"

interface User {
  readonly id: number
  readonly name: string
}

class Needed extends Context.Tag("Needed")<Needed, { readonly one: 1 }>() {}
class Failed {
  readonly _tag = "Failed"
}

/** An effect whose three types are told apart from whatever is added to them. */
declare const effect: Effect.Effect<"a", Failed, Needed>
type Same = Effect.Effect<"a", Failed, Needed>
type MayFailInSql = Effect.Effect<"a", Failed | SqlError, Needed>

declare const sql: RoutedSqlClient.RoutedSqlClient

// It is an SqlClient, and one of PostgreSQL is a PgClient.
declare const pg: RoutedPgClient.RoutedPgClient
isTrue<typeof sql extends SqlClient.SqlClient ? true : false>()
isTrue<typeof pg extends RoutedSqlClient.RoutedSqlClient & PgClient.PgClient ? true : false>()
isTrue<Equal<ReturnType<typeof pg.listen>, Stream.Stream<string, SqlError>>>()
isTrue<Equal<Context.Tag.Service<typeof RoutedPgClient.RoutedPgClient>, RoutedPgClient.RoutedPgClient>>()
isTrue<Equal<Context.Tag.Service<typeof RoutedSqlClient.RoutedSqlClient>, RoutedSqlClient.RoutedSqlClient>>()

// A statement has the rows it is given, by each way to run it.
const users = sql<User>`SELECT id, name FROM users WHERE id IN ${sql.in([1, 2])}`
isTrue<Equal<typeof users, Statement.Statement<User>>>()
isTrue<Equal<Effect.Effect.Success<typeof users>, ReadonlyArray<User>>>()
isTrue<Equal<Effect.Effect.Error<typeof users>, SqlError>>()
isTrue<Equal<Effect.Effect.Context<typeof users>, never>>()
isTrue<Equal<typeof users.stream, Stream.Stream<User, SqlError>>>()
isTrue<Equal<typeof users.withoutTransform, Effect.Effect<ReadonlyArray<User>, SqlError>>>()
isTrue<Equal<typeof users.values, Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError>>>()
const tableName = sql("users")
isTrue<Equal<typeof tableName, Statement.Identifier>>()

// Transactions add an SqlError and keep the rest.
const inTransaction = effect.pipe(sql.withTransaction)
isTrue<Equal<typeof inTransaction, MayFailInSql>>()
const serializable = effect.pipe(sql.transaction({ isolation: "serializable", access: "readOnly", deferrable: true }))
isTrue<Equal<typeof serializable, MayFailInSql>>()
const readOnly = sql.readOnlyTransaction(effect)
isTrue<Equal<typeof readOnly, MayFailInSql>>()
const readOnlyWith = effect.pipe(sql.readOnlyTransaction({ isolation: "repeatableRead" }))
isTrue<Equal<typeof readOnlyWith, MayFailInSql>>()
// @ts-expect-error: there is no such isolation level
sql.transaction({ isolation: "snapshot" })
// @ts-expect-error: a transaction on a replica cannot write
sql.readOnlyTransaction({ access: "readWrite" })

// What is run again has the schedule's needs beside its own, and a schedule must take its errors.
declare const needing: Schedule.Schedule<number, unknown, Needed>
const retried = users.pipe(sql.withTransaction, RoutedSqlClient.retryTransaction(Schedule.recurs(3)))
isTrue<Equal<typeof retried, Effect.Effect<ReadonlyArray<User>, SqlError>>>()
const retriedWithNeeds = users.pipe(RoutedSqlClient.retryTransaction(needing))
isTrue<Equal<typeof retriedWithNeeds, Effect.Effect<ReadonlyArray<User>, SqlError, Needed>>>()
declare const ofFailed: Schedule.Schedule<number, Failed>
// @ts-expect-error: this schedule knows of no SqlError
users.pipe(RoutedSqlClient.retryTransaction(ofFailed))

// What is left for after the commit cannot fail, for nobody would hear it.
const after = RoutedSqlClient.afterCommit(Effect.void)
isTrue<Equal<typeof after, Effect.Effect<void>>>()
// @ts-expect-error: it may fail
RoutedSqlClient.afterCommit(sql`INSERT INTO mails VALUES (1)`)

// Overrides change nothing in the types of what they are put around.
const overridden = [
  RoutedSqlClient.withPrimary(effect),
  RoutedSqlClient.withReplica(effect),
  effect.pipe(RoutedSqlClient.withEndpoint("replica1")),
  effect.pipe(RoutedSqlClient.withDatabase("archive")),
  effect.pipe(RoutedSqlClient.withDeadline("1 second", { onServer: true })),
  effect.pipe(RoutedSqlClient.withSession({ "app.user_id": "1" })),
  effect.pipe(RoutedSqlClient.withAffinity("tenant")),
  RoutedSqlClient.idempotent(effect),
  RoutedSqlClient.isolated(effect),
  RoutedSqlClient.withoutQueryEvents(effect),
  effect.pipe(ReadConsistency.withLevel(ReadConsistency.strict)),
  ReadConsistency.withLevel(effect, ReadConsistency.eventual),
  ReadConsistency.scoped(effect),
  ReadConsistency.isolated(effect),
  ReadConsistency.ignoreWrites(effect),
  effect.pipe(QueryComment.merge({ route: "/users" })),
  QueryComment.withTraceparent(effect)
] as const
isTrue<Equal<(typeof overridden)[number], Same>>()

// Connections of one's own end with the Scope, or with the function they are lent to.
isTrue<
  Equal<ReturnType<typeof sql.freshConnection>, Effect.Effect<RoutedSqlClient.RoutedSqlClient, SqlError, Scope>>
>()
const lent = sql.withPooledConnection({ endpoint: "replica1" }, () => effect)
isTrue<Equal<typeof lent, MayFailInSql>>()

// To ask fails only where there may be nothing to ask.
const archive = sql.database("archive")
isTrue<Equal<typeof archive, Effect.Effect<RoutedSqlClient.RoutedSqlClient, SqlError>>>()
const explained = sql.explain(users)
isTrue<Equal<typeof explained, Effect.Effect<Explanation>>>()
sql.explain({ compile: () => ["SELECT 1", []] })
// @ts-expect-error: a text has no parameters
sql.explain("SELECT 1")
isTrue<Equal<typeof sql.pools, Effect.Effect<ReadonlyArray<ConnectionPoolStats>>>>()
isTrue<Equal<typeof sql.events, Stream.Stream<RoutingEvent>>>()
const captured = RouteDecision.capture(effect)
isTrue<
  Equal<typeof captured, Effect.Effect<readonly ["a", ReadonlyArray<RouteDecision.RouteDecision>], Failed, Needed>>
>()

// Levels are values of one type; a token is opaque.
declare const levels: ReadonlyArray<ReadConsistency.Level>
for (const level of levels) {
  switch (level._tag) {
    case "BoundedStaleness":
      isTrue<Equal<"max" extends keyof typeof level ? true : false, true>>()
      break
    case "Eventual":
    case "Session":
    case "Strict":
      isTrue<Equal<keyof typeof level, "_tag">>()
      break
    default:
      isTrue<Equal<typeof level, never>>()
  }
}
ReadConsistency.boundedStaleness("2 seconds")
// @ts-expect-error: no time in words
ReadConsistency.boundedStaleness("a while")
// @ts-expect-error: levels are not named by a text
ReadConsistency.withLevel(effect, "strict")
isTrue<Equal<typeof ReadConsistency.currentToken, Effect.Effect<ConsistencyToken>>>()
