import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as StatementClassifier from "effect-sql-router/StatementClassifier"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { freshDatabase } from "./servers/index.js"

const schema = `
  CREATE EXTENSION pg_trgm;
  CREATE EXTENSION "uuid-ossp";
  CREATE SCHEMA app;
  CREATE TABLE log (a text);
  CREATE FUNCTION app.immutable(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
  CREATE FUNCTION stable(int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN $1; END $$;
  CREATE FUNCTION volatile(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
  CREATE FUNCTION shared(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
  CREATE FUNCTION app.shared(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ($1); RETURN $1; END $$;
  CREATE FUNCTION app.upper(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('u'); RETURN 1; END $$;
  CREATE FUNCTION nextval(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
  CREATE FUNCTION counts(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
  CREATE FUNCTION logs(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('l'); RETURN 1; END $$;
  CREATE AGGREGATE harmless(int) (SFUNC = counts, STYPE = int);
  CREATE AGGREGATE writing(int) (SFUNC = logs, STYPE = int);
  CREATE OPERATOR <#~#> (LEFTARG = int, RIGHTARG = int, FUNCTION = counts);
  CREATE OPERATOR <#!#> (LEFTARG = int, RIGHTARG = int, FUNCTION = logs);
  CREATE FUNCTION "Quoted"(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'`

const client = Effect.gen(function*() {
  const { primary } = yield* freshDatabase("postgres")
  const sql = yield* PgClient.make({ url: Redacted.make(primary.url) })
  yield* sql.unsafe(schema)
  return sql
}).pipe(Effect.provide(Reactivity.layer))

describe("a classifier that learns from PostgreSQL", () => {
  it.scoped("believes declarations in trusted languages, and extensions", () =>
    Effect.gen(function*() {
      const sql = yield* client
      const classifier = StatementClassifier.make({ functions: { registered: "read", stable: "session" } })
      const isSafe = (text: string) => classifier.classify("postgres", text).replicaSafe
      const reads = [
        "SELECT app.immutable(1), immutable(1)",
        "SELECT harmless(a) FROM t",
        "SELECT 1 <#~#> 2",
        "SELECT similarity('a', 'b'), word_similarity('a', 'b')",
        "SELECT uuid_generate_v4()",
        "SELECT \"Quoted\"(1)",
        "SELECT public.shared(1)"
      ]
      for (const text of reads) assert.isFalse(isSafe(text), text)
      yield* classifier.learnFrom(sql)
      for (const text of reads) assert.isTrue(isSafe(text), text)
      for (
        const text of [
          "SELECT volatile(1)",
          "SELECT writing(a) FROM t",
          "SELECT 1 <#!#> 2",
          "SELECT set_limit(0.1)",
          "SELECT quoted(1)",
          "SELECT unheard_of(1)",
          // One of its namesakes writes.
          "SELECT shared(1)",
          "SELECT app.shared('a')",
          // Shares its name with a function that writes: which one is called, the text does not show.
          "SELECT upper(1)",
          // A built-in function that writes stays one, whoever shares its name.
          "SELECT nextval('s')",
          // What the program said stands.
          "SELECT stable(1)"
        ]
      ) assert.isFalse(isSafe(text), text)
      assert.isTrue(isSafe("SELECT registered(1)"))
      assert.isTrue(isSafe("SELECT pg_catalog.upper('a')"))
    }), 60_000)

  it.scoped("believes only IMMUTABLE where it is told so, and forgets what is gone", () =>
    Effect.gen(function*() {
      const sql = yield* client
      const classifier = StatementClassifier.make()
      const isSafe = (text: string) => classifier.classify("postgres", text).replicaSafe
      yield* classifier.learnFrom(sql)
      assert.isTrue(isSafe("SELECT stable(1)"))
      assert.isFalse(isSafe("SELECT upper(1)"))
      yield* sql`DROP FUNCTION app.upper(int)`
      yield* classifier.learnFrom(sql, "immutable")
      assert.isFalse(isSafe("SELECT stable(1)"))
      assert.isTrue(isSafe("SELECT app.immutable(1)"))
      assert.isTrue(isSafe("SELECT upper(1)"))
    }), 60_000)

  it.scopedLive("learns in the background, as a Layer", () =>
    Effect.gen(function*() {
      const { primary } = yield* freshDatabase("postgres")
      const database = PgClient.layer({ url: Redacted.make(primary.url) })
      yield* Effect.provide(Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(schema)), database)
      yield* Effect.gen(function*() {
        const classifier = yield* StatementClassifier.CurrentStatementClassifier
        const isLearnt = Effect.sync(() => classifier.classify("postgres", "SELECT similarity('a', 'b')").replicaSafe)
        yield* Effect.repeat(isLearnt, { until: (learnt) => learnt, schedule: Schedule.spaced("5 millis") }).pipe(
          Effect.timeout("10 seconds")
        )
      }).pipe(Effect.provide(Layer.provide(StatementClassifier.layerPgFunctions(), database)))
    }), 60_000)
})
