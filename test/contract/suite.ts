/**
 * What every `SqlClient` of @effect/sql does, as tests: the same for a stock client and for a routed one, for a program
 * must not see which of them it was given. What the two do differently is in `differences.ts`.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import { describe, layer } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import { differences } from "./differences.js"
import type { Options, Topic } from "./support.js"
import { execution } from "./topics/execution.js"
import { interruption } from "./topics/interruption.js"
import { journals } from "./topics/journals.js"
import { migrations } from "./topics/migrations.js"
import { models } from "./topics/models.js"
import { queues } from "./topics/queues.js"
import { reactivity } from "./topics/reactivity.js"
import { reservation } from "./topics/reservation.js"
import { requests } from "./topics/resolvers.js"
import { schemas } from "./topics/schemas.js"
import { spans } from "./topics/spans.js"
import { statements } from "./topics/statements.js"
import { transactions } from "./topics/transactions.js"
import { transformers } from "./topics/transformers.js"
import { transforms } from "./topics/transforms.js"
import { types } from "./topics/types.js"

const topics: { readonly [name: string]: Topic } = {
  "statements": statements,
  "the ways to execute": execution,
  "values": types,
  "spans": spans,
  "statement transformers": transformers,
  "transactions": transactions,
  "reserved connections": reservation,
  "interruption": interruption,
  "reactive queries": reactivity,
  "SqlSchema": schemas,
  "SqlResolver": requests,
  "Model": models,
  "Migrator": migrations,
  "SqlPersistedQueue": queues,
  "SqlEventJournal": journals,
  "what stock and routed clients do differently": differences
}

/**
 * Registers the tests for a client. Its database is empty, lives as long as the layer and is nobody else's; the client
 * opens at most `maxConnections`, and puts `spanAttributes` on its spans.
 *
 * Time is real, for so are the servers.
 */
export const suite = <E>(name: string, client: Layer.Layer<SqlClient.SqlClient, E>, options: Options): void =>
  layer(client, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    for (const [title, topic] of Object.entries(topics)) describe(title, () => topic(it, options))
    it.layer(options.transformed)("name transforms", (it) => transforms(it, options))
  })
