/**
 * Where in [0, 1) a value stands, the same for ever and on every machine; `5`, `5n` and `"5"` stand at the same place.
 *
 * FNV-1a over UTF-16 code units; the finalizer of MurmurHash3 spreads what short texts leave close together.
 */
export const fractionOf = (value: string | number | bigint | boolean): number => {
  const text = String(value)
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35)
  return ((hash ^ hash >>> 16) >>> 0) / 2 ** 32
}
