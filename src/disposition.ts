/** What a downloaded file is said to be, made safe: its type and its name come from whoever uploaded it. */

/** Types that browsers only show or play, never run. All else is handed out for saving. */
const harmless = new Set([
  'image/avif',
  'image/bmp',
  'image/gif',
  'image/jpeg',
  'image/png',
  'image/webp',
  'text/plain',
])

const typePattern = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$/

/** A media type without parameters from the `filetype` metadata; anything odd is `application/octet-stream`. */
export function contentType(filetype: string | undefined): string {
  const type = filetype?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (!typePattern.test(type)) return 'application/octet-stream'
  return type === 'text/plain' ? 'text/plain; charset=utf-8' : type
}

/**
 * `Content-Disposition` by RFC 6266: a plain ASCII name for old readers and the true one encoded by RFC 8187, without
 * control characters, quotes that would end it, or folders.
 */
export function contentDisposition(type: string, filename: string | undefined): string {
  const essence = type.split(';', 1)[0] ?? ''
  const kind = harmless.has(essence) || /^(audio|video)\//.test(essence) ? 'inline' : 'attachment'
  const name = safeName(filename ?? '')
  if (name === '') return kind
  const ascii = name.replace(/[^\x20-\x7e]/g, '_').replace(/["\\%]/g, '_')
  return ascii === name
    ? `${kind}; filename="${name}"`
    : `${kind}; filename="${ascii}"; filename*=UTF-8''${encode(name)}`
}

/** The last part of a path, without control, direction and replacement characters; at most 200 characters. */
function safeName(filename: string): string {
  const last = filename.split(/[/\\]/).at(-1) ?? ''
  const shown = last.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\ufffd]/gu, '')
  const name = [...shown].slice(0, 200).join('').trim()
  return /^\.*$/.test(name) ? '' : name
}

/** `value-chars` of RFC 8187. */
function encode(name: string): string {
  return encodeURIComponent(name).replace(
    /['()*!~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
