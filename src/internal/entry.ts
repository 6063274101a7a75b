/** What the three entries have in common: configuration from the environment, and the layer. */
import * as Reactivity from "@effect/experimental/Reactivity"
import { SqlClient } from "@effect/sql/SqlClient"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { RoutedSqlClient } from "../RoutedSqlClient.js"

/**
 * A layer's options with a `Config` in the place of every value, of every part, or of the whole.
 *
 * Beside `Config.Wrap` because that does not look into `replicas`: it takes a record for one value.
 */
export type Wrap<Options> =
  | Config.Config<Options>
  | {
    [Name in keyof Options]: Name extends "replicas" ? WrapReplicas<NonNullable<Options[Name]>>
      : Config.Config.Wrap<Options[Name]>
  }

type WrapReplicas<Replicas> =
  | Config.Config<Replicas>
  | {
    [Name in keyof Replicas]: Config.Config.Wrap<Replicas[Name]>
  }

/** Reads options of which some, or all, come from `Config`. */
export const unwrap = <Options>(config: Wrap<Options>): Config.Config<Options> =>
  // `Config.unwrap` does look into records; only its type does not say so.
  Config.unwrap(config as Config.Config.Wrap<Options>)

/** `DATABASE_URL`, and `DATABASE_REPLICA_URLS`, separated by commas. */
export const databaseUrls: Config.Config<{
  readonly primary: Redacted.Redacted
  readonly replicas: ReadonlyArray<Redacted.Redacted>
}> = Config.all({
  primary: Config.redacted("DATABASE_URL"),
  replicas: Config.map(
    Config.option(Config.redacted("DATABASE_REPLICA_URLS")),
    Option.match({
      onNone: () => [],
      onSome: (urls) =>
        Redacted.value(urls).split(",").map((url) => url.trim()).filter((url) => url !== "").map((url) =>
          Redacted.make(url)
        )
    })
  )
})

/** Names replicas that have none: `replica1`, `replica2` and so on. */
export const numbered = <Config>(replicas: ReadonlyArray<Config>): { readonly [name: string]: Config } =>
  Object.fromEntries(replicas.map((config, index) => [`replica${index + 1}`, config]))

/** A layer that provides a client as the router, as `SqlClient`, and under its driver's own tags. */
export const layer = <Client extends RoutedSqlClient, E, Tags extends ReadonlyArray<Context.Tag<any, any>>>(
  client: Effect.Effect<Client, E, Scope | Reactivity.Reactivity>,
  ...own: Tags
): Layer.Layer<RoutedSqlClient | SqlClient | Context.Tag.Identifier<Tags[number]>, E> =>
  Layer.scopedContext(Effect.map(client, (client) =>
    own.reduce<Context.Context<any>>(
      (context, tag) => Context.add(context, tag, client),
      Context.make(RoutedSqlClient, client).pipe(Context.add(SqlClient, client))
    ))).pipe(Layer.provide(Reactivity.layer))
