import * as Redacted from "effect/Redacted"
import * as crypto from "node:crypto"

/** HMAC-SHA-256, cut to 128 bits: RFC 2104 section 5 allows half of the output. */
const bytes = 16

const mac = (key: Redacted.Redacted, payload: string): Buffer =>
  crypto
    .createHmac("sha256", Redacted.value(key))
    // So that the key, used elsewhere, too, never signs something that could pass for a token.
    .update(`effect-sql-router/ConsistencyToken\0${payload}`)
    .digest()
    .subarray(0, bytes)

/** How much longer a signed text is. */
export const length = 1 + Math.ceil(bytes * 4 / 3)

export const sign = (key: Redacted.Redacted, payload: string): string => `.${mac(key, payload).toString("base64url")}`

/** The payload of a text, and its signature or the empty text. */
export const split = (text: string): readonly [payload: string, signature: string] => {
  const dot = text.indexOf(".")
  return dot < 0 ? [text, ""] : [text.slice(0, dot), text.slice(dot + 1)]
}

export const verify = (key: Redacted.Redacted, payload: string, signature: string): boolean => {
  const given = Buffer.from(signature, "base64url")
  return given.length === bytes && crypto.timingSafeEqual(given, mac(key, payload))
}
