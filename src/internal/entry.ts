/** What the three entries have in common: configuration from the environment, and the layer. */
import * as Reactivity from "@effect/experimental/Reactivity"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { RoutedSqlClient } from "../RoutedSqlClient.js"

/**
 * A layer's options with a `Config` in the place of every value, of every part, or of the whole.
 *
 * Beside `Config.Wrap` because that does not look into `replicas`, nor into several primaries: it takes each for one value.
 */
export type Wrap<Options> =
  | Config.Config<Options>
  | {
    [Name in keyof Options]: Name extends "replicas" ? WrapReplicas<NonNullable<Options[Name]>>
      : Name extends "primary" ? WrapPrimary<Options[Name]>
      : Config.Config.Wrap<Options[Name]>
  }

type WrapPrimary<Primary> = Config.Config<Primary> | WrapEach<Primary>

type WrapEach<Primary> = Primary extends readonly [infer One, ...ReadonlyArray<unknown>]
  ? readonly [Config.Config.Wrap<One>, ...ReadonlyArray<Config.Config.Wrap<One>>]
  : Config.Config.Wrap<Primary>

type WrapReplicas<Replicas> =
  | Config.Config<Replicas>
  | {
    [Name in keyof Replicas]: Config.Config.Wrap<Replicas[Name]>
  }

/** Reads options of which some, or all, come from `Config`. */
export const unwrap = <Options>(config: Wrap<Options>): Config.Config<Options> =>
  // What is in the place of each value is a Config of it.
  readAll(config) as Config.Config<Options>

const readAll = (wrapped: unknown): Config.Config<unknown> =>
  Config.isConfig(wrapped)
    ? wrapped
    : Array.isArray(wrapped)
    ? Config.all(wrapped.map(readAll))
    : Config.all(
      Object.fromEntries(
        Object.entries(wrapped as object).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, readAll(value)]]
        )
      )
    )

/**
 * URLs are separated by commas. One that no scheme follows is part of a URL: a password, for example, that was written
 * without thought of lists.
 */
const separator = /,(?=\s*(?:$|[a-z][a-z\d+.-]*:\/\/))/i

const urls = (name: string) =>
  Config.map(
    Config.redacted(name),
    (text) =>
      Redacted.value(text).split(separator).map((url) => url.trim()).filter((url) => url !== "").map((url) =>
        Redacted.make(url)
      )
  )

/** `DATABASE_URL`, and `DATABASE_REPLICA_URLS`, each separated by commas. */
export const databaseUrls: Config.Config<{
  readonly primaries: Arr.NonEmptyReadonlyArray<Redacted.Redacted>
  readonly replicas: ReadonlyArray<Redacted.Redacted>
}> = Config.all({
  primaries: Config.mapOrFail(urls("DATABASE_URL"), (urls) =>
    Arr.isNonEmptyReadonlyArray(urls)
      ? Either.right(urls)
      : Either.left(ConfigError.MissingData(["DATABASE_URL"], "Expected at least one URL"))),
  replicas: Config.withDefault(urls("DATABASE_REPLICA_URLS"), [])
})

/** Names replicas that have none: `replica1`, `replica2` and so on. */
export const numbered = <Config>(replicas: ReadonlyArray<Config>): { readonly [name: string]: Config } =>
  Object.fromEntries(replicas.map((config, index) => [`replica${index + 1}`, config]))

/** A layer that adds a client to the router in the context. */
export const layerDatabase = <E>(
  name: string,
  client: Effect.Effect<RoutedSqlClient, E, Scope | Reactivity.Reactivity>
): Layer.Layer<never, E | SqlError, RoutedSqlClient> =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const router = yield* RoutedSqlClient
      yield* router.addDatabase(name, yield* client)
    })
  ).pipe(Layer.provide(Reactivity.layer))

/** A layer that provides a client as the router, as `SqlClient`, and under its driver's own tags. */
export const layer = <Client extends RoutedSqlClient, E, R, Tags extends ReadonlyArray<Context.Tag<any, any>>>(
  client: Effect.Effect<Client, E, R>,
  ...own: Tags
): Layer.Layer<
  RoutedSqlClient | SqlClient | Context.Tag.Identifier<Tags[number]>,
  E,
  Exclude<Exclude<R, Scope>, Reactivity.Reactivity>
> =>
  Layer.scopedContext(Effect.map(client, (client) =>
    own.reduce<Context.Context<any>>(
      (context, tag) => Context.add(context, tag, client),
      Context.make(RoutedSqlClient, client).pipe(Context.add(SqlClient, client))
    ))).pipe(Layer.provide(Reactivity.layer))
