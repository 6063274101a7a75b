/** What `scripts/binaries.mjs` says in JSDoc, which is read only where JavaScript is checked. */
declare module "*/scripts/binaries.mjs" {
  export const which: (...names: ReadonlyArray<string>) => string | undefined
  export const postgres: () => string | undefined
  export const mariadb: () => { readonly server: string; readonly installDb: string } | undefined
}
