/** What modules in JavaScript say in JSDoc, which is read only where JavaScript is checked. */
declare module "*/scripts/binaries.mjs" {
  export const which: (...names: ReadonlyArray<string>) => string | undefined
  export const postgres: () => string | undefined
  export const mariadb: () => { readonly server: string; readonly installDb: string } | undefined
}

declare module "*/servers/programs.mjs" {
  import type { ChildProcess } from "node:child_process"

  export type Kind = "postgres" | "mariadb"
  export interface Account {
    readonly uid?: number
    readonly gid?: number
  }
  export const host: string
  export const makeFolder: () => string
  export const accountFor: (kind: Kind) => Account
  export const give: (folder: string, account: Account) => void
  export const freePorts: (count: number) => Promise<ReadonlyArray<number>>
  export const launch: (program: string, args: ReadonlyArray<string>, account: Account, log: string) => ChildProcess
  export const complete: (program: string, args: ReadonlyArray<string>, account: Account) => void
  export const postgres: (folder: string) => string
  export const initdb: (folder: string) => ReadonlyArray<string>
  export const follow: (
    server: { readonly folder: string; readonly name: string },
    primary: { readonly port: number }
  ) => void
  export const mariadb: () => { readonly server: string; readonly installDb: string }
  export const installDb: (folder: string) => ReadonlyArray<string>
  export const mariadbd: (
    server: { readonly folder: string; readonly port: number; readonly id: number; readonly connections: number }
  ) => ReadonlyArray<string>
  export const changeMaster: (primary: { readonly port: number }) => string
}
