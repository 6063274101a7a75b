// Compiled, never run: by `npm run check` against the sources, and by `npm test` against the packed declarations, with
// each compiler and setting that users may have.

type IsAny<A> = 0 extends 1 & A ? true : false

/** Whether two types are the same; `any` is the same as nothing else. */
export type Equal<A, B> = IsAny<A> extends IsAny<B> ? [A] extends [B] ? [B] extends [A] ? true : false : false : false

/** Does not compile unless its argument is `true`. */
export declare const isTrue: <A extends true>(value?: A) => void

/** The inverse: what must not be the same. */
export declare const isFalse: <A extends false>(value?: A) => void

isTrue<Equal<"a", "a">>()
isFalse<Equal<"a", string>>()
isFalse<Equal<any, string>>()
isFalse<Equal<never, any>>()
// @ts-expect-error: this is how an assertion fails
isTrue<Equal<string, any>>()
