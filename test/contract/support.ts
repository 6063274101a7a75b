/** What the topics of the conformance suite share. Nothing here knows whether the client is routed. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import type { Vitest } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import * as Tracer from "effect/Tracer"

/** The dialects, as `onDialect` names them. */
export type Dialect = "sqlite" | "pg" | "mysql"

/** Connections that the clients under test may open, for tests that use them up. */
export const maxConnections = 4

/** Attributes that the clients under test are configured to put on every span. */
export const spanAttributes = { "contract.suite": "yes" } as const

/** Name transforms of the clients under test that have them. */
export const nameTransforms = {
  transformQueryNames: String.camelToSnake,
  transformResultNames: String.snakeToCamel
} as const

export interface Options {
  readonly dialect: Dialect
  /** The same client on an empty database, with names in camelCase in the program and in snake_case in the database. */
  readonly transformed: Layer.Layer<SqlClient.SqlClient, unknown>
  /** Whether the client is the stock one: then what it is known to get wrong is expected of it. */
  readonly expectStockDefects: boolean
}

export type It = Vitest.MethodsNonLive<SqlClient.SqlClient, true>

/** A part of the suite. */
export type Topic = (it: It, options: Options) => void

let tables = 0

/** A name that no other test has. */
export const freshName = (prefix: string): string => `${prefix}_${++tables}`

/** A new, empty table `(id, name)` whose ids count from 1; its name. */
export const makePeople: Effect.Effect<string, SqlError, SqlClient.SqlClient> = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const people = freshName("people")
  const id = sql.onDialectOrElse({
    pg: () => "SERIAL PRIMARY KEY",
    mysql: () => "INTEGER PRIMARY KEY AUTO_INCREMENT",
    orElse: () => "INTEGER PRIMARY KEY AUTOINCREMENT"
  })
  yield* sql`CREATE TABLE ${sql(people)} (id ${sql.literal(id)}, name VARCHAR(100) NOT NULL)`
  return people
})

/** Adds people to a table. */
export const add = (people: string, ...names: ReadonlyArray<string>) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.asVoid(sql`INSERT INTO ${sql(people)} ${sql.insert(names.map((name) => ({ name })))}`)
  )

/** The names in a table, oldest first. */
export const namesIn = (people: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      Effect.map(sql<{ name: string }>`SELECT name FROM ${sql(people)} ORDER BY id`, (rows) =>
        rows.map((row) => row.name))
  )

/** A way to execute a statement. */
export interface Way {
  readonly operation: string
  /** The rows, each as an array. */
  readonly run: (statement: Statement.Statement<any>) => Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError>
}

const values = (rows: Iterable<object>): ReadonlyArray<ReadonlyArray<unknown>> =>
  Array.from(rows, (row) => Object.values(row))

/** What `raw` gives: the driver's own answer, whose rows are in different places. */
const rawRows = (raw: unknown): Iterable<object> => Array.isArray(raw) ? raw : (raw as { rows: Array<object> }).rows

const stream: Way = {
  operation: "executeStream",
  run: (statement) => Effect.map(Stream.runCollect(statement.stream), (rows) => values(Chunk.toReadonlyArray(rows)))
}

const waysWithoutStream: ReadonlyArray<Way> = [
  { operation: "execute", run: (statement) => Effect.map(statement, values) },
  { operation: "executeRaw", run: (statement) => Effect.map(statement.raw, (raw) => values(rawRows(raw))) },
  { operation: "executeValues", run: (statement) => statement.values },
  { operation: "executeWithoutTransform", run: (statement) => Effect.map(statement.withoutTransform, values) },
  { operation: "executeUnprepared", run: (statement) => Effect.map(statement.unprepared, values) }
]

export const allWays: ReadonlyArray<Way> = [...waysWithoutStream, stream]

/** The ways that the client under test has: the stock SQLite client cannot stream. */
export const ways = (options: Options): ReadonlyArray<Way> =>
  options.dialect === "sqlite" && options.expectStockDefects ? waysWithoutStream : allWays

/** Collects every span into `spans`, in the order they begin. */
export const collectingTracer = (spans: Array<Tracer.Span>): Effect.Effect<Tracer.Tracer> =>
  Effect.map(Effect.tracer, (tracer) =>
    Tracer.make({
      span: (...args) => {
        const span = tracer.span(...args)
        spans.push(span)
        return span
      },
      context: (execute, fiber) => tracer.context(execute, fiber)
    }))

/** Runs an effect and gives the spans that it opened, beside its result. */
export const withSpans = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, ReadonlyArray<Tracer.Span>], E, R> =>
  Effect.suspend(() => {
    const spans: Array<Tracer.Span> = []
    return Effect.flatMap(
      collectingTracer(spans),
      (tracer) => Effect.map(Effect.withTracer(effect, tracer), (result) => [result, spans] as const)
    )
  })

/** The texts of the statements among spans. */
export const textsOf = (spans: ReadonlyArray<Tracer.Span>): ReadonlyArray<unknown> =>
  spans.filter((span) => span.name === "sql.execute").map((span) => span.attributes.get("db.query.text"))

/** A connection of its own, with the little that tests ask of one. */
export const session: Effect.Effect<
  (sql: string) => Effect.Effect<ReadonlyArray<any>, SqlError>,
  SqlError,
  SqlClient.SqlClient | Scope
> = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const connection = yield* sql.reserve
  return (text) => connection.executeUnprepared(text, [], undefined)
})
