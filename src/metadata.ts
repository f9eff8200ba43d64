/** `Upload-Metadata`: pairs of a key and a base64 value, as the tus specification writes them. */
import { TusError } from './errors.ts'

/** Visible ASCII without the two separators. */
const keyPattern = /^[\x21-\x2b\x2d-\x7e]+$/
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Checks an `Upload-Metadata` value and returns it as it is, or `null` for none.
 * @throws TusError 400 that says which pair is wrong.
 */
export function checkMetadata(value: string | null, maxSize: number): string | null {
  if (value === null || value.trim() === '') return null
  if (value.length > maxSize) {
    throw new TusError('invalid_header', `Upload-Metadata is longer than the ${maxSize} bytes allowed`)
  }
  const seen = new Set<string>()
  for (const [key, encoded] of pairs(value)) {
    if (!keyPattern.test(key)) {
      throw new TusError('invalid_header', 'Upload-Metadata has a key that is empty or not plain ASCII')
    }
    if (seen.has(key)) throw new TusError('invalid_header', `Upload-Metadata has the key ${key} twice`)
    if (!base64Pattern.test(encoded)) throw notBase64(key)
    seen.add(key)
  }
  return value
}

/**
 * Decodes an `Upload-Metadata` value: keys to values read as UTF-8; a key without value becomes `''`.
 *
 * @throws TusError when a value is not base64, which no stored upload's is.
 * @example parseMetadata('filename aGVsbG8udHh0') // { filename: 'hello.txt' }
 */
export function parseMetadata(value: string | null): Record<string, string> {
  // No prototype: a client may well send a key called __proto__.
  const result = Object.create(null) as Record<string, string>
  if (value === null) return result
  for (const [key, encoded] of pairs(value)) {
    if (!base64Pattern.test(encoded)) throw notBase64(key)
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
    result[key] = new TextDecoder().decode(bytes)
  }
  return result
}

/**
 * The `Upload-Metadata` value that `parseMetadata` reads back, or `null` for none.
 *
 * @throws TypeError when a key is empty or not plain ASCII without spaces and commas, or a value is not text.
 * @example formatMetadata({ filename: 'hello.txt' }) // 'filename aGVsbG8udHh0'
 */
export function formatMetadata(metadata: Readonly<Record<string, string>>): string | null {
  const texts = Object.entries(metadata).map(([key, value]) => {
    if (!keyPattern.test(key)) throw new TypeError(`Metadata cannot have the key ${JSON.stringify(key)}`)
    if (typeof value !== 'string') throw new TypeError(`Metadata cannot have a value for ${key} that is not text`)
    const encoded = btoa(Array.from(new TextEncoder().encode(value), (byte) => String.fromCharCode(byte)).join(''))
    return value === '' ? key : `${key} ${encoded}`
  })
  return texts.length === 0 ? null : texts.join(',')
}

function notBase64(key: string): TusError {
  return new TusError('invalid_header', `Upload-Metadata has a value for ${key} that is not base64`)
}

function* pairs(value: string): Generator<[key: string, encoded: string]> {
  for (const pair of value.split(',')) {
    const trimmed = pair.trim()
    const space = trimmed.indexOf(' ')
    yield space < 0 ? [trimmed, ''] : [trimmed.slice(0, space), trimmed.slice(space + 1).trim()]
  }
}
